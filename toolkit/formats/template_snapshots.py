"""Template snapshots that a team commits beside its tests: Jest's `.snap` and syrupy's `.ambr`
files.
"""

import re

ENDINGS = (".snap", ".ambr")
MOST_BYTES = 16 << 20
"""Of a file that is read: a larger one says nothing."""

_JEST = re.compile(
    r"^exports\[`((?:[^`\\]|\\.)*+)`\] = `((?:[^`\\]|\\.)*+)`;$", re.MULTILINE | re.DOTALL
)
_SYRUPY = re.compile(r"^# name: ([^\n]*)\n(.*?)^# ---$", re.MULTILINE | re.DOTALL)
_TEMPLATE = re.compile(r"""^\s*["']Resources["']: """, re.MULTILINE)


def template_snapshots(path: str, content: bytes) -> dict[str, str]:
    """The CloudFormation templates in a snapshot file, by the names of their entries, as they are
    written there. Empty for a file of any other format.
    """
    entry = {".snap": _JEST, ".ambr": _SYRUPY}.get(path[path.rfind(".") :])
    if entry is None or len(content) > MOST_BYTES:
        return {}
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    return {name: body for name, body in entry.findall(text) if _TEMPLATE.search(body)}
