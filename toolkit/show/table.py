"""Tables that read well in 80 columns, without colour, in a pipe and by a screen reader."""

from collections.abc import Sequence


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str | int]], right: Sequence[int] = ()
) -> str:
    """A plain table; the columns whose index is in `right` are aligned right."""
    import tabulate

    tabulate.MIN_PADDING = 0  # by default a header takes two columns more than it needs
    align = ["right" if at in right else "left" for at in range(len(headers))]
    cells = [[str(cell) for cell in row] for row in rows]
    text = tabulate.tabulate(
        cells, headers, tablefmt="simple", colalign=align, disable_numparse=True
    )
    return "\n".join(line.rstrip() for line in text.splitlines())


def room(
    rows: Sequence[Sequence[str | int]], headers: Sequence[str], column: int, width: int
) -> int:
    """How wide one column may be so that the table fits: what the others leave, but at least its
    header or 12.
    """
    others = [at for at in range(len(headers)) if at != column]
    taken = sum(max([len(headers[at]), *(len(str(row[at])) for row in rows)]) for at in others)
    return max(width - taken - 2 * len(others), len(headers[column]), 12)
