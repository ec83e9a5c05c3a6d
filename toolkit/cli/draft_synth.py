"""`init --synth`: the stacks that a CDK app really has. It runs the app, so only when asked."""

from collections.abc import Iterator, Sequence

from toolkit.errors import ToolkitError
from toolkit.formats.cdk_manifest import STACK
from toolkit.init.evidence import AssemblyStack, Evidence, Place, Sighting
from toolkit.operations import Location
from toolkit.ports import cdk, cdk_assembly, files
from toolkit.ports.git import Git

_UNKNOWN = ("unknown-account", "unknown-region")


def assembly_evidence(folders: Sequence[str], git: Git) -> Iterator[Evidence]:
    """The stacks of the apps in these folders; for one that cannot be synthesized, why."""
    for folder in folders:
        path = f"{folder}/cdk.json".lstrip("/")
        app = cdk.CdkApp(git.root, folder or ".", Location(), "", "")
        try:
            assembly = cdk.synthesized(app, files.cache_folder(), cdk.SilentLog())
            stages = list(cdk_assembly.assemblies(assembly))
        except ToolkitError as problem:
            words = str(problem).split("\n", 1)[0]
            yield Sighting(Place(path, 1, "cdk synth"), f"could not be synthesized: {words}")
            continue
        for stage in stages:
            for key, artifact in stage.manifest.get("artifacts", {}).items():
                if artifact.get("type") == STACK:
                    yield _stack(path, folder, key, artifact)


def _stack(path: str, folder: str, key: str, artifact: dict[str, object]) -> AssemblyStack:
    properties = artifact.get("properties")
    named = properties.get("stackName") if isinstance(properties, dict) else None
    stack = named if isinstance(named, str) else key
    parts = str(artifact.get("environment", "")).removeprefix("aws://").split("/")
    account, region = ("" if part in _UNKNOWN else part for part in (*parts, "", "")[:2])
    place = Place(path, 1, f"synthesizes the stack {stack}", account=account, region=region)
    return AssemblyStack(place, folder, stack)
