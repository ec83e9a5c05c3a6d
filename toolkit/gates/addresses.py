"""The health addresses of a target: each has to answer, with the version that was deployed."""

from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

from toolkit import targets
from toolkit.checks import addresses
from toolkit.checks.base import CheckContext
from toolkit.errors import ToolkitError
from toolkit.gates.base import CONFIRM_S, Gate, GateContext, GateFailure
from toolkit.operations import Finding, HealthStatus, LiveVersion
from toolkit.targets.base import JudgedSettings

TRY_S = 10.0
"""How long one try of a health address may take."""
PAUSES_S = (0.5, 1.0, 2.0)
"""The pauses between tries; the last one from then on."""


class AddressGate(Gate):
    """The health addresses of a target."""

    name = "addresses"
    every_s = first_s = 5.0

    def asked_for(self, settings: JudgedSettings) -> bool:
        """Whether it has addresses."""
        return bool(settings.addresses)

    def after(self, context: GateContext) -> GateFailure | None:
        """They have the grace period to come up."""
        return _failure(context, context.setup.grace_s)

    def look(self, context: GateContext) -> GateFailure | None:
        """They were good a moment ago."""
        return _failure(context, CONFIRM_S)


def _failure(context: GateContext, patience_s: float) -> GateFailure | None:
    """An address that does not answer as it should, None if all do. They are retried for
    `patience_s` seconds in all.
    """
    job, setup, step, ports = context.job, context.setup, context.step, context.ports
    until = monotonic() + patience_s
    check_context = CheckContext(setup.policy, ports.aws, job.location, TRY_S)
    for url in job.settings.addresses:
        tries = 0

        def again(why: str) -> bool:
            nonlocal tries
            remaining = until - monotonic()
            if remaining <= 0:
                return False
            step.phase(f"waiting: {why}")
            step.wait(min(PAUSES_S[min(tries, len(PAUSES_S) - 1)], remaining))
            tries += 1
            return True

        def others(url: str = url) -> Iterator[LiveVersion | None]:
            for neighbour in setup.others.get(url, ()):
                with suppress(ToolkitError):
                    yield targets.kind(neighbour.kind).live(neighbour, ports)

        def ask(url: str = url) -> Finding:
            return step.ask(lambda: addresses.check_address(url, check_context))

        step.phase(f"asking {addresses.without_query(url)}")
        finding = addresses.wait_until_healthy(url, ask, job.version, again, others)
        if finding is not None:
            unknown = finding.status == HealthStatus.UNKNOWN
            cause = setup.redact(finding.cause)
            if unknown and finding.next and isinstance(finding.next, str):
                cause = f"{cause} ({finding.next})"
            return GateFailure(cause, unknown=unknown)
    return None
