"""The states that a stack can be in, and what is done about them."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from toolkit.advice import ShellCommand
from toolkit.errors import Refused
from toolkit.ports.aws.client import Aws
from toolkit.targets.base import flag
from toolkit.targets.stack import events

Stack = Mapping[str, Any]
"""A stack as DescribeStacks has it."""

CFN = "cloudformation"
UPDATABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "IMPORT_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)
WHOLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
"""A stack in one of these is what its template says."""


class StackRecovery(Struct, frozen=True):
    """How a stack that cannot be updated is brought to where it can be, after a person has
    agreed.
    """

    operation: str
    question: str
    statement: str
    """The same for whoever is only told of it."""
    consent: str
    """The option that agrees in advance."""
    token: str
    """What ends the client request token of this call: each call of a step has its own."""

    @property
    def flag(self) -> str:
        """How that option is written."""
        return flag(self.consent)

    @property
    def call(self) -> str:
        """`cloudformation:DeleteStack`."""
        return f"{CFN}:{''.join(part.title() for part in self.operation.split('_'))}"


_AGAIN = ("recreate", "d")
_BACK = ("continue_rollback", "r")
RECOVERIES = {
    "ROLLBACK_COMPLETE": StackRecovery(
        "delete_stack",
        "its creation failed: delete {stack} and create it again?",
        "its creation failed, so {stack} will be deleted and created again",
        *_AGAIN,
    ),
    "ROLLBACK_FAILED": StackRecovery(
        "delete_stack",
        "its creation failed, and so did its rollback: delete {stack} and create it again?",
        "its creation and its rollback failed, so {stack} will be deleted and created again",
        *_AGAIN,
    ),
    "CREATE_FAILED": StackRecovery(
        "delete_stack",
        "its creation failed half-way: delete {stack} with everything in it, and create it again?",
        "its creation failed half-way, so {stack} will be deleted with everything in it, and"
        " created again",
        *_AGAIN,
    ),
    "UPDATE_FAILED": StackRecovery(
        "rollback_stack",
        "its last update failed half-way: roll {stack} back first?",
        "its last update failed half-way, so {stack} will be rolled back first",
        *_BACK,
    ),
    "UPDATE_ROLLBACK_FAILED": StackRecovery(
        "continue_update_rollback",
        "its last rollback got stuck: continue the rollback of {stack}?",
        "its last rollback got stuck, so the rollback of {stack} will be continued first",
        *_BACK,
    ),
}


def refuse_hopeless(aws: Aws, stack: Stack) -> None:
    """Raise Refused for a state that only a person can end."""
    status, name = str(stack["StackStatus"]), str(stack["StackName"])
    if status == "DELETE_FAILED":
        failed = failed_resources(aws, stack)
        raise Refused(
            f"stack {name} could not be deleted: {', '.join(failed) or 'see its events'}",
            ("delete it for good first:", delete_command(name, failed)),
        )
    if not status.endswith("_IN_PROGRESS") and status not in (*UPDATABLE, *RECOVERIES):
        raise Refused(
            f"stack {name} is {status}, which toolkit cannot fix",
            ("see", ShellCommand("aws cloudformation describe-stacks --stack-name", (name,))),
        )


def refuse_protected(stack: Stack, recovery: StackRecovery) -> None:
    """Raise Refused for a stack that would have to be deleted, and may not be."""
    if recovery.operation == "delete_stack" and stack.get("EnableTerminationProtection"):
        name = stack["StackName"]
        raise Refused(
            f"stack {name} is {stack['StackStatus']} and protected against deletion",
            ShellCommand(
                "aws cloudformation update-termination-protection"
                " --no-enable-termination-protection --stack-name",
                (name,),
            ),
        )


def events_command(name: str) -> ShellCommand:
    """The command that shows what happened to a stack."""
    return ShellCommand("aws cloudformation describe-stack-events --stack-name", (name,))


def delete_command(name: str, failed: tuple[str, ...]) -> ShellCommand:
    """The command that deletes a stack whose deletion has failed, without the resources that it
    failed at.
    """
    how = ("--retain-resources", *failed) if failed else ("--deletion-mode", "FORCE_DELETE_STACK")
    return ShellCommand("aws cloudformation delete-stack --stack-name", (name, *how))


def failed_resources(aws: Aws, stack: Stack) -> tuple[str, ...]:
    """The resources that the last operation on a stack failed at."""
    return events.read_events(aws, str(stack["StackId"]), None, events.StackMark())[0].failed


def busy_words(status: str) -> str:
    """What to say while another operation runs."""
    return f"another operation runs on it: waiting for {status} to end"
