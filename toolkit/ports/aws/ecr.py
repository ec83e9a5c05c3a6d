"""ECR: which images a repository has, and the way into it."""

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
"""The conditions of images are asked for when task definitions are known, and those do not come in
all at once.
"""
KEPT = 500
"""How many images a repository that toolkit makes keeps: many more than a record has good deploys
to go back to.
"""

_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_HOST = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn)"
)
_ARN = re.compile(
    r"arn:[a-z-]+:ecr:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):repository/(?P<name>.+)"
)


class RepositoryName(Struct, frozen=True):
    """A repository as rules.toml names it. `account` and `region` are None where those of the
    environment are meant.
    """

    name: str
    account: str | None = None
    region: str | None = None

    def may_be(self, registry: tuple[str, str] | None) -> bool:
        """Whether a registry (account and region), None for one that is not ECR's own name, may be
        the one that has it.
        """
        if registry is None:
            return True
        return self.account in (None, registry[0]) and self.region in (None, registry[1])

    @property
    def elsewhere(self) -> str:
        """Whose registry it is, in words; empty for the environment's own."""
        return f" of account {self.account}" if self.account else ""


def named(words: str) -> RepositoryName:
    """What `repository` in rules.toml means: a name, `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME`,
    or an ARN.
    """
    if found := _ARN.fullmatch(words):
        return RepositoryName(found["name"], found["account"], found["region"])
    host, slash, name = words.partition("/")
    registry = registry_of(f"{host}/") if slash and name else None
    return RepositoryName(words) if registry is None else RepositoryName(name, *registry)


def registry_of(image: str) -> tuple[str, str] | None:
    """The account and the region of the ECR registry that an image's name begins with; None if it
    is no such registry.
    """
    found = _HOST.fullmatch(image.partition("/")[0])
    return (found["account"], found["region"]) if found else None


def _where(wanted: RepositoryName) -> dict[str, str]:
    return {
        "repositoryName": wanted.name,
        **({"registryId": wanted.account} if wanted.account else {}),
    }


def repository(aws: Aws, wanted: RepositoryName) -> dict[str, Any]:
    """A repository. Raises Missing."""
    registry = {"registryId": wanted.account} if wanted.account else {}
    try:
        answer = aws.read("ecr", "describe_repositories", repositoryNames=[wanted.name], **registry)
    except CloudError as problem:
        raise _missing(aws, wanted, problem) from None
    found: dict[str, Any] = _first(answer, "repositories", "ecr:DescribeRepositories")
    return found


def create(aws: Aws, wanted: RepositoryName, tags: Mapping[str, str]) -> None:
    """Make a repository whose tags cannot be moved and whose images are scanned. One that is there
    by now is as good.
    """
    try:
        aws.write(
            "ecr",
            "create_repository",
            tokened=True,
            **_where(wanted),
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
        str(one["Key"]): str(one["Value"])
        for one in answer.get("tags") or ()
        if one and "Key" in one and "Value" in one
    }


def has_lifecycle(aws: Aws, wanted: RepositoryName) -> bool:
    """Whether a repository has a lifecycle policy."""
    try:
        aws.read("ecr", "get_lifecycle_policy", **_where(wanted))
    except CloudError as problem:
        if problem.aws_code == "LifecyclePolicyNotFoundException":
            return False
        raise
    return True


def put_lifecycle(aws: Aws, wanted: RepositoryName) -> None:
    """Let a repository keep its newest images only. The same twice is once."""
    aws.write(
        "ecr",
        "put_lifecycle_policy",
        tokened=True,
        **_where(wanted),
        lifecyclePolicyText=json.dumps(LIFECYCLE),
    )


LIFECYCLE = {
    "rules": [
        {
            "rulePriority": 1,
            "description": f"keep the newest {KEPT} images",
            "action": {"type": "expire"},
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": KEPT,
            },
        }
    ],
}


def digest(aws: Aws, wanted: RepositoryName, image: str) -> str | None:
    """The digest of the image with this tag (or digest), None if there is none. Raises Missing
    where the repository is not there.
    """
    key = "imageDigest" if image.startswith("sha256:") else "imageTag"
    try:
        answer = aws.read("ecr", "describe_images", **_where(wanted), imageIds=[{key: image}])
    except CloudError as problem:
        if problem.aws_code == "ImageNotFoundException":
            return None
        raise _missing(aws, wanted, problem) from None
    return str(_first(answer, "imageDetails", "ecr:DescribeImages")["imageDigest"])


def condition(aws: Aws, wanted: RepositoryName, image: str) -> str | None:
    """ACTIVE or ARCHIVED for the image with this tag or digest, None if there is none.

    A hundred images of a repository that are asked for at one moment are one call. Raises Missing
    where the repository is not there.
    """
    found: str | None = aws.gathered(
        ("ecr:DescribeImages", wanted),
        image,
        IMAGES_A_CALL,
        lambda some: _conditions(aws, wanted, some),
        AFTER_OTHERS,
    )
    return found


def _conditions(aws: Aws, wanted: RepositoryName, images: Sequence[str]) -> dict[str, str]:
    """ECR tells of none if it lacks one: each half is asked for by itself then. (BatchGetImage
    would tell, but is a pull to ECR.)
    """
    ids = [{"imageDigest" if one.startswith("sha256:") else "imageTag": one} for one in images]
    try:
        answer = aws.read("ecr", "describe_images", **_where(wanted), imageIds=ids)
    except CloudError as problem:
        if problem.aws_code != "ImageNotFoundException":
            raise _missing(aws, wanted, problem) from None
        half = len(images) // 2
        return (
            {**_conditions(aws, wanted, images[:half]), **_conditions(aws, wanted, images[half:])}
            if half
            else {}
        )
    details = part(answer, "imageDetails", "ecr:DescribeImages")
    return {
        key: str(one.get("imageStatus") or "ACTIVE")
        for one in details
        for key in (one["imageDigest"], *one.get("imageTags", ()))
    }


def login(aws: Aws) -> tuple[str, str]:
    """A user name and a password for the registry, good for hours. The password is a secret."""
    found = _first(
        aws.read("ecr", "get_authorization_token"), "authorizationData", "ecr:GetAuthorizationToken"
    )
    try:
        user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    except ValueError:
        raise Unexpected(
            call="ecr:GetAuthorizationToken", reason="authorizationToken cannot be read"
        ) from None
    return user, password


def _first(answer: Mapping[str, Any], key: str, call: str) -> Any:
    """The one thing that was asked for: AWS says so if it is not there. Raises Unexpected for an
    empty answer.
    """
    found = part(answer, key, call)
    if not found:
        raise Unexpected(call=call, reason=f"{key} is empty")
    return found[0]


def address(aws: Aws, host: str) -> str:
    """Where the registry of that host name listens: there, or where calls go to if that is not AWS
    (AWS_ENDPOINT_URL).
    """
    endpoint = aws.endpoint("ecr")
    return f"https://{host}" if (urlsplit(endpoint).hostname or "").endswith(_AWS) else endpoint


def _missing(aws: Aws, wanted: RepositoryName, problem: CloudError) -> CloudError:
    """What a refusal means: there is no such repository, or it is another account's, which has to
    let us in.
    """
    if problem.aws_code == "RepositoryNotFoundException":
        return Missing(
            what="ECR repository",
            name=wanted.name,
            where=f"{wanted.elsewhere} in {wanted.region or aws.region_name}",
        )
    if isinstance(problem, NotAllowed) and wanted.account:
        theirs = f": it is a repository{wanted.elsewhere}, and its policy has to allow that"
        return NotAllowed(problem.facts["action"], problem.facts["resource"], theirs)
    return problem
