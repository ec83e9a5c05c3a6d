"""`diff` against what is recorded as deployed: each target against its own base, and never less
than that calls for.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.repo import RULES, Repo
from toolkit import flow
from toolkit.changes import detect
from toolkit.changes.fingerprint import PathOwners, versions
from toolkit.errors import HeadMoved
from toolkit.flow.compare import DiffRequest, FailedRun, Points, RecordedBase, diff
from toolkit.flow.recorded_bases import live_base
from toolkit.flow.rulebook import path_owners, rules_path, target_settings
from toolkit.model import DiffResult, Rules, Version
from toolkit.operations import LiveVersion
from toolkit.ports.git import Git
from toolkit.show.advice import sentence
from toolkit.show.diff import document, text

pytestmark = pytest.mark.slow("records", keep=28, of="file")


def compared(
    repo: Repo,
    points: Mapping[str, RecordedBase | tuple[RecordedBase, ...]],
    base: str | None = None,
    committed: bool = False,
) -> DiffResult:
    """The answer of `diff` where this is recorded."""
    table = {name: item if isinstance(item, tuple) else (item,) for name, item in points.items()}

    def records(how: str, rules: Rules, environment: str | None) -> Points:
        return table

    return diff(
        DiffRequest(str(repo.path), base=base, committed=committed),
        Git.open(str(repo.path)),
        records,
    )


def at(commit: str) -> RecordedBase:
    return RecordedBase(commit, "")


def due(answer: DiffResult) -> list[str]:
    return [step.target for step in answer.plan.steps]


def with_origin(repo: Repo) -> None:
    """What is committed now is the mainline, as a clone knows it."""
    repo.git("update-ref", "refs/remotes/origin/main", repo.head)
    repo.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")


def everywhere(commit: str) -> dict[str, RecordedBase]:
    return dict.fromkeys(("app", "api", "fargate"), at(commit))


def test_what_is_deployed_at_head_is_clean(repo: Repo) -> None:
    answer = compared(repo, everywhere(repo.head))
    assert (due(answer), set(answer.states.values()), answer.base.kind) == ([], {"clean"}, "last")


def test_each_target_is_compared_with_its_own_last_deploy(repo: Repo) -> None:
    first = repo.head
    repo.commit(files={"backend/src/app.py": "2\n", "lambda/login/handler.py": "2\n"})
    answer = compared(repo, {**everywhere(first), "app": at(repo.head)})
    assert (due(answer), answer.base.each["app"], answer.base.each["api"]) == (
        ["api"],
        (repo.head,),
        (first,),
    )


def test_an_uncommitted_file_counts_on_top_of_the_record(repo: Repo) -> None:
    repo.write({"backend/src/app.py": "new\n"})
    assert due(compared(repo, everywhere(repo.head))) == ["app"]
    assert due(compared(repo, everywhere(repo.head), committed=True)) == []


STORE = '\n[environments.prod]\nstore = "s3://records"\n'


@pytest.mark.parametrize("store", ["prod", "another"])
@pytest.mark.parametrize("base", [None, "live"])
@pytest.mark.parametrize("has_begun", [False, True])
def test_a_file_that_is_saved_while_the_cloud_is_asked_counts(
    repo: Repo, store: str, base: str | None, has_begun: bool
) -> None:
    """Of each environment's records, since one may have deployed the same thing."""
    rules = (repo.path / "rules.toml").read_text()
    environments = STORE.replace("prod", store)
    if store != "prod":
        environments += "[environments.prod]\n"
    repo.commit(files={"rules.toml": f'environment = "prod"\n{rules}{environments}'})

    def records(how: str, rules: Rules, environment: str | None) -> Points:
        time.sleep(0.5)  # git has long seen the old file
        repo.write({"backend/src/app.py": "new\n"})
        return {name: (point,) for name, point in everywhere(repo.head).items()}

    git = Git.open(str(repo.path))
    with detect.Look(git) as early:
        look = early if has_begun else None
        answer = diff(DiffRequest(str(repo.path), base=base), git, records, look)
    assert due(answer) == ["app"]


def test_what_is_committed_while_the_cloud_is_asked_is_an_error_and_no_clean_answer(
    repo: Repo,
) -> None:
    repo.write({"backend/src/app.py": "new\n"})

    def records(how: str, rules: Rules, environment: str | None) -> Points:
        recorded = {name: (point,) for name, point in everywhere(repo.head).items()}
        repo.commit(files={"backend/src/app.py": "new\n"})
        return recorded

    with pytest.raises(HeadMoved):
        diff(DiffRequest(str(repo.path), base="live"), Git.open(str(repo.path)), records)


def test_a_rollback_is_due_where_the_record_is_newer_than_head(repo: Repo) -> None:
    first = repo.head
    newer = repo.commit(files={"backend/src/app.py": "2\n"})
    repo.git("checkout", "-q", first)
    assert due(compared(repo, everywhere(newer))) == ["app"]


def test_a_group_is_written_out_where_only_a_part_of_it_is_behind(repo: Repo) -> None:
    first = repo.head
    second = repo.commit(files={"cdk/app.py": "2\n"})
    assert due(compared(repo, everywhere(first))) == ["infra"]
    assert due(compared(repo, {**everywhere(first), "api": at(second)})) == ["fargate"]


def test_a_commit_that_is_not_in_this_clone_makes_its_target_due_and_unknown(repo: Repo) -> None:
    answer = compared(repo, {**everywhere(repo.head), "api": at("1" * 40)})
    assert (due(answer), answer.states["api"], answer.states["infra"], answer.states["app"]) == (
        ["api"],
        "unknown",
        "unknown",
        "clean",
    )
    assert "not in this clone" in sentence(answer.plan.steps[0].because[0])


def test_what_cannot_be_compared_is_due_with_the_reason(repo: Repo) -> None:
    answer = compared(
        repo,
        {
            **everywhere(repo.head),
            "app": RecordedBase(None, "", unknown="what is live is not a commit"),
        },
    )
    assert due(answer) == ["app"]
    assert [sentence(reason) for reason in answer.plan.steps[0].because] == [
        "app: what is live is not a commit"
    ]


def test_one_region_that_is_behind_makes_a_target_due(repo: Repo) -> None:
    first = repo.head
    second = repo.commit(files={"backend/src/app.py": "2\n"})
    assert due(compared(repo, {**everywhere(second), "app": (at(second), at(first))})) == ["app"]


def test_files_as_they_were_deployed_uncommitted_are_clean(repo: Repo) -> None:
    repo.write({"backend/src/app.py": "dirty\n"})
    content = fingerprint(repo, "app")
    dirty = RecordedBase(repo.head, content, dirty=True, settings=version(repo, "app").settings)
    assert due(compared(repo, {**everywhere(repo.head), "app": dirty})) == []
    repo.write({"backend/src/app.py": "dirtier\n"})
    assert due(compared(repo, {**everywhere(repo.head), "app": dirty})) == ["app"]


def edited(repo: Repo) -> None:
    repo.write({"backend/src/app.py": "2\n"})


def added(repo: Repo) -> None:
    repo.write(
        {"backend/src/a.py": "1\n", "backend/src/app/é.py": "1\n", "backend/src/app-b.py": "1\n"}
    )


def removed(repo: Repo) -> None:
    (repo.path / "backend/src/app.py").unlink()


def executable(repo: Repo) -> None:
    (repo.path / "backend/src/app.py").chmod(0o755)


def linked(repo: Repo) -> None:
    (repo.path / "backend/src/app.py").unlink()
    (repo.path / "backend/src/app.py").symlink_to("other.py")


def a_folder_in_its_place(repo: Repo) -> None:
    (repo.path / "backend/src/app.py").unlink()
    repo.write({"backend/src/app.py/b.py": "1\n"})


@pytest.mark.slow("sweeps", keep=2)
@pytest.mark.parametrize(
    "change", [edited, added, removed, executable, linked, a_folder_in_its_place]
)
def test_what_was_deployed_uncommitted_is_clean_once_it_is_committed(
    repo: Repo, change: Callable[[Repo], None]
) -> None:
    change(repo)
    actual = version(repo, "app")
    dirty = RecordedBase(repo.head, actual.fingerprint, dirty=True, settings=actual.settings)
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "as it was deployed")
    assert (actual.dirty, version(repo, "app").dirty) == (True, False)
    assert due(compared(repo, {**everywhere(repo.head), "app": dirty})) == []
    repo.commit(files={"backend/src/more.py": "1\n"})
    assert due(compared(repo, {**everywhere(repo.head), "app": dirty})) == ["app"]


def test_what_git_filters_when_it_is_committed_is_not_taken_for_what_was_deployed(
    repo: Repo,
) -> None:
    """The blob is not what was on disk: with no filter it would be another deploy."""
    repo.write({"backend/src/app.py": "1\r\n2\r\n", ".gitattributes": "*.py text\n"})
    actual = version(repo, "app")
    dirty = RecordedBase(repo.head, actual.fingerprint, dirty=True, settings=actual.settings)
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "without carriage returns")
    assert due(compared(repo, {**everywhere(repo.head), "app": dirty})) == ["app"]


def test_the_same_uncommitted_files_with_other_settings_are_due(repo: Repo) -> None:
    repo.write({"backend/src/app.py": "dirty\n"})
    dirty = RecordedBase(repo.head, fingerprint(repo, "app"), dirty=True)
    rules = (repo.path / "rules.toml").read_text()
    repo.write({"rules.toml": rules.replace('cluster = "c"', 'cluster = "d"')})
    assert due(compared(repo, {**everywhere(repo.head), "app": dirty})) == ["app"]


@pytest.mark.parametrize("ignore", ['ignore = ["**/*.md"]', 'ignore = ["**/*.md", "rules.toml"]'])
def test_an_uncommitted_rules_toml_is_part_of_every_version(repo: Repo, ignore: str) -> None:
    """It says how they are all deployed; what was deployed with it is not what its commit says,
    also once it is taken back.
    """
    rules = (repo.path / "rules.toml").read_text().replace('ignore = ["**/*.md"]', ignore)
    repo.commit(files={"rules.toml": rules})
    assert not version(repo, "app").dirty
    repo.write({"rules.toml": rules.replace('cluster = "c"', 'cluster = "d"')})
    assert version(repo, "app").dirty
    assert version(repo, "fargate").dirty


def test_uncommitted_files_that_were_deployed_and_then_taken_back_are_due(repo: Repo) -> None:
    """The files are as committed, and so is the record's commit: but that is not what runs."""
    dirty = RecordedBase(repo.head, "of other files", dirty=True)
    answer = compared(repo, {**everywhere(repo.head), "app": dirty})
    assert (due(answer), answer.states["app"]) == (["app"], "due")


def test_targets_without_a_record_are_unknown_and_due_and_the_changed_ones_come_first(
    repo: Repo,
) -> None:
    repo.git("branch", "-f", "main-copy")
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit(files={"lambda/login/handler.py": "2\n", "backend/src/app.py": "2\n"})
    answer = compared(repo, {"app": at(repo.head)})
    assert due(answer) == ["infra"]
    assert (answer.states["api"], answer.states["fargate"], answer.states["app"]) == (
        "unknown",
        "unknown",
        "clean",
    )
    assert answer.unrecorded == ("api", "fargate")
    assert answer.first is not None
    assert [step.target for step in answer.first.steps] == ["api"]


def test_the_files_since_a_recorded_deploy_are_counted_without_those_since_the_default_base(
    repo: Repo,
) -> None:
    mainline = repo.head
    with_origin(repo)
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit(files={"lambda/login/handler.py": "2\n", "docs/a.md": "2\n"})
    deployed = repo.head
    repo.commit(files={"backend/src/app.py": "2\n"})
    shown = text(compared(repo, {"app": at(deployed)}))
    assert "\n1 file changed on feature (1 committed).\n" in shown
    assert (
        f"\n3 files changed since origin/main ({mainline[:7]}), which counts for targets without a"
        "\n  record.\n"
    ) in shown


def test_what_only_a_person_deploys_is_not_offered_to_be_deployed(repo: Repo) -> None:
    rules = repo.path / "rules.toml"
    by_hand = '[targets.web]\nkind = "manual"\ninstructions = "upload it"\n'
    rules.write_text(f"{RULES}{by_hand}")
    repo.git("commit", "-qam", "a page")
    with_origin(repo)
    answer = compared(repo, {"app": at(repo.head), "api": at(repo.head)})
    shown = text(answer, verbose=True)
    assert "\nweb: by hand\n" in shown
    assert (
        "No deploy is recorded for fargate, web. To be sure, deploy what toolkit can, or\n"
        "  ask AWS what is live:\n  toolkit deploy-stack fargate\n  toolkit diff live\n"
        f"If you know that origin/main ({repo.head[:7]}) is live, record it:\n"
        f"  toolkit record set fargate web {repo.head[:12]}"
    ) in shown
    shown = text(compared(repo, everywhere(repo.head)))
    assert "toolkit deploy" not in shown
    assert "toolkit diff live" not in shown
    assert f"\n  toolkit record set web {repo.head[:12]}" in shown


def test_diff_live_does_not_offer_itself(repo: Repo) -> None:
    answer = compared(repo, {"app": at(repo.head), "api": at(repo.head)}, base="live")
    assert answer.unrecorded == ("fargate",)
    shown = text(answer)
    assert "toolkit deploy-stack fargate" in shown
    assert "diff live" not in shown


def test_old_rules_count_with_the_commit_that_they_were_in_force_at(repo: Repo) -> None:
    """The last deploy of `api` was under rules that gave it docs/: a change there is due though
    today's rules ignore it.
    """
    rules = (repo.path / "rules.toml").read_text()
    repo.commit(
        files={
            "rules.toml": rules.replace(
                'paths = ["lambda/**"]', 'paths = ["lambda/**", "shared/**"]'
            ),
            "shared/a": "1\n",
        }
    )
    first = repo.head
    repo.commit(files={"rules.toml": rules, "shared/a": "2\n"})
    assert due(compared(repo, everywhere(first))) == ["api"]


@pytest.mark.parametrize("base", [None, "last", "live"])
def test_without_any_record_everything_is_unknown_and_due(repo: Repo, base: str | None) -> None:
    answer = compared(repo, {}, base)
    assert (set(due(answer)), set(answer.states.values())) == ({"app", "infra"}, {"unknown"})


def test_a_head_without_common_history_is_compared_with_each_targets_own_record(repo: Repo) -> None:
    """K4."""
    first = repo.head
    repo.git("branch", "mainline")
    repo.git("checkout", "-q", "--orphan", "rewritten")
    repo.commit("rewritten", {"backend/src/app.py": "new\n"})
    assert due(compared(repo, everywhere(first))) == ["app"]
    assert set(due(compared(repo, {"app": at(first)}))) == {"app", "infra"}


def test_the_same_content_under_another_commit_is_clean(repo: Repo) -> None:
    """K3: a squash merge of what was just deployed, whose branch is deleted."""
    recorded = {
        name: RecordedBase("1" * 40, fingerprint(repo, name), settings=version(repo, name).settings)
        for name in everywhere("")
    }
    assert due(compared(repo, recorded)) == []
    repo.commit(files={"backend/src/app.py": "2\n"})
    answer = compared(repo, recorded)
    assert (due(answer), answer.states["app"]) == (["app"], "due")
    assert "is not in this clone" in sentence(answer.plan.steps[0].because[0])


@pytest.mark.parametrize("why", ["its last deploy ended as failed", "it is in doubt"])
def test_the_same_content_is_due_after_a_later_run_that_did_not_go_well(
    repo: Repo, why: str
) -> None:
    point = RecordedBase(
        repo.head, fingerprint(repo, "app"), since=why, settings=version(repo, "app").settings
    )
    assert due(compared(repo, {**everywhere(repo.head), "app": point})) == ["app"]


def test_the_same_content_with_other_settings_than_those_deployed_is_due(repo: Repo) -> None:
    """What rules.toml says at the commit is not what was deployed: it may have been edited, or the
    environment's variables differ.
    """
    point = RecordedBase(repo.head, fingerprint(repo, "app"), settings="of another time")
    answer = compared(repo, {**everywhere(repo.head), "app": point})
    assert due(answer) == ["app"]
    assert answer.plan.steps[0].because == (
        "the settings of app differ from those that it was deployed with",
    )


def test_two_targets_deployed_at_two_commits_are_no_two_merge_bases(repo: Repo) -> None:
    """A5."""
    first = repo.head
    second = repo.commit(files={"docs/a.txt": "2\n"})
    answer = compared(repo, {**everywhere(first), "app": at(second)})
    assert answer.notes == ()


def test_what_would_go_back_is_told_first_and_marked(repo: Repo) -> None:
    """J2."""
    first = repo.head
    newer = repo.commit(files={"backend/src/app.py": "2\n"})
    repo.git("checkout", "-q", first)
    answer = compared(repo, everywhere(newer))
    assert answer.standings["app"].direction == "behind"
    shown = text(answer)
    assert (
        f"app: live is {newer[:7]}, ahead of your HEAD: this goes back and removes 1 commit"
        in shown.splitlines()
    )
    assert "GOES BACK" in shown


def test_a_newer_deploy_that_touches_nothing_of_the_target_goes_back_in_nothing(repo: Repo) -> None:
    first = repo.head
    newer = repo.commit(files={"docs/a.txt": "2\n"})
    repo.git("checkout", "-q", first)
    assert compared(repo, everywhere(newer)).standings == {}


def test_reasons_without_a_path_are_told_in_the_table(repo: Repo) -> None:
    """J3: why a target is unknown stood in --json only."""
    answer = compared(
        repo,
        {**everywhere(repo.head), "app": RecordedBase(None, "", unknown="it is not live")},
    )
    assert "it is not live" in text(answer)


def test_live_is_told_as_live(repo: Repo) -> None:
    assert compared(repo, everywhere(repo.head), "live").base.chosen == "what is live"


def fingerprint(repo: Repo, target: str) -> str:
    return version(repo, target).fingerprint


def version(repo: Repo, target: str) -> Version:
    """What would be deployed of a target now."""
    git = Git.open(str(repo.path))
    rules = flow.load_rules(str(repo.path), None, git)
    settings = {target: target_settings(rules, None)[target]}
    owners = PathOwners(path_owners(rules, rules_path(rules, git)))
    return versions(settings, owners, git, detect.look(git).paths)[target]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('cluster = "c"', 'cluster = "d"'),
        ('[targets.app]\nkind = "app"', '[targets.app]\nenv = { A = "2" }\nkind = "app"'),
    ],
)
def test_a_target_whose_settings_changed_is_due(repo: Repo, old: str, new: str) -> None:
    """What is live runs with the settings of then."""
    first = repo.head
    rules = (repo.path / "rules.toml").read_text()
    assert old in rules
    repo.commit(files={"rules.toml": rules.replace(old, new)})
    answer = compared(repo, everywhere(first))
    assert due(answer) == ["app"]
    assert sentence(answer.plan.steps[0].because[0]).startswith("the settings of app changed (")


def test_a_change_of_rules_that_touches_no_settings_deploys_nothing(repo: Repo) -> None:
    first = repo.head
    rules = (repo.path / "rules.toml").read_text()
    repo.commit(files={"rules.toml": rules.replace('estimate = "9m"', 'estimate = "10m"')})
    assert due(compared(repo, everywhere(first))) == []


def test_a_variable_of_the_environment_is_part_of_the_settings(tmp_path: Path) -> None:
    rules = RULES.replace("version = 1\n", 'version = 1\nenvironment = "dev"\n').replace(
        'service = "s"', 'service = "s{suffix}"'
    )
    repo = Repo.make(
        tmp_path / "vars",
        {"backend/src/a": "1"},
        rules + '[environments.dev]\nvars = { suffix = "" }\n',
    )
    first = repo.head
    text = (repo.path / "rules.toml").read_text()
    repo.commit(files={"rules.toml": text.replace('suffix = ""', 'suffix = "-b"')})
    assert due(compared(repo, everywhere(first))) == ["app"]


def bad(repo: Repo, ended: str = "failed", **more: str) -> FailedRun:
    """What a run of the content that is there now has recorded."""
    now = version(repo, "app")
    facts = {"version": now.name, "fingerprint": now.fingerprint, "settings": now.settings, **more}
    return FailedRun("20261120-193742-x7k2", ended, **facts)


def after(repo: Repo, failed: FailedRun, first: str) -> DiffResult:
    point = RecordedBase(first, "of then", settings=version(repo, "app").settings, failed=failed)
    return compared(repo, {**everywhere(repo.head), "app": point})


@pytest.mark.parametrize(
    "ended", ["failed", "failed and was rolled back", "was rolled back by run 2"]
)
def test_a_commit_that_did_not_go_well_before_is_told_in_the_reason(repo: Repo, ended: str) -> None:
    first = repo.head
    repo.commit(files={"backend/src/app.py": "2\n"})
    answer = after(repo, bad(repo, ended), first)
    words = f"run 20261120-193742-x7k2 of this commit {ended}"
    assert (due(answer), answer.failed_before) == (["app"], {"app": words})
    shown = text(answer, 160)
    assert f" {words} " in shown
    assert f"note: app: {words}; deploying it again may end the same way" in shown
    assert f"  but app: {words}" in text(answer, 160, verbose=True)
    assert document(answer, False)["failed_before"] == {"app": words}


def test_the_same_content_at_another_commit_is_told_as_that(repo: Repo) -> None:
    first = repo.head
    repo.commit(files={"backend/src/app.py": "2\n"})
    failed = bad(repo)
    repo.commit(files={"docs/a.txt": "2\n"})
    assert after(repo, failed, first).failed_before == {
        "app": "run 20261120-193742-x7k2 of the same content failed"
    }


@pytest.mark.parametrize(
    "what", [{"fingerprint": "of other files"}, {"settings": "of other settings"}]
)
def test_what_has_changed_since_it_failed_is_another_try(repo: Repo, what: dict[str, str]) -> None:
    first = repo.head
    repo.commit(files={"backend/src/app.py": "2\n"})
    assert after(repo, bad(repo, **what), first).failed_before == {}


def test_a_failed_run_of_what_is_live_makes_nothing_due(repo: Repo) -> None:
    now = version(repo, "app")
    point = RecordedBase(repo.head, now.fingerprint, settings=now.settings, failed=bad(repo))
    answer = compared(repo, {**everywhere(repo.head), "app": point})
    assert (due(answer), answer.failed_before, answer.notes) == ([], {}, ())


def test_a_reason_without_a_path_ends_behind_a_word_in_eighty_columns(repo: Repo) -> None:
    point = RecordedBase(
        None,
        "",
        unknown="its last deploy (run 20261120-193742-x7k2) ended as failed, and may be live",
    )
    answer = compared(repo, {**everywhere(repo.head), "app": point})
    row = next(line for line in text(answer).splitlines() if line.startswith("app "))
    assert (
        "its last deploy...  deploy-app" in row or "its last deploy (run...  deploy-app" in row
    ), row
    assert str(point.unknown) in " ".join(text(answer, verbose=True).split())


def test_what_runs_beside_what_is_live_is_told(repo: Repo) -> None:
    """D2: a container of the same image that `container` leaves out."""
    live = LiveVersion(repo.head, repo.head, notes=("container side is left as it is",))
    answer = compared(repo, {**everywhere(repo.head), "app": live_base(live)}, base="live")
    assert (due(answer), answer.notes) == ([], ("app: container side is left as it is",))
    assert "note: app: container side is left as it is" in text(answer)
    assert document(answer, False)["notes"] == ["app: container side is left as it is"]


@pytest.mark.parametrize("what", [{"doubt": "two images"}, {"commit": None}])
def test_what_runs_beside_what_nobody_knows_is_told_too(
    repo: Repo, what: dict[str, str | None]
) -> None:
    live = replace(
        LiveVersion(repo.head, repo.head, notes=("container side is left as it is",)), **what
    )
    answer = compared(
        repo, {**everywhere(repo.head), "app": (live_base(live), live_base(live))}, base="live"
    )
    assert answer.notes == ("app: container side is left as it is",)


def test_what_was_changed_outside_toolkit_is_due_though_its_version_is_head(repo: Repo) -> None:
    now = version(repo, "app")
    live = LiveVersion(repo.head, repo.head, now.fingerprint, settings=now.settings)
    clean = compared(repo, {**everywhere(repo.head), "app": live_base(live)}, base="live")
    assert due(clean) == []
    changed = live_base(replace(live, outdated="2 files differ from release 7"))
    answer = compared(repo, {**everywhere(repo.head), "app": changed}, base="live")
    assert due(answer) == ["app"]
    assert "2 files differ from release 7" in text(answer, verbose=True)
