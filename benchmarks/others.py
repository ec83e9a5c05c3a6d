"""`diff --json` beside what turbo and nx say of the same change in the same repository: 200
packages, of which a file in one has changed. They have to be installed already: no package is
fetched here.
"""

import json
import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import repository
from benchmarks.timing import interleaved, ms

Row = tuple[str, str, str, str]

FILES = 20_000
QUIET = {
    "DO_NOT_TRACK": "1",
    "NX_DAEMON": "false",
    "NX_NO_CLOUD": "true",
    "TURBO_SCM_BASE": "base",
    "TURBO_SCM_HEAD": "HEAD",
    "TURBO_TELEMETRY_DISABLED": "1",
}


def rows(folder: Path, toolkit: Sequence[str], modules: Path, runs: int = 9) -> Iterator[Row]:
    """`modules` is a folder node_modules with turbo and nx."""
    repo = workspace(folder)
    (repo / "node_modules").symlink_to(modules.resolve())
    commands = (
        [*toolkit, "diff", "--json", "base"],
        [*toolkit, "diff", "--json", "--committed", "base"],
        [str(modules / ".bin" / "turbo"), "ls", "--affected"],
        [str(modules / ".bin" / "nx"), "show", "projects", "--affected", "--base=base"],
    )
    whole, ours, turbo, nx = interleaved(repo, runs, *commands, env={**os.environ, **QUIET})

    def times_slower(theirs: Sequence[float]) -> str:
        return f"{statistics.median(a / b for a, b in zip(theirs, ours, strict=True)):.1f}x"

    yield (
        "which of 200 packages has changed, 20,000 files: `diff --json --committed`",
        f"{ms(ours)}; with the working tree {ms(whole)}",
        (
            f"`turbo ls --affected` {ms(turbo)}: {times_slower(turbo)}; `nx show projects"
            f" --affected`, without its daemon, {ms(nx)}: {times_slower(nx)}"
        ),
        "",
    )


def workspace(folder: Path) -> Path:
    """An npm workspace with 200 packages, and what turbo, nx and toolkit need to know of it."""
    folder.mkdir(parents=True)
    names = repository.paths(FILES)
    packages = [f"p{number:03}" for number in range(200)]
    linked = {f"node_modules/{name}": {"resolved": f"packages/{name}"} for name in packages}
    documents: dict[str, object] = {
        "package.json": {
            "name": "root",
            "private": True,
            "packageManager": "npm@10.0.0",
            "workspaces": ["packages/*"],
        },
        "package-lock.json": {
            "name": "root",
            "lockfileVersion": 3,
            "packages": {
                "": {"name": "root", "workspaces": ["packages/*"]},
                **{f"packages/{name}": {"name": name, "version": "1.0.0"} for name in packages},
                **{path: {**link, "link": True} for path, link in linked.items()},
            },
        },
        "turbo.json": {"tasks": {"build": {}}},
        "nx.json": {"analytics": False, "neverConnectToCloud": True},
    }
    for name in packages:
        documents[f"packages/{name}/package.json"] = {
            "name": name,
            "version": "1.0.0",
            "scripts": {"build": "true"},
        }
    files = [(path, json.dumps(document).encode()) for path, document in documents.items()]
    files += [(name, b"%d" % number) for number, name in enumerate(names)]
    files += [
        (".gitignore", b"node_modules\n.nx\n.turbo\n"),
        ("rules.toml", repository.rules().encode()),
    ]
    history: list[repository.Commit] = [("base", "", files), ("one", "base", [(names[0], b"new")])]
    repository.make_from(folder, history, "one")
    return folder
