"""`python -m toolkit` is the same as `toolkit`."""

import os
import sys


def start() -> None:
    """The program from its first moment: who stops it while it is still being loaded is told so by the exit code alone."""
    try:
        from toolkit.cli.main import main

        main()
    except KeyboardInterrupt:
        os._exit(130)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the working directory: a stranger's repository may hold a module named like one of ours
    start()
