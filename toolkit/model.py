"""The nouns that the stages hand to each other (docs/architecture.md explains the words). Data
only.
"""

from collections.abc import Callable, Iterable, Mapping
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
        """Whether the target is live afterwards as requested."""
        return self in (Verdict.SUCCEEDED, Verdict.UNCHANGED)


GOOD = tuple(verdict for verdict in Verdict if verdict.is_good)
"""The verdicts after which the target is live as it was wanted."""


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


class ChangeStatus(StrEnum):
    """What happened to a path. Every rule's `changes` lets CONFLICTED and UNKNOWN through."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    TYPE_CHANGED = "type-changed"
    CONFLICTED = "conflicted"
    UNKNOWN = "unknown"


STATUSES = ("added", "modified", "deleted", "type-changed")
"""The words that a rule's `changes` may name."""


class ChangeOrigin(StrEnum):
    """Where a change is. GIVEN: on the command line."""

    COMMITTED = "committed"
    STAGED = "staged"
    UNSTAGED = "unstaged"
    UNTRACKED = "untracked"
    GIVEN = "given"


class RollbackPolicy(StrEnum):
    """What an environment says about a deploy that is live and unhealthy."""

    NEVER = "never"
    ON_FAILURE = "on-failure"


class NextCommand(Struct, frozen=True, tag="toolkit"):
    """A command of toolkit that somebody may want to run next. The options that make it act on the
    same rules.toml, environment and region are added where it is rendered (show/advice.py).
    """

    command: str
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class ShellCommand(Struct, frozen=True, tag="shell"):
    """A command of another program: the beginning of a line of shell, and the words that follow,
    which are quoted where it is rendered.
    """

    line: str
    words: tuple[str, ...] = ()


Command = NextCommand | ShellCommand

Advice = str | Command | tuple[str | Command, ...]
"""What to do about a problem: words, a command, or words and commands in turn."""


def advice_parts(advice: Advice) -> tuple[str | Command, ...]:
    """The words and commands of an advice; none where it is empty."""
    if isinstance(advice, tuple):
        return advice
    return (advice,) if advice else ()


def changed_advice(advice: Advice, change: Callable[[str], str]) -> Advice:
    """An advice with every text in it changed: secrets removed, names filled in."""
    if isinstance(advice, tuple):
        return tuple(_changed_part(part, change) for part in advice)
    return _changed_part(advice, change)


def _changed_part(part: str | Command, change: Callable[[str], str]) -> str | Command:
    if isinstance(part, str):
        return change(part)
    if isinstance(part, ShellCommand):
        return ShellCommand(change(part.line), tuple(map(change, part.words)))
    arguments, options = map(change, part.arguments), map(change, part.options)
    return NextCommand(part.command, tuple(arguments), tuple(options))


class SameOptions(Struct, frozen=True):
    """What a next command has to be told to act on the same rules.toml, environment and region as
    the command that prints it; None where it does so without.
    """

    rules: str | None = None
    env: str | None = None
    region: str | None = None


class Backwards(StrEnum):
    """What an environment says about a deploy that would remove live commits."""

    ASK = "ask"
    ALLOW = "allow"


class Change(Struct, frozen=True, gc=False):
    """One path that differs between two points.

    `path` is relative to the repository's root; bytes that are not UTF-8 are surrogate escapes.
    """

    path: str
    status: ChangeStatus
    old_path: str | None = None
    origin: ChangeOrigin = ChangeOrigin.COMMITTED


class Environment(Struct, frozen=True):
    """Where targets live: one account, one or more regions. `urls` are the base addresses of the
    system, `hosts` what else probes may contact, `private` whether that may be on this machine or
    in a private network; `backwards` says whether removing live commits needs consent.
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
    rollback: RollbackPolicy = RollbackPolicy.NEVER
    backwards: Backwards = Backwards.ASK


class Need(Struct, frozen=True):
    """A target that has to be up to date before another: in the same region, or in this one."""

    target: str
    region: str | None = None

    def __str__(self) -> str:
        return f"{self.target}@{self.region}" if self.region else self.target


class Target(Struct, frozen=True):
    """One thing that is deployed. Only a group has `members`. Times are in seconds."""

    name: str
    kind: str
    settings: Any
    action: str
    estimate_s: int
    needs: tuple[Need, ...] = ()
    members: tuple[str, ...] = ()
    deadline_s: int = 3600


class ImageSource(Struct, frozen=True):
    """What an image is built from: its build context and Dockerfile, relative to the repository's
    root, the stage (None: the last), and the build arguments.
    """

    context: str
    dockerfile: str
    stage: str | None = None
    args: Mapping[str, str] = {}


class Inputs(Struct, frozen=True):
    """What a target is built from, whatever the rules say. All paths are relative to the
    repository's root.

    A change of one of its `files`, such as its Dockerfile or template, makes it due. Its build
    takes everything in `folders`, and of `images` what the Dockerfile copies. `everything`: it may
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
    """A path that `doctor` must not warn about, and why."""

    path: str
    reason: str


class Secret(Struct, frozen=True):
    """Where a secret value comes from: an environment variable, a parameter of SSM, or a secret of
    Secrets Manager, where `key` selects one value of a JSON object. The names may contain
    variables: `uses`.
    """

    name: str
    env: str | None = None
    ssm: str | None = None
    secret: str | None = None
    key: str | None = None
    uses: frozenset[str] = frozenset()


class Load(Struct, frozen=True):
    """A small load with one check's request. It is reported as worse if a figure exceeds `worse`
    times that of the last good run. `errors` is the share of failed requests that is still good.
    """

    users: int
    seconds: int
    worse: float
    errors: float


class CheckTypeName(StrEnum):
    """What a check asks. The name is the key that makes a table of rules.toml a check of that type,
    and the module in toolkit/checks.
    """

    HTTP = "http"
    WEBSOCKET = "websocket"
    TCP = "tcp"
    TLS = "tls"
    DNS = "dns"
    AWS = "aws"
    COMMAND = "command"


class FileLine(Struct, frozen=True):
    """A line of a file; lines count from 1."""

    file: str = ""
    line: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Check(Struct, frozen=True):
    """One thing that `smoke-test` asks the live system. `check_type` says how; `settings` is the
    struct of that check type, its `{names}` not filled.

    `needs` are checks that have to pass first, unless it is `always`: then they only come first.
    `captures` are the names that it gives values to, `uses` those in its settings. A check that is
    `based` is made at each of an environment's `urls`. `timeout_s` is for one try, `retry_s` how
    long it is repeated.
    """

    name: str
    check_type: CheckTypeName
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
    where: FileLine = FileLine()


class Checks(Struct, frozen=True):
    """All checks of a rules.toml and the files that it includes, and the secrets that they use, by
    name.
    """

    checks: Mapping[str, Check] = {}
    secrets: Mapping[str, Secret] = {}


class JudgeEffect(StrEnum):
    """What follows from a difference between the judges here and at the trusted base: see
    JudgeDifference.
    """

    TOLD = "told"
    DUE = "due"
    CONSENT = "consent"


class JudgeDifference(Struct, frozen=True):
    """A key of rules.toml that judges deploys and differs from the trusted base.

    `what` is the key. `here` and `trusted` are both values in words, None if there is none; both
    are None if they differ but are too long to show. `environment` is the one that it is about
    (None: any). It is always reported. `due`: every target counts as due as well. `consent`: the
    same, and nothing is changed before somebody agrees, because no trusted value says where to, or
    the value here means another place.
    """

    what: str
    here: str | None
    trusted: str | None
    effect: JudgeEffect
    environment: str | None = None


class Trust(Struct, frozen=True):
    """Where the judges of some rules come from.

    `ref` and `commit` name the trusted base; both are empty if rules.toml itself is trusted: there
    is no repository, or the file is outside of it. `allowed`: somebody lets this rules.toml decide
    in spite of the differences. `checks` are those of the trusted base, if the files here have
    different ones.
    """

    ref: str = ""
    commit: str = ""
    differences: tuple[JudgeDifference, ...] = ()
    allowed: bool = False
    checks: "Checks | None" = None

    def about(self, environment: str | None) -> tuple[JudgeDifference, ...]:
        """The differences that concern an environment."""
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


class UnmatchedPolicy(StrEnum):
    """What `unmatched` says of a path that no rule matches, unless it names a target."""

    WARN = "warn"
    FAIL = "fail"


class Rules(Struct, frozen=True):
    """All of one rules.toml. `text` is its source, so that the line of a pattern can be found
    without parsing it again. `trust` says where its judges come from, once that has been checked
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

    @property
    def fallback(self) -> str | None:
        """The target that a path calls for that no rule matches, if `unmatched` names one."""
        return None if self.unmatched in tuple(UnmatchedPolicy) else self.unmatched


class BaseKind(StrEnum):
    """What a diff compares with: a commit (REF, RANGE), nothing where paths are named (PATHS) or
    there is no upstream (NONE), or for each target what is recorded (LAST) or runs (LIVE).
    """

    REF = "ref"
    RANGE = "range"
    PATHS = "paths"
    LAST = "last"
    LIVE = "live"
    NONE = "none"


class BaseChoice(StrEnum):
    """How the point that a diff compares with was chosen."""

    ASKED = "as asked"
    MERGE_BASE = "merge base of the two, as asked"
    UPSTREAM = "upstream merge base"
    LIVE = "what is live"
    PATHS_FROM = "--paths-from"
    LAST_RECORDED = "last recorded deploy"
    RECORDED = "recorded"
    NOT_RECORDED = "nothing is recorded as deployed"
    NOTHING = "no deploy is recorded, and there is no upstream"


class Base(Struct, frozen=True):
    """The point that a diff compares with.

    `commits` has more than one entry if history has several best merge bases: what differs from any
    of them counts. It also has several for `last` and `live`, where `each` says which of them a
    target was compared with (none: its files are as deployed, or nothing is known of it).
    """

    kind: BaseKind
    name: str | None
    commits: tuple[str, ...]
    chosen: BaseChoice
    each: Mapping[str, tuple[str, ...]] = {}


class Head(Struct, frozen=True):
    """What would be deployed. `dirty` is None if the working tree was not checked."""

    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None


class ReasonOrigin(StrEnum):
    """Why something is called for: a pattern of a rule matches a path, no rule does, or what
    `rule` says in words.
    """

    PATTERN = "pattern"
    UNMATCHED = "unmatched"
    WORDS = "words"


class Reason(Struct, frozen=True, gc=False):
    """Why a target (or a check) is called for: a path, and the pattern of a rule, with its line in
    rules.toml. Without a path, `rule` is the reason in words, and `short` the same without the
    target's name.
    """

    path: str
    rule: Advice
    pattern: str
    line: int | None
    origin: ReasonOrigin = ReasonOrigin.PATTERN
    short: Advice = ""


class MatchVerdict(StrEnum):
    """How the rules judge a change. RULES: it is one of rules.toml itself."""

    MATCHED = "matched"
    IGNORED = "ignored"
    UNMATCHED = "unmatched"
    RULES = "rules"


class ChangeMatch(Struct, frozen=True, gc=False):
    """How the rules judge one change."""

    change: Change
    rules: tuple[str, ...]
    targets: tuple[str, ...]
    verdict: MatchVerdict


class Impact(Struct, frozen=True):
    """The reasons for each target and each check, and how each change was judged. `removed` are
    targets that only the old rules name.
    """

    touched: tuple[ChangeMatch, ...]
    targets: Mapping[str, tuple[Reason, ...]]
    checks: Mapping[str, tuple[Reason, ...]]
    removed: tuple[str, ...] = ()

    @property
    def unmatched(self) -> list[str]:
        """The paths that no rule matches and `ignore` does not cover."""
        return self._judged(MatchVerdict.UNMATCHED)

    @property
    def ignored(self) -> list[str]:
        """The paths that `ignore` covers."""
        return self._judged(MatchVerdict.IGNORED)

    def _judged(self, verdict: MatchVerdict) -> list[str]:
        return [match.change.path for match in self.touched if match.verdict is verdict]


class Step(Struct, frozen=True):
    """One action on one target, with its reasons in words. `needs` names targets of other steps;
    times are in seconds.

    `command` is None if only a person can do it.
    """

    target: str
    action: str
    command: NextCommand | None
    needs: tuple[str, ...]
    estimate_s: int
    because: tuple[Advice, ...]


class Plan(Struct, frozen=True):
    """The smallest set of steps that covers the impact, in an order that respects `needs`.
    Estimates are critical paths, in seconds.

    `by_hand` are the targets in it, including those inside groups, that only a person can deploy.
    `commands` are what to run, each only if the one before went well; none where there are steps
    and a person has to do all of them.
    """

    steps: tuple[Step, ...]
    by_hand: tuple[str, ...]
    checks: tuple[str, ...]
    estimate_s: int
    full_estimate_s: int
    commands: tuple[NextCommand, ...]


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

    `lost` are the live commits that a deploy would remove: they touch the target's inputs, and
    HEAD's history does not have their content. `fetch` is what to do to know more.
    """

    direction: Direction
    live: str
    lost: tuple[str, ...] = ()
    fetch: Advice = ""

    @property
    def backwards(self) -> bool:
        """Whether a deploy needs consent of its own: it removes live commits, or that cannot be
        ruled out.
        """
        return bool(self.lost) or self.direction is Direction.UNKNOWN


class TargetState(StrEnum):
    """How a target is against the base. An error never reads as CLEAN."""

    DUE = "due"
    CLEAN = "clean"
    UNKNOWN = "unknown"


class DiffResult(Struct, frozen=True):
    """The result of `toolkit diff`. `states` are those of every target; `refusal` says why nothing
    is recommended.

    `same` is what commands have to repeat to use the same rules and environment, `covered` lists
    for each group everything that it covers, and `uncommitted` are the paths whose content is not
    as committed. `instructions` are those of all targets that only a person can deploy, due or not.

    `unrecorded` are the targets without a recorded deploy: they are in the plan, since nothing is
    known of them. `first` is the plan without those that no change since the default base calls
    for; `reasons` says why it holds what it holds. `standings` says for each due target how HEAD
    stands to what is live, unless it is simply ahead. `failed_before` names for due targets the run
    that deployed just that and did not end well. `told_first` is shown before anything else.
    """

    base: Base
    head: Head
    environment: str | None
    rules: Rules
    impact: Impact
    plan: Plan
    states: Mapping[str, TargetState]
    refusal: str | None = None
    same: SameOptions = SameOptions()
    covered: Mapping[str, frozenset[str]] = {}
    uncommitted: tuple[str, ...] = ()
    notes: tuple[Advice, ...] = ()
    unrecorded: tuple[str, ...] = ()
    live_not_asked: tuple[str, ...] = ()
    """Of these, the targets of which `diff live` asks nothing: a program would have to say it."""
    first: Plan | None = None
    reasons: Mapping[str, tuple[Reason, ...]] = {}
    standings: Mapping[str, Standing] = {}
    failed_before: Mapping[str, str] = {}
    told_first: tuple[str, ...] = ()
    instructions: Mapping[str, str | None] = {}


class RuleVerdict(Struct, frozen=True):
    """How one rule judges a path: the pattern that decides (None: none matches), its line, and why
    in words.
    """

    rule: str
    hit: bool
    pattern: str | None
    line: int | None
    why: str
    deploy: tuple[str, ...]
    run: tuple[str, ...]


class Explained(Struct, frozen=True):
    """Everything about one path. `dropped` are candidates that cover a narrower one, with that one;
    `users` are the targets that are built from it, whatever the rules say.
    """

    path: str
    ignored: Reason | None
    verdicts: tuple[RuleVerdict, ...]
    targets: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...]
    fallback: str | None
    users: tuple[str, ...] = ()


class LintCode(StrEnum):
    """What `rules check` can find."""

    DEAD_RULE = "dead-rule"
    DEAD_PATTERN = "dead-pattern"
    DEAD_EXCLUSION = "dead-exclusion"
    SHADOWED_RULE = "shadowed-rule"
    IGNORED_RULE = "ignored-rule"
    OVERLAP = "overlap"
    GENERATED = "generated"


class LintFinding(Struct, frozen=True):
    """One thing worth checking."""

    code: LintCode
    line: int | None
    message: str
    hint: str = ""


class Lint(Struct, frozen=True):
    """The findings, and the number of files that no rule owns by folder, largest first."""

    findings: tuple[LintFinding, ...]
    files: int
    unowned: tuple[tuple[str, int], ...]


class Tally(Struct, frozen=True):
    """What today's rules would have done over a stretch of history. Times are in seconds, for the
    commits that call for a deploy.

    `ends` are the ids of the newest and the oldest commit; `targets` holds for each target how many
    commits deploy it and how long that takes, `unmatched` the folders with the most unmatched
    changes.
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
    """What one commit would have deployed and run, and its paths that no rule matches."""

    commit: str
    targets: tuple[str, ...]
    run: tuple[str, ...]
    unmatched: tuple[str, ...]


class Commit(Struct, frozen=True):
    """A commit: who, when, what."""

    id: str
    author: str
    when: datetime
    summary: str


AWS = "aws"
"""The provider whose credentials, account and region toolkit has to know."""


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


IMAGE_NAMED = "image "
"""What the fingerprint of an image begins with of which only the name is known."""


def named_image(name: str) -> str:
    """The fingerprint of an image of which only the name is known."""
    return f"{IMAGE_NAMED}{name}"


class Version(Struct, frozen=True):
    """What is deployed. `name` is the commit's id, with `-dirty-<digest>` if the files differ from
    it. It is also the image's tag.

    `fingerprint` is the digest of every file that can make the target due: its rules' files and its
    inputs. It is the same in every environment, and at every commit with that content. `settings`
    is the digest of everything else that decides how it is deployed, in this environment. Both are
    empty if unknown. Of an image that was named, and not built from files, the fingerprint is only
    `image NAME`: so it stands in journals and records.
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

    @property
    def has_only_a_name(self) -> bool:
        """Whether nothing is known of what is in it, since it is an image that was named."""
        return self.fingerprint.startswith(IMAGE_NAMED)


class JobAction(StrEnum):
    """What a step does to its target. BUILD: it only makes what other steps deploy, and changes
    nothing that runs.
    """

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    BUILD = "build"


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

    @property
    def is_build(self) -> bool:
        """Whether it only makes what other steps deploy."""
        return self.action == JobAction.BUILD


class DeployedState(Struct, frozen=True):
    """What is live, as digests that can be computed again from the provider's answers. This, and
    not the version's name, says whether something was changed since.

    `definition` is the digest of how it runs (an ECS task definition without names, revisions and
    our tags), `template` that of a stack's template and parameters, `artifacts` name -> digest of
    what was built. `body` is the template itself and `parameters` name -> value (None: the previous
    value, which cannot be read back), so that they can be restored. Anything empty is unknown.
    """

    definition: str = ""
    template: str = ""
    artifacts: Mapping[str, str] = {}
    body: str = ""
    parameters: Mapping[str, str | None] = {}

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
    doubt: str = ""
    notes: tuple[str, ...] = ()


class PlannedCall(Struct, frozen=True):
    """One call that changes something, with the parameters that matter: what --dry-run prints.

    `once`: if several steps of a run need the very same call, one makes it for all.
    """

    name: str
    what: Mapping[str, str] = {}
    once: bool = False


class ArtifactType(StrEnum):
    """What can be built."""

    IMAGE = "image"


class Artifact(Struct, frozen=True):
    """What has to be built before a target can be deployed. `name` is for people: `2cba5f8`.

    `key` is a digest of all that decides its content, but not of where it goes: several targets,
    regions or environments with one key share one build. `calls` are those that its build makes.
    """

    type: ArtifactType
    name: str
    key: str
    calls: tuple[PlannedCall, ...] = ()


class Preview(Struct, frozen=True):
    """What a step would do: the calls in order, the warnings, and whether nothing would change.
    `plan` are the lines in which the target's own program says what it would change, and `same` is
    what the commands in warnings have to repeat. `artifact` is what has to be built first; its
    calls are among `calls`.
    """

    calls: tuple[PlannedCall, ...]
    warnings: tuple[Advice, ...] = ()
    unchanged: bool = False
    live: LiveVersion | None = None
    plan: tuple[str, ...] = ()
    same: SameOptions = SameOptions()
    artifact: Artifact | None = None


class StepState(StrEnum):
    """How far the cloud is with a step. ABSENT: nothing of it is there."""

    ABSENT = "absent"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Observation(Struct, frozen=True):
    """What the cloud says about a step.

    `verdict` says more if it is done or failed. `phase` says in a few words what is going on,
    `cause` in one line the first real reason of a failure, `next` the command that fixes it; `log`
    are the last lines of what failed. `doomed`: it cannot succeed any more although the cloud still
    tries. `sure`: absent is final, there is no need to look again later. `lines` are new since the
    last observation; `mark` is what the next one needs to know of this one. `untouched`: what is
    unhealthy was so before, whatever was deployed.
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


class Finding(Struct, frozen=True):
    """One thing that was checked: what it is, its status, and that in a few words.

    `since` is ISO 8601 in UTC. Anything not `ok` has one `cause` in a line, and the `next` command,
    or thing to do, that fixes it. `unasked`: AWS could not be asked, for lack of credentials, a
    region, a permission or an answer. `refused`: our own settings keep us from asking, so that
    asking again cannot help. `version` is what an address reports to be, if it can be compared.
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


class Mismatch(Struct, frozen=True):
    """One expectation that is not met: what it is about, and both sides in a line each."""

    what: str
    wanted: str
    found: str


class Result(Struct, frozen=True):
    """How a check ended. `at` is the base address or the region that it was made
    at, if there are several.

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
    same: SameOptions = SameOptions()
    """What its next command has to repeat."""


CHECK, CREDENTIALS = "check", "credentials"
"""The kinds of health reports besides those of targets, which have their target's kind."""


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

    @property
    def status(self) -> HealthStatus:
        """The worst status of its findings. Without any finding it is UNKNOWN, never OK."""
        return HealthStatus.worst(finding.status for finding in self.findings)


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


class RecordOrigin(StrEnum):
    """Where a record comes from: a deploy, a person's word, or what runs, which an earlier version
    of toolkit had recorded.
    """

    DEPLOYED = "deploy"
    SET = "set"
    OBSERVED = "seen"


class Resource(Struct, frozen=True):
    """One thing that a target's deploy changes: what it is ("stack"), its name, and the part of it
    (None: all of it).
    """

    what: str
    name: str
    part: str | None = None

    def meets(self, second: "Resource") -> bool:
        """Whether both are the same thing, or one is a part of the other."""
        same_thing = (self.what, self.name) == (second.what, second.name)
        return same_thing and (None in (self.part, second.part) or self.part == second.part)


class Outcome(Struct, frozen=True):
    """How a step ended, as far as this process knows. `open`: the journal leaves it to `resume`;
    `took_s` is in seconds.

    `untouched`: what is unhealthy ran like that before this run, so there is nothing to undo.
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


class RunResult(Struct, frozen=True):
    """How a run ended. `left` are targets that it could not deploy at all, each with the reason.
    `same` is for each step what its next commands have to repeat.
    """

    run: str
    status: RunStatus
    exit: int
    outcomes: tuple[Outcome, ...]
    not_started: tuple[str, ...] = ()
    took_s: float = 0.0
    left: tuple[tuple[str, str], ...] = ()
    same: Mapping[str, SameOptions] = {}
