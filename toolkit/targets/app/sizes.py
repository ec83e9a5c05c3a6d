"""How large the image of a deploy is in its repository, and the one that was live before it."""

from collections.abc import Mapping
from typing import Any

from toolkit.errors import CloudError
from toolkit.operations import ArtifactSize, Job
from toolkit.ports.aws import ecr
from toolkit.ports.ports import Ports
from toolkit.targets.app import definition as definitions
from toolkit.targets.app.state import CurrentState, registry_client
from toolkit.targets.base import Report


def keep_sizes(job: Job, ports: Ports, state: CurrentState, digest: str, report: Report) -> None:
    """Keep both sizes. What the repository does not say remains unknown: no deploy fails for it."""
    before = definitions.digest_of(definitions.image_of(state.running, state.container))
    digests = [digest, before] if before else [digest]
    try:
        sizes = ecr.sizes(registry_client(job, ports), ecr.named(job.settings.repository), digests)
    except CloudError:
        return
    report.keep(size=sizes.get(digest), size_before=sizes.get(before or ""))


def kept_size(receipt: Mapping[str, Any]) -> ArtifactSize:
    """What a step has kept, perhaps in an earlier process."""
    return ArtifactSize("image", _known(receipt.get("size")), _known(receipt.get("size_before")))


def _known(size: object) -> int | None:
    return size if isinstance(size, int) else None
