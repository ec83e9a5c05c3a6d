"""ECR: which images a repository has, and the way into it."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from toolkit.errors import CloudError, Missing, Unexpected
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.ecs import part

IMAGES_A_CALL = 100
AFTER_OTHERS = 4
"""The conditions of images are asked for when task definitions are known, and those do not come in all at once."""

_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


def repository(aws: Aws, name: str) -> dict[str, Any]:
    """A repository. Raises Missing."""
    try:
        answer = aws.read("ecr", "describe_repositories", repositoryNames=[name])
    except CloudError as problem:
        raise _missing(aws, name, problem) from None
    found: dict[str, Any] = _first(answer, "repositories", "ecr:DescribeRepositories")
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
    return str(_first(answer, "imageDetails", "ecr:DescribeImages")["imageDigest"])


def condition(aws: Aws, name: str, wanted: str, registry: str | None = None) -> str | None:
    """ACTIVE or ARCHIVED for the image with this tag or digest, None if there is none; `registry` is the account that has the repository.

    A hundred images of a repository that are asked for at one moment are one call. Raises Missing where the repository is not there.
    """
    where = {"repositoryName": name, **({"registryId": registry} if registry else {})}
    found: str | None = aws.gathered(
        ("ecr:DescribeImages", name, registry), wanted, IMAGES_A_CALL, lambda some: _conditions(aws, where, some), AFTER_OTHERS
    )
    return found


def _conditions(aws: Aws, where: dict[str, str], wanted: Sequence[str]) -> dict[str, str]:
    """ECR tells of none if it lacks one: each half is asked for by itself then. (BatchGetImage would tell, but is a pull to ECR.)"""
    ids = [{"imageDigest" if one.startswith("sha256:") else "imageTag": one} for one in wanted]
    try:
        answer = aws.read("ecr", "describe_images", **where, imageIds=ids)
    except CloudError as problem:
        if problem.aws_code != "ImageNotFoundException":
            raise _missing(aws, where["repositoryName"], problem) from None
        half = len(wanted) // 2
        return {**_conditions(aws, where, wanted[:half]), **_conditions(aws, where, wanted[half:])} if half else {}
    images = part(answer, "imageDetails", "ecr:DescribeImages")
    return {key: str(one.get("imageStatus") or "ACTIVE") for one in images for key in (one["imageDigest"], *one.get("imageTags", ()))}


def login(aws: Aws) -> tuple[str, str]:
    """A user name and a password for the registry, good for hours. The password is a secret."""
    found = _first(aws.read("ecr", "get_authorization_token"), "authorizationData", "ecr:GetAuthorizationToken")
    try:
        user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    except ValueError:
        raise Unexpected(call="ecr:GetAuthorizationToken", reason="authorizationToken cannot be read") from None
    return user, password


def _first(answer: Mapping[str, Any], key: str, call: str) -> Any:
    """The one thing that was asked for: AWS says so if it is not there. Raises Unexpected for an empty answer."""
    found = part(answer, key, call)
    if not found:
        raise Unexpected(call=call, reason=f"{key} is empty")
    return found[0]


def address(aws: Aws, host: str) -> str:
    """Where the registry of that host name listens: there, or where calls go to if that is not AWS (AWS_ENDPOINT_URL)."""
    endpoint = aws.endpoint("ecr")
    return f"https://{host}" if (urlsplit(endpoint).hostname or "").endswith(_AWS) else endpoint


def _missing(aws: Aws, name: str, problem: CloudError) -> CloudError:
    gone = problem.aws_code == "RepositoryNotFoundException"
    return Missing(what="ECR repository", name=name, where=f" in {aws.region_name}") if gone else problem
