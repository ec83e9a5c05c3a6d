"""A change of a hundred thousand files is answered in full, in bounded memory."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.measured import measured
from tests.support.repo import RULES, Repo

FILES = 110_000


def _history() -> Iterator[bytes]:
    """Two commits for `git fast-import`: the second one changes every file but rules.toml."""
    author = b"committer Ada <ada@example.com> 1767323045 +0000\n"
    for mark, content in ((1, b"one\n"), (2, b"two\n")):
        yield b"blob\nmark :%d\ndata %d\n%b\n" % (mark, len(content), content)
    for number, mark in ((3, 1), (4, 2)):
        yield b"commit refs/heads/main\nmark :%d\n%bdata 1\nx\n" % (number, author)
        if number == 3:
            yield b"M 100644 inline rules.toml\ndata %d\n%b\n" % (len(RULES), RULES.encode())
        yield from (
            b"M 100644 :%d backend/src/part%d/folder%d/file%d.py\n"
            % (mark, position % 40, position % 900, position)
            for position in range(FILES)
        )
        yield b"\n"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    repo = Repo.make(tmp_path_factory.mktemp("large") / "repo", rules=None)
    repo.git("fast-import", "--quiet", given=b"".join(_history()))
    repo.git("read-tree", "main")
    repo.write({"rules.toml": RULES})
    return repo


@pytest.mark.slow("large", keep=1)
@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("diff", "HEAD~1..HEAD"), "110,000 files changed"),
        (("rules", "replay"), "2 commits of HEAD"),
        (("diff", "HEAD"), "110,000 unstaged"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_hundred_thousand_changes_are_answered_in_less_than_300_megabytes(
    large: Repo, tmp_path: Path, args: tuple[str, ...], text: str
) -> None:
    """Committed, replayed, and in the working tree (whose files are all gone)."""
    functions = measured(large.path, tmp_path / "report", *args, cpu_s=60)
    assert functions.code == 0, functions.err
    assert text in functions.out
    assert len(functions.out.splitlines()) < 30
    assert functions.peak_mb < 300


@pytest.mark.slow("large")
def test_a_hundred_thousand_changes_are_all_in_the_json(large: Repo, tmp_path: Path) -> None:
    functions = measured(
        large.path, tmp_path / "report", "diff", "--json", "HEAD~1..HEAD", cpu_s=60
    )
    assert len(json.loads(functions.out)["changes"]) == FILES
    assert functions.peak_mb < 300
