"""ECR: repositories, their images, and the login."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from toolkit.errors import CloudError, Missing, NotAllowed, Unexpected
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.ecs import part

IMAGES_A_CALL = 100
AFTER_OTHERS = 4
"""The conditions of images are read after task definitions, which do not come in all at once: so
these reads wait longer for each other.
"""
MOST_IMAGES = 500
"""How many images stay in a repository that toolkit creates: many more than a record has good
deploys to roll back to.
"""

_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_HOST = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn)"
)
_ARN = re.compile(
    r"arn:[a-z-]+:ecr:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):repository/(?P<name>.+)"
)


class RepositoryName(Struct, frozen=True):
    """A repository in rules.toml. `account` and `region` are None for those of the environment."""

    name: str
    account: str | None = None
    region: str | None = None

    def may_be(self, registry: tuple[str, str] | None) -> bool:
        """Whether a registry (account and region) may be the one that has it; None is a registry
        under another name than ECR's own.
        """
        if registry is None:
            return True
        return self.account in (None, registry[0]) and self.region in (None, registry[1])

    @property
    def elsewhere(self) -> str:
        """The account of its registry, in words; empty for the environment's own."""
        return f" of account {self.account}" if self.account else ""


def named(words: str) -> RepositoryName:
    """What `repository` in rules.toml means: a name, `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME`,
    or an ARN.
    """
    if arn := _ARN.fullmatch(words):
        return RepositoryName(arn["name"], arn["account"], arn["region"])
    host, _, name = words.partition("/")
    registry = registry_of(host)
    if registry and name:
        return RepositoryName(name, *registry)
    return RepositoryName(words)


def registry_of(image: str) -> tuple[str, str] | None:
    """The account and the region of the ECR registry that an image's name begins with; None if it
    is no such registry.
    """
    host = _HOST.fullmatch(image.partition("/")[0])
    return (host["account"], host["region"]) if host else None


def _registry(name: RepositoryName) -> dict[str, str]:
    return {"registryId": name.account} if name.account else {}


def _where(name: RepositoryName) -> dict[str, str]:
    return {"repositoryName": name.name, **_registry(name)}


def repository(aws: Aws, name: RepositoryName) -> dict[str, Any]:
    """A repository. Raises Missing."""
    try:
        answer = aws.read(
            "ecr", "describe_repositories", repositoryNames=[name.name], **_registry(name)
        )
    except CloudError as problem:
        raise _missing(aws, name, problem) from None
    description: dict[str, Any] = _first(answer, "repositories", "ecr:DescribeRepositories")
    return description


def create(aws: Aws, name: RepositoryName, tags: Mapping[str, str]) -> None:
    """Create a repository whose tags cannot be moved and whose images are scanned, unless it exists
    by now.
    """
    try:
        aws.write(
            "ecr",
            "create_repository",
            tokened=True,
            **_where(name),
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
            tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
    except CloudError as problem:
        if problem.aws_code != "RepositoryAlreadyExistsException":
            raise


def tags(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of a repository."""
    answer = aws.read("ecr", "list_tags_for_resource", resourceArn=arn)
    return {
        str(tag["Key"]): str(tag["Value"])
        for tag in answer.get("tags") or ()
        if tag and "Key" in tag and "Value" in tag
    }


def has_lifecycle(aws: Aws, name: RepositoryName) -> bool:
    """Whether a repository has a lifecycle policy."""
    try:
        aws.read("ecr", "get_lifecycle_policy", **_where(name))
    except CloudError as problem:
        if problem.aws_code == "LifecyclePolicyNotFoundException":
            return False
        raise
    return True


def put_lifecycle(aws: Aws, name: RepositoryName) -> None:
    """Let a repository delete all but its newest images. Repeating it is harmless."""
    aws.write(
        "ecr",
        "put_lifecycle_policy",
        tokened=True,
        **_where(name),
        lifecyclePolicyText=json.dumps(LIFECYCLE),
    )


LIFECYCLE = {
    "rules": [
        {
            "rulePriority": 1,
            "description": f"keep the newest {MOST_IMAGES} images",
            "action": {"type": "expire"},
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": MOST_IMAGES,
            },
        }
    ],
}


def digest(aws: Aws, name: RepositoryName, image: str) -> str | None:
    """The digest of the image with this tag (or digest), None if there is none. Raises Missing if
    there is no such repository.
    """
    try:
        answer = aws.read("ecr", "describe_images", **_where(name), imageIds=[_image_id(image)])
    except CloudError as problem:
        if problem.aws_code == "ImageNotFoundException":
            return None
        raise _missing(aws, name, problem) from None
    return str(_first(answer, "imageDetails", "ecr:DescribeImages")["imageDigest"])


def condition(aws: Aws, name: RepositoryName, image: str) -> str | None:
    """ACTIVE or ARCHIVED for the image with this tag or digest, None if there is none.

    Up to a hundred images of a repository at one moment become one call. Raises Missing if there is
    no such repository.
    """
    status: str | None = aws.gathered(
        ("ecr:DescribeImages", name),
        image,
        IMAGES_A_CALL,
        lambda images: _conditions(aws, name, images),
        AFTER_OTHERS,
    )
    return status


def _image_id(image: str) -> dict[str, str]:
    return {"imageDigest" if image.startswith("sha256:") else "imageTag": image}


def _conditions(aws: Aws, name: RepositoryName, images: Sequence[str]) -> dict[str, str]:
    conditions = {}
    for details in _details(aws, name, images):
        for key in (details["imageDigest"], *details.get("imageTags", ())):
            conditions[key] = str(details.get("imageStatus") or "ACTIVE")
    return conditions


def sizes(aws: Aws, name: RepositoryName, digests: Sequence[str]) -> dict[str, int]:
    """Digest -> the bytes that an image has in its repository, compressed; without those that are
    not there, or whose size ECR does not say. Raises CloudError, Missing.
    """
    distinct = list(dict.fromkeys(digests))
    return {
        str(details["imageDigest"]): int(details["imageSizeInBytes"])
        for details in _details(aws, name, distinct)
        if details.get("imageSizeInBytes")
    }


def _details(aws: Aws, name: RepositoryName, images: Sequence[str]) -> list[dict[str, Any]]:
    """What ECR says of these images, without those that are missing.

    It refuses the whole call if one of them is: then each half is read by itself. (BatchGetImage
    would do better, but counts as a pull.)
    """
    ids = [_image_id(image) for image in images]
    try:
        answer = aws.read("ecr", "describe_images", **_where(name), imageIds=ids)
    except CloudError as problem:
        if problem.aws_code != "ImageNotFoundException":
            raise _missing(aws, name, problem) from None
        half = len(images) // 2
        if not half:
            return []
        return [*_details(aws, name, images[:half]), *_details(aws, name, images[half:])]
    return list(part(answer, "imageDetails", "ecr:DescribeImages"))


def login(aws: Aws) -> tuple[str, str]:
    """A user name and a password for the registry, good for hours. The password is a secret."""
    answer = aws.read("ecr", "get_authorization_token")
    data = _first(answer, "authorizationData", "ecr:GetAuthorizationToken")
    try:
        user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    except ValueError:
        raise Unexpected(
            call="ecr:GetAuthorizationToken", reason="authorizationToken cannot be read"
        ) from None
    return user, password


def _first(answer: Mapping[str, Any], key: str, call: str) -> Any:
    """The first element of a list in an answer. AWS reports what does not exist as an error, so an
    empty list raises Unexpected.
    """
    elements = part(answer, key, call)
    if not elements:
        raise Unexpected(call=call, reason=f"{key} is empty")
    return elements[0]


def address(aws: Aws, host: str) -> str:
    """The address of the registry with this host name: that host, or the endpoint of calls if that
    is not AWS's own (AWS_ENDPOINT_URL).
    """
    endpoint = aws.endpoint("ecr")
    if (urlsplit(endpoint).hostname or "").endswith(_AWS):
        return f"https://{host}"
    return endpoint


def _missing(aws: Aws, name: RepositoryName, problem: CloudError) -> CloudError:
    """The error for a refusal: there is no such repository, or it belongs to another account, which
    has to allow the call.
    """
    if problem.aws_code == "RepositoryNotFoundException":
        return Missing(
            what="ECR repository",
            name=name.name,
            where=f"{name.elsewhere} in {name.region or aws.region_name}",
        )
    if isinstance(problem, NotAllowed) and name.account:
        theirs = f": it is a repository{name.elsewhere}, and its policy has to allow that"
        return NotAllowed(problem.facts["action"], problem.facts["resource"], theirs)
    return problem
