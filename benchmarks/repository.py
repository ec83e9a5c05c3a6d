"""Generated repositories and rules to measure on: the same for the same numbers."""

import os
import subprocess
from pathlib import Path

_ENV = {
    "GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@example.com", "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "bench@example.com", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
}  # fmt: skip


def git(folder: Path, *args: str, given: bytes | None = None) -> None:
    """Run git for set-up."""
    subprocess.run(["git", *args], cwd=folder, env={**os.environ, **_ENV}, input=given, check=True, stdout=subprocess.DEVNULL)


def paths(files: int) -> list[str]:
    """Names of 200 packages' files, three folders deep."""
    each = max(files // 200, 1)
    return [f"packages/p{at // each:03}/src/m{at % each // 20:02}/file{at % each:04}.py" for at in range(files)]


def make(folder: Path, files: int) -> Path:
    """A repository with branches base, one (1 file changed since base) and thousand (1,000 files in 50 packages), and its rules.toml."""
    folder.mkdir(parents=True)
    names = paths(files)
    git(folder, "init", "-q", "-b", "base")
    git(folder, "fast-import", "--quiet", given=_history(names))
    git(folder, "checkout", "-q", "one")
    (folder / "rules.toml").write_text(rules())
    return folder


def _history(names: list[str]) -> bytes:
    out: list[bytes] = []

    def commit(branch: str, parent: str, changes: list[tuple[str, bytes]]) -> None:
        out.append(f"commit refs/heads/{branch}\ncommitter bench <bench@example.com> 1767225600 +0000\ndata 1\nx\n".encode())
        if parent:
            out.append(f"from refs/heads/{parent}\n".encode())
        for name, data in changes:
            out.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(data), data))

    commit("base", "", [(name, b"%d" % at) for at, name in enumerate(names)])
    commit("one", "base", [(names[0], b"changed")])
    step = max(len(names) // 200 // 20, 1)
    chosen = [name for at, name in enumerate(names) if at // max(len(names) // 200, 1) < 50 and at % step == 0][:1000]
    commit("thousand", "base", [(name, b"changed") for name in chosen])
    return b"".join(out)


def rules(count: int = 200) -> str:
    """A rules.toml with as many rules, five to a target."""
    targets = [f'[targets.t{at}]\nkind = "stack"\nstack = "Stack{at}"\ncdk = "cdk"\nestimate = "2m"\n' for at in range(count // 5)]
    found = [
        f'[[rules]]\nname = "Package {at}"\n'
        f'paths = ["packages/p{at:03}/src/**", "packages/p{at:03}/Dockerfile", "!packages/p{at:03}/**/*.md"]\n'
        f'deploy = ["t{at // 5}"]\n'
        for at in range(count)
    ]
    return "\n".join(['version = 1\nproject = "bench"\nignore = ["**/*.md"]\n', *targets, *found])
