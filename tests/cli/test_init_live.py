"""What `init` drafts is what a deploy then does, against a real (emulated) AWS."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.assemblies import APP
from tests.support.repo import Repo
from tests.support.run import ROOT, Toolkit
from tests.support.sandbox import ACCOUNT, REGION, Cloud, Emulator
from toolkit import targets
from toolkit.config.rules import load
from toolkit.model import Rules
from toolkit.operations import Location, Provision, ProvisionKind
from toolkit.ports import process
from toolkit.ports.aws.client import Aws

pytestmark = pytest.mark.sandbox

JOB = """
on: {{push: {{branches: [main]}}}}
jobs:
  infra:
    steps:
      - uses: aws-actions/configure-aws-credentials@v4
        with: {{aws-region: eu-west-1, role-to-assume: "arn:aws:iam::111111111111:role/deploy"}}
      - run: {}
"""


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize(
    ("line", "places", "left_out"),
    [
        ("cd cdk && cdk deploy --all", {}, ""),
        ("cd cdk && cdk deploy '*' -c size=3", {}, ""),
        ("cd cdk && cdk deploy --all", {"Net": "aws://111111111111/us-east-1"}, "Net"),
    ],
)
def test_the_draft_of_a_whole_app_passes_its_check_and_a_dry_run(
    line: str,
    places: dict[str, str],
    left_out: str,
    tmp_path: Path,
    cloud: Cloud,
    toolkit: Toolkit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    which = process.which
    monkeypatch.setattr(process, "which", lambda name: None if name == "cdk" else which(name))
    monkeypatch.setenv("HOME", str(tmp_path))
    files = {
        ".github/workflows/deploy.yml": JOB.format(line),
        "cdk/cdk.json": json.dumps({"app": f"{sys.executable} app.py"}),
        "cdk/app.py": APP,
        "cdk/Net.stack.json": "{}",
        "cdk/Jobs.stack.json": "{}",
        "cdk/places.json": json.dumps(places),
    }
    repo = Repo.make(tmp_path / "shop", files, rules=None)
    assert toolkit(repo.path, "init").code == 0
    assert 'stacks = "*"' in (repo.path / "rules.toml").read_text()
    repo.commit("rules")
    assert toolkit(repo.path, "rules", "check").code == 0
    dry = toolkit(repo.path, "deploy", "--all", "--dry-run")
    assert dry.code == 0, dry.err
    steps = {name for name in ("Net", "Jobs") if f"cdk:{name}" in dry.out}
    assert steps == {"Net", "Jobs"} - {left_out}
    assert (f"no target covers stack {left_out}" in dry.out + dry.err) == bool(left_out)


EXAMPLE = ROOT / "examples" / "car-rental"
STACKS = ("CarRentalNetworkStack", "CarRentalApiStack", "CarRentalFargateStack")
ALL_STACKS = """version = 1
project = "car-rental"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
[targets.infra]
kind = "stack"
stacks = "*"
cdk = "cdk"
"""


@pytest.fixture
def rental(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """The example without its rules.toml, and with stacks that need no CDK."""
    which = process.which
    monkeypatch.setattr(process, "which", lambda name: None if name == "cdk" else which(name))
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "car-rental"
    ignored = shutil.ignore_patterns("dist", "cdk.out", "__pycache__", ".*_cache", "rules.toml")
    shutil.copytree(EXAMPLE, folder, ignore=ignored)
    files = {
        "cdk/cdk.json": json.dumps({"app": f"{sys.executable} app.py"}),
        "cdk/app.py": APP,
        **{f"cdk/{name}.stack.json": "{}" for name in STACKS},
    }
    repo = Repo.make(folder, files, rules=None)
    repo.commit("first")
    return repo


def fill(cloud: Cloud, folder: Path) -> None:
    """What runs of the example besides its stacks, and a few strangers."""
    aws = cloud.aws()
    location = Location("dev", REGION, ACCOUNT)
    app = {"cluster": "car-rental", "repository": "car-rental-backend", "container": "app"}
    cloud.emulator.provide(
        aws,
        location,
        Provision(ProvisionKind.SERVICE, "backend", app),
        Provision(ProvisionKind.SERVICE, "billing", {**app, "repository": "billing"}),
        Provision(ProvisionKind.FUNCTION, "car-rental-login", {"alias": "live"}),
        Provision(ProvisionKind.FUNCTION, "billing-export", {"alias": "live"}),
        Provision(ProvisionKind.BUCKET, "car-rental-web"),
    )
    subprocess.run([sys.executable, "build.py"], cwd=folder / "frontend", check=True)
    for path in sorted((folder / "frontend" / "dist").rglob("*")):
        if path.is_file():
            key = path.relative_to(folder / "frontend" / "dist").as_posix()
            body = path.read_bytes()
            aws.write("s3", "put_object", Bucket="car-rental-web", Key=key, Body=body)
    origin = {
        "Id": "web",
        "DomainName": f"car-rental-web.s3.{REGION}.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    config = {
        "CallerReference": "web",
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {"TargetOriginId": "web", "ViewerProtocolPolicy": "allow-all"},
    }
    aws.write("cloudfront", "create_distribution", DistributionConfig=config)


def drafted(text: str) -> Rules:
    return load(text.encode(), "rules.toml", targets.kind, tuple(targets.KINDS), draft=True)


@pytest.mark.slow("sandbox")
def test_the_account_gives_the_examples_own_targets(
    rental: Repo, cloud: Cloud, toolkit: Toolkit
) -> None:
    rental.commit("rules", {"rules.toml": ALL_STACKS})
    done = toolkit(rental.path, "deploy", "--all", "--yes")
    assert done.code == 0, done.out + done.err
    rental.git("rm", "-q", "rules.toml")
    fill(cloud, rental.path)
    answer = toolkit(rental.path, "init", "--from-aws", "--synth")
    text = (rental.path / "rules.toml").read_text()
    rules = drafted(text)
    settings: dict[str, Any] = {name: target.settings for name, target in rules.targets.items()}
    kinds = {name: target.kind for name, target in rules.targets.items() if not target.members}
    assert kinds == {
        "backend": "app",
        "car-rental-login": "function",
        "car-rental-web": "site",
        "car-rental-api-stack": "stack",
        "car-rental-fargate-stack": "stack",
        "car-rental-network-stack": "stack",
    }
    app = settings["backend"]
    assert (app.cluster, app.service, app.repository) == (
        "car-rental",
        "backend",
        "car-rental-backend",
    )
    assert app.build.context == "backend"
    login = settings["car-rental-login"]
    assert (login.source, login.alias) == ("lambda/login_handler", "live")
    assert settings["car-rental-web"].bucket == "car-rental-web"
    assert settings["car-rental-web"].distribution
    assert settings["car-rental-api-stack"].stack == "CarRentalApiStack"
    environment = rules.environments["dev"]
    assert (environment.account, environment.regions) == (ACCOUNT, (REGION,))
    assert f"# seen in the account {ACCOUNT} ({REGION}): stack CarRentalApiStack has what" in text
    strangers = ("service billing in cluster car-rental", "function billing-export")
    for stranger in strangers:
        assert f"  {stranger}: runs in the account; nothing here says" in answer.out
    filled = text.replace('car_rental_web_source = ""', 'car_rental_web_source = "frontend/dist"')
    assert filled != text
    rental.commit("drafted", {"rules.toml": filled})
    assert toolkit(rental.path, "rules", "check").code == 0
    # The app's base image comes from elsewhere.
    rest = kinds.keys() - {"backend"}
    dry = toolkit(rental.path, "deploy", *sorted(rest), "--dry-run")
    assert dry.code == 0, dry.out + dry.err


def test_without_credentials_the_rest_is_drafted(
    rental: Repo, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", REGION)
    document = toolkit(rental.path, "init", "--from-aws", "--json").json
    assert document["targets"] == ["cdk"]
    (what,) = [row["what"] for row in document["seen"] if row["where"] == "AWS"]
    assert "there are no AWS credentials" in what


def documented_actions() -> tuple[str, ...]:
    """What docs/permissions.md says that it needs."""
    page = (ROOT / "docs" / "permissions.md").read_text()
    section = page.split("## The first look at an account")[1].split("\n## ")[0]
    return tuple(re.findall(r"`([a-z0-9]+:\w+)`", section))


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        (("ecs:*",), {"functions": "lambda:ListFunctions", "stacks": "DescribeStacks"}),
        (("lambda:ListFunctions",), {"stacks of functions": "lambda:ListTags"}),
        (documented_actions(), {}),
    ],
)
def test_what_may_not_be_read_is_named_and_the_rest_goes_on(
    allowed: tuple[str, ...],
    said: dict[str, str],
    rental: Repo,
    strict_emulator: Emulator,
    toolkit: Toolkit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strict_emulator.reset()
    cloud = Cloud(strict_emulator, monkeypatch)
    cloud.enter()

    def sign_in(key: str, secret: str) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)

    sign_in("test", strict_emulator.secret)
    root = Aws(None, REGION)
    location = Location("dev", REGION, root.account())
    app = {"cluster": "car-rental", "repository": "car-rental-backend", "container": "app"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    root.write("iam", "create_role", RoleName="sandbox", AssumeRolePolicyDocument=trust)
    strict_emulator.provide(
        root,
        location,
        Provision(ProvisionKind.SERVICE, "backend", app),
        Provision(ProvisionKind.FUNCTION, "car-rental-login", {"alias": "live"}),
    )
    root.write("iam", "create_user", UserName="reader")
    key = root.write("iam", "create_access_key", UserName="reader")["AccessKey"]
    statement = {"Effect": "Allow", "Action": list(allowed), "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    root.write("iam", "put_user_policy", UserName="reader", PolicyName="p", PolicyDocument=document)
    sign_in(key["AccessKeyId"], key["SecretAccessKey"])
    answer = toolkit(rental.path, "init", "--from-aws", "--json").json
    seen = {row["where"]: row["what"] for row in answer["seen"]}
    for what, action in said.items():
        assert action in seen[what]
        assert "not known what of it runs" in seen[what]
    if not said:
        assert "not known" not in str(seen)
    assert ("backend" in answer["targets"]) == any("ecs" in action for action in allowed)
    assert ("car-rental-login" in answer["targets"]) == (not said)
