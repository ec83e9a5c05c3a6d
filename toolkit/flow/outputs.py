"""`outputs`: what the targets have that people and scripts need to know, as it runs now. All are
asked at the same time, by one deadline; what has not answered by then is unknown.
"""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from msgspec import Struct

from toolkit import targets as kinds
from toolkit.advice import SameOptions, changed_advice
from toolkit.errors import Expired, ToolkitError, Unreachable, UsageError
from toolkit.exits import Exit
from toolkit.flow.advice import same_options
from toolkit.flow.live_targets import live_targets, require_account
from toolkit.flow.parts import with_recorded
from toolkit.flow.selection import require_target
from toolkit.model import ProjectRequest, Rules
from toolkit.operations import Job, TargetOutputs
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.ports import Ports
from toolkit.targets.base import Kind


class OutputsRequest(ProjectRequest, frozen=True, kw_only=True):
    """What a person asked for. `names` are targets and single outputs (`api.Url`), none for all
    targets. `timeout_s` is the deadline for everything; `redact` hides what looks like a secret.
    """

    names: tuple[str, ...] = ()
    timeout_s: float = 20.0
    redact: Callable[[str], str] = str


class OutputsResult(Struct, frozen=True):
    """The answers, and the exit code that they call for. `jobs` say where was looked, `same` what
    the commands in the answers have to repeat.
    """

    environment: str | None
    jobs: tuple[Job, ...]
    answers: tuple[TargetOutputs, ...]
    exit: Exit
    same: SameOptions


class NamedOutput(Struct, frozen=True):
    """A target, and the output of it that was named; None for all of its outputs."""

    target: str
    output: str | None = None


def read_outputs(request: OutputsRequest, rules: Rules, ports: Ports) -> OutputsResult:
    """Ask each target once. Raises UsageError, Refused; never for one that could not be asked."""
    named = [named_output(name, rules) for name in request.names]
    live = live_targets(request, [name.target for name in named], rules)
    until = monotonic() + request.timeout_s
    jobs = with_recorded(live.jobs, rules, ports, request.timeout_s)
    tasks = [BackgroundTask(_question(job, ports)) for job in jobs]
    answers: list[TargetOutputs] = []
    codes = set[Exit]()
    for job, task in zip(jobs, tasks, strict=True):
        try:
            outputs = task.within(until - monotonic())
        except (Timeout, ToolkitError) as problem:
            if isinstance(problem, Timeout):
                late = f"no answer within {request.timeout_s:g} s"
                problem = Unreachable(call=f"the outputs of {job.step}", reason=late)
            answers.append(_unknown(job, problem, request.redact))
            codes.add(Exit.CREDENTIALS if problem.exit == Exit.CREDENTIALS else Exit.FAILED)
        else:
            answers.append(_known(job, outputs, named))
    _require_outputs(named, answers)
    same = same_options(rules, request.rules, live.environment, request.region)
    return OutputsResult(live.environment, jobs, tuple(answers), _exit(codes), same)


def named_output(name: str, rules: Rules) -> NamedOutput:
    """What a name of the command line means: a target, else TARGET.OUTPUT. A target's name may have
    dots, too. Raises UsageError.
    """
    if name in rules.targets:
        return NamedOutput(name)
    words = name.split(".")
    # The longest name of a target counts; what is left may have dots, too.
    for count in range(len(words) - 1, 0, -1):
        target, output = ".".join(words[:count]), ".".join(words[count:])
        if output and target in rules.targets:
            return NamedOutput(target, output)
    target = name.rpartition(".")[0]
    require_target(target or name, rules)
    raise UsageError(f"invalid output {name!r}", "use TARGET or TARGET.OUTPUT")


def _question(job: Job, ports: Ports) -> Callable[[], Mapping[str, str]]:
    kind = kinds.kind(job.kind)

    def ask() -> Mapping[str, str]:
        if type(kind).outputs is Kind.outputs:
            return {}  # nothing is asked
        require_account(job, ports)
        outputs: Mapping[str, str] = kind.outputs(job, ports)
        return outputs

    return ask


def _known(job: Job, outputs: Mapping[str, str], named: Sequence[NamedOutput]) -> TargetOutputs:
    """The outputs that were asked for: all, or the single ones of the target that are named."""
    chosen = {name.output for name in named if name.target == job.target}
    if not chosen or None in chosen:
        kept = dict(outputs)
    else:
        kept = {name: value for name, value in outputs.items() if name in chosen}
    return TargetOutputs(job.step, job.target, job.kind, job.location, kept)


def _unknown(job: Job, problem: ToolkitError, redact: Callable[[str], str]) -> TargetOutputs:
    advice = problem.next
    if isinstance(problem, Expired):
        advice = problem.renewal
    return TargetOutputs(
        job.step,
        job.target,
        job.kind,
        job.location,
        problem=redact(str(problem)),
        next=changed_advice(advice, redact),
    )


def _require_outputs(named: Sequence[NamedOutput], answers: Sequence[TargetOutputs]) -> None:
    """Raises UsageError for a named output that a target which has answered does not have."""
    for name in named:
        for answer in answers:
            if name.output is None or answer.target != name.target or answer.problem:
                continue
            if name.output not in answer.outputs:
                problem = f"{answer.name} has no output {name.output!r}"
                raise UsageError(problem, "leave it out to see what it has")


def _exit(codes: set[Exit]) -> Exit:
    """Where AWS could not be asked, and nothing else is wrong, that is what has to be fixed."""
    if not codes:
        return Exit.OK
    if codes == {Exit.CREDENTIALS}:
        return Exit.CREDENTIALS
    return Exit.FAILED
