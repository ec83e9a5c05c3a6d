"""A checkout that lacks something of its commit: git calls it clean, and the image would not hold
it.

What is asserted is what the person is told, and which files the image really has.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.names.shop import PROD, Shop
from tests.support.repo import Repo

pytestmark = pytest.mark.slow("git", keep=16, of="file")

ALLOW = ("-c", "protocol.file.allow=always")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 12\n"


def added(repo: Repo, folder: Path, path: str, files: dict[str, str | bytes]) -> Repo:
    """A repository of its own, as a submodule of another one."""
    inner = Repo.make(folder, files, rules=None)
    repo.git(*ALLOW, "submodule", "add", "-q", f"file://{folder}", path)
    repo.commit("with a submodule")
    return inner


def updated(repo: Repo, *options: str) -> None:
    """What the hint says, with files allowed as origins."""
    repo.git(*ALLOW, "submodule", "update", "-q", "--init", *options)


def incomplete(shop: Shop, repo: Repo) -> bool:
    """Whether the running image says that it is not the whole commit."""
    return re.fullmatch(rf"{repo.head}-incomplete-[0-9a-f]{{12}}", shop.tag) is not None


def test_a_submodule_that_is_not_checked_out_is_told_named_and_due_once_it_is_there(
    shop: Shop,
) -> None:
    added(shop.repo, shop.folder / "lib", "backend/lib", {"lib.py": "lib\n"})
    clone = shop.repo.clone(shop.folder / "clone")
    dry = shop("deploy", "web", "--dry-run", repo=clone)
    assert "warning: submodule 'backend/lib' is not checked out" in dry.out
    assert "fix: git submodule update --init --recursive" in " ".join(dry.out.split())
    files = shop.deploy(repo=clone)
    assert ("lib/lib.py" in files, incomplete(shop, clone)) == (False, True)
    assert shop.state(repo=clone) == "clean"  # it is as it was deployed
    updated(clone)
    assert shop.state(repo=clone) == "due"
    done = shop("deploy", "--yes", repo=clone)
    assert done.code == 0
    assert (shop.live()["lib/lib.py"], shop.tag) == ("lib\n", clone.head)
    assert shop.state(repo=clone) == "clean"


def test_what_is_not_the_whole_commit_is_refused_in_a_protected_environment(shop: Shop) -> None:
    added(shop.repo, shop.folder / "lib", "backend/lib", {"lib.py": "lib\n"})
    clone = shop.repo.clone(shop.folder / "clone")
    assert shop.refused(*PROD, repo=clone) == (
        "submodule 'backend/lib' is not checked out, and environment prod is protected",
        "git submodule update --init --recursive",
    )
    updated(clone)
    assert "lib/lib.py" in shop.deploy(*PROD, repo=clone)


def test_a_submodule_in_a_submodule_that_is_not_checked_out_counts(shop: Shop) -> None:
    inner = Repo.make(shop.folder / "inner", {"inner.py": "inner\n"}, rules=None)
    lib = Repo.make(shop.folder / "lib", {"lib.py": "lib\n"}, rules=None)
    lib.git(*ALLOW, "submodule", "add", "-q", f"file://{inner.path}", "inner")
    lib.commit("nested")
    shop.repo.git(*ALLOW, "submodule", "add", "-q", f"file://{lib.path}", "backend/lib")
    shop.repo.commit("with a submodule")
    clone = shop.repo.clone(shop.folder / "clone")
    updated(clone)
    assert shop.refused(*PROD, repo=clone)[0].startswith("submodule 'backend/lib/inner' is not")
    assert "lib/inner/inner.py" not in shop.deploy(repo=clone)
    assert incomplete(shop, clone)
    updated(clone, "--recursive")
    assert shop.deploy(repo=clone)["lib/inner/inner.py"] == "inner\n"
    assert shop.tag == clone.head


def test_a_submodule_at_another_commit_is_no_commit(shop: Shop) -> None:
    inner = added(shop.repo, shop.folder / "lib", "backend/lib", {"lib.py": "lib\n"})
    clone = shop.repo.clone(shop.folder / "clone")
    updated(clone)
    inner.commit("newer", {"lib.py": "newer\n"})
    lib = Repo(clone.path / "backend/lib")
    lib.git(*ALLOW, "fetch", "-q", "origin", "main")
    lib.git("checkout", "-q", "FETCH_HEAD")
    assert shop.refused(*PROD, repo=clone)[0].startswith("the files are not as committed")
    assert shop.deploy(repo=clone)["lib/lib.py"] == "newer\n"
    assert shop.tag.startswith(f"{clone.head}-dirty-")


def test_a_submodule_whose_repository_is_gone_is_not_taken_for_complete(shop: Shop) -> None:
    added(shop.repo, shop.folder / "lib", "backend/lib", {"lib.py": "lib\n"})
    clone = shop.repo.clone(shop.folder / "clone")
    (clone.path / "backend/lib/.git").write_text("gitdir: /nowhere/at/all\n")
    (clone.path / "backend/lib/lib.py").write_text("who knows\n")
    assert "backend/lib' is not checked out" in shop.refused(*PROD, repo=clone)[0]
    assert shop.state("web", "HEAD", repo=clone) == "due"


def test_a_submodule_that_no_target_takes_stops_nothing(shop: Shop) -> None:
    added(shop.repo, shop.folder / "theme", "docs/theme", {"theme.css": "x\n"})
    clone = shop.repo.clone(shop.folder / "clone")
    shop.deploy(*PROD, repo=clone)
    assert shop.tag == clone.head


def test_a_submodule_that_dockerignore_keeps_out_and_no_rule_owns_stops_nothing(shop: Shop) -> None:
    rules = (shop.repo.path / "rules.toml").read_text().replace('"backend/**"', '"backend/*"')
    ignore = "Dockerfile\nvendor\n"
    shop.repo.commit("narrow", {"rules.toml": rules.replace('"lib/**"', '"backend/vendor"')})
    shop.repo.commit("ignore", {"backend/.dockerignore": ignore})
    added(shop.repo, shop.folder / "lib", "backend/vendor", {"lib.py": "lib\n"})
    clone = shop.repo.clone(shop.folder / "clone")
    text = (clone.path / "rules.toml").read_text()
    clone.commit("rules", {"rules.toml": text.replace('"backend/*"', '"backend/main.py"')})
    shop.deploy(*PROD, repo=clone)
    assert shop.tag == clone.head


def test_a_submodule_above_the_build_context_counts(shop: Shop) -> None:
    files = {"backend/Dockerfile": "FROM scratch\nCOPY . /srv/\n"}
    rules = (shop.repo.path / "rules.toml").read_text()
    rules = rules.replace('context = "backend"', 'context = "lib/backend"')
    shop.repo.commit("rules", {"rules.toml": rules})
    added(shop.repo, shop.folder / "lib", "lib", dict(files))
    clone = shop.repo.clone(shop.folder / "clone")
    assert shop.refused(*PROD, repo=clone)[0].startswith("submodule 'lib' is not checked out")


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize("cone", [True, False])
def test_what_a_sparse_checkout_leaves_out_is_told_named_and_due_once_it_is_there(
    shop: Shop, cone: bool
) -> None:
    shop.repo.commit("assets", {"backend/assets/a.txt": "asset\n", "docs/page": "x\n"})
    patterns = ("--cone", "infra") if cone else ("--no-cone", "/*", "!backend/assets/")
    shop.repo.git("sparse-checkout", "set", *patterns)
    if cone:  # the files right above what is asked for are always there
        shop.repo.git("sparse-checkout", "set", "--no-cone", "/*", "!/backend/assets")
        shop.repo.git("sparse-checkout", "set", "--cone", "backend/none", "infra")
    error, fix = shop.refused(*PROD)
    assert error.startswith("'backend/assets/a.txt' is left out by a sparse checkout")
    assert "assets/a.txt" not in shop.deploy()
    assert incomplete(shop, shop.repo)
    shop.repo.git(*fix.removeprefix("git ").split())
    assert shop.state() == "due"
    assert shop.deploy()["assets/a.txt"] == "asset\n"
    assert shop.tag == shop.repo.head


def test_a_sparse_index_leaves_out_whole_folders(shop: Shop) -> None:
    shop.repo.commit("assets", {"backend/assets/deep/a.txt": "asset\n"})
    shop.repo.git("sparse-checkout", "set", "--cone", "--sparse-index", "infra", "backend/none")
    assert "backend/assets/deep/a.txt" in shop.refused(*PROD)[0]


def test_what_a_sparse_checkout_leaves_out_elsewhere_stops_nothing(shop: Shop) -> None:
    shop.repo.commit("docs", {"docs/page.txt": "x\n"})
    shop.repo.git("sparse-checkout", "set", "--no-cone", "/*", "!docs/")
    shop.deploy(*PROD)
    assert shop.tag == shop.repo.head


def test_two_checkouts_that_lack_different_files_have_different_names(shop: Shop) -> None:
    shop.repo.commit("assets", {"backend/a/a.txt": "a\n", "backend/b/b.txt": "b\n"})
    shop.repo.git("sparse-checkout", "set", "--no-cone", "/*", "!backend/a/")
    first = shop.deploy(), shop.tag
    shop.repo.git("sparse-checkout", "set", "--no-cone", "/*", "!backend/b/")
    second = shop.deploy(), shop.tag
    assert ("a/a.txt" in first[0], "a/a.txt" in second[0]) == (False, True)
    assert first[1] != second[1]


def test_a_pointer_of_git_lfs_instead_of_the_file_is_refused_or_named(shop: Shop) -> None:
    attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
    shop.repo.commit("lfs", {".gitattributes": attributes, "backend/model.bin": POINTER})
    assert shop.refused(*PROD) == (
        (
            "'backend/model.bin' is a Git LFS pointer, not the file itself, and environment prod is"
            " protected"
        ),
        "git lfs pull",
    )
    assert shop.deploy()["model.bin"] == POINTER
    assert incomplete(shop, shop.repo)


def test_a_file_of_git_lfs_that_was_fetched_is_the_commit(shop: Shop) -> None:
    """The filter is the person's own, as `git lfs install` sets it up; this one makes the same
    pointer of anything.
    """
    shop.repo.commit("lfs", {".gitattributes": "*.bin filter=lfs\n", "backend/model.bin": POINTER})
    pointer = shop.folder / "pointer"
    pointer.write_text(POINTER)
    clean = f"cat >/dev/null; cat {pointer}"
    subprocess.run(["git", "config", "--global", "filter.lfs.clean", clean], check=True)
    shop.repo.write({"backend/model.bin": b"\0the real model"})
    shop.repo.git("-c", f"filter.lfs.clean={clean}", "add", "backend/model.bin")
    assert shop.deploy(*PROD)["model.bin"] == "\0the real model"
    assert shop.tag == shop.repo.head


def test_a_file_that_lfs_leaves_alone_is_the_commit(shop: Shop) -> None:
    """It was committed before .gitattributes named it, or is empty."""
    files = {".gitattributes": "*.bin filter=lfs\n", "backend/a.bin": "real\n", "backend/b.bin": ""}
    shop.repo.commit("lfs", dict(files))
    shop.deploy(*PROD)
    assert shop.tag == shop.repo.head


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize("content", ["U2FsdGVkX1secret\n", b"\0GITCRYPT\0\x01\x02"])
def test_a_filter_that_was_not_applied_is_refused_or_named(
    shop: Shop, content: str | bytes
) -> None:
    shop.repo.commit("crypt", {".gitattributes": "*.key filter=crypt\n", "backend/a.key": content})
    error, fix = shop.refused(*PROD)
    assert error.startswith("filter 'crypt' was not applied to 'backend/a.key'")
    assert "set up filter 'crypt'" in fix
    shop.deploy()
    assert incomplete(shop, shop.repo)


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize("setting", ["clean", "smudge"])
def test_a_filter_that_changes_nothing_on_disk_stops_nothing(shop: Shop, setting: str) -> None:
    shop.repo.commit("strip", {".gitattributes": "*.nb filter=strip\n", "backend/a.nb": "x\n"})
    shop.repo.git("config", f"filter.strip.{setting}", "cat")
    shop.deploy(*PROD)
    assert shop.tag == shop.repo.head


def test_line_ends_and_keywords_that_git_puts_in_itself_stop_nothing(shop: Shop) -> None:
    attributes = "*.txt text eol=crlf\n*.id ident\n*.out export-ignore\n"
    files = {"backend/a.txt": "a\r\n", "backend/k.id": "$Id$\n", "backend/x.out": "x\n"}
    shop.repo.commit("attributes", {".gitattributes": attributes, **files})
    for name in ("backend/a.txt", "backend/k.id"):
        (shop.repo.path / name).unlink()
    shop.repo.git("checkout", "--", "backend")
    actual = shop.deploy(*PROD)
    assert (actual["a.txt"], actual["x.out"], shop.tag) == ("a\r\n", "x\n", shop.repo.head)
    assert actual["k.id"].startswith("$Id: ")


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize("how", ["--assume-unchanged", "--skip-worktree"])
def test_an_edit_that_the_index_hides_is_due_named_and_refused(shop: Shop, how: str) -> None:
    shop.deploy()
    shop.repo.git("update-index", how, "backend/main.py")
    assert shop.state() == "clean"
    shop.repo.write({"backend/main.py": "edited\n"})
    assert shop.state() == "due"
    error, fix = shop.refused(*PROD)
    assert error.startswith(f"'backend/main.py' was changed, and {how[2:]} hides")
    assert shop.deploy()["main.py"] == "edited\n"
    assert incomplete(shop, shop.repo)
    shop.repo.git(*fix.removeprefix("git ").split())
    assert shop.refused(*PROD)[0].startswith("the files are not as committed")


def test_a_file_that_is_gone_and_assumed_unchanged_is_due(shop: Shop) -> None:
    shop.repo.git("update-index", "--assume-unchanged", "backend/main.py")
    (shop.repo.path / "backend/main.py").unlink()
    assert shop.state("web", "HEAD") == "due"
    assert "main.py" not in shop.deploy()
    assert incomplete(shop, shop.repo)


def test_a_link_that_was_checked_out_as_a_text_file_is_refused(shop: Shop) -> None:
    (shop.repo.path / "backend/link").symlink_to("main.py")
    shop.repo.commit("link")
    shop.repo.git("config", "core.symlinks", "false")
    (shop.repo.path / "backend/link").unlink()
    shop.repo.git("checkout", "--", "backend/link")
    assert shop.repo.git("status", "--porcelain") == ""
    assert "is a text file instead of a symbolic link" in shop.refused(*PROD)[0]
    assert shop.deploy()["link"] == "main.py"
    assert incomplete(shop, shop.repo)


def test_a_program_that_is_not_executable_on_disk_is_refused(shop: Shop) -> None:
    shop.repo.write({"backend/run.sh": "#!/bin/sh\n"})
    (shop.repo.path / "backend/run.sh").chmod(0o755)
    shop.repo.commit("program")
    shop.repo.git("config", "core.fileMode", "false")
    (shop.repo.path / "backend/run.sh").chmod(0o644)
    assert shop.repo.git("status", "--porcelain") == ""
    error, fix = shop.refused(*PROD)
    assert error.startswith("'backend/run.sh' is not executable")
    subprocess.run(fix.split(), cwd=shop.repo.path, check=True)
    shop.deploy(*PROD)
    assert shop.tag == shop.repo.head


def test_a_worktree_of_its_own_lacks_the_submodules_that_the_first_one_has(shop: Shop) -> None:
    added(shop.repo, shop.folder / "lib", "backend/lib", {"lib.py": "lib\n"})
    shop.repo.git("worktree", "add", "-q", "-b", "other", str(shop.folder / "other"))
    second = Repo(shop.folder / "other")
    assert shop.refused(*PROD, repo=second)[0].startswith("submodule 'backend/lib' is not")
    assert "lib/lib.py" in shop.deploy(*PROD)


def test_a_partial_clone_that_has_all_files_on_disk_is_the_commit(shop: Shop) -> None:
    shop.repo.git("config", "uploadpack.allowFilter", "true")
    shop.repo.commit("two", {"backend/main.py": "two\n"})
    clone = shop.repo.clone(shop.folder / "clone", "--filter=blob:none")
    assert shop.deploy(*PROD, repo=clone)["main.py"] == "two\n"
    assert shop.tag == clone.head


def test_a_stack_whose_template_is_left_out_is_refused_in_a_protected_environment(
    shop: Shop,
) -> None:
    shop.repo.git("sparse-checkout", "set", "--no-cone", "/*", "!infra/")
    done = shop("deploy", "jobs", "--yes", *PROD)
    assert (done.code, "'infra/jobs.json' is left out" in done.err) == (2, True)


def test_uncommitted_files_of_a_stack_are_refused_in_a_protected_environment(shop: Shop) -> None:
    shop.repo.write({"infra/jobs.json": '{"Resources": {}}'})
    done = shop("deploy", "jobs", "--yes", *PROD)
    assert (done.code, "the files are not as committed" in done.err) == (2, True)


def test_a_hostile_name_reaches_no_terminal(shop: Shop) -> None:
    name = "backend/\x1b]0;owned\x07.txt"
    shop.repo.commit("hostile", {name: "x\n"})
    shop.repo.git("sparse-checkout", "set", "--no-cone", "/*", "!backend/*.txt")
    done = shop("deploy", "web", "--yes", *PROD)
    assert done.code == 2
    dry, doctor = shop("deploy", "web", "--dry-run"), shop("doctor")
    for text in (done.err, dry.out, dry.err, doctor.out):
        assert "owned" in text or text == ""
        assert not set(text) & {"\x1b", "\x07"}


def test_doctor_says_what_of_the_commit_is_not_on_disk(shop: Shop) -> None:
    added(shop.repo, shop.folder / "lib", "backend/lib", {"lib.py": "lib\n"})
    clone = shop.repo.clone(shop.folder / "clone")
    doctor = shop("doctor", repo=clone)
    assert doctor.code == 1
    assert (
        "web: submodule 'backend/lib' is not checked out; fix: git submodule update --init"
        " --recursive" in " ".join(doctor.out.split())
    )
    updated(clone)
    assert shop("doctor", repo=clone).code == 0


CDK = 'kind = "stack"\nstack = "Jobs"\ncdk = "infra"'
SITE = 'kind = "site"\nsource = "dist"\nbucket = "jobs"\nbuild = { command = ["make"] }'
COMMAND = 'kind = "command"\ndeploy = ["true"]'


@pytest.mark.parametrize("program", [CDK, SITE, COMMAND])
def test_a_cdk_app_a_build_or_a_program_in_the_root_may_read_what_no_rule_owns(
    program: str, shop: Shop
) -> None:
    """A program may read any file; what a rule gives to others is theirs."""
    rules = (shop.repo.path / "rules.toml").read_text()
    template = 'kind = "stack"\nstack = "Jobs"\ntemplate = "infra/jobs.json"'
    rules = rules.replace(template, program)
    shop.repo.commit("program", {"rules.toml": rules, "shared/x": "x\n", "docs/y": "y\n"})
    shop.repo.git("sparse-checkout", "set", "--no-cone", "/*", "!docs/")
    done = shop("deploy", "jobs", "--yes", *PROD)
    assert "left out by a sparse checkout" not in done.err
    shop.repo.git("sparse-checkout", "set", "--no-cone", "/*", "!shared/")
    done = shop("deploy", "jobs", "--yes", *PROD)
    assert "'shared/x' is left out by a sparse checkout" in done.err
