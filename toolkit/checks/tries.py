"""One check, tried until it passes or its time is over, and told without secrets."""

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.checks.base import CheckAnswer, CheckContext, CheckType
from toolkit.checks.values import Redactor, filled
from toolkit.errors import Stopped, ToolkitError
from toolkit.model import Check, Mismatch, Result

FIRST_S, LAST_S = 0.5, 5.0
"""The pause before the second try, and the longest one."""
LEAST_S = 0.5
"""With less time than this for another try, the one before it has the last word: it says more than
that there was no time.
"""
CUT_OFF = "the time for all checks was over before it answered"
LONGEST = 200
"""So many characters of a value, or of a line of an answer, are told."""


class TryResult(Struct, frozen=True):
    """The result, and the values that were captured. `late` says that no answer came while there
    was time.
    """

    result: Result
    values: Mapping[str, str] = {}
    late: bool = False


def carry_out(
    check: Check,
    sort: CheckType,
    known: Mapping[str, str],
    around: CheckContext,
    veil: Redactor,
    until: float,
    wait: Callable[[float], None],
) -> TryResult:
    """Try it, and again for `retry_s` seconds, but never after `until` (of time.monotonic). `wait`
    returns early when all is to stop.

    A value that it captures is hidden from then on, in this result, too.
    """
    began = monotonic()
    try:
        settings = filled(check.settings, known)
    except KeyError as problem:
        return TryResult(
            Result(check.name, "failed", check.asks, cause=f"{{{problem.args[0]}}} has no value")
        )
    except (ValueError, OverflowError):  # what they say holds the values
        return TryResult(
            Result(
                check.name,
                "failed",
                check.asks,
                cause="with the values that stand in it, it is nothing that can be asked",
            )
        )
    before: TryResult | None = None
    end, tries = min(began + check.retry_s, until - min(check.timeout_s, LEAST_S)), 0
    while True:
        tries += 1
        left = until - monotonic()
        found = _tried(
            check,
            sort,
            settings,
            replace(around, seconds=max(min(check.timeout_s, left), 0.001)),
            veil,
        )
        if (
            left < check.timeout_s and found.late
        ):  # not its own time was over: an answer before says more, and without one nobody knows
            found = before or replace(
                found, result=replace(found.result, status="unknown", cause=CUT_OFF, next="")
            )
        before = found
        if found.result.status == "passed" or monotonic() >= end or around.stopped():
            took = found.result.took_s if found.result.status == "passed" else monotonic() - began
            return replace(found, result=replace(found.result, tries=tries, took_s=round(took, 3)))
        wait(min(FIRST_S * 2 ** (tries - 1), LAST_S, max(end - monotonic(), 0)))


def _tried(
    check: Check, sort: CheckType, settings: Any, around: CheckContext, veil: Redactor
) -> TryResult:
    asks, began = sort.asks(settings), monotonic()
    try:
        answer = sort.ask(settings, around)
    except Stopped:
        return TryResult(Result(check.name, "unknown", veil.over(asks), cause="it was stopped"))
    except ToolkitError as problem:
        late = monotonic() - began >= around.seconds
        return TryResult(_unanswered(check, asks, problem, veil), late=late)
    except ValueError as problem:  # half a character, a NUL: what they say holds the values
        cause = f"with the values that stand in it, it cannot be asked ({type(problem).__name__})"
        return TryResult(Result(check.name, "failed", veil.over(asks), cause=cause))
    except Exception as bug:  # what comes after it may have to clean up
        cause = f"a bug in toolkit: {type(bug).__name__}"
        return TryResult(
            Result(check.name, "unknown", veil.over(asks), cause=cause, next="please report it")
        )
    for name, value in answer.values.items():
        veil.hide(name, value)
    return TryResult(_judged(check, asks, answer, veil), answer.values)


def _judged(check: Check, asks: str, answer: CheckAnswer, veil: Redactor) -> Result:
    misses = hidden(answer.misses, veil)
    first = (
        f"{misses[0].what}: expected {misses[0].wanted}, got {misses[0].found}" if misses else ""
    )
    return Result(
        check.name,
        "failed" if misses else "passed",
        veil.over(asks),
        cause=first,
        misses=misses,
        shown=tuple(_brief(one, veil) for one in answer.shown),
        detail=veil.over(answer.detail),
        took_s=answer.took_s,
    )


def hidden(misses: Iterable[Mismatch], veil: Redactor) -> tuple[Mismatch, ...]:
    """What does not hold, without secrets."""
    return tuple(
        Mismatch(*(_brief(words, veil) for words in (miss.what, miss.wanted, miss.found)))
        for miss in misses
    )


def _brief(text: str, veil: Redactor) -> str:
    """A text without secrets, and then not too long: half a secret could not be told from any other
    text.
    """
    found = veil.over(text)
    return found if len(found) <= LONGEST else f"{found[: LONGEST - 3]}..."


def _unanswered(check: Check, asks: str, problem: ToolkitError, veil: Redactor) -> Result:
    """That the live system does not answer as it must was seen. Whatever else kept the question
    from being answered leaves it unknown.
    """
    status = "failed" if problem.is_observed else "unknown"
    return Result(
        check.name,
        status,
        veil.over(asks),
        cause=veil.over(str(problem)),
        next=veil.over(problem.next),
    )
