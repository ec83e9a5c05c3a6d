"""What a stack was made of, as digests that can be computed again from GetTemplate and DescribeStacks. Pure.

Tags are no part of it: another tool that deploys the same template takes ours away, and changes nothing.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from toolkit.model import Deployed
from toolkit.targets.cloudformation import template as templates

MASKED = "****"
"""What CloudFormation shows instead of the value of a NoEcho parameter."""


def of(body: Any, stack: Mapping[str, Any], artifacts: Mapping[str, str], whole: bool = False) -> Deployed:
    """What a stack has: `body` is its template as GetTemplate gives it. With `whole`, also what puts it back.

    A value that is masked is no part of the digest: nobody can read it back. Nothing is known where the answer has no template.
    """
    if not isinstance(body, (str, Mapping)):
        return Deployed()
    values = {str(one["ParameterKey"]): str(one.get("ParameterValue", "")) for one in stack.get("Parameters") or ()}
    known = {name: value for name, value in values.items() if value != MASKED}
    found = hashlib.sha256(digest(body).encode())
    found.update(json.dumps(known, sort_keys=True).encode("utf-8", "surrogatepass"))
    if not whole:
        return Deployed(template=found.hexdigest(), artifacts=artifacts)
    return Deployed(
        template=found.hexdigest(), artifacts=artifacts, body=text(body), parameters={name: known.get(name) for name in sorted(values)}
    )  # fmt: skip


def digest(body: Any) -> str:
    """The digest of a template. JSON counts by what it says; YAML by its lines, without the blanks at their ends."""
    parsed = templates.parsed(body) if isinstance(body, str) else body
    if isinstance(parsed, Mapping):
        plain = json.dumps(parsed, sort_keys=True, default=str)
    else:
        plain = "\n".join(line.rstrip() for line in str(body).strip().splitlines())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def text(body: Any) -> str:
    """A template as text: GetTemplate gives one that was sent as JSON as a mapping."""
    return json.dumps(body, default=str) if isinstance(body, Mapping) else str(body or "")
