"""`health` as a screen reader reads it: line by line, without colours and columns."""

import re

from toolkit.operations import HealthStatus

STATUSES = "|".join(HealthStatus)
LINES = {
    "endpoint": r"endpoint: .+",
    "place": r"\S+ \(account .+\)( as .+|, profile .+)?",
    "headings": r"target +status .+detail",
    "rule": r"-+( +-+)+",
    "row": rf"(?P<row>\S*[^\s:]) +(?P<row_status>{STATUSES}) .+",
    "reason": rf"(?P<same>\S.*): (?:partly )?(?P<same_status>{STATUSES}), for the same reason",
    "problem": rf"(?P<names>\S.*): (?P<status>{STATUSES})( for .+)?",
    "log": r"(    \|.*|  the log of .+:)",
    "command": r"    \S.*",
    "next": r"  (next|then):.*",
    "also": r"  (also: .+|and \d+ more like it)",
    "deployed": r"  live: .+",
    "cause": r"  \S.*",
    "sum": r"\d+ ok(, \d+ \w+)* in .+\.",
}
"""What a line is, by how it reads; the first that fits."""
ORDER = re.compile(
    r"(endpoint )?place (headings rule (row )+"
    r"(problem cause (also )*(log )*(deployed )?(next (command )*)*|reason )+)?sum "
)


def read_out(text: str) -> list[tuple[str, dict[str, str]]]:
    """Each line that says something: what it is, and the names and status in it."""
    heard = list[tuple[str, dict[str, str]]]()
    for line in filter(None, text.splitlines()):
        for kind, pattern in LINES.items():
            if match := re.fullmatch(pattern, line):
                heard.append((kind, match.groupdict()))
                break
        else:
            raise AssertionError(f"nothing that has its place: {line!r}")
    return heard


def assert_in_order(text: str) -> None:
    """Where it was checked comes first, then the rows, the worst first; then each problem: its
    cause, what shows it, what to do, and the command; the sum last. Everything that a row tells by
    its column is said in words, too.
    """
    heard = read_out(text)
    assert ORDER.fullmatch("".join(f"{kind} " for kind, _ in heard)), text
    worst_first = list(HealthStatus)
    for kinds, key in ((("row",), "row_status"), (("problem",), "status")):
        statuses = [HealthStatus(words[key]) for kind, words in heard if kind in kinds]
        assert statuses == sorted(statuses, key=worst_first.index), text
    spoken = set[tuple[str, str]]()
    for _, words in heard:
        for names, status in (("names", "status"), ("same", "same_status")):
            spoken |= {(name, words[status]) for name in words.get(names, "").split(", ") if name}
    rows = {(words["row"], words["row_status"]) for kind, words in heard if kind == "row"}
    assert {row for row in rows if row[1] != HealthStatus.OK} <= spoken, text
