"""The images that templates build by themselves."""

from collections.abc import Callable, Iterator, Sequence

from toolkit.init.templates import Templates, template_inputs
from toolkit.init.tree import TrackedFiles, is_ours


def template_images(
    paths: Sequence[str], read: Callable[[str], str | None]
) -> Iterator[tuple[str, str, str]]:
    """The Dockerfiles that templates name: each with its build context and the template."""
    tree = TrackedFiles(filter(is_ours, paths), read)
    templates = Templates(tree)
    for path in templates:
        for dockerfile, context in template_inputs(tree, templates, path).images:
            yield dockerfile, context, path
