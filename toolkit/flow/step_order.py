"""Which step of a run waits for which: as rules.toml says (`needs`), and as what is deployed says
itself. Pure.
"""

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from toolkit import targets
from toolkit.config.graph import find_cycle
from toolkit.errors import Refused
from toolkit.model import Resource
from toolkit.operations import Job, Location, Preview
from toolkit.plan.graph import Graph


def with_needs(
    jobs: Sequence[Job], graph: Graph, regions: Collection[str | None]
) -> tuple[Job, ...]:
    """The jobs, each with the steps of this run that it waits for; `regions` are the environment's.
    Pure.
    """
    steps = {(job.target, job.location.region): job.step for job in jobs}
    waiting: list[Job] = []
    for job in jobs:
        before = graph.instances_before(job.target, job.location.region, regions)
        needs = sorted(steps[instance] for instance in before & steps.keys())
        waiting.append(replace(job, needs=tuple(needs)))
    return tuple(waiting)


def with_prerequisites(jobs: Sequence[Job], previews: Mapping[str, Preview]) -> tuple[Job, ...]:
    """The jobs, each waiting also for those that deploy what its preview says comes first. Raises
    Refused where that and `needs` make a circle.
    """
    makers: dict[tuple[Location, Resource], str] = {}
    for job in jobs:
        for resource in targets.kind(job.kind).writes(job.settings):
            makers[job.location, resource] = job.step
    waiting: list[Job] = []
    for job in jobs:
        preview = previews.get(job.step)
        before = set(job.needs)
        for need in () if preview is None else preview.after:
            location = job.location
            if need.region is not None:
                location = replace(location, region=need.region)
            before.add(makers.get((location, need.resource), job.step))
        waiting.append(replace(job, needs=tuple(sorted(before - {job.step}))))
    circle = find_cycle({job.step: job.needs for job in waiting})
    if circle is not None:
        names = " -> ".join(circle)
        raise Refused(
            f"the steps of this run wait for each other: {names}; what is deployed says another"
            " order than rules.toml",
            "take the wrong one out of `needs` in rules.toml",
        )
    return tuple(waiting)
