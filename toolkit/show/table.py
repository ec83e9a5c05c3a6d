"""Tables that read well in 80 columns, without colour, in a pipe and by a screen reader."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from toolkit.show import style


def load() -> None:
    """Load what a table needs. Raises ImportError."""
    import tabulate  # noqa: F401


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str | int]], right: Sequence[int] = ()
) -> str:
    """A plain table; the columns whose index is in `right` are aligned right. Cells may be marked
    with a role (`show/style.py`).
    """
    import tabulate

    tables: Any = tabulate
    cells = [[style.with_escapes(str(cell)) for cell in row] for row in rows]
    if not all(cell.isascii() for row in (headers, *cells) for cell in row):
        with suppress(ImportError):  # tabulate can do without
            import wcwidth

            tables.wcwidth, tables.WIDE_CHARS_MODE = wcwidth, True
    tabulate.MIN_PADDING = 0  # by default a header takes two columns more than it needs
    align = ["left"] * len(headers)
    for column in right:
        align[column] = "right"
    text = tabulate.tabulate(
        cells, headers, tablefmt="simple", colalign=align, disable_numparse=True
    )
    return style.without_escapes("\n".join(line.rstrip() for line in text.splitlines()))


def room(
    rows: Sequence[Sequence[str | int]], headers: Sequence[str], column: int, width: int
) -> int:
    """How wide one column may be so that the table fits: what the others leave, but at least its
    header or 12.
    """
    taken = 0
    for index, header in enumerate(headers):
        if index != column:
            widths = [style.width(str(row[index])) for row in rows]
            taken += max([len(header), *widths]) + 2  # two spaces between columns
    return max(width - taken, len(headers[column]), 12)
