"""Whether what a step deployed still runs, or something else was deployed since."""

from toolkit.errors import Superseded
from toolkit.operations import Job, LiveVersion
from toolkit.ports.ports import Ports
from toolkit.targets.base import Kind


def check_still_live(job: Job, kind: Kind, put: LiveVersion, ports: Ports) -> None:
    """Check that `put` still runs, or nothing does. Raises Superseded if something else runs,
    CloudError if the look failed.
    """
    now = kind.live(job, ports)
    if now is not None and not is_same_deploy(kind, put, now):
        raise Superseded(what=kind.live_name(now) or "something else", target=job.target)


def is_same_deploy(kind: Kind, before: LiveVersion, now: LiveVersion) -> bool:
    """Whether nothing was deployed between two looks: by content if both name it, else by the
    version and time that were written on it. Pure.
    """
    content = [key for key in kind.content_details if key in before.detail and key in now.detail]
    if content:
        return all(before.detail[key] == now.detail[key] for key in content)
    if before.fingerprint and now.fingerprint and before.fingerprint != now.fingerprint:
        return False  # a kind may know only the version's name
    return (before.version, before.run, before.since) == (now.version, now.run, now.since)
