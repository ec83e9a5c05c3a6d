"""What `doctor` found."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from toolkit.show.text import count, line, quote

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
    (adopt/coverage.py).
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
    """Every Dockerfile with the targets that are built from it, those that rules.toml names in
    vain, and what the rules forget.
    """

    dockerfiles: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    uncovered: Sequence[UncoveredRow]
    generated: Mapping[str, Sequence[str]] = {}
    """Target -> the files that its build takes and git does not know."""
    incomplete: Mapping[str, tuple[str, str]] = {}
    """Target -> what of its commit is not on disk, and what fixes that."""
    unprepared: Mapping[str, tuple[str, str]] = {}
    """Folder of a CDK app -> what it needs that is not installed, and what installs it."""


def program(name: str, version: str | None, needed: bool) -> ProgramRow:
    """A program with a remark on its version."""
    if version is None:
        return ProgramRow(
            name, None, "not found" + (", and toolkit needs it" if needed else ""), needed
        )
    if name == "git" and not _is_safe(version):
        return ProgramRow(
            name, version, "it lacks the security fixes of 2024: use 2.39.4, 2.45.1 or later"
        )
    return ProgramRow(name, version or None, "" if version else "it does not tell its version")


def _is_safe(version: str) -> bool:
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    return any(numbers[:2] == fixed[:2] and numbers >= fixed for fixed in _FIXED) or numbers[:2] > (
        2,
        45,
    )


def text(programs: Sequence[ProgramRow], images: DockerfileRows | None, file: str | None) -> str:
    """Programs, then Dockerfiles, then what the rules forget and how to mend or silence it."""
    return "\n".join(_lines(programs, images, file))


def _lines(
    programs: Sequence[ProgramRow], images: DockerfileRows | None, file: str | None
) -> Iterator[str]:
    for one in programs:
        yield f"{one.name:<8} {one.version or '-':<10} {one.remark}".rstrip()
    if images is None:
        yield "not in a git repository, so no rules were looked at"
        return
    yield from (f"{quote(path)}: {_owners(names)}" for path, names in images.dockerfiles.items())
    yield from (
        f"{quote(path)}: {line(file or 'rules.toml')} names it, but there is no such file, or git"
        " ignores it"
        for path in images.missing
    )
    yield from (_uncovered(missed) for missed in images.uncovered)
    for name, paths in images.generated.items():
        go = "goes" if len(paths) == 1 else "go"
        named = ", ".join(quote(path) for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
        yield f"{name}: {count(len(paths), 'file')} that git ignores {go} into its build: {named}"
    for name, (what, fix) in images.incomplete.items():
        yield f"{name}: {line(what)}; fix: {line(fix)}"
    for folder, (what, fix) in images.unprepared.items():
        yield f"{quote(folder)}: {line(what)}; fix: {line(fix)}"
    if images.uncovered:
        yield 'hint: add rules for them, or: accept = [{ path = "PATTERN", reason = "WHY" }]'
    elif any(images.dockerfiles.values()):
        yield "every tracked file that goes into the image of a target is covered by its rules"


def _uncovered(missed: UncoveredRow) -> str:
    sure = "may copy" if missed.uncertain else "copies"
    why = "that `ignore` hides" if missed.ignored else "that no rule sends to its app"
    files = f"{count(missed.count, 'file')} (such as {quote(missed.example)})"
    return f"{quote(missed.dockerfile)}:{missed.line}: {sure} {files} {why}: {line(missed.source)}"


def _owners(names: Sequence[str]) -> str:
    return f"built for {', '.join(names)}" if names else "no target is built from it"


def document(
    programs: Sequence[ProgramRow], images: DockerfileRows | None, code: int
) -> dict[str, Any]:
    """The same for programs. Without a repository `dockerfiles` and `uncovered` are null: nobody
    looked.
    """
    return {
        "toolkit": 1,
        "command": "doctor",
        "status": "failed" if code else "done",
        "exit": int(code),
        "programs": [
            {"name": one.name, "version": one.version, "remark": one.remark} for one in programs
        ],
        "dockerfiles": (
            None
            if images is None
            else [{"path": path, "targets": names} for path, names in images.dockerfiles.items()]
        ),
        "missing": None if images is None else images.missing,
        "generated": (
            None
            if images is None
            else {name: list(paths) for name, paths in images.generated.items()}
        ),
        "incomplete": (
            None
            if images is None
            else {
                name: {"problem": what, "fix": fix}
                for name, (what, fix) in images.incomplete.items()
            }
        ),
        "unprepared": (
            None
            if images is None
            else {
                name: {"problem": what, "fix": fix}
                for name, (what, fix) in images.unprepared.items()
            }
        ),
        "uncovered": (
            None
            if images is None
            else [
                {
                    "dockerfile": one.dockerfile,
                    "line": one.line,
                    "source": one.source,
                    "files": one.count,
                    "example": one.example,
                    "ignored": one.ignored,
                }
                for one in images.uncovered
            ]
        ),
    }
