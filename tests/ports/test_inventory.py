"""What runs in an account, as lists."""

from tests.support.aws import Endpoint
from toolkit.ports.aws import inventory
from toolkit.ports.aws.client import Aws


def test_buckets_of_other_regions_are_left_out(aws_endpoint: Endpoint) -> None:
    for name, region in (("here", "eu-west-1"), ("there", "us-east-1")):
        aws_endpoint.s3.bucket(name).region = region
    assert list(inventory.buckets(Aws(None, "eu-west-1"))) == ["here"]
