"""What stands in for docker, podman and buildah: behaves like their command lines, and writes down
how it was called.
"""

import json
import os
import sys
import time

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
if WORDS[:2] == ["image", "inspect"]:
    print(
        json.dumps(
            ["other/x@sha256:" + "9" * 64, WORDS[-1].rpartition(":")[0] + "@" + setting("digest")]
        )
    )
