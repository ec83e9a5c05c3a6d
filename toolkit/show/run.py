"""A run as people and programs read it: what it would do, what it did, and the one next command."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.model import GOOD, Job, LiveVersion, Outcome, PlannedCall, Preview, RunResult, Verdict
from toolkit.show.table import room, table
from toolkit.show.text import count, duration, line, shortened, with_command, wrapped

WIDTH = 80
WORDS: dict[str, str] = {
    Verdict.SUCCEEDED: "done",
    Verdict.UNCHANGED: "nothing to do",
    Verdict.FAILED: "failed",
    Verdict.UNHEALTHY: "unhealthy",
    Verdict.ROLLED_BACK: "failed, rolled back",
    Verdict.SUPERSEDED: "superseded",
    Verdict.CANCELLED: "cancelled",
    Verdict.SKIPPED: "skipped",
    Verdict.IN_DOUBT: "in doubt",
}
"""The verdicts as they are said to people."""
TIMED = (Verdict.SUCCEEDED, Verdict.FAILED, Verdict.UNHEALTHY, Verdict.ROLLED_BACK)
"""Those whose duration says something."""


def location(jobs: Sequence[Job]) -> str:
    """Where the jobs act: `dev (account 111111111111, eu-west-1)`."""
    first = jobs[0].location
    regions = ", ".join(dict.fromkeys(job.location.region for job in jobs if job.location.region))
    inside = ", ".join(
        part for part in (f"account {first.account}" if first.account else "", regions) if part
    )
    name = first.environment or "your AWS account"
    return line(f"{name} ({inside})" if inside else name)


def version(job: Job) -> str:
    """A version short enough for a table, but never without its `dirty`."""
    name = job.version.name
    if job.version.commit and name.startswith(job.version.commit):
        name = name.replace(job.version.commit, job.version.commit[:12])
    return line(name)


def intention(
    jobs: Sequence[Job],
    previews: Mapping[str, Preview],
    width: int = WIDTH,
    standby: Sequence[Job] = (),
) -> list[str]:
    """What is about to happen, before anybody is asked. `standby` is what happens only where a step
    does not pass its checks.
    """
    doing = "Roll back" if jobs[0].action == "rollback" else "Deploy"
    lines = wrapped(f"{doing} to {location(jobs)}:", width)
    wide = max(len(job.step) for job in jobs)
    idle = {step for step, preview in previews.items() if preview.unchanged}
    for job in jobs:
        about = (
            "nothing to do"
            if job.step in idle
            else f"about {duration(job.estimate_s)}"
            if job.estimate_s
            else ""
        )
        lines.append(f"  {job.step:<{wide}}  {version(job)}  {about}".rstrip())
    lines += [
        part
        for job in standby
        if job.undoes not in idle
        for part in wrapped(
            f"  {job.undoes} goes back to {version(job)} if it does not pass its checks",
            width,
            "    ",
        )
    ]
    lines += [part for one in warnings(jobs, previews) for part in wrapped(one, width)]
    return lines


def warnings(jobs: Sequence[Job], previews: Mapping[str, Preview]) -> list[str]:
    """What the kinds warn of, each with its step."""
    several = len(jobs) > 1
    return [
        f"warning: {f'{job.step}: ' if several else ''}{line(warning)}"
        for job in jobs
        if job.step in previews
        for warning in previews[job.step].warnings
    ]


def dry_run(
    jobs: Sequence[Job],
    previews: Mapping[str, Preview],
    width: int = WIDTH,
    standby: Sequence[Job] = (),
) -> str:
    """Every call that would change something, in order, with the parameters that matter."""
    lines = [
        *intention(jobs, previews, width, standby),
        "",
        "Nothing was changed. These calls would be made:",
    ]
    users = sharing(jobs, previews)
    for job in jobs:
        preview = previews.get(job.step)
        after = f" (after {', '.join(job.needs)})" if job.needs else ""
        lines.append(f"{job.step}{after}")
        if preview is None:
            lines.append("  not known before the steps that it waits for are done")
        elif preview.unchanged:
            lines.append("  none: it is live already")
        else:
            lines += [
                part
                for call in preview.calls
                for part in wrapped(f"  {_call(call)}{_shared(call, job, users)}", width, "      ")
            ]
    return "\n".join(lines)


Users = Mapping[tuple[str, tuple[tuple[str, str], ...]], tuple[str, ...]]
"""A call that is made once -> the steps that need it, in their order."""


def sharing(jobs: Sequence[Job], previews: Mapping[str, Preview]) -> Users:
    """Which steps need the very same call, of those that one step makes for all."""
    users: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[str, ...]] = {}
    for job in jobs:
        preview = previews.get(job.step)
        for call in preview.calls if preview is not None and not preview.unchanged else ():
            if call.once:
                users[_key(call)] = (*users.get(_key(call), ()), job.step)
    return users


def _key(call: PlannedCall) -> tuple[str, tuple[tuple[str, str], ...]]:
    return call.name, tuple(sorted(call.what.items()))


def _shared(call: PlannedCall, job: Job, users: Users) -> str:
    steps = users.get(_key(call), ()) if call.once else ()
    others = [step for step in steps if step != job.step]
    return f" (once, also for {', '.join(others)})" if others else ""


def _call(call: PlannedCall) -> str:
    return " ".join(
        (line(call.name), *(f"{name}={line(value)}" for name, value in call.what.items()))
    )


def calls(jobs: Sequence[Job], previews: Mapping[str, Preview]) -> list[dict[str, Any]]:
    """The same for programs. `for` are the steps that a call is made for, where one makes it for
    several.
    """
    users = sharing(jobs, previews)
    return [
        {
            "step": job.step,
            "target": job.target,
            "region": job.location.region,
            "version": job.version.name,
            "needs": job.needs,
            "unchanged": job.step in previews and previews[job.step].unchanged,
            "warnings": previews[job.step].warnings if job.step in previews else (),
            "calls": (
                [_document(call, users) for call in previews[job.step].calls]
                if job.step in previews
                else None
            ),
        }
        for job in jobs
    ]


def _document(call: PlannedCall, users: Users) -> dict[str, Any]:
    steps = users.get(_key(call), ()) if call.once else ()
    return {"call": call.name, **call.what, **({"for": list(steps)} if len(steps) > 1 else {})}


def ended(outcome: Outcome) -> str:
    """One step's end in a line, without its name."""
    word = WORDS.get(outcome.verdict) or line(outcome.verdict)
    took = (
        f" in {duration(round(outcome.took_s))}"
        if outcome.verdict in TIMED and outcome.took_s >= 1
        else ""
    )
    cause = f": {line(outcome.cause)}" if outcome.cause else ""
    return f"{word}{took}{cause}"


def text(ran: RunResult, jobs: Sequence[Job], width: int = WIDTH) -> str:
    """The end of a run: the table if there are several steps, then what did not go well, and what
    to do next.
    """
    return "\n".join(_lines(ran, {job.step: job for job in jobs}, width))


def _lines(ran: RunResult, jobs: Mapping[str, Job], width: int) -> Iterator[str]:
    several = sum(not job.undoes for job in jobs.values()) > 1
    if several:
        rows = [(*_row(outcome, jobs), outcome.cause) for outcome in ran.outcomes]
        rows += [
            (line(step), "not started", version(jobs[step]), "", "") for step in ran.not_started
        ]
        headers = ("step", "verdict", "version", "took", "cause")
        space = room(rows, headers, 4, width)
        yield table(headers, [(*row[:4], shortened(line(row[4]), space)) for row in rows])
        yield ""
    for outcome in ran.outcomes:
        yield from _detail(outcome, jobs[outcome.step], several, width)
    yield from wrapped(_summary(ran, jobs), width)


def _row(outcome: Outcome, jobs: Mapping[str, Job]) -> tuple[str, str, str, str]:
    took = duration(round(outcome.took_s)) if outcome.took_s >= 0.5 else ""
    return (
        line(outcome.step),
        WORDS.get(outcome.verdict, outcome.verdict),
        version(jobs[outcome.step]),
        took,
    )


def _detail(outcome: Outcome, job: Job, several: bool, width: int) -> Iterator[str]:
    name = f"{line(outcome.step)}: " if several else ""
    for key, value in outcome.outputs.items():
        yield f"{name}{line(key)} = {line(value)}"
    if outcome.verdict in GOOD:
        if job.undoes:
            yield from wrapped(
                f"{line(job.target)} {version(job)} was put back: {ended(outcome)}", width
            )
        elif not several:
            yield from wrapped(f"{line(outcome.step)} {version(job)}: {ended(outcome)}", width)
        elif outcome.cause:
            yield from wrapped(f"note: {name}{line(outcome.cause)}", width)
        return
    if outcome.verdict is Verdict.SKIPPED:
        return
    yield from wrapped(f"{line(outcome.step)}: {ended(outcome)}", width)
    yield from (f"  | {line(one)}" for one in outcome.log)
    if outcome.next:
        yield from with_command(f"  next: {line(outcome.next)}", width)


def _summary(ran: RunResult, jobs: Mapping[str, Job]) -> str:
    planned = [outcome for outcome in ran.outcomes if not jobs[outcome.step].undoes]
    good = sum(outcome.verdict in GOOD for outcome in planned)
    rest = len(planned) + sum(not jobs[step].undoes for step in ran.not_started)
    back = [
        jobs[outcome.step]
        for outcome in ran.outcomes
        if jobs[outcome.step].undoes and outcome.verdict in GOOD
    ]
    again = "".join(f"; {line(job.target)} is back at {version(job)}" for job in back)
    took = f" in {duration(round(ran.took_s))}" if ran.took_s >= 1 else ""
    is_open = bool(ran.not_started) or any(outcome.open for outcome in ran.outcomes)
    more = (
        "; go on with `toolkit resume`"
        if ran.status == Verdict.IN_DOUBT or (ran.status == Verdict.CANCELLED and is_open)
        else ""
    )
    if ran.status == Verdict.CANCELLED and not is_open:
        more = "; nothing was changed"
    left = f"; left out: {line(', '.join(target for target, _ in ran.left))}" if ran.left else ""
    return f"Run {line(ran.run)}: {good} of {count(rest, 'step')} done{took}{again}{more}{left}."


def document(command: str, ran: RunResult, jobs: Sequence[Job]) -> dict[str, Any]:
    """The end of a run for programs (docs/json.md)."""
    by_step = {job.step: job for job in jobs}
    return {
        "toolkit": 1,
        "command": command,
        "status": ran.status,
        "exit": int(ran.exit),
        "run": ran.run,
        "environment": jobs[0].location.environment if jobs else None,
        "took_s": ran.took_s,
        "steps": [_step(outcome, by_step[outcome.step]) for outcome in ran.outcomes],
        "not_started": list(ran.not_started),
        "left": [{"target": target, "reason": reason} for target, reason in ran.left],
    }


def _step(outcome: Outcome, job: Job) -> dict[str, Any]:
    return {
        "step": outcome.step,
        "target": outcome.target,
        "kind": job.kind,
        "action": job.action,
        "undoes": job.undoes or None,
        "region": job.location.region,
        "version": job.version.name,
        "verdict": outcome.verdict,
        "cause": outcome.cause or None,
        "next": outcome.next or None,
        "took_s": outcome.took_s,
        "adopted": outcome.adopted,
        "outputs": dict(outcome.outputs),
        "live": None if outcome.live is None else live(outcome.live),
    }


def live(found: LiveVersion) -> dict[str, Any]:
    """What runs, for programs."""
    return {
        "version": found.version,
        "commit": found.commit,
        "run": found.run,
        "since": found.since,
        "detail": dict(found.detail),
    }


def open_steps(
    jobs: Sequence[Job], done: Mapping[str, Outcome], begun: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What `resume` would do with each step, for programs."""
    return [
        {
            "step": job.step,
            "target": job.target,
            "region": job.location.region,
            "next": _next(job, done, begun),
        }
        for job in jobs
    ]


def still_open(
    run: str, jobs: Sequence[Job], done: Mapping[str, Outcome], begun: Mapping[str, Any]
) -> str:
    """What `resume` would do with each step."""
    rows = [(line(job.step), version(job), line(_next(job, done, begun))) for job in jobs]
    return (
        f"Run {line(run)} is open. Nothing was changed. Going on with it"
        f" means:\n\n{table(('step', 'version', 'next'), rows)}"
    )


def _next(job: Job, done: Mapping[str, Outcome], begun: Mapping[str, Any]) -> str:
    if job.step in done:
        return f"over ({WORDS.get(done[job.step].verdict, done[job.step].verdict)})"
    if job.step in begun:
        return "look in AWS what became of it"
    undone = done.get(job.undoes)
    if job.undoes and (undone is None or not undone.has_to_give_way):
        return (
            f"nothing, unless {job.undoes} does not pass its checks"
            if undone is None
            else "nothing"
        )
    return "do it"
