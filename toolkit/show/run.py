"""A run as people and programs read it: what it would do, what it did, and the one next command."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.advice import Advice, NextCommand, SameOptions
from toolkit.formats.words import count, size
from toolkit.model import AWS
from toolkit.operations import (
    GOOD,
    ArtifactSize,
    Job,
    JobAction,
    LiveVersion,
    Outcome,
    PlannedCall,
    Preview,
    RunResult,
    RunStatus,
    Verdict,
)
from toolkit.show import usage
from toolkit.show.advice import NO_OPTIONS, advice_lines, sentence
from toolkit.show.style import Role, marked, plain
from toolkit.show.table import room, table
from toolkit.show.text import duration, line, shortened, wrapped
from toolkit.show.timeline import critical_path, slowest_resources, timeline

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
"""The verdicts in words for people."""
ROLES: dict[str, Role] = {
    Verdict.SUCCEEDED: Role.GOOD,
    Verdict.UNCHANGED: Role.GOOD,
    Verdict.SKIPPED: Role.WARNING,
    Verdict.SUPERSEDED: Role.WARNING,
    Verdict.CANCELLED: Role.WARNING,
    Verdict.IN_DOUBT: Role.BAD,
    Verdict.FAILED: Role.BAD,
    Verdict.UNHEALTHY: Role.BAD,
    Verdict.ROLLED_BACK: Role.BAD,
}
TIMED = (Verdict.SUCCEEDED, Verdict.FAILED, Verdict.UNHEALTHY, Verdict.ROLLED_BACK)
"""The verdicts whose duration is worth showing."""


def location(jobs: Sequence[Job]) -> str:
    """Where the jobs act: `dev (account 111111111111, eu-west-1)`, of several environments each;
    empty where that has no name.
    """
    by_environment: dict[str | None, list[Job]] = {}
    for job in jobs:
        by_environment.setdefault(job.location.environment, []).append(job)
    return " and ".join(_environment(members) for members in by_environment.values())


def _environment(jobs: Sequence[Job]) -> str:
    """Where jobs of one environment act."""
    first, parts = jobs[0].location, list[str]()
    if first.account:
        parts.append(f"account {first.account}")
    parts += dict.fromkeys(job.location.region for job in jobs if job.location.region)
    name = first.environment
    if name is None:
        asks_aws = any(job.location.provider == AWS for job in jobs)
        name = ""
        if asks_aws:
            name = "your AWS account"
    return line(f"{name} ({', '.join(parts)})" if parts else name)


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
    verb, to = "Deploy", "to"
    if jobs[0].action == JobAction.ROLLBACK:
        verb, to = "Roll back", "in"
    elif all(job.is_build for job in jobs):
        verb, to = "Build, and deploy nothing,", "for"
    where = location(jobs)
    lines = wrapped(f"{verb} {to} {where}:" if where else f"{verb}:", width)
    longest = max(len(job.step) for job in jobs)
    unchanged = {step for step, preview in previews.items() if preview.unchanged}
    for job in jobs:
        about = _about(job, jobs, previews)
        lines.append(f"  {job.step:<{longest}}  {version(job)}  {about}".rstrip())
        if job.step in previews:
            lines += [f"    | {line(planned)}"[:width] for planned in previews[job.step].plan]
    for job in standby:
        if job.undoes not in unchanged:
            text = f"  {job.undoes} is rolled back to {version(job)} if it does not pass its checks"
            lines += wrapped(text, width, "    ")
    return [*lines, *_warnings(jobs, previews, width)]


def _about(job: Job, jobs: Sequence[Job], previews: Mapping[str, Preview]) -> str:
    """What there is to say of a step that is about to begin, besides its version."""
    preview = previews.get(job.step)
    if job.is_build:
        return _built_for(job, jobs, previews)
    if job.conditional:
        sources = ", ".join(line(source.target) for source in job.consumed)
        return f"only if outputs of {sources} change"
    if preview is not None and preview.unchanged:
        return "nothing to do"
    if job.estimate_s:
        return f"about {duration(job.estimate_s)}"
    return ""


def _built_for(build: Job, jobs: Sequence[Job], previews: Mapping[str, Preview]) -> str:
    """What is built for which steps: `image for app, included in its time`."""
    users = [job.step for job in jobs if build.step in job.needs]
    preview = previews.get(build.step)
    what = "build"
    if preview and preview.artifact:
        what = preview.artifact.what
    if not users:
        return line(what)
    times = "their times"
    if len(users) == 1:
        times = "its time"
    return line(f"{what} for {', '.join(users)}, included in {times}")


def _warnings(jobs: Sequence[Job], previews: Mapping[str, Preview], width: int) -> list[str]:
    """What the kinds warn of, each with its step where there are several."""
    lines: list[str] = []
    several = sum(not job.is_build for job in jobs) > 1
    for job in jobs:
        if job.step in previews:
            name = ""
            if several:
                name = f"{job.step}: "
            for warning in _all_warnings(previews[job.step]):
                same = previews[job.step].same
                lines += advice_lines(warning, same, width, f"warning: {name}")
    return lines


def _all_warnings(preview: Preview) -> list[Advice]:
    """The kind's, and what has to be deployed again."""
    warnings = list(preview.warnings)
    if preview.redeploys:
        warnings.append(redeploy_advice(preview))
    return warnings


def redeploy_advice(preview: Preview) -> Advice:
    """What has to be deployed again after a step that takes it out; nothing if there is none."""
    if not preview.redeploys:
        return ""
    return "what it takes out has to be deployed again afterwards:", *preview.redeploys


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
        after = ""
        if job.needs:
            after = f" (after {', '.join(job.needs)})"
        lines.append(f"{job.step}{after}")
        if preview is None or job.conditional:
            lines.append("  not known until the steps that it waits for are done")
        elif preview.unchanged:
            lines.append("  none: this version is already live")
        else:
            for call in preview.calls:
                text = f"  {_call(call)}{_also_for(call, job, users)}"
                lines += wrapped(text, width, "      ")
    return "\n".join(lines)


Users = Mapping[tuple[str, tuple[tuple[str, str], ...]], tuple[str, ...]]
"""A call that is made once -> the steps that need it, in their order."""


def sharing(jobs: Sequence[Job], previews: Mapping[str, Preview]) -> Users:
    """Which steps need the very same call, of those that one step makes for all."""
    users: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[str, ...]] = {}
    for job in jobs:
        preview = previews.get(job.step)
        if preview is None or preview.unchanged:
            continue
        for call in preview.calls:
            if call.once:
                users[_key(call)] = (*users.get(_key(call), ()), job.step)
    return users


def _key(call: PlannedCall) -> tuple[str, tuple[tuple[str, str], ...]]:
    return call.name, tuple(sorted(call.what.items()))


def _users(call: PlannedCall, users: Users) -> tuple[str, ...]:
    return users.get(_key(call), ()) if call.once else ()


def _also_for(call: PlannedCall, job: Job, users: Users) -> str:
    others = [step for step in _users(call, users) if step != job.step]
    return f" (once, also for {', '.join(others)})" if others else ""


def _call(call: PlannedCall) -> str:
    parameters = [f"{name}={line(value)}" for name, value in call.what.items()]
    return " ".join([line(call.name), *parameters])


def calls(jobs: Sequence[Job], previews: Mapping[str, Preview]) -> list[dict[str, Any]]:
    """The same for programs. `for` are the steps that a call is made for, where one makes it for
    several.
    """
    users = sharing(jobs, previews)
    documents: list[dict[str, Any]] = []
    for job in jobs:
        preview = previews.get(job.step)
        planned = None
        if preview is not None:
            planned = [_call_document(call, users) for call in preview.calls]
        document = {
            "step": job.step,
            "target": job.target,
            "action": job.action,
            "environment": job.location.environment,
            "region": job.location.region,
            "version": job.version.name,
            "needs": job.needs,
            "unchanged": preview is not None and preview.unchanged,
            "warnings": _warning_texts(preview),
            "plan": () if preview is None else preview.plan,
            "calls": planned,
        }
        documents.append(document)
    return documents


def _warning_texts(preview: Preview | None) -> list[str]:
    if preview is None:
        return []
    return [sentence(warning, preview.same) for warning in _all_warnings(preview)]


def _call_document(call: PlannedCall, users: Users) -> dict[str, Any]:
    document: dict[str, Any] = {"call": call.name, **call.what}
    steps = _users(call, users)
    if len(steps) > 1:
        document["for"] = list(steps)
    return document


def verdict_word(verdict: str) -> str:
    """A verdict in words, marked with its role."""
    return marked(WORDS.get(verdict) or line(verdict), ROLES.get(verdict))


def ended(outcome: Outcome) -> str:
    """One step's end in a line, without its name."""
    return plain(_ended(outcome))


def _ended(outcome: Outcome) -> str:
    """The same, with the verdict's role."""
    text = verdict_word(outcome.verdict)
    if outcome.verdict in TIMED and outcome.took_s >= 1:
        text += f" in {duration(round(outcome.took_s))}"
    if outcome.cause:
        text += f": {line(outcome.cause)}"
    return text


def hook_ended(took_s: float, cause: str, stopped: bool) -> str:
    """How what runs before a deploy has ended, in a line, without its name: well, or else for this
    cause, or because the run was stopped.
    """
    text = "done"
    if stopped:
        text = "stopped"
    elif cause:
        text = "failed"
    if took_s >= 1:
        text += f" in {duration(round(took_s))}"
    if cause:
        text += f": {line(cause)}"
    return text


def hooks(commands: Mapping[str, Sequence[Sequence[str]]], width: int = WIDTH) -> list[str]:
    """What runs on this machine before anything is deployed: name -> the words of each program."""
    lines: list[str] = []
    for step, programs in commands.items():
        text = ", then ".join(shlex.join(words) for words in programs)
        lines += wrapped(f"  {line(step)}  {line(text)}", width, "    ")
    if lines:
        lines.insert(0, "Before that, on this machine:")
    return lines


def text(result: RunResult, jobs: Sequence[Job], width: int = WIDTH, verbose: bool = False) -> str:
    """The end of a run: the table if there are several steps, then what failed, and what to do
    next. `verbose`: also what it has taken on this machine.
    """
    return "\n".join(_lines(result, {job.step: job for job in jobs}, width, verbose))


def _lines(result: RunResult, jobs: Mapping[str, Job], width: int, verbose: bool) -> Iterator[str]:
    several = sum(not job.undoes for job in jobs.values()) > 1
    if several:
        rows = [_row(outcome, jobs) for outcome in result.outcomes]
        for step in result.not_started:
            not_started = marked("not started", Role.WARNING)
            rows.append((line(step), not_started, version(jobs[step]), "", ""))
        headers = ("step", "verdict", "version", "took", "cause")
        space = room(rows, headers, 4, width)
        yield table(headers, [(*row[:4], shortened(line(row[4]), space)) for row in rows])
        yield ""
        bars = timeline(tuple(jobs.values()), result.spans, result.took_s, width)
        yield from bars
        if bars:
            yield ""
    slowest = slowest_resources(result.outcomes, width)
    yield from slowest
    if slowest:
        yield ""
    used = {need for job in jobs.values() for need in job.needs}
    for outcome in result.outcomes:
        is_told = jobs[outcome.step].is_build and outcome.step in used  # by the step that uses it
        if outcome.size is not None and outcome.verdict.is_good and not is_told:
            name = f"{line(outcome.step)}: " if several else ""
            yield f"{name}{size_words(outcome.size)}"
        same = result.same.get(outcome.step, NO_OPTIONS)
        yield from _detail(outcome, jobs[outcome.step], several, same, width)
    if verbose:
        taken = {each.step: each.usage for each in result.outcomes if each.usage is not None}
        yield from usage.lines(taken, result.usage, width)
        yield ""
    for environment, budget_s in result.over.items():
        took = duration(round(result.took_s))
        words = f"warning: the run took {took}: more than the budget of {line(environment)}"
        yield from wrapped(f"{words}, {duration(budget_s)}", width)
    anywhere = next(iter(result.same.values()), NO_OPTIONS)
    yield from advice_lines(_summary(result, jobs), anywhere, width, "")


def size_words(artifact: ArtifactSize) -> str:
    """`image 142.0 MB, +12.0 MB`: how large it is, and how much larger than what was live."""
    if artifact.bytes is None:
        return f"{artifact.what}: its size is unknown"
    text, growth = f"{artifact.what}: {size(artifact.bytes)}", artifact.growth
    if growth is None:
        return f"{text}; the size before is unknown"
    if growth == 0:
        return f"{text}, as large as before"
    sign = "+" if growth > 0 else "-"
    return f"{text}, {sign}{size(abs(growth))}"


def _row(outcome: Outcome, jobs: Mapping[str, Job]) -> tuple[str, str, str, str, str]:
    verdict = verdict_word(outcome.verdict)
    took = ""
    if outcome.took_s >= 0.5:
        took = duration(round(outcome.took_s))
    return line(outcome.step), verdict, version(jobs[outcome.step]), took, outcome.cause


def _detail(
    outcome: Outcome, job: Job, several: bool, same: SameOptions, width: int
) -> Iterator[str]:
    name = ""
    if several:
        name = f"{line(outcome.step)}: "
    # The digest of what was built is for programs: people get it from the log.
    for key, value in () if job.is_build else outcome.outputs.items():
        yield f"{name}{line(key)} = {line(value)}"
    if outcome.verdict in GOOD:
        yield from _good(outcome, job, several, width)
        yield from advice_lines(outcome.next, same, width, "  next: ")
        return
    if outcome.verdict is Verdict.SKIPPED:
        return
    yield from wrapped(f"{line(outcome.step)}: {_ended(outcome)}", width)
    yield from (f"  | {line(text)}" for text in outcome.log)
    yield from advice_lines(outcome.next, same, width, "  next: ")


def _good(outcome: Outcome, job: Job, several: bool, width: int) -> Iterator[str]:
    """How a step ended well, as far as the table does not say it."""
    if job.undoes:
        text = f"{line(job.target)} {version(job)} was restored: {_ended(outcome)}"
        yield from wrapped(text, width)
    elif not several:
        yield from wrapped(f"{line(outcome.step)} {version(job)}: {_ended(outcome)}", width)
    elif outcome.cause or outcome.next:
        yield from wrapped(f"note: {line(outcome.step)}: {line(outcome.cause)}".rstrip(": "), width)


def _summary(result: RunResult, jobs: Mapping[str, Job]) -> Advice:
    planned = [outcome for outcome in result.outcomes if not jobs[outcome.step].undoes]
    good = sum(outcome.verdict in GOOD for outcome in planned)
    total = len(planned) + sum(not jobs[step].undoes for step in result.not_started)
    text = f"Run {line(result.run)}: {good} of {count(total, 'step')} done"
    if result.took_s >= 1:
        text += f" in {duration(round(result.took_s))}"
    for outcome in result.outcomes:
        job = jobs[outcome.step]
        if job.undoes and outcome.verdict in GOOD:
            text += f"; {line(job.target)} is back at {version(job)}"
    is_open = bool(result.not_started) or any(outcome.open for outcome in result.outcomes)
    is_cancelled = result.status == RunStatus.CANCELLED
    if is_cancelled and not is_open:
        text += "; nothing was changed"
    if result.left:
        text += f"; left out: {line(', '.join(target for target, _ in result.left))}"
    if result.status == RunStatus.IN_DOUBT or (is_cancelled and is_open):
        return f"{text}; continue with:", NextCommand("resume", (result.run,))
    return f"{text}."


def document(command: str, result: RunResult, jobs: Sequence[Job]) -> dict[str, Any]:
    """The end of a run for programs (docs/json.md)."""
    by_step = {job.step: job for job in jobs}
    environments = _environments(jobs)
    return {
        "toolkit": 1,
        "command": command,
        "status": result.status,
        "exit": int(result.exit),
        "run": result.run,
        "environment": environments[0] if len(environments) == 1 else None,
        "environments": environments,
        "took_s": result.took_s,
        "usage": usage.document(result.usage),
        "over_budget": dict(result.over),
        "steps": [_step(outcome, by_step[outcome.step], result) for outcome in result.outcomes],
        "critical_path": critical_path(jobs, result.spans),
        "not_started": list(result.not_started),
        "left": [{"target": target, "reason": reason} for target, reason in result.left],
    }


def _environments(jobs: Sequence[Job]) -> list[str]:
    """The names of the environments of these jobs, each once."""
    names = [job.location.environment for job in jobs if job.location.environment is not None]
    return list(dict.fromkeys(names))


def _step(outcome: Outcome, job: Job, result: RunResult) -> dict[str, Any]:
    same, span = result.same.get(outcome.step, NO_OPTIONS), result.spans.get(outcome.step)
    return {
        "step": outcome.step,
        "target": outcome.target,
        "kind": job.kind,
        "action": job.action,
        "undoes": job.undoes or None,
        "environment": job.location.environment,
        "region": job.location.region,
        "version": job.version.name,
        "verdict": outcome.verdict,
        "cause": outcome.cause or None,
        "next": sentence(outcome.next, same) or None,
        "began_s": None if span is None else span.began_s,
        "took_s": outcome.took_s,
        "adopted": outcome.adopted,
        "usage": usage.document(outcome.usage),
        "outputs": dict(outcome.outputs),
        "log": list(outcome.log),
        "live": None if outcome.live is None else live_document(outcome.live),
        "size": _size_document(outcome.size),
        "slowest": [
            {"name": resource.name, "type": resource.type, "took_s": resource.took_s}
            for resource in outcome.slowest
        ],
    }


def _size_document(artifact: ArtifactSize | None) -> dict[str, Any] | None:
    """The size of what was put live, null where it is unknown."""
    if artifact is None:
        return None
    return {"what": artifact.what, "bytes": artifact.bytes, "growth": artifact.growth}


def live_document(live: LiveVersion) -> dict[str, Any]:
    """What runs, for programs."""
    return {
        "version": live.version,
        "commit": live.commit,
        "run": live.run,
        "since": live.since,
        "detail": dict(live.detail),
    }


def open_steps(
    jobs: Sequence[Job], done: Mapping[str, Outcome], begun: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What `resume` would do with each step, for programs."""
    return [
        {
            "step": job.step,
            "target": job.target,
            "environment": job.location.environment,
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
    place = ""
    if jobs:
        place = location(jobs)
    where = ""
    if place:
        where = f" in {place}"
    return (
        f"Run {line(run)} is open. Nothing was changed. Continuing it{where} "
        f"means:\n\n{table(('step', 'version', 'next'), rows)}"
    )


def claims(parts: Sequence[tuple[str, str]]) -> list[str]:
    """What only the journal of somebody else's run says of its steps, one line for each."""
    return [
        f"warning: step {line(step)}: {line(part)} (only its journal says so)"
        for step, part in parts
    ]


def _next(job: Job, done: Mapping[str, Outcome], begun: Mapping[str, Any]) -> str:
    if job.step in done:
        return f"over ({WORDS.get(done[job.step].verdict, done[job.step].verdict)})"
    if job.step in begun:
        return "look in AWS for its result"
    if job.undoes:
        undone = done.get(job.undoes)
        if undone is None:
            return f"nothing, unless {job.undoes} does not pass its checks"
        if not undone.has_to_give_way:
            return "nothing"
    return "do it"
