"""A run, and another one that deploys the same target in the meantime."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.run import simulated
from tests.run.simulated import Told
from tests.support.record import ACCOUNT, REGION, KnownAws, put
from toolkit.errors import StalePlan, UsageError
from toolkit.flow.deploy import PreparedRun, freshness_check, standby_jobs, validate
from toolkit.flow.good_deploys import recorded_deploy_of
from toolkit.flow.rulebook import read_rules
from toolkit.flow.selection import DeployRequest
from toolkit.flow.stores import resolved_location
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, RecordedDeploy, RunResult
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.record.journal import EntryState, Journal, path_of, read
from toolkit.record.ledger import BEGUN, IN_RECORD, Record, open_ledger
from toolkit.record.state import Store, open_store
from toolkit.run import jobs as run_jobs
from toolkit.targets.app.kind import kind as app

EARLIER, LATER = "20261120-100000-aaaa", "20261120-110000-bbbb"
JOB = Job(
    "app",
    "app",
    "app",
    JobAction.DEPLOY,
    Location("dev"),
    app.Settings(cluster="c", service="s", repository="r"),
    Version("v1", "c1", "f1"),
    EARLIER,
    "token",
    options=app.Options(),
)


def resumed(store: Store, ports: Ports) -> RunResult:
    def still(job: Job) -> None:
        raise AssertionError("it is not to be deployed")

    return simulated.resumed(Told().request(EARLIER, ports, still=still), store)


RULES = """\
version = 1
project = "p"
[environments.dev]
rollback = "on-failure"
[targets.app]
kind = "app"
cluster = "c"
service = "s"
repository = "r"
checks = ["up"]
[checks.up]
http = "GET https://example.com/"
"""


def recorded_as(ports: Ports, version: str, run: str, fingerprint: str | None = None) -> None:
    content = fingerprint or f"f-{version}"
    record = Record(
        "app",
        "dev",
        None,
        version,
        "c",
        content,
        run,
        f"2026-11-20T{run[:2]}",
        "succeeded",
        detail={"task definition": f"td-{run}"},
    )
    put(open_store("p", ports.root), record)


def prepared(ports: Ports) -> PreparedRun:
    rules = read_rules(RULES.encode(), "rules.toml")
    job = replace(JOB, settings=rules.targets["app"].settings, options=app.Options(image="v1"))
    job = replace(job, recorded=recorded_deploy_of(job, rules, ports))
    return PreparedRun(rules, (job,), {}, (), standby_jobs((job,), rules, ports))


def test_a_step_whose_last_good_version_is_another_one_once_the_locks_are_ours_is_not_begun(
    ports: Ports,
) -> None:
    recorded_as(ports, "v0", "09-run")
    run = prepared(ports)
    still = freshness_check(DeployRequest(folder=ports.root), run, None, ports)
    still(run.jobs[0])
    recorded_as(ports, "v2", "10-run")
    with pytest.raises(StalePlan, match="the last good version of app has changed"):
        still(run.jobs[0])


def test_a_step_whose_target_was_deployed_since_it_was_prepared_is_not_begun(ports: Ports) -> None:
    recorded_as(ports, "v0", "09-run")
    run = replace(prepared(ports), standby=())
    still = freshness_check(DeployRequest(folder=ports.root), run, None, ports)
    still(run.jobs[0])
    recorded_as(ports, "v0", "10-run")
    with pytest.raises(StalePlan, match="run 10-run has deployed app since this was prepared"):
        still(run.jobs[0])


@pytest.mark.parametrize(
    ("recorded", "fingerprint", "settings", "refused"),
    [
        ("f-1", "f-1", "", False),
        ("f-2", "f-1", "", True),
        ("f-1", "f-1", "other", True),
        ("image v1", "image v1", "", True),
    ],
)
def test_a_step_whose_very_version_was_deployed_since_it_was_prepared_goes_on(
    ports: Ports, recorded: str, fingerprint: str, settings: str, refused: bool
) -> None:
    recorded_as(ports, "v0", "09-run")
    run = replace(prepared(ports), standby=())
    job = replace(run.jobs[0], version=Version("v1", "c", fingerprint, settings=settings))
    still = freshness_check(DeployRequest(folder=ports.root), run, None, ports)
    recorded_as(ports, "v1", "10-run", recorded)
    if not refused:
        still(job)
        return
    with pytest.raises(StalePlan, match="run 10-run has deployed app since this was prepared"):
        still(job)


def test_what_puts_a_version_back_asks_that_versions_own_address(ports: Ports) -> None:
    recorded_as(ports, "v0", "09-run")
    rules = read_rules(
        RULES.replace('checks = ["up"]', 'health = ["https://example.com/{version}"]').encode(),
        "rules.toml",
    )
    [back] = standby_jobs(
        (
            replace(
                JOB,
                settings=replace(rules.targets["app"].settings, health=("https://example.com/v1",)),
            ),
        ),
        rules,
        ports,
    )
    assert (back.step, back.version.name, back.settings.health) == (
        "app:rollback",
        "v0",
        ("https://example.com/v0",),
    )


def test_a_stack_may_be_called_by_the_name_that_it_has_in_any_region(ports: Ports) -> None:
    stack = '[targets.net]\nkind = "stack"\nstack = "Net-{region}"\ntemplate = "net.json"\n'
    regions = '[environments.dev]\nregions = ["eu-west-1", "us-east-1"]\n'
    (Path(ports.root) / "rules.toml").write_text(f"version = 1\n{regions}{stack}")
    validate(
        DeployRequest(folder=ports.root, targets=("Net-us-east-1",), kind="deploy-stack"), None
    )
    with pytest.raises(UsageError, match="no target 'Net-mars'"):
        validate(DeployRequest(folder=ports.root, targets=("Net-mars",), kind="deploy-stack"), None)


@pytest.mark.parametrize("checked", [True, False])
def test_whether_checks_were_wanted_is_known_to_who_goes_on_with_a_run(
    ports: Ports, checked: bool
) -> None:
    def still(job: Job) -> None:
        raise StalePlan("its files have changed", "")

    simulated.started(Told().request(EARLIER, ports, still=still, checked=checked), prepared(ports))
    assert read(open_store("p", ports.root), EARLIER)[0].facts["checked"] is checked


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    return Ports(
        str(tmp_path),
        str(tmp_path),
        SystemClock(),
        lambda profile, region: KnownAws(profile, region or "eu-west-1"),
    )


@pytest.fixture
def store(ports: Ports) -> Store:
    """With a run that was planned, and of which nothing was started."""
    result = open_store("p", ports.root)
    Journal.create(result, EARLIER, {"jobs": [run_jobs.pack(JOB)]}, ports.clock).close()
    return result


def recorded(store: Store, verdict: str) -> None:
    put(store, Record("app", "dev", None, "v2", "c2", "f2", LATER, "2026-11-20T11:00:00", verdict))


@pytest.mark.parametrize(
    ("verdict", "cause"),
    [
        ("succeeded", f"run {LATER} has deployed app since"),
        ("unchanged", f"run {LATER} has seen since that app is as it should be"),
    ],
)
def test_what_a_later_run_has_deployed_is_not_put_back(
    store: Store, ports: Ports, verdict: str, cause: str
) -> None:
    recorded(store, verdict)
    ran = resumed(store, ports)
    [outcome] = ran.outcomes
    assert (outcome.verdict, outcome.cause, ran.exit) == ("superseded", cause, 1)
    assert [entry.state for entry in read(store, EARLIER)] == ["run", "outcome", "note", "end"]


def test_a_later_run_that_failed_has_deployed_nothing(store: Store, ports: Ports) -> None:
    recorded(store, "rolled-back")
    with pytest.raises(
        AssertionError, match="it is not to be deployed"
    ):  # it goes on with the step
        resumed(store, ports)


def opened(store: Store, ports: Ports, known: str, acted: bool) -> None:
    """The run once more, as this version leaves it: what it knew when it was prepared, and whether
    it has begun to change what runs.
    """
    job = replace(JOB, recorded=RecordedDeploy(known)) if known else JOB
    Path(path_of(store, EARLIER)).unlink()
    journal = Journal.create(
        store, EARLIER, {"jobs": [run_jobs.pack(job)], IN_RECORD: True}, ports.clock
    )
    if acted:
        journal.append(EntryState.INTENT, "app", call="ecs:UpdateService", token="token", what={})
    journal.close()


@pytest.mark.parametrize(
    "name", ["19990101-000000-aaaa", LATER], ids=["clock behind", "clock ahead"]
)
@pytest.mark.parametrize(("known", "acted"), [("", True), ("08-first", True), ("08-first", False)])
def test_what_was_deployed_since_is_not_put_back_whatever_the_clocks_say(
    store: Store, ports: Ports, name: str, known: str, acted: bool
) -> None:
    if known:
        recorded_as(ports, "v0", known)
    opened(store, ports, known, acted)
    put(
        store,
        Record("app", "dev", None, "v2", "c2", "f2", name, "2026-11-20T11:00:00", "succeeded"),
    )
    [outcome] = resumed(store, ports).outcomes
    assert (outcome.verdict, outcome.cause) == ("superseded", f"run {name} has deployed app since")


def test_a_build_is_not_superseded_but_left_out_once_nothing_needs_it(
    store: Store, ports: Ports
) -> None:
    recorded_as(ports, "v0", "08-first")
    build = replace(JOB, step="app:build", action=JobAction.BUILD)
    job = replace(JOB, needs=(build.step,), recorded=RecordedDeploy("08-first"))
    Path(path_of(store, EARLIER)).unlink()
    facts = {"jobs": [run_jobs.pack(each) for each in (build, job)], IN_RECORD: True}
    Journal.create(store, EARLIER, facts, ports.clock).close()
    put(
        store,
        Record("app", "dev", None, "v2", "c2", "f2", LATER, "2026-11-20T11:00:00", "succeeded"),
    )
    outcomes = {outcome.step: outcome.verdict for outcome in resumed(store, ports).outcomes}
    assert outcomes == {"app:build": "skipped", "app": "superseded"}


def test_a_run_that_lost_its_lock_before_it_changed_anything_does_not_come_above_who_took_it(
    store: Store, ports: Ports
) -> None:
    recorded_as(ports, "v0", "08-first")
    opened(store, ports, "08-first", acted=False)
    put(
        store,
        Record("app", "dev", None, "v2", "c2", "f2", LATER, "2026-11-20T11:00:00", "succeeded"),
    )
    ledger = open_ledger(store, resolved_location(JOB.location, ports), ports)
    late = Record(
        "app",
        "dev",
        REGION,
        "v1",
        "c1",
        "f1",
        EARLIER,
        "2026-11-20T11:30:00",
        BEGUN,
        account=ACCOUNT,
    )
    ledger.begin(late)
    [outcome] = resumed(store, ports).outcomes
    assert (outcome.verdict, outcome.cause) == ("superseded", f"run {LATER} has deployed app since")


def test_the_deploy_that_a_run_knew_is_not_said_to_have_come_since(
    store: Store, ports: Ports
) -> None:
    """What the run had begun is not in the record any more: another one that failed took its
    place.
    """
    recorded_as(ports, "v0", "08-first")
    opened(store, ports, "08-first", acted=True)
    put(
        store,
        Record(
            "app",
            "dev",
            None,
            "v2",
            "c2",
            "f2",
            LATER,
            "2026-11-20T11:00:00",
            "failed",
            unsure=True,
        ),
    )
    [outcome] = resumed(store, ports).outcomes
    assert outcome.verdict != "superseded"


def test_what_the_run_knew_already_is_no_reason_to_give_up_though_its_name_is_later(
    store: Store, ports: Ports
) -> None:
    recorded_as(ports, "v0", LATER)
    opened(store, ports, LATER, acted=False)
    with pytest.raises(
        AssertionError, match="it is not to be deployed"
    ):  # it goes on with the step
        resumed(store, ports)


@pytest.mark.parametrize(
    ("newest", "name"),
    [({"app": LATER}, LATER), ({}, "08-first"), ({"web": LATER}, "08-first"), (None, "08-first")],
    ids=["known", "nothing known", "of another step", "an earlier version"],
)
def test_a_job_without_a_recorded_deploy_is_given_up_only_for_what_came_since(
    store: Store, ports: Ports, newest: dict[str, str] | None, name: str
) -> None:
    """Not every kind's record says what it has put there; and a record that could not be read is no
    evidence that there was none.
    """
    recorded_as(ports, "v0", name)
    Path(path_of(store, EARLIER)).unlink()
    facts = {"jobs": [run_jobs.pack(JOB)], IN_RECORD: True, "newest": newest}
    Journal.create(store, EARLIER, facts, ports.clock).close()
    with pytest.raises(AssertionError, match="it is not to be deployed"):  # it goes on
        resumed(store, ports)
