"""Which local files and folders a template names. Pure.

A template is not parsed for this, JSON or YAML: `diff` asks it of each template that there is. What
merely looks like such a property counts too; a path that is not there does no harm.
"""

import re
from posixpath import dirname, join, normpath

PROPERTIES = (
    "BodyS3Location",
    "Code",
    "CodeUri",
    "Content",
    "ContentUri",
    "DefinitionS3Location",
    "DefinitionUri",
    "DockerContext",
    "Location",
    "RequestMappingTemplateS3Location",
    "ResponseMappingTemplateS3Location",
    "SchemaUri",
    "ScriptLocation",
    "SourceBundle",
    "TemplateURL",
    "TemplateUrl",
)
"""The properties that `aws cloudformation package` and `sam build` read a local path from."""

_NAMED = re.compile(
    rf"\b(?:{'|'.join(PROPERTIES)})[\"']?[ \t]{{0,80}}:\s{{0,200}}"
    r"(?:\"([^\"\n]{1,400})\"|'([^'\n]{1,400})'|([^\s\"'{}\[\],#&*!|>%@`][^\n#,}\]]{0,399}))"
)


def local_paths(path: str, text: str) -> tuple[str, ...]:
    """The paths that a template names, from the repository's root; `path` is its own, which they
    are relative to. Sorted.
    """
    paths: set[str] = set()
    for match in _NAMED.finditer(text):
        value = next(part for part in match.groups() if part is not None).strip()
        if "://" in value or "${" in value or value.startswith("/") or "\0" in value:
            continue
        named = normpath(join(dirname(path), value))
        if named.split("/")[0] != "..":
            paths.add(named)
    return tuple(sorted(paths))
