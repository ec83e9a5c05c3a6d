"""Reports for CI: well-formed whatever is in them."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from toolkit.show.junit import JUnitCase, JUnitVerdict, xml


def parsed(*cases: JUnitCase) -> ElementTree.Element:
    return ElementTree.fromstring(xml("toolkit", cases))  # noqa: S314 (our own)


def test_every_verdict_has_its_element_and_is_counted() -> None:
    root = parsed(
        JUnitCase("s", "a", JUnitVerdict.PASSED, 0.25),
        JUnitCase("s", "b", JUnitVerdict.FAILED, 1, "why", "more"),
        JUnitCase("s", "c", JUnitVerdict.SKIPPED, message="waits"),
        JUnitCase("t", "d", JUnitVerdict.ERROR, message="nobody knows"),
    )
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
        "time": "1.250",
    }
    assert [[child.tag for child in case] for case in root.iter("testcase")] == [
        [],
        ["failure"],
        ["skipped"],
        ["error"],
    ]
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("why", "more")
    assert [suite.get("name") for suite in root.iter("testsuite")] == ["s", "t"]


@given(st.text(), st.text())
def test_any_text_is_text_and_never_markup(message: str, text: str) -> None:
    """S13, S33: also with characters that XML cannot hold."""
    root = parsed(
        JUnitCase("suite <x>&", f"name {message}", JUnitVerdict.FAILED, message=message, text=text)
    )
    assert [child.tag for child in root.iter()] == [
        "testsuites",
        "testsuite",
        "testcase",
        "failure",
    ]


def test_what_xml_cannot_hold_is_replaced() -> None:
    [case] = parsed(JUnitCase("s", "a\x1b[2J\x00\ud800", JUnitVerdict.PASSED)).iter("testcase")
    assert case.get("name") == "a\ufffd[2J\ufffd\ufffd"
