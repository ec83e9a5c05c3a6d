"""What one target needs to know of others: their outputs, as they are when it is deployed."""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import NextCommand
from toolkit.errors import Refused
from toolkit.operations import Job
from toolkit.ports.ports import Ports


def read_outputs(
    job: Job, wanted: Mapping[str, Collection[str]], ports: Ports
) -> dict[tuple[str, str], str | None]:
    """The outputs that a job is told of other targets, by target and name; None for one that does
    not exist (yet). Raises CloudError, and Refused for a target that rules.toml does not have.
    """
    values: dict[tuple[str, str], str | None] = {}
    sources = {source.target: source for source in job.consumed}
    for target, names in sorted(wanted.items()):
        source = sources.get(target)
        if source is None:
            raise Refused(
                f"{job.target} uses an output of {target}, and there is no such target",
                ("correct it in rules.toml; see its targets:", NextCommand("rules check")),
            )
        other = replace(job, target=target, kind=source.kind, settings=source.settings)
        outputs = targets.kind(source.kind).outputs(other, ports)
        for name in sorted(names):
            values[target, name] = outputs.get(name)
    return values
