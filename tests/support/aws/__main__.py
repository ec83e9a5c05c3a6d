"""The endpoint as a process: `python -m tests.support.aws --state-file FILE`.

Once it listens, FILE holds its `url` and `pid`. It ends with SIGTERM, SIGINT, or with the process
that has the other end of its stdin.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from threading import Event, Thread

from tests.support.aws.server import Endpoint


def main() -> int:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.aws")
    parser.add_argument(
        "--state-file",
        required=True,
        type=Path,
        help="where to write the url and the pid once it listens",
    )
    parser.add_argument("--account", default="1" * 12)
    parser.add_argument("--region", default="eu-west-1")
    lines = parser.parse_args()
    end = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    Thread(target=_with_parent, args=(end,), daemon=True).start()
    endpoint = Endpoint(lines.account, lines.region)
    try:
        written = lines.state_file.with_suffix(".part")
        written.write_text(json.dumps({"url": endpoint.url, "pid": os.getpid()}))
        written.replace(lines.state_file)
        end.wait()
    finally:
        endpoint.close()
    return 0


def _with_parent(end: Event) -> None:
    """Nobody holds our stdin any more: the test has ended, however it did."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 1024):
            pass
    end.set()


if __name__ == "__main__":
    sys.exit(main())
