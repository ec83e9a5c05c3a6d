"""Results as JUnit's XML, which CI systems draw. Whatever comes from outside is text in it, never
markup.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from xml.etree import ElementTree

from msgspec import Struct

_ILLEGAL = "[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
"""What XML cannot hold, not even escaped. Not compiled until it is needed: that takes 5 ms."""


class JUnitVerdict(StrEnum):
    """What JUnit can say of a case. ERROR: it is unknown."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


class JUnitCase(Struct, frozen=True):
    """One thing that was checked. `message` is a line, `text` the rest."""

    suite: str
    name: str
    verdict: JUnitVerdict
    took_s: float = 0.0
    message: str = ""
    text: str = ""


_PROBLEM_TAGS = {
    JUnitVerdict.FAILED: "failure",
    JUnitVerdict.ERROR: "error",
    JUnitVerdict.SKIPPED: "skipped",
}


def xml(name: str, cases: Sequence[JUnitCase]) -> bytes:
    """The document, UTF-8, with one suite for each `suite` in order of appearance."""
    root = ElementTree.Element("testsuites", _counts(cases) | {"name": _clean(name)})
    for suite in dict.fromkeys(case.suite for case in cases):
        of_suite = [case for case in cases if case.suite == suite]
        attributes = _counts(of_suite) | {"name": _clean(suite)}
        suite_element = ElementTree.SubElement(root, "testsuite", attributes)
        for case in of_suite:
            attributes = {
                "classname": _clean(suite),
                "name": _clean(case.name),
                "time": f"{case.took_s:.3f}",
            }
            case_element = ElementTree.SubElement(suite_element, "testcase", attributes)
            if case.verdict in _PROBLEM_TAGS:
                tag, message = _PROBLEM_TAGS[case.verdict], {"message": _clean(case.message)}
                ElementTree.SubElement(case_element, tag, message).text = _clean(case.text)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _counts(cases: Sequence[JUnitCase]) -> dict[str, str]:
    verdicts = [case.verdict for case in cases]
    return {
        "tests": str(len(cases)),
        "failures": str(verdicts.count(JUnitVerdict.FAILED)),
        "errors": str(verdicts.count(JUnitVerdict.ERROR)),
        "skipped": str(verdicts.count(JUnitVerdict.SKIPPED)),
        "time": f"{sum(case.took_s for case in cases):.3f}",
    }


def _clean(text: str) -> str:
    return re.sub(_ILLEGAL, "\N{REPLACEMENT CHARACTER}", text)
