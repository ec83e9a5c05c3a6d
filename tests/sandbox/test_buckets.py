"""A stack's bucket is deleted only while it is empty, as in AWS."""

import json
import time

from tests.support.sandbox import Cloud
from toolkit.ports.aws.client import Aws

TEMPLATE = json.dumps(
    {"Resources": {"Site": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "www"}}}}
)


def status(aws: Aws, stack: str, *over: str) -> str:
    """The state of a stack, once it is one of these."""
    for _ in range(200):
        found = aws.read("cloudformation", "describe_stacks", StackName=stack)["Stacks"][0]
        if found["StackStatus"] in over:
            return str(found["StackStatus"])
        time.sleep(0.05)
    raise AssertionError(found["StackStatus"])


def test_a_stack_with_a_bucket_that_is_not_empty_is_not_deleted(cloud: Cloud) -> None:
    aws = cloud.aws()
    stack = aws.write("cloudformation", "create_stack", StackName="S", TemplateBody=TEMPLATE)
    name = str(stack["StackId"])
    assert status(aws, name, "CREATE_COMPLETE")
    aws.write("s3", "put_object", Bucket="www", Key="index.html", Body=b"x")
    aws.write("cloudformation", "delete_stack", StackName=name)
    assert status(aws, name, "DELETE_FAILED", "DELETE_COMPLETE") == "DELETE_FAILED"
    aws.read("s3", "head_object", Bucket="www", Key="index.html")
    aws.write("s3", "delete_object", Bucket="www", Key="index.html")
    aws.write("cloudformation", "delete_stack", StackName=name)
    assert status(aws, name, "DELETE_FAILED", "DELETE_COMPLETE") == "DELETE_COMPLETE"
