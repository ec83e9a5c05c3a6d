"""What `rules check` found."""

from collections.abc import Iterator
from typing import Any

from toolkit.model import Lint, Rules
from toolkit.show.text import count, line, quote


def text(rules: Rules, found: Lint | None) -> str:
    """The verdict first, then a line a finding, then what no rule owns."""
    return "\n".join(_lines(rules, found))


def _lines(rules: Rules, found: Lint | None) -> Iterator[str]:
    sizes = f"{count(len(rules.rules), 'rule')}, {count(len(rules.targets), 'target')}"
    if found is None:
        yield (
            f"{quote(rules.file)}: no errors ({sizes}); not in a repository, so no file was"
            " looked at"
        )
        return
    yield f"{quote(rules.file)}: no errors ({sizes}, {count(found.files, 'tracked file')})"
    for one in found.findings:
        yield line(
            f"{rules.file}:{one.line or '?'}: {one.code}: {one.message}"
            + (f"; {one.hint}" if one.hint else "")
        )
    unowned = sum(number for _, number in found.unowned)
    if unowned:
        yield f"unowned: {count(unowned, 'file')} that no rule matches and `ignore` does not cover"
        yield from (f"  {number:>6,}  {quote(folder)}" for folder, number in found.unowned[:10])
        if len(found.unowned) > 10:
            yield f"  and {len(found.unowned) - 10} more folders"


def document(rules: Rules, found: Lint | None, code: int) -> dict[str, Any]:
    """The same for programs. Without a repository `findings` and `unowned` are null: nobody
    looked.
    """
    return {
        "toolkit": 1,
        "command": "rules check",
        "status": "failed" if code else "done",
        "exit": int(code),
        "rules": rules.file,
        "findings": (
            None
            if found is None
            else [
                {"code": one.code, "line": one.line, "message": one.message, "hint": one.hint}
                for one in found.findings
            ]
        ),
        "unowned": (
            None
            if found is None
            else [{"folder": folder, "files": number} for folder, number in found.unowned]
        ),
    }
