"""What is recorded as live, as text for people and as a document for programs."""

from collections.abc import Sequence
from typing import Any, Protocol

from toolkit.advice import Advice, NextCommand, SameOptions
from toolkit.operations import RecordOrigin
from toolkit.show.advice import advice_lines, sentence
from toolkit.show.table import room, table
from toolkit.show.text import clipped, line


class DeployRow(Protocol):
    """One deploy, as the record has it."""

    @property
    def target(self) -> str: ...
    @property
    def environment(self) -> str | None: ...
    @property
    def region(self) -> str | None: ...
    @property
    def account(self) -> str | None: ...
    @property
    def version(self) -> str: ...
    @property
    def commit(self) -> str | None: ...
    @property
    def run(self) -> str: ...
    @property
    def when(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def who(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def origin(self) -> str: ...


class RecordRow(Protocol):
    """What is recorded of one target in one place. `name` has the region, where there are
    several.
    """

    @property
    def name(self) -> str: ...

    @property
    def target(self) -> str: ...
    @property
    def good(self) -> DeployRow | None: ...
    @property
    def last(self) -> DeployRow | None: ...
    @property
    def problem(self) -> Advice: ...
    @property
    def same(self) -> SameOptions: ...
    @property
    def earlier(self) -> bool: ...


EARLIER, NOTHING = "older toolkit", "not recorded"
"""What stands for the author of what is unknown: an earlier version of toolkit has recorded
something, or nothing is recorded at all.
"""


def text(rows: Sequence[RecordRow], width: int) -> str:
    """A table: what is live of each target, since when, and by whom."""
    if not rows:
        return "rules.toml has no targets."
    headers = ("target", "live", "since (UTC)", "run", "who")
    lines = [_cells(row) for row in rows]
    space = room(lines, headers, 4, width)
    shown = [table(headers, [(*cells[:4], clipped(cells[4], space)) for cells in lines])]
    if any(row.good is None and row.earlier for row in rows):
        earlier = "An earlier version of toolkit recorded some of these. To see what is live, run:"
        ask = (earlier, NextCommand("diff", ("live",)))
        shown.append("\n".join(advice_lines(ask, rows[0].same, width, "")))
    for row in rows:
        if row.problem:
            problem = advice_lines(row.problem, row.same, width, f"{line(row.name)}: ")
            shown.append("\n".join(problem))
    return "\n\n".join(shown)


def _cells(row: RecordRow) -> tuple[str, str, str, str, str]:
    target = line(row.name)
    if row.problem:
        return target, "damaged", "-", "-", "-"
    if row.good is None:
        return target, "unknown", "-", "-", EARLIER if row.earlier else NOTHING
    good, remark = row.good, row.good.who
    if row.last is not None:
        remark += f"; its last deploy: {row.last.verdict}"
    run = "set by hand" if good.origin == RecordOrigin.SET else good.run
    return target, short(good), line(good.when[:16].replace("T", " ")), line(run), line(remark)


def short(record: DeployRow) -> str:
    """A version as a table has room for it, never without the word that it is not just a commit:
    `3e8a51c09f2b-dirty`.
    """
    text, commit = record.version[:12], record.commit
    if commit and record.version.startswith(f"{commit}-"):
        state = record.version.removeprefix(f"{commit}-").split("-")[0]
        text += f"-{state}"
    return line(text)


def document(rows: Sequence[RecordRow]) -> dict[str, Any]:
    """The same for programs (docs/json.md)."""
    targets = [
        {
            "target": row.target,
            "problem": sentence(row.problem, row.same) or None,
            "earlier": row.earlier,
            "good": _record(row.good),
            "last": _record(row.last),
        }
        for row in rows
    ]
    return {"toolkit": 1, "command": "record show", "status": "ok", "exit": 0, "targets": targets}


def set_document(records: Sequence[DeployRow]) -> dict[str, Any]:
    """What was recorded, for programs."""
    return {
        "toolkit": 1,
        "command": "record set",
        "status": "ok",
        "exit": 0,
        "records": [_record(record) for record in records],
    }


def recorded(records: Sequence[DeployRow]) -> list[str]:
    """What was recorded, a line for each target and region."""
    lines = []
    for record in records:
        where = f"{line(record.account or '-')} {line(record.region or '-')}"
        lines.append(
            f"{line(record.target)}: recorded as live at {line(record.version[:12])} in {where}"
        )
    return lines


def _record(record: DeployRow | None) -> dict[str, Any] | None:
    if record is None:
        return None
    names = (
        "target",
        "environment",
        "account",
        "region",
        "version",
        "commit",
        "run",
        "when",
        "verdict",
        "who",
    )
    document = {name: getattr(record, name) for name in names}
    return {**document, "message": record.message or None}
