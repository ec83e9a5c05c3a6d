"""What is recorded as live, as a table that fits the screen."""

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import Advice, NextCommand, SameOptions
from toolkit.record.ledger import Record
from toolkit.show.record import document, text


class Row(Struct, frozen=True):
    target: str
    good: Record | None = None
    last: Record | None = None
    problem: Advice = ""
    earlier: bool = False
    same: SameOptions = SameOptions()

    @property
    def name(self) -> str:
        return self.target


GOOD = Record(
    "app",
    "dev",
    "eu-west-1",
    "6668dc6a3963aa",
    "6668dc6a3963aa",
    "f",
    "20261129-214218-rtq6",
    "2026-11-29T21:42:18+00:00",
    "succeeded",
    account="111111111111",
    who="ada@laptop",
)


def test_each_target_has_a_line_and_what_is_wrong_its_command() -> None:
    rows = [
        Row("app", GOOD),
        Row("web"),
        Row("api", earlier=True),
        Row("db", problem="its record is damaged: x"),
    ]
    assert text(rows, 80).splitlines() == [
        "target  live          since (UTC)       run                   who",
        "------  ------------  ----------------  --------------------  -------------",
        "app     6668dc6a3963  2026-11-29 21:42  20261129-214218-rtq6  ada@laptop",
        "web     unknown       -                 -                     not recorded",
        "api     unknown       -                 -                     older toolkit",
        "db      damaged       -                 -                     -",
        "",
        "An earlier version of toolkit recorded some of these. To see what is live, run:",
        "  toolkit diff live",
        "",
        "db: its record is damaged: x",
    ]


def test_a_damaged_record_is_told_in_short_lines_with_its_command_whole() -> None:
    why = (
        "its record is damaged: s3://state/team/record/dev/web.json: it is not a valid record of"
        " what is live (ValidationError)"
    )
    repair = NextCommand("record repair", ("web",))
    shown = text([Row("web", problem=(f"{why}; set it aside:", repair))], 80).splitlines()
    assert max(map(len, shown)) <= 80
    assert shown[-1] == "  toolkit record repair web"
    assert " ".join(line.strip() for line in shown[3:-1]).strip() == f"web: {why}; set it aside:"


def test_a_document_says_who_deployed_what_where() -> None:
    [row] = document([Row("app", GOOD)])["targets"]
    assert (row["good"]["account"], row["good"]["who"], row["last"]) == (
        "111111111111",
        "ada@laptop",
        None,
    )


def test_what_is_not_just_a_commit_and_what_nobody_deployed_is_told() -> None:
    commit = "6668dc6a3963" + "0" * 28
    dirty = replace(GOOD, commit=commit, version=f"{commit}-dirty-a058522759ce")
    message = replace(GOOD, origin="set")
    shown = text([Row("app", dirty), Row("web", message)], 80)
    assert "6668dc6a3963-dirty  " in shown
    assert "set by hand" in shown
