"""The order in which the stacks of a CDK app are deployed, as the assembly says: the app knows it
from the references between its stacks, and from `add_dependency`.
"""

import posixpath
from collections.abc import Iterator

from msgspec import Struct

from toolkit.formats.cdk_manifest import STACK, STAGE, AssemblyStage, ManifestArtifact
from toolkit.ports import cdk_assembly


class StackPlace(Struct, frozen=True):
    """A stack of an assembly: its name, and its region where the app fixes that, else None."""

    name: str
    region: str | None = None


def stacks_before(assembly: str, name: str) -> tuple[StackPlace, ...]:
    """The stacks that have to be deployed before the one of this name, also through others; sorted.
    Raises FileProblem.
    """
    graph = _AssemblyGraph()
    graph.read(assembly)
    before: dict[str, StackPlace] = {}
    waiting = [key for key, place in graph.stacks.items() if place.name == name]
    done = set(waiting)
    while waiting:
        for key in graph.before.get(waiting.pop(), ()):
            if key in done:
                continue
            done.add(key)
            waiting.append(key)
            place = graph.stacks.get(key)
            if place is not None and place.name != name:
                before[key] = place
    return tuple(sorted(set(before.values()), key=lambda place: (place.name, place.region or "")))


class _AssemblyGraph:
    """The artifacts of an assembly and of the stages in it, by the path of each. A stage is two of
    them: its begin, which all of its artifacts wait for, and its end, which waits for all of them.
    """

    def __init__(self) -> None:
        self.stacks: dict[str, StackPlace] = {}
        self.before: dict[str, set[str]] = {}

    def read(self, assembly: str) -> None:
        """Add an app's manifest, and those of its stages."""
        for stage in cdk_assembly.read_stages(assembly).all():
            for key, artifact in stage.manifest.artifacts.items():
                path = posixpath.join(stage.folder, key)
                is_stage = artifact.type == STAGE
                needs = set(_ends(stage, artifact))
                self.before.setdefault(path, set()).update(needs, (stage.path,))
                self.before.setdefault(_end(stage.path, True), set()).add(_end(path, is_stage))
                if artifact.type == STACK:
                    name = artifact.properties.stack_name or key
                    self.stacks[path] = StackPlace(name, artifact.place[1])


def _ends(stage: AssemblyStage, artifact: ManifestArtifact) -> Iterator[str]:
    """What the artifacts that one depends on are done with."""
    for name in artifact.dependencies:
        yield _end(posixpath.join(stage.folder, name), name in stage.stages)


def _end(path: str, is_stage: bool) -> str:
    if is_stage:
        return f"{path}\0end"
    return path
