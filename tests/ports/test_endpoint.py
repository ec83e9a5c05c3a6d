"""Where calls go, by our own reading of AWS's variables and files, against botocore's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import botocore.session  # type: ignore[import-untyped]
import botocore.utils  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.modes import by_mode
from tests.support.run import ROOT
from toolkit.errors import BadConfig
from toolkit.ports.aws import endpoint as module
from toolkit.ports.aws.endpoint import SERVICES, addresses, endpoint, everywhere, region


def theirs(profile: str | None, service: str) -> str:
    """The address that botocore gives a client."""
    session = botocore.session.Session(profile=profile)
    created = session.create_client(
        service,
        "eu-west-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="secret",
    )
    return str(created.meta.endpoint_url)


def files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, config: str = "", credentials: str = ""
) -> None:
    (folder / "config").write_text(config)
    (folder / "credentials").write_text(credentials)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))


A, B, C = "http://127.0.0.1:4566", "http://[::1]:9000", "https://aws.example.com/proxy"
FILE = f"""
[default]
region = eu-west-1
[profile all]
endpoint_url = {A}
[profile some]
services = mine
[profile both]
Endpoint_URL = {A}
services = mine
[profile off]
endpoint_url = {A}
ignore_configured_endpoint_urls = TRUE
[profile "two words"]
endpoint_url = {C}
[services mine]
s3 =
  endpoint_url = {B}
  addressing_style = path
elastic_load_balancing_v2 =
  endpoint_url = {C}
"""


@pytest.mark.slow("sweeps", keep=2)
@pytest.mark.parametrize(
    ("profile", "env", "expected"),
    [
        (None, {}, None),
        ("all", {}, A),
        (None, {"AWS_PROFILE": "all"}, A),
        (None, {"AWS_PROFILE": "some", "AWS_DEFAULT_PROFILE": "all"}, A),
        ("default", {"AWS_PROFILE": "all"}, None),
        ("some", {}, f"elbv2 {C}, s3 {B}"),
        ("both", {}, f"{A}, elbv2 {C}, s3 {B}"),
        ("two words", {}, C),
        ("off", {}, None),
        ("off", {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"}, A),
        ("all", {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, None),
        ("both", {"AWS_ENDPOINT_URL": C}, C),
        ("both", {"AWS_ENDPOINT_URL_S3": C}, f"{A}, elbv2 {C}, s3 {C}"),
        (None, {"AWS_ENDPOINT_URL": A}, A),
        (None, {"AWS_ENDPOINT_URL": f"{A}/"}, A),
        (None, {"AWS_ENDPOINT_URL": ""}, None),
        (None, {"AWS_ENDPOINT_URL": A, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "True"}, None),
        (None, {"AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2": A}, f"elbv2 {A}"),
        (None, {"AWS_ENDPOINT_URL_DYNAMODB": A}, None),
        (
            None,
            {"AWS_ENDPOINT_URL": "http://user:hunter2@localhost:4566/?x=1"},
            "http://localhost:4566",
        ),
        (
            None,
            {"AWS_ENDPOINT_URL": A, "AWS_ENDPOINT_URL_S3": "https://s3.eu-west-1.amazonaws.com"},
            f"{A}, s3 AWS",
        ),
        (
            None,
            {"AWS_ENDPOINT_URL_ECS": "https://vpce-0a-1b.ecs.eu-west-1.vpce.amazonaws.com"},
            None,
        ),
    ],
)
def test_the_endpoint_is_the_one_that_botocore_takes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    profile: str | None,
    env: dict[str, str],
    expected: str | None,
) -> None:
    files(tmp_path, monkeypatch, FILE)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert endpoint(profile) == expected
    special = addresses(profile)[1]
    for service in SERVICES:
        assert special.get(service, "") == module._shown(theirs(profile, service)), service


@pytest.mark.parametrize(
    ("profile", "env", "expected"),
    [
        (None, {}, None),
        ("far", {}, "us-west-2"),
        (None, {"AWS_PROFILE": "far"}, "us-west-2"),
        ("far", {"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ("far", {"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ("none", {"AWS_DEFAULT_REGION": ""}, None),
    ],
)
def test_the_region_is_the_one_that_calls_go_to(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    profile: str | None,
    env: dict[str, str],
    expected: str | None,
) -> None:
    files(
        tmp_path, monkeypatch, "[profile far]\nregion = us-west-2\n[profile none]\noutput = json\n"
    )
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert region(profile) == expected
    named = env.get("AWS_REGION")
    session = botocore.session.Session(profile=profile)
    assert (named or session.get_config_variable("region") or None) == expected


def test_a_queue_that_is_emulated_for_checks_is_told_but_moves_no_deploy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", A)
    assert (endpoint(None), everywhere(None)) == (None, f"sqs {A}")


@pytest.mark.parametrize(
    "address",
    [
        "https://my-balancer-1.eu-west-1.elb.amazonaws.com",
        "http://ec2-3-4-5-6.eu-west-1.compute.amazonaws.com:4566",
        "https://abc.execute-api.eu-west-1.amazonaws.com/ecs",
        "https://vpce-0a.vpce-svc-0b.eu-west-1.vpce.amazonaws.com",
        "https://ecs.eu-west-1.amazonaws.com.evil.example",
        "https://ecs.eu-west-1.amazonaws.com:8443",
        "localhost:4566",
        "http://[",
    ],
)
def test_what_others_run_at_an_address_of_amazon_is_not_aws(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    assert endpoint(None) == address


@pytest.mark.slow("sweeps", keep=8)
@pytest.mark.parametrize(
    "region",
    [
        "eu-west-1",
        "us-gov-west-1",
        "cn-north-1",
        "us-iso-east-1",
        "us-isob-east-1",
        "eusc-de-east-1",
    ],
)
@pytest.mark.parametrize("service", SERVICES)
def test_every_address_of_a_service_of_aws_is_known_as_its_own(
    monkeypatch: pytest.MonkeyPatch, service: str, region: str
) -> None:
    for variant in ({}, {"use_fips_endpoint": True}, {"use_dualstack_endpoint": True}):
        created = botocore.session.Session().create_client(
            service,
            region,
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="secret",
            config=botocore.config.Config(**variant),
        )
        assert module._shown(created.meta.endpoint_url) == "", created.meta.endpoint_url


def test_the_names_of_the_services_in_variables_are_botocores() -> None:
    overrides = botocore.utils.CLIENT_NAME_TO_HYPHENIZED_SERVICE_ID_OVERRIDES
    assert {name: overrides.get(name, name).replace("-", "_") for name in SERVICES} == SERVICES


def test_every_service_that_is_called_is_listed() -> None:
    called: set[str] = set()
    for path in (ROOT / "toolkit").rglob("*.py"):
        if "sandbox" not in path.parts:
            called.update(
                re.findall(
                    r"""\.(?:read|write|pages|streamed|knows|members)\(\s*"([a-z0-9-]+)",\s*"[a-z]""",
                    path.read_text(),
                )
            )
    assert {"ecs", "s3", "sqs", "sts"} <= called <= set(SERVICES)


WORDS = st.sampled_from(["", A, B, C])


@settings(
    max_examples=by_mode(15, 60, 300),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(
    general=WORDS,
    special=WORDS,
    filed=WORDS,
    filed_special=WORDS,
    credentials=WORDS,
    off=st.sampled_from(["", "true", "false", "TRUE", "1"]),
    file_off=st.sampled_from(["", "true", "yes"]),
)
def test_any_settings_together_mean_what_they_mean_to_botocore(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    general: str,
    special: str,
    filed: str,
    filed_special: str,
    credentials: str,
    off: str,
    file_off: str,
) -> None:
    lines = ["[profile x]", "services = mine"]
    if filed:
        lines.append(f"endpoint_url = {filed}")
    if file_off:
        lines.append(f"ignore_configured_endpoint_urls = {file_off}")
    lines += ["[services mine]", "ecs =", "  x = y"] + (
        [f"  endpoint_url = {filed_special}"] if filed_special else []
    )
    files(
        tmp_path,
        monkeypatch,
        "\n".join(lines),
        f"[x]\nendpoint_url = {credentials}\n" if credentials else "",
    )
    for name, value in (
        ("AWS_ENDPOINT_URL", general),
        ("AWS_ENDPOINT_URL_ECS", special),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", off),
    ):
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    ecs, s3 = (module._shown(theirs("x", service)) for service in ("ecs", "s3"))
    expected = s3 if ecs == s3 else f"{s3}, ecs {ecs or 'AWS'}" if s3 else f"ecs {ecs}"
    assert endpoint("x") == (expected or None)


def test_a_damaged_file_that_may_set_an_endpoint_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, monkeypatch, f"[profile x\nendpoint_url = {A}\n")
    with pytest.raises(BadConfig, match=f"{re.escape(str(tmp_path))}/config cannot be read"):
        endpoint("x")
    files(tmp_path, monkeypatch, "[profile x\nregion = eu-west-1\n")
    assert endpoint("x") is None


def test_asking_loads_neither_boto3_nor_a_parser_where_no_file_sets_an_endpoint(
    tmp_path: Path,
) -> None:
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    program = (
        "import sys; from toolkit.ports.aws.endpoint import endpoint; before = set(sys.modules);"
        " print(endpoint(None));print(sorted({'boto3', 'botocore', 'configparser'} &"
        " set(sys.modules)))"
    )
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ENDPOINT_URL": A,
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == [A, "[]"]
