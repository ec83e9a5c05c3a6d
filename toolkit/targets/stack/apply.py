"""Deploy one stack: bring it into a state that can be updated, make a change set, show it, and
execute it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from toolkit.advice import NextCommand, ShellCommand
from toolkit.errors import CloudError, Refused, Stopped, Throttled, Unreachable
from toolkit.operations import Job
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.targets.base import Report, flag
from toolkit.targets.stack import (
    changes,
    compare,
    deployed,
    events,
    observe,
    sources,
    stack_status,
    synthesis,
)
from toolkit.targets.stack import template as templates
from toolkit.targets.stack.observe import change_set_name, stack_name
from toolkit.targets.stack.stack_status import CFN, RECOVERIES, UPDATABLE, Stack, StackRecovery
from toolkit.targets.times import iso_utc

Found = TypeVar("Found")

NO_CHANGE = ("The submitted information didn't contain changes.", "No updates are to be performed")


def apply(job: Job, ports: Ports, report: Report) -> None:
    """See targets/base.py."""
    if _was_executed(job, ports.aws(job.location), report):
        return
    report.phase("synthesizing" if job.settings.cdk else "reading the template")
    _StackDeploy(job, ports, report, sources.load_source(job, ports, report)).run()


def _was_executed(job: Job, aws: Aws, report: Report) -> bool:
    """Whether an earlier process has executed the change set; only its answer may have been
    lost.
    """
    receipt = report.receipt
    if receipt.get("executed") or receipt.get("unchanged"):
        return True
    where = str(receipt.get("stack_id") or stack_name(job))
    change_set = cfn.change_set(
        aws, str(receipt.get("change_set") or change_set_name(job.token)), where
    )
    if change_set is None:
        # A change set that is gone tells nothing; the stack's events do.
        done = bool(receipt.get("change_set")) and observe.was_executed(job, aws, where, receipt)
    else:
        done = str(change_set.get("ExecutionStatus", "")).startswith("EXECUTE_")
    if done:
        if change_set:
            facts = {
                "stack_id": change_set["StackId"],
                "change_set": change_set["ChangeSetId"],
                "created": _created_at(change_set),
            }
        else:
            facts = {}
        report.keep(executed=True, **facts)
    return done


class _StackDeploy:
    """One deploy of one stack, from its template to the moment when CloudFormation has taken
    over.
    """

    def __init__(
        self, job: Job, ports: Ports, report: Report, source: sources.ChangeSetSource
    ) -> None:
        self.job, self.ports, self.report, self.source = job, ports, report, source
        self.aws = ports.aws(job.location)
        self.until = ports.clock.elapsed() + job.deadline_s

    def run(self) -> None:
        """All of it."""
        stack = self._updatable_stack()
        self.report.keep(stack=synthesis.keep(self.job, self.ports, self.source, self.report))
        new = stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS"
        # A template that is too long to be sent has no summary before it lies in its bucket.
        summary = compare.summary(self.aws, self.source, uploaded=False)
        uploaded = not summary
        if uploaded:
            summary = self._upload()
        alike = stack is not None and not new and self._is_same(stack, summary)
        same = alike and not (self.job.options.force or self.job.renews)
        if same and not compare.may_change_meaning(self.source, summary):
            self.report.keep(unchanged=True)
            return
        if not uploaded:
            summary = self._upload()
        request = self._request(stack, new, summary)
        if same and stack is not None and self._changes_nothing(stack, request):
            self.report.keep(unchanged=True)
            return
        if stack is not None and not new and not alike:
            request["Parameters"] = self._with_running_images(stack, request["Parameters"])
        # Twice: between the change set and its execution somebody else may have changed the stack.
        for attempt in range(2):
            change_set = self._change_set(request, attempt, fresh=stack is None)
            if change_set is None:
                self.report.keep(unchanged=True)
                return
            if self._confirm_and_execute(stack, new, change_set):
                return
        raise Refused(
            f"stack {self.source.name} changed twice while its change was being shown",
            "see who else deploys it, then try again",
        )

    def _is_same(self, stack: Stack, summary: Mapping[str, Any]) -> bool:
        return compare.is_same(
            self.source, cfn.template(self.aws, str(stack["StackId"])), stack, summary
        )

    # --- a state that can be updated

    def _updatable_stack(self) -> Stack | None:
        """The stack as soon as it can be updated, None if it has to be created."""
        mended: set[str] = set()
        while True:
            stack = self._poll(lambda: [cfn.stack(self.aws, self.source.name)])[0]
            if stack is None or stack["StackStatus"] in (*UPDATABLE, "REVIEW_IN_PROGRESS"):
                return stack
            status = str(stack["StackStatus"])
            if status.endswith("_IN_PROGRESS"):
                self._wait_for(stack, stack_status.busy_words(status), events.StackMark())
                continue
            stack_status.refuse_hopeless(self.aws, stack)
            # The same recovery twice would go on for ever.
            if status in mended:
                self._refuse_stuck(stack)
            self._recover(stack, RECOVERIES[status])
            mended.add(status)

    def _recover(self, stack: Stack, recovery: StackRecovery) -> None:
        stack_status.refuse_protected(stack, recovery)
        if not getattr(self.job.options, recovery.consent):
            self.report.consent(recovery.question.format(stack=self.source.name), recovery.flag)
        mark = events.mark_now(self.aws, str(stack["StackId"]))
        self.report.intend(recovery.call, stack=self.source.name)
        token = f"{self.job.token}-{recovery.token}"
        self.aws.write(
            CFN,
            recovery.operation,
            tokened=True,
            StackName=stack["StackId"],
            ClientRequestToken=token,
        )
        self.report.keep(mended=recovery.call)
        self._wait_for(
            stack, f"waiting for {recovery.call}", mark, token, str(stack["StackStatus"])
        )

    def _wait_for(
        self,
        stack: Stack,
        words: str,
        mark: events.StackMark,
        token: str | None = None,
        more_than: str = "",
    ) -> None:
        """Wait until the operation on a stack is over; its events go to the log. `more_than` is the
        state from before it.
        """
        self.report.phase(words)

        def over() -> str | None:
            nonlocal mark
            now = cfn.stack(self.aws, str(stack["StackId"]))
            # It was asked for by its id: one that is unknown was deleted.
            status = str(now["StackStatus"]) if now else "DELETE_COMPLETE"
            mark, lines = events.read_events(self.aws, str(stack["StackId"]), token, mark)
            for line in lines:
                self.report.log(line)
            busy = status.endswith("_IN_PROGRESS")
            changed = (
                not more_than
                or status != more_than
                or (mark.status and events.is_at_rest(mark.status))
            )
            return status if not busy and changed else None

        self._poll(over)
        if mark.cause:
            self.report.tell(mark.cause)

    def _refuse_stuck(self, stack: Stack) -> NoReturn:
        """It was recovered, and is in the same state again."""
        status, name = str(stack["StackStatus"]), self.source.name
        if status != "UPDATE_ROLLBACK_FAILED":
            raise Refused(
                f"stack {name} is {status} again",
                ("see why:", stack_status.events_command(name)),
            )
        failed = stack_status.failed_resources(self.aws, stack)
        raise Refused(
            f"the rollback of {name} is stuck at"
            f" {', '.join(failed) or 'a resource of a nested stack'}",
            (
                "fix the cause, or leave them out:",
                ShellCommand(
                    "aws cloudformation continue-update-rollback --stack-name",
                    (name, "--resources-to-skip", *failed),
                ),
            ),
        )

    # --- the change set

    def _upload(self) -> dict[str, Any]:
        """Put what is missing into its buckets; what CloudFormation then makes of the template."""
        for asset in sources.missing_assets(self.aws, self.source):
            self.report.check()
            sources.upload(self.aws, self.source, asset, self.report)
        return compare.summary(self.aws, self.source, uploaded=True)

    def _request(
        self, stack: Stack | None, new: bool, summary: Mapping[str, Any]
    ) -> dict[str, Any]:
        before = (stack or {}).get("Tags") or ()
        digest = deployed.template_digest(self.source.text)
        marks = templates.marks(self.job.version, self.job.run, digest)
        existing = None if new else stack
        request = {
            "StackName": self.source.name,
            **self.source.template_argument,
            "Parameters": compare.parameters(self.source, summary, existing),
            "Capabilities": compare.capabilities(summary),
            "ChangeSetType": "CREATE" if new else "UPDATE",
            # Without it, changes inside nested stacks would not be shown.
            "IncludeNestedStacks": True,
            "Tags": templates.tags(before, self.source.tags, marks),
            # CloudFormation allows 1,024 characters.
            "Description": f"toolkit run {self.job.run}, {self.job.version.name}"[:1024],
        }
        if (stack or {}).get("NotificationARNs"):
            request["NotificationARNs"] = list((stack or {})["NotificationARNs"])
        if self.source.role:
            return {**request, "RoleARN": self.source.role}
        return request

    def _with_running_images(
        self, stack: Stack, parameters: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The parameters of a change set, where those that name an image which deploy-app has put
        live since have its name.
        """
        running = compare.running_images(self.aws, self.source, stack)
        for name, value in running.items():
            self.report.log(f"parameter {name} is {value}: the image that deploy-app deployed")
        request = []
        for parameter in parameters:
            name = parameter["ParameterKey"]
            if name in running:
                parameter = {"ParameterKey": name, "ParameterValue": running[name]}
            request.append(parameter)
        return request

    def _changes_nothing(self, stack: Stack, request: Mapping[str, Any]) -> bool:
        """Whether a template that looks things up elsewhere still means what it did: only a change
        set with the tags of before can tell.
        """
        probe = {**request, "Tags": templates.tags(stack.get("Tags") or (), self.source.tags, {})}
        change_set = self._create_change_set(
            probe, f"{change_set_name(self.job.token)}-probe", f"{self.job.token}-probe"
        )
        failed = change_set["Status"] == "FAILED"
        self._delete_change_set(change_set, False)
        return failed and _says_no_change(change_set)

    def _change_set(
        self, request: Mapping[str, Any], attempt: int, fresh: bool
    ) -> dict[str, Any] | None:
        """A change set that can be executed, None if there is nothing to change. Raises CloudError
        where it fails.
        """
        name = change_set_name(self.job.token, attempt)
        # A token of its own: CloudFormation answers a known one with the first change set.
        token = f"{self.job.token}-{attempt + 1}" if attempt else self.job.token
        change_set = self._create_change_set(request, name, token)
        if change_set["Status"] != "FAILED":
            return change_set
        if _says_no_change(change_set):
            self._delete_change_set(change_set, fresh)
            return None
        reasons = self._failure_reasons(change_set)
        self._delete_change_set(change_set, fresh)
        for reason in reasons[1:]:
            self.report.tell(reason)
        raise CloudError(call="cloudformation:CreateChangeSet", reason=reasons[0])

    def _create_change_set(
        self, request: Mapping[str, Any], name: str, token: str
    ) -> dict[str, Any]:
        """A change set of this name, made now or before, once it is finished. Its id is kept before
        anything else is done with it.
        """
        self.report.phase("comparing")
        self.report.prepare(
            "cloudformation:CreateChangeSet",
            stack=self.source.name,
            change_set=name,
            type=str(request["ChangeSetType"]),
        )
        try:
            answer = self.aws.write(
                CFN,
                "create_change_set",
                tokened=True,
                **request,
                ChangeSetName=name,
                ClientToken=token,
            )
            where, stack_id = str(answer["Id"]), str(answer["StackId"])
        except CloudError as problem:
            # The name holds our token, so an existing one is ours: the answer to its creation was
            # lost.
            if problem.aws_code != "AlreadyExistsException":
                raise
            existing = cfn.change_set(self.aws, name, self.source.name)
            if existing is None:
                raise
            where, stack_id = str(existing["ChangeSetId"]), str(existing["StackId"])
        # Kept at once: after a crash the change set is found by it and not created again.
        self.report.keep(stack_id=stack_id, change_set=where)
        with _LeftoverNote(self.report, name):
            return self._poll(lambda: self._finished_change_set(where))

    def _finished_change_set(self, where: str) -> dict[str, Any] | None:
        change_set = cfn.change_set(self.aws, where)
        if change_set is None or change_set["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            return None
        return change_set

    def _failure_reasons(self, change_set: Mapping[str, Any]) -> list[str]:
        """Why a change set failed: at least one line. A nested one has the reason in itself; what
        validations and hooks say stands in its events only.
        """
        reason = " ".join(
            str(change_set.get("StatusReason") or "the change set failed without a reason").split()
        )
        nested = next((word.rstrip(".,") for word in reason.split() if ":changeSet/" in word), None)
        if nested and nested != change_set["ChangeSetId"]:
            inner = cfn.change_set(self.aws, nested)
            if inner is not None and inner.get("StatusReason"):
                return self._failure_reasons(inner)
        try:
            failures = cfn.change_set_failures(self.aws, str(change_set["ChangeSetId"]))
        except CloudError as problem:
            failures = [reason, f"its events could not be read: {problem}"]
        return failures or [reason]

    def _delete_change_set(self, change_set: Mapping[str, Any], with_stack: bool) -> None:
        """Take away a change set that is not going to be executed, and the empty stack that was
        made for it.
        """
        name, stack = str(change_set["ChangeSetName"]), str(change_set["StackId"])
        try:
            self.report.prepare(
                "cloudformation:DeleteChangeSet", stack=self.source.name, change_set=name
            )
            self.aws.write(
                CFN, "delete_change_set", tokened=True, ChangeSetName=change_set["ChangeSetId"]
            )
            now = cfn.stack(self.aws, stack) if with_stack else None
            if now is not None and now["StackStatus"] == "REVIEW_IN_PROGRESS":
                self.report.prepare("cloudformation:DeleteStack", stack=self.source.name)
                self.aws.write(
                    CFN,
                    "delete_stack",
                    tokened=True,
                    StackName=stack,
                    ClientRequestToken=f"{self.job.token}-x",
                )
        except CloudError as problem:
            self.report.tell(
                f"change set {name} was not executed and could not be removed: {problem}"
            )

    # --- its execution

    def _confirm_and_execute(
        self, stack: Stack | None, new: bool, change_set: dict[str, Any]
    ) -> bool:
        """Show it, have it agreed to, and execute it. False if it no longer fits the stack."""
        effects = self._effects(change_set, stack, new)
        sent = {
            "template": deployed.template_digest(self.source.text),
            "artifacts": sources.artifacts(self.source),
        }
        self.report.keep(
            resources=len(change_set["Changes"]), created=_created_at(change_set), **sent
        )
        with _LeftoverNote(self.report, str(change_set["ChangeSetName"])):
            try:
                self._ask_consent(stack, new, effects)
                self.report.check()
            except Refused:
                # Somebody said no: nothing of ours stays behind in the account.
                self._delete_change_set(change_set, stack is None)
                raise
            self._protect(stack)
            return self._execute(change_set)

    def _effects(
        self, change_set: Mapping[str, Any], stack: Stack | None, new: bool
    ) -> list[changes.ResourceChange]:
        before: Any = {}
        if stack is not None and not new:
            before = cfn.template(self.aws, str(stack["StackId"]))
        effects = changes.effects(
            change_set["Changes"], compare.known_properties(before, self.source.template)
        )
        for change in change_set["Changes"]:
            inner = change.get("ResourceChange", {}).get("ChangeSetId")
            if inner:
                effects += self._nested(
                    str(inner), f"{change['ResourceChange']['LogicalResourceId']}/"
                )
        return sorted(effects, key=changes.rank)

    def _nested(self, where: str, within: str) -> list[changes.ResourceChange]:
        change_set = cfn.change_set(self.aws, where) or {}
        effects = changes.effects(change_set.get("Changes") or (), lambda _: (None, None), within)
        for change in change_set.get("Changes") or ():
            inner = change.get("ResourceChange", {}).get("ChangeSetId")
            if inner:
                effects += self._nested(
                    str(inner), f"{within}{change['ResourceChange']['LogicalResourceId']}/"
                )
        return effects

    def _ask_consent(
        self, stack: Stack | None, new: bool, effects: list[changes.ResourceChange]
    ) -> None:
        self.report.phase("waiting for confirmation")
        touched = {effect.name for effect in effects}
        if stack is not None and not new:
            for line in compare.older_images(self.aws, self.source, stack, touched).lines:
                self.report.tell(line)
            for line in compare.replaced_code_warnings(self.aws, self.source, stack, touched):
                self.report.tell(line)
        for line in changes.effect_lines(effects, self.job.step):
            self.report.tell(line)
        for danger in changes.dangers(self.source.name, effects):
            if not getattr(self.job.options, danger.consent):
                self.report.consent(danger.question, flag(danger.consent))

    def _protect(self, stack: Stack | None) -> None:
        """Switch termination protection on where the CDK app wants it; it is never switched off
        from here.
        """
        if self.source.protected and not (stack or {}).get("EnableTerminationProtection"):
            self.report.prepare(
                "cloudformation:UpdateTerminationProtection", stack=self.source.name
            )
            self.aws.write(
                CFN,
                "update_termination_protection",
                tokened=True,
                StackName=self.source.name,
                EnableTerminationProtection=True,
            )

    def _execute(self, change_set: Mapping[str, Any]) -> bool:
        where = str(change_set["ChangeSetId"])
        self.report.intend(
            "cloudformation:ExecuteChangeSet",
            stack=self.source.name,
            change_set=str(change_set["ChangeSetName"]),
        )
        try:
            self.aws.write(
                CFN,
                "execute_change_set",
                tokened=True,
                ChangeSetName=where,
                ClientRequestToken=self.job.token,
            )
        except CloudError as problem:
            if problem.aws_code not in (
                "InvalidChangeSetStatus",
                "InvalidChangeSetStatusException",
                "ChangeSetNotFound",
            ):
                raise
            # Executed by an attempt whose answer was lost, or out of date: its status tells.
            now = cfn.change_set(self.aws, where)
            if now is None or not str(now.get("ExecutionStatus", "")).startswith("EXECUTE_"):
                return False
        self.report.keep(executed=True)
        self.report.phase("waiting for CloudFormation to begin")
        return True

    def _poll(self, look: Callable[[], Found | None]) -> Found:
        """Look until there is an answer. A look that is throttled or lost says nothing."""
        clock = self.ports.clock
        began = clock.elapsed()
        while True:
            try:
                answer = look()
            except (Throttled, Unreachable) as problem:
                self.report.phase(f"cannot see it: {problem}")
                answer = None
            if answer is not None:
                return answer
            now = clock.elapsed()
            if now >= self.until:
                words = (
                    f"stack {self.source.name} was not ready within {self.job.deadline_s // 60} min"
                )
                again = NextCommand("deploy-stack", (self.job.target,))
                raise Refused(words, ("once it is:", again))
            # Often at first, since many operations take seconds; then less, for AWS throttles.
            self.report.wait(min(1.0 + (now - began) / 10, 4.0))


class _LeftoverNote:
    """Tells whoever stops the run here about the change set that remains."""

    def __init__(self, report: Report, name: str) -> None:
        self._report, self._name = report, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, problem: object, trace: object) -> None:
        if isinstance(problem, Stopped):
            self._report.tell(
                f"change set {self._name} was not executed; `toolkit resume` continues with it"
            )


def abandon(job: Job, receipt: Mapping[str, Any], ports: Ports, report: Report) -> None:
    """See targets/base.py."""
    aws = ports.aws(job.location)
    stack = cfn.stack(aws, str(receipt.get("stack_id") or stack_name(job)))
    if (
        # CloudFormation can cancel updates only, and only ours is ours to cancel.
        stack is None
        or stack["StackStatus"] != "UPDATE_IN_PROGRESS"
        or not observe.was_executed(job, aws, str(stack["StackId"]), receipt)
    ):
        return
    report.intend("cloudformation:CancelUpdateStack", stack=stack_name(job))
    aws.write(
        CFN,
        "cancel_update_stack",
        tokened=True,
        StackName=stack["StackId"],
        ClientRequestToken=f"{job.token}-c",
    )


def _says_no_change(change_set: Mapping[str, Any]) -> bool:
    return any(str(change_set.get("StatusReason") or "").startswith(words) for words in NO_CHANGE)


def _created_at(change_set: Mapping[str, Any]) -> str | None:
    return iso_utc(change_set.get("CreationTime"))
