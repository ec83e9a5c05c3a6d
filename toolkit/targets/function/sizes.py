"""How large the code of a deployed version is, and that of the version before."""

from collections.abc import Mapping
from typing import Any

from toolkit.errors import CloudError
from toolkit.operations import ArtifactSize, Job
from toolkit.ports.aws import ecr, functions
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.functions import ZIP, Function


def code_size(job: Job, receipt: Mapping[str, Any], aws: Aws, version: Function) -> ArtifactSize:
    """Both sizes. What AWS does not say remains unknown: no deploy fails for it."""
    what = "package" if version.package == ZIP else "image"
    before: Function | None = None
    try:
        if receipt.get("before"):
            name = str(job.settings.function)
            before = functions.function(aws, name, str(receipt["before"]))
        if version.package == ZIP or job.settings.image is None:
            return ArtifactSize(what, _size(version), _size(before))
        return _image_size(job, aws, version, before)
    except CloudError:
        return ArtifactSize(what, _size(version), None)


def _size(version: Function | None) -> int | None:
    """The bytes of its package. Lambda says 0 of an image, which is no size."""
    return None if version is None else version.code_size or None


def _image_size(job: Job, aws: Aws, version: Function, before: Function | None) -> ArtifactSize:
    """Both as the repository has them. The digest that Lambda has of an image is the image's."""
    digest, digest_before = f"sha256:{version.sha256}", ""
    if before is not None and before.package != ZIP:
        digest_before = f"sha256:{before.sha256}"
    repository = ecr.named(job.settings.image.repository)
    digests = [name for name in (digest, digest_before) if name]
    sizes = ecr.sizes(aws, repository, digests)
    return ArtifactSize("image", sizes.get(digest), sizes.get(digest_before))
