"""The images that stacks build by themselves."""

from collections.abc import Callable, Iterator, Sequence
from posixpath import normpath

from toolkit.init.evidence import TargetNames, merge_evidence
from toolkit.init.stacks.cdk import find_cdk_apps
from toolkit.init.stacks.templates import find_templates
from toolkit.init.tree import TrackedFiles, is_ours


def stack_images(
    paths: Sequence[str], read: Callable[[str], str | None]
) -> Iterator[tuple[str, str, str, str]]:
    """The Dockerfiles that stacks build by themselves: each with its build context, and with the
    CDK app's folder (or the template) and the name of a stack that builds it.
    """
    tree = TrackedFiles(filter(is_ours, paths), read)
    tree = tree.with_candidates(lambda path: "{" not in path)
    names = TargetNames("")
    evidence = merge_evidence((find_cdk_apps(tree, names), find_templates(tree, names)))
    stacks = {target.name: target.settings for target in evidence.targets}
    for image in evidence.images:
        for target in image.targets:
            settings = stacks[target]
            source = normpath(str(settings.get("cdk") or settings["template"]))
            yield image.dockerfile, image.context, source, str(settings["stack"])
