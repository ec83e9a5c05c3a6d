"""Going on with a run whose target another run has deployed in the meantime."""

from pathlib import Path

import pytest

from tests.run.simulated import Listener
from toolkit.flow import runs
from toolkit.model import Job, Place, Ran, Version
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import Real
from toolkit.ports.world import World
from toolkit.record.journal import Journal, read
from toolkit.record.ledger import Local, Record
from toolkit.record.state import Store, open_store
from toolkit.run import jobs as making
from toolkit.run.stop import Stop
from toolkit.targets import app

EARLIER, LATER = "20261120-100000-aaaa", "20261120-110000-bbbb"
JOB = Job(
    "app", "app", "app", "deploy", Place("dev"), app.Settings(cluster="c", service="s", repository="r"), Version("v1", "c1", "f1"),
    EARLIER, "token",
)  # fmt: skip


class Told:
    """Nobody listens, and nobody stops it."""

    listener, stop = Listener(None), Stop()


def resumed(store: Store, world: World) -> Ran:
    def still(job: Job) -> None:
        raise AssertionError("it is not to be deployed")

    return runs.resume(runs.Request(EARLIER, ["toolkit", "resume"], 1, False, 0, str, still), world, store, Told())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(str(tmp_path), str(tmp_path), Real(), lambda profile, region: Aws(profile, region or "eu-west-1"))


@pytest.fixture
def store(world: World) -> Store:
    """With a run that was planned, and of which nothing was begun."""
    found = open_store("p", world.root)
    Journal.create(found, EARLIER, {"jobs": [making.pack(JOB)]}, world.clock).close()
    return found


def recorded(store: Store, verdict: str) -> None:
    Local(store).put(Record("app", "dev", None, "v2", "c2", "f2", LATER, "2026-11-20T11:00:00", verdict))


def test_what_a_later_run_has_deployed_is_not_put_back(store: Store, world: World) -> None:
    recorded(store, "succeeded")
    ran = resumed(store, world)
    [outcome] = ran.outcomes
    assert (outcome.verdict, outcome.cause, ran.exit) == ("superseded", f"run {LATER} has deployed app since", 1)
    assert [entry.state for entry in read(store, EARLIER)] == ["run", "outcome", "note", "end"]


def test_a_later_run_that_failed_has_deployed_nothing(store: Store, world: World) -> None:
    recorded(store, "rolled-back")
    with pytest.raises(AssertionError, match="it is not to be deployed"):  # it goes on with the step
        resumed(store, world)
