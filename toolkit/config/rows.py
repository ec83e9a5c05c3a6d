"""The rows of data that a check runs with: a table each, in rules.toml, or in a CSV or JSON file.
Pure.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.formats.variables import NAME

Row = Mapping[str, Any]
MOST_ROWS = 500
_FILE = re.compile(
    r"(?!/)(?!.*(?:^|/)\.{1,2}(?:/|$))(?!.*//)[^\x00-\x1f{}\\]{1,300}\.(?:csv|json)", re.IGNORECASE
)
_NAME = re.compile(NAME)


def read_rows(name: str, data: bytes) -> tuple[Row, ...]:
    """The rows in a file. Raises ValueError with what is wrong with it."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8") from None
    rows = _of_csv(name, text) if name.lower().endswith(".csv") else _of_json(name, text)
    problem = wrong_rows(rows)
    if problem:
        raise ValueError(f"{name}: {problem}")
    return rows


def wrong_rows(rows: Sequence[Row] | str) -> str | None:
    """What is wrong with rows, or with the name of the file that has them, None if nothing is."""
    if isinstance(rows, str):
        if _FILE.fullmatch(rows):
            return None
        return f"expected a `.csv` or `.json` file below the folder of rules.toml, got {rows!r}"
    if not rows:
        return "there are no rows"
    if len(rows) > MOST_ROWS:
        return f"there are {len(rows)} rows; {MOST_ROWS} are the most"
    for row in rows:
        for key in row:
            if not _NAME.fullmatch(key):
                return f"{key!r} cannot be written `{{name}}`; use letters, digits and `_`"
    return None


def _of_csv(name: str, text: str) -> tuple[Row, ...]:
    """The first line has the names."""
    reader = csv.reader([f"{line}\n" for line in text.split("\n")], strict=True)
    try:
        lines = [line for line in _limited(reader) if line]
    except csv.Error as error:
        raise ValueError(f"{name}:{reader.line_num}: {error}") from None
    if not lines:
        return ()
    names = [word.strip() for word in lines[0]]
    if len(set(names)) < len(names):
        raise ValueError(f"{name}: its first line has a name twice")
    rows: list[Row] = []
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(names):
            counts = f"{len(line)} values, but its first line {len(names)} names"
            raise ValueError(f"{name}: row {number} has {counts}")
        rows.append(dict(zip(names, line, strict=True)))
    return tuple(rows)


def _limited(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    """No more lines than are needed to see that there are too many."""
    for number, line in enumerate(reader):
        if number > MOST_ROWS + 1:
            return
        yield line


def _of_json(name: str, text: str) -> tuple[Row, ...]:
    """A list of tables."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{name} is not JSON") from None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise ValueError(f"{name} is not a list of tables")
    return tuple(content)
