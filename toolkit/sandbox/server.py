"""The emulator as a process: in a session of its own, on the loopback only, and stored in a file so
that later commands find it.
"""

import hmac
import json
import os
import secrets
import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException

from msgspec import Struct

from toolkit.errors import ProgramFailed
from toolkit.ports import debug, files, process
from toolkit.sandbox import guard, signature

OWNER = "000000000000"
"""The access key that commands about the sandbox itself are signed with: an account's number, as
all of its keys.
"""

ENGINE = os.path.join(os.path.dirname(__file__), "engine.py")
READY_S, END_S = 30.0, 5.0
"""How long a start and an end may take."""


class Server(Struct, frozen=True):
    """A process that was started. `born` is its start time in the system's own words, so that its
    pid cannot be mistaken for another process.

    `token` is the secret key of its accounts' access keys. It gives full access, so only the owner
    can read it.
    """

    pid: int
    born: str
    port: int
    token: str
    folder: str

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """The file that it writes to."""
        return os.path.join(self.folder, "log")


class StartOptions(Struct, frozen=True):
    """How the emulator is started. `enforce`: IAM policies count. `port` and `token` are those it
    had before, else any. `tied`: it ends when this process does, however that ends.
    """

    enforce: bool = False
    port: int = 0
    tied: bool = False
    token: str | None = None


_DEFAULTS = StartOptions()


def start(python: str, folder: str, region: str, options: StartOptions = _DEFAULTS) -> Server:
    """Start the emulator with files in `folder`, and wait until it answers. Raises
    ProgramFailed.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    port_file = os.path.join(folder, "port")
    if os.path.exists(port_file):
        os.unlink(port_file)
    token = options.token or secrets.token_urlsafe(30)
    log = os.path.join(folder, "log")
    env = process.child_environment(
        TOOLKIT_SANDBOX_SECRET=token,
        TOOLKIT_SANDBOX_PORT=str(options.port),
        MINISTACK_REGION=region,
        AUTH="true" if options.enforce else "false",
        TOOLKIT_SANDBOX_TIED="1" if options.tied else "",
        LOG_LEVEL="WARNING",
        PYTHONUNBUFFERED="1",
        TMPDIR=folder,
    )
    # The pipe's other end is ours as long as we live, and nobody else's.
    stdin = os.pipe()[0] if options.tied else os.open(os.devnull, os.O_RDONLY)
    pid = os.posix_spawn(
        python,
        [python, "-I", ENGINE, folder],
        env,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    # The child has its own copy of it.
    os.close(stdin)
    debug.program_started([python, "-I", ENGINE, folder], folder)
    born = _start_time(pid) or ""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and _start_time(pid) == born:
        if os.path.exists(port_file):
            server = Server(pid, born, int(files.read(port_file)), token, folder)
            if is_answering(server):
                return server
        time.sleep(0.02)
    end(Server(pid, born, 0, token, folder))
    raise ProgramFailed(program="the sandbox", reason=f"it did not start; see {log}")


def is_running(server: Server) -> bool:
    """Whether this very process still runs."""
    return _start_time(server.pid) == server.born


def is_answering(server: Server) -> bool:
    """Whether it is this server that answers at its address."""
    nonce = secrets.token_hex(16)
    answer = _request(server, "GET", f"/_toolkit/proof/{nonce}")
    proof = answer.get("proof") if answer is not None else None
    return isinstance(proof, str) and hmac.compare_digest(
        proof.encode(), guard.proof(server.token, nonce).encode()
    )


def empty(server: Server) -> None:
    """Delete everything in it. Raises ProgramFailed."""
    if _request(server, "POST", "/_ministack/reset") is None:
        raise ProgramFailed(program="the sandbox", reason=f"it did not answer; see {server.log}")


def name_hosts(server: Server, hosts: Mapping[str, str]) -> None:
    """Tell it the hosts of services, and forget earlier ones: host -> the path of the service that
    answers for it. Raises ProgramFailed.
    """
    if _request(server, "POST", "/_toolkit/hosts", json.dumps(dict(hosts)).encode()) is None:
        raise ProgramFailed(program="the sandbox", reason=f"it did not answer; see {server.log}")


def end(server: Server) -> None:
    """Stop it with everything that it started. A process that is not ours is left alone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if is_running(server):
            os.killpg(server.pid, number)
        until = time.monotonic() + END_S
        while is_running(server) and time.monotonic() < until:
            time.sleep(0.02)


def _request(server: Server, method: str, path: str, body: bytes = b"") -> dict[str, object] | None:
    """The JSON object that it answers, None if it does not answer or refuses. No proxy is used: it
    is on this machine.
    """
    host = f"127.0.0.1:{server.port}"
    signer = signature.Signer(OWNER, server.token)
    headers = signature.sign(signer, method, host, path, body, datetime.now(UTC))
    connection = HTTPConnection("127.0.0.1", server.port, timeout=READY_S)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return content if isinstance(content, dict) and answer.status == 200 else None


def _start_time(pid: int) -> str | None:
    """When a process was started, None if it does not exist (any more). A child that has ended is
    collected.
    """
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return None
    except ChildProcessError:
        pass  # not ours to collect
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):
            return None
    except ProcessLookupError:
        return None
    else:
        return None if state == b"Z" else fields[18].decode()
    # A system without /proc.
    done = process.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], os.sep, process.child_environment()
    )
    return done.out.decode().strip() or None
