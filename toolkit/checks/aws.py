"""A check that something of AWS is there and can be reached with these credentials: a bucket,
table, queue, topic, parameter or secret.
"""

from time import monotonic
from typing import Annotated

from msgspec import Meta

from toolkit.checks import base
from toolkit.errors import Unreachable
from toolkit.operations import Statement
from toolkit.ports.background import BackgroundTask, Timeout


class AwsSettings(base.CheckSettings, frozen=True, kw_only=True):
    """An AWS resource that has to exist."""

    aws: Annotated[
        str,
        Meta(
            pattern=r"^(?:bucket|table|queue|topic|parameter|secret):\S+$(?!\n)",
            description=(
                "`bucket:NAME`, `table:NAME`, `queue:NAME`, `topic:NAME`, `parameter:NAME` or"
                " `secret:NAME`."
            ),
        ),
    ]


Settings = AwsSettings


problem = base.no_problem
files = base.no_files
wrong_contents = base.any_contents
based = base.never_needs_base_url
host = base.no_host


def asks(settings: AwsSettings) -> str:
    """`AWS table:bookings`."""
    return f"AWS {settings.aws}"


def ask(settings: AwsSettings, context: base.CheckContext) -> base.CheckAnswer:
    """Look for it. Raises Missing, CloudError."""
    from toolkit.ports.aws import presence

    what, _, name = settings.aws.partition(":")
    location = context.location

    def look() -> str:
        return presence.look(context.aws(location), what, name, location.account)

    began = monotonic()
    try:
        # In a thread of its own: botocore tries again for longer than a check may take.
        detail = BackgroundTask(look).within(context.seconds)
    except Timeout:
        reason = f"it took longer than {context.seconds:g} s"
        raise Unreachable(call=f"{what} {name}", reason=reason) from None
    return base.CheckAnswer(monotonic() - began, detail=detail)


def permissions(settings: AwsSettings) -> tuple[Statement, ...]:
    """The IAM statements that it needs. Pure."""
    from toolkit.ports.aws import presence

    what, _, name = settings.aws.partition(":")
    return (Statement(f"check that {what} {name} exists", presence.ACTIONS[what]),)
