"""What runs on this machine before a deploy, with its progress, and ended by Ctrl-C."""

from collections.abc import Sequence

from toolkit.cli import output, progress, signals
from toolkit.cli.deploy_options import DeployOptions
from toolkit.cli.redaction import redactor
from toolkit.errors import Stopped
from toolkit.flow.hooks import Hook, HookRun, run_hooks
from toolkit.model import Rules
from toolkit.ports.ports import Ports
from toolkit.run.events import Events
from toolkit.run.stop import Stop


def run(
    common: DeployOptions, run: str, hooks: Sequence[Hook], rules: Rules, ports: Ports
) -> int | None:
    """Run them. The exit code where a signal has ended them, None where they all went well. Raises
    ProgramFailed, Refused.
    """
    steps = [hook.step for hook in hooks]
    events = Events((progress.listener(steps, common.detail, several=True),))
    stop = Stop()
    request = HookRun(run, rules, ports, events, stop, common.parallel, redactor())

    def say_stopping(number: int) -> None:
        output.note("stopping; again to exit at once")

    def say_left(number: int) -> None:
        events.close()

    with signals.handled(stop, say_stopping, say_left):
        try:
            run_hooks(request, hooks)
        except Stopped:
            return 128 + (stop.signal or 2)
        finally:
            events.close()
    return None
