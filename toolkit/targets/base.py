"""What a kind must offer. A kind is an instance of `Kind`; its settings are a struct, so that they
are checked when rules.toml is loaded.

A deploy of one target is four questions to its kind. `preview` (reads only) says what would be done
and refuses what can be known to fail. `apply` does it, up to the point where the cloud has taken
over. `observe` (reads only) says how that went, again and again, and after a crash from the
journal's facts alone. `abandon` stops what can no longer succeed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Protocol

from msgspec import Meta, Struct

from toolkit.advice import NextCommand
from toolkit.errors import Refused
from toolkit.formats import durations
from toolkit.model import AWS, BuiltImage, Inputs, Resource

if TYPE_CHECKING:  # what it takes to deploy is not loaded to read rules.toml
    from datetime import datetime

    from toolkit.operations import (
        Drift,
        Finding,
        Job,
        LiveVersion,
        LogLook,
        Observation,
        PlannedCall,
        Preview,
        Provision,
        Statement,
        TaskState,
        Uncovered,
    )
    from toolkit.ports.ports import Ports
    from toolkit.ports.program_runs import ProgramLog
    from toolkit.templates.model import StackComparison, SynthesizedStack
    from toolkit.templates.refinement import Synthesis, SynthesisSource

Text = Annotated[str, Meta(min_length=1)]
Duration = Annotated[str, Meta(pattern=durations.PATTERN, description='A time such as "1m30s".')]
Url = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s@]+$(?!\n)",
        description="An http or https address, without a user name.",
    ),
]
Variables = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\*?$(?!\n)")]
"""The name of a variable, or with a `*` behind it the beginning of several names."""
Folder = Annotated[
    str,
    Meta(
        min_length=1,
        pattern=r"^(?!/)(?!.*(?:^|/)\.\.(?:/|$))",
        description="A path from the repository's root.",
    ),
]


Role = Annotated[
    str, Meta(pattern=r"^[\w+=,.@/-]{1,576}$(?!\n)", description="The name of an IAM role.")
]


class KindSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of one kind; `kind`, `needs` and `estimate` are common to all and read apart."""


class KindOptions(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """The command-line options of one kind: a field for each, declared with `option`. Its default
    means that it was not given. They are written into the journal: no secrets.
    """


def option(
    help: str, metavar: str | None = None, *, consent: bool = False, rollback: bool = False
) -> Meta:
    """How a field of a kind's options is offered: `Annotated[bool, option("...")]` is a flag.

    A `consent` holds for the person and the run that it was given to: it is dropped where somebody
    resumes the run of a colleague. Every other option decides what is deployed, so that whoever
    resumes the run has to allow it by name. One with `rollback` is an option of `toolkit rollback`,
    too.
    """
    extra = {"metavar": metavar, "consent": consent, "rollback": rollback}
    return Meta(description=help, extra=extra)


def flag(field: str) -> str:
    """How the option of a field is written: `--no-build` for `no_build`."""
    return f"--{field.replace('_', '-')}"


class JudgedSettings(KindSettings, frozen=True, kw_only=True):
    """The settings of a kind that can be checked when it is live. They say how to check, never
    what is deployed.
    """

    alarms: Annotated[
        tuple[Text, ...],
        Meta(
            description="CloudWatch alarms for this target, in addition to those whose "
            "dimensions name it."
        ),
    ] = ()
    checks: Annotated[
        tuple[Text, ...],
        Meta(description="The checks, by name or tag, that have to pass after a deploy."),
    ] = ()
    settle: Annotated[
        Duration,
        Meta(
            description=(
                "The grace period: how long addresses, checks and alarms may fail after a "
                "deploy. With `alarms`, toolkit waits for all of it, because alarms need a "
                "while to change."
            )
        ),
    ] = "1m"
    bake: Annotated[
        Duration,
        Meta(
            description=(
                "How long the target has to stay good after that: addresses, checks, alarms, "
                "and what runs."
            )
        ),
    ] = "0s"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that must answer."""
        return ()


class WatchSettings(JudgedSettings, frozen=True, kw_only=True):
    """Those of a kind whose targets answer at addresses."""

    health: Annotated[
        tuple[Url, ...],
        Meta(description="Addresses that have to answer, after a deploy and in `health`."),
    ] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that must answer."""
        return self.health


LOOKING = (*WatchSettings.__struct_fields__, "min_tasks", "roles", "live", "container_test")
"""The settings that decide nothing about what is deployed."""

Tell = Callable[["Finding"], None]
"""Where a kind says what it sees."""


class Report(Protocol):
    """How `apply` and `abandon` speak to the run that they are part of."""

    @property
    def receipt(self) -> Mapping[str, Any]:
        """What was kept of this step so far, also by a process that has crashed since."""

    def phase(self, words: str) -> None:
        """What goes on now, in a few words."""

    def log(self, line: str) -> None:
        """A line for the step's log; the last one is shown beside its phase."""

    def tell(self, line: str) -> None:
        """A line that the person has to see at once."""

    def intend(self, call: str, **what: str) -> None:
        """Write down that this call comes next. To be said right before each call that changes
        something outside of this machine.

        Raises Stopped or LockLost if it must not be made any more.
        """

    def prepare(self, call: str, **what: str) -> None:
        """The same for a call after which everything that runs is as it was: an upload, a revision
        that nothing uses yet.
        """

    def turned_away(self) -> None:
        """To be said where the cloud has refused the last call that was intended, so that it
        certainly had no effect.
        """

    def keep(self, **facts: Any) -> None:
        """Write down what the cloud answered: JSON values, no secrets. They are in `receipt` from
        now on.
        """

    def consent(self, question: str, flag: str) -> None:
        """Ask a person, default No. Raises Refused if the answer is no, or nobody is there; it
        names the flag that confirms in advance.
        """

    def check(self) -> None:
        """Raises Stopped if the run is to stop: for work on this machine that takes long."""

    def wait(self, seconds: float) -> None:
        """Wait, but not after the run was asked to stop: raises Stopped then."""


class LogReader(Protocol):
    """Reads the logs of a target from one look to the next."""

    def read(self) -> "LogLook":
        """What is new since the look before. Reads only. Raises CloudError for a look that failed;
        the next one goes on from there: nothing is lost, and nothing comes twice.
        """


class TaskRunner(Protocol):
    """Runs a command once, beside what runs of a target and with the same version."""

    @property
    def call(self) -> "PlannedCall":
        """The call that starts the task, with the parameters that matter."""

    @property
    def stop_call(self) -> str:
        """The name of the call that stops it."""

    @property
    def stops_within_s(self) -> float:
        """How long a stopped task may take to end, in seconds."""

    @property
    def remembered(self) -> str:
        """For how long an ended task is still known where it ran, in words."""

    @property
    def warnings(self) -> Sequence[str]:
        """What a person should know before."""

    def start(self, token: str, command: Sequence[str]) -> str:
        """Start the task by one call that bears the token (at most 36 letters, digits and dashes);
        its id. Raises Refused, CloudError.
        """

    def find(self, token: str) -> str | None:
        """The id of the task that was started with this token, None if none is known. Raises
        CloudError.
        """

    def look(self, task: str) -> "TaskState | None":
        """How the task stands, None if nothing is known of it. Raises CloudError."""

    def stop(self, task: str, reason: str) -> None:
        """Stop the task, if it has not ended. Raises CloudError."""

    def logs(self, task: str) -> LogReader | None:
        """What reads what the task writes; the `source` of what the command itself writes is empty.
        None if that goes nowhere that can be read. Raises CloudError.
        """


class Kind:
    """The contract of a kind, with a default for every hook, so that a new hook touches no kind.

    A subclass says at least what `Settings` it has. One that toolkit deploys also says `preview`,
    `apply` and `observe`. `apply` twice with one token is `apply` once.
    """

    action: str = "deploy"
    """The verb of its step, which is the command that runs it."""
    estimate_s: int = 60
    """How long a deploy takes where rules.toml does not say, in seconds."""
    deadline_s: int = 3600
    """After how long nobody waits any more, in seconds; the step is then in doubt."""
    provider: str = AWS
    """Whose credentials and identity a look or a deploy needs. Of others than AWS, toolkit asks for
    none.
    """
    program: bool = True
    """Whether what answers at its `health` addresses is its own program, also where another target
    names the same address.
    """
    named_builds: bool = False
    """Whether what it builds is found again by its version's name, which therefore has to tell of
    all that the build depends on.
    """
    live_starts_programs: bool = False
    """Whether `live` starts programs that rules.toml names: `diff` starts none."""
    by_name: tuple[str, ...] = ()
    """The options that deploy a version by its name in place of what lies in the working tree; none
    where it has no such options.
    """
    put_back: str = "version"
    """What a rollback needs to be still there, in a word."""
    restores_with: tuple[str, ...] = ()
    """The options with which its command puts back what somebody has changed outside of toolkit."""
    content_details: tuple[str, ...] = ()
    """The details of what is live (`LiveVersion.detail`) that name its very content."""
    artifact_detail: str = ""
    """The one that names what was built, which several deploys may share; empty if there is none.
    """
    bypass_fix: str = ""
    """What to do about what `bypasses` tells of, in words."""
    Settings: Any = KindSettings
    """The struct that its settings are checked with."""
    Options: Any = KindOptions
    """The struct of its command-line options."""
    Restore: Any = None
    """The struct of what `rollback` says of a good deploy; None if its version is enough."""

    def problem(self, settings: Any) -> str | None:
        """What is wrong with settings whose types are right, None if nothing is."""
        return None

    def members(self, settings: Any) -> tuple[str, ...]:
        """The targets that a target of this kind covers."""
        return ()

    def dockerfile(self, settings: Any) -> tuple[str, str] | None:
        """The build context and the Dockerfile that it is built from, from the repository's root;
        None if it is built otherwise.
        """
        return None

    def inputs(self, settings: Any) -> Inputs:
        """What it is built from, besides what its rules match. Pure: settings may hold variables
        that are not filled in yet.
        """
        return Inputs()

    def linked(self, path: str, text: str) -> tuple[str, ...]:
        """The files and folders that one of its inputs' `files` refers to, from the repository's
        root. Pure; for any text.
        """
        return ()

    def provisions(self, settings: Any) -> "tuple[Provision, ...]":
        """What the sandbox has to make before it can be deployed there."""
        return ()

    def writes(self, settings: Any) -> tuple[Resource, ...]:
        """What it changes, by name, as rules.toml has it: two targets must not change the same.
        Pure.
        """
        return ()

    def builds(self, settings: Any) -> BuiltImage | None:
        """The image that it builds, None if it builds none: targets that share a repository have to
        test a container of it in the same way. Pure.
        """
        return None

    def has_parts(self, settings: Any) -> bool:
        """Whether a target stands for several things, each deployed by a step of its own, and only
        what lies in the repository says which. `live`, `health`, `outputs` and `logs` of such a
        target look at those that are recorded (`Job.recorded`). Pure.
        """
        return False

    def without_others(self, settings: Any, earlier: Sequence[Any], later: Sequence[Any]) -> Any:
        """The settings of a target with parts, without what other targets of its kind deploy: those
        that stand before it in rules.toml, and those behind it. All variables are filled in. Pure.
        """
        return settings

    def parts(self, job: "Job", ports: "Ports") -> tuple[str, ...]:
        """The names of a target's parts in the job's location. Reads only, and runs what a preview
        runs; raises ToolkitError.

        The job of the whole target has them as its `parts`, waits for the steps of all of them, and
        changes nothing itself.
        """
        return ()

    def part(self, settings: Any, name: str) -> Any:
        """The settings of one part; None where the target has none of that name. Without what
        judges the target: that is asked for the whole. Pure.
        """
        return None

    def uncovered(
        self, jobs: "Sequence[Job]", every: "Sequence[Job]", ports: "Ports", log: "ProgramLog"
    ) -> "tuple[Uncovered, ...]":
        """What the programs of these jobs' targets say is to be deployed, and none of `every` job
        does: the targets of this kind in all environments. Runs programs of the repository, which a
        person has asked for. Raises only what `log` raises.
        """
        return ()

    def consumes(self, settings: Any) -> tuple[str, ...]:
        """The targets whose outputs it uses; they have to be among its `needs`. Pure."""
        return ()

    def uses_current_outputs(self, job: "Job", ports: "Ports") -> bool | None:
        """Whether what is live was made with the outputs of other targets as they are now; None
        where nobody can tell. Reads only; raises CloudError for a failed look.
        """
        return None

    def instructions(self, settings: Any) -> str | None:
        """What a person has to do, where only a person can deploy it."""
        return None

    def synthesis_source(self, settings: Any) -> "SynthesisSource | None":
        """What `synthesize` makes its answer from; None if the kind cannot say what its targets
        would become. Pure.
        """
        return None

    def synthesize(
        self, jobs: "Sequence[Job]", ports: "Ports", log: "ProgramLog", again: bool = False
    ) -> "tuple[Synthesis, ...]":
        """What the files at `ports.root` say that each of these jobs' targets has to be: the same
        that a deploy from there would send. Runs programs of the repository, which a person has
        asked for. `again`: once more, whatever is cached, to see what differs from run to run.

        What cannot be known is said in the answer. Raises only what `log` raises.
        """
        never()

    def live_synthesis(
        self, job: "Job", ports: "Ports", recorded: "Sequence[SynthesizedStack]", body: str
    ) -> "Synthesis":
        """What the provider says is deployed, in the form of what was synthesized for the last
        deploy (`recorded`) and sent to it then (`body`, empty for a target with parts). Reads only;
        what cannot be compared is said in the answer.
        """
        from toolkit.templates.refinement import Synthesis

        return Synthesis(tuple(recorded))

    def code_owners(
        self, comparison: "StackComparison", stack: "SynthesizedStack"
    ) -> "tuple[Resource, ...] | None":
        """Whose code is all that differs in a stack (as it would be: `stack`), by the names that
        other kinds have for it in `writes`. None where more differs, or one has no fixed name.
        Pure.
        """
        return None

    def sources(self, settings: Any) -> tuple[str, ...]:
        """The files and folders, from the repository's root, that say which images its deploy
        builds besides `dockerfile`: a CDK app, a template.
        """
        return ()

    def programs(self, settings: Any) -> tuple[str, ...]:
        """The repository's files and folders, as paths from its root, that decide what `live` and
        `health` start. `health` starts nothing unless all of that is as at the trusted base, and
        `diff` starts nothing at all.
        """
        return ()

    def aliases(self, settings: Any) -> tuple[str, ...]:
        """What it is called where it is deployed, if a person may name it so on the command line,
        too.
        """
        return ()

    def command(self, target: str, settings: Any) -> NextCommand | None:
        """The command that deploys it, None where only a person can."""
        return NextCommand(self.action, (target,))

    def runnable(self, settings: Any) -> str | None:
        """Why this version of toolkit cannot deploy it, None if it can."""
        return None

    def options_problem(self, options: Any) -> tuple[str, str] | None:
        """What is wrong with the options of the command that is for its targets alone, and what to
        do about it; None if nothing is.
        """
        return None

    def version_named(self, options: Any) -> str | None:
        """The version that the options ask for, such as an image's tag; None where what lies in the
        working tree is deployed.
        """
        return None

    def rollback(self, detail: Mapping[str, str]) -> Any:
        """What its rollback has to know, besides the version, to put back a good deploy whose
        record has this `detail`.
        """
        return None

    def irreversible(self, settings: Any) -> tuple[str, str] | None:
        """Why an older version of it cannot be put back by `rollback`, and what to do instead; None
        if it can.
        """
        return (
            "its older versions are not kept",
            "check out the commit that was good, and deploy it",
        )

    def restorable(
        self, job: "Job", details: Sequence[Mapping[str, str]], ports: "Ports"
    ) -> tuple[bool | None, ...]:
        """Of each of these good deploys (`detail` of its record), whether what it put there can be
        put back still. Reads only.

        False where something that it needs is gone, None where nobody could tell.
        """
        return tuple(False for _ in details)

    def services(self) -> tuple[str, ...]:
        """The AWS services that it calls, in boto3's names, so that their clients can be made
        beforehand.
        """
        return ()

    def preview(self, job: "Job", ports: "Ports") -> "Preview":
        """What would be done, from reads alone. Raises Refused, Missing or another ToolkitError for
        what is known to fail.
        """
        never()

    def apply(self, job: "Job", ports: "Ports", report: Report) -> None:
        """Make the calls of the preview, each after `report.intend`, until the cloud has accepted.
        Calls that were made before with this job's token are found and not made again. Raises
        ToolkitError where the cloud refuses.
        """
        never()

    def observe(
        self,
        job: "Job",
        receipt: Mapping[str, Any],
        ports: "Ports",
        before: "Observation | None" = None,
    ) -> "Observation":
        """How it stands, from the job, what was kept, and the cloud; never a guess: `unknown` where
        that is not enough.

        `before` is what was seen last by this process. Raises CloudError for a look that failed,
        which says nothing of the step.
        """
        never()

    def build(self, job: "Job", ports: "Ports", report: Report) -> None:
        """Make the artifact of the preview, where the job's own settings say, unless it is there.
        Only `report.prepare`: nothing that runs is changed.
        """
        never()

    def built(
        self,
        job: "Job",
        receipt: Mapping[str, Any],
        ports: "Ports",
        before: "Observation | None" = None,
    ) -> "Observation":
        """What became of `build`, as `observe` says it, from where the artifact is: done or absent.
        Raises Refused where what is there in its place is another one.
        """
        never()

    def abandon(
        self, job: "Job", receipt: Mapping[str, Any], ports: "Ports", report: Report
    ) -> None:
        """Stop a step that is doomed, so that what ran before runs again."""
        never()

    def live(self, job: "Job", ports: "Ports") -> "LiveVersion | None":
        """What runs now, read from the cloud; None if nothing does."""
        never()

    def drift(self, job: "Job", ports: "Ports", until: float) -> "Drift | None":
        """Whether somebody has changed what was deployed, by a look at each part of it; None where
        `live` says all that can be known. Waits until `until` (`ports.clock.elapsed`) at the
        longest. Changes nothing that runs; raises CloudError for a failed look.
        """
        return None

    def can_tell_live(self, settings: Any) -> bool:
        """Whether `live` can tell what runs; else its None means that nobody knows."""
        return True

    def live_name(self, live: "LiveVersion") -> str:
        """A short name of what runs, for people; empty if it has none. Pure."""
        return live.version or ""

    def outputs(self, job: "Job", ports: "Ports") -> Mapping[str, str]:
        """What it has that people and other targets need to know, such as its address, by name as
        it runs now; empty if there is nothing. Reads only; raises CloudError for a failed look.
        """
        return {}

    def bypasses(self, job: "Job", ports: "Ports") -> tuple[str, ...]:
        """What uses it in a way that its deploys do not reach, a line each. Reads only; raises
        CloudError for a failed look.
        """
        return ()

    def logs(self, job: "Job", ports: "Ports", since: "datetime") -> LogReader | None:
        """What reads the logs of what runs now, across deploys, from a moment on; None if there are
        none that can be read. Raises Missing, Refused.
        """
        return None

    def task_runner(self, job: "Job", ports: "Ports", container: str | None) -> TaskRunner | None:
        """What runs a command once with the version that is live; None if the kind cannot do that.
        `container` is where it has several. Reads only; raises Missing, Refused, CloudError.
        """
        return None

    def health(self, job: "Job", ports: "Ports", tell: Tell) -> "LiveVersion | None":
        """How it is now, from reads alone: `tell` of each thing that was looked at, as soon as that
        is known; returns what runs.

        It is stopped waiting for at a deadline; what was not told by then is unknown. Never raises
        CloudError: what could not be looked at is told as `unknown` with the reason (findings.py).
        An address of `health` is no part of it.
        """
        return None

    def permissions(self, job: "Job") -> "tuple[Statement, ...]":
        """The IAM statements that these calls need, narrow enough to paste. Pure."""
        return ()


def never(*_: object) -> NoReturn:
    """For a kind that cannot be deployed: nobody asks it to, for `runnable` said so."""
    raise Refused("this cannot be deployed", ("see", NextCommand("rules check")))
