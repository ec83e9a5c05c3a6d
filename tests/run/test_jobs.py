"""Targets become jobs, and jobs become lines of a journal and come back."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.targets.test_kinds import EVERY, LEAST, MOST, target
from toolkit import targets
from toolkit.errors import Refused, StateDamaged
from toolkit.flow.step_order import with_needs
from toolkit.formats.variables import fill_settings
from toolkit.model import Environment, Need, Target, Version
from toolkit.operations import Job, JobAction, Location
from toolkit.plan.graph import Graph
from toolkit.run.jobs import JobRequest, locations, make_jobs, pack, step_token, unpack
from toolkit.show.advice import sentence
from toolkit.targets.app.options import AppOptions, AppRestore, InProgress
from toolkit.targets.stack.options import StackOptions

VERSION = Version("v1", "c1", "f1")
OPTIONS: dict[str, dict[str, Any]] = {
    "app": {"image": "tag", "force": True, "in_progress": InProgress.REPLACE},
    "stack": {"allow_replace": True},
}


def environment(*regions: str) -> Environment:
    return Environment(
        name="dev",
        account="111111111111",
        regions=regions,
        profile="dev-profile",
        protected=True,
        store="s3://b/p",
    )


def made(
    result: Target,
    where: tuple[Location, ...] = (Location("dev", "eu-west-1"),),
    options: Any = None,
    **variables: str,
) -> tuple[Job, ...]:
    return make_jobs(
        JobRequest(
            "run",
            [result],
            where,
            variables,
            {result.name: VERSION},
            JobAction.DEPLOY,
            {result.kind: options} if options else {},
        )
    )


def through_json(job: Job) -> Job:
    """As the journal keeps it."""
    return unpack(json.loads(json.dumps(pack(job))), "the journal")


@pytest.mark.parametrize("field", ["estimate_s", "deadline_s"])
@pytest.mark.parametrize("seconds", [10**400, -1])
def test_times_that_make_no_sense_are_a_damaged_journal(field: str, seconds: int) -> None:
    [job] = made(target("stack", **LEAST["stack"]))
    with pytest.raises(StateDamaged, match="cannot be read"):
        unpack({**pack(job), field: seconds}, "the journal")


@EVERY
@pytest.mark.parametrize("all_of_them", [False, True])
def test_a_job_of_every_kind_comes_back_as_it_was(name: str, all_of_them: bool) -> None:
    settings = {**LEAST[name], **(MOST[name] if all_of_them else {})}
    options = targets.kind(name).Options(**(OPTIONS.get(name, {}) if all_of_them else {}))
    [job] = made(target(name, **settings), options=options)
    assert through_json(job) == job
    assert type(through_json(job).settings) is type(job.settings)
    assert type(through_json(job).options) is type(options)


def test_what_a_rollback_restores_comes_back_as_it_was() -> None:
    [job] = made(target("app", **LEAST["app"]), options=AppOptions(take_over=True))
    job = replace(job, action="rollback", restore=AppRestore(image_digest="sha256:1"))
    assert through_json(job) == job
    assert pack(job)["wishes"] == {"take_over": True, "image_digest": "sha256:1"}


def test_options_that_an_earlier_version_wrote_for_all_kinds_are_those_of_the_kind() -> None:
    """It wrote every option into every step, and the version of a rollback."""
    [job] = made(target("app", **LEAST["app"]))
    everything = {"force": True, "builder": "podman", "allow_delete": True, "recreate": True}
    back = {"version": "v1", "commit": None, "fingerprint": "f", "settings": "s"}
    back |= {"image_digest": "sha256:1", "task_definition": None}
    packed = {**pack(job), "wishes": {**everything, **back}, "action": "rollback"}
    old = unpack(packed, "the journal")
    assert old.options == AppOptions(force=True, builder="podman")
    assert old.restore == AppRestore(image_digest="sha256:1")
    assert unpack({**packed, "action": "deploy"}, "the journal").restore is None
    stack = {**pack(made(target("stack", **LEAST["stack"]))[0]), "wishes": everything}
    assert unpack(stack, "the journal").options == StackOptions(
        force=True, allow_delete=True, recreate=True
    )


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"newer": True}, "no kind has the option 'newer'"),
        ({"force": "yes"}, "Expected `bool`, got `str`"),
        ({"image": ["x"]}, "Expected `str | null`, got `array`"),
        (["force"], "Expected `object`, got `array`"),
        (None, "Expected `object`, got `null`"),
    ],
)
def test_options_that_cannot_be_read_are_damage(wishes: Any, reason: str) -> None:
    [job] = made(target("app", **LEAST["app"]))
    with pytest.raises(StateDamaged, match=re.escape(reason)):
        unpack({**pack(job), "wishes": wishes}, "the journal")


@EVERY
def test_settings_without_variables_stay_as_they_are(name: str) -> None:
    text = target(name, **{**LEAST[name], **MOST[name]})
    assert fill_settings(text.settings, {"suffix": "-x"}) == text.settings


def test_variables_are_filled_in_at_any_depth() -> None:
    text = target(
        "app",
        cluster="c{suffix}",
        service="{name}{suffix}",
        repository="{unknown}",
        build={"context": "x{suffix}"},
        env={"A": "{name}", "B": "{}"},
        health=["https://{name}.example.com/{suffix}"],
    )
    settings = fill_settings(text.settings, {"suffix": "-prod", "name": "web"})
    assert (settings.cluster, settings.service, settings.repository) == (
        "c-prod",
        "web-prod",
        "{unknown}",
    )
    assert settings.build.context == "x-prod"
    assert settings.env == {"A": "web", "B": "{}"}
    assert settings.health == ("https://web.example.com/-prod",)


def test_a_value_is_filled_in_once() -> None:
    text = target("app", cluster="{a}", service="s", repository="r")
    assert fill_settings(text.settings, {"a": "{b}", "b": "x"}).cluster == "{b}"


def test_without_an_environment_there_is_one_place() -> None:
    assert locations(None, "p", "eu-west-1") == (Location(profile="p", region="eu-west-1"),)
    assert locations(None, None, None) == (Location(),)


def test_an_environment_has_a_place_for_each_of_its_regions() -> None:
    values = locations(environment("eu-west-1", "us-east-1"), None, None)
    assert values == tuple(
        Location("dev", item, "111111111111", "dev-profile", True, "s3://b/p")
        for item in ("eu-west-1", "us-east-1")
    )
    assert [location.region for location in locations(environment(), None, None)] == [None]


def test_one_region_and_another_profile_can_be_asked_for() -> None:
    [actual] = locations(environment("eu-west-1", "us-east-1"), "mine", "us-east-1")
    assert (actual.region, actual.profile) == ("us-east-1", "mine")
    [actual] = locations(environment(), None, "us-east-1")
    assert actual.region == "us-east-1"


def test_a_region_that_the_environment_does_not_have_is_refused() -> None:
    with pytest.raises(Refused, match="dev is not in us-east-1") as refused:
        locations(environment("eu-west-1"), None, "us-east-1")
    assert "eu-west-1" in sentence(refused.value.next)


def test_each_region_has_a_step_of_its_own_which_waits_for_those_of_its_region() -> None:
    first, two = target("app", **LEAST["app"]), target("stack", **LEAST["stack"])
    first, two = (
        Target(name, result.kind, result.settings, "deploy", 60, needs)
        for name, result, needs in (("one", first, ()), ("two", two, (Need("one"),)))
    )
    where = tuple(Location("dev", region) for region in ("eu-west-1", "us-east-1"))
    jobs = make_jobs(
        JobRequest(
            "run",
            [first, two],
            where,
            {},
            {"one": VERSION, "two": VERSION},
            JobAction.DEPLOY,
            {},
        )
    )
    regions = ("eu-west-1", "us-east-1")
    jobs = with_needs(jobs, Graph({"one": first, "two": two}), regions)
    assert {job.step: job.needs for job in jobs} == {
        "one@eu-west-1": (),
        "two@eu-west-1": ("one@eu-west-1",),
        "one@us-east-1": (),
        "two@us-east-1": ("one@us-east-1",),
    }
    assert len({job.token for job in jobs}) == 4
    [job] = made(first)
    assert (job.step, job.target) == ("one", "one")


words = st.text(max_size=20)


@given(words, words, words, words, words, words)
def test_a_token_is_of_its_run_step_and_content_alone(
    a: str, b: str, c: str, x: str, y: str, z: str
) -> None:
    if not any("\0" in item for item in (a, b, c, x, y, z)):
        assert (step_token(a, b, c) == step_token(x, y, z)) == ((a, b, c) == (x, y, z))
    assert re.fullmatch("[0-9a-z]{24}", step_token(a, b, c))


BEFORE = {
    "step",
    "target",
    "kind",
    "action",
    "place",
    "settings",
    "version",
    "run",
    "token",
    "needs",
    "estimate_s",
    "deadline_s",
    "wishes",
    "undoes",
}
"""What a journal of the first version has of a job."""


@EVERY
def test_a_job_of_the_version_before_can_be_gone_on_with(name: str) -> None:
    [job] = made(target(name, **LEAST[name]))
    packed = {
        key: value for key, value in json.loads(json.dumps(pack(job))).items() if key in BEFORE
    }
    packed["version"] = {
        key: packed["version"][key] for key in ("name", "commit", "fingerprint", "dirty")
    }
    old = unpack(packed, "the journal")
    assert (old.step, old.token, old.version.name, old.version.settings) == (
        job.step,
        job.token,
        "v1",
        "",
    )


def test_a_job_knows_the_targets_whose_outputs_it_uses_and_the_journal_keeps_that() -> None:
    """With their settings filled in, whatever else the run deploys."""
    build = {"command": ["make"], "env": {"API": "{outputs.other.Url}"}}
    site = target("site", source="dist", bucket="b", needs=["other"], build=build)
    stack = replace(target("stack", stack="Api{suffix}", cdk="cdk"), name="other")
    request = JobRequest(
        "run",
        [site],
        (Location("dev", "eu-west-1"),),
        {"suffix": "-dev"},
        {site.name: VERSION},
        known={"other": stack, site.name: site},
    )
    [job] = make_jobs(request)
    [source] = job.consumed
    assert (source.target, source.kind, source.settings.stack) == ("other", "stack", "Api-dev")
    assert unpack(json.loads(json.dumps(pack(job))), "journal") == job
