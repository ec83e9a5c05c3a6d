"""Steps wait for what the deployed artifacts say comes first, whatever `needs` says."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import Refused
from toolkit.flow.step_order import with_prerequisites
from toolkit.model import Resource, Version
from toolkit.operations import Job, JobAction, Location, Prerequisite, Preview

EU, US = Location("dev", "eu-west-1", "1"), Location("dev", "us-east-1", "1")


def job(target: str, location: Location = EU, needs: Sequence[str] = ()) -> Job:
    """A step that deploys the stack of that name."""
    settings = targets.kind("stack").Settings(stack=target.upper(), template="t.json")
    step = f"{target}@{location.region}"
    version, where = Version("c", "c", "f"), location
    return Job(
        step, target, "stack", JobAction.DEPLOY, where, settings, version, "r", "t", (*needs,)
    )


def after(*names: str, region: str | None = None) -> Preview:
    """A preview that says that these stacks come first."""
    return Preview((), after=tuple(Prerequisite(Resource("stack", name), region) for name in names))


def needs(jobs: Sequence[Job]) -> dict[str, tuple[str, ...]]:
    """What each step waits for."""
    return {job.step: job.needs for job in jobs}


def test_a_step_waits_for_the_stack_before_it_in_its_own_region() -> None:
    jobs = [job(name, location) for location in (EU, US) for name in ("api", "net")]
    previews = {job.step: after("NET", "ELSEWHERE") for job in jobs if job.target == "api"}
    assert needs(with_prerequisites(jobs, previews)) == {
        "api@eu-west-1": ("net@eu-west-1",),
        "net@eu-west-1": (),
        "api@us-east-1": ("net@us-east-1",),
        "net@us-east-1": (),
    }


def test_a_stack_that_is_fixed_to_a_region_is_waited_for_there() -> None:
    jobs = [job("site"), job("cert"), job("cert", US)]
    previews = {"site@eu-west-1": after("CERT", region="us-east-1")}
    assert needs(with_prerequisites(jobs, previews))["site@eu-west-1"] == ("cert@us-east-1",)


def test_a_stack_of_the_same_name_in_another_account_is_another_one() -> None:
    jobs = [job("api"), job("net", replace(EU, account="2"))]
    assert needs(with_prerequisites(jobs, {"api@eu-west-1": after("NET")}))["api@eu-west-1"] == ()


def test_what_needs_says_stays() -> None:
    jobs = [job("api", needs=["db@eu-west-1"]), job("db"), job("net")]
    found = needs(with_prerequisites(jobs, {"api@eu-west-1": after("NET")}))
    assert found["api@eu-west-1"] == ("db@eu-west-1", "net@eu-west-1")


def test_an_order_against_needs_is_refused_with_the_circle() -> None:
    jobs = [job("api"), job("net", needs=["api@eu-west-1"])]
    with pytest.raises(Refused, match="wait for each other") as refused:
        with_prerequisites(jobs, {"api@eu-west-1": after("NET")})
    assert "api@eu-west-1 -> net@eu-west-1" in str(refused.value) or (
        "net@eu-west-1 -> api@eu-west-1" in str(refused.value)
    )
