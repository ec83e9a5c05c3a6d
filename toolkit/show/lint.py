"""What `rules check` found."""

from collections.abc import Iterator
from typing import Any

from toolkit.formats.words import count
from toolkit.model import Lint, Rules
from toolkit.show.text import line, quote


def text(rules: Rules, result: Lint | None) -> str:
    """The verdict first, then one line per finding, then what no rule owns."""
    return "\n".join(_lines(rules, result))


def _lines(rules: Rules, result: Lint | None) -> Iterator[str]:
    sizes = f"{count(len(rules.rules), 'rule')}, {count(len(rules.targets), 'target')}"
    if result is None:
        yield (
            f"{quote(rules.file)}: no errors ({sizes}); not in a repository, so no file was checked"
        )
        return
    yield f"{quote(rules.file)}: no errors ({sizes}, {count(result.files, 'tracked file')})"
    for finding in result.findings:
        text = f"{rules.file}:{finding.line or '?'}: {finding.code}: {finding.message}"
        if finding.hint:
            text += f"; {finding.hint}"
        yield line(text)
    unowned = sum(number for _, number in result.unowned)
    if unowned:
        yield f"unowned: {count(unowned, 'file')} that no rule matches and `ignore` does not cover"
        yield from (f"  {number:>6,}  {quote(folder)}" for folder, number in result.unowned[:10])
        if len(result.unowned) > 10:
            yield f"  and {len(result.unowned) - 10} more folders"


def document(rules: Rules, result: Lint | None, code: int) -> dict[str, Any]:
    """The same for programs. Without a repository `findings` and `unowned` are null: files were not
    checked.
    """
    findings, unowned = None, None
    if result is not None:
        findings = [
            {
                "code": finding.code,
                "line": finding.line,
                "message": finding.message,
                "hint": finding.hint,
            }
            for finding in result.findings
        ]
        unowned = [{"folder": folder, "files": number} for folder, number in result.unowned]
    return {
        "toolkit": 1,
        "command": "rules check",
        "status": "failed" if code else "done",
        "exit": int(code),
        "rules": rules.file,
        "findings": findings,
        "unowned": unowned,
    }
