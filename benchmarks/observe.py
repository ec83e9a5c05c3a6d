"""What it costs to observe a command: the command itself beside the same one under `rules observe`,
in turn.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import repository
from benchmarks.timing import interleaved
from tests.support.builds import BUNDLED, rules_for, with_packages

Row = tuple[str, str, str, str]
MODULES = 400
TURNS = 5
GOAL = "at most 3x"


def rows(folder: Path, toolkit: Sequence[str], packages: Path | None) -> Iterator[Row]:
    """Python with many modules, node with many files, and real bundlers where there are some."""
    python = folder / "python"
    for number in range(MODULES):
        _write(python / f"shop/m{number}.py", f"def price(n):\n    return n * {number}\n" * 20)
    _write(python / "shop/__init__.py", "")
    imports = "".join(f"import shop.m{number}\n" for number in range(MODULES))
    _write(python / "app.py", f"{imports}import json, http.client, asyncio\n")
    yield _row(f"Python, {MODULES} modules", python, toolkit, [sys.executable, "app.py"])

    node = folder / "node"
    for number in range(5 * MODULES):
        _write(node / f"src/m{number}.js", f"exports.price = (n) => n * {number}\n" * 20)
    loop = f"for (let n = 0; n < {5 * MODULES}; n++) require(`./src/m${{n}}`)\n"
    _write(node / "build.js", loop)
    yield _row(f"node, {5 * MODULES:,} modules", node, toolkit, ["node", "build.js"])

    for name, build in BUNDLED.items() if packages is not None else ():
        place = folder / name
        place.mkdir(parents=True)
        with_packages(build, f"{packages}/node_modules").write(place)
        yield _row(f"{name}, a few files", place, toolkit, build.command)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _row(what: str, place: Path, toolkit: Sequence[str], command: Sequence[str]) -> Row:
    _write(place / "rules.toml", rules_for("**"))
    repository.git(place, "init", "-q")
    repository.git(place, "add", "-A")
    # its own time, about that of a `diff`, does not grow with the command's
    env = {**os.environ, "TOOLKIT_CACHE_DIR": str(place.parent / "cache")}
    plain, observed, nothing = interleaved(
        place,
        TURNS,
        command,
        [*toolkit, "rules", "observe", "--", *command],
        [*toolkit, "rules", "observe", "--", "true"],
        env=env,
    )
    ratio = statistics.median(a / b for a, b in zip(observed, plain, strict=True))
    seconds = statistics.median(observed)
    return (
        f"`rules observe` of {what}",
        f"{seconds:.2f} s: **{ratio:.1f}x** the command",
        f"the command {statistics.median(plain):.2f} s, `rules observe -- true`"
        f" {statistics.median(nothing):.2f} s",
        GOAL,
    )


def main() -> None:
    """Only these; with a folder that has the packages of scripts/test --all as an argument."""
    packages = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(prefix="toolkit-bench-") as folder:
        for row in rows(Path(folder), [sys.executable, "-m", "toolkit"], packages):
            print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main()
