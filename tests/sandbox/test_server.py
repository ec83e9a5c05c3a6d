"""The emulator's process."""

from tests.support.sandbox import Cloud


def test_two_accounts_see_nothing_of_each_other(cloud: Cloud) -> None:
    cloud.aws("111111111111").write("s3", "create_bucket", Bucket="one", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert cloud.aws("222222222222").read("s3", "list_buckets")["Buckets"] == []
    assert [bucket["Name"] for bucket in cloud.aws().read("s3", "list_buckets")["Buckets"]] == ["one"]
