"""How a static site is told: its bucket and distribution in the emulator, and scripted answers for
certificates and for what goes wrong.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.aws import AwsError, Endpoint
from tests.support.sandbox import Cloud
from tests.targets.permissions import by_action
from toolkit.model import Version
from toolkit.operations import Finding, HealthStatus, Job, JobAction, Location
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.show.advice import sentence
from toolkit.targets.site.kind import kind

ACCOUNT, REGION = "111111111111", "eu-west-1"
ARN = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/c1"


def job(account: str | None = ACCOUNT, **settings: Any) -> Job:
    result = kind.Settings(**{"source": "my site/dist", "bucket": "www", **settings})
    return Job(
        "www",
        "www",
        "site",
        JobAction.DEPLOY,
        Location("dev", REGION, account),
        result,
        Version("v", None, "print"),
        "r1",
        "0" * 24,
    )


def told(account: str | None = ACCOUNT, **settings: Any) -> dict[str, Finding]:
    """What is told of the site, by what it is about."""
    findings: list[Finding] = []
    ports = Ports("", "", SystemClock(), Aws)
    assert kind.health(job(account, **settings), ports, findings.append) is None
    assert len({entry.what for entry in findings}) == len(findings)
    for item in findings:
        assert isinstance(item.status, HealthStatus)
        assert (item.status == "ok") is (not item.cause) is (not item.next), item
    return {entry.what: entry for entry in findings}


# --- real


def distribution(aws: Aws, enabled: bool = True) -> str:
    """A distribution in front of the bucket; its id."""
    origin = {
        "Id": "o",
        "DomainName": "www.s3.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    origin["CustomHeaders"] = {
        "Quantity": 1,
        "Items": [{"HeaderName": "x-origin", "HeaderValue": "canary"}],
    }
    document = {
        "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
        "MinTTL": 0,
    }
    config = {
        "CallerReference": "1",
        "Comment": "",
        "Enabled": enabled,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "o",
            "ViewerProtocolPolicy": "allow-all",
            **document,
        },
    }
    return str(
        aws.write("cloudfront", "create_distribution", DistributionConfig=config)["Distribution"][
            "Id"
        ]
    )


def bucket(aws: Aws) -> None:
    aws.write(
        "s3",
        "create_bucket",
        Bucket="www",
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )


def test_a_site_that_is_not_there_is_told_part_by_part(cloud: Cloud) -> None:
    cloud.aws()
    signs = told(distribution="ENONE")
    assert {what: (item.status, item.cause) for what, item in signs.items()} == {
        "bucket": ("failing", "there is no bucket www"),
        "distribution": ("failing", "there is no distribution ENONE"),
    }


def test_a_bucket_without_a_first_page_is_failing_and_the_command_deploys_it(cloud: Cloud) -> None:
    bucket(cloud.aws())
    signs = told()
    assert (signs["bucket"].status, signs["bucket"].detail) == ("ok", "www in eu-west-1")
    assert (signs["index"].status, signs["index"].cause) == ("failing", "it has no index.html")
    assert sentence(signs["index"].next) == "deploy it: toolkit deploy-site www"


def test_a_site_in_order_is_ok_and_no_header_of_its_origin_is_shown(cloud: Cloud) -> None:
    aws = cloud.aws()
    bucket(aws)
    aws.write("s3", "put_object", Bucket="www", Key="index.html", Body=b"<html>")
    signs = told(distribution=distribution(aws))
    assert {what: item.status for what, item in signs.items()} == {
        "bucket": "ok",
        "index": "ok",
        "distribution": "ok",
    }
    assert signs["distribution"].detail.endswith(".cloudfront.net deployed")
    for what in ("index", "distribution"):
        assert datetime.fromisoformat(signs[what].since or "").utcoffset() == timedelta(0)
    assert "canary" not in repr(signs)


def test_a_distribution_that_is_disabled_is_failing(cloud: Cloud) -> None:
    name = distribution(cloud.aws(), enabled=False)
    finding = told(distribution=name)["distribution"]
    assert (finding.status, finding.detail) == ("failing", "disabled")
    assert sentence(finding.next).endswith(f"--id {name}")


# --- scripted


@pytest.fixture
def scripted(aws_endpoint: Endpoint) -> Endpoint:
    """A bucket with a first page, and a distribution with a certificate for a year."""
    aws_endpoint.s3.put("www", "index.html", b"<html>")
    served(aws_endpoint)
    shown(aws_endpoint, timedelta(days=365))
    aws_endpoint.on("cloudwatch", "DescribeAlarms", {"MetricAlarms": [], "CompositeAlarms": []})
    return aws_endpoint


def served(
    endpoint: Endpoint, status: str = "Deployed", certificate: dict[str, Any] | None = None
) -> None:
    """What CloudFront says."""
    viewer = {"ACMCertificateArn": ARN} if certificate is None else certificate
    document = {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all"}
    origins = {"Quantity": 1, "Items": [{"Id": "o", "DomainName": "www.s3.amazonaws.com"}]}
    config = {
        "CallerReference": "1",
        "Comment": "",
        "Enabled": True,
        "Origins": origins,
        "DefaultCacheBehavior": document,
    }
    table = {
        "Id": "E1",
        "ARN": "arn:aws:cloudfront::1:distribution/E1",
        "Status": status,
        "LastModifiedTime": datetime.now(UTC),
        "InProgressInvalidationBatches": 0,
        "DomainName": "d1.cloudfront.net",
        "DistributionConfig": {**config, "ViewerCertificate": viewer},
    }
    endpoint.on("cloudfront", "GetDistribution", {"Distribution": table})


def shown(endpoint: Endpoint, rest: timedelta | None, status: str = "ISSUED", **more: Any) -> None:
    """What ACM says: how long the certificate is still good."""
    document = {
        "CertificateArn": ARN,
        "DomainName": "shop.example",
        "Status": status,
        "Type": "AMAZON_ISSUED",
        **more,
    }
    if rest is not None:
        document["NotAfter"] = datetime.now(UTC) + rest
    endpoint.on("acm", "DescribeCertificate", {"Certificate": document})


def renewal(status: str, **more: str) -> dict[str, Any]:
    return {
        "RenewalStatus": status,
        "DomainValidationOptions": [{"DomainName": "shop.example"}],
        "UpdatedAt": datetime.now(UTC),
        **more,
    }


def certificate() -> Finding:
    return told(distribution="E1")["certificate"]


def test_a_certificate_is_asked_for_in_its_own_region(scripted: Endpoint) -> None:
    finding = certificate()
    assert finding.status == "ok"
    assert (
        finding.detail == f"until {datetime.now(UTC) + timedelta(days=365):%Y-%m-%d}, 364 days left"
    )
    assert [(call.region, call.params) for call in scripted.calls.of("acm:*")] == [
        ("us-east-1", {"CertificateArn": ARN})
    ]


def test_a_certificate_that_has_ended_is_failing(scripted: Endpoint) -> None:
    shown(scripted, -timedelta(hours=1), "EXPIRED")
    finding = certificate()
    assert (finding.status, finding.detail) == ("failing", "expired")
    assert finding.cause.startswith("the certificate of shop.example expired on 20")
    assert finding.cause.endswith("; no renewal has started")
    assert (
        sentence(finding.next) == "create the DNS records that ACM checks; they are listed here:"
        f" aws acm describe-certificate --certificate-arn {ARN} --region us-east-1"
    )
    assert finding.since is not None


@pytest.mark.parametrize(
    ("days", "status", "text"),
    [
        (1, "warning", "1 day"),
        (13, "warning", "13 days"),
        (29, "warning", "29 days"),
        (30, "ok", ""),
    ],
)
def test_a_certificate_that_ends_soon_is_a_warning(
    scripted: Endpoint, days: int, status: str, text: str
) -> None:
    shown(scripted, timedelta(days=days, minutes=1))
    finding = certificate()
    assert finding.status == status
    assert finding.cause == (
        f"the certificate of shop.example expires in {text}; no renewal has started" if text else ""
    )


def test_a_renewal_that_does_not_go_on_is_told(scripted: Endpoint) -> None:
    shown(
        scripted,
        timedelta(days=9, hours=1),
        RenewalSummary=renewal("FAILED", RenewalStatusReason="CAA_ERROR"),
    )
    assert (
        certificate().cause
        == "the certificate of shop.example expires in 9 days; its renewal: FAILED: CAA_ERROR"
    )
    shown(scripted, timedelta(days=9, hours=1), Type="IMPORTED")
    finding = certificate()
    assert (
        finding.cause
        == "the certificate of shop.example expires in 9 days; it was imported, so ACM does"
        " not renew it"
    )
    assert (
        sentence(finding.next) == "import a new certificate into the same ARN; how it is now:"
        f" aws acm describe-certificate --certificate-arn {ARN} --region us-east-1"
    )


@pytest.mark.parametrize("status", ["REVOKED", "PENDING_VALIDATION", "INACTIVE"])
def test_a_certificate_that_is_not_issued_is_failing(scripted: Endpoint, status: str) -> None:
    shown(scripted, timedelta(days=90) if status == "REVOKED" else None, status)
    finding = certificate()
    assert (finding.status, finding.cause) == (
        "failing",
        f"the certificate of shop.example is {status}",
    )


def test_a_certificate_that_is_gone_is_failing_and_one_that_may_not_be_seen_unknown(
    scripted: Endpoint,
) -> None:
    scripted.on(
        "acm", "DescribeCertificate", AwsError("ResourceNotFoundException", "no such certificate")
    )
    assert certificate().cause == f"there is no certificate {ARN}"
    scripted.fault("DescribeCertificate", kind="denied")
    signs = told(distribution="E1")
    assert (
        signs["certificate"].status,
        signs["certificate"].detail,
        signs["distribution"].status,
    ) == ("unknown", "not allowed", "ok")


@pytest.mark.parametrize(
    "document", [{"CloudFrontDefaultCertificate": True}, {"IAMCertificateId": "i"}]
)
def test_a_certificate_that_is_not_of_acm_is_not_asked_for(
    scripted: Endpoint, document: dict[str, Any]
) -> None:
    served(scripted, certificate=document)
    assert told(distribution="E1").keys() == {"bucket", "index", "distribution"}
    assert not scripted.calls.count("acm:*")


def test_a_distribution_that_is_being_changed_is_a_warning(scripted: Endpoint) -> None:
    served(scripted, "InProgress")
    finding = told(distribution="E1")["distribution"]
    assert (finding.status, sentence(finding.next)) == (
        "warning",
        "wait for it: aws cloudfront wait distribution-deployed --id E1",
    )


@pytest.mark.parametrize("account", [ACCOUNT, None])
def test_a_bucket_of_somebody_else_is_unknown_with_both_reasons(
    scripted: Endpoint, account: str | None
) -> None:
    scripted.s3.buckets["www"].owner = "222222222222"
    signs = told(account)
    for what, action in (("bucket", "s3:ListBucket"), ("index", "s3:GetObject")):
        assert (signs[what].status, signs[what].detail) == ("unknown", "not allowed")
        assert (
            signs[what].cause
            == "bucket www belongs to another account, or these credentials are not allowed to"
            f" call {action} on it"
        )
    assert {call.params.get("ExpectedBucketOwner") for call in scripted.calls.of("s3:*")} == {
        account
    }


def test_a_bucket_in_another_region_is_named_with_it(scripted: Endpoint) -> None:
    scripted.s3.buckets["www"].region = "us-east-1"
    assert told()["bucket"].detail == "www in us-east-1"


def alarm(aws: Aws, name: str, namespace: str, dimension: str, value: str) -> None:
    """An alarm that rings."""
    aws.write(
        "cloudwatch",
        "put_metric_alarm",
        AlarmName=name,
        Namespace=namespace,
        MetricName="5xxErrorRate",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=5,
        ComparisonOperator="GreaterThanThreshold",
        Dimensions=[{"Name": dimension, "Value": value}],
    )
    aws.write(
        "cloudwatch",
        "set_alarm_state",
        AlarmName=name,
        StateValue="ALARM",
        StateReason="it is over 5",
    )


def test_alarms_of_the_distribution_are_looked_for_where_cloudfront_has_them(cloud: Cloud) -> None:
    current = cloud.aws()
    bucket(current)
    name = distribution(current)
    far = Aws(None, "us-east-1")
    alarm(current, "files", "AWS/S3", "BucketName", "www")
    alarm(current, "others", "AWS/S3", "BucketName", "www2")
    alarm(far, "pages", "AWS/CloudFront", "DistributionId", name)
    alarm(far, "far", "AWS/Billing", "Currency", "USD")
    assert {what for what in told() if what.startswith("alarm")} == {"alarm files"}
    assert {what for what in told(distribution=name) if what.startswith("alarm")} == {
        "alarm files",
        "alarm pages",
    }
    signs = told(distribution=name, alarms=("far", "nowhere"))
    assert {what for what in signs if what.startswith("alarm")} == {
        "alarm files",
        "alarm pages",
        "alarm far",
        "alarm nowhere",
    }
    assert signs["alarm nowhere"].cause == "there is no alarm nowhere"
    history = " aws cloudwatch describe-alarm-history --alarm-name"
    assert sentence(signs["alarm pages"].next).endswith(f"{history} pages --region us-east-1")
    assert sentence(signs["alarm files"].next).endswith(f"{history} files")


def moved(endpoint: Endpoint, times: int) -> None:
    """S3 says `times` times to each question that the bucket is in us-east-1."""
    document = {"HeadBucket": times, "HeadObject": times}
    by_name: dict[str, dict[str, Any]] = {
        "HeadBucket": {"BucketRegion": "us-east-1"},
        "HeadObject": {"LastModified": datetime.now(UTC)},
    }
    gone = AwsError("NoSuchKey", "The specified key does not exist.", 404)

    def manifest(params: dict[str, Any]) -> dict[str, Any]:
        if times > 1:
            raise AwsError("301", "Moved Permanently", 301)
        raise gone

    def answer(operation: str) -> dict[str, Any]:
        document[operation] -= 1
        if document[operation] >= 0:
            raise AwsError("301", "Moved Permanently", 301, **{"x-amz-bucket-region": "us-east-1"})
        return by_name[operation]

    endpoint.on("s3", "HeadBucket", lambda params: answer("HeadBucket"))
    endpoint.on("s3", "HeadObject", lambda params: answer("HeadObject"))
    endpoint.on("s3", "GetObject", manifest)


def test_a_redirect_to_another_region_is_followed(scripted: Endpoint) -> None:
    moved(scripted, 1)
    assert {what: (item.status, item.detail) for what, item in told().items()} == {
        "bucket": ("ok", "www in us-east-1"),
        "index": ("ok", "index.html is there"),
    }
    regions = sorted(call.region for call in scripted.calls.of("s3:*"))
    # Both ask at the same time, so the second may have learnt of it from the first.
    assert (regions[0], regions[-2:], len(regions) <= 5) == (
        "eu-west-1",
        ["us-east-1", "us-east-1"],
        True,
    )


def test_a_redirect_that_leads_to_another_one_is_unknown(scripted: Endpoint) -> None:
    moved(scripted, 9)
    signs = told()
    assert {value.cause for value in signs.values()} == {
        "bucket www is in another region, and S3 does not say where"
    }
    assert {value.status for value in signs.values()} == {"unknown"}


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        ("HeadBucket", "bucket"),
        ("HeadObject", "index"),
        ("GetDistribution", "distribution"),
        ("DescribeAlarms", "alarms"),
    ],
)
def test_a_part_that_does_not_answer_is_unknown_by_itself(
    scripted: Endpoint, operation: str, what: str
) -> None:
    scripted.fault(operation, times=None, kind="error", code="Odd", message="no", status=400)
    signs = told(distribution="E1")
    assert (signs[what].status, signs[what].detail) == ("unknown", "no answer")
    assert {item.status for name, item in signs.items() if name != what} == {"ok"}


def test_the_permissions_cover_a_look_and_are_of_this_site_only(scripted: Endpoint) -> None:
    told(distribution="E1")
    statements = kind.permissions(job(distribution="E1"))
    actions = {"s3:HeadBucket": "s3:ListBucket", "s3:HeadObject": "s3:GetObject"}
    called = {actions.get(name, name) for name in scripted.calls.names()}
    assert called < set(by_action(statements))
    services = {name.partition(":")[0] for name in scripted.calls.names()}
    assert services - {"acm"} == {*kind.services()} - {"sts"}
    assert [statement.resources for statement in statements][:3] == [
        ("arn:aws:s3:::www",),
        ("arn:aws:s3:::www/*",),
        (f"arn:aws:cloudfront::{ACCOUNT}:distribution/E1",),
    ]
    assert len(kind.permissions(job())) == 3
