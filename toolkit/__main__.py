"""`python -m toolkit` is the same as `toolkit`."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the working directory: a stranger's repository may hold a module named like one of ours
    from toolkit.cli.main import main

    main()
