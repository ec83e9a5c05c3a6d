"""The calls that change something, each once: what was done before with the job's token is found
and not done again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from toolkit.advice import Advice, NextCommand, ShellCommand
from toolkit.errors import CloudError, Refused, Superseded, Throttled, Unexpected, Unreachable
from toolkit.operations import Job, PlannedCall
from toolkit.ports.aws import functions
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.functions import Alias, Function
from toolkit.ports.ports import Ports
from toolkit.targets.base import Report
from toolkit.targets.function import build, image, marks
from toolkit.targets.function import code as codes
from toolkit.targets.function.code import Code
from toolkit.targets.function.preview import (
    alias_call,
    is_built_as_live,
    is_latest,
    is_restored,
    is_unchanged,
    known_code,
    publish_call,
    questions_about,
    update_call,
)
from toolkit.targets.function.state import (
    ROLLBACK,
    FunctionState,
    alias_marks,
    failure_of,
    is_busy,
    named,
    read_state,
    restored_version,
    version_marks,
)

T = TypeVar("T")
BACKOFF_S = (1, 2, 4, 8)
"""How long to wait before a call is repeated that AWS has turned away for being one too many."""
LOOK_AGAIN_S = 10
"""What was not there after so long, never arrived: AWS may take a few seconds to show what it has
accepted.
"""
FIRST_LOOK_S, BETWEEN_LOOKS_S = 0.25, 1.0
"""How long to wait before the first look at what Lambda does, and between later ones."""
ATTEMPTS = 2
"""How often a write is made that is refused because somebody else has written in between."""


def apply(job: Job, ports: Ports, report: Report) -> None:
    """Pack the code, give it to the function, publish it, and move the alias."""
    report.phase(f"checking function {job.settings.function}")
    state = read_state(job, ports)
    if _adopt_own_move(job, state, report):
        return
    steps = _FunctionDeploy(job, ports, report)
    if job.action == ROLLBACK:
        steps.restore(state)
    else:
        steps.deploy(state)


def _adopt_own_move(job: Job, state: FunctionState, report: Report) -> bool:
    """Whether the alias has been moved with our token: the answer to that call was lost."""
    written = alias_marks(state.alias)
    if state.alias is None or written.get(marks.TOKEN) != job.token:
        return False
    report.keep(version=state.alias.version, moved=True)
    return True


class _FunctionDeploy:
    """The calls of one deploy."""

    def __init__(self, job: Job, ports: Ports, report: Report) -> None:
        self._job, self._ports, self._report = job, ports, report
        self._aws: Aws = ports.aws(job.location)
        self._name, self._alias = str(job.settings.function), str(job.settings.alias)
        self._until = ports.clock.elapsed() + job.deadline_s

    def restore(self, state: FunctionState) -> None:
        """Send all calls to the version of a good deploy."""
        version = restored_version(self._job, self._aws)
        if is_restored(state, version):
            self._keep_unchanged(state)
            return
        self._keep_before(state.alias)
        self._agree(state)
        self._move_to(state, version)

    def deploy(self, state: FunctionState) -> None:
        """Bring the code to the function, and its alias to it."""
        version = self._version_with_token()
        if version is None and is_built_as_live(self._job, state):
            self._keep_unchanged(state)
            return
        self._keep_before(state.alias)
        if version is not None:
            self._move_to(state, version)
            return
        with self._code(state) as code:
            if is_unchanged(state, code):
                self._keep_unchanged(state)
                return
            self._agree(state)
            version = self._publish(code, self._updated(state.function, code))
            self._move_to(state, version, code.content)

    def _keep_unchanged(self, state: FunctionState) -> None:
        serving = state.serving
        self._report.keep(version=serving.version if serving else "", unchanged=True)

    def _keep_before(self, alias: Alias | None) -> None:
        """Keep where the alias leads before anything is changed. Raises Superseded where somebody
        has moved it since that was kept, perhaps by an earlier process.
        """
        now = ""
        if alias is not None:
            now = alias.version
        if "before" not in self._report.receipt:
            self._report.keep(before=now)
        elif now != self._report.receipt["before"]:
            what = "the alias"
            if now:
                what = f"{self._name}:{now}"
            raise Superseded(what=what, target=self._job.target)

    def _agree(self, state: FunctionState) -> None:
        """Ask what has to be agreed to, each question once: a process that goes on does not ask
        again.
        """
        for question in questions_about(self._job, state):
            agreed = list(self._report.receipt.get("agreed", ()))
            if question.text not in agreed:
                self._report.consent(question.text, question.flag)
                self._report.keep(agreed=[*agreed, question.text])

    @contextmanager
    def _code(self, state: FunctionState) -> Iterator[Code]:
        """The code, built if it has to be."""
        settings, job = self._job.settings, self._job
        if settings.build is not None:
            # Somebody has to agree before minutes are spent on it.
            self._agree(state)
            left_s = self._until - self._ports.clock.elapsed()
            build.run(job, self._ports, self._report, left_s)
            with codes.packed(job, self._ports, settings.build.output, self._report.check) as code:
                yield code
            return
        self._report.phase("packing the code")
        with known_code(job, self._ports, state) as known:
            if known is not None:
                yield known
                return
        self._agree(state)
        yield image.built_image(job, self._ports, state.function, self._report)

    # --- the version

    def _version_with_token(self) -> Function | None:
        """The version that was published with our token, by a call whose answer was lost."""
        if not self._report.receipt:
            return None  # nothing was intended yet
        for version in functions.versions(self._aws, self._name):
            if marks.read(version.description).get(marks.TOKEN) == self._job.token:
                return functions.function(self._aws, self._name, version.number)
        return None

    def _updated(self, function: Function, code: Code) -> str:
        """Give $LATEST our code; the digest that Lambda has of it. What $LATEST has later may be
        somebody else's.
        """
        function = self._at_rest(function)
        if is_latest(function, code):
            self._report.keep(latest=function.sha256)
            return function.sha256
        self._upload(code)
        # An earlier process may have seen Lambda's answer: to what the object or tag was then.
        kept = {"latest": function.sha256, "latest_content": code.content}
        if not code.sha256 and kept.items() <= self._report.receipt.items():
            return function.sha256
        self._report.phase(f"updating the code of {self._name}")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                updated = self._call_once(
                    update_call(self._job),
                    partial(self._update_code, code, function),
                    lambda: self._latest_with(code),
                )
                break
            except CloudError as problem:
                function = self._read_again(problem, attempt)
                if is_latest(function, code):
                    updated = function
                    break
        if code.sha256 and updated.sha256 != code.sha256:
            raise Unexpected(
                call="lambda:UpdateFunctionCode",
                reason=f"the code has the digest {updated.sha256}, not {code.sha256}",
            )
        self._report.keep(latest=updated.sha256, latest_content=code.content)
        self._at_rest(updated)
        return updated.sha256

    def _update_code(self, code: Code, function: Function) -> Function:
        return functions.update_code(self._aws, self._name, code.request(), function.revision)

    def _latest_with(self, code: Code) -> Function | None:
        """The function, if it has our code by now."""
        function = functions.function(self._aws, self._name)
        if function is not None and is_latest(function, code):
            return function
        return None

    def _upload(self, code: Code) -> None:
        """Put a large package into its bucket, unless it is there."""
        if code.upload is None:
            return
        account = self._job.location.account or self._aws.account()
        if codes.is_uploaded(self._aws, code.upload, account):
            return
        self._report.phase("uploading the package")
        self._report.prepare(code.upload.call.name, **code.upload.call.what)
        codes.put(self._aws, code.upload, account)

    def _read_again(self, problem: CloudError, attempt: int) -> Function:
        """The function, after a write that somebody else's change was ahead of. Raises the problem
        if that is none, or too often.
        """
        if problem.aws_code not in (*functions.OUTDATED, *functions.BUSY):
            raise problem
        self._report.turned_away()
        if attempt == ATTEMPTS:
            raise Refused(
                f"someone else is changing function {self._name} at the same time",
                "wait until they have finished, then deploy again",
            ) from None
        self._report.tell(f"someone else has changed function {self._name}: reading it again")
        return self._at_rest(self._read())

    def _read(self, version: str = "") -> Function:
        """The function as it is now, or a version of it."""
        function = functions.function(self._aws, self._name, version)
        if function is not None:
            return function
        if version:
            again = NextCommand("deploy-function", (self._job.target,))
            raise Refused(
                f"version {version} of {self._name} has been deleted", ("deploy it again:", again)
            )
        raise Refused(f"function {self._name} has been deleted", "deploy its stack first")

    def _at_rest(self, function: Function) -> Function:
        """The function once no change of it is in progress. Raises Refused at the step's deadline,
        and where the change that we made has failed.
        """
        function = self._wait_for(function)
        mine = self._report.receipt.get("latest")
        if function.update == "Failed" and mine and function.sha256 == mine:
            raise Refused(
                f"Lambda could not update {self._name}: {function.update_reason}",
                "fix what it reports, then deploy again",
            )
        return function

    def _ready(self, version: Function) -> Function:
        """The version once it can be called. Raises Refused where it never can."""
        version = self._wait_for(version)
        if failure := failure_of(version):
            raise Refused(
                f"{named(version)} {failure}", "fix what Lambda reports, then deploy again"
            )
        return version

    def _wait_for(self, function: Function) -> Function:
        """A function or a version of it, once Lambda is done with it. All waits of the step share
        its deadline.
        """
        clock, pause = self._ports.clock, FIRST_LOOK_S
        number = "" if function.version == functions.LATEST else function.version
        while is_busy(function):
            if clock.elapsed() >= self._until:
                raise Refused(
                    f"{named(function)} is still being changed by Lambda, and the deadline of"
                    f" {self._job.target} is over",
                    self._wait_advice(number),
                )
            reason = function.update_reason or function.reason
            self._report.phase(f"waiting for {named(function)}" + (reason and f": {reason}"))
            self._report.wait(pause)
            pause = min(2 * pause, BETWEEN_LOOKS_S)
            function = self._read(number)
        return function

    def _wait_advice(self, version: str) -> Advice:
        """What to do once the step's time is over."""
        again = NextCommand("deploy-function", (self._job.target,))
        if self._job.action == ROLLBACK:
            again = NextCommand("rollback", (self._job.target,), ("--list",))
        wait = ShellCommand("aws lambda wait function-updated-v2 --function-name", (self._name,))
        if version:
            line = "aws lambda wait published-version-active --function-name {} --qualifier {}"
            wait = ShellCommand(line, (self._name, version))
        return ("wait for it:", wait, "then try again:", again)

    def _publish(self, code: Code, sha256: str) -> Function:
        """The version of our code, which has this digest, as soon as there is one."""
        self._report.phase(f"publishing a version of {self._name}")
        description = marks.of_version(self._job, code.content, sha256)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._call_once(
                    publish_call(self._job),
                    lambda: functions.publish(self._aws, self._name, sha256, description),
                    self._version_with_token,
                )
            except CloudError as problem:
                self._refuse_other_code(problem, sha256)
                self._read_again(problem, attempt)
        raise AssertionError  # the last attempt returns or raises

    def _refuse_other_code(self, problem: CloudError, sha256: str) -> None:
        """Raises Superseded if Lambda has refused to publish because the code is not ours now."""
        if problem.aws_code in functions.OTHER_CODE and self._read().sha256 != sha256:
            self._report.turned_away()
            raise Superseded(what=f"other code to {self._name}", target=self._job.target) from None

    # --- the alias

    def _move_to(self, state: FunctionState, version: Function, content: str = "") -> None:
        """Send all calls to a version once that can be called. `content` is the mark of what is in
        it, where the version itself may not say that.
        """
        number, code = version.version, version.sha256
        self._report.keep(version=number, sha256=code)
        version = self._ready(version)
        if version_marks(version).get(marks.CONTENT, "") == content or not content:
            content = code = ""
        description = marks.of_alias(self._job, number, content, code)
        self._report.phase(f"moving alias {self._alias} to version {number}")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._call_once(
                    alias_call(self._job, state, number),
                    partial(self._write_alias, state.alias, number, description),
                    self._own_alias,
                )
                break
            except CloudError as problem:
                state = self._state_again(problem, attempt, state)
        self._report.keep(moved=True)

    def _write_alias(self, alias: Alias | None, version: str, description: str) -> Alias:
        if alias is None:
            return functions.create_alias(self._aws, self._name, self._alias, version, description)
        return functions.move_alias(self._aws, self._name, alias, version, description)

    def _own_alias(self) -> Alias | None:
        """The alias, if it has been moved with our token."""
        alias = functions.alias(self._aws, self._name, self._alias)
        if alias is not None and alias_marks(alias).get(marks.TOKEN) == self._job.token:
            return alias
        return None

    def _state_again(
        self, problem: CloudError, attempt: int, state: FunctionState
    ) -> FunctionState:
        """The state, after a write of the alias that somebody else's was ahead of. Raises
        Superseded where they have moved it, the problem if it is another one.
        """
        if problem.aws_code not in (*functions.OUTDATED, *functions.BUSY):
            raise problem
        self._report.turned_away()
        alias = functions.alias(self._aws, self._name, self._alias)
        self._keep_before(alias)
        if attempt == ATTEMPTS:
            raise Refused(
                f"someone else is changing alias {self._alias} of {self._name} at the same time",
                "wait until they have finished, then deploy again",
            ) from None
        self._report.tell(f"someone else has changed alias {self._alias}: reading it again")
        state = replace(state, function=self._read(), alias=alias)
        self._agree(state)
        return state

    # --- one call

    def _call_once(self, call: PlannedCall, do: Callable[[], T], find: Callable[[], T | None]) -> T:
        """The result of a call that no token protects. A throttled one is repeated; where the
        answer is lost, its effect is looked for (`find`), and the call is never repeated here.
        """
        for pause in (*BACKOFF_S, None):
            if call.name == "lambda:PublishVersion":
                self._report.prepare(call.name, **call.what)
            else:
                self._report.intend(call.name, **call.what)
            try:
                return do()
            # AWS refused the call before it did anything, so it is safe to make it again.
            except Throttled:
                self._report.turned_away()
                if pause is None:
                    raise
                self._report.wait(pause)
            # The call may have arrived all the same: from here on, only its effect counts.
            except Unreachable as problem:
                return self._find_effect(call, find, problem)
        raise AssertionError  # the last pause is None

    def _find_effect(
        self, call: PlannedCall, find: Callable[[], T | None], problem: CloudError
    ) -> T:
        """What a call without an answer has done, looked for twice: at once, and after AWS has had
        time to show it.
        """
        self._report.phase(f"no answer to {call.name}: checking its effect")
        for pause in (LOOK_AGAIN_S, None):
            with suppress(CloudError):  # a look that fails says nothing of the call
                if (effect := find()) is not None:
                    return effect
            if pause is not None:
                self._report.wait(pause)
        raise problem
