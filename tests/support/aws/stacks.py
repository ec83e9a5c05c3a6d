"""What becomes of a stack and of a change set: their state, and the scripts by which they change
over looks or seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.support.aws.clock import Step
from tests.support.aws.wire import Misuse

if TYPE_CHECKING:
    from tests.support.aws.cloudformation import CloudFormation

KINDS = ("success", "rollback", "rollback_failed", "failed", "never")
CHANGE_SETS = (
    "complete",
    "no_changes",
    "no_updates",
    "early_validation",
    "warn",
    "failed",
    "nested_failed",
    "never",
)
STACK = "AWS::CloudFormation::Stack"
REASONS = {
    "no_changes": (
        "The submitted information didn't contain changes. Submit different information to create a"
        " change set."
    ),
    "no_updates": "No updates are to be performed.",
    "early_validation": (
        "The following hook(s)/validation failed: [AWS::EarlyValidation::PropertyValidation]. To"
        " troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure"
        " information."
    ),
    "failed": (
        "Transform AWS::Serverless-2016-10-31 failed with: Invalid Serverless Application"
        " Specification document."
    ),
}
WARN = (
    "[WARN] --include-property-values option can return incomplete ChangeSet data because:"
    " ChangeSet creation failed for resource [{}] because: Template error: every Fn::GetAtt object"
    " requires two non-empty parameters"
)


@dataclass
class Course:
    """How the next operation on a stack goes; `CloudFormation.next` describes the fields."""

    kind: str = "success"
    seconds: float = 0.0
    looks: int = 0
    failing: str = ""
    reason: str = (
        'Resource handler returned message: "Invalid request" (RequestToken: 1, HandlerErrorCode:'
        " InvalidRequest)"
    )
    nested: str = ""
    own: str = ""
    stale: int = 0
    cleanup: bool = True
    outputs: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise Misuse(f"there is no course {self.kind}: {', '.join(KINDS)}")


@dataclass
class Resource:
    """A resource of a stack."""

    kind: str
    physical: str
    status: str
    updated: datetime
    reason: str = ""


@dataclass
class ChangeSet:
    """A change set. `plan` is one of CHANGE_SETS."""

    name: str
    arn: str
    kind: str
    created: datetime
    asked: dict[str, Any]
    plan: str
    changes: list[dict[str, Any]]
    reason: str
    validations: list[dict[str, Any]]
    seconds: float
    looks: int
    operation: str
    status: str = "CREATE_IN_PROGRESS"
    execution: str = "UNAVAILABLE"
    seen: int = 0
    token: str = ""


@dataclass
class Stack:
    """A stack. `old` is the status that stale reads still show."""

    name: str
    arn: str
    status: str
    created: datetime
    reason: str = ""
    template: str = "{}"
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    courses: list[Course] = field(default_factory=list)
    planned: list[dict[str, Any]] = field(default_factory=list)
    updated: datetime | None = None
    deleted: datetime | None = None
    drift: dict[str, Any] = field(default_factory=dict)
    protected: bool = False
    parent: str = ""
    role: str = ""
    capabilities: list[str] = field(default_factory=list)
    operation: str = ""
    operation_type: str = ""
    token: str = ""
    steps: list[Step] = field(default_factory=list)
    since: datetime | None = None
    looks: int = 0
    stale: int = 0
    old: str = ""

    @property
    def busy(self) -> bool:
        """Whether something goes on."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


class StackScript:
    """Plays the operations on one stack."""

    def __init__(self, cloud: "CloudFormation", stack: Stack) -> None:
        self._cloud, self._stack = cloud, stack

    def play(self) -> None:
        """Do what is due."""
        stack, now = self._stack, self._cloud.now()
        while stack.steps:
            step = stack.steps[0]
            due = (stack.since or now) + timedelta(seconds=step.seconds)
            if stack.looks < step.looks or now < due:
                return
            stack.steps.pop(0)
            stack.looks, stack.since = 0, due if step.seconds else now
            step.do()

    def begin(
        self,
        operation: str,
        kind: str,
        token: str,
        course: Course,
        changes: list[dict[str, Any]],
        done: Callable[[], None],
    ) -> None:
        """An operation: CREATE, UPDATE or DELETE, as the course says. `done` is for its success."""
        stack = self._stack
        stack.old, stack.stale = stack.status, course.stale
        stack.operation, stack.operation_type, stack.token = operation, kind, token
        stack.since, stack.looks = self._cloud.now(), 0
        verb = kind.partition("_")[0]
        self.becomes(f"{verb}_IN_PROGRESS", "User Initiated")
        if verb == "UPDATE":
            stack.updated = self._cloud.now()
        steps: list[Callable[[], None]] = []
        failing = course.failing or (
            changes[-1]["ResourceChange"]["LogicalResourceId"] if changes else "Service"
        )
        for change in changes:
            item = replace(course, kind="success") if course.own else course
            steps += self._resource(verb, change["ResourceChange"], item, failing)
        if course.kind == "never":
            steps = steps[:1]
        elif course.kind == "success":
            steps += self._success(verb, course, done)
        else:
            steps += self._failure(verb, course, failing)
        stack.steps = [Step(do, course.seconds, course.looks) for do in steps]

    def roll_back(
        self, kind: str, token: str, operation: str, reason: str, course: Course, first: str
    ) -> None:
        """An operation that leads back: ContinueUpdateRollback, RollbackStack,
        CancelUpdateStack.
        """
        stack = self._stack
        stack.operation, stack.operation_type, stack.token = operation, kind, token
        stack.since, stack.looks = self._cloud.now(), 0
        end = "ROLLBACK_COMPLETE" if first == "ROLLBACK_IN_PROGRESS" else "UPDATE_ROLLBACK_COMPLETE"
        if course.kind != "success":
            end = end.replace("_COMPLETE", "_FAILED")
        self.becomes(first, reason)
        stack.steps = [Step(lambda: self.becomes(end), course.seconds, course.looks)]

    def becomes(self, status: str, reason: str = "") -> None:
        """The stack's own status, with its event."""
        self._stack.status, self._stack.reason = status, reason
        self._cloud.event(self._stack, self._stack.name, STACK, status, reason, self._stack.arn)

    def _resource(
        self, verb: str, change: dict[str, Any], course: Course, failing: str
    ) -> list[Callable[[], None]]:
        """The events of one resource."""
        logical, kind = change["LogicalResourceId"], change["ResourceType"]
        verb = {"Add": "CREATE", "Modify": "UPDATE", "Remove": "DELETE", "Import": "IMPORT"}.get(
            change["Action"], verb
        )
        physical = (
            change.get("PhysicalResourceId")
            or f"{self._stack.name}-{logical}-{self._cloud.token('physical', 12).upper()}"
        )
        end, reason = f"{verb}_COMPLETE", ""
        if course.kind in ("rollback", "rollback_failed", "failed") and logical == failing:
            end, reason = f"{verb}_FAILED", course.reason
            if course.nested:
                return self._nested(verb, logical, physical, course)
        return [
            lambda: self._cloud.changed(
                self._stack, logical, kind, f"{verb}_IN_PROGRESS", "", physical
            ),
            lambda: self._cloud.changed(self._stack, logical, kind, end, reason, physical),
        ]

    def _nested(
        self, verb: str, logical: str, physical: str, course: Course
    ) -> list[Callable[[], None]]:
        """A nested stack whose resource `nested` fails."""
        cloud, stack = self._cloud, self._stack
        child = cloud.stack(
            f"{stack.name}-{logical}-{cloud.token('nested', 12).upper()}", f"{verb}_IN_PROGRESS"
        )
        child.parent = stack.arn
        word = {"CREATE": "created", "UPDATE": "updated", "DELETE": "deleted"}[verb]
        back = "UPDATE_ROLLBACK_IN_PROGRESS" if verb == "UPDATE" else "ROLLBACK_IN_PROGRESS"
        why = f"The following resource(s) failed to {verb.lower()}: [{course.nested}]. "

        def inner(status: str, reason: str = "") -> None:
            name = course.nested
            cloud.changed(child, name, "AWS::ECS::Service", status, reason, name.lower())

        def begin() -> None:
            cloud.changed(stack, logical, STACK, f"{verb}_IN_PROGRESS", "", child.arn)
            inner(f"{verb}_IN_PROGRESS")

        def fail() -> None:
            inner(f"{verb}_FAILED", course.reason)
            StackScript(cloud, child).becomes(back, why)
            words = (
                f"Embedded stack {child.arn} was not successfully {word}. Currently in {back} with"
                f" reason: {why}"
            )
            cloud.changed(stack, logical, STACK, f"{verb}_FAILED", words, child.arn)

        return [begin, fail]

    def _success(
        self, verb: str, course: Course, done: Callable[[], None]
    ) -> list[Callable[[], None]]:
        def end() -> None:
            done()
            if course.outputs is not None:
                self._stack.outputs = dict(course.outputs)
            self.becomes(f"{verb}_COMPLETE")

        if verb == "UPDATE" and course.cleanup:
            return [lambda: self.becomes("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), end]
        return [end]

    def _failure(self, verb: str, course: Course, failing: str) -> list[Callable[[], None]]:
        why = course.own or f"The following resource(s) failed to {verb.lower()}: [{failing}]. "
        if course.kind == "failed" or verb == "DELETE":
            return [lambda: self.becomes(f"{verb}_FAILED", why)]
        start = "UPDATE_ROLLBACK" if verb == "UPDATE" else "ROLLBACK"
        steps: list[Callable[[], None]] = [
            lambda: self.becomes(
                f"{start}_IN_PROGRESS", course.own or f"{why}Rollback requested by user."
            )
        ]
        if course.kind == "rollback_failed":
            return [*steps, lambda: self.becomes(f"{start}_FAILED", why)]
        if verb == "UPDATE" and course.cleanup:
            steps.append(lambda: self.becomes("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"))
        return [*steps, lambda: self.becomes(f"{start}_COMPLETE")]
