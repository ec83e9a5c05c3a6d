"""What goes wrong between toolkit and AWS: the cause in one line of plain words, a next command
that exists, and the right exit code.
"""

import json
import re
import shlex
import socket
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.aws import Endpoint
from tests.support.repo import Repo
from tests.support.run import Result, Toolkit
from toolkit.cli.main import cli
from toolkit.operations import StepState
from toolkit.ports.aws import client
from toolkit.run import step
from toolkit.targets.app import observe

RULES = """\
version = 1
project = "shop"
environment = "dev"

[environments.dev]
account = "111111111111"
REGIONS

[targets.web]
kind = "app"
cluster = "main"
service = "web"
repository = "backend"

[targets.jobs]
kind = "stack"
stack = "Jobs"
template = "infra/jobs.json"

[[rules]]
name = "App"
paths = ["app/**"]
deploy = ["web"]

[[rules]]
name = "Jobs"
paths = ["infra/**"]
deploy = ["jobs"]
"""
REGIONS = 'regions = ["eu-west-1"]'
TEMPLATE = json.dumps({"Resources": {"Jobs": {"Type": "AWS::SQS::Queue"}}})
SECRET = "secret-of-the-scripted-endpoint"
APP, STACK = ("deploy-app", "--yes"), ("deploy-stack", "jobs", "--yes")


class Deploys:
    """A repository with an app and a stack, and a scripted AWS that has both."""

    def __init__(
        self, folder: Path, endpoint: Endpoint, toolkit: Toolkit, patch: pytest.MonkeyPatch
    ) -> None:
        self.endpoint, self.patch, self._toolkit = endpoint, patch, toolkit
        self.folder = folder
        self.repo = Repo.make(
            folder / "repo",
            {"app/main.py": "one\n", "infra/jobs.json": TEMPLATE},
            RULES.replace("REGIONS", REGIONS),
        )
        repository = endpoint.ecr.repository("backend")
        old = endpoint.ecr.image("backend", "old")
        endpoint.ecr.image("backend", self.repo.head)
        endpoint.ecs.service("web", f"{repository.uri}@{old.digest}", cluster="main")
        endpoint.calls.clear()

    def __call__(self, *args: str) -> Result:
        """Run toolkit in the repository."""
        return self._toolkit(self.repo.path, *args)

    def fault(self, operation: str, kind: str, times: int | None = None, **more: object) -> None:
        """Trouble with these calls, for ever unless said otherwise."""
        self.endpoint.fault(operation, times=times, kind=kind, **more)  # type: ignore[arg-type]

    def config(self, text: str) -> None:
        """AWS's configuration file of the person, and no keys in the environment."""
        path = self.folder / "config"
        path.write_text(text)
        self.patch.setenv("AWS_CONFIG_FILE", str(path))
        self.keys()

    def keys(self, **text: str) -> None:
        """Only these of the two keys."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.patch.delenv(name, raising=False)
        for name, value in text.items():
            self.patch.setenv(name, value)

    def brings_a_role(self, times: int) -> None:
        """So many of the next change sets of the stack grant permissions."""
        (self.repo.path / "infra/jobs.json").write_text(ROLE)
        cloud = self.endpoint.cloudformation
        for _ in range(times):
            cloud.next_change_set("complete", [cloud.change("Role", "AWS::IAM::Role", "Add")])

    def rules(self, before: str, after: str) -> None:
        """The same rules.toml but for one word, at the trusted base as well."""
        path = self.repo.path / "rules.toml"
        path.write_text(path.read_text().replace(before, after))
        self.repo.commit()
        self.endpoint.ecr.image("backend", self.repo.head)
        self.endpoint.calls.clear()


@pytest.fixture
def shop(
    tmp_path: Path, aws_endpoint: Endpoint, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> Deploys:
    """Few attempts and little patience, so that a test takes a second and not a minute."""
    monkeypatch.setattr(client, "ATTEMPTS", 2)
    monkeypatch.setattr(client, "READ_S", 0.5)
    monkeypatch.setattr(client, "CALL_S", 2.0)
    monkeypatch.setattr(step, "CERTAIN_AFTER_S", {StepState.ABSENT: 0.5, StepState.UNKNOWN: 5.0})
    monkeypatch.setattr(observe, "SURE_S", 1)
    return Deploys(tmp_path, aws_endpoint, toolkit, monkeypatch)


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as result:
        result.bind(("127.0.0.1", 0))
        return int(result.getsockname()[1])


def error(code: str, message: str, status: int = 400) -> Callable[[Deploys], None]:
    """AWS answers every call like this."""
    return lambda shop: shop.fault("*", "error", code=code, message=message, status=status)


def always(kind: str) -> Callable[[Deploys], None]:
    """Every call meets this."""
    return lambda shop: shop.fault("*", kind)


SIGNED_IN = """\
[default]
sso_session = shop
sso_account_id = 111111111111
sso_role_name = deployer
region = eu-west-1
[sso-session shop]
sso_region = eu-west-1
sso_start_url = https://shop.awsapps.test/start
"""
SKEWED = (
    "Signature expired: 20261120T193742Z is now earlier than 20261120T203742Z (20261120T204242Z - 5"
    " min.)"
)


def slow_clock(shop: Deploys) -> None:
    """AWS is an hour ahead of this machine, and says so."""
    shop.endpoint.clock.advance(3900)
    error("SignatureDoesNotMatch", SKEWED, 403)(shop)


def no_region(shop: Deploys) -> None:
    """Neither rules.toml nor the environment has one."""
    shop.rules(REGIONS, "")
    shop.patch.delenv("AWS_REGION")
    shop.patch.delenv("AWS_DEFAULT_REGION")


EVERYWHERE: dict[str, Callable[[Deploys], None]] = {
    "throttled": always("throttle"),
    "500": always("500"),
    "503": always("503"),
    "silent": always("silent"),
    "drip": always("drip"),
    "truncated": always("truncated"),
    "reset": always("reset"),
    "expired": always("expired"),
    "nothing listens": lambda shop: shop.patch.setenv(
        "AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}"
    ),
    "no such host": lambda shop: shop.patch.setenv("AWS_ENDPOINT_URL", "http://aws.invalid"),
    "no address": lambda shop: shop.patch.setenv("AWS_ENDPOINT_URL", "nonsense"),
    "no credentials": lambda shop: shop.keys(),
    "half of the keys": lambda shop: shop.keys(AWS_ACCESS_KEY_ID="111111111111"),
    "never signed in": lambda shop: shop.config(SIGNED_IN),
    "credential process": lambda shop: shop.config("[default]\ncredential_process = /bin/false\n"),
    "role without source": lambda shop: shop.config(
        "[default]\nrole_arn = arn:aws:iam::111111111111:role/x\n"
    ),
    "config file": lambda shop: shop.config("[default\n"),
    "invalid key": error(
        "InvalidClientTokenId", "The security token included in the request is invalid.", 403
    ),
    "invalid key of ecs": error(
        "UnrecognizedClientException", "The security token included in the request is invalid."
    ),
    "wrong secret": error(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your"
        " AWS Secret Access Key and signing method. Consult the service documentation for details.",
        403,
    ),
    "clock": slow_clock,
    "clock of s3": error(
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        403,
    ),
    "clock of ecs": error("InvalidSignatureException", SKEWED),
    "not opted in": error(
        "OptInRequired", "The AWS Access Key Id needs a subscription for the service", 403
    ),
    "no region": no_region,
    "no such region": lambda shop: shop.rules("eu-west-1", "eu west"),
    "wrong account": lambda shop: setattr(shop.endpoint, "account", "222222222222"),
    "denied": always("denied"),
    "something else": error(
        "WeirdException",
        "A sentence that toolkit has never heard of: https://x.test/?X-Amz-Signature=abc123&y=z",
    ),
}
"""What can go wrong with any call of any command."""


def told(result: Result, shop: Deploys) -> str:
    """What a person sees, without what differs every time."""
    text = f"exit {result.code}\n{re.sub(r'^endpoint: .*' + chr(10), '', result.err)}"
    text = (
        text.replace(shop.repo.head, "COMMIT")
        .replace(str(shop.folder), "FOLDER")
        .replace(shop.endpoint.url, "URL")
    )
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)


def check_the_form(result: Result) -> None:
    """One line for the cause, then what to do next, each command on a line of its own; no
    traceback, no address with a query, no secret.
    """
    first, second = cause_and_hint(result)
    assert (first[:7], second[:6]) == ("error: ", "hint: ")
    assert (
        len([splitline for splitline in result.err.splitlines() if splitline.startswith("error")])
        == 1
    )
    assert result.code in (1, 2, 7)
    for bad in ("Traceback", SECRET, "X-Amz-", "/?", "<class", "botocore", "urllib3"):
        assert bad not in result.err
    check_the_commands(result.err)


def cause_and_hint(result: Result) -> tuple[str, str]:
    """The line of the error, and what follows it."""
    error, *hint = result.err[result.err.rindex("error: ") :].splitlines()
    return error, "\n".join(hint)


def words(text: str) -> list[str]:
    """The words of an advice, however it is set."""
    return re.sub(r"[`:;,?]+(?=\s|$)|`", " ", text).split()


def check_the_commands(text: str) -> None:
    """Whatever is recommended as a command of toolkit is one."""
    for result in re.findall(
        r"(?m)(?:`|: |\$ |^ {2,})toolkit ((?:[a-z-]+ ?)+(?:--[a-z-]+)?)", text
    ):
        command: click.Command | None = cli
        with click.Context(cli) as context:
            for word in shlex.split(result):
                if isinstance(command, click.Group):
                    command = command.get_command(context, word)
                    assert command is not None, result
                elif word.startswith("--") and command is not None:
                    params = command.get_params(context)
                    assert any(word in option.opts for option in params), result


@pytest.mark.slow("faults", keep=16)
@pytest.mark.parametrize("args", [APP, STACK], ids=lambda args: args[0])
@pytest.mark.parametrize("trouble", EVERYWHERE)
def test_trouble_before_anything_is_begun_is_told(
    shop: Deploys, trouble: str, args: tuple[str, ...], snapshot: SnapshotAssertion
) -> None:
    EVERYWHERE[trouble](shop)
    result = shop(*args)
    assert told(result, shop) == snapshot
    check_the_form(result)
    assert not shop.endpoint.calls.applied(
        "RegisterTaskDefinition", "UpdateService", "CreateChangeSet"
    )
    as_json = shop(*args, "--json")
    document = as_json.json
    first, second = cause_and_hint(result)
    assert (document["exit"], document["status"], as_json.code) == (
        result.code,
        "error",
        result.code,
    )
    assert first == f"error: {document['error']['message']}"
    assert words(second) == words(f"hint: {document['error']['hint']}")


SPECIAL: dict[str, tuple[tuple[str, ...], Callable[[Deploys], object]]] = {
    "profile": ((*APP, "--profile", "nobody"), lambda shop: shop.keys()),
    "profile of the rules": (APP, lambda shop: shop.rules(REGIONS, f'{REGIONS}\nprofile = "gone"')),
    "expired sign-in of a profile": (
        (*APP, "--profile", "team"),
        lambda shop: shop.config("[profile team]\naws_access_key_id = 1\n"),
    ),
    "account of another environment": (
        ("deploy", "--all", "--yes"),
        lambda shop: setattr(shop.endpoint, "account", "222222222222"),
    ),
    "cluster": (APP, lambda shop: shop.rules('cluster = "main"', 'cluster = "mian"')),
    "service": (APP, lambda shop: shop.rules('service = "web"', 'service = "wbe"')),
    "repository": (APP, lambda shop: shop.rules('"backend"', '"bakend"')),
    "image": (
        (*APP, "--no-build", "--image", "v99"),
        lambda shop: shop.patch.setenv("AWS_REGION", "us-east-1"),  # which the AWS CLI would ask
    ),
    "nothing to build": (APP, lambda shop: shop.repo.commit(files={"app/main.py": "two\n"})),
    "template": (STACK, lambda shop: (shop.repo.path / "infra/jobs.json").unlink()),
    "stack": (("deploy-stack", "Jbos", "--yes"), lambda shop: None),
    "target": (("deploy-app", "wbe", "--yes"), lambda shop: None),
    "kind": (("deploy-app", "jobs", "--yes"), lambda shop: None),
    "denied service": (
        APP,
        lambda shop: shop.fault(
            "DescribeServices", "denied", resource="arn:aws:ecs:eu-west-1:1:service/main/web"
        ),
    ),
    "denied image": (APP, lambda shop: shop.fault("DescribeImages", "denied")),
    "denied stack": (STACK, lambda shop: shop.fault("DescribeStacks", "denied")),
    "denied by a policy": (
        APP,
        lambda shop: shop.fault(
            "DescribeServices", "error", code="AccessDeniedException", message=DENIED
        ),
    ),
    "denied in code": (
        STACK,
        lambda shop: shop.fault(
            "DescribeStacks", "error", code="AccessDenied", message=ENCODED, status=403
        ),
    ),
    "nothing was good": (("rollback", "web", "--yes"), lambda shop: None),
    "nothing is open": (("resume", "--yes"), lambda shop: None),
    "no such run": (("resume", "20260101-000000-aaaa", "--yes"), lambda shop: None),
}
"""What can go wrong with one command."""
DENIED = (
    "User: arn:aws:sts::111111111111:assumed-role/ci/run is not authorized to perform:"
    " ecs:DescribeServices on resource: arn:aws:ecs:eu-west-1:111111111111:service/main/web with an"
    " explicit deny in a service control policy"
)
ENCODED = (
    "You are not authorized to perform this operation. Encoded authorization failure message:"
    " 4GIOHlTkIaWHQD0Q0m6XSnuUMCm"
)


@pytest.mark.parametrize("trouble", SPECIAL)
def test_trouble_with_what_is_named_is_told(
    shop: Deploys, trouble: str, snapshot: SnapshotAssertion
) -> None:
    args, prepare = SPECIAL[trouble]
    prepare(shop)
    result = shop(*args)
    assert told(result, shop) == snapshot
    check_the_form(result)
    assert not shop.endpoint.calls.applied(
        "RegisterTaskDefinition", "UpdateService", "CreateChangeSet"
    )


UNDERWAY: dict[str, tuple[tuple[str, ...], str, dict[str, object]]] = {
    "may not register": (APP, "RegisterTaskDefinition", {"kind": "denied"}),
    "may not pass the role": (
        APP,
        "RegisterTaskDefinition",
        {
            "kind": "error",
            "code": "AccessDeniedException",
            "message": (
                "User: arn:aws:iam::111111111111:user/ci is not authorized to perform: iam:PassRole"
                " on resource: arn:aws:iam::111111111111:role/task because no identity-based policy"
                " allows the iam:PassRole action"
            ),
        },
    ),
    "may not update": (
        APP,
        "UpdateService",
        {"kind": "denied", "resource": "arn:aws:ecs:eu-west-1:111111111111:service/main/web"},
    ),
    "expired before the update": (APP, "UpdateService", {"kind": "expired"}),
    "expired while it is watched": (APP, "DescribeServiceDeployments", {"kind": "expired"}),
    "500": (APP, "RegisterTaskDefinition", {"kind": "500"}),
    "refused": (
        APP,
        "UpdateService",
        {
            "kind": "error",
            "code": "InvalidParameterException",
            "message": "The container web does not exist in the task definition.",
        },
    ),
    "may not make a change set": (STACK, "CreateChangeSet", {"kind": "denied"}),
    "expired before the change set": (STACK, "CreateChangeSet", {"kind": "expired"}),
    "expired while the stack is watched": (STACK, "DescribeStackEvents", {"kind": "expired"}),
    "stack refused": (
        STACK,
        "CreateChangeSet",
        {
            "kind": "error",
            "code": "ValidationError",
            "message": "Template format error: Unresolved resource dependencies [X]",
        },
    ),
    "may not execute": (STACK, "ExecuteChangeSet", {"kind": "denied"}),
}
"""What can go wrong once a run has begun: the command, the call, and what it meets."""


@pytest.mark.parametrize("trouble", UNDERWAY)
def test_trouble_in_the_middle_of_a_run_is_told_with_the_way_out(
    shop: Deploys, trouble: str, snapshot: SnapshotAssertion
) -> None:
    args, operation, fault = UNDERWAY[trouble]
    shop.fault(operation, **fault)  # type: ignore[arg-type]
    result = shop(*args)
    text = f"exit {result.code}\n" + re.sub(r"\d{8}-\d{6}-\w{4}", "RUN", result.out).replace(
        shop.repo.head[:12], "COMMIT"
    )
    text = re.sub(r" in \d+s", "", text)  # told from a second on: a slow machine needs one
    assert re.sub("tk-[0-9a-f]{24}", "...", text) == snapshot
    for bad in ("Traceback", SECRET, "/?"):
        assert bad not in result.out + result.err
    check_the_commands(result.out + result.err)
    [run] = shop("history", "--json").json["runs"]
    assert (run["ended"] is None) == (result.code in (5, 7))  # what is open is there for `resume`


@pytest.mark.parametrize("args", [APP, STACK], ids=lambda args: args[0])
def test_a_run_whose_credentials_expired_is_resumed_after_signing_in(
    shop: Deploys, args: tuple[str, ...]
) -> None:
    operation = "UpdateService" if args is APP else "ExecuteChangeSet"
    shop.fault(operation, "expired", times=1)
    assert shop(*args).code == 7
    again = shop("resume", "--json")
    assert (again.code, again.json["steps"][0]["verdict"]) == (0, "succeeded")
    assert shop.endpoint.calls.applied(operation) == 1


@pytest.mark.slow("faults", keep=2)
@pytest.mark.parametrize(
    "kind", ["expired", "denied", "500", "throttle", "silent", "drip", "truncated"]
)
def test_a_run_cannot_be_resumed_without_aws_and_is_left_as_it_is(shop: Deploys, kind: str) -> None:
    shop.fault("UpdateService", "expired", times=1)
    shop(*APP)
    shop.fault("*", kind)
    result = shop("resume", "--yes")
    assert (result.code, cause_and_hint(result)[1][:6]) == (
        1 if kind == "throttle" else 7,
        "hint: ",
    )
    shop.endpoint.faults.clear()
    assert shop("resume", "--yes").code == 0


ROLE = json.dumps(
    {
        "Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}
        }
    }
)
ASKED = "Jobs will create Role (grants permissions); --allow-broadening confirms this in advance"


def test_what_a_new_stack_has_to_be_agreed_to_is_told_before_the_run(shop: Deploys) -> None:
    (shop.repo.path / "infra/jobs.json").write_text(ROLE)
    dry = shop("deploy-stack", "jobs", "--dry-run")
    assert (dry.code, f"warning: {ASKED}" in " ".join(dry.out.split())) == (0, True)
    assert shop("deploy-stack", "jobs", "--dry-run", "--json").json["steps"][0]["warnings"] == [
        ASKED
    ]
    assert ASKED not in " ".join(
        shop("deploy-stack", "jobs", "--dry-run", "--allow-broadening").out.split()
    )
    assert not shop.endpoint.calls.of("CreateChangeSet")


def test_what_nobody_agreed_to_is_cancelled_and_exits_as_refused(shop: Deploys) -> None:
    shop.brings_a_role(3)
    result = shop(*STACK)
    assert (
        result.code,
        "cancelled: confirmation needed: Jobs: create Role (grants permissions)"
        in " ".join(result.out.split()),
    ) == (2, True)
    assert result.out.splitlines()[-1].endswith("nothing was changed.")
    document = shop(*STACK, "--json").json
    assert (document["exit"], document["status"], document["steps"][0]["verdict"]) == (
        2,
        "cancelled",
        "cancelled",
    )
    assert {(item["status"], item["exit"]) for item in shop("history", "--json").json["runs"]} == {
        ("cancelled", 2)
    }
    assert not shop.endpoint.calls.applied("ExecuteChangeSet")
    assert shop("resume", "--yes").code == 2, "nothing is open"


def test_what_nobody_agreed_to_beside_what_went_well_is_partly_done(shop: Deploys) -> None:
    shop.brings_a_role(1)
    result = shop(
        "deploy", "web", "jobs", "--yes", "--no-build", "--image", "old", "--force", "--json"
    )
    assert (result.code, {item["step"]: item["verdict"] for item in result.json["steps"]}) == (
        4,
        {"web": "succeeded", "jobs": "cancelled"},
    )
