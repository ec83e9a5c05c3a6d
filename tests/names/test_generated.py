"""Files that git ignores and a build takes: no commit says what is in them, but the image has
them.
"""

import re
from pathlib import Path

import pytest

from tests.names.shop import PROD, Shop
from tests.support.repo import Repo
from toolkit.changes import names as naming
from toolkit.changes.names import generated_in, is_commit

pytestmark = pytest.mark.slow("git", keep=20, of="file")

CONFIG = "backend/config.json"


def ignoring(shop: Shop, *patterns: str) -> None:
    """Git ignores these."""
    shop.repo.commit("ignore", {".gitignore": "".join(f"{pattern}\n" for pattern in patterns)})


def generated(shop: Shop, repo: Repo | None = None) -> bool:
    """Whether the running image's tag is the commit and a digest of generated files."""
    head = (repo or shop.repo).head
    return re.fullmatch(rf"{head}-generated-[0-9a-f]{{12}}", shop.tag) is not None


def unchanged(shop: Shop, *args: str) -> bool:
    """Whether a deploy finds nothing to do."""
    return "Nothing to deploy." in shop("deploy", "--yes", *args).out


def stack_too(shop: Shop) -> None:
    """Nothing but the app counts in these tests."""
    text = (shop.repo.path / "rules.toml").read_text()
    text = re.sub(r"\[targets\.jobs\].*?\n\n", "", text, flags=re.DOTALL)
    text = text.replace('deploy = ["jobs"]', 'run = ["smoke-test"]')
    shop.repo.commit("only the app", {"rules.toml": text})


@pytest.fixture
def alone(shop: Shop) -> Shop:
    """A shop with the app alone."""
    stack_too(shop)
    return shop


def test_a_change_of_an_ignored_file_that_the_image_has_is_deployed(alone: Shop) -> None:
    ignoring(alone, "config.json")
    alone.repo.write({CONFIG: "one\n"})
    assert alone.deploy()["config.json"] == "one\n"
    assert (generated(alone), unchanged(alone)) == (True, True)
    alone.repo.write({CONFIG: "two\n"})
    done = alone("deploy", "--yes")
    assert "files that git ignores differ from those of the last deploy" in done.err
    assert "'backend/config.json'" in done.err
    assert alone.live()["config.json"] == "two\n"
    assert (generated(alone), unchanged(alone)) == (True, True)


def test_a_named_deploy_builds_again_what_an_ignored_file_changed(alone: Shop) -> None:
    ignoring(alone, "config.json")
    alone.repo.write({CONFIG: "one\n"})
    alone.deploy()
    first = alone.tag
    alone.repo.write({CONFIG: "two\n"})
    assert alone.deploy()["config.json"] == "two\n"
    assert alone.tag != first
    alone.repo.write({CONFIG: "one\n"})
    assert (alone.deploy()["config.json"], alone.tag) == ("one\n", first)


def test_an_ignored_file_makes_no_version_dirty(alone: Shop) -> None:
    ignoring(alone, "config.json")
    alone.repo.write({CONFIG: "one\n"})
    assert alone.deploy(*PROD)["config.json"] == "one\n"
    assert alone.documents("diff", "HEAD")["head"]["dirty"] is False


def test_the_content_fingerprint_is_the_same_with_and_without_ignored_files(alone: Shop) -> None:
    ignoring(alone, "config.json")
    alone.deploy()
    without = fingerprint(alone)
    alone.repo.write({CONFIG: "one\n"})
    alone.deploy()
    assert fingerprint(alone) == without


def fingerprint(shop: Shop) -> str:
    """What the running task definition says of its content."""
    service = shop.endpoint.ecs.find("web", "main")
    tags = shop.endpoint.ecs.definitions[service.definition].tags
    return next(tag["value"] for tag in tags if tag["key"] == "toolkit:fingerprint")


def test_diff_stays_offline_and_calls_the_commit_clean(alone: Shop) -> None:
    ignoring(alone, "config.json")
    alone.deploy()
    alone.repo.write({CONFIG: "one\n"})
    assert alone.state() == "clean"


def test_an_ignored_file_that_goes_away_is_deployed(alone: Shop) -> None:
    ignoring(alone, "config.json")
    alone.repo.write({CONFIG: "one\n"})
    alone.deploy()
    (alone.repo.path / CONFIG).unlink()
    assert unchanged(alone) is False
    assert "config.json" not in alone.live()
    assert alone.tag == alone.repo.head


def test_an_ignored_file_that_becomes_tracked_is_in_the_commit(alone: Shop) -> None:
    ignoring(alone, "config.json")
    alone.repo.write({CONFIG: "one\n"})
    alone.deploy()
    alone.repo.git("add", "-f", CONFIG)
    alone.repo.commit("tracked now")
    assert alone.state() == "due"
    assert alone.deploy()["config.json"] == "one\n"
    assert alone.tag == alone.repo.head


def test_an_ignored_file_that_may_be_executed_is_another_one(alone: Shop) -> None:
    ignoring(alone, "*.sh")
    alone.repo.write({"backend/run.sh": "x\n"})
    alone.deploy()
    (alone.repo.path / "backend/run.sh").chmod(0o755)
    assert not unchanged(alone)


def test_an_ignored_link_counts_by_where_it_leads(alone: Shop) -> None:
    ignoring(alone, "current")
    link = alone.repo.path / "backend/current"
    link.symlink_to("main.py")
    alone.deploy()
    link.unlink()
    link.symlink_to("other.py")
    assert not unchanged(alone)
    assert alone.live()["current"] == "other.py"


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM scratch\nCOPY main.py /srv/\n",
        "FROM scratch\nCOPY src/ *.txt /srv/\nCOPY main.py /srv/\n",
        "FROM scratch AS all\nCOPY . /srv/\nFROM scratch\nCOPY main.py /srv/\n",
        'FROM scratch\nARG WHAT=main\nCOPY ["${WHAT}.py", "/srv/"]\n',
    ],
)
def test_what_no_copy_takes_is_not_in_the_name(alone: Shop, dockerfile: str) -> None:
    ignoring(alone, "config.json")
    files = {"backend/Dockerfile": dockerfile, CONFIG: "one\n", "backend/src/a.txt": "a\n"}
    alone.repo.commit("copy", dict(files))
    alone.repo.write({CONFIG: "two\n"})
    assert "config.json" not in alone.deploy(*PROD)
    assert alone.tag == alone.repo.head


@pytest.mark.slow("sweeps", keep=2)
@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM scratch\nCOPY *.json /srv/\n",
        "FROM scratch\nADD . /srv/\n",
        "FROM scratch AS one\nCOPY . /srv/\nFROM one\n",
        "FROM scratch AS one\nCOPY . /srv/\nFROM scratch\nCOPY --from=one /srv /srv\n",
        "FROM scratch\nENV NAME=config\nCOPY ${NAME}.json /srv/\n",
        "FROM scratch\nCOPY linked /srv/\n",
    ],
)
def test_what_a_copy_takes_by_any_way_is_in_the_name(alone: Shop, dockerfile: str) -> None:
    ignoring(alone, "config.json")
    (alone.repo.path / "backend/linked").symlink_to("config.json")
    alone.repo.commit("copy", {"backend/Dockerfile": dockerfile})
    alone.repo.write({CONFIG: "one\n"})
    assert "one\n" in alone.deploy().values()
    assert generated(alone)


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize(
    ("ignore", "answer"),
    [
        ("*.json\n", False),
        ("*.json\n!config.json\n", True),
        ("**\n!main.py\n", False),
        ("**\n!main.py\n!conf*\n", True),
        ("", True),
    ],
)
def test_dockerignore_decides_what_counts(alone: Shop, ignore: str, answer: bool) -> None:
    ignoring(alone, "config.json")
    alone.repo.commit("ignore", {"backend/.dockerignore": ignore})
    alone.repo.write({CONFIG: "one\n"})
    assert ("config.json" in alone.deploy(), generated(alone)) == (answer, answer)


def test_a_dockerignore_of_the_dockerfiles_own_goes_before_the_contexts(alone: Shop) -> None:
    ignoring(alone, "config.json")
    files = {"backend/Dockerfile.dockerignore": "config.json\n", "backend/.dockerignore": ""}
    alone.repo.commit("ignore", dict(files))
    alone.repo.write({CONFIG: "one\n"})
    assert "config.json" not in alone.deploy()
    assert alone.tag == alone.repo.head


def test_what_is_ignored_by_git_in_other_places_counts_as_well(alone: Shop) -> None:
    """.git/info/exclude, a .gitignore further down, and the person's own list."""
    (alone.repo.path / ".git/info/exclude").write_text("a.gen\n")
    alone.repo.commit("ignore", {"backend/sub/.gitignore": "b.gen\n"})
    home = Path.home() / ".config" / "git"
    home.mkdir(parents=True)
    (home / "ignore").write_text("c.gen\n")
    alone.repo.write({"backend/a.gen": "a", "backend/sub/b.gen": "b", "backend/c.gen": "c"})
    actual = alone.deploy(*PROD)
    assert {"a.gen", "sub/b.gen", "c.gen"} <= actual.keys()
    alone.repo.write({"backend/sub/b.gen": "new"})
    assert not unchanged(alone, *PROD)


def test_what_a_submodule_ignores_counts_as_well(alone: Shop) -> None:
    lib = Repo.make(alone.folder / "lib", {".gitignore": "gen\n", "lib.py": "x\n"}, rules=None)
    allow = ("-c", "protocol.file.allow=always")
    alone.repo.git(*allow, "submodule", "add", "-q", f"file://{lib.path}", "backend/lib")
    alone.repo.commit("with a submodule")
    alone.repo.write({"backend/lib/gen": "one"})
    assert alone.deploy(*PROD)["lib/gen"] == "one"
    assert generated(alone)


def test_a_context_that_is_reached_by_a_link_counts_where_it_is(alone: Shop) -> None:
    ignoring(alone, "config.json")
    alone.repo.git("mv", "backend", "service")
    (alone.repo.path / "backend").symlink_to("service")
    alone.repo.commit("link")
    alone.repo.write({"service/config.json": "one\n"})
    assert alone.deploy()["config.json"] == "one\n"
    assert generated(alone)


def test_rules_check_and_doctor_list_what_git_ignores_and_a_build_takes(alone: Shop) -> None:
    ignoring(alone, "config.json", "*.pyc")
    alone.repo.write({CONFIG: "one\n", "backend/main.pyc": "x", "config.json": "elsewhere"})
    check, doctor = alone("rules", "check"), alone("doctor")
    assert (check.code, doctor.code) == (0, 0)
    for done in (check, doctor):
        assert "2 files that git ignores" in done.out
        assert "backend/config.json" in done.out
    findings = alone.documents("rules", "check")["findings"]
    [actual] = [finding for finding in findings if finding["code"] == "generated"]
    assert actual["hint"] == "keep them out with .dockerignore, or commit them"
    assert alone.documents("doctor")["generated"] == {
        "web": ["backend/config.json", "backend/main.pyc"]
    }


def test_a_record_of_the_version_before_is_compared_by_its_name(alone: Shop) -> None:
    """What was deployed as the plain commit had no such files, or nobody knew: it is built once."""
    ignoring(alone, "config.json")
    alone.deploy()
    alone.repo.write({CONFIG: "one\n"})
    assert not unchanged(alone)
    assert generated(alone)


def test_a_commit_with_generated_files_is_not_called_uncommitted(alone: Shop) -> None:
    ignoring(alone, "config.json")
    alone.repo.write({CONFIG: "one\n"})
    alone.deploy()
    alone.repo.commit("edit", {"backend/main.py": "edited\n"})
    [step] = alone.documents("diff")["plan"]["steps"]
    assert [words for words in step["because"] if "not as committed" in words] == []


COMMIT = "a" * 40


@pytest.mark.parametrize(
    ("name", "is_it", "digest"),
    [
        (COMMIT, True, ""),
        (f"{COMMIT}-generated-0123456789ab", True, "0123456789ab"),
        (f"{COMMIT}-dirty-0123456789ab", False, ""),
        (f"{COMMIT}-incomplete-0123456789ab", False, ""),
        (f"{COMMIT}-unmerged-0123456789ab", False, ""),
        (f"{COMMIT}-dirty-0123456789ab-generated-ba9876543210", False, "ba9876543210"),
        ("b" * 40, False, ""),
        ("v1.4", False, ""),
        ("", False, ""),
    ],
)
def test_what_a_name_says(name: str, is_it: bool, digest: str) -> None:
    assert (is_commit(name, COMMIT), generated_in(name)) == (is_it, digest)
    assert is_commit(name, None) is False


def test_a_name_is_a_tag_that_registries_take() -> None:
    longest = naming.name("f" * 64, naming.INCOMPLETE, "d" * 64, "e" * 64)
    assert re.fullmatch(r"\w[\w.-]{0,127}", longest)
