"""`python -m tests.run.signalled signalled -C FOLDER`: toolkit with one command more, which begins
a run of slow simulated steps.
"""

import os
from pathlib import Path
from time import sleep
from typing import Any

import click

from tests.run import simulated
from toolkit import targets
from toolkit.cli import deploy_options, deploying
from toolkit.cli.main import COMMANDS, main
from toolkit.flow import runs
from toolkit.gates.judge import Judge
from toolkit.record.state import open_store
from toolkit.run.request import files_never_change

TIMES = 30
"""How many times faster than the machine's clock the run's clock goes."""
RUN = "run-0"
STUCK_S = float(os.environ.get("SIMULATED_STUCK_S", "0"))
"""How long a call of the cloud takes to be answered, in seconds of the machine."""
SLOW = simulated.Settings(calls=("register", "move"), tokened=False, takes_s=6.0)


def _point(where: str, what: str) -> None:
    if what == "after register":
        sleep(STUCK_S)


@click.command()
@deploy_options.add
@click.pass_context
def signalled(ctx: click.Context, /, **arguments: Any) -> int:
    """Begin the run of a folder, or go on with it (`--confirm resume`)."""
    common = deploy_options.common_options(ctx, arguments)
    root = Path(common.folder)
    clock = simulated.Hurried(TIMES)
    ports = simulated.ports(
        root, clock, simulated.SimulatedCloud(root / "cloud", clock.elapsed, _point)
    )
    prepared = simulated.prepared(RUN, simulated.DIAMOND, dict.fromkeys(simulated.DIAMOND, SLOW))
    with deploying.terminal("deploy", common, prepared.jobs) as control:
        request = control.request(RUN, prepared.rules, ports, files_never_change, Judge({}, ports))
        opened = runs.start(request, prepared)
        if "resume" in common.confirm:
            opened = runs.resume(request, open_store(simulated.PROJECT, str(root)))
        with opened as execution:
            control.result = execution.carry_out()
    return control.exit


if __name__ == "__main__":
    targets.KINDS[simulated.KIND] = simulated.__name__
    COMMANDS["signalled"] = ("tests.run.signalled", "")
    main()
