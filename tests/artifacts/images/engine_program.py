"""What stands in for docker, podman and buildah: behaves like their command lines, and writes down
how it was called.
"""

import json
import os
import signal
import sys
import time
from contextlib import suppress

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = os.path.basename(sys.argv[0])
WORDS = sys.argv[1:]


def setting(name: str) -> str:
    path = os.path.join(HERE, f"{NAME}.{name}")
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        return file.read()


def after(option: str) -> str:
    return WORDS[WORDS.index(option) + 1]


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


config = os.path.join(os.environ.get("DOCKER_CONFIG", "/none"), "config.json")
given = sys.stdin.read()
called = {
    "argv": [NAME, *WORDS],
    "given": given,
    "env": dict(os.environ),
    "cwd": os.getcwd(),
    "sid": os.getsid(0) == os.getpid(),
}
if os.path.exists(config):
    with open(config) as file:
        called["config"] = json.load(file)
with open(os.path.join(HERE, "calls"), "a") as calls:
    calls.write(json.dumps(called) + "\n")

if setting("down") and WORDS[0] in ("version", "info"):
    sys.exit("Cannot connect to the daemon")
if WORDS[:2] == ["buildx", "version"] and setting("old"):
    sys.exit("docker: 'buildx' is not a docker command.")
if WORDS[0] == "build" or WORDS[:2] == ["buildx", "build"]:
    print("#1 building", flush=True)
    if setting("slow"):
        write(os.path.join(HERE, "started"), str(os.getpid()))
        time.sleep(600)
    if setting("fails"):
        print(
            'ERROR: failed to solve: process "/bin/sh -c make" did not complete\n------\n',
            file=sys.stderr,
        )
        sys.exit(1)
    if setting("overtaken") == "meanwhile":
        write(os.path.join(HERE, "pushed"), "")
    if "--metadata-file" in WORDS and setting("overtaken"):
        write(os.path.join(HERE, "pushed"), "")
        sys.exit("ERROR: failed to push: unexpected status from PUT request: 400 Bad Request")
    if "--iidfile" in WORDS:
        write(after("--iidfile"), setting("id"))
    if "--metadata-file" in WORDS:
        write(after("--metadata-file"), json.dumps({"containerimage.digest": setting("digest")}))
        write(os.path.join(HERE, "pushed"), "")
if WORDS[0] == "push":
    if setting("overtaken"):
        write(os.path.join(HERE, "pushed"), "")
        sys.exit(
            "tag invalid: The image tag already exists and cannot be overwritten because the tag is"
            " immutable."
        )
    write(os.path.join(HERE, "pushed"), "")
    if "--digestfile" in WORDS:
        write(after("--digestfile"), setting("digest"))
if WORDS[:2] == ["image", "inspect"] and "RepoDigests" in after("--format"):
    print(
        json.dumps(
            [
                "other/x@sha256:" + "9" * 64,
                f"{setting('repository') or WORDS[-1].rpartition(':')[0]}@{setting('digest')}",
            ]
        )
    )
if WORDS[:2] == ["image", "inspect"] and "Architecture" in after("--format"):
    print(setting("platform"))
if WORDS[:2] == ["image", "inspect"] and "Id" in after("--format"):
    print(setting("id"))
if WORDS[:2] == ["context", "inspect"]:
    print(setting("host") or "unix:///var/run/docker.sock")

# A container is this program itself: a folder says which there are, with their labels.
CONTAINERS = os.path.join(HERE, "containers")


def container(name: str) -> dict[str, object]:
    with open(os.path.join(CONTAINERS, name)) as file:
        return dict(json.load(file))


def labels() -> list[str]:
    return [WORDS[number + 1] for number, word in enumerate(WORDS) if word == "--label"]


def serve(status: int, name: str) -> None:
    """Answer every request with this status."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            print(f"GET {self.path}", flush=True)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    entry = {**container(name), "port": server.server_address[1]}
    write(os.path.join(CONTAINERS, f".{name}"), json.dumps(entry))
    os.replace(os.path.join(CONTAINERS, f".{name}"), os.path.join(CONTAINERS, name))
    server.serve_forever()


if WORDS[0] == "run":
    os.makedirs(CONTAINERS, exist_ok=True)
    name = after("--name")
    write(os.path.join(CONTAINERS, name), json.dumps({"pid": os.getpid(), "labels": labels()}))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a client's end is not the container's
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for variable in [WORDS[number + 1] for number, word in enumerate(WORDS) if word == "--env"]:
        print(variable if "=" in variable else f"{variable}={os.environ[variable]}", flush=True)
    print(setting("says"), flush=True)
    if setting("serves"):
        serve(int(setting("serves")), name)
    if setting("stays"):
        time.sleep(600)
    os.unlink(os.path.join(CONTAINERS, name))
    sys.exit(int(setting("exits") or 0))
if WORDS[0] == "ps" and os.path.isdir(CONTAINERS):
    wanted = after("--filter").removeprefix("label=")
    for name in sorted(os.listdir(CONTAINERS)):
        if not name.startswith("."):
            have = container(name)["labels"]
            if any(wanted in (label, label.partition("=")[0]) for label in have):  # type: ignore[attr-defined]
                print(name)
if WORDS[0] == "inspect":
    for label in container(WORDS[-1])["labels"]:  # type: ignore[attr-defined]
        if label.startswith("toolkit.process="):
            print(label.removeprefix("toolkit.process="))
if WORDS[0] == "port":
    published = container(WORDS[1]).get("port")
    if published is None:
        sys.exit("no public port")
    print(f"127.0.0.1:{published}")
if WORDS[0] in ("kill", "rm"):
    with suppress(OSError):
        os.kill(int(str(container(WORDS[-1])["pid"])), signal.SIGKILL)
    if WORDS[0] == "rm" and not setting("clings"):
        with suppress(OSError):
            os.unlink(os.path.join(CONTAINERS, WORDS[-1]))
