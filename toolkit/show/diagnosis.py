"""What `doctor` found."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from toolkit.advice import Advice, advice_parts
from toolkit.formats.words import count
from toolkit.show.advice import advice_lines, sentence
from toolkit.show.text import line, quote

_FIXED = ((2, 45, 1), (2, 44, 1), (2, 43, 4), (2, 42, 2), (2, 41, 1), (2, 40, 2), (2, 39, 4))
"""The first versions of git with the security fixes of 2024."""


class ProgramRow(Struct, frozen=True):
    """A program and its version (None: not there), and what is wrong with that."""

    name: str
    version: str | None
    remark: str = ""
    problem: bool = False


class UncoveredRow(Protocol):
    """Files that a Dockerfile's line copies and no rule sends to its app, or `ignore` hides
    (init/coverage.py).
    """

    @property
    def dockerfile(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def example(self) -> str: ...
    @property
    def uncertain(self) -> bool: ...
    @property
    def ignored(self) -> bool: ...


class DockerfileRows(Struct, frozen=True):
    """Every Dockerfile with the targets that are built from it, those of rules.toml that do not
    exist, and what the rules forget.
    """

    dockerfiles: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    uncovered: Sequence[UncoveredRow]
    generated: Mapping[str, Sequence[str]] = {}
    """Target -> the files that its build takes and git does not know."""
    incomplete: Mapping[str, tuple[str, Advice]] = {}
    """Target -> what of its commit is not on disk, and what fixes that."""
    unprepared: Mapping[str, tuple[str, Advice]] = {}
    """Folder of a CDK app -> what it needs that is not installed, and what installs it."""


class BypassRows(Struct, frozen=True):
    """What uses targets in ways that their deploys do not reach: target -> a line for each, and
    what to do about it.
    """

    targets: Mapping[str, Sequence[str]]
    fixes: Sequence[str] = ()


def program(name: str, version: str | None, needed: bool) -> ProgramRow:
    """A program with a remark on its version."""
    if version is None:
        remark = "not found, and toolkit needs it" if needed else "not found"
        return ProgramRow(name, None, remark, needed)
    if name == "git" and not _is_safe(version):
        return ProgramRow(
            name, version, "it lacks the security fixes of 2024: use 2.39.4, 2.45.1 or later"
        )
    if not version:
        return ProgramRow(name, None, "it does not print its version")
    return ProgramRow(name, version)


def _is_safe(version: str) -> bool:
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if numbers[:2] > (2, 45):
        return True
    return any(numbers[:2] == fixed[:2] and numbers >= fixed for fixed in _FIXED)


def text(
    programs: Sequence[ProgramRow],
    images: DockerfileRows | None,
    bypassed: BypassRows | None,
    file: str | None,
) -> str:
    """Programs, then Dockerfiles, then what the rules forget and how to fix or accept it; then what
    uses targets in ways that their deploys do not reach (None: that was not asked).
    """
    return "\n".join((*_lines(programs, images, file), *_bypass_lines(bypassed)))


def _bypass_lines(bypassed: BypassRows | None) -> Iterator[str]:
    if bypassed is None:
        return
    for name, problems in bypassed.targets.items():
        for problem in problems:
            yield f"{name}: {line(problem)}"
    for fix in bypassed.fixes:
        yield f"hint: {line(fix)}"
    if not bypassed.targets:
        yield "nothing is known to use a target in a way that its deploys do not reach"


def _lines(
    programs: Sequence[ProgramRow], images: DockerfileRows | None, file: str | None
) -> Iterator[str]:
    for row in programs:
        yield f"{row.name:<8} {row.version or '-':<10} {row.remark}".rstrip()
    if images is None:
        yield "not in a git repository, so no rules were checked"
    else:
        yield from _image_lines(images, file)


def _image_lines(images: DockerfileRows, file: str | None) -> Iterator[str]:
    for path, names in images.dockerfiles.items():
        owners = f"built for {', '.join(names)}" if names else "no target is built from it"
        yield f"{quote(path)}: {owners}"
    for path in images.missing:
        yield (
            f"{quote(path)}: {line(file or 'rules.toml')} names it, but it does not exist, or "
            "git ignores it"
        )
    yield from (_uncovered(uncovered) for uncovered in images.uncovered)
    for name, paths in images.generated.items():
        go = "goes" if len(paths) == 1 else "go"
        examples = ", ".join(quote(path) for path in paths[:3])
        if len(paths) > 3:
            examples += ", ..."
        files = count(len(paths), "file")
        yield f"{name}: {files} that git ignores {go} into its build: {examples}"
    for name, (what, fix) in images.incomplete.items():
        yield from advice_lines((f"{line(what)}; fix:", *advice_parts(fix)), before=f"{name}: ")
    for folder, (what, fix) in images.unprepared.items():
        fixed = (f"{line(what)}; fix:", *advice_parts(fix))
        yield from advice_lines(fixed, before=f"{quote(folder)}: ")
    if images.uncovered:
        yield 'hint: add rules for them, or: accept = [{ path = "PATTERN", reason = "WHY" }]'
    elif any(images.dockerfiles.values()):
        yield "every tracked file that goes into the image of a target is covered by its rules"


def _uncovered(row: UncoveredRow) -> str:
    copies = "may copy" if row.uncertain else "copies"
    why = "that `ignore` hides" if row.ignored else "that no rule sends to its app"
    files = f"{count(row.count, 'file')} (such as {quote(row.example)})"
    return f"{quote(row.dockerfile)}:{row.line}: {copies} {files} {why}: {line(row.source)}"


def document(
    programs: Sequence[ProgramRow],
    images: DockerfileRows | None,
    bypassed: BypassRows | None,
    code: int,
) -> dict[str, Any]:
    """The same for programs. Without a repository nothing but the programs was checked: null; and
    so is what was not asked.
    """
    head = {
        "toolkit": 1,
        "command": "doctor",
        "status": "failed" if code else "done",
        "exit": int(code),
        "programs": [
            {"name": row.name, "version": row.version, "remark": row.remark} for row in programs
        ],
        "bypassed": None if bypassed is None else bypassed.targets,
    }
    if images is None:
        keys = ("dockerfiles", "missing", "generated", "incomplete", "unprepared", "uncovered")
        return {**head, **dict.fromkeys(keys)}
    return {
        **head,
        "dockerfiles": [
            {"path": path, "targets": names} for path, names in images.dockerfiles.items()
        ],
        "missing": images.missing,
        "generated": {name: list(paths) for name, paths in images.generated.items()},
        "incomplete": _problems(images.incomplete),
        "unprepared": _problems(images.unprepared),
        "uncovered": [
            {
                "dockerfile": row.dockerfile,
                "line": row.line,
                "source": row.source,
                "files": row.count,
                "example": row.example,
                "ignored": row.ignored,
            }
            for row in images.uncovered
        ],
    }


def _problems(problems: Mapping[str, tuple[str, Advice]]) -> dict[str, dict[str, str]]:
    return {name: {"problem": what, "fix": sentence(fix)} for name, (what, fix) in problems.items()}
