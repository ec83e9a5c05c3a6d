"""What looks like a secret never reaches a screen, a log or a journal."""

import os
import re
from collections.abc import Callable

from toolkit.formats.redaction import hidden_parts, without

_SCHEMES = "basic|bearer|digest|negotiate|token"
_NAMES = (
    "(?i:authorization|cookie|token|signature|credential|(?:secret|passw(?:or)?d|passphrase)(?:[_-][a-z0-9]{1,20}){0,2}|(?:secret[_-]?)?(?:api|access|account|encryption|private|signing)[_-]?key)s?|(?<![A-Za-z])(?<!did"
    " not )(?i:pass|psk)|(?<=[a-z0-9])(?:Pass|Pwd)|(?<=[_-])(?i:pwd|auth)|(?<![A-Za-z_])[Pp]wd"
)
"""Words that a name ends with. `pass` and its like are words of their own only where a letter does
not run into them: `bypass` is none. What "did not pass: ..." is told of is no secret either.
"""
_VALUE = r"""(\\*")(?:\\.|[^"\\\n])*|(\\*')[^'\n]*|[^\s"',;&]+"""
"""All that stands in quotes, else a word. The quotes stay."""
_SECRETS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    rf"|((?:{_NAMES})\\*[\"']?\s*[:=]\s*(?:(?i:{_SCHEMES})\s+)?)(?:{_VALUE})"
    rf"|((?<!\S)--?(?:[\w-]{{0,40}}[_-])?(?i:token|secret|pass|passw(?:or)?d|passphrase|(?:api|access|private)-key)\s+(?!-))(?:{_VALUE})"
    rf"|(?i:\b(?:{_SCHEMES})\s+)(?=[^\s]*[0-9=])[A-Za-z0-9._~+/=-]{{16,}}"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|xox[a-z]-[0-9A-Za-z-]+"
    r"|\b(?:gh[a-z]_|github_pat_|npm_|glpat-)[0-9A-Za-z_-]{20,}"
    r"|(?:\b[A-Za-z][\w+.-]{0,30})?://[^\s/@:\"']*:[^\s/\"']+@|(?:\b[A-Za-z][\w+.-]{0,30})?://[^\s/@:\"']{20,}@"
    r"|https?://hooks\.[^\s\"']+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    # The end of a key whose beginning was cut.
    r"|(?m:^)(?:[A-Za-z0-9+/=]{1,100}\r?\n){1,120}+-----END [A-Z ]*PRIVATE KEY-----"
)
_NAMED_LIKE_ONE = re.compile("(?i)key|token|secret|pass|credential")
_NO_SECRETS = frozenset(("AWS_ACCESS_KEY_ID", "AWS_SHARED_CREDENTIALS_FILE"))
"""Variables that only sound like it. A real key's id is found by its letters; in the sandbox it is
the account's number.
"""
_SHORTEST = 8
"""A shorter value would be found in words that mean something else."""


def redactor() -> Callable[[str], str]:
    """Gives a text without what looks like a secret, and without the value of any environment
    variable that is named like one now.

    The environment is read once: a build writes thousands of lines, and each of them goes through
    here.
    """
    values: dict[str, str] = {}
    for name, value in os.environ.items():
        if _is_secret(name):
            values |= dict.fromkeys(hidden_parts(value, _SHORTEST), "[redacted]")

    def redacted(text: str) -> str:
        return _SECRETS.sub(_without_value, without(text, values))

    return redacted


def _without_value(match: re.Match[str]) -> str:
    """What stands before a secret stays, so that JSON stays JSON: its name, and the quote."""
    return f"{''.join(group or '' for group in match.groups())}[redacted]"


def redacted(text: str) -> str:
    """One text by the environment as it is now."""
    return redactor()(text)


def _is_secret(name: str) -> bool:
    return name not in _NO_SECRETS and _NAMED_LIKE_ONE.search(name) is not None
