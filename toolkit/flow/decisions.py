"""The decisions of a command as lines of the debug log: what was compared with what, what is due
and why, which steps follow from it, how they and the checks ended. Nothing here decides anything.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

from toolkit.advice import Advice, advice_parts
from toolkit.model import DiffResult, Reason, Trust
from toolkit.ports import debug
from toolkit.ports.debug import MOST_ITEMS

if TYPE_CHECKING:  # `diff` has none of these
    from toolkit.operations import HealthReport, Job, Preview, Result

Arguments = ParamSpec("Arguments")


def debugged(decide: Callable[Arguments, DiffResult]) -> Callable[Arguments, DiffResult]:
    """The same `diff`, whose answers are written to the debug log."""

    @wraps(decide)
    def told(*args: Arguments.args, **kwargs: Arguments.kwargs) -> DiffResult:
        answer = decide(*args, **kwargs)
        if debug.sink is not None:
            tell_answer(answer)
        return answer

    return told


def tell_answer(answer: DiffResult) -> None:
    """What `diff` decided: the base, the state of each target and why, the steps of the plan."""
    base = answer.base
    debug.tell(
        "base",
        kind=base.kind,
        name=base.name,
        commits=",".join(base.commits),
        why=base.chosen,
        head=answer.head.commit,
        dirty=answer.head.dirty,
        environment=answer.environment,
    )
    counted: dict[str, int] = {}
    for touched in answer.impact.touched:
        counted[touched.verdict] = counted.get(touched.verdict, 0) + 1
    debug.tell("changes", **dict(sorted(counted.items())))
    for path in answer.impact.unmatched[:MOST_ITEMS]:
        debug.tell("unmatched", path)
    for target, state in answer.states.items():
        _tell_state(answer, target, state)
    for step in answer.plan.steps:
        debug.tell(
            "step",
            step.target,
            action=step.action,
            needs=",".join(step.needs),
            estimate_s=step.estimate_s,
            why="; ".join(map(_words, step.because[:MOST_ITEMS])),
        )
    debug.tell("plan", steps=len(answer.plan.steps), refusal=answer.refusal)


def _words(reason: Advice) -> str:
    return " ".join(part for part in advice_parts(reason) if isinstance(part, str))


def _tell_state(answer: DiffResult, target: str, state: str) -> None:
    standing = answer.standings.get(target)
    debug.tell(
        "state",
        target,
        state=state,
        base=",".join(answer.base.each.get(target, ())),
        direction=standing.direction if standing is not None else None,
        lost=",".join(standing.lost[:MOST_ITEMS]) if standing is not None else None,
        failed_before=answer.failed_before.get(target),
    )
    reasons = answer.impact.targets.get(target, ())
    for reason in reasons[:MOST_ITEMS]:
        _tell_reason(target, reason)
    if len(reasons) > MOST_ITEMS:
        debug.tell("because", target, more=len(reasons) - MOST_ITEMS)


def _tell_reason(target: str, reason: Reason) -> None:
    debug.tell(
        "because",
        target,
        path=reason.path,
        rule=reason.rule,
        pattern=reason.pattern,
        line=reason.line,
    )


def tell_trust(trust: Trust) -> None:
    """Which commit's rules.toml judges, and where the one here differs from it."""
    debug.tell("trusted", ref=trust.ref, commit=trust.commit, allowed=trust.allowed or None)
    for difference in trust.differences[:MOST_ITEMS]:
        debug.tell("trusted", difference.what, effect=difference.effect)


def tell_jobs(
    jobs: "Iterable[Job]", previews: "Mapping[str, Preview]", left: Iterable[Sequence[str]]
) -> None:
    """What a run is about to do, what was seen live of it, and what it cannot deploy."""
    if debug.sink is None:
        return
    for job in jobs:
        preview = previews.get(job.step)
        live = preview.live if preview is not None else None
        debug.tell(
            "job",
            job.step,
            action=job.action,
            kind=job.kind,
            version=job.version.name,
            fingerprint=job.version.fingerprint,
            live=live.version if live is not None else None,
            environment=job.location.environment,
            account=job.location.account,
            region=job.location.region,
            profile=job.location.profile,
            needs=",".join(job.needs),
        )
    for target, why in left:
        debug.tell("job", target, left=why)


def tell_result(result: "Result") -> None:
    """How one check ended."""
    debug.tell(
        "check",
        result.check,
        at=result.at,
        status=result.status,
        cause=result.cause,
        tries=result.tries,
        seconds=result.took_s,
    )


def tell_health(reports: "Iterable[HealthReport]") -> None:
    """What `health` found of each target and check."""
    if debug.sink is None:
        return
    for report in reports:
        debug.tell(
            "health",
            report.name,
            environment=report.environment,
            region=report.region,
            status=report.status,
        )
        for finding in report.findings[:MOST_ITEMS]:
            debug.tell(
                "finding", report.name, finding.what, status=finding.status, cause=finding.cause
            )
