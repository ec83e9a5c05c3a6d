"""`${{ … }}` in GitHub's workflows: what is known without running one."""

import re
from collections.abc import Iterator, Mapping
from itertools import product

from msgspec import Struct

from toolkit.init.evidence import UNKNOWN
from toolkit.init.located_yaml import Text, table
from toolkit.init.shell import ROOT, as_variable

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_QUOTED = re.compile(r"'([^']*)'\Z")
_MOST_COMBINATIONS = 50


class Contexts(Struct, frozen=True):
    """The values that expressions may name, by context: env, inputs, matrix."""

    env: Mapping[str, str] = {}
    inputs: Mapping[str, str] = {}
    matrix: Mapping[str, str] = {}

    def fill(self, text: str) -> str:
        """The text with each expression replaced by its value, or by a `{variable}`."""
        if "${{" not in text:
            return text
        return _EXPRESSION.sub(lambda match: self._value(match[1].strip()), text)

    def _value(self, expression: str) -> str:
        for alternative in expression.split("||"):
            word = alternative.strip()
            quoted = _QUOTED.match(word)
            if quoted:
                return quoted[1]
            context, _, name = word.partition(".")
            known: Mapping[str, str] = {
                "env": self.env,
                "inputs": self.inputs,
                "matrix": self.matrix,
            }.get(context, {})
            if known.get(name):
                return known[name]
        first = expression.split("||")[0].strip()
        if first == "github.workspace":
            return ROOT
        if first.startswith(("github.", "runner.", "strategy.")) or "(" in first:
            return UNKNOWN
        if not re.fullmatch(r"[\w.-]+", first):
            return UNKNOWN
        return as_variable(first.rpartition(".")[2])


def combinations(strategy: object) -> Iterator[dict[str, str]]:
    """The values of `matrix` for each run of a job; a single empty table where it has none."""
    matrix = table(table(strategy).get("matrix"))
    axes: dict[str, list[dict[str, str]]] = {}
    for name, values in matrix.items():
        if name in ("include", "exclude") or not isinstance(values, list):
            continue
        axes[str(name)] = [_flat(str(name), value) for value in values]
    rows: list[dict[str, str]] = []
    if axes:
        for chosen in product(*axes.values()):
            merged: dict[str, str] = {}
            for entry in chosen:
                merged |= entry
            rows.append(merged)
            if len(rows) >= _MOST_COMBINATIONS:
                break
    included = matrix.get("include")
    for entry in included if isinstance(included, list) else []:
        values = {str(key): str(value) for key, value in table(entry).items()}
        shared = [
            row for row in rows if all(row[key] == values[key] for key in row.keys() & values)
        ]
        if shared and any(row.keys() & values for row in shared):
            for row in shared:
                row.update(values)
        else:
            rows.append(values)
    yield from rows[:_MOST_COMBINATIONS] or [{}]


def _flat(name: str, value: object) -> dict[str, str]:
    """`{service: api}` and, for a list of tables, `{service.name: api}`."""
    if isinstance(value, Text):
        return {name: str(value)}
    entries = table(value).items()
    return {f"{name}.{key}": str(inner) for key, inner in entries if isinstance(inner, Text)}
