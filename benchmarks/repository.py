"""Generated repositories and rules to measure on: the same for the same numbers."""

import os
import subprocess
from pathlib import Path
from random import Random

_ENV = {
    "GIT_AUTHOR_NAME": "bench",
    "GIT_AUTHOR_EMAIL": "bench@example.com",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "bench",
    "GIT_COMMITTER_EMAIL": "bench@example.com",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(folder: Path, *args: str, given: bytes | None = None) -> None:
    """Run git for set-up."""
    subprocess.run(
        ["git", *args],
        cwd=folder,
        env={**os.environ, **_ENV},
        input=given,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def paths(files: int) -> list[str]:
    """Names of 200 packages' files, three folders deep."""
    each = max(files // 200, 1)
    return [
        f"packages/p{at // each:03}/src/m{at % each // 20:02}/file{at % each:04}.py"
        for at in range(files)
    ]


def make(folder: Path, files: int, checked_out: bool = True) -> Path:
    """A repository with branches base, one (1 file changed since base) and thousand (1,000 files in
    50 packages), and its rules.toml. On branch one; its files are only there if `checked_out`.
    """
    folder.mkdir(parents=True)
    names = paths(files)
    git(folder, "init", "-q", "-b", "base")
    git(folder, "fast-import", "--quiet", given=_history(names))
    if checked_out:
        git(folder, "checkout", "-q", "one")
    else:
        git(folder, "symbolic-ref", "HEAD", "refs/heads/one")
        (folder / "rules.toml").write_text(rules())
    return folder


def _own_files(text: str) -> list[tuple[str, bytes]]:
    """A repository's rules.toml, and what its targets name."""
    return [("rules.toml", text.encode()), ("cdk/cdk.json", b'{"app": "python app.py"}\n')]


def _history(names: list[str]) -> bytes:
    each = len(names) // 200
    fifty = [
        name for at, name in enumerate(names[: 50 * each]) if at % each < 20
    ]  # the same paths in a repository of any size
    base = [*_own_files(rules()), *((name, b"%d" % at) for at, name in enumerate(names))]
    one = [(names[0], b"changed")]
    return _commits(
        [
            ("base", "", base),
            ("one", "base", one),
            ("thousand", "base", [(name, b"changed") for name in fifty[:1000]]),
        ]
    )


Commit = tuple[str, str, list[tuple[str, bytes]]]
"""The branch, the branch it goes on from (empty: none), and the files it writes."""


def _commits(commits: list[Commit]) -> bytes:
    """The commits in git's fast-import format."""
    out: list[bytes] = []
    seen: set[str] = set()
    for branch, parent, changes in commits:
        out.append(
            f"commit refs/heads/{branch}\ncommitter bench <bench@example.com> 1767225600"
            " +0000\ndata 1\nx\n".encode()
        )
        if parent and (parent != branch or branch not in seen):
            out.append(f"from refs/heads/{parent}\n".encode())
        seen.add(branch)
        out += [
            b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(data), data)
            for name, data in changes
        ]
    return b"".join(out)


def make_from(folder: Path, history: list[Commit], branch: str) -> None:
    """A repository with these commits, and a branch of them checked out."""
    git(folder, "init", "-q", "-b", branch)
    git(folder, "fast-import", "--quiet", "--force", given=_commits(history))
    git(folder, "checkout", "-q", branch)


def many_changes(folder: Path, number: int) -> Path:
    """A repository whose branch many adds so many files to base."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "many")
    added = [
        (
            (
                f"packages/p{at % 200:03}/src/some/deeper/folder/m{at % 97:02}/"
                f"a-file-with-a-longer-name-{at:06}.py"
            ),
            b"x",
        )
        for at in range(number)
    ]
    git(
        folder,
        "fast-import",
        "--quiet",
        given=_commits([("base", "", [("packages/first", b"x")]), ("many", "base", added)]),
    )
    (folder / "rules.toml").write_text(rules())
    return folder


def long_history(folder: Path, commits: int) -> Path:
    """A repository of 5,000 files and so many commits, each of 1 to 15 changed files."""
    folder.mkdir(parents=True)
    names = paths(5_000)
    random = Random(7)
    history = [("base", "", [(name, b"%d" % at) for at, name in enumerate(names)])]
    for at in range(commits - 1):
        near = random.randrange(len(names) - 40)
        history.append(
            (
                "base",
                "base",
                [
                    (names[near + random.randrange(40)], b"%d" % at)
                    for _ in range(random.randint(1, 15))
                ],
            )
        )
    git(folder, "init", "-q", "-b", "base")
    git(folder, "fast-import", "--quiet", given=_commits(history))
    (folder / "rules.toml").write_text(rules())
    return folder


def deployed(folder: Path, files: int, commits: int) -> tuple[Path, list[str]]:
    """A repository of so many commits, oldest first, of which each changes three files in two
    packages; of 200 packages with a target each.
    """
    folder.mkdir(parents=True)
    names = paths(files)
    random = Random(7)
    text = deployed_rules()
    history: list[Commit] = [("main", "", [*_own_files(text), *((name, b"x") for name in names)])]
    for number in range(commits - 1):
        near = random.randrange(len(names) - 200)
        changed = [names[near], names[near + 1], names[near + 150]]
        history.append(("main", "main", [(name, b"%d" % number) for name in changed]))
    make_from(folder, history, "main")
    listed = subprocess.run(
        ["git", "rev-list", "--reverse", "main"],
        cwd=folder,
        capture_output=True,
        check=True,
        text=True,
    )
    return folder, listed.stdout.split()


def deployed_rules(count: int = 200) -> str:
    """A rules.toml with a target for each of its rules, in an environment."""
    text = rules(count, each=1)
    environment = (
        'environment = "dev"\n\n[environments.dev]\naccount = "111111111111"\n'
        'regions = ["eu-west-1"]\n\n'
    )
    head, targets = text.split("[targets.", 1)
    return f"{head}{environment}[targets.{targets}"


def rules(count: int = 200, each: int = 5) -> str:
    """A rules.toml with as many rules, `each` of them to a target."""
    targets = [
        f'[targets.t{at}]\nkind = "stack"\nstack = "Stack{at}"\ncdk = "cdk"\nestimate = "2m"\n'
        for at in range(count // each)
    ]
    found = [
        f'[[rules]]\nname = "Package {at}"\npaths = ["packages/p{at:03}/src/**",'
        f' "packages/p{at:03}/Dockerfile", "!packages/p{at:03}/**/*.md"]\n'
        f'deploy = ["t{at // each}"]\n'
        for at in range(count)
    ]
    return "\n".join(['version = 1\nproject = "bench"\nignore = ["**/*.md"]\n', *targets, *found])
