"""The checks of rules.toml that decide about a deploy."""

from toolkit.gates.base import CONFIRM_S, Gate, GateContext, GateFailure
from toolkit.operations import CheckStatus
from toolkit.targets.base import JudgedSettings


class CheckGate(Gate):
    """The checks that decide about a deploy. They may leave something behind, such as an order:
    they are repeated seldom.
    """

    name = "checks"
    every_s = first_s = 30.0

    def asked_for(self, settings: JudgedSettings) -> bool:
        """Whether it has checks."""
        return bool(settings.checks)

    def after(self, context: GateContext) -> GateFailure | None:
        """They have the grace period to pass."""
        return _failure(context, context.setup.grace_s)

    def look(self, context: GateContext) -> GateFailure | None:
        """They passed a moment ago."""
        return _failure(context, CONFIRM_S)


def _failure(context: GateContext, patience_s: float) -> GateFailure | None:
    """The failure that the checks show: one that failed, else one that could not be asked."""
    bad = context.setup.ask_checks(context.step, patience_s)
    for result in bad:
        if result.status == CheckStatus.FAILED:
            cause = f"check {result.check} did not pass: {result.cause}"
            return GateFailure(cause, check=result.check, shown=result.shown)
    for result in bad:
        if result.status == CheckStatus.UNKNOWN:
            cause = f"check {result.check} could not be run: {result.cause}"
            return GateFailure(cause, unknown=True, check=result.check)
    return None
