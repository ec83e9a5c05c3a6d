"""The endpoint in a process of its own, and how a test drives it: JSON by POST to
`/_script/<verb>`.

with apart(tmp_path) as remote:                         # or the fixture `aws_process`
    remote.do("ecr", "image", "backend", "v1")          # any method of a service's state, see the
      package's docstring
    remote.do("ecs", "service", "api", "127.0.0.1:1/backend:v1", desired=2) remote.do("ecs", "next",
    "breaker", cause="pull", looks=1) remote.fault("ecs:UpdateService", kind="reset", when="after")
    child = Popen([...], env={**os.environ, **remote.environment}) assert
    remote.calls().applied("ecs:UpdateService") == 1 assert remote.get("ecs", "clusters", "main",
    "services", "api", "latest", "status") == "SUCCESSFUL"
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from tests.support.aws.faults import Call, Calls
from tests.support.aws.wire import Answer, AwsError, AwsRequest, Misuse

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint

ROOT = Path(__file__).parents[3]
START_S = 20


def answer(endpoint: "Endpoint", aws_request: AwsRequest) -> Answer:
    """Do what a test in another process asks."""
    verb = aws_request.path.removeprefix("/_script/")
    try:
        document = json.loads(aws_request.body or b"{}")
        table = {"ok": plain(_done(endpoint, verb, document))}
        status = 200
    except (
        Misuse,
        AwsError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        StopIteration,
    ) as problem:
        table, status = {"problem": f"{type(problem).__name__}: {problem}"}, 400
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(table).encode())


def _done(endpoint: "Endpoint", verb: str, document: dict[str, Any]) -> Any:
    if verb == "calls":
        return list(endpoint.calls)
    if verb == "fault":
        endpoint.fault(**document)
    elif verb == "latency":
        endpoint.latency(**document)
    elif verb == "clear":
        endpoint.faults.clear()
        endpoint.release()
    elif verb == "advance":
        endpoint.clock.advance(document["seconds"])
    elif verb == "stop":
        endpoint.clock.stop()
    elif verb == "problems":
        return endpoint.problems
    elif verb == "answer":
        message = (
            AwsError(document["code"], document["message"], document.get("status", 400))
            if "code" in document
            else document["answer"]
        )
        endpoint.on(document["service"], document["operation"], message)
    elif verb == "do":
        with endpoint.lock:
            state = endpoint.at(document.get("region") or endpoint.region, document["service"])
            return getattr(state, document["method"])(
                *document.get("args", ()), **document.get("named", {})
            )
    elif verb in ("get", "set"):
        with endpoint.lock:
            return _place(endpoint, verb, document)
    else:
        raise Misuse(f"there is no {verb}")
    return None


def _place(endpoint: "Endpoint", verb: str, document: dict[str, Any]) -> Any:
    """Read or set what is at a path of attributes, keys and numbers."""
    *way, last = document["path"]
    value: Any = endpoint
    for step in way:
        value = _step(value, step)
    if verb == "get":
        return _step(value, last)
    if isinstance(value, dict):
        value[last] = document["value"]
    else:
        if not hasattr(value, last):
            raise Misuse(f"there is no {last}")
        setattr(value, last, document["value"])
    return None


def _step(value: Any, step: str | int) -> Any:
    if isinstance(value, list):
        return value[int(step)]
    return value[step] if isinstance(value, dict) else getattr(value, str(step))


def plain(value: Any, depth: int = 6) -> Any:
    """A value as JSON has it: structs as objects, times as text, content as its length; None for
    what cannot be said.
    """
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes"
    if depth == 0 or callable(value) or isinstance(value, type(RLock())):
        return None
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else " ".join(map(str, key)): plain(item, depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set)):
        return [plain(item, depth - 1) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            each.name: plain(getattr(value, each.name), depth - 1)
            for each in dataclasses.fields(value)
        }
    return None


def environment(endpoint_url: str, region: str = "eu-west-1") -> dict[str, str]:
    """What a process must have in its environment to talk to an endpoint and to nothing else."""
    nowhere = "/nonexistent/toolkit-tests"
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "111111111111",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-scripted-endpoint",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


class Remote:
    """An endpoint in another process. Every method raises Misuse for what the other side
    refuses.
    """

    def __init__(self, url: str, region: str = "eu-west-1") -> None:
        self.url, self.host = url, url.removeprefix("http://")
        self.environment = environment(url, region)

    def ask(self, verb: str, **value: Any) -> Any:
        """One request to the script."""
        connection = HTTPConnection(self.host, timeout=30)
        try:
            connection.request(
                "POST", f"/_script/{verb}", json.dumps(value), {"Connection": "close"}
            )
            document = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "problem" in document:
            raise Misuse(document["problem"])
        return document["ok"]

    def do(self, service: str, method: str, *args: Any, region: str = "", **named: Any) -> Any:
        """Call a method of a service's state: `do("ecs", "next", "breaker", cause="pull")`; its
        result as JSON has it.
        """
        return self.ask("do", service=service, method=method, args=args, named=named, region=region)

    def get(self, *path: str | int) -> Any:
        """What is at a path from the endpoint on: `get("ecs", "clusters", "main", "services",
        "api", "desired")`.
        """
        return self.ask("get", path=path)

    def set(self, value: Any, *path: str | int) -> None:
        """Set what is at a path: `set("222222222222", "account")`."""
        self.ask("set", path=path, value=value)

    def fault(
        self,
        operation: str,
        times: int | None = 1,
        kind: str = "500",
        when: str = "before",
        **more: Any,
    ) -> None:
        """As `Endpoint.fault`."""
        self.ask("fault", operation=operation, times=times, kind=kind, when=when, **more)

    def latency(self, seconds: float, operation: str = "*") -> None:
        """As `Endpoint.latency`."""
        self.ask("latency", seconds=seconds, operation=operation)

    def clear(self) -> None:
        """No more faults; silent answers end."""
        self.ask("clear")

    def on(self, service: str, operation: str, document: dict[str, Any] | AwsError) -> None:
        """As `Endpoint.on`, without functions."""
        if isinstance(document, AwsError):
            self.ask(
                "answer",
                service=service,
                operation=operation,
                code=document.code,
                message=document.message,
                status=document.status,
            )
        else:
            self.ask("answer", service=service, operation=operation, answer=document)

    def advance(self, seconds: float) -> None:
        """Move the endpoint's clock."""
        self.ask("advance", seconds=seconds)

    def calls(self) -> Calls:
        """All requests so far; content is only its length."""
        return Calls(
            Call(**{**call, "at": datetime.fromisoformat(call["at"])}) for call in self.ask("calls")
        )

    def problems(self) -> list[str]:
        """Mistakes of the endpoint, or of the test."""
        lines: list[str] = self.ask("problems")
        return lines


@contextlib.contextmanager
def apart(folder: Path, *arguments: str) -> Iterator[Remote]:
    """An endpoint as a process of its own, until the block is left. Raises Misuse if it does not
    start, or made mistakes.
    """
    state = folder / f"aws-{time.monotonic_ns()}.json"
    command = [sys.executable, "-m", "tests.support.aws", "--state-file", str(state), *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE
    ) as child:
        try:
            remote = Remote(_started(child, state))
            yield remote
            if lines := remote.problems():
                raise Misuse("; ".join(lines))
        finally:
            child.terminate()


def _started(child: "subprocess.Popen[bytes]", state: Path) -> str:
    until = time.monotonic() + START_S
    while not state.exists():
        if child.poll() is not None or time.monotonic() > until:
            raise Misuse("the endpoint did not start")
        time.sleep(0.005)
    return str(json.loads(state.read_text())["url"])
