"""ECR: which images a repository has, and the way into it."""

import base64
from typing import Any
from urllib.parse import urlsplit

from toolkit.errors import CloudError, Missing
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.ecs import part

_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


def repository(aws: Aws, name: str) -> dict[str, Any]:
    """A repository. Raises Missing."""
    try:
        answer = aws.read("ecr", "describe_repositories", repositoryNames=[name])
    except CloudError as problem:
        raise _missing(aws, name, problem) from None
    found: dict[str, Any] = part(answer, "repositories", "ecr:DescribeRepositories")[0]
    return found


def digest(aws: Aws, name: str, wanted: str) -> str | None:
    """The digest of the image with this tag (or digest), None if there is none. Raises Missing where the repository is not there."""
    key = "imageDigest" if wanted.startswith("sha256:") else "imageTag"
    try:
        answer = aws.read("ecr", "describe_images", repositoryName=name, imageIds=[{key: wanted}])
    except CloudError as problem:
        if problem.aws_code == "ImageNotFoundException":
            return None
        raise _missing(aws, name, problem) from None
    found = part(answer, "imageDetails", "ecr:DescribeImages")
    return str(found[0]["imageDigest"]) if found else None


def login(aws: Aws) -> tuple[str, str]:
    """A user name and a password for the registry, good for hours. The password is a secret."""
    found = part(aws.read("ecr", "get_authorization_token"), "authorizationData", "ecr:GetAuthorizationToken")[0]
    user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    return user, password


def address(aws: Aws, host: str) -> str:
    """Where the registry of that host name listens: there, or where calls go to if that is not AWS (AWS_ENDPOINT_URL)."""
    endpoint = aws.endpoint("ecr")
    return f"https://{host}" if (urlsplit(endpoint).hostname or "").endswith(_AWS) else endpoint


def _missing(aws: Aws, name: str, problem: CloudError) -> CloudError:
    gone = problem.aws_code == "RepositoryNotFoundException"
    return Missing(what="ECR repository", name=name, where=f" in {aws.region_name}") if gone else problem
