"""Which stacks of an app a target with `stacks` stands for, by rules.toml alone."""

import pytest

from toolkit import flow
from toolkit.errors import Refused, RulesError
from toolkit.model import Resource
from toolkit.operations import Job, JobAction, Location
from toolkit.run import jobs as run_jobs
from toolkit.targets.stack import patterns
from toolkit.targets.stack.kind import kind
from toolkit.targets.stack.settings import StackSettings

HEAD = 'version = 1\nproject = "shop"\n[environments.dev]\nvars = { stage = "dev" }\n'


def target(name: str, settings: str) -> str:
    return f'[targets.{name}]\nkind = "stack"\ncdk = "cdk"\n{settings}\n'


def owners(*targets: str) -> dict[str, set[str]]:
    """Stack -> the targets that stand for it."""
    rules = flow.read_rules((HEAD + "".join(targets)).encode(), "rules.toml")
    jobs = run_jobs.jobs_without_run(
        list(rules.targets.values()), [Location("dev")], {"stage": "dev"}, rules.targets
    )
    owned: dict[str, set[str]] = {}
    for path in ("Net", "Jobs", "Api-1", "Api-2", "dev-Web", "Prod/Data"):
        name = path.replace("/", "-")
        for job in jobs:
            if job.settings.stack in (name, path) or patterns.matches(
                job.settings.patterns, name, path
            ):
                owned.setdefault(path, set()).add(job.target)
    return owned


def test_a_star_is_every_stack_of_every_stage() -> None:
    assert set(owners(target("all", 'stacks = "*"'))) == {
        "Net",
        "Jobs",
        "Api-1",
        "Api-2",
        "dev-Web",
        "Prod/Data",
    }


@pytest.mark.parametrize("named_first", [True, False])
def test_a_name_counts_more_than_a_pattern_and_a_star_is_the_rest(named_first: bool) -> None:
    texts = [
        target("net", 'stack = "Net"'),
        target("data", 'stack = "Prod/Data"'),
        target("api", 'stacks = ["Api-*", "Jobs"]'),
        target("one", 'stacks = ["*-1"]'),
        target("rest", 'stacks = "*"'),
    ]
    owned = owners(*(texts if named_first else texts[::-1]))
    assert owned == {
        "Net": {"net"},
        "Prod/Data": {"data"},
        "Jobs": {"api"},
        "Api-1": {"api" if named_first else "one"},
        "Api-2": {"api"},
        "dev-Web": {"rest"},
    }


def test_a_pattern_with_a_mark_takes_out_and_variables_are_filled_in() -> None:
    assert owners(target("api", 'stacks = ["Api-*", "!Api-2"]')) == {"Api-1": {"api"}}
    assert owners(target("web", 'stacks = "{stage}-*"')) == {"dev-Web": {"web"}}
    assert owners(target("prod", 'stacks = "Prod/*"')) == {"Prod/Data": {"prod"}}


def test_another_app_takes_nothing_away() -> None:
    other = '[targets.x]\nkind = "stack"\ncdk = "other"\nstack = "Net"\n'
    assert "all" in owners(target("all", 'stacks = "*"'), other)["Net"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("", "`stack` is missing"),
        ('stack = "Net"\nstacks = "*"', "it has both `stack`"),
        ("stacks = []", "`stacks` needs a pattern that matches"),
        ('stacks = ["!Net"]', "`stacks` needs a pattern that matches"),
        ('stacks = "a[z-a]"', "cannot be used"),
        ('stacks = "*"\nparameters = { A = "b" }', "`parameters` are for one `stack`"),
    ],
)
def test_settings_that_say_nothing_or_two_things_are_an_error(settings: str, problem: str) -> None:
    with pytest.raises(RulesError) as refused:
        owners(target("infra", settings))
    assert problem in str(refused.value.problems[0])


def test_a_template_is_one_stack() -> None:
    text = HEAD + '[targets.a]\nkind = "stack"\ntemplate = "a.yaml"\nstacks = "*"\n'
    with pytest.raises(RulesError) as refused:
        flow.read_rules(text.encode(), "rules.toml")
    assert "a template is one stack" in str(refused.value.problems[0])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('stacks = "*"', 'stacks = ["*"]'),
        ('stacks = ["Api-*"]', 'stacks = ["Api-*", "Net"]'),
        ('stacks = ["Net"]', 'stack = "Net"'),
        ('stacks = ["Prod/Data"]', 'stacks = ["Prod-Data"]'),
    ],
)
def test_two_targets_for_the_same_are_an_error(first: str, second: str) -> None:
    with pytest.raises(RulesError):
        owners(target("a", first), target("b", second))


def test_an_app_with_other_context_is_another_one() -> None:
    context = 'stacks = "*"\ncontext = { stage = "%s" }'
    assert owners(target("a", context % "one"), target("b", context % "two"))["Net"] == {"a", "b"}


def whole() -> Job:
    settings = StackSettings(
        stacks="*", cdk="cdk", health=("https://a.example",), bake="5m", checks=("c",)
    )
    rules = flow.read_rules((HEAD + target("infra", 'stacks = "*"')).encode(), "rules.toml")
    [job] = run_jobs.jobs_without_run(
        list(rules.targets.values()), [Location("dev", "eu-west-1")], {}, rules.targets
    )
    return Job(
        step="infra@eu-west-1",
        target="infra",
        kind="stack",
        action=JobAction.DEPLOY,
        location=job.location,
        settings=settings,
        version=job.version,
        run="r",
        token="t",
    )


def test_a_part_is_one_stack_that_nothing_but_the_whole_is_judged_for() -> None:
    job = run_jobs.part_job(whole(), "Net")
    assert (job.step, job.target, job.part) == ("infra:Net@eu-west-1", "infra", "Net")
    assert job.whole == "infra@eu-west-1"
    assert job.token not in (whole().token, run_jobs.part_job(whole(), "Jobs").token)
    assert job.settings == StackSettings(stack="Net", cdk="cdk")
    assert kind.writes(job.settings) == (Resource("stack", "Net"),)
    assert run_jobs.unpack(run_jobs.pack(job), "journal").settings == job.settings


@pytest.mark.parametrize("name", ["", "a b", "--force", "../x", "Net\n", "é", "1Net", "x" * 129])
def test_a_name_that_no_stack_can_have_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        run_jobs.part_job(whole(), name)


def test_permissions_are_as_narrow_as_the_patterns() -> None:
    def names(*wanted: str) -> tuple[str, ...]:
        return patterns.iam_names(StackSettings(stacks=wanted, cdk="cdk"))

    assert names("Api-*", "Net", "!Api-1") == ("Api-*", "Net")
    assert names("Prod/Data") == ("Prod-Data",)
    assert names("Prod/*") == names("Api-[12]") == names("Net", "*") == ("*",)
