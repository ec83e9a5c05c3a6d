"""Names that differ by the environment alone: `api-staging` and `api-prod` are one target."""

import re

_STAGES = {
    "dev",
    "develop",
    "development",
    "test",
    "testing",
    "tst",
    "qa",
    "uat",
    "int",
    "staging",
    "stage",
    "stg",
    "preprod",
    "preproduction",
    "prod",
    "production",
    "prd",
    "live",
    "sandbox",
    "sbx",
    "demo",
    "preview",
    "beta",
    "val",
    "impl",
    "acc",
}
_WORD = re.compile(r"[A-Za-z]+")
STAGE = "{stage}"

PROTECTED = {"prod", "production", "prd", "live"}


def without_stage(text: str) -> tuple[str, str]:
    """A name with `{stage}` for the environment in it, and that environment (empty if there is
    none). The last word that names one counts.
    """
    best: re.Match[str] | None = None
    for match in _WORD.finditer(text):
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        is_word = not before.isalnum() and not after.isalnum() and before != "{"
        if is_word and match[0].lower() in _STAGES:
            best = match
    if best is None:
        return text, ""
    return text[: best.start()] + STAGE + text[best.end() :], best[0]
