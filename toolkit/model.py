"""The nouns that the stages hand to each other (docs/architecture.md explains the words). Data
only.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from toolkit.advice import Advice, NextCommand, SameOptions

CHECKS = ("smoke-test", "health-check")
"""What a rule's `run` may ask for, the narrower first."""


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
    in a private network; `backwards` says whether removing live commits needs consent, `budget_s`
    how long a run may take, in seconds; 0: nobody said.
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
    budget_s: int = 0


class Need(Struct, frozen=True):
    """A target that has to be up to date before another: in the same region, or in this one."""

    target: str
    region: str | None = None

    def __str__(self) -> str:
        return f"{self.target}@{self.region}" if self.region else self.target


class Hooks(Struct, frozen=True):
    """Programs of the team, each as its words: they run on this machine before a target is
    deployed, and `env` names the variables that they get. None may take longer than `deadline_s`.
    """

    before: tuple[tuple[str, ...], ...] = ()
    env: tuple[str, ...] = ()
    deadline_s: int = 600


class InputSource(StrEnum):
    """Where an input outside git is: the Parameter Store, Secrets Manager, the environment."""

    SSM = "ssm"
    SECRET = "secret"  # noqa: S105 (the name of a source)
    ENV = "env"


class DeclaredInput(Struct, frozen=True):
    """Something outside git that a target is made of, or runs with, as rules.toml declares it."""

    source: InputSource
    name: str

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"


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
    hooks: Hooks = Hooks()
    declared_inputs: tuple[DeclaredInput, ...] = ()


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
    read any file, as a program does. `built` are folders that the build itself writes, or that a
    package manager fills from what a committed file says: what git ignores there is no input.
    """

    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    images: tuple[ImageSource, ...] = ()
    everything: bool = False
    built: tuple[str, ...] = ()


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
    long it is repeated. `files` are those that it names, and `contents` what they hold, so that it
    is judged with the rest of the check. It runs once for each of `rows`, if there are any; with
    `has_data` they are those of its last file.
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
    files: tuple[str, ...] = ()
    contents: Mapping[str, bytes] = {}
    rows: tuple[Mapping[str, Any], ...] = ()
    has_data: bool = False
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

    @property
    def contents(self) -> dict[str, bytes]:
        """What the files hold that checks name."""
        contents: dict[str, bytes] = {}
        for check in self.checks.values():
            contents |= check.contents
        return contents


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


class TemplatePolicy(StrEnum):
    """Whether the question after `diff` offers to compare templates, as `templates` says."""

    ASK = "ask"
    NEVER = "never"


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
    templates: TemplatePolicy = TemplatePolicy.ASK

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


class FileCounts(Struct, frozen=True):
    """What differs from the recorded deploys (`recorded`), and how many files from the default
    base, which counts for targets without a record: their impact is one.
    """

    recorded: tuple[ChangeMatch, ...]
    first: int


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
    """Of these, the targets of which `diff live` asks nothing: a program would have to say it, or
    toolkit does not deploy them.
    """
    first: Plan | None = None
    first_base: Base | None = None
    """The default base that `first` is about."""
    counts: FileCounts | None = None
    """Where some targets have a record, and others not."""
    reasons: Mapping[str, tuple[Reason, ...]] = {}
    standings: Mapping[str, Standing] = {}
    failed_before: Mapping[str, str] = {}
    told_first: tuple[str, ...] = ()
    instructions: Mapping[str, str | None] = {}


FEW_FILES = 4
"""More files than these are not few any more."""


class Counterfactual(Struct, frozen=True):
    """The plan without some of the changed files. `dropped` are the targets, groups written out,
    that would not be due then.
    """

    paths: tuple[str, ...]
    dropped: tuple[str, ...]
    plan: Plan


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
    EXPIRED_EVIDENCE = "expired-evidence"
    MISSED_INPUT = "missed-input"
    UNCOVERED = "uncovered"
    NOT_CHECKED = "not-checked"

    @property
    def is_error(self) -> bool:
        """Whether `rules check` fails for it, `--strict` or not."""
        return self in (LintCode.UNCOVERED, LintCode.NOT_CHECKED)


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


class ProjectRequest(Struct, frozen=True, kw_only=True):
    """Which project, environment and place a command is about."""

    folder: str
    rules: str | None = None
    environment: str | None = None
    profile: str | None = None
    region: str | None = None
    allowed: bool = False
    """Whether this rules.toml may decide by itself, whatever the trusted base says."""


class Commit(Struct, frozen=True):
    """A commit: who, when, what."""

    id: str
    author: str
    when: datetime
    summary: str


AWS = "aws"
"""The provider whose credentials, account and region toolkit has to know."""


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


class BuiltImage(Struct, frozen=True):
    """The image that a target builds: the repository that it is pushed to, and the settings of what
    a container of it has to pass before (None: nothing). Both as rules.toml has them.
    """

    repository: str
    test: Any


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
