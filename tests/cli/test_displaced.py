"""A stack whose template has an older image than the one that deploy-app has put live."""

import json

from tests.cli.test_deploy_errors import Deploys, shop
from tests.support.aws.ecs import Service

__all__ = ["shop"]

OLD = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/backend:old"
TEMPLATE = {
    "Resources": {
        "Service": {
            "Type": "AWS::ECS::Service",
            "Properties": {"TaskDefinition": {"Ref": "Task"}},
        },
        "Task": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {"ContainerDefinitions": [{"Name": "app", "Image": OLD}]},
        },
    }
}
AGAIN = "toolkit deploy-app web"


def with_service(shop: Deploys) -> Service:
    """The app's service belongs to the stack, whose template has just been changed."""
    service = shop.endpoint.ecs.find("web")
    types = {"Service": "AWS::ECS::Service", "Task": "AWS::ECS::TaskDefinition"}
    stack = shop.endpoint.cloudformation.stack("Jobs", "UPDATE_COMPLETE", types)
    stack.resources["Service"].physical = service.arn
    stack.resources["Task"].physical = service.definition
    (shop.repo.path / "infra/jobs.json").write_text(json.dumps(TEMPLATE))
    shop.repo.git("commit", "-qam", "a template")
    return service


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_a_stack_that_takes_an_app_back_says_what_to_deploy_again_and_so_does_health(
    shop: Deploys,
) -> None:
    service = with_service(shop)
    shop.endpoint.ecr.image("backend", shop.repo.head)
    assert shop("deploy-app", "web", "--yes").code == 0
    dry = shop("deploy-stack", "jobs", "--dry-run")
    assert "warning: what it takes out has to be deployed again afterwards:" in dry.out
    assert AGAIN in lines(dry.out)
    done = shop("deploy-stack", "jobs", "--yes")
    assert done.code == 0, done.err
    assert lines(done.out)[-3:-1] == [
        "next: what it takes out has to be deployed again afterwards:",
        AGAIN,
    ]
    # what CloudFormation does, and the scripted one does not
    tags = {"aws:cloudformation:stack-name": "Jobs"}
    put = shop.endpoint.ecs.definition("web", OLD, tags=tags)
    shop.endpoint.ecs.foreign_update(service, put.arn)
    health = shop("health", "web")
    revision = put.arn.rpartition("/")[2]
    assert (
        f"changed by stack Jobs: {revision} comes from its template, and replaces what was deployed"
        " since" in " ".join(health.out.split())
    )
    assert "not deployed by toolkit" not in health.out
    assert AGAIN in lines(health.out)
    assert shop(*AGAIN.split()[1:], "--yes").code == 0
    assert "changed by" not in shop("health", "web").out


def test_an_app_that_is_deployed_after_the_stack_needs_no_word(shop: Deploys) -> None:
    with_service(shop)
    shop.rules('repository = "backend"', 'repository = "backend"\nneeds = ["jobs"]')
    assert shop("deploy-app", "web", "--yes").code == 0
    assert AGAIN in shop("deploy-stack", "jobs", "--dry-run").out
    both = shop("deploy", "jobs", "web", "--dry-run")
    assert "this would put" in both.out
    assert "deployed again" not in both.out
