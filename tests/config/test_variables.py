"""What names become in each environment: two targets never change the same thing, and nothing is
left to be filled in.
"""

from pathlib import Path

import pytest

from tests.support.repo import Repo
from tests.support.run import Toolkit
from toolkit import flow
from toolkit.config.variables import is_hole
from toolkit.errors import Refused, RulesError
from toolkit.formats.variables import fill_settings
from toolkit.targets.stack.kind import kind as stack


def app(
    name: str, service: str = "web", container: str | None = None, cluster: str = "shop"
) -> str:
    named = f'container = "{container}"\n' if container else ""
    return (
        f'[targets.{name}]\nkind = "app"\ncluster = "{cluster}"\nservice = "{service}"\nrepository'
        f' = "r"\n{named}'
    )


def a_stack(name: str, called: str, more: str = "") -> str:
    return f'[targets.{name}]\nkind = "stack"\nstack = "{called}"\ntemplate = "t.yaml"\n{more}'


def problems(*parts: str, draft: bool = False) -> list[str]:
    try:
        flow.read_rules(("version = 1\n" + "".join(parts)).encode(), "rules.toml", draft)
    except RulesError as refused:
        return [str(problem) for problem in refused.problems]
    return []


DEV = '[environments.dev]\nregions = ["eu-west-1", "us-east-1"]\n'
PROD = '[environments.prod]\nregions = ["eu-west-1"]\n'

SAME = {
    "stacks": (
        (a_stack("a", "Api"), a_stack("b", "Api")),
        "it changes the stack 'Api', as target 'a' does",
    ),
    "a template and a CDK app": (
        (a_stack("a", "Api"), '[targets.b]\nkind = "stack"\nstack = "Api"\ncdk = "cdk"\n'),
        "it changes the stack 'Api', as target 'a' does",
    ),
    "a stack by its ARN": (
        (
            a_stack("a", "Api"),
            a_stack("b", "arn:aws:cloudformation:eu-west-1:111111111111:stack/Api/0b1c"),
        ),
        "it changes the stack 'Api', as target 'a' does",
    ),
    "stacks in one environment only": (
        (
            a_stack("a", "api{x}"),
            a_stack("b", "api-prod"),
            DEV + 'vars.x = "-dev"\n',
            PROD + 'vars.x = "-prod"\n',
        ),
        "it changes the stack 'api-prod' in environment 'prod', as target 'b' does",
    ),
    "stacks in one region only": (
        (a_stack("a", "api-{region}"), a_stack("b", "api-us-east-1"), DEV, PROD),
        "it changes the stack 'api-us-east-1' in environment 'dev', as target 'b' does",
    ),
    "stacks with other variables": (
        (
            a_stack("a", "{x}-api"),
            a_stack("b", "{y}-api"),
            DEV + 'vars = { x = "shop", y = "shop" }\n',
        ),
        "it changes the stack 'shop-api' in environment 'dev', as target 'a' does",
    ),
    "a service": ((app("a"), app("b")), "it changes the service 'shop/web', as target 'a' does"),
    "a service by its cluster's ARN": (
        (app("a"), app("b", cluster="arn:aws:ecs:eu-west-1:111111111111:cluster/shop")),
        "it changes the service 'shop/web', as target 'a' does",
    ),
    "a container": (
        (app("a", container="x"), app("b", container="x")),
        "it changes the service 'shop/web' (x), as target 'a' does",
    ),
    "a service and its container": (
        (app("a", container="x"), app("b")),
        "it changes the service 'shop/web', as target 'a' does",
    ),
    "a container and its service": (
        (app("a"), app("b", container="x")),
        "it changes the service 'shop/web' (x), as target 'a' does",
    ),
    "a function": (
        (
            '[targets.a]\nkind = "function"\nfunction = "f"\nsource = "s"\nalias = "blue"\n',
            '[targets.b]\nkind = "function"\nfunction = "f"\nsource = "t"\n',
        ),
        "it changes the function 'f', as target 'a' does",
    ),
    "a bucket": (
        (
            '[targets.a]\nkind = "site"\nsource = "a"\nbucket = "b"\n',
            '[targets.b]\nkind = "site"\nsource = "b"\nbucket = "b"\n',
        ),
        "it changes the bucket 'b', as target 'a' does",
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_two_targets_that_change_the_same_thing_are_an_error(case: str) -> None:
    parts, message = SAME[case]
    assert [problem.partition(": ")[2] for problem in problems(*parts)] == [
        f"{message}; each needs its own"
    ]


APART = {
    "other containers of a service": (app("a", container="x"), app("b", container="y")),
    "other services": (app("a"), app("b", service="worker")),
    "other clusters": (app("a"), app("b", cluster="other")),
    "a stack and a service of one name": (a_stack("a", "shop/web".replace("/", "-")), app("b")),
    "stacks that differ in every environment": (
        a_stack("a", "api{x}"),
        a_stack("b", "api-other"),
        DEV + 'vars.x = "-dev"\n',
        PROD + 'vars.x = "-prod"\n',
    ),
    "the same word under other variables": (
        a_stack("a", "{x}-api"),
        a_stack("b", "{y}-api"),
        DEV + 'vars = { x = "p", y = "q" }\n',
    ),
    "by hand twice": tuple(
        f'[targets.{name}]\nkind = "manual"\ninstructions = "call Ada"\n' for name in ("a", "b")
    ),
    "groups of the same": (
        a_stack("a", "Api"),
        '[targets.g]\nkind = "group"\nmembers = ["a"]\n',
        '[targets.h]\nkind = "group"\nmembers = ["a"]\n',
    ),
}


@pytest.mark.parametrize("case", APART)
def test_targets_that_change_other_things_are_left_alone(case: str) -> None:
    assert problems(*APART[case]) == []


def test_each_of_three_that_change_one_thing_is_told() -> None:
    assert len(problems(a_stack("a", "Api"), a_stack("b", "Api"), a_stack("c", "Api"))) == 2


@pytest.mark.parametrize(
    "args",
    [("diff", "HEAD"), ("rules", "check"), ("deploy", "--dry-run"), ("health",), ("explain", "a")],
    ids=" ".join,
)
def test_every_command_refuses_equal_targets_with_the_line(
    repo: Repo, toolkit: Toolkit, args: tuple[str, ...]
) -> None:
    repo.write({"rules.toml": "version = 1\n" + a_stack("a", "Api") + a_stack("b", "Api")})
    actual = toolkit(repo.path, *args)
    assert (actual.code, "rules.toml:6: targets.b: it changes the stack 'Api'" in actual.err) == (
        2,
        True,
    )


# One test of the container for all images of a repository

TEST = "container_test = { port = 80 }\n"
OTHER_TEST = "container_test = { port = 81 }\n"


def an_app(name: str, repository: str, test: str = TEST, build: str = "build = {}\n") -> str:
    return app(name, service=name).replace('"r"', f'"{repository}"') + build + test


def a_function(name: str, repository: str, test: str = TEST) -> str:
    return (
        f'[targets.{name}]\nkind = "function"\nfunction = "{name}"\nimage = {{ context = "a", '
        f'repository = "{repository}" }}\n{test}'
    )


UNLIKE = {
    "another": ((an_app("a", "r"), an_app("b", "r", OTHER_TEST)), "'r', as target 'a'"),
    "none": ((an_app("a", "r", ""), an_app("b", "r")), "'r', as target 'a'"),
    "an app and a function": (
        (an_app("a", "r"), a_function("b", "r", OTHER_TEST)),
        "'r', as target 'a'",
    ),
    "a repository of one environment": (
        (an_app("a", "{x}"), an_app("b", "prod", ""), DEV + 'vars.x = "dev"\n', PROD),
        "'prod' in environment 'prod', as target 'a'",
    ),
    "a repository of one region": (
        (an_app("a", "{region}"), an_app("b", "us-east-1", ""), DEV, PROD),
        "'us-east-1' in environment 'dev', as target 'a'",
    ),
    "a value of one environment": (
        (
            an_app("a", "r", 'container_test = { env = { A = "{x}" } }\n'),
            an_app("b", "r", 'container_test = { env = { A = "dev" } }\n'),
            DEV + 'vars.x = "dev"\n',
            PROD,
        ),
        "'r' in environment 'prod', as target 'a'",
    ),
    "variables without an environment": (
        (an_app("a", "{commit}"), an_app("b", "{commit}", "")),
        "'{commit}', as target 'a'",
    ),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_targets_that_share_a_repository_need_the_same_container_test(case: str) -> None:
    parts, message = UNLIKE[case]
    prod = [f'{part}vars.x = "prod"\n' if part == PROD else part for part in parts]
    assert problems(*prod) == [
        f"targets.b: it uses repository {message} does, but not with the same `container_test`; "
        "give both the same, or each its own repository"
    ]


ALIKE = {
    "the same": (an_app("a", "r"), a_function("b", "r")),
    "the same in other words": (
        an_app("a", "r", 'container_test = { port = 80, pass_env = ["A", "B"] }\n'),
        an_app(
            "b",
            "r",
            'container_test = { port = 80, path = "/", status = 200, pass_env = ["B", "A"],'
            ' deadline = "60s" }\n',
        ),
    ),
    "no test": (an_app("a", "r", ""), an_app("b", "r", "")),
    "other repositories": (an_app("a", "r"), an_app("b", "s", OTHER_TEST)),
    "no build": (an_app("a", "r"), an_app("b", "r", "", build="")),
    "a repository of another environment": (
        an_app("a", "{x}"),
        an_app("b", "staging", ""),
        DEV + 'vars.x = "dev"\n',
        PROD + 'vars.x = "prod"\n',
    ),
    "the same value": (
        an_app("a", "r", 'container_test = { env = { A = "{x}" } }\n'),
        an_app("b", "r", 'container_test = { env = { A = "{y}" } }\n'),
        DEV + 'vars = { x = "dev", y = "dev" }\n',
    ),
}


@pytest.mark.parametrize("case", ALIKE)
def test_targets_whose_images_are_tested_alike_or_apart_are_left_alone(case: str) -> None:
    assert problems(*ALIKE[case]) == []


# What is left to be filled in


@pytest.mark.parametrize(
    "text",
    [
        "{x}",
        "{x}-api",
        "api-{x}",
        "a-{x}-b",
        "{y}-{x}",
        "https://{x}/health",
        "a/{x}",
        "{x}{x}",
        "a:{x}",
    ],
)
def test_an_empty_variable_that_is_a_part_of_a_name_leaves_a_hole(text: str) -> None:
    assert is_hole(text, "x", {"x": "", "y": "shop"})


@pytest.mark.parametrize(
    "text", ["api{x}", "{x}api", "{y}{x}", "{x}{y}", "a{x}b", "a-{y}{x}", "https://{y}{x}/"]
)
def test_an_empty_variable_beside_other_letters_leaves_none(text: str) -> None:
    assert not is_hole(text, "x", {"x": "", "y": "shop"})


EMPTY = {
    "all of a stack's name": a_stack("a", "{x}"),
    "the beginning of a stack's name": a_stack("a", "{x}-api"),
    "a cluster": app("a", cluster="{x}"),
    "a service": app("a", service="web-{x}"),
    "a container": app("a", container="{x}"),
    "the host of an address": app("a") + 'health = ["https://{x}/health"]\n',
    "a bucket": '[targets.a]\nkind = "site"\nsource = "a"\nbucket = "{x}"\n',
    "a function": '[targets.a]\nkind = "function"\nsource = "a"\nfunction = "f-{x}"\n',
    "the template's file": (
        '[targets.a]\nkind = "stack"\nstack = "A"\ntemplate = "stacks/{x}/t.yaml"\n'
    ),
    "a build's context": app("a") + 'build = { context = "{x}" }\n',
}


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize("case", EMPTY)
def test_an_empty_variable_in_a_name_is_to_be_filled_in(case: str, blank: str) -> None:
    [message] = problems(EMPTY[case], DEV + f'vars.x = "{blank}"\n', PROD + 'vars.x = "full"\n')
    assert message.startswith("environments.dev.vars.x: it is empty, and targets.a.")
    assert message.endswith("needs it; fill it in")


@pytest.mark.parametrize(
    "part",
    [
        a_stack("a", "api{x}"),
        a_stack("a", "api", 'parameters = { Prefix = "{x}" }\n'),
        app("a") + 'env = { PREFIX = "{x}" }\n',
        a_stack("a", "api"),
    ],
    ids=["a suffix", "a parameter", "a variable of the container", "not used"],
)
def test_a_variable_may_be_empty_where_nothing_is_missing_then(part: str) -> None:
    assert problems(part, DEV + 'vars.x = ""\n') == []


def test_each_environment_that_lacks_it_is_told() -> None:
    assert (
        len(problems(a_stack("a", "{x}-api"), DEV + 'vars.x = ""\n', PROD + 'vars.x = ""\n')) == 2
    )


def test_a_draft_may_be_left_with_empty_variables() -> None:
    assert problems(a_stack("a", "{x}-api"), DEV + 'vars.x = ""\n', draft=True) == []


COMMANDS = (
    ("diff", "HEAD"),
    ("diff", "live"),
    ("rules", "check"),
    ("rules", "match", "a"),
    ("doctor",),
    ("health",),
    ("explain", "a"),
    ("deploy", "--all", "--dry-run"),
    ("deploy-stack", "a", "--yes"),
    ("rollback", "a"),
    ("permissions",),
    ("smoke-test",),
)


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_every_command_names_the_empty_variable_and_its_line(
    repo: Repo, toolkit: Toolkit, args: tuple[str, ...]
) -> None:
    repo.write(
        {
            "rules.toml": (
                'version = 1\nenvironment = "dev"\n[environments.dev.vars]\nbase = ""\n'
                + a_stack("a", "{base}-api")
            )
        }
    )
    actual = toolkit(repo.path, *args)
    assert actual.code == 2, actual.err
    assert (
        "rules.toml:4: environments.dev.vars.base: it is empty, and targets.a.stack ('{base}-api')"
        " needs it; fill it in" in actual.err
    )


def test_what_init_drafts_says_what_to_fill_in(tmp_path: Path, toolkit: Toolkit) -> None:
    program = (
        'import os\nimport aws_cdk as cdk\napp = cdk.App()\ncdk.Stack(app, os.environ["BASE_NAME"]'
        ' + "-api")\napp.synth()\n'
    )
    repo = Repo.make(
        tmp_path / "repo", {"cdk.json": '{"app": "python3 app.py"}', "app.py": program}, rules=None
    )
    assert toolkit(repo.path, "init").code == 0
    text = (repo.path / "rules.toml").read_text()
    if '= ""' not in text:
        pytest.skip("this draft leaves nothing to fill in")
    actual = toolkit(repo.path, "diff", "HEAD")
    assert (actual.code, "it is empty" in actual.err, "fill it in" in actual.err) == (2, True, True)


def test_a_name_that_is_empty_once_it_is_filled_in_is_refused_by_its_variable() -> None:
    settings = stack.Settings(stack="{base}", template="t.yaml")
    with pytest.raises(Refused, match=r"`\{base\}` is empty, and a name needs it"):
        fill_settings(settings, {"base": ""})
