"""What a person (or a job with somebody's branch name) gives as a base is never read as an option
or as a path (S3).
"""

from pathlib import Path

import pytest

from tests.security.names import is_inert, made
from tests.support.repo import Repo
from tests.support.run import Toolkit

REFS = [
    "--output=pwn",
    "-h",
    "-x",
    "--upload-pack=touch pwn",
    "HEAD --output=pwn",
    "HEAD\nx",
    "\nHEAD",
    "HEAD\0x",
    "HEAD\x1b[2K",
    "HEAD\u202e",
    "HEAD\udce9",
    "HEAD:../../etc/passwd",
    "HEAD:rules.toml",
    "HEAD^{/",
    "HEAD^{tree}",
    "^HEAD",
    "HEAD^!",
    "$(touch pwn)",
    "`touch pwn`",
    ";touch pwn",
    "ext::sh -c 'touch pwn'",
    "::error::x",
    "../../etc/passwd",
    "@{upstream}",
    "0" * 40,
    "1" * 40,
    "f" * 64,
    "no-such-branch",
    " ",
    "",
]


@pytest.mark.slow("hostile input", keep=8)
@pytest.mark.parametrize("ref", REFS, ids=ascii)
def test_a_ref_that_is_no_commit_exits_with_two_and_writes_nothing(
    repo: Repo, toolkit: Toolkit, ref: str
) -> None:
    """S3."""
    commands = [
        ("diff", "--", ref),
        ("diff", "--", f"{ref}..HEAD"),
        ("diff", "--", f"HEAD...{ref}"),
        ("rules", "replay", "--", ref),
    ]
    for args in commands if ref else commands[:1]:
        actual = toolkit(repo.path, *args)
        assert actual.code == 2
        assert not actual.out
        assert actual.err.startswith("error: ")
        assert is_inert(actual.err)
    assert repo.git("status", "--porcelain", "--ignored") == ""
    assert not made(repo.path.parent, "pwn")


@pytest.mark.parametrize(
    "args",
    [
        ("diff", "--output=pwn"),
        ("diff", "-o"),
        ("rules", "replay", "--output=pwn"),
        ("explain", "--output=pwn"),
    ],
)
def test_an_unknown_option_exits_with_two_and_writes_nothing(
    repo: Repo, toolkit: Toolkit, args: tuple[str, ...]
) -> None:
    """S3."""
    assert toolkit(repo.path, *args).code == 2
    assert not made(repo.path.parent, "pwn")


@pytest.mark.parametrize("ref", ["HEAD....HEAD", "HEAD..HEAD..HEAD", "HEAD.. HEAD", "..-x", "-x.."])
def test_a_range_that_is_none_exits_with_two(repo: Repo, toolkit: Toolkit, ref: str) -> None:
    assert toolkit(repo.path, "diff", "--", ref).code == 2


def test_a_branch_that_is_named_like_an_option_can_be_worked_on(
    repo: Repo, toolkit: Toolkit
) -> None:
    """S3: the name comes from .git/HEAD, not from a person."""
    repo.git("update-ref", "refs/heads/--output=pwn", "HEAD")
    repo.git("symbolic-ref", "HEAD", "refs/heads/--output=pwn")
    json = toolkit(repo.path, "diff", "--json").json
    assert json["head"]["branch"] == "--output=pwn"
    assert json["base"]["name"] == "main"
    assert toolkit(repo.path, "diff", "-v", "refs/heads/--output=pwn").code == 0
    assert not made(repo.path.parent, "pwn")


def test_an_upstream_that_is_named_like_an_option_can_be_compared_with(
    repo: Repo, toolkit: Toolkit
) -> None:
    repo.git("update-ref", "refs/heads/-x", "HEAD")
    repo.git("config", "branch.main.remote", ".")
    repo.git("config", "branch.main.merge", "refs/heads/-x")
    assert toolkit(repo.path, "diff", "--json").json["base"]["name"] == "-x"


def test_a_path_that_is_named_like_an_option_is_explained(repo: Repo, toolkit: Toolkit) -> None:
    repo.commit("odd", {"--output=pwn": "x"})
    assert (
        "--output=pwn: no rule matches" in toolkit(repo.path, "explain", "--", "--output=pwn").out
    )
    assert not made(repo.path.parent, "pwn")


@pytest.mark.parametrize("name", ["refs/heads/HEAD", "refs/tags/HEAD", "HEAD/x"])
def test_a_ref_named_head_takes_nobody_in(repo: Repo, toolkit: Toolkit, name: str) -> None:
    """Git calls HEAD ambiguous then; what is checked out is still what is meant."""
    first = repo.git("rev-parse", "HEAD")
    second = repo.commit("second", {"backend/src/app.py": "new\n"})
    repo.git("update-ref", name if name.startswith("refs/") else f"refs/heads/{name}", first)
    actual = toolkit(repo.path, "diff", "--json", "HEAD~1")
    assert actual.code == 0
    assert actual.json["head"]["commit"] == second
    assert actual.json["recommendation"] == "toolkit deploy-app app"


def test_a_replaced_commit_is_not_believed(repo: Repo, toolkit: Toolkit) -> None:
    """refs/replace can be pushed by anybody who can push; it would show other trees."""
    base = repo.git("rev-parse", "HEAD")
    new = repo.commit("second", {"backend/src/app.py": "new\n"})
    repo.git("replace", new, base)
    assert (
        toolkit(repo.path, "diff", "--json", f"{base}..{new}").json["recommendation"]
        == "toolkit deploy-app app"
    )


def test_a_graft_is_not_believed(repo: Repo, toolkit: Toolkit) -> None:
    """.git/info/grafts would make up another history, and with it another merge base."""
    base = repo.git("rev-parse", "HEAD")
    repo.commit("second", {"backend/src/app.py": "new\n"})
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit("third", {"lambda/login/handler.py": "new\n"})
    (repo.path / ".git/info").mkdir(exist_ok=True)
    (repo.path / ".git/info/grafts").write_text(f"{repo.git('rev-parse', 'HEAD')} {base}\n")
    assert repo.git("merge-base", "main", "feature") == base
    assert (
        toolkit(repo.path, "diff", "--json", "change").json["recommendation"]
        == "toolkit deploy-stack api"
    )
    assert toolkit(repo.path, "diff", "-v").code == 0


def test_a_symbolic_ref_out_of_the_repository_is_no_commit(
    repo: Repo, toolkit: Toolkit, tmp_path: Path
) -> None:
    """CVE-2023-41040: a ref whose content names a file elsewhere."""
    (tmp_path / "secret").write_text("hunter2\n")
    (repo.path / ".git/refs/heads/out").write_text(f"ref: ../../../../{tmp_path}/secret\n")
    actual = toolkit(repo.path, "diff", "out")
    assert actual.code == 2
    assert "hunter2" not in actual.err
