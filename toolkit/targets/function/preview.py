"""What a deploy of a function would do, and what is known to fail before it is begun."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from toolkit.advice import Advice
from toolkit.operations import Job, PlannedCall, Preview
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.functions import Function
from toolkit.ports.ports import Ports
from toolkit.targets.function import build, image, marks
from toolkit.targets.function import code as codes
from toolkit.targets.function.code import Code
from toolkit.targets.function.settings import FunctionSettings
from toolkit.targets.function.state import (
    ROLLBACK,
    FunctionState,
    alias_marks,
    failure_of,
    is_busy,
    live_version,
    needs_adoption,
    read_state,
    restored_version,
    shares_words,
)

ADOPT, RESET_WEIGHTS = "--adopt", "--reset-weights"


class Question(Struct, frozen=True):
    """What somebody has to agree to, besides the deploy itself, and the flag that does so in
    advance. `statement` is for whoever is only told of it.
    """

    text: str
    statement: str
    flag: str

    @property
    def warning(self) -> str:
        """What a preview says of it."""
        return f"{self.statement}; {self.flag} confirms this in advance"


def preview(job: Job, ports: Ports) -> Preview:
    """See targets/base.py."""
    state, aws = read_state(job, ports), ports.aws(job.location)
    if job.action == ROLLBACK:
        return _rollback_preview(job, aws, state)
    live = None
    if state.alias is not None:
        live = live_version(job.settings.function, state.alias, state.serving)
    if is_built_as_live(job, state):
        return Preview((), unchanged=True, live=live)
    if job.settings.build is not None:
        build.find(job, ports.root)  # nothing is started: a program that is missing is refused now
    with known_code(job, ports, state) as code:
        warnings = _warnings(job, state, code)
        if is_unchanged(state, code):
            return Preview((), warnings, unchanged=True, live=live)
        calls: list[PlannedCall] = []
        artifact = None
        if code is not None and code.upload is not None:
            account = job.location.account or aws.account()
            if not codes.is_uploaded(aws, code.upload, account):
                calls.append(code.upload.call)
        if code is None and job.settings.image is not None:
            artifact = image.artifact(job, ports, state.function)
            calls += artifact.calls
        if not is_latest(state.function, code):
            calls.append(update_call(job))
        calls += [publish_call(job), alias_call(job, state, "")]
    questions = [question.warning for question in questions_about(job, state)]
    return Preview(
        tuple(calls),
        (*warnings, *questions),
        live=live,
        artifact=artifact,
        builds=job.settings.build is not None,
    )


def _rollback_preview(job: Job, aws: Aws, state: FunctionState) -> Preview:
    version = restored_version(job, aws)
    live = None
    if state.alias is not None:
        live = live_version(job.settings.function, state.alias, state.serving)
    if is_restored(state, version):
        return Preview((), unchanged=True, live=live)
    warnings: list[Advice] = []
    if version.state == "Inactive":
        warnings.append(
            f"version {version.version} is Inactive: its first calls fail until Lambda has"
            " activated it"
        )
    warnings += [question.warning for question in questions_about(job, state)]
    return Preview((alias_call(job, state, version.version),), tuple(warnings), live=live)


@contextmanager
def known_code(job: Job, ports: Ports, state: FunctionState) -> Iterator[Code | None]:
    """The code as far as it is known without building anything; None where it has to be built."""
    settings: FunctionSettings = job.settings
    if settings.source is not None:
        with codes.packed(job, ports, settings.source, lambda: None) as code:
            yield code
    elif settings.s3 is not None:
        yield codes.existing_object(settings.s3, ports.aws(job.location))
    elif settings.image is not None:
        yield image.existing_image(job, ports, state.function)
    else:
        yield None


def is_built_as_live(job: Job, state: FunctionState) -> bool:
    """Whether what would be built is live already, by the names: a build of the same commit, with
    the same settings.
    """
    if job.settings.build is None or not state.content or job.version.dirty:
        return False
    version, written = job.version, alias_marks(state.alias)
    deployed = (written.get(marks.VERSION), written.get(marks.FINGERPRINT))
    same = deployed == (version.name, version.fingerprint)
    return same and written.get(marks.SETTINGS) == version.settings and _is_fit(state)


def is_unchanged(state: FunctionState, code: Code | None) -> bool:
    """Whether the code is live already: by its content, for equal content may be another zip. Where
    it never is, Lambda's digest has to be equal, too: a description may be forged.
    """
    serving = state.serving
    if code is None or serving is None or state.content != code.content:
        return False
    if code.package is not None and code.package.is_reproducible:
        return serving.sha256 == code.sha256 and _is_fit(state)
    return _is_fit(state)


def _is_fit(state: FunctionState) -> bool:
    serving = state.serving
    return serving is not None and not failure_of(serving) and state.is_configured is True


def is_restored(state: FunctionState, version: Function) -> bool:
    """Whether all calls go to the version that a rollback puts back."""
    alias = state.alias
    return alias is not None and alias.version == version.version and not alias.shares


def is_latest(function: Function, code: Code | None) -> bool:
    """Whether $LATEST has this code; what only Lambda could tell, or has failed, counts as no."""
    if code is None or not code.sha256 or function.update == "Failed":
        return False
    return function.sha256 == code.sha256


def questions_about(job: Job, state: FunctionState) -> list[Question]:
    """What somebody has to agree to, as things are; without what the options agree to."""
    name, alias = job.settings.function, job.settings.alias
    questions: list[Question] = []
    if needs_adoption(job, state) and not job.options.adopt:
        if state.alias is None:
            fact, text, statement = (
                f"function {name} has no alias {alias}",
                "create it",
                "creates it",
            )
        else:
            fact = f"function {name} was not deployed by toolkit"
            text, statement = "replace its code", "replaces its code"
        questions.append(Question(f"{fact}: {text}?", f"{fact}: this {statement}", ADOPT))
    if state.alias is not None and state.alias.shares and not job.options.reset_weights:
        fact = f"{shares_words(state.alias)} by alias {alias}"
        text, statement = (
            f"{fact}: send all to one version?",
            f"{fact}: this sends all to one version",
        )
        questions.append(Question(text, statement, RESET_WEIGHTS))
    return questions


def _warnings(job: Job, state: FunctionState, code: Code | None) -> tuple[Advice, ...]:
    name = job.settings.function
    lines: list[Advice] = []
    if state.signing == "Warn" and job.settings.s3 is None:
        lines.append(f"function {name} asks for signed code, and toolkit signs none")
    if state.alias is not None and state.is_configured is None:
        lines.append(
            f"Lambda cannot read the configuration of function {name}, which may have changed since"
            f" version {state.alias.version}: this publishes it, too"
        )
    if state.alias is not None and state.is_configured is False:
        lines.append(
            f"the configuration of function {name} has changed since version"
            f" {state.alias.version}: this publishes it, too"
        )
    if is_busy(state.function):
        lines.append(f"function {name} is being changed: toolkit will wait for it")
    if job.recorded is not None and state.alias is not None and not state.is_ours:
        lines.append(
            f"version {state.alias.version} of {name} is live, which toolkit did not deploy"
        )
    if state.stack:
        lines.append(
            f"function {name} belongs to stack {state.stack}: whenever the code in its template"
            " changes, a deploy of the stack replaces this one"
        )
    if code is not None:
        lines += codes.remarks(code, state.function)
    return tuple(lines)


def update_call(job: Job) -> PlannedCall:
    """The change of $LATEST."""
    return PlannedCall("lambda:UpdateFunctionCode", {"function": job.settings.function})


def publish_call(job: Job) -> PlannedCall:
    """The new version."""
    return PlannedCall(
        "lambda:PublishVersion",
        {"function": job.settings.function, "description": job.version.name},
    )


def alias_call(job: Job, state: FunctionState, version: str) -> PlannedCall:
    """The move of the alias, which is empty where the version has no number yet; or its
    creation.
    """
    what = {"function": job.settings.function, "alias": job.settings.alias}
    if version:
        what["version"] = version
    if state.alias is None:
        return PlannedCall("lambda:CreateAlias", what)
    return PlannedCall("lambda:UpdateAlias", {**what, "from": state.alias.version})
