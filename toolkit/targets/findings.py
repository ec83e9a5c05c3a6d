"""Looking at something live: several questions side by side, each answer told when it comes, and
none of them taken for good by silence.
"""

from collections.abc import Callable, Iterable
from functools import partial

from toolkit.errors import CloudError, Expired, NotAllowed, ToolkitError, Unreachable
from toolkit.exits import Exit
from toolkit.operations import Finding, HealthStatus
from toolkit.ports.background import DaemonThread
from toolkit.targets.base import Tell

Question = Callable[[], Iterable[Finding]]


def ask(tell: Tell, questions: Iterable[tuple[str, Question]]) -> None:
    """Ask side by side, and wait for all. A question has a name (`targets`), which stands in the
    finding if it cannot be answered.
    """
    # The last question is asked in this thread, which would wait for the others anyway.
    *others, last = questions
    threads = [DaemonThread(partial(_ask, tell, what, question)) for what, question in others]
    for thread in threads:
        thread.start()
    _ask(tell, *last)
    for thread in threads:
        thread.join()


def _ask(tell: Tell, what: str, question: Question) -> None:
    try:
        for finding in question():
            tell(finding)
    except ToolkitError as problem:
        tell(unknown(what, problem))
    except Exception as bug:  # a bug in one question must not hide the answers to the others
        tell(
            Finding(
                what,
                HealthStatus.UNKNOWN,
                cause=f"a bug in toolkit: {type(bug).__name__}",
                next="please report it",
            )
        )


def unknown(what: str, problem: ToolkitError) -> Finding:
    """It could not be checked, and why not."""
    unasked = problem.exit == Exit.CREDENTIALS
    return Finding(
        what,
        HealthStatus.UNKNOWN,
        _short(problem),
        cause=str(problem),
        # Nothing was stopped here that could be continued.
        next=problem.renewal if isinstance(problem, Expired) else problem.next,
        unasked=unasked,
        common=_common_cause(problem),
    )


def _common_cause(problem: ToolkitError) -> str:
    """Without the call, of which each question has its own: an endpoint that is down is one
    problem.
    """
    if type(problem) is Unreachable:
        return f"no answer from AWS: {problem.facts['reason']}"
    return ""


def _short(problem: ToolkitError) -> str:
    if isinstance(problem, NotAllowed):
        return "not allowed"
    if isinstance(problem, CloudError):
        return "no answer"
    return "could not be checked"
