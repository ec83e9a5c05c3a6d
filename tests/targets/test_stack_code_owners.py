"""Where nothing but code differs in a stack: which function or service runs it, and the command
that deploys just that.
"""

from typing import Any

import pytest

from tests.plan.strategies import load
from tests.templates.parts import compared, resource, stack
from toolkit import targets
from toolkit.advice import NextCommand
from toolkit.flow.refined_plan import with_refinements
from toolkit.model import Base, BaseChoice, BaseKind, DiffResult, Head, Impact, Plan, Resource
from toolkit.templates.refinement import RefinedState, Refinement

FUNCTION = "AWS::Lambda::Function"
NAMED = {"FunctionName": "login"}
RULES = (
    '[targets.api]\nkind = "stack"\nstack = "Api"\ncdk = "cdk"\n',
    '[targets.login]\nkind = "function"\nfunction = "login"\nsource = "login"\n',
    '[targets.web]\nkind = "app"\ncluster = "main"\nservice = "web"\nrepository = "web"\n',
)


def function(key: str, **properties: Any) -> dict[str, Any]:
    return resource(FUNCTION, Code={"S3Bucket": "b", "S3Key": f"{key}.zip"}, **properties)


def service(image: str, cluster: Any = "main", **properties: Any) -> dict[str, Any]:
    containers = [{"Name": "w", "Image": image}]
    settings = {"ServiceName": "web", "TaskDefinition": {"Ref": "Task"}, "Cluster": cluster}
    return {
        "Task": resource("AWS::ECS::TaskDefinition", ContainerDefinitions=containers),
        "Service": resource("AWS::ECS::Service", **{**settings, **properties}),
        "Cluster": resource("AWS::ECS::Cluster", ClusterName="main"),
    }


def owners(before: dict[str, Any], after: dict[str, Any]) -> tuple[Resource, ...] | None:
    old, new = stack(before), stack(after)
    named: tuple[Resource, ...] | None = targets.kind("stack").code_owners(compared(old, new), new)
    return named


def test_a_function_is_known_by_its_fixed_name() -> None:
    login = (Resource("function", "login"),)
    assert owners({"Fn": function("a", **NAMED)}, {"Fn": function("b", **NAMED)}) == login
    assert owners({"Fn": function("a")}, {"Fn": function("b")}) is None
    derived = {"FunctionName": {"Fn::Sub": "login-${AWS::Region}"}}
    assert owners({"Fn": function("a", **derived)}, {"Fn": function("b", **derived)}) is None


@pytest.mark.parametrize("cluster", ["main", {"Ref": "Cluster"}])
def test_a_service_is_known_by_its_cluster_and_name(cluster: Any) -> None:
    web = (Resource("service", "main/web"),)
    assert owners(service("a:1", cluster), service("a:2", cluster)) == web


def test_a_service_whose_name_is_open_is_not_known() -> None:
    assert owners(service("a:1", ServiceName=None), service("a:2", ServiceName=None)) is None
    assert owners(service("a:1", {"Ref": "Other"}), service("a:2", {"Ref": "Other"})) is None


def test_of_several_one_that_is_not_known_leaves_all_unknown() -> None:
    before = {"Fn": function("a", **NAMED), "Other": function("a")}
    assert owners(before, {"Fn": function("b", **NAMED), "Other": function("b")}) is None
    assert owners(before, {"Fn": function("b", **NAMED), "Other": function("a")}) is not None


def test_code_beside_anything_else_has_no_owner() -> None:
    before, after = function("a", **NAMED), function("b", MemorySize=512, **NAMED)
    assert owners({"Fn": before}, {"Fn": after}) is None


def narrower(*code: Resource) -> dict[str, tuple[NextCommand, ...]]:
    rules = load(*RULES)
    plan = Plan((), (), (), 0, 0, ())
    base = Base(BaseKind.LAST, None, (), BaseChoice.RECORDED)
    answer = DiffResult(base, Head(), None, rules, Impact((), {}, {}), plan, {})
    refined = with_refinements(answer, {"api": Refinement(RefinedState.CHANGED, code=code)})
    return dict(refined.narrower)


def test_the_command_of_the_target_that_deploys_it_is_offered() -> None:
    login, web = Resource("function", "login"), Resource("service", "main/web")
    assert narrower(login, web) == {
        "api": (NextCommand("deploy-function", ("login",)), NextCommand("deploy-app", ("web",)))
    }


def test_where_no_target_deploys_one_of_them_nothing_is_offered() -> None:
    login = Resource("function", "login")
    assert narrower(login, Resource("function", "mail")) == {}
