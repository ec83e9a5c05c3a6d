"""One check, tried until it passes or its time is over, and reported without secrets."""

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import changed_advice
from toolkit.checks import check_type
from toolkit.checks.base import CheckAnswer, CheckContext
from toolkit.checks.values import Redactor
from toolkit.errors import Missing, Stopped, ToolkitError
from toolkit.formats.variables import fill_check
from toolkit.model import Check
from toolkit.operations import CheckStatus, Mismatch, Result

FIRST_S, LAST_S = 0.5, 5.0
"""The pause before the second try, and the longest one."""
LEAST_S = 0.5
"""With less time than this for another try, the one before it has the last word: it says more than
that there was no time.
"""
CUT_OFF = "the time for all checks was up before it answered"
MOST = 64 << 10
"""No more characters of a text are looked through for secrets: it is shown in part only."""
LONGEST = 200
"""So many characters of a value, or of a line of an answer, are shown."""


class TryResult(Struct, frozen=True):
    """The result, and the values that were captured. `late` says that no answer came while there
    was time.
    """

    result: Result
    values: Mapping[str, Any] = {}
    late: bool = False


def carry_out(
    check: Check,
    variables: Mapping[str, Any],
    context: CheckContext,
    redactor: Redactor,
    until: float,
    wait: Callable[[float], None],
) -> TryResult:
    """Try it, and again for `retry_s` seconds, but never after `until` (of time.monotonic). `wait`
    returns early when all is to stop.

    A value that it captures is hidden from then on, in this result, too.
    """
    began = monotonic()
    try:
        settings = fill_check(check.settings, variables)
    except KeyError as problem:
        return _failed(check, f"{{{problem.args[0]}}} has no value")
    except (ValueError, OverflowError):  # their messages hold the values, which may be secret
        return _failed(check, "with its values filled in, it is not a valid request")
    before: TryResult | None = None
    end, tries = min(began + check.retry_s, until - min(check.timeout_s, LEAST_S)), 0
    while True:
        tries += 1
        remaining = until - monotonic()
        seconds = max(min(check.timeout_s, remaining), 0.001)
        attempt = _try_once(check, settings, replace(context, seconds=seconds), redactor)
        if remaining < check.timeout_s and attempt.late:
            # The time for all checks was over, not its own: that says nothing about the system. An
            # answer that came before says more; without one the check is unknown, not failed.
            cut_off = replace(attempt.result, status=CheckStatus.UNKNOWN, cause=CUT_OFF, next="")
            attempt = before or replace(attempt, result=cut_off)
        before = attempt
        passed = attempt.result.status == CheckStatus.PASSED
        if passed or monotonic() >= end or context.stopped():
            took_s = attempt.result.took_s if passed else monotonic() - began
            result = replace(attempt.result, tries=tries, took_s=round(took_s, 3))
            return replace(attempt, result=result)
        wait(min(FIRST_S * 2 ** (tries - 1), LAST_S, max(end - monotonic(), 0)))


def _failed(check: Check, cause: str) -> TryResult:
    return TryResult(Result(check.name, CheckStatus.FAILED, check.asks, cause=cause))


def _try_once(check: Check, settings: Any, context: CheckContext, redactor: Redactor) -> TryResult:
    module = check_type(check.check_type)
    question = module.asks(settings)
    asks, began = redactor.over(question), monotonic()
    try:
        answer = module.ask(settings, context)
    except Stopped:
        return TryResult(Result(check.name, CheckStatus.UNKNOWN, asks, cause="it was stopped"))
    except ToolkitError as problem:
        late = monotonic() - began >= context.seconds
        return TryResult(_unanswered(check, asks, problem, redactor), late=late)
    except ValueError as problem:  # half a character, a NUL: its message holds the values
        cause = f"with its values filled in, it cannot be requested ({type(problem).__name__})"
        return TryResult(Result(check.name, CheckStatus.FAILED, asks, cause=cause))
    except Exception as bug:  # the run goes on: what comes after it may have to clean up
        cause = f"a bug in toolkit: {type(bug).__name__}"
        result = Result(check.name, CheckStatus.UNKNOWN, asks, cause=cause, next="please report it")
        return TryResult(result)
    # Hidden before anything is shown: what was captured may stand in what was asked, too.
    for name, value in answer.values.items():
        redactor.hide_value(name, value)
    return TryResult(_judged(check, redactor.over(question), answer, redactor), answer.values)


def _judged(check: Check, asks: str, answer: CheckAnswer, redactor: Redactor) -> Result:
    misses = hidden(answer.misses, redactor)
    cause = ""
    if misses:
        cause = f"{misses[0].what}: expected {misses[0].wanted}, got {misses[0].found}"
    return Result(
        check.name,
        CheckStatus.FAILED if misses else CheckStatus.PASSED,
        asks,
        cause=cause,
        misses=misses,
        shown=tuple(_brief(line, redactor) for line in answer.shown),
        detail=redactor.over(answer.detail),
        next=answer.next,
        took_s=answer.took_s,
    )


def hidden(misses: Iterable[Mismatch], redactor: Redactor) -> tuple[Mismatch, ...]:
    """What does not hold, without secrets."""
    redacted: list[Mismatch] = []
    for mismatch in misses:
        what, expected = _brief(mismatch.what, redactor), _brief(mismatch.wanted, redactor)
        redacted.append(Mismatch(what, expected, _brief(mismatch.found, redactor)))
    return tuple(redacted)


def _brief(text: str, redactor: Redactor) -> str:
    """A text without secrets, and only then shortened: half a secret would not be recognized."""
    redacted = redactor.over(text[:MOST])
    return redacted if len(redacted) <= LONGEST else f"{redacted[: LONGEST - 3]}..."


def _unanswered(check: Check, asks: str, problem: ToolkitError, redactor: Redactor) -> Result:
    """A check without an answer: failed where it was observed that the live system does not answer
    as it must, unknown where anything else kept us from asking.
    """
    status = CheckStatus.FAILED if problem.is_observed else CheckStatus.UNKNOWN
    cause, next_ = redactor.over(str(problem)), changed_advice(problem.next, redactor.over)
    is_absent = isinstance(problem, Missing)
    return Result(check.name, status, asks, cause=cause, next=next_, absent=is_absent)
