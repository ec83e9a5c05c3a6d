"""ECR: repositories, tags and digests; what is pushed to /v2/ (registry.py) is here too."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.support.aws.wire import AwsError

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


def digest_of(content: bytes) -> str:
    """`sha256:…`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class Image:
    """A manifest as it was pushed."""

    digest: str
    manifest: bytes
    media_type: str
    pushed: datetime
    tags: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of its layers and its configuration."""
        document = json.loads(self.manifest)
        return sum(
            part.get("size", 0)
            for part in [*document.get("layers", ()), document.get("config", {})]
        )


@dataclass
class Repository:
    """Images by digest, blobs by digest; a tag is on one image at a time."""

    name: str
    arn: str
    uri: str
    immutable: bool = False
    images: dict[str, Image] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    lifecycle: str = ""
    scanned: bool = False

    def found(self, reference: str) -> Image | None:
        """An image by tag or digest."""
        if reference in self.images:
            return self.images[reference]
        return next((image for image in self.images.values() if reference in image.tags), None)


class Ecr:
    """Repositories by name, those of another account by `ACCOUNT/NAME`. `password` is what
    GetAuthorizationToken gives, and /v2/ wants; `mounts` says whether a layer of another repository
    can be had without sending it.
    """

    def __init__(self, endpoint: "Endpoint", region: str) -> None:
        self._endpoint, self._region = endpoint, region
        self.repositories: dict[str, Repository] = {}
        self.password = f"password-of-{region}"
        self.mounts = True

    # For tests

    def repository(self, name: str, immutable: bool | None = None) -> Repository:
        """A repository, made on first use; its `uri` is where to push."""
        if name not in self.repositories:
            arn = self._endpoint.arn("ecr", f"repository/{name}", self._region)
            self.repositories[name] = Repository(name, arn, f"{self._endpoint.host}/{name}")
        if immutable is not None:
            self.repositories[name].immutable = immutable
        return self.repositories[name]

    def image(self, repository: str, *tags: str, content: str = "", size: int = 1000) -> Image:
        """An image that was pushed before, with a manifest of its own; the same content has the
        same digest. `size` is that of its layer.
        """
        data = (content or tags[0]).encode()
        layer = {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "size": size,
            "digest": digest_of(data),
        }
        config = {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "size": 200,
            "digest": digest_of(b"config " + data),
        }
        manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        ).encode()
        return self.push(self.repository(repository), manifest, MANIFEST, *tags)

    def digest(self, image: str) -> str | None:
        """What `host/name:tag` or `host/name@sha256:…` means now, None if it is not here."""
        path, position, digest = image.partition("@")
        name = path.split("/", 1)[-1]
        tag = "latest"
        if ":" in name:
            name, _, tag = name.rpartition(":")
        repository = self.repositories.get(name)
        result = repository.found(digest if position else tag) if repository else None
        return result.digest if result else None

    def push(self, repository: Repository, manifest: bytes, media_type: str, *tags: str) -> Image:
        """Keep a manifest and move the tags to it. Raises AwsError where tags are immutable."""
        digest = digest_of(manifest)
        for tag in tags:
            taken = repository.found(tag)
            if taken is not None and repository.immutable and taken.digest != digest:
                words = (
                    f"The image tag '{tag}' already exists in the '{repository.name}' repository"
                    " and cannot be overwritten "
                )
                words += "because the tag is immutable."
                raise AwsError("ImageTagAlreadyExistsException", words)
        image = repository.images.setdefault(
            digest, Image(digest, manifest, media_type, self._endpoint.clock.now())
        )
        for tag in tags:
            for value in repository.images.values():
                value.tags = [each for each in value.tags if each != tag]
            image.tags.append(tag)
        return image

    # Operations

    def create_repository(self, params: dict[str, Any]) -> dict[str, Any]:
        """CreateRepository."""
        name = params["repositoryName"]
        if name in self.repositories:
            raise AwsError(
                "RepositoryAlreadyExistsException",
                f"The repository with name '{name}' already exists in the registry",
            )
        created = self.repository(name, params.get("imageTagMutability") == "IMMUTABLE")
        created.tags = {each["Key"]: each["Value"] for each in params.get("tags", ())}
        created.scanned = bool(params.get("imageScanningConfiguration", {}).get("scanOnPush"))
        return {"repository": self._described(created)}

    def list_tags_for_resource(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListTagsForResource."""
        repository = next(
            each for each in self.repositories.values() if each.arn == params["resourceArn"]
        )
        return {"tags": [{"Key": key, "Value": value} for key, value in repository.tags.items()]}

    def get_lifecycle_policy(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetLifecyclePolicy."""
        repository = self._found(params)
        if not repository.lifecycle:
            raise AwsError(
                "LifecyclePolicyNotFoundException",
                "Lifecycle policy does not exist for the repository",
            )
        return {"repositoryName": repository.name, "lifecyclePolicyText": repository.lifecycle}

    def put_lifecycle_policy(self, params: dict[str, Any]) -> dict[str, Any]:
        """PutLifecyclePolicy."""
        self._found(params).lifecycle = params["lifecyclePolicyText"]
        return {
            "repositoryName": params["repositoryName"],
            "lifecyclePolicyText": params["lifecyclePolicyText"],
        }

    def describe_repositories(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeRepositories."""
        names = params.get("repositoryNames", list(self.repositories))
        return {
            "repositories": [
                self._described(self._found({**params, "repositoryName": name})) for name in names
            ]
        }

    def get_authorization_token(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetAuthorizationToken: for the endpoint itself, which is the registry."""
        token = base64.b64encode(f"AWS:{self.password}".encode()).decode()
        ends = self._endpoint.clock.now() + timedelta(hours=12)
        return {
            "authorizationData": [
                {
                    "authorizationToken": token,
                    "expiresAt": ends,
                    "proxyEndpoint": self._endpoint.url,
                }
            ]
        }

    def describe_images(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeImages; ImageNotFoundException as AWS says it."""
        repository = self._found(params)
        if "imageIds" in params:
            images = []
            for each in params["imageIds"]:
                image = self._image(repository, each)
                if image is None:
                    raise AwsError("ImageNotFoundException", self._missing(repository, each))
                images.append(image)
        else:
            images = list(repository.images.values())
        start, most = int(params.get("nextToken", 0)), params.get("maxResults", 100)
        documents = [self._detail(repository, image) for image in images[start : start + most]]
        return {"imageDetails": documents} | (
            {"nextToken": str(start + most)} if start + most < len(images) else {}
        )

    def list_images(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListImages."""
        result = []
        for image in self._found(params).images.values():
            result += [{"imageDigest": image.digest, "imageTag": tag} for tag in image.tags] or [
                {"imageDigest": image.digest}
            ]
        return {"imageIds": result}

    def batch_get_image(self, params: dict[str, Any]) -> dict[str, Any]:
        """BatchGetImage: what is missing is among the failures of a 200."""
        repository = self._found(params)
        images, failures = [], []
        for each in params["imageIds"]:
            image = self._image(repository, each)
            if image is None:
                failures.append(
                    {
                        "imageId": each,
                        "failureCode": "ImageNotFound",
                        "failureReason": "Requested image not found",
                    }
                )
                continue
            images.append(self._whole(repository, image, {"imageDigest": image.digest} | each))
        return {"images": images, "failures": failures}

    def put_image(self, params: dict[str, Any]) -> dict[str, Any]:
        """PutImage: a tag for a manifest that is there, or a new one."""
        repository = self._found(params)
        manifest, tags = (
            params["imageManifest"].encode(),
            ([params["imageTag"]] if "imageTag" in params else []),
        )
        known_names = repository.images.get(digest_of(manifest))
        if known_names is not None and set(tags) <= set(known_names.tags):
            raise AwsError(
                "ImageAlreadyExistsException",
                f"Image with digest '{known_names.digest}' and tag '{tags}' already exists",
            )
        message = params.get("imageManifestMediaType") or json.loads(manifest).get(
            "mediaType", MANIFEST
        )
        image = self.push(repository, manifest, message, *tags)
        return {
            "image": self._whole(
                repository,
                image,
                {"imageDigest": image.digest} | ({"imageTag": tags[0]} if tags else {}),
            )
        }

    def batch_delete_image(self, params: dict[str, Any]) -> dict[str, Any]:
        """BatchDeleteImage: a tag, or an image with all its tags."""
        repository = self._found(params)
        gone, failures = [], []
        for each in params["imageIds"]:
            image = self._image(repository, each)
            if image is None:
                failures.append(
                    {
                        "imageId": each,
                        "failureCode": "ImageNotFound",
                        "failureReason": "Requested image not found",
                    }
                )
                continue
            gone.append({"imageDigest": image.digest} | each)
            image.tags = [tag for tag in image.tags if tag != each.get("imageTag")]
            if "imageDigest" in each or not image.tags:
                del repository.images[image.digest]
        return {"imageIds": gone, "failures": failures}

    def _found(self, params: dict[str, Any]) -> Repository:
        name, registry = params["repositoryName"], params.get("registryId", self._endpoint.account)
        name = name if registry == self._endpoint.account else f"{registry}/{name}"
        if name not in self.repositories:
            words = (
                f"The repository with name '{params['repositoryName']}' does not exist in the"
                f" registry with id '{registry}'"
            )
            raise AwsError("RepositoryNotFoundException", words)
        return self.repositories[name]

    def _image(self, repository: Repository, expected: dict[str, str]) -> Image | None:
        image = repository.found(expected.get("imageDigest") or expected.get("imageTag", ""))
        return image if image is None or expected.get("imageTag") in (None, *image.tags) else None

    def _missing(self, repository: Repository, expected: dict[str, str]) -> str:
        text = ", ".join(
            f"{key}:'{expected.get(key, 'null')}'" for key in ("imageDigest", "imageTag")
        )
        return (
            f"The image with imageId {{{text}}} does not exist within the repository with name"
            f" '{repository.name}' in the registry with id '{self._endpoint.account}'"
        )

    def _described(self, repository: Repository) -> dict[str, Any]:
        return {
            "repositoryArn": repository.arn,
            "registryId": self._endpoint.account,
            "repositoryName": repository.name,
            "repositoryUri": repository.uri,
            "imageTagMutability": "IMMUTABLE" if repository.immutable else "MUTABLE",
        }

    def _detail(self, repository: Repository, image: Image) -> dict[str, Any]:
        document: dict[str, Any] = {
            "registryId": self._endpoint.account,
            "repositoryName": repository.name,
            "imageDigest": image.digest,
            "imageSizeInBytes": image.size,
            "imagePushedAt": image.pushed,
            "imageManifestMediaType": image.media_type,
        }
        return document | ({"imageTags": list(image.tags)} if image.tags else {})

    def _whole(
        self, repository: Repository, image: Image, image_id: dict[str, str]
    ) -> dict[str, Any]:
        return {
            "registryId": self._endpoint.account,
            "repositoryName": repository.name,
            "imageId": image_id,
            "imageManifest": image.manifest.decode(),
            "imageManifestMediaType": image.media_type,
        }
