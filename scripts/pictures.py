"""Records toolkit on a terminal, and draws what it showed as SVG: python scripts/pictures.py FOLDER

scripts/pictures prepares the repository and the sandbox that it runs in.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

COLUMNS, ROWS = 80, 40
PATIENCE_S, PAUSE_S = 120, 0.03
"""How long to wait for the next output, and what counts as the end of a drawing."""
CELL, LINE, MARGIN = 8.4, 18, 14
"""Sizes in the picture: the width of a character, the height of a line, the space around them."""
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
BACKGROUND, FOREGROUND = "#10151c", "#d6dde6"
COLOURS = {
    "red": "#f0776c",
    "green": "#74c476",
    "brown": "#e0b454",  # what a terminal shows as yellow
    "blue": "#6ea8fe",
    "magenta": "#c792ea",
    "cyan": "#5cc5c9",
}
RUNNING = re.compile(r"[-\\|/] ([\w:@.-]+) +(?:\[[#-]+\] +)?\d")
"""A row of a step that is in progress."""
ABSOLUTE = re.compile(r"(?:^|\s)/\w")
"""A path of this machine."""


@dataclass(frozen=True)
class Cell:
    """A character on the screen and how it looks."""

    text: str
    colour: str = FOREGROUND
    is_bold: bool = False


Row = tuple[Cell, ...]


def plain(row: Row) -> str:
    """What a row says."""
    return "".join(cell.text for cell in row).rstrip()


class Terminal:
    """A command on a terminal, and its screen."""

    def __init__(self, command: Sequence[str]) -> None:
        import pexpect
        import pyte

        self._command = command
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._child: Any = pexpect.spawn(
            command[0], [*command[1:]], dimensions=(ROWS, COLUMNS), timeout=PATIENCE_S
        )

    def rows(self) -> list[Row]:
        """The command and what the screen shows, without the empty rows at its end."""
        rows = [tuple(Cell(character) for character in f"$ {' '.join(self._command)}")]
        for number in range(ROWS):
            rows.append(tuple(map(_cell, _columns(self._screen.buffer[number]))))
        while not plain(rows[-1]):
            rows.pop()
        return rows

    def screens(self) -> Iterator[list[Row]]:
        """Each screen until the command ends, as it is when the command pauses: in between, it may
        be half drawn. Raises pexpect's TIMEOUT.
        """
        while self._read(PATIENCE_S):
            while self._read(PAUSE_S, patient=False):
                pass
            yield self.rows()

    def _read(self, timeout_s: float, patient: bool = True) -> bool:
        """Whether there was more to read."""
        import pexpect

        try:
            self._stream.feed(self._child.read_nonblocking(4096, timeout_s))
        except pexpect.EOF:
            return False
        except pexpect.TIMEOUT:
            if patient:
                raise
            return False
        return True

    def close(self) -> int | None:
        """End the command; its exit code, None where it was stopped."""
        self._child.close()
        return self._child.exitstatus


def _columns(line: Any) -> Iterator[Any]:
    for column in range(COLUMNS):
        yield line[column]


def _cell(character: Any) -> Cell:
    return Cell(character.data, COLOURS.get(character.fg, FOREGROUND), character.bold)


def masked(row: Row) -> Row:
    """A row without what differs on each machine: the sandbox's port. The colours stay."""
    text = "".join(cell.text for cell in row)
    masked_text = re.sub(r"(?<=127\.0\.0\.1:)\d{5}", "40123", text)
    return tuple(
        Cell(character, cell.colour, cell.is_bold)
        for character, cell in zip(masked_text, row, strict=True)
    )


def svg(rows: Sequence[Row], title: str) -> str:
    """A picture of a screen. Each run of characters of one look, up to where several spaces
    follow, has its place and its width, so that columns stay columns in any font: browsers draw
    several spaces as one.
    """
    width = round(COLUMNS * CELL + 2 * MARGIN)
    height = len(rows) * LINE + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="6" fill="{BACKGROUND}"/>',
        f'<g font-family="{FONTS}" font-size="14" fill="{FOREGROUND}">',
    ]
    for number, row in enumerate(rows):
        lines += _texts(row, MARGIN + number * LINE + 14)
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _texts(row: Row, y: int) -> Iterator[str]:
    column = 0
    for (colour, is_bold), group in groupby(row, lambda cell: (cell.colour, cell.is_bold)):
        cells = list(group)
        text = plain(tuple(cells))
        look = ""
        if colour != FOREGROUND:
            look += f' fill="{colour}"'
        if is_bold:
            look += ' font-weight="bold"'
        for piece in re.finditer(r"\S+(?: \S+)*", text):
            x, width = MARGIN + (column + piece.start()) * CELL, len(piece[0]) * CELL
            shown = escape(piece[0])
            yield f'<text x="{x:.1f}" y="{y}" textLength="{width:.1f}"{look}>{shown}</text>'
        column += len(cells)


def diff_with_its_prompt() -> list[Row]:
    """`toolkit diff`, which asks what to do now. Raises SystemExit if it does not."""
    terminal = Terminal(["toolkit", "diff"])
    for rows in terminal.screens():
        if plain(rows[-1]).strip() == "nothing":
            terminal.close()
            return rows
    raise SystemExit("diff ended without a question")


def deploy_in_progress() -> list[Row]:
    """`toolkit deploy` at the moment when most steps are in progress. Raises SystemExit if it
    fails, or never had two at once.
    """
    terminal = Terminal(["toolkit", "deploy", "--yes"])
    most, best = 1, []
    for rows in terminal.screens():
        running = steps_in_progress(rows)
        if len(running) >= most:
            most, best = len(running), rows
    code = terminal.close()
    if code != 0 or most < 2:
        raise SystemExit(f"the deploy ended with {code}; at most {most} step was in progress")
    return best


def steps_in_progress(rows: Sequence[Row]) -> set[str]:
    """The steps that have a row."""
    matches = [RUNNING.match(plain(row)) for row in rows]
    return {match[1] for match in matches if match is not None}


def main(folder: Path) -> None:
    """Write both pictures."""
    pictures = {
        "diff.svg": (diff_with_its_prompt(), "toolkit diff, and what it asks"),
        "deploy.svg": (deploy_in_progress(), "toolkit deploy, with several steps in progress"),
    }
    for name, (rows, title) in pictures.items():
        for row in rows:
            if ABSOLUTE.search(plain(row)):
                raise SystemExit(f"{name} would show a path of this machine: {plain(row)}")
        (folder / name).write_text(svg([masked(row) for row in rows], title), "utf-8")
        print(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
