"""What a stack was made of, as digests that can be computed again from GetTemplate and
DescribeStacks. Pure.

Tags are no part of it: another tool that deploys the same template takes ours away, and changes
nothing.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from toolkit.operations import DeployedState
from toolkit.targets.stack import images
from toolkit.targets.stack import template as templates

MASKED = "****"
"""What CloudFormation shows instead of the value of a NoEcho parameter."""


def state_of(
    body: Any,
    stack: Mapping[str, Any],
    artifacts: Mapping[str, str],
    whole: bool = False,
    configured: Collection[str] = (),
) -> DeployedState:
    """What a stack has: `body` is its template as GetTemplate gives it. With `whole`, also what
    puts it back.

    A masked value is not part of the digest: nobody can read it back. Only values that rules.toml
    has `given`, or the template has as defaults, are kept: what somebody else has put into a stack
    may be a secret, and is put back as the previous value. Nothing is known where the answer has
    no template.
    """
    if not isinstance(body, (str, Mapping)):
        return DeployedState()
    values = {
        str(parameter["ParameterKey"]): str(parameter.get("ParameterValue", ""))
        for parameter in stack.get("Parameters") or ()
    }
    readable = {name: value for name, value in values.items() if value != MASKED}
    sha = hashlib.sha256(template_digest(body).encode())
    sha.update(json.dumps(readable, sort_keys=True).encode("utf-8", "surrogatepass"))
    if not whole:
        return DeployedState(template=sha.hexdigest(), artifacts=artifacts)
    defaults = images.defaults(templates.parse_json(template_text(body)) or {})
    parameters: dict[str, str | None] = dict.fromkeys(sorted(values))
    for name, value in readable.items():
        if name in configured or defaults.get(name) == value:
            parameters[name] = value
    return DeployedState(
        template=sha.hexdigest(),
        artifacts=artifacts,
        body=template_text(body),
        parameters=parameters,
    )


def template_digest(body: Any) -> str:
    """The digest of a template. JSON counts by what it says; YAML by its lines, without the blanks
    at their ends.
    """
    parsed = templates.parse_json(body) if isinstance(body, str) else body
    if isinstance(parsed, Mapping):
        plain = json.dumps(parsed, sort_keys=True, default=str)
    else:
        plain = "\n".join(line.rstrip() for line in str(body).strip().splitlines())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def template_text(body: Any) -> str:
    """A template as text: GetTemplate gives one that was sent as JSON as a mapping."""
    if isinstance(body, Mapping):
        return json.dumps(body, default=str)
    return str(body or "")
