"""The journal: whole lines survive anything, anything else is refused (T3, T8, S30)."""

import errno
import json
import os
import stat
import subprocess
import sys
import time
from binascii import crc32
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from tests.record.parts import ROUNDS, Broken, make_store, seeded
from toolkit.errors import FileIsThere, FileProblem, LockHeld, Refused, StateDamaged
from toolkit.ports.disk import Disk
from toolkit.ports.processes import facts
from toolkit.record import journal
from toolkit.record.journal import (
    EntryState,
    Journal,
    JournalEntry,
    new_run_id,
    parse,
    path_of,
    read,
)
from toolkit.record.state import Store

RUN = "20261120-193742-x7k2"
ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
JOBS = [{"step": "app", "target": "app"}, {"step": "api@eu-west-1", "target": "api"}]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


def written(store: Store, run: str = RUN) -> bytes:
    """The bytes of a real journal."""
    created = Journal.create(
        store, run, {"command": ["toolkit", "deploy", "app"], "jobs": JOBS, **facts()}
    )
    created.append(
        EntryState.INTENT,
        "app",
        call="ecs:UpdateService",
        token="t1",
        what={"service": "backend \x1b[2K é \udcff"},
    )
    created.append(
        EntryState.ACCEPTED,
        "app",
        receipt={"deployment": "ecs-svc/1", "numbers": [1, 2.5, None, True]},
    )
    created.append(
        EntryState.INTENT, "api@eu-west-1", call="cloudformation:ExecuteChangeSet", token="t2"
    )
    created.append(EntryState.OUTCOME, "app", verdict="succeeded", took_s=1.5)
    created.append(EntryState.NOTE, text="slack: not sent")
    created.append(EntryState.END, exit=4, status="partial")
    created.close()
    return Path(created.path).read_bytes()


def uses(*function: Callable[[], object]) -> tuple[Callable[[], object], ...]:
    return function


def line(n: int, state: str = "note", run: str = RUN, **more: Any) -> bytes:
    """A line with a true checksum, as somebody who knows the format can write it."""
    document = {
        "v": 1,
        "n": n,
        "at": "2026-11-20T12:00:00.000+00:00",
        "run": run,
        "step": None,
        "state": state,
        "facts": {},
        **more,
    }
    body = json.dumps(document, separators=(",", ":"))[:-1].encode()
    return body + b',"crc":"%08x"}\n' % crc32(body)


def put(store: Store, data: bytes) -> Path:
    store.subfolder("runs")
    path = Path(path_of(store, RUN))
    path.write_bytes(data)
    return path


def reopened(store: Store) -> tuple[JournalEntry, ...]:
    created = Journal.reopen(store, RUN)
    created.close()
    return created.entries


def test_what_was_written_is_read(store: Store) -> None:
    written(store)
    entries = read(store, RUN)
    assert [(entry.n, entry.state, entry.step) for entry in entries] == [
        (1, "run", None),
        (2, "intent", "app"),
        (3, "accepted", "app"),
        (4, "intent", "api@eu-west-1"),
        (5, "outcome", "app"),
        (6, "note", None),
        (7, "end", None),
    ]
    assert entries[1].facts["what"] == {"service": "backend \x1b[2K é \udcff"}
    assert entries[2].facts["receipt"]["numbers"] == [1, 2.5, None, True]
    assert datetime.fromisoformat(entries[0].at).tzinfo == UTC
    assert reopened(store) == entries


def test_a_journal_is_for_its_owner_only(store: Store) -> None:
    written(store)
    assert stat.S_IMODE(os.stat(path_of(store, RUN)).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(store.path("runs")).st_mode) == 0o700


def test_a_name_is_taken_once(store: Store) -> None:
    data = written(store)
    with pytest.raises(FileIsThere):
        Journal.create(store, RUN, {})
    assert Path(path_of(store, RUN)).read_bytes() == data


def test_names_of_runs_sort_by_time_and_differ() -> None:
    first, second = (
        datetime(2026, 11, 20, 19, 37, 42, tzinfo=UTC),
        datetime(2026, 11, 20, 19, 37, 43, tzinfo=UTC),
    )
    assert new_run_id(first)[:16] == "20261120-193742-"
    assert new_run_id(first) < new_run_id(second)
    assert len({new_run_id(first) for _ in range(50)}) > 45


@pytest.mark.parametrize("run", ["../x", "", "a/b", ".hidden", "-x", "a\n", "x" * 65, "é"])
def test_what_cannot_be_a_run_is_refused(store: Store, run: str) -> None:
    for use in uses(
        lambda: read(store, run),
        lambda: Journal.create(store, run, {}),
        lambda: Journal.reopen(store, run),
    ):
        with pytest.raises(Refused, match="not the name of a run"):
            use()


def test_a_run_that_is_not_there_is_named(store: Store) -> None:
    for use in uses(lambda: read(store, RUN), lambda: Journal.reopen(store, RUN)):
        with pytest.raises(Refused, match=RUN):
            use()


def test_going_on_continues_the_numbers(store: Store) -> None:
    written(store)
    created = Journal.reopen(store, RUN)
    created.append(EntryState.NOTE, text="again")
    created.close()
    assert [entry.n for entry in read(store, RUN)] == list(range(1, 9))


# T3


def test_every_prefix_of_the_bytes_reopens_to_its_complete_lines(store: Store) -> None:
    data = written(store)
    entries = read(store, RUN)
    ends = [position + 1 for position, byte in enumerate(data) if byte == 10]
    for cut in range(len(data) + 1):
        whole = sum(end <= cut for end in ends)
        path = put(store, data[:cut])
        assert read(store, RUN) == entries[:whole]
        assert path.stat().st_size == cut, "reading changes nothing"
        assert reopened(store) == entries[:whole]
        assert path.stat().st_size == (ends[whole - 1] if whole else 0)


def test_going_on_after_a_torn_line_is_going_on_before_it(store: Store) -> None:
    data = written(store)
    put(store, data[:-5])
    created = Journal.reopen(store, RUN)
    created.append(EntryState.END, exit=0)
    created.close()
    assert [(entry.n, entry.state) for entry in read(store, RUN)][-2:] == [(6, "note"), (7, "end")]


def test_no_flipped_bit_is_ever_misread(store: Store) -> None:
    data = written(store)
    entries, _ = parse(data, RUN, "x")
    last = data.rindex(b"\n", 0, -1) + 1
    bits = len(data) * 8
    with seeded("flips") as chance:
        for bit in chance.sample(range(bits), min(2000, bits)) if ROUNDS < 10 else range(bits):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            try:
                actual, size = parse(bytes(flipped), RUN, "x")
            except StateDamaged:
                assert bit // 8 < last or flipped[bit // 8] == 10, (
                    f"bit {bit}: the last line is dropped, not refused"
                )
            else:
                assert bit // 8 >= last, f"bit {bit}: damage inside was not seen"
                assert (actual, size) == (entries[:-1], last)


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("bit", range(8))
def test_two_lines_that_became_one_are_not_taken_for_a_torn_one(
    store: Store, bit: int, torn: bool
) -> None:
    data = bytearray(written(store))
    data[data.rindex(b"\n", 0, -1)] ^= 1 << bit
    put(store, bytes(data[:-1] if torn else data))
    with pytest.raises(StateDamaged, match="line 6"):
        reopened(store)


@pytest.mark.parametrize("number", range(7))
def test_a_line_that_comes_twice_is_refused(store: Store, number: int) -> None:
    lines = written(store).splitlines(keepends=True)
    put(store, b"".join([*lines[: number + 1], *lines[number:]]))
    with pytest.raises(StateDamaged, match=f"line {number + 2} .*has the number {number + 1}"):
        reopened(store)


@pytest.mark.parametrize("number", range(6))
def test_lines_in_another_order_are_refused(store: Store, number: int) -> None:
    lines = written(store).splitlines(keepends=True)
    lines[number], lines[number + 1] = lines[number + 1], lines[number]
    put(store, b"".join(lines))
    with pytest.raises(StateDamaged, match=f"line {number + 1} "):
        reopened(store)


@pytest.mark.parametrize("number", range(6))
def test_a_missing_line_is_refused(store: Store, number: int) -> None:
    lines = written(store).splitlines(keepends=True)
    del lines[number]
    put(store, b"".join(lines))
    with pytest.raises(StateDamaged, match=f"line {number + 1} "):
        reopened(store)


# S30


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a step of another run's target": (
        line(2, "accepted", step="db", facts={"receipt": {}}),
        "is of a step that this run does not have",
    ),
    "a step's line with another target": (
        line(2, "accepted", step="app", facts={"target": "db"}),
        "is of another target than its step",
    ),
    "another run": (line(2, run="20261120-193742-zzzz"), "belongs to another run"),
    "an unknown state": (line(2, "approved"), "cannot be read"),
    "an unknown key": (line(2, extra=1), "cannot be read"),
    "a wrong type": (line(2, step=5), "cannot be read"),
    "a number as text": (line(2).replace(b'"n":2', b'"n":"2"'), "is damaged"),
    "ten megabytes": (line(2, facts={"x": "y" * 10_000_000}), "is longer than 1 MB"),
    "ten megabytes without an end": (b"x" * 10_000_000, "is longer than 1 MB"),
    "deep nesting": (
        line(2).replace(b'"facts":{}', b'"facts":{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
        "is damaged",
    ),
    "no text at all": (bytes(range(256)), "is damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_forged_line_is_refused_where_it_stands_and_left_alone(store: Store, name: str) -> None:
    forged, reason = HOSTILE[name]
    first = line(1, "run", facts={"jobs": JOBS})
    data = first + forged if "without" in name else first + forged + line(3)
    path = put(store, data)
    for use in uses(lambda: read(store, RUN), lambda: reopened(store)):
        with pytest.raises(StateDamaged) as problem:
            use()
        assert str(problem.value).startswith(f"{path}: line 2 (at byte {len(first)}) {reason}")
    assert path.read_bytes() == data


def test_a_true_checksum_over_what_nests_too_deep_is_refused(store: Store) -> None:
    body = (
        line(2)
        .partition(b',"crc"')[0]
        .replace(b'"facts":{}', b'"facts":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    )
    put(store, line(1, "run") + body + b',"crc":"%08x"}\n' % crc32(body))
    with pytest.raises(StateDamaged, match="cannot be read"):
        read(store, RUN)


def test_line_ends_of_another_system_are_refused(store: Store) -> None:
    data = written(store).replace(b"\n", b"\r\n")
    path = put(store, data)
    with pytest.raises(StateDamaged, match=r"line 1 .* is damaged"):
        reopened(store)
    assert path.read_bytes() == data


def test_a_single_damaged_line_is_not_taken_for_a_torn_one(store: Store) -> None:
    """Nothing is done before the first line is on disk: a whole but wrong one was changed later."""
    path = put(store, line(1, "run").replace(b'"facts"', b'"fakts"'))
    with pytest.raises(StateDamaged, match="line 1"):
        reopened(store)
    assert path.stat().st_size > 0


def test_a_journal_of_a_newer_version_is_left_as_it_is(store: Store) -> None:
    """H24."""
    path = put(store, b'{"v":2,"n":1,"seal":"of another kind"}\n')
    with pytest.raises(
        StateDamaged, match=r"another version of toolkit \(format 2, this one reads 1"
    ):
        reopened(store)
    assert path.stat().st_size > 0


def test_a_journal_that_does_not_begin_a_run_is_refused(store: Store) -> None:
    put(store, line(1, "note"))
    with pytest.raises(StateDamaged, match="does not begin a run"):
        read(store, RUN)


def test_a_journal_too_large_to_be_ours_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FILE_MOST", 2000)
    put(store, line(1, "run") + b"".join(line(n) for n in range(2, 50)))
    for use in uses(lambda: read(store, RUN), lambda: reopened(store)):
        with pytest.raises(StateDamaged, match="larger than"):
            use()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_is_no_file_is_neither_followed_nor_waited_for(
    store: Store, tmp_path: Path, kind: str
) -> None:
    store.subfolder("runs")
    path = Path(path_of(store, RUN))
    if kind == "link":
        (tmp_path / "real").write_bytes(line(1, "run"))
        path.symlink_to(tmp_path / "real")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    for use in uses(lambda: read(store, RUN), lambda: reopened(store)):
        with pytest.raises((StateDamaged, FileProblem), match=str(path)):
            use()


# One writer


def test_who_writes_a_journal_is_named_to_others(store: Store) -> None:
    created = Journal.create(
        store, RUN, {"command": ["toolkit", "deploy", "my app"], **facts(), "user": "ada"}
    )
    with pytest.raises(LockHeld) as problem:
        Journal.reopen(store, RUN)
    assert problem.value.facts["target"] == RUN
    assert problem.value.facts["owner"].startswith("ada@")
    assert f"(process {os.getpid()})" in problem.value.facts["owner"]
    assert problem.value.facts["command"] == "toolkit deploy 'my app'"
    assert len(read(store, RUN)) == 1, "reading is free"
    created.close()
    created.close()
    assert len(reopened(store)) == 1


WRITER = """
import sys
from toolkit.record.journal import EntryState, Journal
from toolkit.record.state import Store
made = Journal.create(Store(sys.argv[1]), sys.argv[2], {"jobs": []})
n = 0
while True:
    n += 1
    made.append(EntryState.NOTE, text="x" * (n % 300), count=n)
    sys.stdout.write(f"{n}\\n"); sys.stdout.flush()
"""


def test_lines_that_were_acknowledged_survive_a_kill(store: Store) -> None:
    for number in range(3 * ROUNDS):
        run = f"{RUN}{number}"
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, store.folder, run], stdout=subprocess.PIPE, env=ENV
        ) as child:
            assert child.stdout
            acknowledged = sum(
                1
                for _, notes in zip(range(20 + number * 7), child.stdout, strict=False)
                if notes.endswith(b"\n")
            )
            with pytest.raises(LockHeld):
                Journal.reopen(store, run)
            child.kill()
            acknowledged += child.stdout.read().count(b"\n")
        created = Journal.reopen(store, run)
        created.close()
        assert acknowledged <= len(created.entries) - 1 <= acknowledged + 1


def test_a_child_does_not_keep_the_journal_locked(store: Store) -> None:
    created = Journal.create(store, RUN, {})
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
    ) as child:
        created.close()
        assert len(reopened(store)) == 1
        child.communicate(b"\n")


def test_several_threads_write_whole_lines(store: Store) -> None:
    created = Journal.create(store, RUN, {})
    start = Barrier(4)

    def work(who: int) -> None:
        start.wait()
        for count in range(25):
            created.append(EntryState.NOTE, who=who, count=count)

    threads = [Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    created.close()
    actual = [(entry.facts["who"], entry.facts["count"]) for entry in read(store, RUN)[1:]]
    assert sorted(actual) == [(who, count) for who in range(4) for count in range(25)]
    assert [count for who, count in actual if who == 2] == list(range(25))


# Mistakes of ours


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (lambda created: created.append("done"), "not a valid EntryState"),
        (lambda created: created.append(EntryState.INTENT, "db"), "does not have"),
        (lambda created: created.append(EntryState.NOTE, x=float("nan")), "JSON"),
        (lambda created: created.append(EntryState.NOTE, x=object()), "object"),
    ],
)
def test_a_line_that_could_not_be_read_again_is_not_written(
    store: Store, use: Callable[[Journal], None], reason: str
) -> None:
    created = Journal.create(store, RUN, {"jobs": JOBS})
    with pytest.raises((ValueError, TypeError), match=reason):
        use(created)
    created.append(EntryState.NOTE)
    created.close()
    with pytest.raises(ValueError, match="closed"):
        created.append(EntryState.NOTE)
    assert [entry.state for entry in read(store, RUN)] == ["run", "note"]


def test_a_line_that_is_too_long_is_a_problem_of_that_line_only(store: Store) -> None:
    created = Journal.create(store, RUN, {})
    with pytest.raises(FileProblem, match="more than a journal takes"):
        created.append(EntryState.NOTE, x="y" * journal.LINE_MOST)
    created.append(EntryState.NOTE)
    created.close()
    assert len(read(store, RUN)) == 2


# T8


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("short", [False, True])
def test_whatever_call_of_the_disk_fails_what_is_told_is_what_is_there(
    tmp_path: Path, error: int, short: bool
) -> None:
    """The N-th call fails, for N = 1, 2, … until everything succeeds."""
    for position in range(1, 100):
        current = make_store(tmp_path / f"{position}")
        disk = Broken(position, error, short)
        numbers: list[int] = []
        try:
            created = Journal.create(current, RUN, {}, disk=disk)
        except FileProblem:
            assert not os.path.lexists(path_of(current, RUN)), (
                "nothing is left that looks like a run"
            )
            continue
        try:
            for number in range(4):
                try:
                    created.append(EntryState.NOTE, number=number)
                except FileProblem:
                    assert [entry.facts["number"] for entry in read(current, RUN)[1:]] == numbers, (
                        "what failed is not there"
                    )
                    created.append(
                        EntryState.NOTE, number=-number
                    )  # of another step, perhaps: it does not have to wait for that one
                    numbers.append(-number)
                    created.append(EntryState.NOTE, number=number)
                numbers.append(number)
                assert [entry.facts["number"] for entry in read(current, RUN)[1:]] == numbers
        finally:
            created.close()
        assert [entry.facts["number"] for entry in reopened(current)[1:]] == numbers
        if not disk.failed:
            assert position > 8
            return
    pytest.fail("it never succeeded")


def test_a_disk_that_stays_full_leaves_a_journal_that_can_be_read(store: Store) -> None:
    created = Journal.create(store, RUN, {}, disk=(disk := Broken(4, short=True, times=1000)))
    for _ in range(3):
        with pytest.raises(FileProblem, match="the disk is full"):
            created.append(EntryState.INTENT, call="x")
    created.close()
    assert disk.failed > 3
    assert [entry.state for entry in read(store, RUN)] == ["run"]
    assert [entry.state for entry in reopened(store)] == ["run"]


def test_a_short_write_is_completed(store: Store) -> None:
    class SlowDisk(Disk):
        def write(self, descriptor: int, data: bytes) -> int:
            return os.write(descriptor, data[:7])

    created = Journal.create(store, RUN, {"x": "y" * 100}, disk=SlowDisk())
    created.close()
    assert len(read(store, RUN)) == 1


def test_the_line_is_on_disk_when_append_returns(store: Store) -> None:
    calls: list[str] = []

    class CallsOfDisk(Disk):
        def write(self, descriptor: int, data: bytes) -> int:
            calls.append("write")
            return super().write(descriptor, data)

        def sync(self, descriptor: int) -> None:
            calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync")
            super().sync(descriptor)

    created = Journal.create(store, RUN, {}, disk=CallsOfDisk())
    created.append(EntryState.NOTE)
    created.close()
    assert calls == ["write", "sync", "folder", "write", "sync"]


def test_an_append_costs_milliseconds(store: Store) -> None:
    created = Journal.create(store, RUN, {"jobs": JOBS})
    took = []
    for number in range(100):
        began = time.perf_counter()
        created.append(
            EntryState.INTENT,
            "app",
            call="ecs:UpdateService",
            token="t" * 24,
            what={"n": str(number)},
        )
        took.append(time.perf_counter() - began)
    created.close()
    print(f"an append: {sorted(took)[50] * 1000:.2f} ms")
    assert sorted(took)[50] < 0.1
