"""The nouns of an answer that templates have made exact."""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from itertools import chain

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import Advice, NextCommand, changed_advice
from toolkit.errors import ProgramFailed, ToolkitError
from toolkit.formats.cdk_manifest import Remark
from toolkit.formats.template import refuse_unwritable
from toolkit.model import DiffResult, Resource
from toolkit.templates.model import ExaminedStack, SynthesizedStack


class Synthesis(Struct, frozen=True):
    """What the files of a folder say that a target has to be: its stacks. `unknown` says why that
    cannot be known; there are no stacks then, but what the app remarks about them (`about`), and
    what a program wrote that failed (`output`).
    """

    stacks: tuple[SynthesizedStack, ...] = ()
    unknown: Advice = ""
    about: tuple[Remark, ...] = ()
    output: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """All that the app remarks, each remark once."""
        every = chain(self.about, *(stack.remarks for stack in self.stacks))
        return tuple(dict.fromkeys(every))


def not_synthesized(problem: ToolkitError) -> Synthesis:
    """That a problem leaves a target unknown."""
    output = problem.output if isinstance(problem, ProgramFailed) else ()
    return Synthesis(unknown=problem.in_words, output=output)


class SynthesisSource(Struct, frozen=True):
    """What a target is synthesized from, besides the files: the folders of programs, which need
    their packages, and the variables of our environment that these get (names, or beginnings of
    names such as `TEAM_*`).
    """

    programs: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


class RefinedState(StrEnum):
    """What templates say of a target. Nothing but UNCHANGED ever narrows a plan."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    UNKNOWN = "unknown"
    """Its templates cannot be known, so it is due."""
    NOT_COMPARED = "not compared"
    """There is nothing to compare with: what the rules say stays as it is."""


class Refinement(Struct, frozen=True):
    """What templates say of a target: its stacks in all its locations. `why` says why nothing is
    known, or nothing was compared. `code` are the functions and services whose code is all that
    differs, None where more does, or they are not known by name. `remarks` are the app's, `output`
    is what a program wrote that failed.
    """

    state: RefinedState
    stacks: tuple[ExaminedStack, ...] = ()
    why: Advice = ""
    code: tuple[Resource, ...] | None = None
    remarks: tuple[Remark, ...] = ()
    output: tuple[str, ...] = ()

    def redacted(self, redact: Callable[[str], str]) -> "Refinement":
        """The same without the secrets that programs may have written into their errors. What
        differs is free of them already (values.py).
        """
        return replace(
            self,
            why=changed_advice(self.why, redact),
            remarks=tuple(replace(each, text=redact(each.text)) for each in self.remarks),
            # a key may go over several lines
            output=tuple(redact("\n".join(self.output)).splitlines()),
        )


class RefinedDiff(Struct, frozen=True):
    """The answer of `diff` with a plan that templates have made exact, and what they said of each
    target. `dropped` are the targets that the rules alone would have called for, `added` those that
    they would have missed, each with the changed paths that no rule sends to it. `seconds` is how
    long all of that took.
    """

    result: DiffResult
    refinements: Mapping[str, Refinement]
    dropped: tuple[str, ...] = ()
    added: Mapping[str, tuple[str, ...]] = {}
    narrower: Mapping[str, tuple[NextCommand, ...]] = {}
    """Of targets that differ in nothing but code, the commands that deploy just that."""
    seconds: float = 0.0

    def redacted(self, redact: Callable[[str], str]) -> "RefinedDiff":
        """The same without the secrets that programs may have written."""
        refinements = {name: each.redacted(redact) for name, each in self.refinements.items()}
        return replace(self, refinements=refinements)


def encode(stacks: Sequence[SynthesizedStack]) -> str:
    """Stacks as text, the same for equal stacks, without what their app remarks. One alone is
    written as such, as earlier versions did.
    """
    several = [replace(stack, remarks=()) for stack in stacks]
    content = several[0] if len(several) == 1 else several
    return msgspec.json.encode(content, order="deterministic").decode()


def decode(text: str) -> tuple[SynthesizedStack, ...] | None:
    """The stacks of a text. None for one that cannot be read: another version of toolkit wrote it,
    or somebody else.
    """
    try:
        content = msgspec.json.decode(text, type=SynthesizedStack | tuple[SynthesizedStack, ...])
        stacks = content if isinstance(content, tuple) else (content,)
        for stack in stacks:
            refuse_unwritable([stack.template, stack.nested])
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return stacks


class ReplayedTemplates(Struct, frozen=True):
    """What a commit really changed, beside what today's rules would have called for; only targets
    whose templates can be synthesized. `unknown` are those of which that is not known, with the
    reason. `without_rule` holds for each missed target the changed paths that no rule sends to it.
    """

    commit: str
    planned: frozenset[str]
    changed: frozenset[str]
    unknown: Mapping[str, Advice] = {}
    without_rule: Mapping[str, tuple[str, ...]] = {}

    def redacted(self, redact: Callable[[str], str]) -> "ReplayedTemplates":
        """The same without the secrets that programs may have written into their errors."""
        unknown = {name: changed_advice(why, redact) for name, why in self.unknown.items()}
        return replace(self, unknown=unknown)

    @property
    def missed(self) -> frozenset[str]:
        """What changed, and the rules would not have deployed."""
        return self.changed - self.planned

    @property
    def unneeded(self) -> frozenset[str]:
        """What the rules would have deployed though it did not change."""
        return self.planned - self.changed - self.unknown.keys()

    @property
    def is_exact(self) -> bool:
        """Whether the rules call for just what changed, and all of that is known."""
        return self.planned == self.changed and not self.unknown


def beside_rules(
    commit: str,
    called: Mapping[str, set[str]],
    changed: Collection[str],
    unknown: Mapping[str, Advice],
    judged: Collection[str],
) -> ReplayedTemplates:
    """What a commit really changed, beside what its paths call for (`called`): of `judged`, those
    targets that anything is said of.
    """
    planned = set[str]().union(*called.values()).intersection(judged)
    without_rule = {
        name: tuple(sorted(path for path, targets in called.items() if name not in targets))
        for name in sorted(set(changed) - planned)
    }
    return ReplayedTemplates(commit, frozenset(planned), frozenset(changed), unknown, without_rule)
