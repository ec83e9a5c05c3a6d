"""`inputs` of a target: what it is made of, or runs with, outside git. Pure."""

import re

from toolkit.config.reader import nearest
from toolkit.formats.redaction import SECRET_NAME
from toolkit.model import DeclaredInput, InputSource

_HOLE = r"\{[A-Za-z_][A-Za-z0-9_]*\}"
_NAMES = {
    # Without `:`, which would pin a version or a label.
    InputSource.SSM: (
        rf"(?:[A-Za-z0-9_./-]|{_HOLE})+|arn:[a-z-]+:ssm:[\w:{{}}-]+:parameter/[\w./-]+"
    ),
    InputSource.SECRET: (
        rf"(?:[A-Za-z0-9/_+=.@-]|{_HOLE})+"
        r"|arn:[a-z-]+:secretsmanager:[\w:{}-]+:secret:[\w/+=.@-]+"
    ),
    InputSource.ENV: r"[A-Za-z_][A-Za-z0-9_]*",
}
_WHAT = {
    InputSource.SSM: "the name of a parameter",
    InputSource.SECRET: "the name or ARN of a secret",
    InputSource.ENV: "the name of a variable",
}
MOST_LETTERS = 512


def parse(text: str) -> DeclaredInput:
    """An input from its text, of which `problem` has said nothing."""
    source, _, name = text.partition(":")
    return DeclaredInput(InputSource(source), name)


def problem(text: str) -> str | None:
    """What is wrong with the text of an input; None if nothing is."""
    source, colon, name = text.partition(":")
    sources = tuple(map(str, InputSource))
    if not colon or source not in sources:
        hint = nearest(source, sources) or "it begins with `ssm:`, `secret:` or `env:`"
        return f"{text[:80]!r} is not an input; {hint}"
    if not name:
        return f"{text!r} has no name"
    kind = InputSource(source)
    if len(name) > MOST_LETTERS or not re.fullmatch(_NAMES[kind], name, re.ASCII):
        return f"{name[:80]!r} is not {_WHAT[kind]}"
    if kind is InputSource.ENV and SECRET_NAME.search(name):
        return (
            f"the name of {text!r} looks like that of a secret, and what `env:` names is recorded"
            " and shown; keep it in Secrets Manager, and declare `secret:NAME`"
        )
    return None
