"""The nouns (docs/architecture.md has the words): what the stages hand to each other. Data only."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

CHECKS = ("smoke-test", "health-check")
"""What a rule's `run` may ask for, the narrower first."""


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
        """Whether the target is live after it as it was wanted."""
        return self in (Verdict.SUCCEEDED, Verdict.UNCHANGED)


GOOD = tuple(verdict for verdict in Verdict if verdict.is_good)
"""The verdicts after which the target is live as it was wanted."""

CONDITIONS = ("ok", "warning", "failing", "unknown")
"""How something is that was looked at. `unknown`: nobody could look, or not in time; it never
counts as `ok`.
"""

RESULTS = ("passed", "failed", "skipped", "unknown")
"""How a check can end. `unknown`: it was not done in time, or stopped."""

STATUSES = ("added", "modified", "deleted", "type-changed")
"""What a rule's `changes` may be limited to."""


class Backwards(StrEnum):
    """What an environment says of a deploy that would take live commits out."""

    ASK = "ask"
    ALLOW = "allow"


class Change(Struct, frozen=True, gc=False):
    """One path that differs between two points.

    `status` is one of STATUSES, or `conflicted` or `unknown`, which every rule's `changes` lets
    through. `origin` says where the change stands: committed, staged, unstaged, untracked, or given
    (on the command line). `path` is relative to the repository's root; bytes that are not UTF-8 are
    surrogate escapes.
    """

    path: str
    status: str
    old_path: str | None = None
    origin: str = "committed"


class Environment(Struct, frozen=True):
    """Where targets live: one account, one or more regions. `urls` are the base addresses of the
    system, `hosts` what else probes may ask, `private` whether that may be on this machine or in a
    private network; `rollback` is `never` or `on-failure`; `backwards` says whether what would take
    live commits out has to be agreed to.
    """

    name: str
    account: str | None = None
    regions: tuple[str, ...] = ()
    profile: str | None = None
    protected: bool = False
    vars: Mapping[str, str] = field(default_factory=dict)
    store: str | None = None
    urls: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    private: bool = False
    rollback: str = "never"
    backwards: Backwards = Backwards.ASK


class Target(Struct, frozen=True):
    """One thing that is deployed. `members` is empty but for a group; times are in seconds."""

    name: str
    kind: str
    settings: Any
    action: str
    estimate_s: int
    needs: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    deadline_s: int = 3600


class ImageSource(Struct, frozen=True):
    """What an image is built from: its build context and Dockerfile, from the repository's root,
    the stage that is meant (None: the last), and the build arguments.
    """

    context: str
    dockerfile: str
    stage: str | None = None
    args: Mapping[str, str] = {}


class Inputs(Struct, frozen=True):
    """What a target is built from, whatever rules say. All paths are from the repository's root.

    A change of one of its `files` makes it due: its Dockerfile, its template. Of `folders` its
    build takes everything, of `images` what the Dockerfile copies. One that takes `everything` may
    read any file, as a program does.
    """

    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    images: tuple[ImageSource, ...] = ()
    everything: bool = False


class Rule(Struct, frozen=True):
    """A named set of path patterns, and what a match calls for."""

    name: str
    paths: tuple[str, ...]
    deploy: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


class Accept(Struct, frozen=True):
    """A path that `doctor` shall not warn about, and why."""

    path: str
    reason: str


class Secret(Struct, frozen=True):
    """Where a secret value comes from: a variable of the environment, a parameter of SSM, or a
    secret of Secrets Manager, of which `key` takes one value out of a JSON object. Names may hold
    variables: `uses`.
    """

    name: str
    env: str | None = None
    ssm: str | None = None
    secret: str | None = None
    key: str | None = None
    uses: frozenset[str] = frozenset()


class Load(Struct, frozen=True):
    """A small load with one check's request. It is told as worse where a figure is over `worse`
    times what it was in the last good run; `errors` is the share of failed requests that is still
    good.
    """

    users: int
    seconds: int
    worse: float
    errors: float


class Check(Struct, frozen=True):
    """One thing that `smoke-test` asks the live system. `sort` says how; `settings` is that sort's
    own struct, its `{names}` not filled.

    `needs` are checks that have to have passed before, unless it is `always`: then they only come
    first. `captures` are the names that it gives values to, `uses` those in its settings; one that
    is `based` asks each of an environment's `urls`. `timeout_s` is for one try, `retry_s` how long
    it is tried again. `where` is its file and line.
    """

    name: str
    sort: str
    settings: Any
    asks: str
    tags: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    always: bool = False
    environments: tuple[str, ...] = ()
    timeout_s: float = 10.0
    retry_s: float = 0.0
    captures: tuple[str, ...] = ()
    uses: frozenset[str] = frozenset()
    based: bool = False
    load: Load | None = None
    where: str = ""


class Checks(Struct, frozen=True):
    """All checks of a rules.toml and of the files that it includes, and the secrets that they use.
    By name.
    """

    checks: Mapping[str, Check] = {}
    secrets: Mapping[str, Secret] = {}


class JudgeEffect(StrEnum):
    """What follows from a judge that is another one here than at the trusted base: see
    JudgeDifference.
    """

    TOLD = "told"
    DUE = "due"
    CONSENT = "consent"


class JudgeDifference(Struct, frozen=True):
    """Something that judges a deploy, and that rules.toml says differently here than at the trusted
    base.

    `what` is its key in rules.toml. `here` and `trusted` are both values in words, None where there
    is none; both are None where it is another one that takes too many words. `environment` is the
    one that it is about (None: any). It is always told. `due`: every target counts as due besides.
    `consent`: so, and nothing is changed before somebody agrees, for no trusted value says where
    to, or the value here means another place.
    """

    what: str
    here: str | None
    trusted: str | None
    effect: JudgeEffect
    environment: str | None = None


class Trust(Struct, frozen=True):
    """Where the judges of some rules come from.

    `ref` and `commit` name the trusted base; both are empty where rules.toml itself is trusted: no
    repository, or a file from outside of it. `allowed` says that somebody lets this rules.toml
    decide in spite of the differences. `checks` are those of the trusted base, where the files here
    have others.
    """

    ref: str = ""
    commit: str = ""
    differences: tuple[JudgeDifference, ...] = ()
    allowed: bool = False
    checks: "Checks | None" = None

    def about(self, environment: str | None) -> tuple[JudgeDifference, ...]:
        """The differences that matter in an environment."""
        return tuple(
            difference
            for difference in self.differences
            if difference.environment in (None, environment)
        )

    def is_due(self, environment: str | None) -> bool:
        """Whether every target of an environment counts as due, whatever is recorded."""
        return not self.allowed and any(
            difference.effect is not JudgeEffect.TOLD for difference in self.about(environment)
        )

    def is_refused(self, environment: str | None) -> bool:
        """Whether nothing may be changed in an environment before somebody agrees."""
        return not self.allowed and any(
            difference.effect is JudgeEffect.CONSENT for difference in self.about(environment)
        )


class Rules(Struct, frozen=True):
    """All of one rules.toml. `text` is kept, so that the line of a pattern can be named without
    parsing it twice. `trust` says where the judges in it come from, once somebody has looked
    (flow/trusted.py).
    """

    file: str
    text: str
    project: str | None
    environment: str | None
    environments: Mapping[str, Environment]
    ignore: tuple[str, ...]
    unmatched: str
    targets: Mapping[str, Target]
    rules: tuple[Rule, ...]
    accept: tuple[Accept, ...] = ()
    include: tuple[str, ...] = ()
    checks: Checks = Checks()
    trust: Trust = Trust()


class Base(Struct, frozen=True):
    """The point that a diff compares with.

    `kind` is `ref`, `range`, `paths`, `last`, `live` or `none`; `chosen` says how it was chosen.
    `commits` has more than one entry where history has several best merge bases: what differs from
    any of them counts; and for `last` and `live`, where `each` says which of them a target was
    compared with (none: its files are as they were deployed, or nothing is known of it).
    """

    kind: str
    name: str | None
    commits: tuple[str, ...]
    chosen: str
    each: Mapping[str, tuple[str, ...]] = {}


class Head(Struct, frozen=True):
    """What would be deployed. `dirty` is None where nobody looked at the working tree."""

    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None


class Reason(Struct, frozen=True, gc=False):
    """Why a target (or a check) is called for: this path, this pattern of this rule, on this line
    of rules.toml.
    """

    path: str
    rule: str
    pattern: str
    line: int | None


class ChangeMatch(Struct, frozen=True, gc=False):
    """What the rules make of one change. `verdict` is `matched`, `ignored`, `unmatched` or `rules`
    (rules.toml itself).
    """

    change: Change
    rules: tuple[str, ...]
    targets: tuple[str, ...]
    verdict: str


class Impact(Struct, frozen=True):
    """Target -> reasons, check -> reasons, and what became of each change. `removed` are targets
    only old rules name.
    """

    touched: tuple[ChangeMatch, ...]
    targets: Mapping[str, tuple[Reason, ...]]
    checks: Mapping[str, tuple[Reason, ...]]
    removed: tuple[str, ...] = ()

    @property
    def unmatched(self) -> list[str]:
        """The paths that no rule matches and `ignore` does not cover."""
        return [match.change.path for match in self.touched if match.verdict == "unmatched"]

    @property
    def ignored(self) -> list[str]:
        """The paths that `ignore` covers."""
        return [match.change.path for match in self.touched if match.verdict == "ignored"]


class Step(Struct, frozen=True):
    """One action on one target, with its reasons in words. `needs` names targets of other steps;
    times are seconds.

    `command` is None where only a person can do it.
    """

    target: str
    action: str
    command: str | None
    needs: tuple[str, ...]
    estimate_s: int
    because: tuple[str, ...]


class Plan(Struct, frozen=True):
    """The narrowest steps that cover the impact, in an order that respects `needs`. Estimates are
    critical paths, in seconds.

    `by_hand` are the targets in it, also inside groups, that only a person can deploy.
    """

    steps: tuple[Step, ...]
    by_hand: tuple[str, ...]
    checks: tuple[str, ...]
    estimate_s: int
    full_estimate_s: int
    recommendation: str


class Direction(StrEnum):
    """How HEAD stands to what is live."""

    SAME = "same"
    AHEAD = "ahead"
    BEHIND = "behind"
    DIVERGED = "diverged"
    UNRELATED = "unrelated"
    UNKNOWN = "unknown"


class Standing(Struct, frozen=True):
    """How HEAD stands to what is live of a target, the commit `live`.

    `lost` are the live commits that a deploy would take out: they touch the target's inputs, and
    HEAD's history does not hold their content. `fetch` is the command that gets what is missing to
    know more.
    """

    direction: Direction
    live: str
    lost: tuple[str, ...] = ()
    fetch: str = ""

    @property
    def backwards(self) -> bool:
        """Whether a deploy needs a consent of its own: it takes live commits out, or nobody can say
        that it does not.
        """
        return bool(self.lost) or self.direction is Direction.UNKNOWN


class DiffResult(Struct, frozen=True):
    """What `toolkit diff` found. `states` holds due, clean or unknown for every target; `refusal`
    says why nothing is recommended.

    `options` is what commands have to repeat to mean the same rules and environment, `covered`
    tells of each group all that it covers, and `uncommitted` are the paths whose content is not as
    committed. `instructions` are those of all targets that only a person can deploy, due or not.

    `unrecorded` are the targets of which no deploy is recorded: they are in the plan, for nothing
    is known of them. `first` is the plan without those that no change since the default base calls
    for, `reasons` why it holds what it holds. `standings` says of each target that is due how HEAD
    stands to what is live, where it is not simply ahead. `failed_before` says of targets that are
    due which run has deployed just that, and did not end well. `told_first` is told before anything
    else.
    """

    base: Base
    head: Head
    environment: str | None
    rules: Rules
    impact: Impact
    plan: Plan
    states: Mapping[str, str]
    refusal: str | None = None
    options: str = ""
    covered: Mapping[str, frozenset[str]] = {}
    uncommitted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()
    first: Plan | None = None
    reasons: Mapping[str, tuple[Reason, ...]] = {}
    standings: Mapping[str, Standing] = {}
    failed_before: Mapping[str, str] = {}
    told_first: tuple[str, ...] = ()
    instructions: Mapping[str, str | None] = {}


class RuleVerdict(Struct, frozen=True):
    """What one rule says of a path: the pattern that decides (None: none of them matches), its
    line, and why in words.
    """

    rule: str
    hit: bool
    pattern: str | None
    line: int | None
    why: str
    deploy: tuple[str, ...]
    run: tuple[str, ...]


class Explained(Struct, frozen=True):
    """A path's whole story. `dropped` are candidates that cover a narrower one, with that one;
    `users` are the targets that are built from it, whatever rules say.
    """

    path: str
    ignored: Reason | None
    verdicts: tuple[RuleVerdict, ...]
    targets: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...]
    fallback: str | None
    users: tuple[str, ...] = ()


class LintFinding(Struct, frozen=True):
    """One thing worth a look. `code` is dead-rule, dead-pattern, dead-exclusion, shadowed-rule,
    ignored-rule, overlap or generated.
    """

    code: str
    line: int | None
    message: str
    hint: str = ""


class Lint(Struct, frozen=True):
    """The findings, and the files that no rule owns, by folder, the fullest first."""

    findings: tuple[LintFinding, ...]
    files: int
    unowned: tuple[tuple[str, int], ...]


class Tally(Struct, frozen=True):
    """What today's rules make of a stretch of history. Times are seconds, for the commits that call
    for a deploy.

    `ends` are the ids of the newest and the oldest commit, `targets` holds for each target how many
    commits deploy it and how long that takes, `unmatched` the folders with most unmatched changes.
    """

    commits: int
    ends: tuple[str, ...]
    deploying: int
    narrow_s: int
    full_s: int
    targets: tuple[tuple[str, int, int], ...]
    checks: tuple[tuple[str, int], ...]
    unmatched: tuple[tuple[str, int], ...]


class Replayed(Struct, frozen=True, gc=False):
    """What one commit would have deployed and run, and how many of its paths no rule matches."""

    commit: str
    targets: tuple[str, ...]
    run: tuple[str, ...]
    unmatched: tuple[str, ...]


class Commit(Struct, frozen=True):
    """A commit as people tell of it: who, when, what."""

    id: str
    author: str
    when: datetime
    summary: str


class Location(Struct, frozen=True):
    """Where a step acts: one region of an environment. What rules.toml does not say is None; AWS's
    own settings decide then.
    """

    environment: str | None = None
    region: str | None = None
    account: str | None = None
    profile: str | None = None
    protected: bool = False
    store: str | None = None
    """`s3://bucket/prefix` of the shared record and locks."""


class Version(Struct, frozen=True):
    """What is deployed. `name` is the commit's id, with `-dirty-<digest>` where the files differ
    from it: it is the image's tag.

    `fingerprint` is the digest of every file that can make the target due: its rules' files and its
    inputs. It is the same in every environment and at every commit with that content. `settings` is
    the digest of what else decides how it is deployed, in this environment. Empty where that is not
    known.
    """

    name: str
    commit: str | None
    fingerprint: str
    dirty: bool = False
    settings: str = ""
    generated: str = ""
    """The digest of the files that git ignores and its build takes; empty where there are none.
    They are not in the fingerprint.
    """


class Job(Struct, frozen=True):
    """One step of a run with everything that it depends on: from it any process can go on with the
    step.

    `settings` is the kind's own struct with variables filled in; `wishes` is what the command line
    asked of this kind (an image's tag, `allow_replace`); `needs` are names of other steps of the
    run. Times are seconds. One that `undoes` another step waits until that is live and does not
    pass its checks, and is never begun otherwise.
    """

    step: str
    target: str
    kind: str
    action: str
    location: Location = field(name="place")
    settings: Any
    version: Version
    run: str
    token: str
    needs: tuple[str, ...] = ()
    estimate_s: int = 0
    deadline_s: int = 3600
    wishes: Mapping[str, Any] = {}
    undoes: str = ""
    recorded: "RecordedDeploy | None" = None
    """What the record said before; None where nothing is recorded."""


class DeployedState(Struct, frozen=True):
    """What is live, as digests that can be computed again from the provider's answers: this, and
    not the version's name, says whether something was changed since.

    `definition` is the digest of how it runs (an ECS task definition without names, revisions and
    tags of ours), `template` that of a stack's template and parameters, `artifacts` name -> digest
    of what was built. `body` is the template itself and `parameters` name -> value (None: the
    previous value, which nobody may read back), so that they can be put back. What is empty is not
    known.
    """

    definition: str = ""
    template: str = ""
    artifacts: Mapping[str, str] = {}
    body: str = ""
    parameters: Mapping[str, str | None] = {}

    def same(self, second: "DeployedState") -> bool | None:
        """Whether the other is the very same, None where nothing is known of both. Only what both
        know is compared.
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

    `detail` and `deployed` (without its body) are those of that deploy; `earlier` and `later` are
    what names the content of the others that are recorded, in the provider's terms or as digests.
    `problem` says why the record could not be read: nothing is known then.
    """

    run: str = ""
    version: str = ""
    deployed: DeployedState = DeployedState()
    detail: Mapping[str, str] = {}
    earlier: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    problem: str = ""


class LiveVersion(Struct, frozen=True):
    """What runs for a target, as far as it was observed. `detail` names it in the cloud's terms:
    image, digest, task definition.

    `doubt` says why what runs is not one version (`version`, `commit` and `fingerprint` are None
    then), `notes` what else runs beside it.
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
    doubt: str = ""
    notes: tuple[str, ...] = ()


class PlannedCall(Struct, frozen=True):
    """One call that changes something, with the parameters that matter: what --dry-run prints.

    `once`: of several steps of a run that need the very same call, one makes it for all.
    """

    name: str
    what: Mapping[str, str] = {}
    once: bool = False


class Preview(Struct, frozen=True):
    """What a step would do: the calls in order, what is said before, and whether nothing would
    change.
    """

    calls: tuple[PlannedCall, ...]
    warnings: tuple[str, ...] = ()
    unchanged: bool = False
    live: LiveVersion | None = None


class Observation(Struct, frozen=True):
    """What the cloud says of a step.

    `state` is absent, running, done, failed or unknown; `verdict` says more where it is done or
    failed. `phase` is what goes on in a few words, `cause` the first real reason of a failure in
    one line, `next` the command that mends it, `log` the last lines of what failed. `doomed` says
    that it cannot succeed any more though the cloud still tries, `sure` of absent that it cannot be
    otherwise: nobody has to look again a while later. `lines` are new since the Seen before, `mark`
    is what the next look wants to know of this one. `untouched`: what is unhealthy was so before,
    whatever was deployed.
    """

    state: str
    verdict: Verdict | None = None
    phase: str = ""
    cause: str = ""
    next: str = ""
    log: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    outputs: Mapping[str, str] = {}
    doomed: bool = False
    sure: bool = False
    live: LiveVersion | None = None
    mark: Any = None
    untouched: bool = False


class Finding(Struct, frozen=True):
    """One thing that was looked at: what it is, how it is (a word of CONDITIONS), and that in a few
    words.

    `since` is ISO 8601 in UTC. What is not `ok` has one `cause` in a line, and the `next` command,
    or thing to do, that mends it. `unasked`: AWS could not be asked, for want of credentials, a
    region, a permission or an answer.
    """

    what: str
    status: str
    detail: str = ""
    since: str | None = None
    cause: str = ""
    next: str = ""
    unasked: bool = False


class Mismatch(Struct, frozen=True):
    """One expectation that does not hold: of what, and both sides in a line each."""

    what: str
    wanted: str
    found: str


class Result(Struct, frozen=True):
    """How a check ended: a word of RESULTS. `at` is the base address or the region that it was
    asked at, where there are several.

    `cause` says in a line why it did not pass, `misses` what was expected, `shown` the answer's
    first lines; `log` names a child's log, `figures` are those of a load.
    """

    check: str
    status: str
    asks: str = ""
    at: str = ""
    cause: str = ""
    next: str = ""
    misses: tuple[Mismatch, ...] = ()
    shown: tuple[str, ...] = ()
    detail: str = ""
    took_s: float = 0.0
    tries: int = 1
    log: str = ""
    figures: Mapping[str, float] = {}


class HealthReport(Struct, frozen=True):
    """How one thing is in one place: a target, a check, or the credentials (`kind` says which),
    with all that was looked at.

    `state` is what its live version is against HEAD: due, clean or unknown; empty where nobody can
    tell.
    """

    name: str
    kind: str
    environment: str | None
    region: str | None
    signs: tuple[Finding, ...]
    live: LiveVersion | None = None
    state: str = ""

    @property
    def status(self) -> str:
        """The worst word of its signs; nobody who looked at nothing says `ok`."""
        statuses = {sign.status for sign in self.signs}
        return next(
            (word for word in ("failing", "unknown", "warning", "ok") if word in statuses),
            "unknown",
        )


class Statement(Struct, frozen=True):
    """One statement of an IAM policy: these actions on these resources, and why they are needed."""

    why: str
    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    conditions: Mapping[str, Mapping[str, str]] = {}


class Provision(Struct, frozen=True):
    """What has to be there before a target can be deployed: the sandbox makes it, elsewhere it is
    somebody's. `what` is a word of sandbox/provision.py: repository, service, bucket, function or
    bootstrap (of CDK).
    """

    what: str
    name: str
    detail: Mapping[str, str] = {}


class Resource(Struct, frozen=True):
    """One thing that a deploy of a target changes: what it is ("stack"), its name, and the part of
    it; None is all of it.
    """

    what: str
    name: str
    part: str | None = None

    def meets(self, second: "Resource") -> bool:
        """Whether both change the same thing, or a part that is in the other."""
        same_thing = (self.what, self.name) == (second.what, second.name)
        return same_thing and (None in (self.part, second.part) or self.part == second.part)


class Outcome(Struct, frozen=True):
    """How a step ended, as far as this process saw it. `open` says that the journal leaves it to
    `resume`; `took_s` is in seconds.

    `untouched`: what is unhealthy ran like that before this run, so that there is nothing to put
    back.
    """

    step: str
    target: str
    verdict: Verdict
    cause: str = ""
    next: str = ""
    log: tuple[str, ...] = ()
    outputs: Mapping[str, str] = {}
    took_s: float = 0.0
    adopted: bool = False
    open: bool = False
    live: LiveVersion | None = None
    untouched: bool = False

    @property
    def has_to_give_way(self) -> bool:
        """Whether this run has put something there that is live and not good."""
        return self.verdict is Verdict.UNHEALTHY and not self.untouched


class RunResult(Struct, frozen=True):
    """How a run ended. `status` is succeeded, unchanged, failed, partial, in-doubt or cancelled.

    `left` are targets that it could not deploy at all, each with the reason.
    """

    run: str
    status: str
    exit: int
    outcomes: tuple[Outcome, ...]
    not_started: tuple[str, ...] = ()
    took_s: float = 0.0
    left: tuple[tuple[str, str], ...] = ()
