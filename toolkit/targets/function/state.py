"""Before anything is changed: what is there, whose it is, and what is known to fail."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from toolkit.advice import NextCommand
from toolkit.errors import CloudError, Missing, Refused
from toolkit.operations import DeployedState, Job, JobAction, LiveVersion
from toolkit.ports.aws import functions
from toolkit.ports.aws.client import Aws, check_account
from toolkit.ports.aws.functions import Alias, Function
from toolkit.ports.ports import Ports
from toolkit.targets.function import marks
from toolkit.targets.function.options import FunctionRestore
from toolkit.targets.function.settings import FunctionSettings
from toolkit.targets.times import iso_utc

ROLLBACK = JobAction.ROLLBACK
"""The action of a job that puts back what was live: nothing is packed."""


class FunctionState(Struct, frozen=True):
    """What there is before a deploy, as Lambda says it. `serving` is the version that the alias
    leads to; None where there is no alias, or no such version.
    """

    function: Function
    alias: Alias | None = None
    serving: Function | None = None
    signing: str = ""
    """What happens to code that is not signed: see functions.signing_policy."""
    stack: str = ""
    """The stack that the function belongs to; only looked for where toolkit never deployed it."""

    @property
    def is_ours(self) -> bool:
        """Whether toolkit has put there what the alias leads to."""
        return bool(alias_marks(self.alias) or version_marks(self.serving))

    @property
    def content(self) -> str:
        """The mark of the content that is live; empty where nobody has written it down for the code
        that is live, or where calls go to several versions.
        """
        if self.alias is None or self.serving is None or self.alias.shares:
            return ""
        moved = alias_marks(self.alias)
        if marks.CONTENT in moved and marks.is_of(moved, self.serving.sha256):
            return moved[marks.CONTENT]
        return version_marks(self.serving).get(marks.CONTENT, "")

    @property
    def is_configured(self) -> bool | None:
        """Whether what is live runs as the function is configured now; None if nobody can tell."""
        return self.serving is None or has_same_configuration(self.serving, self.function)


def has_same_configuration(version: Function, latest: Function) -> bool | None:
    """Whether a version runs as $LATEST is configured: a stack changes only that, and each version
    keeps the configuration that it was published with. None if Lambda could not read one of them.
    """
    if not version.configuration or not latest.configuration:
        return None
    return version.configuration == latest.configuration


def is_busy(function: Function) -> bool:
    """Whether a change of a function is in progress."""
    return function.update == "InProgress" or function.state == "Pending"


def named(function: Function) -> str:
    """`function mail`, or `version 2 of mail`."""
    if function.version in ("", functions.LATEST):
        return f"function {function.name}"
    return f"version {function.version} of {function.name}"


def failure_of(version: Function) -> str:
    """Why no call may be sent to a version, for a sentence that begins with its name; empty where
    one may. An Inactive one is fine: a call activates it.
    """
    if version.state == "Failed":
        return f"cannot be called: {version.reason or 'Lambda gives no reason'}"
    if version.update == "Failed":
        return f"could not be updated: {version.update_reason or 'Lambda gives no reason'}"
    return ""


def alias_marks(alias: Alias | None) -> Mapping[str, str]:
    """What the deploy has written on an alias that moved it where it leads; empty where somebody
    else has moved it since.
    """
    if alias is None:
        return {}
    written = marks.read(alias.description)
    return written if written.get(marks.NUMBER) == alias.version else {}


def version_marks(version: Function | None) -> Mapping[str, str]:
    """What toolkit has written on a version; empty for anybody else's."""
    if version is None:
        return {}
    written = marks.read(version.description)
    return written if marks.is_of(written, version.sha256) else {}


def read_state(job: Job, ports: Ports) -> FunctionState:
    """Look at everything. Raises Missing, Refused and WrongAccount for what is known to fail."""
    settings: FunctionSettings = job.settings
    aws = ports.aws(job.location)
    name = settings.function
    with ThreadPoolExecutor(4) as pool:
        account = pool.submit(check_account, aws, job.location)
        asked = pool.submit(functions.function, aws, name)
        asked_alias = pool.submit(functions.alias, aws, name, settings.alias)
        asked_version = pool.submit(functions.function, aws, name, settings.alias)
    account.result()  # another account's answers would be about a stranger
    function, alias, serving = asked.result(), asked_alias.result(), asked_version.result()
    if function is None:
        raise Missing(
            what="Lambda function", name=settings.function, where=f" in {aws.region_name}"
        )
    if alias is None:
        serving = None
    elif serving is None or serving.version != alias.version:
        serving = functions.function(aws, name, alias.version)  # it was moved in between
    state = FunctionState(function, alias, serving)
    if job.action == ROLLBACK:
        if alias is None:
            again = NextCommand("deploy-function", (job.target,), ("--adopt",))
            raise Refused(
                f"function {settings.function} has no alias {settings.alias}",
                ("create it with a deploy:", again),
            )
        return state
    _refuse_other_package(settings, function)
    signing = ""
    if function.package == functions.ZIP:
        signing = functions.signing_policy(aws, settings.function)
    if signing == "Enforce" and settings.s3 is None:
        raise Refused(
            f"function {settings.function} only takes code that is signed, and toolkit signs none",
            "have it signed by AWS Signer, and name the result with `s3`",
        )
    stack = ""
    if needs_adoption(job, state) and function.arn:
        stack = functions.stack_of(aws, function.arn)
    return FunctionState(function, alias, serving, signing, stack)


def _refuse_other_package(settings: FunctionSettings, function: Function) -> None:
    wanted = functions.IMAGE if settings.image else functions.ZIP
    if function.package == wanted:
        return
    if function.package == functions.IMAGE:
        fix = "name its repository with `image`, or have its stack create it again from a zip"
        what = "a container image"
    else:
        fix = "use `source`, `build` or `s3`, or have its stack create it again from an image"
        what = "a zip"
    raise Refused(
        f"function {settings.function} was created from {what}, which Lambda never changes", fix
    )


def needs_adoption(job: Job, state: FunctionState) -> bool:
    """Whether somebody has to agree first: toolkit has never deployed it, or its alias is gone."""
    if job.action == ROLLBACK:
        return False
    return state.alias is None or not (state.is_ours or _is_recorded(job))


def _is_recorded(job: Job) -> bool:
    """Whether a good deploy of this very function is recorded. A record that cannot be read says
    nothing, and neither does one of the function that the target was before.
    """
    recorded, name = job.recorded, str(job.settings.function)
    if recorded is None or recorded.problem:
        return False
    return recorded.detail.get("function", name) == name


def restored_version(job: Job, aws: Aws) -> Function:
    """The version that a rollback puts back. Raises Refused where it is gone, or has failed."""
    restore: FunctionRestore | None = job.restore
    name = job.settings.function
    others = ("list the others:", NextCommand("rollback", (job.target,), ("--list",)))
    if restore is None or not restore.function_version:
        raise Refused(f"the record does not say which version of {name} it was", others)
    version = functions.function(aws, name, restore.function_version)
    if version is None or version.sha256 != (restore.function_sha256 or version.sha256):
        raise Refused(f"version {restore.function_version} of {name} no longer exists", others)
    if failure := failure_of(version):
        raise Refused(f"{named(version)} {failure}", others)
    return version


def restorable(
    job: Job, details: Sequence[Mapping[str, str]], ports: Ports
) -> tuple[bool | None, ...]:
    """Whether the version of each of these deploys exists still, None where nobody could tell."""
    try:
        versions = functions.versions(ports.aws(job.location), job.settings.function)
        existing = {version.number: version.sha256 for version in versions}
    except CloudError as problem:
        known = False if problem.aws_code == "ResourceNotFoundException" else None
        return tuple(known for _ in details)
    answers: list[bool] = []
    for detail in details:
        sha256 = existing.get(detail.get("alias version", ""))
        answers.append(sha256 is not None and detail.get("sha256", sha256) == sha256)
    return tuple(answers)


def live_version(name: str, alias: Alias, version: Function | None) -> LiveVersion:
    """What runs, by what the deploy has written on the alias; else by what is on the version: a
    mark of toolkit's, or a commit as other tools write it.
    """
    detail = {"function": name, "alias version": alias.version}
    if version is None:
        return LiveVersion(alias.version, detail=detail)
    since = iso_utc(version.modified)
    detail = {**detail, "sha256": version.sha256}
    deployed = DeployedState(artifacts={"code": version.sha256} if version.sha256 else {})
    if alias.shares:
        doubt = f"its calls go to several versions: {shares_words(alias)}"
        return LiveVersion(None, since=since, detail=detail, deployed=deployed, doubt=doubt)
    moved, made = alias_marks(alias), version_marks(version)
    named = moved.get(marks.VERSION) or made.get(marks.VERSION)
    if named is None and marks.commit_of(version.description):
        named = version.description
    return LiveVersion(
        named or alias.version,
        marks.commit_of(named or ""),
        moved.get(marks.FINGERPRINT),
        moved.get(marks.RUN),
        since,
        detail,
        moved.get(marks.SETTINGS),
        deployed,
    )


def shares_words(alias: Alias) -> str:
    """`10 % of the calls go to version 8`."""
    return "; ".join(
        f"{share * 100:g} % of the calls go to version {number}"
        for number, share in alias.shares.items()
    )
