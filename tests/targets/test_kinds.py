"""What every kind has to offer. A new kind in the registry is tested by this without a line here,
but for its settings below.
"""

import importlib
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.run import ROOT
from toolkit import flow, targets
from toolkit.advice import NextCommand
from toolkit.errors import RulesError
from toolkit.model import Need, Target
from toolkit.targets.base import KindSettings

LEAST: dict[str, dict[str, Any]] = {
    "app": {"cluster": "c", "service": "s", "repository": "r"},
    "stack": {"stack": "s", "cdk": "cdk"},
    "function": {"function": "f", "source": "src"},
    "site": {"source": "dist", "bucket": "b"},
    "command": {"deploy": ["./deploy.sh"]},
    "group": {"members": ["other"]},
    "manual": {"instructions": "call Ada"},
}
"""For each kind the settings that it cannot do without."""

WATCHED: dict[str, Any] = {
    "health": ["https://example.com/health"],
    "alarms": ["errors"],
    "checks": ["read"],
    "settle": "2m",
    "bake": "30s",
}
"""What all kinds have that can be looked at."""

MOST: dict[str, dict[str, Any]] = {
    "app": {
        "build": {
            "context": "backend",
            "dockerfile": "backend/Dockerfile",
            "platform": "linux/amd64",
            "target": "prod",
            "args": {"A": "1"},
        },
        "container": "web",
        "container_test": {
            "port": 8080,
            "path": "/health",
            "status": 204,
            "command": ["./serve"],
            "env": {"A": "1"},
            "pass_env": ["TOKEN"],
            "deadline": "30s",
        },
        **WATCHED,
        "env": {"A": "1"},
        "secrets": {"B": "arn:aws:ssm:eu-west-1:111111111111:parameter/b"},
        "min_tasks": 0,
        "roles": ["tasks/web", "web-execution"],
    },
    "stack": {
        "context": {"suffix": "-prod"},
        "parameters": {"A": "1"},
        "outputs": ["Url"],
        "pass_env": ["STAGE", "TEAM_*"],
        **WATCHED,
    },
    "function": {"alias": "blue", **WATCHED},
    "site": {
        "build": {
            "command": ["npm", "run", "build"],
            "folder": "web",
            "env": {"MODE": "production"},
            "pass_env": ["NPM_TOKEN"],
        },
        "prefix": "app",
        "distribution": "E1",
        "url": "https://www.example.com",
        "index": "start.html",
        "error_pages": ["404.html"],
        "manifest": "dist/meta.json",
        "headers": [
            {
                "match": "downloads/**",
                "cache": "public, max-age=60",
                "type": "text/plain",
                "encoding": "br",
                "disposition": "attachment",
            }
        ],
        "keep": {"releases": 3, "days": 7},
        **WATCHED,
    },
    "command": {
        "plan": ["./plan.sh"],
        "changes": 2,
        "live": ["./live.sh"],
        "rollback": ["./back.sh", "{version}"],
        "folder": "infra",
        "env": ["TF_TOKEN"],
        **WATCHED,
        "health": ["./health.sh"],
    },
    "group": {},
    "manual": {},
}
"""For each kind the settings that it may have besides."""

INSTEAD: dict[str, dict[str, dict[str, Any]]] = {
    "stack": {"cdk": {"template": "t.yaml"}, "stack": {"stacks": ["Api-*"]}},
    "function": {
        "source": {
            "build": {
                "command": ["npm", "run", "build"],
                "output": "dist",
                "folder": "web",
                "pass_env": ["CI", "TEAM_*"],
            },
            "image": {
                "repository": "mail",
                "context": "mail",
                "dockerfile": "mail/Dockerfile",
                "platform": "linux/arm64",
                "target": "prod",
                "args": {"A": "1"},
            },
            "s3": {"bucket": "b", "key": "mail.zip", "version": "1"},
        }
    },
}
"""For each kind the settings that stand for one that it cannot do without."""

EVERY = pytest.mark.parametrize("name", targets.KINDS)


def target(name: str, **settings: Any) -> Target:
    """A target of a kind, read from a rules.toml."""
    lines = "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items())
    text = (
        f'version = 1\n[targets.it]\nkind = "{name}"\n{lines}[targets.other]\nkind ='
        ' "manual"\ninstructions = "x"\n'
    )
    return flow.read_rules(text.encode(), "rules.toml").targets["it"]


def refusal(name: str, **settings: Any) -> str:
    with pytest.raises(RulesError) as refused:
        target(name, **settings)
    [problem] = refused.value.problems
    return str(problem)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return msgspec.json.encode(value).decode()


def test_every_kind_has_its_settings_here() -> None:
    assert LEAST.keys() == MOST.keys() == targets.KINDS.keys()


def test_every_folder_of_a_kind_is_in_the_registry() -> None:
    folders = {path.parent.name for path in (ROOT / "toolkit" / "targets").glob("*/kind.py")}
    assert {name: f"toolkit.targets.{name}.kind" for name in folders} == targets.KINDS


@EVERY
def test_a_kind_offers_the_whole_contract(name: str) -> None:
    kind = targets.kind(name)
    assert kind.action.islower()
    assert kind.estimate_s >= 0
    assert issubclass(kind.Settings, KindSettings)
    assert all(callable(part) for part in (kind.problem, kind.members, kind.command))
    assert kind.__doc__


@EVERY
def test_what_a_kind_cannot_do_without_is_enough(name: str) -> None:
    actual = target(name, **LEAST[name])
    kind = targets.kind(name)
    assert (actual.kind, actual.action, actual.estimate_s) == (name, kind.action, kind.estimate_s)
    assert kind.problem(actual.settings) is None


@EVERY
def test_everything_else_may_be_said_besides(name: str) -> None:
    settings = LEAST[name] | MOST[name]
    actual = msgspec.to_builtins(target(name, **settings).settings)
    assert {key: _plain(actual[key]) for key in settings} == settings


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


ONLY_WITH = {"function": {"container_test"}}
"""What another setting has to stand beside: tried in tests/cli/test_container_test.py."""


@EVERY
def test_every_setting_is_described_and_tried_here(name: str) -> None:
    structs = msgspec.json.schema_components([targets.kind(name).Settings])[1]
    assert all(
        value.get("description")
        for struct in structs.values()
        for value in struct["properties"].values()
    )
    instead = {key for others in INSTEAD.get(name, {}).values() for key in others}
    assert structs[targets.kind(name).Settings.__name__]["properties"].keys() == LEAST[
        name
    ].keys() | MOST[name].keys() | instead | ONLY_WITH.get(name, set())


@EVERY
def test_a_setting_may_stand_for_another_but_not_beside_it(name: str) -> None:
    for field, others in INSTEAD.get(name, {}).items():
        without = {key: value for key, value in LEAST[name].items() if key != field}
        assert field in refusal(name, **without)
        for key, value in others.items():
            actual = msgspec.to_builtins(target(name, **without, **{key: value}).settings)
            assert msgspec.json.decode(msgspec.json.encode(actual[key])) == value
            assert field in refusal(name, **LEAST[name], **{key: value})


@EVERY
def test_a_setting_that_is_left_out_is_missed_by_name(name: str) -> None:
    fields = {
        field.name
        for field in msgspec.structs.fields(targets.kind(name).Settings)
        if field.required
    }
    assert fields <= LEAST[name].keys()
    for field in fields:
        document = {key: value for key, value in LEAST[name].items() if key != field}
        assert refusal(name, **document) == f"targets.it: `{field}` is missing"


@EVERY
def test_an_unknown_setting_is_refused_with_the_nearest_one(name: str) -> None:
    field = next(iter(LEAST[name]))
    wrong = f"{field[:-1]}{field[-1]}x"
    assert (
        refusal(name, **LEAST[name], **{wrong: "x"})
        == f"targets.it.{wrong}: unknown key; did you mean '{field}'?"
    )


@EVERY
def test_a_setting_of_the_wrong_type_is_refused(name: str) -> None:
    for field in LEAST[name]:
        assert f"targets.it.{field}" in refusal(name, **(LEAST[name] | {field: 5}))


@EVERY
def test_an_empty_setting_is_refused(name: str) -> None:
    for field, value in LEAST[name].items():
        assert f"targets.it.{field}" in refusal(name, **(LEAST[name] | {field: type(value)()}))


@EVERY
def test_needs_and_an_estimate_are_common_to_all(name: str) -> None:
    settings = {"members": ["third"]} if name == "group" else LEAST[name]
    text = f'version = 1\n[targets.it]\nkind = "{name}"\nneeds = ["other"]\nestimate = "1m1s"\n'
    text += "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items())
    text += "".join(
        f'[targets.{second}]\nkind = "manual"\ninstructions = "x"\n'
        for second in ("other", "third")
    )
    actual = flow.read_rules(text.encode(), "rules.toml").targets["it"]
    assert (actual.needs, actual.estimate_s) == ((Need("other"),), 61)


@EVERY
def test_only_a_group_covers_others(name: str) -> None:
    assert target(name, **LEAST[name]).members == (("other",) if name == "group" else ())


@EVERY
def test_the_command_is_the_action_on_the_target_and_none_where_the_kind_cannot_be_deployed(
    name: str,
) -> None:
    actual = target(name, **LEAST[name])
    can_run = name == "group" or targets.kind(name).runnable(actual.settings) is None
    assert can_run == (name in ("app", "stack", "function", "site", "command", "group"))
    assert flow.deploy_command(actual) == (NextCommand(actual.action, ("it",)) if can_run else None)


@EVERY
def test_settings_cannot_be_changed_and_share_nothing(name: str) -> None:
    item = target(name, **LEAST[name])
    assert item == target(name, **LEAST[name])
    with pytest.raises(AttributeError):
        setattr(item.settings, next(iter(LEAST[name])), "x")


@EVERY
def test_a_kind_is_loaded_by_name(name: str) -> None:
    module = importlib.import_module(targets.KINDS[name])
    assert targets.kind(name) is module.kind


def test_what_is_no_kind_is_not_loaded() -> None:
    with pytest.raises(KeyError):
        targets.kind("os")


@pytest.mark.parametrize("alias", ["7", "$LATEST"])
def test_an_alias_that_is_a_version_is_refused(alias: str) -> None:
    assert f"`alias` is {alias}" in refusal("function", **LEAST["function"], alias=alias)


@pytest.mark.parametrize("folder", ["/abs", "..", "../x", "a/../b", "a/..", ""])
def test_a_folder_outside_of_the_repository_is_refused(folder: str) -> None:
    assert "targets.it.source" in refusal("site", bucket="b", source=folder)


@pytest.mark.parametrize("folder", [".", "a", "a/b", "..a", "a../b", "a/...", "é"])
def test_a_folder_in_the_repository_is_taken(folder: str) -> None:
    assert target("site", bucket="b", source=folder).settings.source == folder


@pytest.mark.parametrize(
    "address",
    [
        "example.com",
        "ftp://example.com",
        "http://",
        "http://a b",
        "http://ada:pw@example.com",
        "file:///etc",
    ],
)
def test_an_address_to_probe_is_http_and_holds_no_password(address: str) -> None:
    assert "targets.it.health[0]" in refusal("app", **LEAST["app"], health=[address])


def test_an_address_may_hold_variables() -> None:
    assert target(
        "app", **LEAST["app"], health=["http://{app_host}/health?x=1"]
    ).settings.health == ("http://{app_host}/health?x=1",)


@given(
    st.dictionaries(
        st.sampled_from(("kind", "stack", "cdk", "template", "needs", "x")),
        st.sampled_from(("app", "a", 5, True, ["it"], {})),
    )
)
def test_any_table_is_a_target_or_is_refused(table: dict[str, Any]) -> None:
    text = "version = 1\n[targets.it]\n" + "".join(
        f"{key} = {_toml(value)}\n" for key, value in table.items()
    )
    assert tomllib.loads(text)["targets"]["it"] == table
    try:
        kind = flow.read_rules(text.encode(), "rules.toml").targets["it"].kind
    except RulesError:
        return
    assert kind in targets.KINDS


def test_the_examples_in_the_repository_load() -> None:
    files = [*ROOT.glob("rules.toml"), *(ROOT / "examples").rglob("rules.toml")]
    assert all(flow.read_rules(Path(file).read_bytes(), str(file)).targets for file in files)


def test_variables_are_handed_to_cdk_apps_only_and_never_all_of_them() -> None:
    assert refusal("stack", stack="s", template="t.yaml", pass_env=["STAGE"]).startswith(
        "targets.it: `pass_env` is for CDK apps"
    )
    for wrong in ("*", "", "A B", "A=1", "*A", "A*B", "1A", "A-B"):
        assert "targets.it.pass_env" in refusal("stack", stack="s", cdk="cdk", pass_env=[wrong])
