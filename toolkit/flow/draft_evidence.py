"""Evidence for `init` that has to be asked for: the stacks that a CDK app really has, which runs
the app.
"""

import os
from collections.abc import Callable, Iterator, Sequence

from toolkit.errors import ToolkitError
from toolkit.formats.cdk_manifest import ManifestArtifact
from toolkit.formats.template import LONGEST_JSON
from toolkit.init.account import plain_template
from toolkit.init.evidence import AssemblyStack, Evidence, Place, Sighting
from toolkit.operations import Location
from toolkit.ports import cdk, cdk_assembly, files
from toolkit.ports.git import Git
from toolkit.ports.program_runs import SilentLog


def assembly_evidence(
    folders: Sequence[str], git: Git, redact: Callable[[str], str]
) -> Iterator[Evidence]:
    """The stacks of the apps in these folders; for one that cannot be synthesized, why, without
    the secrets that it may have written.
    """
    for folder in folders:
        path = f"{folder}/cdk.json".lstrip("/")
        app = cdk.CdkApp(git.root, folder or ".", Location(), "", "")
        try:
            assembly = cdk.synthesized(app, files.cache_folder(), SilentLog())
            stacks = list(cdk_assembly.read_stages(assembly).stacks())
        except ToolkitError as problem:
            words = redact(str(problem)).split("\n", 1)[0]
            yield Sighting(Place(path, 1, "cdk synth"), f"could not be synthesized: {words}")
            continue
        for stage, key, artifact in stacks:
            yield _stack(path, folder, key, artifact, os.path.join(assembly, stage.folder))


def _stack(
    path: str, folder: str, key: str, artifact: ManifestArtifact, assembly: str
) -> AssemblyStack:
    stack = artifact.properties.stack_name or key
    account, region = (part or "" for part in artifact.place)
    place = Place(path, 1, f"synthesizes the stack {stack}", account=account, region=region)
    file = artifact.properties.template_file
    text = None if file is None else files.text_inside(assembly, file, LONGEST_JSON)
    return AssemblyStack(place, folder, stack, None if text is None else plain_template(text))
