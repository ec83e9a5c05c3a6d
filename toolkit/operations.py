"""The nouns of what is done and observed: jobs, what is live, how steps, runs and checks ended, how
healthy things are (docs/architecture.md explains the words). Data only; `diff` does not load it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from msgspec import Struct, field

from toolkit.advice import Advice, NextCommand, SameOptions
from toolkit.model import AWS, Resource, TargetState, Version


class JobAction(StrEnum):
    """What a step does to its target. BUILD: it only makes what other steps deploy, and changes
    nothing that runs.
    """

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    BUILD = "build"


class Location(Struct, frozen=True):
    """Where a step acts: one region of an environment. What rules.toml does not say is None, and
    left to AWS's own settings.
    """

    environment: str | None = None
    region: str | None = None
    account: str | None = None
    profile: str | None = None
    protected: bool = False
    store: str | None = None
    """`s3://bucket/prefix` of the shared record and locks."""
    provider: str = AWS
    """Whose the things there are: only for AWS do credentials, account and region have to be known.
    """


class OutputSource(Struct, frozen=True):
    """A target whose outputs a job is told, with its kind's settings."""

    target: str
    kind: str
    settings: Any


class Job(Struct, frozen=True):
    """One step of a run with everything that it depends on, so that any process can continue it.

    `settings`, `options` and `restore` are the kind's own structs: the settings with variables
    filled in, what the command line says, and what a rollback has to know besides the version.
    `needs` are names of other steps of the run. Times are in seconds. A job that `undoes` another
    step begins only once that is live and fails its checks.
    """

    step: str
    target: str
    kind: str
    action: JobAction
    location: Location = field(name="place")
    settings: Any
    version: Version
    run: str
    token: str
    needs: tuple[str, ...] = ()
    estimate_s: int = 0
    deadline_s: int = 3600
    options: Any = field(name="wishes", default={})
    restore: Any = None
    undoes: str = ""
    recorded: "RecordedDeploy | None" = None
    """What the record said before; None where nothing is recorded."""
    consumed: tuple[OutputSource, ...] = ()
    conditional: bool = False
    """Whether it is only done if the outputs that it uses are other ones by then."""
    inputs: Mapping[str, str] = {}
    """The version of each input outside git that it is deployed with, as read before it began."""
    renews: bool = False
    """Whether one of them has changed since its last deploy, or that is not known: it is deployed
    though nothing of its own changes.
    """
    part: str = ""
    """What of its target it deploys, where each part has a step of its own; else empty."""
    parts: tuple[str, ...] | None = None
    """The parts of its target that other steps of the run deploy. It deploys nothing: it only looks
    at all of them, and stands for the target in the record.
    """

    @property
    def is_build(self) -> bool:
        """Whether it only makes what other steps deploy."""
        return self.action == JobAction.BUILD

    @property
    def whole(self) -> str:
        """The step that stands for the whole target, of the step of a part."""
        return self.target + self.step.removeprefix(f"{self.target}:{self.part}")


class DeployedState(Struct, frozen=True):
    """What is live, as digests that can be computed again from the provider's answers. This, and
    not the version's name, says whether something was changed since.

    `definition` is the digest of how it runs (an ECS task definition without names, revisions and
    our tags), `template` that of a stack's template and parameters, `artifacts` name -> digest of
    what was built. `body` is the template itself and `parameters` name -> value (None: the previous
    value, which cannot be read back), so that they can be restored. `stack` is what was synthesized
    for it, in the form of the templates room, so that a later synthesis can be compared. Anything
    empty is unknown.
    """

    definition: str = ""
    template: str = ""
    artifacts: Mapping[str, str] = {}
    body: str = ""
    parameters: Mapping[str, str | None] = {}
    stack: str = ""

    def same(self, second: "DeployedState") -> bool | None:
        """Whether both are the same, None if there is nothing to compare. Only what is known of
        both is compared.
        """
        compared = False
        for mine, theirs in (
            (self.definition, second.definition),
            (self.template, second.template),
            *((digest, second.artifacts.get(name, "")) for name, digest in self.artifacts.items()),
        ):
            if mine and theirs:
                if mine != theirs:
                    return False
                compared = True
        return True if compared else None


class RecordedDeploy(Struct, frozen=True):
    """What the record said of a target when a run was prepared: its newest good deploy.

    `detail` and `deployed` (without its body) are those of that deploy; `earlier` and `later`
    identify the content of the other recorded deploys, in the provider's terms or as digests.
    `problem` says why the record could not be read: nothing is known then.
    """

    run: str = ""
    version: str = ""
    deployed: DeployedState = DeployedState()
    detail: Mapping[str, str] = {}
    earlier: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    problem: str = ""
    commit: str | None = None
    fingerprint: str = ""
    settings: str = ""


class Uncovered(Struct, frozen=True):
    """A thing that the repository says is to be deployed, and no target deploys: `stack Jobs`, of
    which program, and where. `unknown` says why that could not be found out; then `name` is empty.
    """

    what: str
    name: str
    source: str
    where: str = ""
    unknown: Advice = ""


class LiveVersion(Struct, frozen=True):
    """What runs for a target, as far as it was observed. `detail` names it in the provider's terms:
    image, digest, task definition.

    `doubt` says why what runs is not one version (`version`, `commit` and `fingerprint` are None
    then); `notes` say what else runs beside it.
    """

    version: str | None
    commit: str | None = None
    fingerprint: str | None = None
    run: str | None = None
    since: str | None = None
    detail: Mapping[str, str] = {}
    settings: str | None = None
    deployed: DeployedState = DeployedState()
    moving: bool = False
    """Whether something else is being put in its place right now."""
    outdated: str = ""
    """Why it has to be deployed again though nothing of its own has changed; empty if not."""
    by: str = ""
    """What put it there, if that was no deploy of this target: `stack Shop`."""
    doubt: str = ""
    notes: tuple[str, ...] = ()
    in_flight: str = ""
    """What is being put in its place right now, in words."""
    stuck: str = ""
    """Why nothing moves any more though it should, in words."""


class Drift(Struct, frozen=True):
    """How what is live differs from what was deployed, as the provider found by looking at each
    part: `differences` in words, without values. `unknown` says why some of it, or all, could not
    be looked at; `ignored` is how many differences say nothing, such as defaults. `notes` are what
    else there is to say, `next` is what to do about it.
    """

    differences: tuple[str, ...] = ()
    unknown: str = ""
    ignored: int = 0
    notes: tuple[str, ...] = ()
    next: Advice = ""


class PlannedCall(Struct, frozen=True):
    """One call that changes something, with the parameters that matter: what --dry-run prints.

    `once`: if several steps of a run need the very same call, one makes it for all.
    """

    name: str
    what: Mapping[str, str] = {}
    once: bool = False


class Artifact(Struct, frozen=True):
    """What has to be built before a target can be deployed. `what` and `name` are for people:
    `image`, `2cba5f8`.

    `key` is a digest of all that decides its content, but not of where it goes: several targets,
    regions or environments with one key share one build. `calls` are those that its build makes.
    """

    what: str
    name: str
    key: str
    calls: tuple[PlannedCall, ...] = ()


class Prerequisite(Struct, frozen=True):
    """One thing that has to be deployed before a target, as what is deployed says itself: in which
    region, None for the target's own.
    """

    resource: Resource
    region: str | None = None


class Preview(Struct, frozen=True):
    """What a step would do: the calls in order, the warnings, and whether nothing would change.
    `plan` are the lines in which the target's own program says what it would change, and `same` is
    what the commands in warnings have to repeat. `artifact` is what has to be built first; its
    calls are among `calls`. `consents` are options of the kind that somebody has to agree to
    before it can be deployed at all, and that were not given. `after` is what has to be deployed
    first, where this run deploys it, too, whatever `needs` says.
    """

    calls: tuple[PlannedCall, ...]
    warnings: tuple[Advice, ...] = ()
    unchanged: bool = False
    live: LiveVersion | None = None
    plan: tuple[str, ...] = ()
    same: SameOptions = SameOptions()
    artifact: Artifact | None = None
    after: tuple[Prerequisite, ...] = ()
    consents: tuple[str, ...] = ()
    builds: bool = False
    """Whether its own step builds, besides what a build step does."""
    displaces: tuple[Resource, ...] = ()
    """What other targets write, as they name it, and this step takes out of what is live."""
    redeploys: tuple[NextCommand, ...] = ()
    """What therefore has to be run after it."""


class StepState(StrEnum):
    """How far the cloud is with a step. ABSENT: nothing of it is there."""

    ABSENT = "absent"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """How a step can end."""

    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    UNHEALTHY = "unhealthy"
    """It is live, and its gates (addresses, checks, alarms, bake) say no."""
    ROLLED_BACK = "rolled-back"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    IN_DOUBT = "in-doubt"

    @property
    def is_good(self) -> bool:
        """Whether the target is live afterwards as requested."""
        return self in (Verdict.SUCCEEDED, Verdict.UNCHANGED)


GOOD = tuple(verdict for verdict in Verdict if verdict.is_good)
"""The verdicts after which the target is live as it was wanted."""


class TimedResource(Struct, frozen=True):
    """One thing that a step has changed, its type, and how long that took, in seconds."""

    name: str
    type: str
    took_s: float


class ArtifactSize(Struct, frozen=True):
    """How large what a step has put live is, in bytes where it lies (an image: compressed), and
    what was live before. None is unknown, never nothing. `what` is for people: `image`.
    """

    what: str
    bytes: int | None
    before: int | None

    @property
    def growth(self) -> int | None:
        """How much larger it has become, in bytes; None where either is unknown."""
        if self.bytes is None or self.before is None:
            return None
        return self.bytes - self.before


class Observation(Struct, frozen=True):
    """What the cloud says about a step.

    `verdict` says more if it is done or failed. `phase` says in a few words what is going on,
    `cause` in one line the first real reason of a failure, `next` the command that fixes it; `log`
    are the last lines of what failed. `doomed`: it cannot succeed any more although the cloud still
    tries. `sure`: absent is final, there is no need to look again later. `lines` are new since the
    last observation; `mark` is what the next one needs to know of this one. `untouched`: what is
    unhealthy was so before, whatever was deployed. `slowest` are the few things in it that took
    longest, `size` how large what was deployed is, None where that means nothing.
    """

    state: StepState
    verdict: Verdict | None = None
    phase: str = ""
    cause: str = ""
    next: Advice = ""
    log: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    outputs: Mapping[str, str] = {}
    doomed: bool = False
    sure: bool = False
    live: LiveVersion | None = None
    mark: Any = None
    untouched: bool = False
    slowest: tuple[TimedResource, ...] = ()
    size: ArtifactSize | None = None


class Usage(Struct, frozen=True):
    """What a step or a run has taken on this machine: seconds of processor time; the peak of memory
    of its largest program, in bytes, None where that is not above toolkit's own; the bytes of what
    is deployed that toolkit has sent. None: not known. `unmeasured` is what belongs to it and is in
    none of the figures, in words.
    """

    cpu_s: float | None
    memory_bytes: int | None
    sent_bytes: int | None
    unmeasured: tuple[str, ...] = ()


class Outcome(Struct, frozen=True):
    """How a step ended, as far as this process knows. `open`: the journal leaves it to `resume`;
    `took_s` is in seconds.

    `untouched`: what is unhealthy ran like that before this run, so there is nothing to undo.
    `slowest` and `size` are those of the last look (`Observation`).
    `usage`: None where it was not measured.
    """

    step: str
    target: str
    verdict: Verdict
    cause: str = ""
    next: Advice = ""
    log: tuple[str, ...] = ()
    outputs: Mapping[str, str] = {}
    took_s: float = 0.0
    adopted: bool = False
    open: bool = False
    live: LiveVersion | None = None
    untouched: bool = False
    slowest: tuple[TimedResource, ...] = ()
    size: ArtifactSize | None = None
    usage: Usage | None = None

    @property
    def has_to_give_way(self) -> bool:
        """Whether this run has deployed something that is live and unhealthy."""
        return self.verdict is Verdict.UNHEALTHY and not self.untouched


class RunStatus(StrEnum):
    """How a run ended; of one in the history also how far it is. DAMAGED: its journal cannot be
    read.
    """

    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    PARTIAL = "partial"
    IN_DOUBT = "in-doubt"
    CANCELLED = "cancelled"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"


class Span(Struct, frozen=True):
    """When a step began and ended, in seconds since its run began in this process."""

    began_s: float
    ended_s: float

    @property
    def took_s(self) -> float:
        """How long it took, in seconds."""
        return self.ended_s - self.began_s


class RunResult(Struct, frozen=True):
    """How a run ended. `left` are targets that it could not deploy at all, each with the reason.
    `same` is for each step what its next commands have to repeat, `spans` when each step ran that
    this process has carried out; `over` are the environments whose budget it has exceeded, each
    with that budget in seconds.
    """

    run: str
    status: RunStatus
    exit: int
    outcomes: tuple[Outcome, ...]
    not_started: tuple[str, ...] = ()
    took_s: float = 0.0
    left: tuple[tuple[str, str], ...] = ()
    same: Mapping[str, SameOptions] = {}
    spans: Mapping[str, Span] = {}
    over: Mapping[str, int] = {}
    usage: Usage | None = None


class TargetOutputs(Struct, frozen=True):
    """What a target has in one location that people and other targets need to know, as it runs now:
    name -> value. `problem` says why that is unknown, empty if it is known.
    """

    name: str
    """The target's name, with its region where the environment has several."""
    target: str
    kind: str
    location: Location
    outputs: Mapping[str, str] = {}
    problem: str = ""
    next: Advice = ""


class LogEvent(Struct, frozen=True):
    """One thing that a target has written. `source` says what of it, in a word for people: a task,
    a nested stack. `when` has a time zone; `text` may have several lines.
    """

    when: datetime
    source: str
    text: str


class LogLook(Struct, frozen=True):
    """What is new in a target's logs since the look before, in the order of time. `notes` say what
    happens to what writes them. `more`: the next look has more, without a wait.
    """

    events: tuple[LogEvent, ...] = ()
    notes: tuple[str, ...] = ()
    more: bool = False


class TaskState(Struct, frozen=True):
    """How a one-off task stands. `exit_code` is that of its command, None as long as there is none:
    also after its end, where it could not be started. `cause` says why it ended, where that is more
    than its exit code. `was_stopped`: a person or AWS has ended it, and not its command.
    """

    phase: str
    ended: bool = False
    exit_code: int | None = None
    cause: str = ""
    was_stopped: bool = False


class RecordOrigin(StrEnum):
    """Where a record comes from: a deploy, a person's word, or what runs, which an earlier version
    of toolkit had recorded.
    """

    DEPLOYED = "deploy"
    SET = "set"
    OBSERVED = "seen"


class HealthStatus(StrEnum):
    """How something is that was checked, the worst first. UNKNOWN: it could not be checked, or not
    in time; it never counts as OK.
    """

    FAILING = "failing"
    UNKNOWN = "unknown"
    WARNING = "warning"
    OK = "ok"

    @property
    def is_bad(self) -> bool:
        """Whether a health check with it does not pass."""
        return self in (HealthStatus.FAILING, HealthStatus.UNKNOWN)

    @classmethod
    def worst(cls, conditions: Iterable[str]) -> "HealthStatus":
        """The worst of several. None at all is UNKNOWN, never OK."""
        present = set(conditions)
        return next((condition for condition in cls if condition in present), cls.UNKNOWN)


class Depth(IntEnum):
    """How far a finding is from the cause: what answers at an address depends on what is behind
    it, and that on the thing itself. An alarm may ring for any of them.
    """

    ITSELF = 0
    BEHIND = 1
    ADDRESS = 2
    ALARM = 3


class Finding(Struct, frozen=True):
    """One thing that was checked: what it is, its status, and that in a few words.

    `since` is ISO 8601 in UTC. Anything not `ok` has one `cause` in a line, and the `next` command,
    or thing to do, that fixes it. `unasked`: AWS could not be asked, for lack of credentials, a
    region, a permission or an answer. `refused`: our own settings keep us from asking, so that
    asking again cannot help. `version` is what an address reports to be, if it can be compared.

    `common` is the cause without what only this one has in it: findings with the same one are one
    problem. It may just follow from a finding of less `depth` about the same thing; None is neither
    a cause nor a symptom of others. `log` are the last lines of what failed.
    """

    what: str
    status: HealthStatus
    detail: str = ""
    since: str | None = None
    cause: str = ""
    next: Advice = ""
    unasked: bool = False
    refused: bool = False
    version: str = ""
    common: str = ""
    depth: Depth | None = Depth.ITSELF
    log: tuple[str, ...] = ()


CHECK, CREDENTIALS = "check", "credentials"
"""The kinds of health reports besides those of targets, which have their target's kind."""


class DeployedBy(Struct, frozen=True):
    """Who deployed what is live, when (ISO 8601 in UTC) and in which run, by the record."""

    who: str
    when: str
    run: str


class HealthReport(Struct, frozen=True):
    """The health of one thing in one location: a target, a check, or the credentials (`kind` says
    which), with everything that was checked.

    `state` is how its live version compares with HEAD, None if that cannot be told.
    """

    name: str
    kind: str
    environment: str | None
    region: str | None
    findings: tuple[Finding, ...]
    live: LiveVersion | None = None
    state: TargetState | None = None
    same: SameOptions = SameOptions()
    """What its next commands have to repeat."""
    deployed: DeployedBy | None = None
    """None where no recorded deploy is known to be what is live."""

    @property
    def status(self) -> HealthStatus:
        """The worst status of its findings. Without any finding it is UNKNOWN, never OK."""
        return HealthStatus.worst(finding.status for finding in self.findings)


class HealthLocation(Struct, frozen=True):
    """A location that was checked. `caller` is whose credentials these are, `caller_account` their
    account; empty where AWS could not be asked.
    """

    environment: str | None
    account: str | None
    region: str | None
    profile: str | None = None
    caller: str = ""
    caller_account: str = ""


class HealthResult(Struct, frozen=True):
    """What `health` found out. `status` is the worst of all reports; `exit` 0 where that is ok or
    warning.
    """

    environments: tuple[str, ...]
    status: HealthStatus
    exit: int
    checkups: tuple[HealthReport, ...]
    took_s: float
    notes: tuple[Advice, ...] = ()
    first: tuple[str, ...] = ()
    """Notices to show before anything else."""
    locations: tuple[HealthLocation, ...] = ()


class CheckStatus(StrEnum):
    """How a check can end. UNKNOWN: it was not done in time, or stopped."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"

    @property
    def is_bad(self) -> bool:
        """Whether a smoke test with it does not pass."""
        return self in (CheckStatus.FAILED, CheckStatus.UNKNOWN)


class Mismatch(Struct, frozen=True):
    """One expectation that is not met: what it is about, and both sides in a line each."""

    what: str
    wanted: str
    found: str


class Result(Struct, frozen=True):
    """How a check ended. `at` is the base address or the region that it was made
    at, if there are several; `row` the row of data, counted from 1, if it has any.

    `cause` says in a line why it did not pass, `misses` what was expected, `shown` are the
    response's first lines; `log` names a child's log, `figures` are those of a load. `absent`: what
    was asked for does not exist. `repeats` are how many times it was made, and how many of these it
    passed, if it was more than once.
    """

    check: str
    status: CheckStatus
    asks: str = ""
    at: str = ""
    cause: str = ""
    next: Advice = ""
    misses: tuple[Mismatch, ...] = ()
    shown: tuple[str, ...] = ()
    detail: str = ""
    took_s: float = 0.0
    tries: int = 1
    log: str = ""
    figures: Mapping[str, float] = {}
    absent: bool = False
    repeats: tuple[int, int] | None = None
    row: int = 0
    same: SameOptions = SameOptions()
    """What its next command has to repeat."""


class Statement(Struct, frozen=True):
    """One statement of an IAM policy: these actions on these resources, and what they are needed
    for.
    """

    why: str
    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    conditions: Mapping[str, Mapping[str, str]] = {}


class ProvisionKind(StrEnum):
    """What the sandbox can create. BOOTSTRAP: what CDK needs in an account."""

    REPOSITORY = "repository"
    SERVICE = "service"
    BUCKET = "bucket"
    FUNCTION = "function"
    BOOTSTRAP = "bootstrap"
    TABLE = "table"
    QUEUE = "queue"
    PARAMETER = "parameter"


class Provision(Struct, frozen=True):
    """A prerequisite of a target's deploy: the sandbox creates it, elsewhere it has to exist. The
    sandbox lets a service answer under its `hosts`.
    """

    what: ProvisionKind
    name: str
    detail: Mapping[str, str] = {}
    hosts: tuple[str, ...] = ()


class LookupKind(StrEnum):
    """What a program did with a path. OPENED: for reading. WRITTEN: created, or emptied first, so
    that all in it is new; APPENDED: opened for writing in any other way. MISSING: it was not there.
    CHECKED: only whether it is there, and what it is. FOLDER: a folder was created.
    """

    OPENED = "opened"
    RAN = "ran"
    LISTED = "listed"
    MISSING = "missing"
    CHECKED = "checked"
    WRITTEN = "written"
    APPENDED = "appended"
    MOVED = "moved"
    LINKED = "linked"
    FOLDER = "folder"


class Lookup(Struct, frozen=True, gc=False):
    """One thing that a program did with a path. Paths are absolute, not normalized where the
    operating system has not said where they lead; bytes that are not UTF-8 are surrogate escapes.

    `path` is where it led, `named` how the program named it, `to` where it was moved or linked to.
    `began` and `ended` are moments: of two lookups the one that ended earlier came first, and two
    that overlap came in either order.
    """

    kind: LookupKind
    path: str
    began: int
    ended: int
    named: str = ""
    to: str = ""


class ObservedInputs(Struct, frozen=True):
    """What a command looked up in the repository that was there before it, by class. All paths are
    relative to the repository's root, sorted.

    `read` are the files that a rule can match: tracked, or about to be; `listed` the folders whose
    names it read, `missing` the names that it looked for in vain, `checked` the files of which it
    only asked whether they are there. Rules can see none of the others: `ignored` are files that it
    read and git ignores, `dependencies` the folders of installed packages, `generated` and
    `outside` how many files it made itself before it read them, and read elsewhere. `locks` are the
    files that decide what the dependencies hold, each with its digest. `warm` are caches that it
    may have read instead of sources; `uses_git`: it read git's own files.
    """

    read: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    locks: Mapping[str, str] = {}
    warm: tuple[str, ...] = ()
    generated: int = 0
    outside: int = 0
    uses_git: bool = False


class ObservedCommand(Struct, frozen=True):
    """A command that was watched: its words, its folder from the repository's root, how it ended (a
    negative code: by a signal), by which means it was watched, and what it looked up. `hidden` says
    in words what could not be seen.
    """

    command: tuple[str, ...]
    folder: str
    code: int
    means: str
    inputs: ObservedInputs
    hidden: tuple[str, ...] = ()


class InputUse(StrEnum):
    """How a command used what no rule matches: LOCKED is a lock file that says what the packages
    hold that it read.
    """

    READ = "read"
    LISTED = "listed"
    MISSING = "missing"
    LOCKED = "locked"


class MissedInput(Struct, frozen=True):
    """An input whose change would not deploy the target. `path` is what was looked up, `example`
    the path that would change; `why` and `line` say why no rule calls for the target then, and
    `pattern` what a rule would have to match (empty: no rule can help). `in_doubt`: the folder was
    listed, and a new file of another type there may not count.
    """

    use: InputUse
    path: str
    example: str
    why: str
    line: int | None = None
    pattern: str = ""
    in_doubt: bool = False


class ObservedPatterns(Struct, frozen=True):
    """Patterns for rules.toml: for a rule that exists, with the line of its `paths`, or for a new
    one (`line` is None).
    """

    rule: str
    line: int | None
    patterns: tuple[str, ...]


class EvidenceProblem(Struct, frozen=True):
    """Why what is recorded of a target's command proves nothing any more, in words."""

    target: str
    problem: str
