"""CloudFormation: stacks, change sets and events that go as a test wants.

    cloud = aws_endpoint.cloudformation cloud.stack("api", "UPDATE_COMPLETE", resources={"Service":
    "AWS::ECS::Service"}, template="{}", parameters={}, tags={}, outputs={})
    cloud.next_change_set("complete", changes=[cloud.change("Service", "AWS::ECS::Service",
    "Modify", Replacement="False")], looks=1)
    cloud.next_change_set("no_changes")       # also no_updates, early_validation (validations=[…]),
      warn, failed, nested_failed, never
    cloud.next("rollback", failing="Service", reason="…", looks=1)       # success, rollback,
      rollback_failed, failed, never

`next` is for whatever is done next to a stack: the execution of a change set, DeleteStack,
ContinueUpdateRollback, RollbackStack. Set `cloud.stacks["api"].status` for any state, `.drift`
(DriftInformation) for what a check of drift has found. A look is one DescribeStacks or
DescribeStackEvents of the stack.
"""

import copy
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.aws.stacks import (
    CHANGE_SETS,
    REASONS,
    STACK,
    WARN,
    ChangeSet,
    Course,
    Resource,
    Stack,
    StackScript,
)
from tests.support.aws.wire import AwsError, Misuse

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint

FIXED = frozenset(
    (
        "ROLLBACK_COMPLETE",
        "ROLLBACK_FAILED",
        "CREATE_FAILED",
        "DELETE_FAILED",
        "UPDATE_ROLLBACK_FAILED",
    )
)
"""States of a stack that no update starts from."""


class CloudFormation:
    """One region: `stacks` by name, those that are deleted only by their ids."""

    def __init__(self, endpoint: "Endpoint", region: str) -> None:
        self._endpoint, self._region = endpoint, region
        self.stacks: dict[str, Stack] = {}
        self._gone: list[Stack] = []
        self._courses: list[Course] = []
        self._plans: list[dict[str, Any]] = []

    # For tests

    def stack(
        self,
        name: str,
        status: str = "CREATE_COMPLETE",
        resources: dict[str, str] | None = None,
        template: str = "{}",
        parameters: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
        outputs: dict[str, str] | None = None,
    ) -> Stack:
        """A stack that is there, in any state; `resources` are types by logical id."""
        arn = self._endpoint.arn("cloudformation", f"stack/{name}/{self._uuid()}", self._region)
        created = Stack(
            name, arn, status, self.now(), "", template, parameters or {}, tags or {}, outputs or {}
        )
        for logical, kind in (resources or {}).items():
            physical = f"{name}-{logical}-{self.token('physical', 12).upper()}"
            created.resources[logical] = Resource(kind, physical, "CREATE_COMPLETE", self.now())
        self.stacks[name] = created
        self.event(created, name, STACK, status, "", arn)
        return created

    def next(self, kind: str = "success", stack: str = "", **more: Any) -> Course:
        """How the next operation goes, on a stack or on any. `seconds` and `looks`: between two
        steps. `failing`, `reason`: which resource fails, and why; `nested`: it is a nested stack,
        in which this resource fails. `own`: no resource fails, the stack itself does for this
        reason. `stale`: for how many reads of DescribeStacks the old status is shown. `cleanup`:
        whether there is a CLEANUP_IN_PROGRESS. `outputs`: the stack's afterwards.
        """
        course = Course(kind, **more)
        (self.stacks[stack].courses if stack else self._courses).append(course)
        return course

    def next_change_set(
        self,
        plan: str = "complete",
        changes: list[dict[str, Any]] | None = None,
        stack: str = "",
        reason: str = "",
        validations: list[dict[str, Any]] | None = None,
        seconds: float = 0.0,
        looks: int = 0,
    ) -> None:
        """How the next change set comes out: one of CHANGE_SETS, after so many seconds and looks at
        it. `validations` are members of the events of an early validation, `reason` replaces the
        usual words.
        """
        if plan not in CHANGE_SETS:
            raise Misuse(f"there is no change set {plan}: {', '.join(CHANGE_SETS)}")
        document = {
            "plan": plan,
            "changes": changes,
            "reason": reason,
            "validations": validations or [],
            "seconds": seconds,
            "looks": looks,
        }
        (self.stacks[stack].planned if stack else self._plans).append(document)

    def change(
        self, logical: str, kind: str = "AWS::ECS::Service", action: str = "Modify", **more: Any
    ) -> dict[str, Any]:
        """One change of a change set; `more` are members of ResourceChange."""
        details = [
            {
                "Target": {
                    "Attribute": "Properties",
                    "Name": "TaskDefinition",
                    "RequiresRecreation": "Never",
                },
                "Evaluation": "Static",
            }
        ]
        document: dict[str, Any] = {
            "Action": action,
            "LogicalResourceId": logical,
            "ResourceType": kind,
        }
        if action == "Modify":
            document |= {
                "Replacement": "False",
                "Scope": ["Properties"],
                "Details": details,
                "PhysicalResourceId": f"physical-{logical}",
            }
        return {"Type": "Resource", "ResourceChange": document | more}

    # For scripts

    def now(self) -> datetime:
        """The endpoint's time."""
        return self._endpoint.clock.now()

    def token(self, kind: str, length: int) -> str:
        """A name that looks random."""
        return self._endpoint.token(kind, length)

    def event(
        self, stack: Stack, logical: str, kind: str, status: str, reason: str, physical: str
    ) -> None:
        """One event, newest first."""
        document = {
            "StackId": stack.arn,
            "EventId": f"{logical}-{self._uuid()}",
            "StackName": stack.name,
            "LogicalResourceId": logical,
            "PhysicalResourceId": physical,
            "ResourceType": kind,
            "Timestamp": self.now(),
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "ClientRequestToken": stack.token,
            "OperationId": stack.operation,
        }
        stack.events.insert(
            0, {key: value for key, value in document.items() if value not in ("", None)}
        )

    def changed(
        self, stack: Stack, logical: str, kind: str, status: str, reason: str, physical: str
    ) -> None:
        """A resource has a new status."""
        stack.resources[logical] = Resource(kind, physical, status, self.now(), reason)
        self.event(stack, logical, kind, status, reason, physical)

    # Operations: change sets

    def create_change_set(self, params: dict[str, Any]) -> dict[str, Any]:
        """CreateChangeSet. The same name with the same token is the same change set."""
        kind, name = params.get("ChangeSetType", "UPDATE"), params["ChangeSetName"]
        stack = self._known(params["StackName"])
        if stack is not None:
            self._play(stack)
        if kind == "CREATE" and (stack is None or stack.status == "REVIEW_IN_PROGRESS"):
            stack = stack or self.stack(params["StackName"], "REVIEW_IN_PROGRESS")
        elif kind == "CREATE" and stack is not None:
            words = (
                f"Stack [{stack.name}] already exists and cannot be created again with the"
                f" changeSet [{name}]."
            )
            raise AwsError("ValidationError", words)
        elif stack is None or stack.status == "REVIEW_IN_PROGRESS":
            raise AwsError("ValidationError", f"Stack [{params['StackName']}] does not exist")
        elif stack.busy or stack.status in FIXED:
            raise AwsError(
                "ValidationError",
                f"Stack:{stack.arn} is in {stack.status} state and can not be updated.",
            )
        result = stack.change_sets.get(name)
        if result is not None:
            if result.asked.get("ClientToken") and result.asked.get("ClientToken") == params.get(
                "ClientToken"
            ):
                return {"Id": result.arn, "StackId": stack.arn}
            raise AwsError("AlreadyExistsException", f"ChangeSet {name} already exists")
        queue = stack.planned or self._plans
        plan = (
            queue.pop(0)
            if queue
            else {
                "plan": "complete",
                "changes": None,
                "reason": "",
                "validations": [],
                "seconds": 0.0,
                "looks": 0,
            }
        )
        if plan["changes"] is None:
            plan = {
                **plan,
                "changes": [self.change("Service", action="Modify" if kind == "UPDATE" else "Add")],
            }
        arn = self._endpoint.arn("cloudformation", f"changeSet/{name}/{self._uuid()}", self._region)
        change_set = ChangeSet(
            name, arn, kind, self.now(), copy.deepcopy(params), operation=self._uuid(), **plan
        )
        stack.change_sets[name] = change_set
        return {"Id": change_set.arn, "StackId": stack.arn}

    def describe_change_set(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeChangeSet: one look at it. Changes come in pages of a hundred."""
        stack, change_set = self._change_set(params)
        self._mature(change_set)
        change_set.seen += 1
        start = int(params.get("NextToken", 0))
        changes = change_set.changes if change_set.status == "CREATE_COMPLETE" else []
        answer: dict[str, Any] = {
            "ChangeSetName": change_set.name,
            "ChangeSetId": change_set.arn,
            "StackId": stack.arn,
            "StackName": stack.name,
            "CreationTime": change_set.created,
            "ExecutionStatus": change_set.execution,
            "Status": change_set.status,
            "Changes": changes[start : start + 100],
            "Parameters": change_set.asked.get("Parameters", []),
            "Tags": change_set.asked.get("Tags", []),
            "Capabilities": change_set.asked.get("Capabilities", []),
            "IncludeNestedStacks": change_set.asked.get("IncludeNestedStacks", False),
        }
        reason = self._why(change_set, bool(params.get("IncludePropertyValues")))
        answer |= {"StatusReason": reason} if reason else {}
        return answer | ({"NextToken": str(start + 100)} if start + 100 < len(changes) else {})

    def list_change_sets(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListChangeSets."""
        stack = self._stack(params)
        for each in stack.change_sets.values():
            self._mature(each)
        return {
            "Summaries": [
                {
                    "StackId": stack.arn,
                    "StackName": stack.name,
                    "ChangeSetId": each.arn,
                    "ChangeSetName": each.name,
                    "Status": each.status,
                    "ExecutionStatus": each.execution,
                    "CreationTime": each.created,
                }
                for each in stack.change_sets.values()
            ]
        }

    def execute_change_set(self, params: dict[str, Any]) -> dict[str, Any]:
        """ExecuteChangeSet. The same token again is the same execution."""
        stack, change_set = self._change_set(params)
        self._mature(change_set)
        self._play(stack)
        token = params.get("ClientRequestToken", "")
        if token and token == change_set.token:
            return {}
        if change_set.execution != "AVAILABLE":
            words = (
                f"ChangeSet [{change_set.arn}] cannot be executed in its current execution"
                " status of"
                f" [{change_set.execution}]"
            )
            raise AwsError("InvalidChangeSetStatus", words)
        if stack.busy:
            raise AwsError(
                "ValidationError",
                f"Stack:{stack.arn} is in {stack.status} state and can not be updated.",
            )
        for value in stack.change_sets.values():
            value.execution = "EXECUTE_COMPLETE" if value is change_set else "OBSOLETE"
        change_set.token = token
        kind = "CREATE_STACK" if change_set.kind == "CREATE" else "UPDATE_STACK"
        stack.capabilities, stack.role = (
            list(change_set.asked.get("Capabilities", [])),
            change_set.asked.get("RoleARN", ""),
        )
        StackScript(self, stack).begin(
            self._uuid(),
            kind,
            token,
            self._course(stack),
            change_set.changes,
            lambda: self._took(stack, change_set),
        )
        return {}

    def delete_change_set(self, params: dict[str, Any]) -> dict[str, Any]:
        """DeleteChangeSet; the empty stack of a first one stays, as in AWS."""
        stack, change_set = self._change_set(params)
        if change_set.status == "CREATE_IN_PROGRESS" and change_set.plan != "never":
            self._mature(change_set)
        del stack.change_sets[change_set.name]
        return {}

    # Operations: stacks

    def describe_stacks(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeStacks: one look at each."""
        result = [self._stack(params)] if "StackName" in params else list(self.stacks.values())
        message = []
        for stack in result:
            self._play(stack)
            message.append(self._said(stack))
            stack.looks += 1
            stack.stale = max(stack.stale - 1, 0)
        return {"Stacks": message}

    def describe_stack_events(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeStackEvents: one look, newest first, pages of a hundred."""
        stack = self._stack(params)
        self._play(stack)
        start = int(params.get("NextToken", 0))
        if not start:
            stack.looks += 1
        result = stack.events[start : start + 100]
        return {"StackEvents": result} | (
            {"NextToken": str(start + 100)} if start + 100 < len(stack.events) else {}
        )

    def describe_events(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeEvents: the validations of a change set, or the events of a stack's operation."""
        if "ChangeSetName" in params:
            stack, change_set = self._change_set(params)
            self._mature(change_set)
            base: dict[str, Any] = {
                "StackId": stack.arn,
                "OperationId": change_set.operation,
                "OperationType": "CREATE_CHANGESET",
            }
            usual = {
                "EventType": "VALIDATION_ERROR",
                "ValidationName": "PROPERTY_VALIDATION",
                "ValidationFailureMode": "FAIL",
                "ValidationStatus": "FAILED",
                "ValidationStatusReason": "extraneous key [Imagee] is not permitted",
                "ValidationPath": "/Resources/Service/Properties/Imagee",
                "LogicalResourceId": "Service",
                "ResourceType": "AWS::ECS::Service",
            }
            chosen = change_set.validations or (
                [{}] if change_set.plan == "early_validation" else []
            )
            base["Timestamp"] = self.now()
            return {
                "OperationEvents": [
                    {
                        key: value
                        for key, value in {
                            **base,
                            "EventId": f"validation-{n}",
                            **usual,
                            **each,
                        }.items()
                        if value is not None
                    }
                    for n, each in enumerate(chosen)
                ]
            }
        stack = self._stack(params)
        failed = params.get("Filters", {}).get("FailedEvents", False)
        events = [
            each
            for each in stack.events
            if params.get("OperationId") in (None, each.get("OperationId"))
        ]
        receipt = [
            each for each in events if not failed or each["ResourceStatus"].endswith("_FAILED")
        ]
        gone = ("StackName", "EventId")
        return {
            "OperationEvents": [
                {key: value for key, value in each.items() if key not in gone}
                | {"EventId": each["EventId"], "EventType": "STACK_EVENT"}
                for each in receipt
            ]
        }

    def describe_stack_resources(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeStackResources."""
        stack = self._stack(params)
        self._play(stack)
        return {
            "StackResources": [
                {
                    "StackName": stack.name,
                    "StackId": stack.arn,
                    "LogicalResourceId": logical,
                    "PhysicalResourceId": each.physical,
                    "ResourceType": each.kind,
                    "Timestamp": each.updated,
                    "ResourceStatus": each.status,
                }
                for logical, each in stack.resources.items()
                if params.get("LogicalResourceId") in (None, logical)
            ]
        }

    def list_stack_resources(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListStackResources in pages of a hundred."""
        stack = self._stack(params)
        self._play(stack)
        start = int(params.get("NextToken", 0))
        every = [
            {
                "LogicalResourceId": logical,
                "PhysicalResourceId": each.physical,
                "ResourceType": each.kind,
                "ResourceStatus": each.status,
                "LastUpdatedTimestamp": each.updated,
            }
            for logical, each in stack.resources.items()
        ]
        more = {"NextToken": str(start + 100)} if start + 100 < len(every) else {}
        return {"StackResourceSummaries": every[start : start + 100], **more}

    def get_template(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetTemplate of a stack or of a change set."""
        if "ChangeSetName" in params:
            return {
                "TemplateBody": self._template(self._change_set(params)[1].asked),
                "StagesAvailable": ["Original"],
            }
        return {
            "TemplateBody": self._stack(params).template,
            "StagesAvailable": ["Original", "Processed"],
        }

    def get_template_summary(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetTemplateSummary of a template or of a stack's."""
        text = self._stack(params).template if "StackName" in params else self._template(params)
        document = _parsed(text)
        types = [each["Type"] for each in document.get("Resources", {}).values()]
        parameters = [
            {
                "ParameterKey": key,
                "ParameterType": each.get("Type", "String"),
                "NoEcho": bool(each.get("NoEcho", False)),
            }
            | ({"DefaultValue": str(each["Default"])} if "Default" in each else {})
            for key, each in document.get("Parameters", {}).items()
        ]
        answer: dict[str, Any] = {"Parameters": parameters, "ResourceTypes": types}
        transforms = document.get("Transform", [])
        if transforms:
            answer["DeclaredTransforms"] = (
                transforms if isinstance(transforms, list) else [transforms]
            )
        roles = [
            each
            for each in document.get("Resources", {}).values()
            if each["Type"].startswith("AWS::IAM::")
        ]
        if roles:
            named = any(
                key.endswith("Name") for each in roles for key in each.get("Properties", {})
            )
            answer["Capabilities"] = ["CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"]
        return answer

    def validate_template(self, params: dict[str, Any]) -> dict[str, Any]:
        """ValidateTemplate."""
        return {
            "Parameters": [
                {"ParameterKey": key}
                for key in _parsed(self._template(params)).get("Parameters", {})
            ]
        }

    def delete_stack(self, params: dict[str, Any]) -> dict[str, Any]:
        """DeleteStack; one that is not there is deleted already."""
        stack = self._known(params["StackName"])
        if stack is None or stack in self._gone:
            return {}
        self._play(stack)
        if stack.protected:
            words = f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            raise AwsError("ValidationError", words)
        StackScript(self, stack).begin(
            self._uuid(),
            "DELETE_STACK",
            params.get("ClientRequestToken", ""),
            self._course(stack),
            [],
            lambda: self._took_away(stack),
        )
        self._play(stack)
        return {}

    def continue_update_rollback(self, params: dict[str, Any]) -> dict[str, Any]:
        """ContinueUpdateRollback."""
        self._back(
            params,
            ("UPDATE_ROLLBACK_FAILED",),
            "CONTINUE_ROLLBACK",
            "UPDATE_ROLLBACK_IN_PROGRESS",
            "continued rolling back",
        )
        return {}

    def rollback_stack(self, params: dict[str, Any]) -> dict[str, Any]:
        """RollbackStack, after a failure without a rollback."""
        stack = self._stack(params)
        first = (
            "ROLLBACK_IN_PROGRESS"
            if stack.status == "CREATE_FAILED"
            else "UPDATE_ROLLBACK_IN_PROGRESS"
        )
        self._back(params, ("CREATE_FAILED", "UPDATE_FAILED"), "ROLLBACK", first, "rolled back")
        return {"StackId": stack.arn, "OperationId": stack.operation}

    def cancel_update_stack(self, params: dict[str, Any]) -> dict[str, Any]:
        """CancelUpdateStack."""
        stack = self._stack(params)
        self._play(stack)
        if stack.status != "UPDATE_IN_PROGRESS":
            raise AwsError(
                "ValidationError", "CancelUpdateStack cannot be called from current stack status"
            )
        token = params.get("ClientRequestToken", "")
        StackScript(self, stack).roll_back(
            "UPDATE_STACK",
            token,
            stack.operation,
            "User Initiated",
            Course(),
            "UPDATE_ROLLBACK_IN_PROGRESS",
        )
        return {}

    # Helpers

    def _uuid(self) -> str:
        text = self.token("uuid", 32)
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def _course(self, stack: Stack) -> Course:
        queue = stack.courses or self._courses
        return queue.pop(0) if queue else Course()

    def _known(self, named: str) -> Stack | None:
        if named.startswith("arn:"):
            return next(
                (each for each in [*self.stacks.values(), *self._gone] if each.arn == named), None
            )
        return self.stacks.get(named)

    def _stack(self, params: dict[str, Any]) -> Stack:
        result = self._known(params["StackName"])
        if result is None:
            raise AwsError("ValidationError", f"Stack with id {params['StackName']} does not exist")
        return result

    def _change_set(self, params: dict[str, Any]) -> tuple[Stack, ChangeSet]:
        named = params["ChangeSetName"]
        for stack in self.stacks.values():
            for each in stack.change_sets.values():
                if named == each.arn or (
                    named == each.name and params.get("StackName") in (stack.name, stack.arn)
                ):
                    return stack, each
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{named}] does not exist", 404)

    def _mature(self, change_set: ChangeSet) -> None:
        """What has become of a change set by now."""
        passed = (self.now() - change_set.created).total_seconds()
        if (
            change_set.status != "CREATE_IN_PROGRESS"
            or change_set.plan == "never"
            or passed < change_set.seconds
            or change_set.seen < change_set.looks
        ):
            return
        if change_set.plan in ("complete", "warn"):
            change_set.status = "CREATE_COMPLETE"
            change_set.execution = (
                "AVAILABLE" if change_set.execution == "UNAVAILABLE" else change_set.execution
            )
        else:
            change_set.status = "FAILED"

    def _why(self, change_set: ChangeSet, values: bool) -> str:
        if change_set.plan == "warn" and change_set.status == "CREATE_COMPLETE":
            return (
                WARN.format(change_set.changes[0]["ResourceChange"]["LogicalResourceId"])
                if values
                else ""
            )
        if change_set.status != "FAILED":
            return ""
        if change_set.plan == "nested_failed" and not change_set.reason:
            child = self._endpoint.arn(
                "cloudformation",
                f"changeSet/{change_set.name}-nested/{change_set.operation}",
                self._region,
            )
            return f"Nested change set {child} was not successfully created: Currently in FAILED."
        return change_set.reason or REASONS[change_set.plan]

    def _took(self, stack: Stack, change_set: ChangeSet) -> None:
        """A change set has been executed."""
        if "TemplateBody" in change_set.asked or "TemplateURL" in change_set.asked:
            stack.template = self._template(change_set.asked)
        document = {
            each["ParameterKey"]: each["ParameterValue"]
            for each in change_set.asked.get("Parameters", [])
            if "ParameterValue" in each
        }
        stack.parameters = {**stack.parameters, **document}
        stack.tags = {each["Key"]: each["Value"] for each in change_set.asked.get("Tags", [])}
        for change in change_set.changes:
            if change["ResourceChange"]["Action"] == "Remove":
                stack.resources.pop(change["ResourceChange"]["LogicalResourceId"], None)

    def _took_away(self, stack: Stack) -> None:
        stack.deleted = self.now()
        self._gone.append(stack)
        del self.stacks[stack.name]

    def _back(
        self, params: dict[str, Any], states: tuple[str, ...], kind: str, first: str, word: str
    ) -> None:
        stack = self._stack(params)
        self._play(stack)
        if stack.status not in states:
            raise AwsError(
                "ValidationError",
                f"Stack:{stack.arn} is in {stack.status} state and can not be {word}.",
            )
        token = params.get("ClientRequestToken", "")
        StackScript(self, stack).roll_back(
            kind, token, self._uuid(), "User Initiated", self._course(stack), first
        )

    def _play(self, stack: Stack) -> None:
        StackScript(self, stack).play()

    def _template(self, params: dict[str, Any]) -> str:
        if "TemplateURL" not in params:
            return str(params.get("TemplateBody", "{}"))
        bucket, _, key = params["TemplateURL"].partition("://")[2].partition("/")[2].partition("/")
        result = self._endpoint.s3.buckets.get(bucket)
        if result is None or key not in result.objects:
            raise AwsError("ValidationError", "S3 error: Access Denied")
        return result.objects[key].body.decode()

    def _said(self, stack: Stack) -> dict[str, Any]:
        status = stack.old if stack.stale else stack.status
        document: dict[str, Any] = {
            "StackId": stack.arn,
            "StackName": stack.name,
            "CreationTime": stack.created,
            "LastUpdatedTime": stack.updated,
            "DeletionTime": stack.deleted,
            "StackStatus": status,
            "StackStatusReason": stack.reason or None,
            "DisableRollback": False,
            "Capabilities": stack.capabilities,
            "RoleARN": stack.role or None,
            "EnableTerminationProtection": stack.protected,
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in stack.parameters.items()
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
            "Outputs": [
                {"OutputKey": key, "OutputValue": value} for key, value in stack.outputs.items()
            ],
            "ParentId": stack.parent or None,
            "RootId": stack.parent or None,
            "DriftInformation": stack.drift or None,
        }
        if stack.operation and not stack.stale:
            document["LastOperations"] = [
                {"OperationType": stack.operation_type, "OperationId": stack.operation}
            ]
        return document


class _Loader(yaml.SafeLoader):
    """Reads a template's short functions (`!Ref`) as what they are about."""


def _tagged(loader: Any, suffix: str, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return (
        loader.construct_sequence(node)
        if isinstance(node, yaml.SequenceNode)
        else loader.construct_mapping(node)
    )


_Loader.add_multi_constructor("!", _tagged)


def _parsed(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = yaml.load(text, _Loader)  # noqa: S506 — a safe loader, with AWS's tags
    if not isinstance(document, dict):
        raise AwsError("ValidationError", "Template format error: unsupported structure.")
    return document
