"""A deploy that has to stay good for a while, and alarms that go red after it: on the scripted AWS,
and a clock that passes at once.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from msgspec.structs import replace

from tests.run.simulated import Listener, Told, resumed, started
from tests.support.aws import Endpoint
from tests.support.aws import Outcome as Fate
from tests.support.aws.clock import EndpointClock
from tests.support.record import put
from tests.support.report import Crash
from tests.targets.apps import COMMIT, AppStage
from toolkit.errors import Refused
from toolkit.flow import deploy_gates as gates
from toolkit.flow import runs
from toolkit.flow.deploy import PreparedRun, standby_jobs
from toolkit.flow.rulebook import read_rules
from toolkit.flow.stores import store_for
from toolkit.gates import alarms
from toolkit.gates.base import AlarmBaseline
from toolkit.gates.judge import Judge
from toolkit.model import Rules, Version
from toolkit.operations import JobAction, Outcome, Preview, RunResult
from toolkit.ports.aws import client, ecs
from toolkit.ports.clock import SystemClock
from toolkit.record.journal import read
from toolkit.record.ledger import Record
from toolkit.run import jobs as run_jobs
from toolkit.run.jobs import locations
from toolkit.run.step import BAKING
from toolkit.show.advice import sentence

pytestmark = pytest.mark.slow("long bakes", keep=16, of="file")

RULES = """\
version = 1
project = "p"
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
{environment}
[targets.web]
kind = "app"
cluster = "main"
service = "web"
repository = "backend"
settle = "{settle}"
bake = "{bake}"
{settings}
"""
RUN = "20261120-100000-aaaa"


class Scheduled(EndpointClock):
    """The endpoint's clock, on which something happens at certain moments after the deploy is
    live.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.events: list[tuple[float, Callable[[], None]]] = []

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        for position, event in [
            item for item in self.events if item[0] <= self.elapsed() + seconds
        ]:
            self.events.remove((position, event))
            self.advance(max(position - self.elapsed(), 0.0))
            seconds = max(seconds - max(position - self.elapsed(), 0.0), 0.0)
            event()
        self.advance(seconds)
        return wake is not None and wake.is_set()


class Oven:
    """A service that is to run another image, judged by its alarms and by how long it stays
    good.
    """

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.stage, self.endpoint = AppStage(endpoint, folder), endpoint
        self.clock = Scheduled(endpoint)
        self.ports = replace(self.stage.ports, clock=self.clock)
        self.store = store_for(self.rules(), self.ports, None)
        self.told = Told()
        self.prepared: PreparedRun | None = None

    def rules(
        self, bake: str = "0s", settle: str = "0s", settings: str = "", environment: str = ""
    ) -> Rules:
        text = RULES.format(bake=bake, settle=settle, settings=settings, environment=environment)
        return read_rules(text.encode(), "rules.toml")

    def deploy(
        self, bake: str = "0s", settle: str = "0s", settings: str = "", environment: str = ""
    ) -> RunResult:
        rules = self.rules(bake, settle, settings, environment)
        version = Version(COMMIT, COMMIT, "f" * 64)
        where = locations(rules.environments["dev"], None, None)
        jobs = run_jobs.make_jobs(
            run_jobs.JobRequest(
                RUN,
                [rules.targets["web"]],
                where,
                {},
                {"web": version},
                JobAction.DEPLOY,
                {"no_build": True},
            )
        )
        self.prepared = PreparedRun(rules, jobs, {}, (), standby_jobs(jobs, rules, self.ports))
        proofs = gates.step_gates(rules, jobs, self.ports)
        verify = Judge(proofs, self.ports, self.prepared.standby).after
        request = self.told.request(
            RUN, self.ports, verify=verify, facts={"alarms": gates.pack_baselines(proofs)}
        )
        return started(request, self.prepared)

    def resume(self) -> RunResult:
        """Another process goes on with it."""
        assert self.prepared is not None
        self.told = Told()
        state = runs.run_state(self.store, RUN, self.ports)
        rules = self.prepared.rules
        proofs = gates.step_gates(
            rules, state.open, self.ports, str, gates.read_baselines(state.facts, "journal")
        )
        standby = [job for job in state.jobs if job.undoes]
        verify = Judge(proofs, self.ports, standby).after
        request = self.told.request(RUN, self.ports, verify=verify)
        return resumed(request, self.store)

    def once_live(self, seconds: float, event: Callable[[], None]) -> None:
        """Let something happen so many seconds after the new version is live."""
        became = self.clock.elapsed()
        self.clock.events.append((became + seconds, event))

    def crash(self, **how: str) -> None:
        """A container of the new version dies, and ECS starts another one."""
        self.endpoint.ecs.fail_task(
            self.stage.service, self.stage.service.latest, Fate("fail", cause="exit")
        )

    def recorded(self, version: str = "old") -> None:
        digest = self.stage.old.digest
        detail = {"digest": digest, "task definition": self.stage.first.arn}
        record = Record(
            "web",
            "dev",
            "eu-west-1",
            version,
            "0" * 40,
            "f0",
            "20261119-100000-aaaa",
            "2026-11-19",
            "succeeded",
            detail,
        )
        put(self.store, record)

    def rolled_back(self, listener: Listener) -> RunResult:
        """Somebody puts the old version back, from another process."""
        rules = self.rules()
        [job] = run_jobs.make_jobs(
            run_jobs.JobRequest(
                "20261120-100500-bbbb",
                [rules.targets["web"]],
                locations(rules.environments["dev"], None, None),
                {},
                {"web": Version("old", "0" * 40, "f0")},
                JobAction.ROLLBACK,
                {"image_digest": self.stage.old.digest, "task_definition": self.stage.first.arn},
            )
        )
        notes = Told()
        notes.listener = listener
        command = ["toolkit", "rollback", "web"]
        ports = replace(self.ports, clock=SystemClock())
        request = notes.request(job.run, ports, command=command, preempts=True)
        return started(request, PreparedRun(rules, (job,), {}, ()))

    def states(self) -> list[tuple[str, str]]:
        return [
            (entry.state, str(entry.facts.get("verdict", ""))) for entry in read(self.store, RUN)
        ]

    def is_new(self) -> bool:
        return str(self.stage.runs["containerDefinitions"][0]["image"]).endswith(
            self.stage.new.digest
        )


@pytest.fixture
def oven(aws_endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Oven:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    return Oven(aws_endpoint, tmp_path)


def only(ran: RunResult) -> Outcome:
    [outcome] = ran.outcomes
    return outcome


# bake


def test_what_stays_good_has_succeeded_and_the_journal_says_since_when_it_baked(oven: Oven) -> None:
    began = oven.clock.elapsed()
    ran = oven.deploy(bake="60s")
    assert (only(ran).verdict, ran.exit) == ("succeeded", 0)
    assert oven.clock.elapsed() - began >= 60
    assert [entry for entry in read(oven.store, RUN) if BAKING in entry.facts.get("receipt", {})]


def test_a_container_that_dies_during_the_bake_is_unhealthy(oven: Oven) -> None:
    oven.once_live(20, oven.crash)
    outcome = only(ran := oven.deploy(bake="60s"))
    assert (outcome.verdict, ran.exit, ran.status, outcome.open) == (
        "unhealthy",
        1,
        "failed",
        False,
    )
    assert outcome.cause == "it is live, but container app exited with code 3"
    assert oven.clock.elapsed() < 40, "nobody waits for the end of the bake"


def test_without_a_bake_nobody_looks_at_what_dies_later(oven: Oven) -> None:
    oven.once_live(20, oven.crash)
    assert only(oven.deploy()).verdict == "succeeded"


def test_a_container_that_dies_during_the_bake_gives_way_where_the_environment_wants_that(
    oven: Oven,
) -> None:
    oven.recorded()
    oven.once_live(20, oven.crash)
    ran = oven.deploy(bake="60s", environment='rollback = "on-failure"')
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [
        ("web", "unhealthy"),
        ("web:rollback", "succeeded"),
    ]
    assert (ran.exit, oven.is_new()) == (1, False)


def test_what_is_put_back_is_the_last_good_version_whose_image_is_there_still(oven: Oven) -> None:
    oven.recorded()
    gone = {
        "digest": f"sha256:{'9' * 64}",
        "task definition": "arn:aws:ecs:eu-west-1:111111111111:task-definition/web:9",
    }
    record = Record(
        "web",
        "dev",
        "eu-west-1",
        "gone",
        "9" * 40,
        "f9",
        "20261119-110000-aaaa",
        "2026-11-19T11",
        "succeeded",
        gone,
    )
    put(oven.store, record)
    oven.once_live(20, oven.crash)
    ran = oven.deploy(bake="60s", environment='rollback = "on-failure"')
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [
        ("web", "unhealthy"),
        ("web:rollback", "succeeded"),
    ]
    assert oven.prepared is not None
    assert oven.prepared.standby[0].version.name == "old"


def test_a_task_that_was_only_interrupted_is_no_failure_of_the_bake(oven: Oven) -> None:
    def interrupted() -> None:
        service = oven.stage.service
        oven.endpoint.ecs.fail_task(service, service.latest, Fate("fail", cause="spot"))

    oven.once_live(20, interrupted)
    assert only(oven.deploy(bake="60s")).verdict == "succeeded"


def test_a_deploy_of_what_runs_already_does_not_bake(oven: Oven) -> None:
    assert only(oven.deploy()).verdict == "succeeded"
    began = oven.clock.elapsed()
    oven.told = Told()
    rules = oven.rules(bake="600s")
    job = replace(
        oven.prepared.jobs[0],  # type: ignore[union-attr]
        settings=rules.targets["web"].settings,
        run="20261120-100001-aaaa",
        token="t2",
    )
    proofs = gates.step_gates(rules, [job], oven.ports)
    verify = Judge(proofs, oven.ports).after
    request = oven.told.request(job.run, oven.ports, verify=verify)
    ran = started(request, PreparedRun(rules, (job,), {}, ()))
    assert (only(ran).verdict, oven.clock.elapsed() - began < 60) == ("unchanged", True)


@pytest.mark.slow("long bakes", keep=1)
@pytest.mark.parametrize("signal", [2, 15])
def test_a_signal_during_the_bake_leaves_it_open_and_resume_bakes_it_again(
    oven: Oven, signal: int
) -> None:
    oven.once_live(20, lambda: oven.told.stop.ask(signal))
    ran = oven.deploy(bake="60s")
    assert (only(ran).verdict, only(ran).cause, ran.exit) == (
        "in-doubt",
        "it is live, but its bake was not over",
        128 + signal,
    )
    began = oven.clock.elapsed()
    again = oven.resume()
    assert (only(again).verdict, again.exit, oven.states()[-1][0]) == ("succeeded", 0, "end")
    assert oven.clock.elapsed() - began >= 60


def test_a_crash_during_the_bake_is_gone_on_with(oven: Oven) -> None:
    def crash() -> None:
        raise Crash

    oven.once_live(20, crash)
    with pytest.raises(Crash):
        oven.deploy(bake="60s")
    assert ("outcome", "succeeded") not in oven.states()
    assert only(oven.resume()).verdict == "succeeded"


def test_what_died_while_nobody_looked_is_found_by_who_goes_on_with_the_bake(oven: Oven) -> None:
    oven.recorded()
    oven.once_live(20, lambda: oven.told.stop.ask(2))
    oven.deploy(bake="60s", environment='rollback = "on-failure"')
    oven.clock.advance(5)
    oven.crash()
    ran = oven.resume()
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [
        ("web", "unhealthy"),
        ("web:rollback", "succeeded"),
    ]


@pytest.mark.slow("long bakes", keep=1)
@pytest.mark.parametrize("fault", ["denied", "throttle", "503", "reset"])
def test_a_bake_that_nobody_could_watch_to_its_end_is_in_doubt_and_nothing_is_put_back(
    oven: Oven, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ATTEMPTS", 1)  # boto3 waits by the real clock
    oven.recorded()
    oven.once_live(20, lambda: _spoil(oven.endpoint, fault))
    ran = oven.deploy(bake="60s", environment='rollback = "on-failure"')
    assert (only(ran).verdict, ran.exit, oven.is_new()) == ("in-doubt", 5, True)
    assert only(ran).cause.startswith("it is live, but what runs could not be checked: ")


def test_looks_that_fail_in_between_say_nothing(oven: Oven) -> None:
    oven.once_live(20, lambda: _spoil(oven.endpoint, "503"))
    oven.once_live(40, oven.endpoint.faults.clear)
    assert only(oven.deploy(bake="60s")).verdict == "succeeded"


def _spoil(endpoint: Endpoint, fault: str) -> None:
    endpoint.fault("DescribeServices", None, fault)


def test_somebody_elses_deploy_during_the_bake_supersedes_it(oven: Oven) -> None:
    def elsewhere() -> None:
        oven.endpoint.ecs.definition("web", f"{oven.stage.repository.uri}@{oven.stage.old.digest}")
        newest = max(
            definition for definition in oven.endpoint.ecs.definitions if "/web:" in definition
        )
        oven.endpoint.ecs.update_service(
            {"cluster": "main", "service": "web", "taskDefinition": newest}
        )

    oven.recorded()
    oven.once_live(20, elsewhere)
    ran = oven.deploy(bake="60s", environment='rollback = "on-failure"')
    assert (only(ran).verdict, ran.exit) == ("superseded", 1)


# alarms

ALARMS = 'alarms = ["errors"]'


def test_an_alarm_that_goes_red_during_the_bake_counts_like_a_check_that_fails(oven: Oven) -> None:
    oven.recorded()
    oven.endpoint.cloudwatch.alarm("errors")
    oven.once_live(20, lambda: oven.endpoint.cloudwatch.alarm("errors", "ALARM", "5 errors"))
    ran = oven.deploy(bake="60s", settings=ALARMS, environment='rollback = "on-failure"')
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [
        ("web", "unhealthy"),
        ("web:rollback", "succeeded"),
    ]
    assert ran.outcomes[0].cause == "it is live, but alarm errors went into ALARM: 5 errors"


def test_an_alarm_that_is_red_at_the_end_of_the_grace_period_counts(oven: Oven) -> None:
    oven.endpoint.cloudwatch.alarm("errors")
    oven.once_live(20, lambda: oven.endpoint.cloudwatch.alarm("errors", "ALARM"))
    assert only(oven.deploy(settle="60s", settings=ALARMS)).verdict == "unhealthy"


def test_an_alarm_that_recovers_within_the_grace_period_does_not_count(oven: Oven) -> None:
    oven.endpoint.cloudwatch.alarm("errors")
    oven.once_live(10, lambda: oven.endpoint.cloudwatch.alarm("errors", "ALARM"))
    oven.once_live(40, lambda: oven.endpoint.cloudwatch.alarm("errors"))
    assert only(oven.deploy(settle="60s", settings=ALARMS)).verdict == "succeeded"


def test_an_alarm_that_was_red_before_the_deploy_is_told_before_it_and_does_not_count(
    oven: Oven,
) -> None:
    oven.endpoint.cloudwatch.alarm("errors", "ALARM")
    ran = oven.deploy(settle="20s", bake="20s", settings=ALARMS)
    assert only(ran).verdict == "succeeded"
    proofs = gates.step_gates(oven.rules(settings=ALARMS), oven.prepared.jobs, oven.ports)  # type: ignore[union-attr]
    previews = {"web": Preview(()), "other": Preview((), unchanged=True)}
    [warning] = gates.with_alarm_warnings(previews, {"web": next(iter(proofs.values()))})[
        "web"
    ].warnings
    assert warning == "alarm errors is in ALARM already, so it does not count"
    assert (
        gates.with_alarm_warnings({"web": Preview((), unchanged=True)}, proofs)["web"].warnings
        == ()
    )


def test_another_alarm_counts_beside_one_that_was_red_before(oven: Oven) -> None:
    oven.endpoint.cloudwatch.alarm("errors", "ALARM")
    oven.endpoint.cloudwatch.alarm("latency", composite=True)
    oven.once_live(10, lambda: oven.endpoint.cloudwatch.alarm("latency", "ALARM", composite=True))
    outcome = only(oven.deploy(bake="30s", settings='alarms = ["errors", "latency"]'))
    assert (outcome.verdict, "alarm latency went into ALARM" in outcome.cause) == (
        "unhealthy",
        True,
    )


def test_what_was_red_before_is_known_to_who_goes_on_with_the_run(oven: Oven) -> None:
    oven.endpoint.cloudwatch.alarm("errors", "ALARM")
    oven.once_live(10, lambda: oven.told.stop.ask(2))
    oven.deploy(bake="30s", settings=ALARMS)
    assert only(oven.resume()).verdict == "succeeded"


def test_what_went_red_while_nobody_looked_counts_for_who_goes_on_with_the_run(oven: Oven) -> None:
    oven.endpoint.cloudwatch.alarm("errors")
    oven.once_live(10, lambda: oven.told.stop.ask(2))
    oven.deploy(bake="30s", settings=ALARMS)
    oven.endpoint.cloudwatch.alarm("errors", "ALARM")
    assert only(oven.resume()).verdict == "unhealthy"


def test_of_a_run_of_the_version_before_no_alarm_counts() -> None:
    assert gates.read_baselines({}, "journal") == {}


def test_an_alarm_that_is_not_there_is_told_before_and_counts_once_it_is(oven: Oven) -> None:
    proof = AlarmBaseline(("a", "b"), frozenset("b"), frozenset("a"))
    assert alarms.warnings(proof) == [
        "alarm b is in ALARM already, so it does not count",
        "there is no alarm a, so it does not count",
    ]
    oven.once_live(10, lambda: oven.endpoint.cloudwatch.alarm("errors", "ALARM"))
    assert only(oven.deploy(bake="30s", settings=ALARMS)).verdict == "unhealthy"


def test_alarms_that_cannot_be_read_before_a_deploy_refuse_it(oven: Oven) -> None:
    oven.endpoint.fault("DescribeAlarms", None, "denied")
    with pytest.raises(Refused, match="the alarms of web could not be checked: ") as refused:
        oven.deploy(settings=ALARMS)
    assert sentence(refused.value.next).endswith("without checks and alarms: --no-checks")
    assert not oven.is_new()


@pytest.mark.slow("long bakes", keep=1)
@pytest.mark.parametrize("fault", ["throttle", "503", "denied", "reset"])
@pytest.mark.parametrize(
    "times", [{"settle": "20s"}, {"bake": "20s"}], ids=["grace period", "bake"]
)
def test_alarms_that_nobody_could_read_leave_it_in_doubt_and_put_nothing_back(
    oven: Oven, fault: str, times: dict[str, str]
) -> None:
    oven.recorded()
    oven.endpoint.cloudwatch.alarm("errors")
    oven.once_live(5, lambda: oven.endpoint.fault("DescribeAlarms", None, fault))  # type: ignore[arg-type]
    ran = oven.deploy(settings=ALARMS, environment='rollback = "on-failure"', **times)
    assert (only(ran).verdict, ran.exit, oven.is_new()) == ("in-doubt", 5, True)
    assert "its alarms could not be checked: " in only(ran).cause


def test_a_rollback_is_not_judged_by_the_alarms_that_what_it_undoes_made_ring(oven: Oven) -> None:
    oven.recorded()
    oven.endpoint.cloudwatch.alarm("errors")
    oven.once_live(5, lambda: oven.endpoint.cloudwatch.alarm("errors", "ALARM"))
    ran = oven.deploy(settle="20s", settings=ALARMS, environment='rollback = "on-failure"')
    assert [(outcome.step, outcome.verdict) for outcome in ran.outcomes] == [
        ("web", "unhealthy"),
        ("web:rollback", "succeeded"),
    ]


# a stop between what prepares and what moves the service (J5), and answers that say nothing (E4)


def test_a_stop_after_the_task_definition_is_registered_is_not_in_doubt_and_resume_goes_on(
    oven: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = ecs.register

    def stopping(*args: Any) -> Any:
        oven.told.stop.ask(2)
        return register(*args)

    monkeypatch.setattr(ecs, "register", stopping)
    ran = oven.deploy()
    assert (only(ran).verdict, only(ran).cause, ran.status, ran.exit) == (
        "cancelled",
        "stopped before anything that runs was changed",
        "cancelled",
        130,
    )
    assert not oven.is_new()
    monkeypatch.setattr(ecs, "register", register)
    again = oven.resume()
    assert (
        only(again).verdict,
        oven.is_new(),
        oven.endpoint.calls.applied("ecs:RegisterTaskDefinition"),
    ) == ("succeeded", True, 1)


def test_a_stop_while_the_move_of_the_service_is_throttled_is_not_in_doubt(oven: Oven) -> None:
    oven.endpoint.fault("UpdateService", None, "throttle")
    oven.once_live(3, lambda: oven.told.stop.ask(2))
    assert only(oven.deploy()).verdict == "cancelled"
    oven.endpoint.faults.clear()
    assert (only(oven.resume()).verdict, oven.is_new()) == ("succeeded", True)


def test_a_stop_after_the_service_was_moved_is_in_doubt(oven: Oven) -> None:
    oven.endpoint.ecs.next("success", looks=20)
    oven.once_live(5, lambda: oven.told.stop.ask(2))
    assert (only(oven.deploy()).verdict, oven.is_new()) == ("in-doubt", True)


NOTHING: dict[str, Any] = {"services": [], "failures": []}
GONE = {
    "services": [],
    "failures": [
        {"arn": "arn:aws:ecs:eu-west-1:111111111111:service/main/web", "reason": "MISSING"}
    ],
}
ODD = {
    "services": [],
    "failures": [
        {"arn": "arn:aws:ecs:eu-west-1:111111111111:service/main/web", "reason": "INTERNAL"}
    ],
}


@pytest.mark.slow("long bakes", keep=1)
@pytest.mark.parametrize("answer", [NOTHING, ODD], ids=["nothing", "another reason"])
def test_an_answer_that_says_nothing_of_the_service_leaves_the_deploy_in_doubt(
    oven: Oven, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    oven.endpoint.ecs.next("success", looks=20)
    oven.once_live(
        5,
        lambda: monkeypatch.setattr(oven.endpoint.ecs, "describe_services", lambda params: answer),
    )
    outcome = only(oven.deploy())
    assert (outcome.verdict, outcome.open, "deletes it" in outcome.cause) == (
        "in-doubt",
        True,
        False,
    )


@pytest.mark.slow("long bakes", keep=1)
def test_an_empty_answer_in_between_says_nothing(
    oven: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = oven.endpoint.ecs.describe_services
    oven.endpoint.ecs.next("success", looks=20)
    oven.once_live(
        5,
        lambda: monkeypatch.setattr(oven.endpoint.ecs, "describe_services", lambda params: NOTHING),
    )
    oven.once_live(
        60, lambda: monkeypatch.setattr(oven.endpoint.ecs, "describe_services", describe)
    )
    assert only(oven.deploy()).verdict == "succeeded"


def test_a_service_that_aws_says_is_not_there_has_failed(
    oven: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    oven.endpoint.ecs.next("success", looks=20)
    oven.once_live(
        5, lambda: monkeypatch.setattr(oven.endpoint.ecs, "describe_services", lambda params: GONE)
    )
    outcome = only(oven.deploy())
    assert (outcome.verdict, outcome.cause) == (
        "failed",
        "service web is being deleted",
    )


# a rollback in an incident (J6)


def test_a_rollback_asks_the_deploy_that_it_undoes_to_stop_and_goes_on(oven: Oven) -> None:
    oven.recorded()
    second: list[RunResult] = []
    threads: list[Thread] = []
    listener = Listener(None)

    def incident() -> None:
        threads.append(Thread(target=lambda: second.append(oven.rolled_back(listener))))
        threads[0].start()
        assert oven.told.stop.event.wait(30), "it was not asked to stop"

    oven.once_live(20, incident)
    first = oven.deploy(bake="600s")
    threads[0].join(60)
    assert (only(first).verdict, first.exit, first.status) == ("in-doubt", 5, "in-doubt")
    assert "asked this run to stop: toolkit rollback web" in only(first).cause
    assert (only(second[0]).verdict, second[0].exit, oven.is_new()) == ("succeeded", 0, False)
    assert any("asked " in words and "to stop" in words for _, words in listener.told_)
    superseded = oven.resume()
    assert (only(superseded).verdict, oven.is_new()) == ("superseded", False)
