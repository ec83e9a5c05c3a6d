"""`toolkit rules observe`: what is said, written and checked."""

import json
import re
import shutil
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.repo import Repo
from tests.support.run import Result, process

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")

RULES = """\
version = 1
ignore = ["**/*.md"]

[targets.site]
kind = "manual"
instructions = "copy it"

[targets.other]
kind = "manual"
instructions = "copy it"

# what the pages are made of
[[rules]]
name = "Pages"
paths = [
  "web/*.html",  # the pages
  "build.sh"
]
deploy = ["site"]

[[rules]]
name = "Other"
paths = ["lib/**"]
deploy = ["other"]
"""
BUILD = ("sh", "build.sh")
FILES = {
    "build.sh": (
        "cat web/*.html lib/footer.txt README.md .env >out/all; ls topics; cat no.txt\nexit 0\n"
    ),
    "web/a.html": "a\n",
    "web/b.html": "b\n",
    "lib/footer.txt": "footer\n",
    "topics/new.topic": "",
    "uv.lock": "1\n",
    "README.md": "read me\n",
    ".gitignore": "out/\n.env\n",
}


@pytest.fixture
def site(tmp_path: Path) -> Repo:
    repo = Repo.make(tmp_path / "repo", FILES, RULES)
    (repo.path / ".env").write_text("SECRET=1\n")
    (repo.path / "out").mkdir()
    return repo


def observe(repo: Repo, *words: str) -> Result:
    result = process(repo.path, "rules", "observe", *words)
    err = re.sub(r"\d+ files outside", "N files outside", result.err)
    return Result(result.code, result.out, err)


def findings(repo: Repo) -> list[str]:
    result = process(repo.path, "rules", "check", "--json").json["findings"]
    return [f"{each['code']}: {each['message']}" for each in result]


def test_what_no_rule_of_the_target_matches_is_told_with_its_line(
    site: Repo, snapshot: SnapshotAssertion
) -> None:
    result = observe(site, "--target", "site", "--", *BUILD)
    assert (result.code, result.out) == (0, "new.topic\n")
    assert result.err == snapshot


def test_without_a_target_it_tells_whose_rules_match(
    site: Repo, snapshot: SnapshotAssertion
) -> None:
    assert observe(site, "--", *BUILD).err == snapshot


def test_a_document_is_all_that_is_on_standard_output(site: Repo) -> None:
    result = observe(site, "--json", "--target", "site", "--", *BUILD)
    document = result.json
    assert "new.topic" in result.err
    assert document["observed"]["source"] == [
        *("README.md", "build.sh", "lib/footer.txt", "web/a.html", "web/b.html")
    ]
    assert document["observed"]["ignored"] == [".env"]
    missed = {each["path"]: each["use"] for each in document["targets"][0]["missed"]}
    assert (
        missed.items()
        >= {
            "README.md": "read",
            "lib/footer.txt": "read",
            "no.txt": "missing",
            "topics": "listed",
        }.items()
    )


def test_write_adds_patterns_keeps_all_else_and_records_what_was_proven(site: Repo) -> None:
    result = observe(site, "--target", "site", "--write", "--", *BUILD)
    assert result.code == 0
    added = '  "build.sh",\n  "lib/footer.txt",\n  "no.txt",\n  "topics/**",\n]'
    assert (site.path / "rules.toml").read_text() == RULES.replace('  "build.sh"\n]', added)
    recorded = json.loads((site.path / "rules.observed.json").read_text())["observed"]["site"]
    assert recorded["command"] == ["sh", "build.sh"]
    assert "lib/footer.txt" in recorded["read"]
    # what `ignore` covers is left, since no rule can help
    assert "site: 1 input that would not deploy it" in result.err
    again = observe(site, "--target", "site", "--write", "--", *BUILD)
    assert "patterns added" not in again.err


def test_what_is_recorded_holds_until_rules_or_lock_files_change(site: Repo) -> None:
    (site.path / "build.sh").write_text("cat uv.lock lib/footer.txt\n")
    assert observe(site, "--target", "site", "--write", "--", *BUILD).code == 0
    assert observe(site, "--check").code == 0
    assert observe(site, "--check", "--target", "site", "--", *BUILD).code == 0
    assert not [each for each in findings(site) if "evidence" in each or "missed" in each]
    another = observe(site, "--check", "--target", "site", "--", "sh", "-e", "build.sh")
    assert another.code == 1
    assert "rules.observed.json: site: it was recorded for another command" in another.err
    rules = (site.path / "rules.toml").read_text()
    (site.path / "rules.toml").write_text(rules.replace('"lib/footer.txt",', ""))
    checked = observe(site, "--check")
    assert checked.code == 1
    assert "lib/footer.txt (read): rules.toml:25: it only belongs to rule Other" in checked.out
    assert any(each.startswith("missed-input: site") for each in findings(site))
    (site.path / "rules.toml").write_text(rules)
    (site.path / "uv.lock").write_text("2\n")
    expired = observe(site, "--check")
    assert (expired.code, "uv.lock has changed since" in expired.out) == (1, True)
    assert any("expired-evidence" in each for each in findings(site))


def test_check_fails_a_build_that_reads_what_no_rule_matches(site: Repo) -> None:
    result = observe(site, "--check", "--target", "site", "--", *BUILD)
    assert result.code == 1
    assert "rules.observed.json: site: nothing is recorded" in result.err
    assert observe(site, "--check", "--target", "site", "--", "sh", "-c", "exit 9").code == 9


def test_a_command_that_fails_proves_nothing(site: Repo) -> None:
    result = observe(site, "--target", "site", "--write", "--", "sh", "-c", "cat lib/*; exit 3")
    assert result.code == 3
    assert "the command failed, so nothing was written" in result.err
    assert site.git("status", "--porcelain") == ""


def test_rules_that_cannot_be_changed_safely_are_not(site: Repo) -> None:
    inline = 'version = 1\nrules = [{ name = "A", paths = ["x"], deploy = ["t"] }]\n'
    rules = f'{inline}[targets.t]\nkind = "manual"\ninstructions = "x"\n'
    site.commit("inline", {"rules.toml": rules})
    result = observe(site, "--target", "t", "--write", "--", "cat", "lib/footer.txt")
    assert "could not be changed safely" in result.err
    assert '"lib/footer.txt",' in result.err
    assert (site.path / "rules.toml").read_text() == rules


def test_a_target_without_a_rule_gets_one(site: Repo) -> None:
    new = f'{RULES}\n[targets.new]\nkind = "manual"\ninstructions = "x"'
    site.commit("new", {"rules.toml": new})
    assert observe(site, "--target", "new", "--write", "--", "cat", "web/a.html").code == 0
    added = (site.path / "rules.toml").read_text().removeprefix(new)
    rule = '[[rules]]\nname = "new: observed"\npaths = [\n  "web/a.html",\n]\ndeploy = ["new"]\n'
    assert added == f"\n\n{rule}"
    assert observe(site, "--check").code == 0


def test_the_record_itself_needs_no_rule_and_deploys_nothing(site: Repo) -> None:
    (site.path / "build.sh").write_text("cat web/a.html\n")
    base = site.commit("build")
    assert observe(site, "--target", "site", "--write", "--", *BUILD).code == 0
    site.commit("observed")
    diff = process(site.path, "diff", "--json", base).json
    assert (diff["plan"]["steps"], diff["unmatched"]) == ([], [])
    replayed = process(site.path, "rules", "replay", "--json", "-n", "1")
    assert replayed.json["unmatched"] == 0


def test_strict_also_counts_new_files_of_any_type(site: Repo) -> None:
    words = ("--target", "site", "--json", "--", "sh", "-c", "cat web/*.html")
    (target,) = observe(site, *words).json["targets"]
    assert {each["path"] for each in target["missed"] if each["doubt"]} == {"web"}
    strict = observe(site, "--strict", *words).json["targets"][0]
    assert not any(each["doubt"] for each in strict["missed"])
    assert strict["patterns"][0]["patterns"] == ["web/**"]


def test_a_cache_that_was_there_is_said(site: Repo) -> None:
    site.write({"out/x.tsbuildinfo": "1\n"})
    result = observe(site, "--target", "site", "--", "cat", "out/x.tsbuildinfo")
    assert "not seen: what is behind caches that were there before" in " ".join(result.err.split())
    assert "all that was seen, which is not everything" in result.err
    assert "hint: delete out/x.tsbuildinfo and observe it again" in result.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "no command"),
        (("--write", "--", "true"), "--write needs --target"),
        (("--check", "--", "true"), "--check of a command needs --target"),
        (("--write", "--check", "--target", "site", "--", "true"), "cannot be combined"),
        (("--target", "sight", "--", "true"), "unknown target 'sight'"),
        (("--check",), "nothing is recorded"),
        (("--check", "--target", "other"), "other: nothing is recorded"),
    ],
)
def test_what_does_not_go_together_is_refused(
    site: Repo, words: tuple[str, ...], problem: str
) -> None:
    result = observe(site, *words)
    assert result.code in (1, 2)
    assert problem in result.out + result.err


def test_a_record_that_cannot_be_read_is_an_error(site: Repo) -> None:
    site.write({"rules.observed.json": "{"})
    assert observe(site, "--check").code == 2
    (site.path / "rules.observed.json").unlink()
    (site.path / "rules.observed.json").symlink_to("/etc/passwd")
    result = observe(site, "--check")
    assert result.code == 2
    assert "root:" not in result.err


def test_links_between_packages_lead_to_the_sources_of_the_repository(site: Repo) -> None:
    site.write({"packages/lib/a.txt": "a\n", ".gitignore": "node_modules/\n"})
    (site.path / "node_modules" / "@x").mkdir(parents=True)
    (site.path / "node_modules" / "@x" / "lib").symlink_to("../../packages/lib")
    (site.path / "current").symlink_to("packages/lib")
    site.commit("packages")
    result = observe(
        site, "--json", "--", "cat", "node_modules/@x/lib/a.txt", "current/a.txt"
    ).json["observed"]
    assert result["source"] == ["current", "packages/lib/a.txt"]
    assert result["dependency"] == []


def test_it_may_be_started_in_a_folder_and_through_a_link(site: Repo, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(site.path)
    words = ("rules", "observe", "--json", "--", "sh", "-c", "cat ../web/a.html; cat $PWD/no.txt")
    result = process(tmp_path / "link" / "lib", *words, PWD=str(tmp_path / "link" / "lib")).json
    assert result["observed"]["folder"] == "lib"
    assert result["observed"]["source"] == ["web/a.html"]
    assert result["observed"]["missing"] == ["lib/no.txt"]


def test_a_submodule_counts_as_itself(site: Repo, tmp_path: Path) -> None:
    inner = Repo.make(tmp_path / "inner", {"x.txt": "x\n"}, None)
    site.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.path), "sub")
    site.commit("sub")
    result = observe(site, "--json", "--", "cat", "sub/x.txt").json["observed"]
    assert result["source"] == ["sub"]
