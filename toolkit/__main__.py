"""`python -m toolkit` is the same as `toolkit`."""

import os
import sys
from contextlib import suppress

OWN_NAME = "deploy-toolkit"
"""The distribution's name, here as well: `toolkit/__init__.py` may have been replaced."""


def start() -> None:
    """The program from its first moment: who stops it while it is still being loaded is told so by
    the exit code alone.
    """
    try:
        complete()
        in_utf8()
        refuse_replaced_package()
        from toolkit.cli.main import main

        main()
    except KeyboardInterrupt:
        os._exit(130)


def complete() -> None:
    """Answer the completion script of a shell, if one asks: without anything else that a command
    needs.
    """
    shell = os.environ.get("_TOOLKIT_COMPLETE")
    if shell in ("bash", "zsh", "fish"):
        from toolkit.cli.suggestions import main

        main(shell)


def refuse_replaced_package() -> None:
    """Leave with an error where another distribution has put its files over ours: `toolkit` on the
    package index is somebody else's, and installs into the same folder.
    """
    import toolkit

    if getattr(toolkit, "DISTRIBUTION", None) == OWN_NAME:
        return
    sys.stderr.write(
        f"error: another package has replaced files of toolkit in {os.path.dirname(__file__)}\n"
        "hint: remove it, and install toolkit again:\n"
        "  python -m pip uninstall toolkit\n"
        f"  python -m pip install --force-reinstall {OWN_NAME}\n"
    )
    sys.exit(2)


def in_utf8() -> None:
    """Begin again where the locale is not UTF-8: git's names are, and one that is read in one way
    and handed on in another is another one.

    The streams keep the terminal's encoding.
    """
    own = sys.orig_argv[: -len(sys.argv)]
    if (
        sys.getfilesystemencoding() == "utf-8"
        or not sys.executable
        or any("utf8" in word for word in own)
    ):
        return
    terminal = sys.stdout.encoding if sys.stdout else "ascii"
    env = {"PYTHONIOENCODING": f"{terminal}:backslashreplace", **os.environ}
    with suppress(OSError):  # then as well as it goes
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], env)  # noqa: S606 (ourselves)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[
            0
        ]  # the working directory: a stranger's repository may hold a module named like one of ours
    start()
