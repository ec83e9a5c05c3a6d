"""Every error that a person can meet, and the exit code that goes with it.

ToolkitError
├── UsageError          invalid arguments
├── RulesError          rules.toml is wrong (one or more problems, each with its line)
│   └── NoRules         there is no rules.toml
├── GitError            git refused
│   ├── GitMissing      there is no usable git program
│   ├── NotARepository
│   ├── NoWorkTree      the command needs files, this is a bare repository
│   ├── NoCommits
│   │   └── OtherBranch
│   ├── HeadMoved       somebody commits or checks out at this moment
│   ├── NotOurs         the repository belongs to somebody else
│   ├── Unreadable      permission denied
│   ├── GitLocked       another git is running
│   ├── GitConfigProblem
│   ├── GitTooOld
│   ├── DamagedRepository
│   ├── FilesElsewhere  core.worktree leads away
│   ├── Quarantined     pushed, and not accepted yet
│   ├── UnknownRef
│   │   └── UnknownBase  but nearly a word that `diff` knows
│   ├── MissingCommit   the commit is not in this clone
│   └── NoTrustedBase   where the judges come from cannot be read
├── FileProblem         a file cannot be read or written
│   ├── FileIsThere     and is not to be replaced
│   └── NoTemplate
├── Refused             it could be done, but not like this
│   ├── NotAgreed       not confirmed
│   │   └── Declined    a person answered no
│   ├── TagTaken        another image has the tag, and tags are not moved
│   └── StalePlan       what the plan was made of has changed
├── Stopped             the run was asked to stop
├── Preempted           by another run, which undoes it
├── ProgramFailed       another program (docker, cdk) ended badly
├── ProbeError          a probe of a live system got no answer that can be used
│   ├── CertificateProblem  a certificate is not accepted
│   ├── NoWay           this machine has no way out: nothing is known of the other side
│   └── ProbeRefused    it may not be made: an address that is not allowed
├── RegistryError       an image registry does not answer, or not well
├── LockHeld            someone else is deploying the target
├── LockLost            and we are no longer allowed to be
├── StateDamaged        a journal or a record cannot be trusted
│   └── AnotherProject  it belongs to one that shares the store
├── Superseded          somebody else has deployed something else since
└── CloudError          AWS answered with an error
    ├── Missing         what rules.toml names is not there
    │   ├── NoRepository
    │   └── NoImage
    ├── Throttled       too many calls
    ├── Unreachable     no answer: network, endpoint, a time-out
    │   ├── Unwell      AWS is having problems
    │   └── Unexpected  an answer that says nothing: of another form than AWS's
    └── CredentialsProblem
        ├── NoCredentials
        ├── SourceProblem   what gives the credentials gives none
        │   └── NeedsCode   it asks for an MFA code, and nobody is there
        ├── BadConfig   AWS's own settings on this machine are wrong
        ├── NoRegion    nobody said where
        ├── Expired ├── WrongClock
        ├── NotAllowed  the IAM policy lacks an action
        └── WrongAccount

A class's docstring is the template of its message, `hint` that of what to do next. The facts that
fill them come from outside and are quoted when they are shown (show/), never here.
"""

from enum import StrEnum
from typing import ClassVar

from toolkit.advice import Advice, NextCommand, ShellCommand, advice_parts, changed_advice
from toolkit.exits import Exit


class ErrorClass(StrEnum):
    """The kind of a problem. It decides between failed and unknown, and the exit code."""

    REFUSED = "refused"
    """toolkit itself, git or a policy refuses."""
    INVALID = "invalid"
    """Something is wrong or missing: the command line, rules.toml, a name, a probe's answer.
    """
    THROTTLED = "throttled"
    """Too many calls: the question was not answered."""
    UNREACHABLE = "unreachable"
    """No answer: the network, an endpoint, a time-out, a problem on the other side."""
    CREDENTIALS = "credentials"
    """The call is not allowed: no credentials, expired ones, another account's, a missing
    permission.
    """
    UNEXPECTED = "unexpected"
    """An unexpected answer, or another program that failed."""


UNANSWERED = frozenset((ErrorClass.THROTTLED, ErrorClass.UNREACHABLE, ErrorClass.CREDENTIALS))
"""After an error of these classes nobody knows how things are."""

EXITS = {
    ErrorClass.REFUSED: Exit.USAGE,
    ErrorClass.INVALID: Exit.USAGE,
    ErrorClass.THROTTLED: Exit.FAILED,
    ErrorClass.UNREACHABLE: Exit.CREDENTIALS,
    ErrorClass.CREDENTIALS: Exit.CREDENTIALS,
    ErrorClass.UNEXPECTED: Exit.FAILED,
}
"""The exit code of a command that ends with an error of a class."""


class ToolkitError(Exception):
    """An expected problem."""

    code = "error"
    error_class = ErrorClass.INVALID
    own_exit: Exit | None = None
    """The exit code of the few errors that say what happened to a run (locked, lost, stopped),
    whatever their class.
    """
    hint: ClassVar[Advice] = ""

    def __init__(self, next: Advice = "", **facts: str) -> None:
        super().__init__(facts)
        self.facts = facts
        self.next = next or changed_advice(self.hint, self._filled)
        """What to do about it, empty if there is nothing."""
        self.aws_options: tuple[str, ...] = ()
        """The options with which the AWS CLI acts where it came up, as far as that is known."""

    @property
    def exit(self) -> Exit:
        """The exit code of a command that ends with this error."""
        return EXITS[self.error_class] if self.own_exit is None else self.own_exit

    @property
    def is_unanswered(self) -> bool:
        """Whether there was no answer: a call may or may not have had its effect."""
        return self.error_class in UNANSWERED

    @property
    def is_observed(self) -> bool:
        """Whether it describes the state of what was asked about: missing, or not as it should be.
        After any other error that state is unknown.
        """
        return self.error_class is ErrorClass.INVALID

    @property
    def in_words(self) -> Advice:
        """The message, and what to do about it."""
        if not self.next:
            return str(self)
        return (f"{self};", *advice_parts(self.next))

    @property
    def template(self) -> str:
        """The message, with the names of facts in braces."""
        return " ".join((type(self).__doc__ or "").split())

    def _filled(self, template: str) -> str:
        return template.format(**self.facts)

    def __str__(self) -> str:
        return self._filled(self.template)


class UsageError(ToolkitError):
    """{problem}"""

    code = "usage"

    def __init__(self, problem: str, next: Advice = "") -> None:
        super().__init__(next, problem=problem)


class Problem:
    """One problem in rules.toml, or in a `file` that it includes: where, which key, what was
    expected.
    """

    __slots__ = ("file", "key", "line", "message")

    def __init__(self, line: int | None, key: str, message: str, file: str = "") -> None:
        self.line, self.key, self.message, self.file = line, key, message, file

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class RulesError(ToolkitError):
    """{file} cannot be used"""

    code = "rules"
    hint = ("fix it, then run", NextCommand("rules check"))

    def __init__(self, file: str, problems: list[Problem]) -> None:
        super().__init__(file=file)
        self.file, self.problems = file, problems

    def __str__(self) -> str:
        return "\n".join(
            f"{p.file or self.file}{f':{p.line}' if p.line else ''}: {p}" for p in self.problems
        )


class NoRules(ToolkitError):
    """there is no rules.toml in {folder} or its parents"""

    code = "no-rules"
    hint = (
        "draft one with",
        NextCommand("init"),
        ", or choose one with --rules FILE",
    )


class GitError(ToolkitError):
    """git {verb} failed: {reason}"""

    code = "git"
    error_class = ErrorClass.REFUSED


class GitMissing(GitError):
    """there is no git program on PATH"""

    code = "git-missing"
    hint = "install git 2.31 or later"


class NotARepository(GitError):
    """{folder} is not in a git repository"""

    code = "not-a-repository"
    hint = "run this inside one, or choose one with -C DIR"


class NoWorkTree(GitError):
    """{folder} has no working tree"""

    code = "no-work-tree"
    hint = (
        "run it in a checkout, or compare two commits:",
        NextCommand("diff", ("A..B",), ("--rules", "FILE")),
    )


class NoCommits(GitError):
    """the repository {folder} has no commits yet"""

    code = "no-commits"
    hint = ("commit something first:", ShellCommand("git commit"))


class OtherBranch(NoCommits):
    """HEAD of {folder} is {branch}, which has no commits yet"""

    hint = (
        "commit to it, or switch to a branch that has some:",
        ShellCommand("git switch", ("{other}",)),
    )


class HeadMoved(GitError):
    """HEAD was {old} when this began, and is {new} now"""

    code = "head-moved"
    hint = "run it again"


class NotOurs(GitError):
    """git does not read {folder}: it belongs to another user (dubious ownership)"""

    code = "not-ours"
    hint = (
        "if you trust it:",
        ShellCommand("git config --global --add safe.directory", ("{folder}",)),
    )


class Unreadable(GitError):
    """git cannot read {folder}: permission denied"""

    code = "unreadable"
    hint = (
        "make it yours:",
        ShellCommand('sudo chown -R "$(id -un)"', ("{path}",)),
    )


class GitLocked(GitError):
    """another git process is running, or was killed: {lock} exists"""

    code = "git-locked"
    hint = (
        "wait for it; if no git is running any more:",
        ShellCommand("rm", ("{lock}",)),
    )


class GitConfigProblem(GitError):
    """git's configuration is invalid: {reason}"""

    code = "git-config"
    hint = "fix that line in an editor, then run it again"


class GitTooOld(GitError):
    """this git is too old for the repository: {reason}"""

    code = "git-old"
    hint = "install a newer git"


class DamagedRepository(GitError):
    """the repository {folder} is damaged: {reason}"""

    code = "damaged"


class FilesElsewhere(GitError):
    """{folder} is not in its repository's working tree: git's core.worktree says {root}"""

    code = "elsewhere"
    hint = (
        "work there, or remove that setting:",
        ShellCommand("git -C", ("{folder}", "config", "--unset", "core.worktree")),
    )


class Quarantined(GitError):
    """{ref} is being pushed: until the pre-receive hook ends, only the hook's own git can read
    it
    """

    code = "quarantined"
    hint = "run toolkit in a post-receive hook, or in CI after the push"


class UnknownRef(GitError):
    """{ref} is not a commit of this repository"""

    code = "unknown-ref"
    hint: ClassVar[Advice] = (
        "see",
        ShellCommand("git branch --all"),
        "and",
        ShellCommand("git tag"),
    )


class UnknownBase(UnknownRef):
    """{ref} is not a commit of this repository"""

    hint = ("did you mean", NextCommand("diff", ("{near}",)), "?")


class MissingCommit(GitError):
    """{ref} is not in this clone"""

    code = "missing-commit"

    def __init__(self, ref: str, fetch: ShellCommand, **facts: str) -> None:
        super().__init__(("get it with:", fetch), ref=ref, **facts)


class NoTrustedBase(GitError):
    """{problem}"""

    code = "trusted-base"

    def __init__(self, problem: str, next: Advice) -> None:
        super().__init__(next, problem=problem)


class FileProblem(ToolkitError):
    """{path}: {reason}"""

    code = "file"
    error_class = ErrorClass.REFUSED


class FileIsThere(FileProblem):
    """{path} exists already"""

    hint = "add --force to replace it, or choose another file with --out"


class NoTemplate(FileProblem):
    """{path}: {reason}"""

    hint = (
        "correct `template` in rules.toml, or look at it with:",
        ShellCommand("ls -l", ("{path}",)),
    )


class Refused(ToolkitError):
    """{problem}"""

    code = "refused"
    error_class = ErrorClass.REFUSED

    def __init__(self, problem: str, next: Advice = "") -> None:
        super().__init__(next, problem=problem)


class NotAgreed(Refused):
    """{problem}"""

    code = "not-agreed"


class Declined(NotAgreed):
    """Cancelled; nothing was changed."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("")


class TagTaken(Refused):
    """{problem}"""

    code = "tag-taken"


class StalePlan(Refused):
    """{problem}"""

    code = "stale-plan"


class Superseded(ToolkitError):
    """someone else has deployed {what} since"""

    code = "superseded"
    error_class = ErrorClass.UNEXPECTED
    hint = ("see what runs:", NextCommand("health", ("{target}",)))


class Stopped(ToolkitError):
    """the run was asked to stop"""

    code = "stopped"
    error_class = ErrorClass.REFUSED
    own_exit = Exit.INTERRUPTED
    hint = ("continue with", NextCommand("resume"))


class Preempted(ToolkitError):
    """{who} asked this run to stop: {command}"""

    code = "pre-empted"
    error_class = ErrorClass.REFUSED
    own_exit = Exit.IN_DOUBT
    hint = ("see its result:", NextCommand("show", ("{run}",)))


class ProgramFailed(ToolkitError):
    """{program} failed: {reason}"""

    code = "program"
    error_class = ErrorClass.UNEXPECTED
    output: tuple[str, ...] = ()
    """The last lines that it wrote, as far as they were kept. They may hold secrets."""


class ProbeError(ToolkitError):
    """{reason}"""

    code = "probe"
    error_class = ErrorClass.INVALID

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)


class CertificateProblem(ProbeError):
    """{reason}"""

    hint = "replace the certificate where that name is served"

    def __init__(self, reason: str, next: Advice = "") -> None:
        ToolkitError.__init__(self, next, reason=reason)


class NoWay(ProbeError):
    """{reason}"""

    code = "no-way"
    error_class = ErrorClass.UNREACHABLE
    hint = "check this machine's network, then try again"


class ProbeRefused(ProbeError):
    """{reason}"""

    code = "probe-refused"
    error_class = ErrorClass.REFUSED

    def __init__(self, reason: str, next: Advice = "") -> None:
        ToolkitError.__init__(self, next, reason=reason)


class RegistryError(ToolkitError):
    """the image registry {host} cannot {call}: {reason}"""

    code = "registry"
    error_class = ErrorClass.UNEXPECTED
    hint = (
        "check the network and the credentials, then run it again; what was sent already is "
        "not sent twice"
    )


class LockHeld(ToolkitError):
    """{target} is locked by {owner} since {since}: {command}"""

    code = "locked"
    error_class = ErrorClass.REFUSED
    own_exit = Exit.LOCKED
    hint = (
        "wait for it with --lock-timeout 15m, or see",
        NextCommand("lock show", ("{target}",)),
    )


class LockLost(ToolkitError):
    """this run has lost the lock of {target}: {reason}"""

    code = "lock-lost"
    error_class = ErrorClass.REFUSED
    own_exit = Exit.IN_DOUBT
    hint = ("nothing new was started; run", NextCommand("resume"))


class StateDamaged(ToolkitError):
    """{path}: {reason}"""

    code = "state"
    hint = ("it was left unchanged; see", NextCommand("history"))


class AnotherProject(StateDamaged):
    """{path}: the record of {target} belongs to {project}"""

    code = "another-project"
    hint = (
        "give each project its own prefix in `store` in rules.toml; if only its name is new:",
        NextCommand("record repair", ("{target}",)),
    )


class CloudError(ToolkitError):
    """AWS refused {call}: {reason}"""

    code = "aws"
    error_class = ErrorClass.UNEXPECTED
    hint: ClassVar[Advice] = (
        "fix what AWS reports and run it again; finished steps are not repeated"
    )

    aws_code = ""
    """AWS's own word for it, such as `ValidationError`."""


class Missing(CloudError):
    """there is no {what} {name}{where}"""

    code = "missing"
    error_class = ErrorClass.INVALID
    hint: ClassVar[Advice] = "correct its name in rules.toml, or create it first"


class NoRepository(Missing):
    """there is no ECR repository {name}{where}"""


class NoImage(Missing):
    """there is no image {name} in repository {repository}"""


class Throttled(CloudError):
    """AWS is throttling {call}"""

    code = "throttled"
    error_class = ErrorClass.THROTTLED
    hint = "try again in a minute"


class Unreachable(CloudError):
    """no answer from AWS for {call}: {reason}"""

    code = "unreachable"
    error_class = ErrorClass.UNREACHABLE
    hint = "check the network, and AWS_ENDPOINT_URL if it is set"


class Unwell(Unreachable):
    """AWS is having problems: {call} returned {reason}"""

    code = "unwell"
    hint = "try again in a few minutes"


class Unexpected(Unreachable):
    """unexpected answer to {call}: {reason}"""

    code = "unexpected-answer"
    hint = "run it again; if it happens again, check what answers there (AWS_ENDPOINT_URL, a proxy)"


class CredentialsProblem(CloudError):
    """AWS does not accept the credentials for {call}: {reason}"""

    code = "credentials"
    error_class = ErrorClass.CREDENTIALS
    hint: ClassVar[Advice] = ("check with:", ShellCommand("aws sts get-caller-identity"))


class NoCredentials(CredentialsProblem):
    """there are no AWS credentials{profile}"""

    code = "no-credentials"

    hint = (
        "sign in:",
        ShellCommand("aws sso login{option}"),
        "; or try it without an account:",
        NextCommand("sandbox up"),
    )


class SourceProblem(CredentialsProblem):
    """no AWS credentials{profile} ({reason})"""

    code = "credentials-source"


class NeedsCode(SourceProblem):
    """{whose} needs an MFA code, and {why}"""

    code = "needs-mfa"


class BadConfig(CredentialsProblem):
    """the AWS settings cannot be used: {reason}"""

    code = "aws-config"
    hint = ("check the settings:", ShellCommand("aws configure {listing}"))

    def __init__(self, reason: str, listing: str = "list") -> None:
        super().__init__(reason=reason, listing=listing)


class NoRegion(CredentialsProblem):
    """{reason}"""

    code = "no-region"
    hint = "set `regions` of the environment in rules.toml, --region or AWS_REGION"

    def __init__(self, name: str = "") -> None:
        super().__init__(
            reason=f"{name!r} is not a valid AWS region" if name else "no AWS region is set"
        )


class WrongClock(CredentialsProblem):
    """the clock of this machine is {off}: AWS does not accept the time of {call}"""

    code = "clock"
    hint = ("set it, for example with:", ShellCommand("timedatectl set-ntp true"))


class Expired(CredentialsProblem):
    """the AWS credentials{profile} have expired"""

    code = "expired"

    def __init__(self, profile: str = "", option: str = "", next: Advice = "") -> None:
        again = next or ("sign in again:", ShellCommand(f"aws sso login{option}"))
        self.renewal = again
        """How to get new ones, without what to do after that."""
        go_on = ("; then continue, with", NextCommand("resume"), "if a run was stopped")
        super().__init__((*advice_parts(again), *go_on), profile=profile, option=option)


class NotAllowed(CredentialsProblem):
    """these credentials are not allowed to call {action} on {resource}{denied}"""

    code = "not-allowed"
    hint = (
        "see what is needed:",
        NextCommand("permissions", options=("--json",)),
    )

    def __init__(self, action: str, resource: str, denied: str = "") -> None:
        super().__init__(action=action, resource=resource, denied=denied)


class WrongAccount(CredentialsProblem):
    """these credentials are for account {found}, but environment {environment} uses account
    {wanted}
    """

    code = "wrong-account"
    hint = "use another profile (--profile), or another environment (--env)"
