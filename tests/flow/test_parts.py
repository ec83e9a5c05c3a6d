"""A run of a target with parts that a colleague has begun: its steps are what rules.toml here makes
of the target, or the run is not continued.
"""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from toolkit import flow
from toolkit.errors import Refused
from toolkit.flow import colleagues
from toolkit.flow.parts import with_shares
from toolkit.model import Version
from toolkit.operations import Job, Location, Preview
from toolkit.ports.ports import Ports
from toolkit.record.journal import EntryState, JournalEntry
from toolkit.record.locks import lock_name
from toolkit.run import jobs as run_jobs
from toolkit.run.jobs import JobRequest
from toolkit.targets.stack.settings import StackSettings

RULES = """\
version = 1
project = "shop"
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1", "us-east-1"]
store = "s3://state/shop"
[targets.infra]
kind = "stack"
stacks = "*"
cdk = "cdk"
bake = "1m"
[targets.net]
kind = "stack"
stack = "Net"
cdk = "cdk"
"""
REGIONS = [
    Location("dev", region, "111111111111", store="s3://state/shop")
    for region in ("eu-west-1", "us-east-1")
]


def steps() -> list[Job]:
    """The jobs of two stacks in two regions."""
    rules = flow.read_rules(RULES.encode(), "rules.toml")
    version = Version("a" * 40, "a" * 40, "f")
    request = JobRequest(
        "run", [rules.targets["infra"]], REGIONS, {}, {"infra": version}, known=rules.targets
    )
    jobs: list[Job] = []
    for job in run_jobs.make_jobs(request):
        parts = [run_jobs.part_job(job, name) for name in ("Api", "Jobs")]
        needs = tuple(part.step for part in parts)
        jobs += [*parts, replace(job, parts=("Api", "Jobs"), needs=needs, estimate_s=0)]
    return jobs


def resumable(jobs: list[Job], no_ports: Ports) -> list[str]:
    rules = flow.read_rules(RULES.encode(), "rules.toml")
    facts = {"jobs": [run_jobs.pack(job) for job in jobs]}
    entry = JournalEntry(1, "2026-11-20T12:00:00+00:00", EntryState.RUN, None, facts)
    state = colleagues.run_state("run", [entry], rules, no_ports, None)
    return [job.step for job in state.open]


@pytest.fixture
def no_ports(tmp_path: object) -> Ports:
    from toolkit.ports.clock import SystemClock

    def never(profile: str | None, region: str | None) -> object:
        raise AssertionError("nothing is asked")

    return Ports(str(tmp_path), str(tmp_path), SystemClock(), never)  # type: ignore[arg-type]


def test_the_steps_of_all_parts_are_what_the_rules_make_of_the_target(no_ports: Ports) -> None:
    jobs = steps()
    assert len({lock_name(job.location, job.target) for job in jobs}) == 2, "one for each region"
    assert resumable(jobs, no_ports) == [job.step for job in jobs]
    assert jobs[0].step == "infra:Api@eu-west-1"


def _other_stack(job: Job) -> Job:
    return replace(job, settings=StackSettings(stack="Net", cdk="cdk"))


def _other_step(job: Job) -> Job:
    return replace(job, step="net:Api@eu-west-1")


def _more_power(job: Job) -> Job:
    return replace(job, settings=replace(job.settings, pass_env=("AWS_*",)))


def _no_name(job: Job) -> Job:
    return replace(job, part="--force", step="infra:--force@eu-west-1")


@pytest.mark.parametrize("forge", [_other_stack, _other_step, _more_power, _no_name])
def test_a_part_that_the_rules_do_not_make_is_refused(
    forge: Callable[[Job], Job], no_ports: Ports
) -> None:
    first, *others = steps()
    forged = forge(first)
    token = run_jobs.step_token(forged.run, forged.step, forged.version.fingerprint)
    others[1] = replace(others[1], needs=(forged.step, others[0].step))
    with pytest.raises(Refused) as refused:
        resumable([replace(forged, token=token), *others], no_ports)
    assert "is not what rules.toml here says" in str(refused.value)


def test_a_whole_with_a_name_that_no_stack_can_have_is_refused(no_ports: Ports) -> None:
    jobs = steps()
    jobs[2] = replace(jobs[2], parts=("Api", "../x"))
    with pytest.raises(Refused):
        resumable(jobs, no_ports)


@pytest.mark.parametrize(
    ("after", "unchanged", "expected"),
    [
        ((), (), (300, 300)),  # both at once
        ("Api", (), (150, 150)),  # one after the other
        ("Api", ("Api",), (0, 300)),
        ("Api", ("Api", "Jobs"), (0, 0)),
    ],
)
def test_the_parts_that_change_share_the_time_of_their_target(
    after: str, unchanged: tuple[str, ...], expected: tuple[int, int]
) -> None:
    jobs = [
        replace(job, needs=(f"infra:Api@{job.location.region}",))
        if after and job.part == "Jobs"
        else job
        for job in steps()
    ]
    previews = {job.step: Preview((), unchanged=job.part in unchanged) for job in jobs}
    shared = with_shares(jobs, previews)
    assert [job.estimate_s for job in shared if not job.part] == [0, 0]
    assert [job.estimate_s for job in shared if job.part] == [*expected, *expected]
