"""Whether what is live passes: real servers on this machine, and a cloud of which only what runs is
asked.
"""

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from msgspec.structs import replace

from tests.ports.net.servers import Raw, answer, answering
from tests.run.simulated import Told
from tests.run.test_step import LineLog, Pen
from tests.support.record import KnownAws, put
from toolkit.errors import (
    CloudError,
    Expired,
    LockLost,
    Missing,
    NoCredentials,
    NotAllowed,
    Refused,
    Stopped,
    Superseded,
    Throttled,
    Unreachable,
    Unwell,
)
from toolkit.flow import deploy_gates as gates
from toolkit.flow.rulebook import read_rules
from toolkit.gates import addresses
from toolkit.gates.judge import Judge
from toolkit.model import Rules, Version
from toolkit.operations import Job, JobAction, LiveVersion, Location, Outcome, Verdict
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record
from toolkit.record.state import open_store
from toolkit.run import jobs as run_jobs
from toolkit.run.step import StepExecution
from toolkit.run.stop import Stop
from toolkit.show.advice import sentence
from toolkit.targets.app.kind import kind as app
from toolkit.targets.stack.kind import kind as stack

pytestmark = pytest.mark.slow("checks of a deploy", keep=24, of="file")

ONE, TWO, THREE = "1" * 39 + "a", "2" * 39 + "b", "3" * 39 + "c"
"""Three commits: what ran, what is deployed, and somebody else's."""

RULES = """\
version = 1
project = "p"
environment = "dev"
[environments.dev]
vars = {{ region = "here" }}
private = true
urls = ["{url}"]
[environments.prod]
private = true
urls = ["{url}"]
regions = ["eu-west-1", "us-east-1"]
rollback = "on-failure"
[targets.app]
kind = "app"
cluster = "c"
service = "s"
repository = "r"
settle = "1s"
{settings}
{more}
"""


def rules_of(url: str, settings: str = "", more: str = "") -> Rules:
    return read_rules(RULES.format(url=url, settings=settings, more=more).encode(), "rules.toml")


class Street:
    """A server that answers what a test wants, and a step that has put the second version there."""

    def __init__(self, folder: Path, server: Raw) -> None:
        self.server, self.stop = server, Stop()
        self.says: Callable[[str], bytes] = lambda head: answer(
            json.dumps({"commit": TWO}).encode()
        )
        self.live: dict[str | None, LiveVersion | CloudError | None] = {}
        self.fence: LockLost | None = None
        self.desk_log = LineLog()
        self.ports = Ports(str(folder), str(folder), SystemClock(), self._cloud)
        self.problem: CloudError | None = None

    def _cloud(self, profile: str | None, region: str | None) -> Aws:
        if self.problem is not None:
            raise self.problem
        return KnownAws(profile, region or "eu-west-1")

    def check_fence(self) -> None:
        if self.fence is not None:
            raise self.fence

    def asked(
        self,
        settings: str,
        more: str = "",
        location: Location | None = None,
        target: str = "app",
        standby: bool = False,
    ) -> Outcome:
        """What becomes of a step that went well."""
        rules = read_rules(
            RULES.format(
                url=self.server.url, settings=settings.format(url=self.server.url), more=more
            ).encode(),
            "rules.toml",
        )
        remote = location or Location("dev")
        [job] = run_jobs.make_jobs(
            run_jobs.JobRequest(
                "run",
                [rules.targets[target]],
                [remote],
                {},
                {target: Version(TWO, TWO, "f2")},
                JobAction.DEPLOY,
                {},
            )
        )
        back = replace(job, step="app:rollback", undoes=job.step)
        request = Told(stop=self.stop).request("run", self.ports)
        pen = Pen(SystemClock(), self.desk_log)
        desk = StepExecution(job, request, pen, self.check_fence)
        live = self.live.setdefault(
            remote.region, LiveVersion(TWO, TWO, detail={"task definition": "web:2"})
        )
        outcome = Outcome(
            job.step,
            target,
            Verdict.SUCCEEDED,
            live=live if isinstance(live, LiveVersion) else LiveVersion(TWO),
        )
        proofs = gates.step_gates(rules, [job], self.ports)
        return Judge(proofs, self.ports, [back] if standby else []).after(job, outcome, desk)

    def runs(self, job: Job, ports: Ports) -> LiveVersion | None:
        live = self.live.get(job.location.region, LiveVersion(ONE, ONE))
        if isinstance(live, Exception):
            raise live
        return live

    def recorded(self, version: str, location: Location) -> None:
        record = Record(
            "app",
            location.environment,
            location.region,
            version,
            version,
            "f",
            "20261120-100000-aaaa",
            "2026-11-20T10",
            "succeeded",
        )
        put(open_store("p", self.ports.root), record)


@pytest.fixture
def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Street]:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("TOOLKIT_CONNECT_TO", raising=False)
    created: Street
    with answering(lambda head: created.says(head)) as server:
        created = Street(tmp_path, server)
        monkeypatch.setattr(app, "live", created.runs)
        yield created


HEALTH = 'health = ["{url}/health"]'
CHECKS = 'checks = ["up"]'
UP = '[checks.up]\nhttp = "GET /"\n'


def well_after(seconds: float) -> Callable[[str], bytes]:
    began = time.monotonic()
    return lambda head: answer(
        status="200 OK" if time.monotonic() - began >= seconds else "503 Soon"
    )


def test_what_answers_as_what_was_deployed_has_passed(street: Street) -> None:
    assert street.asked(HEALTH).verdict == "succeeded"


def test_what_answers_as_another_version_has_not(street: Street) -> None:
    street.says = lambda head: answer(json.dumps({"commit": ONE}).encode())
    outcome = street.asked(HEALTH)
    assert (outcome.verdict, outcome.has_to_give_way) == ("unhealthy", True)
    assert outcome.cause.endswith(f"/health reports version {ONE[:12]}, but {TWO[:12]} is deployed")


@pytest.mark.parametrize(("says", "verdict"), [(ONE, "succeeded"), (THREE, "unhealthy")])
def test_at_an_address_of_several_regions_the_version_of_each_of_them_may_answer(
    street: Street, says: str, verdict: str
) -> None:
    street.live["us-east-1"] = LiveVersion(ONE, ONE)
    street.says = lambda head: answer(json.dumps({"commit": says}).encode())
    assert street.asked(HEALTH, location=Location("prod", "eu-west-1")).verdict == verdict


def test_an_address_of_its_own_is_only_that_regions(street: Street) -> None:
    street.live["us-east-1"] = LiveVersion(ONE, ONE)
    street.says = lambda head: answer(json.dumps({"commit": ONE}).encode())
    assert (
        street.asked(
            'health = ["{url}/{{region}}"]', location=Location("prod", "eu-west-1")
        ).verdict
        == "unhealthy"
    )
    assert street.server.heads[-1].startswith("GET /eu-west-1 ")


FARGATE = (
    '[targets.fargate]\nkind = "stack"\nstack = "F"\ntemplate = "f.json"\nsettle = "1s"\nhealth ='
    ' ["{url}/health"]\n'
)


@pytest.mark.parametrize(("says", "verdict"), [(ONE, "succeeded"), (THREE, "unhealthy")])
def test_at_an_address_that_an_app_names_too_a_stack_has_the_apps_version(
    street: Street, monkeypatch: pytest.MonkeyPatch, says: str, verdict: str
) -> None:
    street.live[None] = LiveVersion(ONE, ONE)
    street.says = lambda head: answer(json.dumps({"commit": says}).encode())
    monkeypatch.setattr(stack, "live", street.runs)
    assert (
        street.asked(HEALTH, FARGATE.format(url=street.server.url), target="fargate").verdict
        == verdict
    )


def test_an_app_is_not_excused_by_a_stack_that_names_its_address(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "live", lambda job, ports: LiveVersion(ONE, ONE))
    street.says = lambda head: answer(json.dumps({"commit": ONE}).encode())
    assert street.asked(HEALTH, FARGATE.format(url=street.server.url)).verdict == "unhealthy"


def test_a_check_has_its_own_time_to_be_tried_again_beyond_that_of_the_target(
    street: Street,
) -> None:
    street.says = well_after(2.5)
    assert street.asked(CHECKS, UP + 'retry = "20s"\ntimeout = "1s"\n').verdict == "succeeded"


def test_each_check_of_a_chain_has_time_to_settle(street: Street) -> None:
    late = {"/a": well_after(0.7), "/b": well_after(1.4), "/c": well_after(2.1)}
    street.says = lambda head: late[head.split()[1]](head)
    chain = "".join(
        f'[checks.{name}]\nhttp = "GET /{name}"\ntimeout = "1s"\nneeds = [{needs}]\n'
        for name, needs in (("a", ""), ("b", '"a"'), ("c", '"b"'))
    )
    assert street.asked('checks = ["c"]', chain).verdict == "succeeded"


AWS = '[checks.up]\naws = "bucket:b"\n'


UNKNOWN = [
    Expired(profile="", option=""),
    NoCredentials(profile="", option=""),
    NotAllowed("s3:HeadBucket", "b"),
    Throttled(call="s3:HeadBucket"),
    Unreachable(call="s3:HeadBucket", reason="timed out"),
    Unwell(call="s3:HeadBucket", reason="503"),
    CloudError(call="s3:HeadBucket", reason="what nobody foresaw"),
]
"""What keeps a question to AWS from being answered."""


@pytest.mark.slow("faults", keep=2)
@pytest.mark.parametrize("problem", UNKNOWN, ids=lambda problem: problem.code)
def test_what_nobody_could_ask_is_no_reason_to_put_anything_back_and_none_to_call_it_well(
    street: Street, problem: CloudError
) -> None:
    street.problem = problem
    outcome = street.asked(CHECKS, AWS)
    assert (outcome.verdict, outcome.open, outcome.has_to_give_way) == ("in-doubt", True, False)
    assert outcome.cause.startswith("it is live, but check up could not be run: ")
    assert (
        sentence(outcome.next)
        == "see what does not answer: toolkit smoke-test --only up; once it does, continue:"
        " toolkit resume, or without its checks: toolkit resume --no-checks"
    )


def test_an_address_that_our_own_policy_keeps_us_from_asking_is_no_failure(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLKIT_PROBE_HOSTS", "elsewhere.example.com")
    outcome = street.asked(HEALTH, standby=True)
    assert (outcome.verdict, outcome.open, street.server.connections) == ("in-doubt", True, 0)
    assert "host 127.0.0.1 is not allowed (add it to `hosts`" in outcome.cause


def test_what_aws_says_is_not_there_has_failed(street: Street) -> None:
    street.problem = Missing(what="bucket", name="b", where="")
    outcome = street.asked(CHECKS, AWS)
    assert (outcome.verdict, outcome.has_to_give_way) == ("unhealthy", True)


NET = {
    "http": '[checks.up]\nhttp = "GET http://shop.example/"\n',
    "tcp": '[checks.up]\ntcp = "shop.example:80"\n',
    "tls": '[checks.up]\ntls = "shop.example:443"\n',
    "websocket": '[checks.up]\nwebsocket = "ws://shop.example/"\n',
    "dns": '[checks.up]\ndns = "shop.example"\n',
}


@pytest.mark.slow("faults", keep=2)
@pytest.mark.parametrize("sort", NET)
@pytest.mark.parametrize(
    ("error", "verdict"), [(socket.EAI_AGAIN, "in-doubt"), (socket.EAI_NONAME, "unhealthy")]
)
def test_a_resolver_that_does_not_answer_says_nothing_of_what_is_live(
    street: Street, monkeypatch: pytest.MonkeyPatch, sort: str, error: int, verdict: str
) -> None:
    def resolve(*args: object, **more: object) -> None:
        raise socket.gaierror(error, "so it was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("TOOLKIT_PROBE_HOSTS", "shop.example")
    outcome = street.asked(CHECKS, NET[sort])
    assert (outcome.verdict, outcome.has_to_give_way) == (
        verdict,
        verdict == "unhealthy",
    ), outcome.cause


@pytest.mark.slow("faults", keep=2)
@pytest.mark.parametrize(
    ("number", "verdict"),
    [
        (errno.ENETUNREACH, "in-doubt"),
        (errno.ENETDOWN, "in-doubt"),
        (errno.ECONNREFUSED, "unhealthy"),
    ],
)
@pytest.mark.parametrize("settings", [HEALTH, CHECKS], ids=["address", "check"])
def test_a_machine_without_a_network_says_nothing_of_what_is_live(
    street: Street, monkeypatch: pytest.MonkeyPatch, settings: str, number: int, verdict: str
) -> None:
    def connect(self: socket.socket, address: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "connect", connect)
    outcome = street.asked(settings, UP)
    assert (outcome.verdict, outcome.has_to_give_way) == (
        verdict,
        verdict == "unhealthy",
    ), outcome.cause


def test_a_suite_whose_program_is_not_there_says_nothing_of_what_is_live(street: Street) -> None:
    outcome = street.asked(CHECKS, '[checks.up]\ncommand = ["no-such-program"]\n')
    assert (outcome.verdict, outcome.open) == ("in-doubt", True)


def test_an_address_that_cannot_be_reached_for_a_moment_is_asked_again(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, rest = socket.socket.connect, [2]

    def connect(self: socket.socket, address: Any) -> None:
        rest[0] -= 1
        if rest[0] >= 0:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        really(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert street.asked(HEALTH).verdict == "succeeded"


def test_one_that_fails_decides_where_another_could_not_be_asked(street: Street) -> None:
    street.problem, street.says = Expired(profile="", option=""), well_after(60)
    outcome = street.asked('checks = ["up", "down"]', AWS + '[checks.down]\nhttp = "GET /"\n')
    assert (
        outcome.verdict,
        outcome.has_to_give_way,
        "check down did not pass" in outcome.cause,
    ) == ("unhealthy", True, True)


@pytest.mark.parametrize("status", ["200 OK", "500 Broken"])
def test_what_was_asked_has_to_have_been_what_was_deployed(street: Street, status: str) -> None:
    def somebody_else(head: str) -> bytes:
        street.live[None] = LiveVersion(
            None, detail={"task definition": "arn:aws:ecs:task-definition/web:3"}
        )
        return answer(status=status)

    street.says = somebody_else
    with pytest.raises(Superseded, match="someone else has deployed web:3 since"):
        street.asked(CHECKS, UP)


def test_with_a_lock_that_was_lost_meanwhile_nothing_counts(street: Street) -> None:
    street.fence = LockLost(target="app", reason="it ran out")
    with pytest.raises(LockLost):
        street.asked(CHECKS, UP)


def test_where_what_runs_cannot_be_seen_the_checks_decide(street: Street) -> None:
    def blind(head: str) -> bytes:
        street.live[None] = Unreachable(call="ecs:DescribeServices", reason="timed out")
        return answer()

    street.says = blind
    assert street.asked(CHECKS, UP).verdict == "succeeded"
    assert any(
        "whether it still runs could not be checked" in line for line in street.desk_log.lines
    )


@pytest.mark.parametrize(
    ("status", "verdict"), [("200 OK", "succeeded"), ("500 Broken", "unhealthy")]
)
def test_where_nothing_runs_any_more_the_checks_decide(
    street: Street, status: str, verdict: str
) -> None:
    def gone(head: str) -> bytes:
        street.live[None] = None
        return answer(status=status)

    street.says = gone
    assert street.asked(CHECKS, UP).verdict == verdict


def test_a_stop_while_it_is_asked_is_no_failure(street: Street) -> None:
    def stopping(head: str) -> bytes:
        street.stop.ask(2)
        return answer(status="500 Broken")

    street.says = stopping
    with pytest.raises(Stopped):
        street.asked(CHECKS, UP)


def test_a_stop_does_not_wait_for_an_address_that_hangs(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "TRY_S", 30.0)
    over, answered = Event(), list[bool]()

    def hanging(head: str) -> bytes:
        street.stop.ask(2)
        over.wait(20)
        answered.append(True)
        return answer()

    street.says = hanging
    try:
        with pytest.raises(Stopped):
            street.asked(HEALTH)
        assert not answered
    finally:
        over.set()


def test_where_a_good_version_is_recorded_it_can_be_put_back_by_hand_unless_that_is_done_already(
    street: Street,
) -> None:
    location, street.says = Location("prod", "eu-west-1"), well_after(60)
    street.recorded(ONE, location)
    look = "toolkit smoke-test --only up"
    assert (
        sentence(street.asked(CHECKS, UP, location).next)
        == f"toolkit rollback app, or look: {look}"
    )
    assert sentence(street.asked(CHECKS, UP, location, standby=True).next) == look


def test_the_first_deploy_of_all_is_not_told_to_go_back(street: Street) -> None:
    street.says = well_after(60)
    outcome = street.asked(CHECKS, UP, Location("prod", "eu-west-1"))
    assert (
        sentence(outcome.next),
        outcome.cause.endswith("; no good version is recorded that could be restored"),
    ) == (
        "toolkit smoke-test --only up",
        True,
    )


def test_a_secret_that_is_not_there_is_told_with_the_way_around_it(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STREET_WORD", raising=False)
    with pytest.raises(Refused) as refusal:
        street.asked(
            CHECKS, UP + 'headers = { X = "{word}" }\n[secrets.word]\nenv = "STREET_WORD"\n'
        )
    assert sentence(refusal.value.next).endswith("; without any check: --no-checks")


def test_a_check_that_is_no_longer_there_is_not_taken_for_passed(street: Street) -> None:
    rules = rules_of(street.server.url)
    settings = replace(rules.targets["app"].settings, checks=("up",))
    job = Job(
        "app",
        "app",
        "app",
        JobAction.DEPLOY,
        Location("dev"),
        settings,
        Version(TWO, TWO, "f"),
        "run",
        "t",
    )
    with pytest.raises(Refused, match="check 'up', which decides about it, is no longer there"):
        gates.step_gates(rules, [job], street.ports)
