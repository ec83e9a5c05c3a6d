"""What a rules.toml needs in the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from tests.security.test_time import DOCKERFILES, BoundedTime
from tests.support.run import ROOT
from tests.support.sandbox import Cloud
from toolkit import flow
from toolkit.cli.sandbox import project_of
from toolkit.errors import Refused
from toolkit.model import Rules
from toolkit.operations import Location, Provision, ProvisionKind
from toolkit.ports.aws.client import Aws
from toolkit.sandbox import provision

EXAMPLE = ROOT / "examples" / "car-rental"


def rules(text: str) -> Rules:
    return flow.read_rules(f"version = 1\n{text}".encode(), "rules.toml")


def parts(loaded: Rules, bare: bool = False) -> list[tuple[str | None, str, str, int]]:
    """What targets need, without what checks look for."""
    project = replace(project_of(loaded, str(EXAMPLE)), checked=lambda _: ())
    planned_parts = provision.planned_parts(project, bare)
    return [
        (item.location.account, item.what.what, item.what.name, item.port) for item in planned_parts
    ]


def test_the_example_needs_one_of_each_part_and_a_bootstrap_in_each_account() -> None:
    loaded = flow.load_rules(str(EXAMPLE), None, None)
    assert parts(loaded) == [
        ("111111111111", "repository", "car-rental-backend", 8080),
        ("111111111111", "service", "backend", 8080),
        ("111111111111", "function", "car-rental-login", 8080),
        ("111111111111", "bucket", "car-rental-web", 8080),
        ("111111111111", "bootstrap", "hnb659fds", 8080),
        ("222222222222", "repository", "car-rental-backend-prod", 8080),
        ("222222222222", "service", "backend-prod", 8080),
        ("222222222222", "function", "car-rental-login-prod", 8080),
        ("222222222222", "bucket", "car-rental-web-prod", 8080),
        ("222222222222", "bootstrap", "hnb659fds", 8080),
    ]
    assert [
        what for account, what, _, _ in parts(loaded, bare=True) if account == "111111111111"
    ] == ["repository", "bucket", "bootstrap"]


def test_the_bases_of_the_example_are_those_of_its_dockerfile() -> None:
    loaded = flow.load_rules(str(EXAMPLE), None, None)
    base_images = provision.base_images(project_of(loaded, str(EXAMPLE)))
    assert [(item.repository, item.reference) for item in base_images] == [
        ("library/python", "3.12-slim")
    ]


def test_a_dockerfile_that_is_not_there_has_no_bases(tmp_path: Path) -> None:
    loaded = rules(
        '[targets.a]\nkind = "app"\ncluster = "c"\nservice = "s"\nrepository = "r"\nbuild = {}\n'
    )
    assert provision.base_images(project_of(loaded, str(tmp_path))) == ()


def test_without_environments_there_is_one_account() -> None:
    loaded = rules('[targets.a]\nkind = "function"\nfunction = "f"\nsource = "src"\n')
    assert parts(loaded) == [(provision.ACCOUNT, "function", "f", 8080)]


def test_a_shared_store_needs_its_bucket() -> None:
    loaded = rules('[environments.dev]\nstore = "s3://locks/of/ours"\n')
    assert [(what, name) for _, what, name, _ in parts(loaded)] == [("bucket", "locks")]


def test_each_region_gets_its_own() -> None:
    loaded = rules(
        '[environments.dev]\nregions = ["eu-west-1", "us-east-1"]\n[targets.a]\nkind ='
        ' "site"\nsource = "d"\nbucket = "b-{suffix}"\n[environments.dev.vars]\nsuffix = "x"\n'
    )
    planned_parts = provision.planned_parts(project_of(loaded, str(EXAMPLE)))
    assert [(item.location.region, item.what.name) for item in planned_parts] == [
        ("eu-west-1", "b-x"),
        ("us-east-1", "b-x"),
    ]


@pytest.mark.parametrize("profile", ["a]\\n[default", "a#b", "a\\nb", "a=b"])
def test_a_profile_that_would_write_another_line_is_refused(profile: str) -> None:
    with pytest.raises(Refused, match="profile that no AWS configuration can name"):
        provision.locations(rules(f'[environments.dev]\nprofile = "{profile}"\n'))


@pytest.mark.parametrize(
    ("dockerfile", "port"),
    [
        ("FROM scratch\nEXPOSE 3000/tcp\n", 3000),
        ("FROM scratch\n", 8080),
        ("expose 80 443\n", 80),
        ("EXPOSE $PORT\n", 8080),
        ("EXPOSE 99999", 8080),
    ],
)
def test_the_port_is_the_first_that_the_dockerfile_exposes(dockerfile: str, port: int) -> None:
    assert provision.exposed_port(dockerfile) == port


@pytest.mark.parametrize("number", range(len(DOCKERFILES)))
def test_the_port_of_a_long_dockerfile_takes_no_time(number: int) -> None:
    with BoundedTime():
        provision.exposed_port(DOCKERFILES[number])


def test_the_name_of_a_balancer_is_short_and_its_own_in_every_place() -> None:
    loaded = flow.load_rules(str(EXAMPLE), None, None)
    names = {
        provision.balancer_name(location, "a-service-with-a-rather-long-name_x")
        for location in provision.locations(loaded)
    }
    assert len(names) == 2
    assert all(len(name) <= 32 and name.replace("-", "").isalnum() for name in names)


def test_a_first_deployment_is_waited_for_but_not_for_ever() -> None:
    class SlowAws:
        def __init__(self, *states: str) -> None:
            self.states = list(states)

        def read(self, service: str, operation: str, **_: object) -> dict[str, object]:
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return {"services": [{"deployments": [{"status": "PRIMARY", "rolloutState": state}]}]}

    part = provision.PlannedPart(
        Location(), Provision(ProvisionKind.SERVICE, "s", {"cluster": "c"})
    )
    slow, stuck = SlowAws("IN_PROGRESS", "IN_PROGRESS", "COMPLETED"), SlowAws("IN_PROGRESS")
    provision.wait_for_services([part], lambda location: cast(Aws, slow))
    assert slow.states == ["COMPLETED"]
    provision.wait_for_services([part], lambda location: cast(Aws, stuck), patience_s=0.1)


HOSTS = """
[environments.dev]
vars = { host = "api.dev.example.com" }
[environments.prod]
account = "222222222222"
vars = { host = "API.example.com" }
[targets.app]
kind = "app"
cluster = "c"
service = "s"
repository = "r"
health = ["http://{host}/health", "https://{host}:8443/", "https://same.example.com/"]
"""


def test_hosts_of_health_addresses_lead_to_their_services_one_that_two_name_to_the_first() -> None:
    expected = provision.planned_parts(project_of(rules(HOSTS), str(EXAMPLE)))
    dev, prod = "/_service/111111111111/us-east-1/c/s", "/_service/222222222222/us-east-1/c/s"
    assert provision.service_hosts(expected) == {
        "api.dev.example.com": dev,
        "same.example.com": dev,
        "api.example.com": prod,
    }


def test_what_no_target_names_is_made_too_where_it_is_asked_for(cloud: Cloud) -> None:
    more = (
        Provision(ProvisionKind.TABLE, "things"),
        Provision(ProvisionKind.QUEUE, "jobs"),
        Provision(ProvisionKind.PARAMETER, "/town/setting"),
        Provision(ProvisionKind.BUCKET, "more"),
    )
    expected = provision.planned_parts(
        provision.ProjectNeeds(rules(""), lambda *_: (), lambda _: "", lambda environment: more)
    )
    for _ in range(2):  # made twice is made once
        provision.make_parts(
            expected,
            lambda location: cloud.aws(location.account or "", location.region or ""),
            cloud.emulator.registry,
            lambda line: None,
        )
    aws = cloud.aws(provision.ACCOUNT, provision.REGION)
    assert (
        aws.read("dynamodb", "describe_table", TableName="things")["Table"]["TableStatus"]
        == "ACTIVE"
    )
    assert aws.read("sqs", "get_queue_url", QueueName="jobs")["QueueUrl"]
    assert (
        aws.read("ssm", "get_parameters", Names=["/town/setting"])["Parameters"][0]["Value"]
        == "sandbox"
    )
