"""Locks on this machine, and the patience of who waits for one (T5, S34, H1)."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from tests.record.parts import ROUNDS, ManualClock, SkippingClock, make_store, seeded, someone
from toolkit.errors import FileProblem, LockHeld, LockLost, Refused, StateDamaged, Stopped
from toolkit.operations import Location
from toolkit.ports import processes
from toolkit.ports.processes import Process
from toolkit.record.flocks import Flocks
from toolkit.record.holder import Holder, decode, encode, holder
from toolkit.record.locks import Locks, lock_name
from toolkit.record.state import Store

APP, API = "dev/eu-west-1/app", "dev/eu-west-1/api"
ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


def locks(store: Store, clock: ManualClock | None = None) -> Locks:
    return Locks([Flocks(store)], clock or SkippingClock(), lambda low, high: high)


def nobody(name: str, by: Holder) -> None:
    pytest.fail(f"told of {name}")


def file_of(store: Store) -> Path:
    return next(Path(store.path("locks")).glob("*app.lock"))


def test_a_lock_is_named_by_where_the_target_is() -> None:
    assert lock_name(Location("dev", "eu-west-1"), "app") == APP
    assert lock_name(Location(), "app") == "-/-/app"


def test_one_run_holds_a_target_until_it_releases_it(store: Store) -> None:
    """H1."""
    first = locks(store).take([APP], someone("1"), 0, nobody)
    with pytest.raises(LockHeld) as problem:
        locks(store).take([APP], someone("2"), 0, nobody)
    assert problem.value.facts == {
        "target": APP,
        "owner": "ada@elsewhere",
        "since": "2026-11-20T12:00:00+00:00",
        "command": "toolkit deploy app",
    }
    first.check_fence()
    assert first.release() == ()
    assert first.release() == ()
    second = locks(store).take([APP], someone("2"), 0, nobody)
    assert second.previous == ()
    second.release()


def test_other_targets_are_free(store: Store) -> None:
    """H2."""
    first = locks(store).take([APP], someone("1"), 0, nobody)
    second = locks(store).take([API, "prod/eu-west-1/app"], someone("2"), 0, nobody)
    assert (first.names, second.names) == ((APP,), (API, "prod/eu-west-1/app"))
    first.release()
    second.release()


def test_all_locks_are_taken_or_none(store: Store) -> None:
    first = locks(store).take([APP], someone("1"), 0, nobody)
    with pytest.raises(LockHeld):
        locks(store).take(["a/a/a", APP, "z/z/z"], someone("2"), 0, nobody)
    locks(store).take(["a/a/a", "z/z/z"], someone("3"), 0, nobody).release()
    first.release()


def test_who_waits_is_told_once_and_early_for_whom(store: Store) -> None:
    clock, notes = SkippingClock(), list[tuple[str, str, float]]()
    first = locks(store).take([APP], someone("1"), 0, nobody)
    with pytest.raises(LockHeld):
        locks(store, clock).take(
            [APP],
            someone("2"),
            60,
            lambda name, by: notes.append((name, by.id, round(clock.elapsed() - 1000, 3))),
        )
    assert notes == [(APP, "1", 0.4)]
    assert round(clock.elapsed() - 1000, 3) == 60
    first.release()


def test_tries_come_further_and_further_apart(store: Store) -> None:
    clock = SkippingClock()
    first = locks(store).take([APP], someone("1"), 0, nobody)
    with pytest.raises(LockHeld):
        locks(store, clock).take([APP], someone("2"), 100, lambda *_: None)
    assert [round(seconds, 3) for seconds in clock.waited] == [
        0.4,
        2,
        4,
        8,
        16,
        16,
        16,
        16,
        16,
        5.6,
    ]
    first.release()


def test_who_waits_gets_it_when_it_is_released(store: Store) -> None:
    first = locks(store).take([APP], someone("1"), 0, nobody)

    def notes(name: str, by: Holder) -> None:
        assert first.release() == ()

    second = locks(store).take([APP], someone("2"), 60, notes)
    second.check_fence()
    second.release()


def test_who_waits_can_be_stopped(store: Store) -> None:
    stop = Event()
    first = locks(store).take([APP], someone("1"), 0, nobody)
    stop.set()
    with pytest.raises(Stopped):
        locks(store, ManualClock()).take([API, APP], someone("2"), 60, nobody, stop)
    locks(store).take([API], someone("3"), 0, nobody).release()
    first.release()


def test_a_lock_whose_file_was_removed_is_lost_for_good(store: Store) -> None:
    held = locks(store).take([APP], someone("1"), 0, nobody)
    held.check_fence()
    file_of(store).unlink()
    for _ in range(2):
        with pytest.raises(LockLost, match="its file was removed"):
            held.check_fence()
    assert held.lost.is_set()
    second = locks(store).take([APP], someone("2"), 0, nobody)
    held.release()
    with pytest.raises(LockHeld):
        locks(store).take([APP], someone("3"), 0, nobody)
    second.release()


def test_who_ended_without_release_is_named_to_the_next_one(store: Store) -> None:
    """K11: a dead process holds nothing, and its tokens are handed on."""
    store.subfolder("locks")
    locks(store).take([APP], someone("1"), 0, nobody).release()
    file_of(store).write_bytes(encode(someone("dead", tokens=("t1", "t2")), APP))
    held = locks(store).take([APP], someone("2"), 0, nobody)
    assert [(item.id, item.tokens) for item in held.previous] == [("dead", ("t1", "t2"))]
    held.release()
    assert locks(store).show() == []


def test_a_lock_is_a_file_that_no_child_inherits(store: Store) -> None:
    held = locks(store).take([APP], someone("1"), 0, nobody)
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
    ) as child:
        held.release()
        locks(store).take([APP], someone("2"), 0, nobody).release()
        child.communicate(b"\n")


def test_a_link_in_place_of_a_lock_is_refused(store: Store, tmp_path: Path) -> None:
    locks(store).take([APP], someone("1"), 0, nobody).release()
    path = file_of(store)
    path.unlink()
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(StateDamaged, match="it is a link"):
        locks(store).take([APP], someone("1"), 0, nobody)
    assert not (tmp_path / "precious").exists()


def test_a_folder_without_locks_is_refused_with_the_way_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H17."""

    def flock(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(FileProblem, match="TOOLKIT_STATE_DIR"):
        locks(store).take([APP], someone("1"), 0, nobody)


# show and release by hand


def test_show_names_who_holds_what_without_disturbing_it(store: Store) -> None:
    held = locks(store).take([APP, API], someone("1"), 0, nobody)
    assert [(name, by and by.id, where) for name, by, where in locks(store).show()] == [
        (API, "1", "local"),
        (APP, "1", "local"),
    ]
    held.check_fence()
    held.release()
    assert locks(store).show() == []


def test_a_live_holder_is_not_released_by_hand(store: Store) -> None:
    held = locks(store).take([APP], holder("r1", "toolkit deploy", ManualClock().now()), 0, nobody)
    with pytest.raises(Refused, match=f"process {os.getpid()}"):
        locks(store).force_release(APP, "1")
    held.check_fence()
    held.release()


def test_a_dead_holder_is_released_by_its_id_only(store: Store) -> None:
    locks(store).take([APP], someone("1"), 0, nobody).release()
    file_of(store).write_bytes(encode(someone("dead"), APP))
    with pytest.raises(Refused, match="another holder"):
        locks(store).force_release(APP, "other")
    assert locks(store).show()[0][0] == APP
    assert locks(store).force_release(APP, "dead") == ("local",)
    with pytest.raises(Refused, match="is not locked"):
        locks(store).force_release(APP, "dead")


HOSTILE: dict[str, bytes] = {
    "ten megabytes": b"x" * 10_000_000,
    "no JSON": b"\x1b[2K{{{",
    "a list": b"[]",
    "deep nesting": b"[" * 60_000,
    "wrong types": json.dumps({"who": 1}).encode(),
    "long words": encode(someone("1", command="x" * 5000), APP),
    "bytes": bytes(range(256)),
    "a bomb of digits": b'{"pid": ' + b"9" * 60_000 + b"}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_body_that_makes_no_sense_is_told_of_and_can_be_released(store: Store, name: str) -> None:
    """S34."""
    locks(store).take([APP], someone("1"), 0, nobody).release()
    file_of(store).write_bytes(HOSTILE[name])
    [(actual, by, _)] = locks(store).show()
    assert actual == APP
    assert by is not None
    assert by.problem
    assert max(map(len, (by.who, by.command, by.problem))) < 100
    assert locks(store).force_release(APP, by.id) == ("local",)
    assert locks(store).show() == []


def test_escapes_in_a_body_stay_data(store: Store) -> None:
    """S34: they are quoted where they are shown."""
    item = someone("1", who="\x1b]0;evil\x07")
    assert decode(encode(item, APP), "x") == item
    assert decode(encode(item, APP) + b"what is left of a longer body", "x") == item


def test_nobody_can_write_that_a_holder_has_a_problem() -> None:
    body = json.loads(encode(someone("1"), APP)) | {"problem": "\x1b[2K"}
    assert decode(json.dumps(body).encode(), "x").problem == ""


# Is a process still there?


def test_a_process_is_alive_until_it_is_not() -> None:
    me = processes.current_process()
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as child:
        process = Process(me.host, me.boot, child.pid, processes._start_and_state(child.pid)[0])
        assert processes.is_running(me) is True
        assert processes.is_running(process) is True
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert processes.is_running(process) is False, (
            "it waits to be collected, and does nothing more"
        )
    assert processes.is_running(process) is False


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"started": "1"}, False),
        ({"boot": "another/pid:[1]"}, None),
        ({"host": "elsewhere"}, None),
        ({"pid": 0}, None),
        ({"pid": -1}, None),
        ({"boot": ""}, None),
        ({"pid": 1 << 70}, False),
        ({"started": ""}, True),
    ],
)
def test_a_number_alone_proves_nothing(changed: dict[str, str | int], verdict: bool | None) -> None:
    """H26: after a restart the same number is another process; a machine of the same name may be
    another one.
    """
    me = processes.current_process()
    facts: dict[str, str | int] = {
        "host": me.host,
        "boot": me.boot,
        "pid": me.pid,
        "started": me.started,
    }
    assert processes.is_running(Process(**{**facts, **changed})) is verdict  # type: ignore[arg-type]


# T5: races of real processes


RACER = """
import os, random, sys, time
from toolkit.errors import LockHeld
from toolkit.ports.clock import SystemClock
from toolkit.record.flocks import Flocks
from toolkit.record.holder import holder
from toolkit.record.locks import Locks
from toolkit.record.state import Store
folder, seed = sys.argv[1], int(sys.argv[2])
chance = random.Random(seed)
locks = Locks([Flocks(Store(folder))], SystemClock())
def runs(pid):
    try:
        with open("/proc/" + pid + "/stat") as file:
            return file.read().split()[2] not in "ZX"
    except OSError:
        return False
while True:
    names = chance.sample(["a/a/a", "b/b/b"], chance.randint(1, 2))
    try:
        held = locks.take(names, holder("r", "race", SystemClock().now()), 0, lambda *_: None)
    except LockHeld:
        time.sleep(chance.random() * 0.002)
        continue
    for name in held.names:
        path = os.path.join(folder, "witness-" + name[0])
        try:
            with open(path, "x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            with open(path) as file:
                other = file.read()
            time.sleep(0.05)  # a killed process lets its locks go a moment before it is gone
            if other and runs(other):
                sys.stdout.write("two holders\\n"); sys.stdout.flush(); os._exit(1)
            with open(path, "w") as file:
                file.write(str(os.getpid()))
    held.check_fence()
    time.sleep(chance.random() * 0.002)
    for name in held.names:
        os.unlink(os.path.join(folder, "witness-" + name[0]))
    held.release()
    sys.stdout.write(".\\n"); sys.stdout.flush()
"""


def test_of_many_processes_one_holds_a_lock_whoever_is_killed(store: Store) -> None:
    rounds = kills = 0
    with seeded("races") as chance:

        def start() -> "subprocess.Popen[bytes]":
            argv = [sys.executable, "-c", RACER, store.folder, str(chance.randrange(1 << 30))]
            return subprocess.Popen(argv, stdout=subprocess.PIPE, env=ENV)

        racers = [start() for _ in range(3)]
        try:
            while rounds < 120 * ROUNDS:
                racer = chance.choice(racers)
                assert racer.stdout is not None
                readline = racer.stdout.readline()
                assert readline == b".\n", readline
                rounds += 1
                if chance.random() < 0.1:
                    racer.send_signal(signal.SIGKILL)
                    rest, _ = racer.communicate()
                    assert b"two" not in rest
                    kills += 1
                    racers.remove(racer)
                    racers.append(start())
        finally:
            for racer in racers:
                racer.kill()
                racer.communicate()
    assert kills
    held = locks(store).take(["a/a/a", "b/b/b"], someone("last"), 0, nobody)
    held.release()
