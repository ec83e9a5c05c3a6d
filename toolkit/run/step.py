"""The life of one step: apply it, look until the cloud says how it ended, check it, and write that
down.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from typing import Any

from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import changed_advice
from toolkit.errors import (
    CloudError,
    ErrorClass,
    Expired,
    FileProblem,
    LockLost,
    NotAgreed,
    NotAllowed,
    Preempted,
    Refused,
    Stopped,
    Superseded,
    ToolkitError,
)
from toolkit.operations import (
    GOOD,
    Job,
    LiveVersion,
    Observation,
    Outcome,
    StepState,
    Usage,
    Verdict,
)
from toolkit.ports import debug, usage
from toolkit.ports.clock import Clock
from toolkit.record.journal import EntryState
from toolkit.run import outcomes, superseded
from toolkit.run.events import GateResult, LogLine, Notice, PhaseChanged, StepBegan
from toolkit.run.jobs import outdated_outputs
from toolkit.run.outcomes import SIGNED_OUT
from toolkit.run.pace import Pace
from toolkit.run.request import Answer, BegunStep, LogWriter, RunJournal, RunRequest

APPLIES = 2
"""How often a step is applied with its one token, if the cloud says that nothing of it is there."""
CERTAIN_AFTER_S = {StepState.ABSENT: 10.0, StepState.UNKNOWN: 30.0}
"""How far apart, in seconds, the first and the last look have to be that say so, all in a row,
before it counts.

AWS may take a while to show what it has accepted.
"""
MAX_REFUSED = 3
"""How many looks in a row may be refused for want of a permission; a new policy takes effect after
a moment.
"""
RESUMED_LEAST_S = 300.0
"""How long a step that an earlier process began is watched at least, in seconds: its deadline may
be over by now.
"""
PATIENCE_S = 30.0
"""How long a full disk is given to take a receipt, before it is printed instead."""
BAKING = "baking_since"
"""Under which name a receipt says that the step is live, and since when it has had to stay good."""


class StepExecution:
    """One process's part of one step. To its kind and its gates it is the `StepReport`: what is to
    be done is on disk before it is done.
    """

    def __init__(
        self,
        job: Job,
        request: RunRequest,
        journal: RunJournal,
        check_fence: Callable[[], None],
        begun: BegunStep | None = None,
        undone: LiveVersion | None = None,
    ) -> None:
        """`begun` is what an earlier process left of the step, `undone` the version that it is to
        replace, and nothing else.
        """
        self.job, self._request, self._undone = job, request, undone
        self._ports, self._clock = request.ports, request.ports.clock
        self.stop = request.stop
        """The request to stop the run."""
        self._journal, self._publish = journal, request.events.publish
        self.check_fence = check_fence
        """Raises LockLost if the target's lock is no longer ours: what was seen since may be
        somebody else's work.
        """
        self._kind = kind = targets.kind(job.kind)
        self._act, self._look = kind.apply, kind.observe
        if job.is_build:
            self._act, self._look = kind.build, kind.built
        self._pace = Pace(request.run)
        self._waited_s = begun.waited_s if begun else None
        self._receipt: dict[str, Any] = dict(begun.receipt) if begun else {}
        self._phase = ""
        self._phases = PhaseTimes(self._clock)
        self._announced = False
        self._acted = self._acted_before = begun is not None and begun.acted
        """Whether what runs may have been changed, or may still be changing."""
        self._prepared = False
        """Whether something was made outside of this machine that changes nothing yet."""
        self._lost = ""
        """Which call got no answer."""
        self.outcome: Outcome | None = None
        """How it ended, None before that, and where a bug has ended it."""
        self.bug: BaseException | None = None
        self.unwritten = False
        """Whether its end is missing in the journal or in the record, for want of room on the
        disk.
        """

    def carry_out(self, over: Callable[["StepExecution"], None] = lambda step: None) -> None:
        """Deploy it, check it, and write down how that ended. Never raises; `over` is called at
        the end, in any case.
        """
        with self._ended(over), usage.measured() as taken, self._concluded(taken):
            if not self._is_needed():
                return
            for attempt in range(APPLIES):
                # A resumed step may be at work: it is looked for before anything is done again.
                if attempt or self._waited_s is None:
                    self._check_basis()
                    self._phases.enter("build" if self.job.is_build else "prepare")
                    try:
                        self._act(self.job, self._ports, self)
                    except CloudError as problem:
                        if self._begins_again(problem, attempt):
                            continue
                if not self.job.is_build:
                    self._phases.enter("rollout")
                self.outcome = self._follow()
                if self.outcome is not None:
                    break
            else:
                cause = self._lost or "AWS accepted it, but then had no trace of it"
                self.outcome = outcomes.in_doubt(self.job, cause)
            if self.outcome.verdict in GOOD:
                if not self.job.is_build:
                    self._phases.enter("verify")
                self.outcome = self._verified(self.outcome)

    def skip(self, cause: str, still_open: bool) -> None:
        """Never begin it. `still_open`: a later process may."""
        outcome = Outcome(self.job.step, self.job.target, Verdict.SKIPPED, cause, open=still_open)
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        """Write down how it ended: the record, then the outcome. After a crash in between, the next
        process only looks again.

        If the disk accepts one of them no more, the step stays open: `resume` sees how it ended and
        writes that down.
        """
        self.outcome = outcome
        if outcome.open:
            return
        if self._is_recorded(outcome):
            self._record(outcome)
        if not self.outcome.open:
            self._write_end(outcome)

    def _is_recorded(self, outcome: Outcome) -> bool:
        """Whether its end says something of what is live: not that of a build, nor of what nobody
        has begun to change.
        """
        if self.job.is_build:
            return False
        if outcome.verdict is Verdict.SKIPPED:
            # Some of its parts may have been deployed.
            return self.job.parts is not None and self._journal.has_announced(self.job)
        if self.job.conditional and not self._acted and outcome.verdict is Verdict.UNCHANGED:
            return False  # nobody has looked at anything but outputs
        if outcome.verdict is not Verdict.CANCELLED or self._acted:
            return True
        return self._announced or self._journal.has_announced(self.job)

    # --- how it goes

    @contextmanager
    def _ended(self, over: Callable[["StepExecution"], None]) -> Iterator[None]:
        """Whatever happens inside, the step is over afterwards. A bug in it must not stop the
        others in the middle of a call: they end as they would.
        """
        try:
            self._publish(StepBegan(self.job))
            with closing(self._log):
                yield
        except BaseException as bug:
            self.bug = bug
        finally:
            over(self)

    @contextmanager
    def _concluded(self, taken: Callable[[], Usage]) -> Iterator[None]:
        """What ends the step inside, well or not, becomes its outcome, which is written down, with
        what it has `taken` on this machine.
        """
        began = self._clock.elapsed()
        # A step that was begun long ago gets some time nevertheless: it may have ended well
        # meanwhile.
        resumed, waited_s = self._waited_s is not None, self._waited_s or 0.0
        least_s = RESUMED_LEAST_S if resumed else 0.0
        if resumed:
            usage.exclude("what an earlier process did", sends=True)
        self._deadline = began + max(self.job.deadline_s - waited_s, least_s)
        try:
            yield
            outcome = self.outcome
        except ToolkitError as problem:
            outcome = self._ended_by(problem)
        assert outcome is not None  # noqa: S101 (whatever is inside has set it, or raised)
        redact = self._request.redact
        self._end(
            replace(
                outcome,
                cause=redact(outcome.cause),
                next=changed_advice(outcome.next, redact),
                log=tuple(map(redact, outcome.log)),
                took_s=round(self._clock.elapsed() - began + waited_s, 2),
                adopted=resumed,
                usage=taken(),
            )
        )

    def _is_needed(self) -> bool:
        """Whether the step has to be done. A conditional one does if the outputs that it uses have
        changed, or if nobody can tell.
        """
        job = self.job
        if not job.conditional or not job.consumed or self._waited_s is not None:
            return True
        self.phase("checking the outputs that it uses")
        current: bool | None = None
        with suppress(CloudError):
            current = self._kind.uses_current_outputs(job, self._ports)
        outdated = outdated_outputs(job, current)
        if not outdated:
            sources = ", ".join(source.target for source in job.consumed)
            cause = f"the outputs of {sources} that it uses have not changed"
            self.outcome = Outcome(job.step, job.target, Verdict.UNCHANGED, cause)
            return False
        self.tell(f"{outdated}: it is deployed, too")
        return True

    def _check_basis(self) -> None:
        """Check, right before the effect, that it is still what was agreed to: files may have
        changed while other steps were deployed. Raises StalePlan, Superseded.
        """
        self._request.still(self.job)
        if self._undone is not None:
            superseded.check_still_live(self.job, self._kind, self._undone, self._ports)

    def _begins_again(self, problem: CloudError, attempt: int) -> bool:
        """Whether the step is applied again after a call that got no answer, without a look: what
        only prepares cannot be seen yet. Raises the problem if it was an answer.
        """
        if problem.error_class not in (ErrorClass.UNREACHABLE, ErrorClass.THROTTLED):
            raise problem
        if self._acted:
            # Perhaps only the answer was lost: look before anything is done again.
            self._lost = f"{problem}, and there is no trace of it"
            self.phase(f"checking its result: {problem}")
            return False
        if attempt or not self._prepared:
            raise problem  # nothing that runs was changed, so that nothing is in doubt
        # There is nothing to look at yet. What was made already is found by the step's token, once
        # AWS shows it.
        self.phase(f"trying once more: {problem}")
        self.wait(CERTAIN_AFTER_S[StepState.ABSENT])
        return True

    def _verified(self, outcome: Outcome) -> Outcome:
        """The outcome after the checks. Raises Stopped if nothing was changed that would have to be
        checked.
        """
        try:
            return self._request.verify(self.job, outcome, self)
        except Stopped:
            if outcome.verdict is not Verdict.SUCCEEDED:
                raise
            cause = "it is live, but its checks were not done"
            if BAKING in self._receipt:
                cause = "it is live, but its bake was not over"
            if isinstance(self.stop.problem, Preempted):
                cause = f"{cause}: {self.stop.problem}"
            return replace(
                outcome, verdict=Verdict.IN_DOUBT, cause=cause, next=outcomes.RESUME, open=True
            )

    def _ended_by(self, problem: ToolkitError) -> Outcome:
        """The outcome of a step that was ended by the person, the disk, the credentials, a lock,
        somebody else's deploy, or an answer.
        """
        job, stop = self.job, self.stop
        if isinstance(problem, Stopped):
            return self._let_go(stop.problem if isinstance(stop.problem, Preempted) else None)
        if isinstance(problem, (*SIGNED_OUT, LockLost)):
            stop.ask(problem=problem)  # it is so for all steps
            return self._let_go(problem)
        if isinstance(problem, Superseded):
            return outcomes.failed(job, problem, Verdict.SUPERSEDED)
        if isinstance(problem, NotAgreed) and not self._acted:
            return outcomes.failed(job, problem, Verdict.CANCELLED)
        if isinstance(problem, FileProblem):
            # A full disk stops the run: then it is not this step's own file that is wrong.
            is_open = self._acted or isinstance(stop.problem, FileProblem)
        else:
            # What a step is to undo is live, and not well: that is gone on with, also where nothing
            # was begun yet.
            goes_on = self._acted or bool(job.undoes)
            is_open = goes_on and problem.is_unanswered and not isinstance(problem, NotAllowed)
        return self._let_go(problem) if is_open else outcomes.failed(job, problem)

    def _let_go(self, problem: ToolkitError | None) -> Outcome:
        return outcomes.stopped(self.job, self._acted, self._prepared, problem)

    # --- looking

    def _follow(self) -> Outcome | None:
        """Look until the step has ended or its time is over. None: there has been no trace of it
        for a while. A look that fails says nothing about the step.
        """
        looks = _Looks(self, self._clock.elapsed())
        while True:
            asked_at = self._clock.elapsed()
            try:
                looks.observation = self._look(
                    self.job, self.receipt, self._ports, looks.observation
                )
                looks.refused = 0
            except Expired:
                raise
            except CloudError as problem:
                looks.refused += 1
                if self._is_hopeless(problem, looks.refused):
                    return self._let_go(problem)
            if looks.observation is not None and not looks.refused:
                looks.take_in(looks.observation, self._clock.elapsed())
                if looks.is_over(asked_at):
                    if looks.state == StepState.ABSENT:
                        return None
                    return outcomes.observed(self.job, looks.observation, looks.cause)
                self._abandon(looks)
            now = self._clock.elapsed()
            if now >= self._deadline:
                return outcomes.timed_out(self.job, looks.state, looks.cause)
            pause = self._pace.until_next(now, now - looks.began, looks.refused)
            self.wait(min(pause, self._deadline - now))

    def _is_hopeless(self, problem: CloudError, refused: int) -> bool:
        """Whether later looks will be refused as well. Raises the problem if a person has to do
        something first, which stops the whole run.
        """
        if refused == MAX_REFUSED:
            if isinstance(problem, SIGNED_OUT):
                raise problem
            if isinstance(problem, NotAllowed):
                return True
        self.phase(f"cannot check it: {problem}" if refused > 1 else "checking again")
        return False

    def _abandon(self, looks: "_Looks") -> None:
        """Stop a deploy that cannot succeed, once. If that is refused, the cloud comes to the same
        end later, and is watched until then.
        """
        if looks.observation is None or not looks.observation.doomed or looks.abandoned:
            return
        looks.abandoned = True
        try:
            self._kind.abandon(self.job, self.receipt, self._ports, self)
        except SIGNED_OUT:
            raise
        except (CloudError, Refused) as problem:
            self.tell(f"could not stop it: {problem}")

    # --- what is written down

    @cached_property
    def _log(self) -> LogWriter:
        """Only a step that begins has one."""
        return self._journal.log(self.job.step)

    @property
    def receipt(self) -> Mapping[str, Any]:
        """What the cloud has answered for this step so far."""
        return dict(self._receipt)

    def phase(self, words: str) -> None:
        """Say what the step is doing now."""
        if words != self._phase:
            self._phase = words
            words = self._request.redact(words)
            self._log.write(f"-- {words}")
            debug.tell("phase", self.job.step, words)
            self._publish(PhaseChanged(self.job.step, words))

    def log(self, line: str) -> None:
        """Write a line to the log, and show it beside the phase."""
        line = self._request.redact(line)
        self._log.write(line)
        self._publish(LogLine(self.job.step, line))

    def tell(self, line: str) -> None:
        """Write a line to the log, and show it to the person at once."""
        line = self._request.redact(line)
        self._log.write(line)
        self._notice(line)

    def _notice(self, text: str) -> None:
        self._publish(Notice(self.job.step, text))

    def judged(self, gate: str, good: bool | None, cause: str = "") -> None:
        """Say what a gate says: whether the step is good, None where that is unknown."""
        cause = self._request.redact(cause)
        debug.tell("gate", self.job.step, gate, good=good, cause=cause)
        self._publish(GateResult(self.job.step, gate, good, cause))

    def intend(self, call: str, **what: str) -> None:
        """Write down the next call, which changes what runs. Raises if it must not be made any
        more.
        """
        self.stop.check()
        self._refuse_unasked()
        if not self._announced:
            self.check_fence()  # who has lost the lock would write above who has it now
            self._write(self._announce)
            self._announced = True
        self._intend(call, what, {})
        # Before the call is made: after a crash it has to be looked for.
        self._acted_before, self._acted = self._acted, True

    def prepare(self, call: str, **what: str) -> None:
        """Write down the next call, which leaves everything that runs as it is: an upload, a
        revision that nothing uses yet.
        """
        self._refuse_unasked()
        self._intend(call, what, {"prepares": True})
        self._prepared = True

    def _refuse_unasked(self) -> None:
        """Raise NotAgreed for a call of a step that was to change nothing, and so was not asked
        about.
        """
        if self.job.step in self._request.unasked:
            problem = f"{self.job.target} has changed since it was checked, and nobody was asked"
            raise NotAgreed(problem, "run it again")

    def _intend(self, call: str, what: Mapping[str, str], more: Mapping[str, Any]) -> None:
        self.stop.check()
        self.check_fence()
        self._phases.enter("push" if self.job.is_build else "apply")
        facts = {"call": call, "token": self.job.token, "what": what, **more}
        self._write(lambda: self._journal.journal.append(EntryState.INTENT, self.job.step, **facts))
        debug.tell("intent", self.job.step, call, prepares=more.get("prepares"))
        parameters = " ".join(f"{name}={value}" for name, value in what.items())
        self._log.write(f"-> {call} {parameters}".rstrip())

    def _announce(self) -> None:
        """Record that the step begins. A step that undoes another needs no announcement: the record
        says already that the other one is in doubt. And a bad version has to be replaced even if
        nothing can be recorded. A build is about nothing that is live.
        """
        if not self.job.undoes and not self.job.is_build:
            self._journal.announce(self.job)

    def _write(self, write: Callable[[], None]) -> None:
        """Write; if the disk is full, stop the run. Raises FileProblem."""
        try:
            write()
        except FileProblem as problem:
            self.stop.ask(problem=problem)
            raise

    def turned_away(self) -> None:
        """Take back the last intent: the cloud has clearly refused the call."""
        self._acted = self._acted_before

    def keep(self, **facts: Any) -> None:
        """Write down what the cloud answered. A full disk is given time: the effect exists and must
        not be forgotten.
        """
        self._receipt.update(facts)
        deadline = self._clock.elapsed() + PATIENCE_S
        while True:
            try:
                self._journal.journal.append(EntryState.ACCEPTED, self.job.step, receipt=facts)
                debug.tell("receipt", self.job.step, *facts)
                return
            except FileProblem as problem:
                self.stop.ask(problem=problem)
                if self._clock.elapsed() >= deadline:
                    # The last place left for it: a person can give it to the provider's own tools.
                    self._notice(f"could not be written down: {self.job.step} {facts}")
                    raise
                self._clock.wait(1.0)

    def _record(self, outcome: Outcome) -> None:
        try:
            self._journal.record(self.job, outcome)
        except FileProblem as problem:
            self._leave_open(outcome, "what is live could not be recorded", problem)
        except ToolkitError as problem:
            self._notice(f"what is live could not be recorded: {problem}")

    def _write_end(self, outcome: Outcome) -> None:
        facts: dict[str, Any] = {
            "verdict": outcome.verdict,
            "cause": outcome.cause,
            "next": outcome.next,
            "took_s": outcome.took_s,
            "live": _without_bodies(outcome.live),
        }
        if outcome.usage is not None:
            facts["usage"] = outcome.usage
        if outcome.untouched:
            facts["untouched"] = True
        if phases := self._phases.seconds():
            facts["phases"] = phases
        try:
            self._journal.journal.append(EntryState.OUTCOME, self.job.step, **facts)
        except FileProblem as problem:
            what = f"its end ({outcome.verdict}) could not be written down"
            self._leave_open(outcome, what, problem)

    def _leave_open(self, outcome: Outcome, what: str, problem: FileProblem) -> None:
        """The step is over, but that could not be written down."""
        self.stop.ask(problem=problem)
        self.unwritten = True
        self._notice(f"{what}: {problem}")
        next = ("make room on the disk, then:", outcomes.RESUME)
        self.outcome = replace(outcome, open=True, next=next)

    # --- the person, and the time

    def consent(self, question: str, flag: str) -> None:
        """Ask for consent. Raises NotAgreed, which names the flag, if it is not given."""
        self.phase(f"waiting for confirmation: {question}")
        answer = self._request.ask(self.job.step, question)
        if answer is None:
            raise NotAgreed(
                f"confirmation needed: {question.rstrip('?')}", f"add {flag} to confirm in advance"
            )
        if not answer:
            raise NotAgreed(
                f"not confirmed: {question.rstrip('?')}", f"{flag} confirms this in advance"
            )

    def check(self) -> None:
        """Raises Stopped if the run is to stop."""
        self.stop.check()

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer to a question that changes nothing. Raises Stopped as soon as the run is to
        stop, answered or not.
        """
        return self.stop.unless(question)

    def wait(self, seconds: float) -> None:
        """Wait. Raises Stopped as soon as the run is to stop."""
        self.stop.wait(self._clock, seconds)


class PhaseTimes:
    """How long each phase of a step took in this process: `build` and `push` of a build; of others
    `prepare` (up to the first call that makes or changes something), `apply`, `rollout`, `verify`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._took_s: dict[str, float] = {}
        self._phase = ""
        self._since_s = 0.0

    def enter(self, phase: str) -> None:
        """Begin with a phase, and end the one before."""
        now = self._clock.elapsed()
        if self._phase:
            took_s = self._took_s.get(self._phase, 0.0)
            self._took_s[self._phase] = took_s + now - self._since_s
        self._phase, self._since_s = phase, now

    def seconds(self) -> dict[str, float]:
        """Phase -> seconds, up to now."""
        self.enter(self._phase)
        return {phase: round(took_s, 2) for phase, took_s in self._took_s.items()}


class _Looks:
    """What the looks at one step say so far."""

    def __init__(self, step: StepExecution, began: float) -> None:
        self._step = step
        self.began = self._since = began
        self.state: StepState | None = None
        """What the looks say, and `_since` when all of them."""
        self.observation: Observation | None = None
        self.refused = 0
        """How many looks in a row were refused."""
        self.cause = ""
        """The first cause that was shown: it stays the cause, whatever follows from it."""
        self.abandoned = False

    def take_in(self, observation: Observation, now: float) -> None:
        """Show what is new, and remember since when the state has been the same."""
        step, state, cause = self._step, observation.state, observation.cause
        debug.tell("look", step.job.step, state=state, sure=observation.sure, cause=cause)
        for line in observation.lines:
            step.log(line)
        if observation.phase:
            step.phase(observation.phase)
        if cause and not self.cause and state != StepState.DONE:
            self.cause = cause
            step.tell(cause)
            for line in observation.log:
                step.log(line)
        if state != self.state:
            self.state, self._since = state, now

    def is_over(self, asked_at: float) -> bool:
        """Whether the last look, which began at `asked_at`, says how it ended."""
        if self.observation is None or self.state == StepState.RUNNING:
            return False
        if self.observation.sure or self.state not in CERTAIN_AFTER_S:
            return True
        # By when it was asked and not answered: a slow answer says how it was then.
        return asked_at - self._since >= CERTAIN_AFTER_S[self.state]


def _without_bodies(live: LiveVersion | None) -> LiveVersion | None:
    """What the journal stores of what is live: a template may be large, and is stored beside the
    record.
    """
    if live is None:
        return None
    return replace(live, deployed=replace(live.deployed, body="", stack=""))
