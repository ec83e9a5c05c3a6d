"""What looks like a secret never reaches a screen, a log or a journal."""

import os
import re
from collections.abc import Callable

_SCHEMES = "basic|bearer|digest|negotiate|token"
_NAMES = (
    "authorization|cookie|token|secret|passw(?:or)?d|passphrase|signature|credential"
    "|(?:secret[_-]?)?(?:api|access|account|encryption|private|signing)[_-]?key"
)
_SECRETS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    rf"|(?i:{_NAMES})[\"']?\s*[:=]\s*[\"']?(?:(?i:{_SCHEMES})\s+)?[^\s\"',;&]+"
    rf"|(?i:\b(?:{_SCHEMES})\s+)(?=[^\s]*[0-9=])[A-Za-z0-9._~+/=-]{{16,}}"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|xox[a-z]-[0-9A-Za-z-]+"
    r"|\b(?:gh[a-z]_|github_pat_|npm_|glpat-)[0-9A-Za-z_-]{20,}"
    r"|https?://[^\s/@:]+:[^\s/@]+@"
    r"|https?://hooks\.[^\s\"']+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
_NAMED_LIKE_ONE = re.compile("(?i)key|token|secret|pass|credential")
_NO_SECRETS = frozenset(("AWS_ACCESS_KEY_ID", "AWS_SHARED_CREDENTIALS_FILE"))
"""Variables that only sound like it. A real key's id is found by its letters; in the sandbox it is the account's number."""
_SHORTEST = 8
"""A shorter value would be found in words that mean something else."""


def redactor() -> Callable[[str], str]:
    """Gives a text without what looks like a secret, and without the value of any environment variable that is named like one now.

    The environment is read once: a build writes thousands of lines, and each of them goes through here.
    """
    named = {value for name, value in os.environ.items() if len(value) >= _SHORTEST and _is_secret(name)}
    values = sorted(named, key=len, reverse=True)  # one may begin another: the longer one first, or its end would stay

    def redacted(text: str) -> str:
        for value in values:
            text = text.replace(value, "[redacted]")
        return _SECRETS.sub("[redacted]", text)

    return redacted


def redacted(text: str) -> str:
    """One text by the environment as it is now."""
    return redactor()(text)


def _is_secret(name: str) -> bool:
    return name not in _NO_SECRETS and _NAMED_LIKE_ONE.search(name) is not None
