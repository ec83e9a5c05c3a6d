"""A run that one machine began and another one goes on with, over one bucket: nothing is lost,
nothing is done twice, and who comes back after that writes nothing over it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from threading import Event, current_thread
from typing import Any

import pytest
from msgspec.structs import replace

from tests.record.bucket import BucketState
from tests.run import simulated
from tests.run.failpoints import SETTINGS, Failpoints, Point, Points, Setting
from tests.run.simulated import Told
from tests.support.report import Crash
from toolkit.advice import Advice
from toolkit.errors import CloudError, LockHeld, Refused, StateDamaged, Unreachable
from toolkit.flow import runs
from toolkit.operations import Job, Location, RunResult
from toolkit.ports.aws.s3 import Bucket
from toolkit.record import journal, mirror
from toolkit.record.journal import EntryState, JournalEntry
from toolkit.record.shared_runs import SharedRun, SharedRuns, common_length
from toolkit.record.state import Store
from toolkit.run.request import RunRequest

STORE = "s3://state/team"
RUN = "20261120-120000-aaaa"


class LeaseClock(simulated.Impatient):
    """Time passes by waiting alone; the heart of the leases does not make it pass."""

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        if current_thread().name == "leases" and wake is not None:
            return wake.wait(30)
        return super().wait(seconds, wake)


class BucketCloud(simulated.SimulatedCloud):
    """The simulated cloud with a bucket in it, which minds conditions. `down` is asked before each
    call to the bucket.
    """

    def __init__(self, file: Path, clock: LeaseClock, points: Points) -> None:
        super().__init__(file, clock.elapsed, points)
        self.s3, self._points = BucketState(), points
        self.s3.clock = clock  # type: ignore[assignment]
        self.down: Callable[[str], bool] = lambda key: False

    def _ask(
        self, method: str, params: dict[str, Any], query: dict[str, list[str]] | None = None
    ) -> tuple[dict[str, str], bytes]:
        key = str(params.get("Key", ""))
        sort = key.split("/")[1] if "/" in key else "list"
        if self.down(key):
            raise Unreachable(call=f"s3:{method}", reason="the network is gone")
        self._points("bucket", f"before {method} {sort}")
        headers = {"x-amz-expected-bucket-owner": "111111111111"}
        headers |= {"If-Match": params["IfMatch"]} if "IfMatch" in params else {}
        headers |= {"If-None-Match": params["IfNoneMatch"]} if "IfNoneMatch" in params else {}
        status, answer, body = self.s3.answer(
            method, key, query or {}, headers, params.get("Body", b"")
        )
        self._points("bucket", f"after {method} {sort}")
        if status >= 300:
            problem = CloudError(call=f"s3:{method}", reason=body.decode())
            problem.aws_code = body.decode().partition("<Code>")[2].partition("</Code>")[0]
            raise problem
        return answer, body

    def write(
        self, service: str, operation: str, /, tokened: bool = False, **params: Any
    ) -> dict[str, Any]:
        answer, _ = self._ask("PUT" if operation == "put_object" else "DELETE", params)
        return dict(answer)

    def streamed(
        self, service: str, operation: str, most: int, /, **params: Any
    ) -> tuple[dict[str, Any], bytes]:
        answer, body = self._ask("GET", params)
        changed = self.s3.objects[params["Key"]][2]
        now = format_datetime(self.s3.clock.now().replace(microsecond=0), usegmt=True)
        return {
            "ETag": answer["ETag"],
            "LastModified": changed,
            "ResponseMetadata": {"HTTPHeaders": {"date": now}},
        }, body[:most]

    def read(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """The list of the bucket, which is only asked for its time."""
        now = format_datetime(self.s3.clock.now().replace(microsecond=0), usegmt=True)
        return {"ResponseMetadata": {"HTTPHeaders": {"date": now}}}

    def pages(
        self, service: str, operation: str, key: str, /, **params: Any
    ) -> Iterator[dict[str, Any]]:
        below = params["Prefix"]
        yield from (
            {"Key": name, "ETag": item[1]}
            for name, item in sorted(self.s3.objects.items())
            if name.startswith(below)
        )


class SharedCloud:
    """One cloud with a bucket, and the machines that deploy to it."""

    def __init__(self, folder: Path, setting: Setting, points: Points | None = None) -> None:
        folder.mkdir()
        self.folder, self.setting, self.points = folder, setting, points or Points()
        self.clock = LeaseClock()
        self.cloud = BucketCloud(folder / "cloud", self.clock, self.points)
        self.listener = simulated.Listener()

    def store(self, machine: str) -> Store:
        path = self.folder / machine
        path.mkdir(mode=0o700, exist_ok=True)
        return Store(str(path))

    def shelf(self) -> SharedRuns:
        return SharedRuns(Bucket(self.cloud, STORE, "111111111111"))  # type: ignore[arg-type]

    def shared(self) -> SharedRun | None:
        return self.shelf().get(RUN)

    def start(self, machine: str) -> RunResult:
        self.listener = simulated.Listener()
        prepared = simulated.prepared(
            RUN, self.setting.needs, self.setting.settings, self.setting.unproved
        )
        current = replace(
            prepared,
            jobs=tuple(map(_shared, prepared.jobs)),
            standby=tuple(map(_shared, prepared.standby)),
        )
        return self._within(machine, lambda request, store: simulated.started(request, current))

    def resume(self, machine: str, theirs: SharedRun | None = None, wait_s: int = 300) -> RunResult:
        self.listener = simulated.Listener()
        return self._within(
            machine, lambda request, store: simulated.resumed(request, store, theirs), wait_s
        )

    def _within(
        self, machine: str, do: Callable[[RunRequest, Store], RunResult], wait_s: int = 0
    ) -> RunResult:
        store = self.store(machine)
        ports = simulated.ports(self.folder / machine, self.clock, self.cloud)
        request = Told(self.listener).request(
            RUN, ports, lock_timeout_s=wait_s, verify=self.setting.verify
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runs, "store_for", lambda rules, ports, profile: store)
            return do(request, store)

    def entries(self, machine: str) -> tuple[JournalEntry, ...]:
        return journal.read(self.store(machine), RUN)

    def is_exact(self) -> None:
        """What the bucket says and what the cloud did is what one uninterrupted run would have
        left.
        """
        shared = self.shared()
        assert shared is not None
        unproved = self.setting.unproved
        bad = {
            name for name, settings in self.setting.settings.items() if settings.fails
        } | unproved
        skipped = {name for name in self.setting.needs if self._waits_for(name) & bad}
        ends = {
            name: (
                "skipped"
                if name in skipped
                else "unhealthy"
                if name in unproved
                else "failed"
                if name in bad
                else "succeeded"
            )
            for name in self.setting.needs
        }
        ends |= {f"{name}:rollback": "succeeded" for name in unproved}
        outcomes = [
            (str(entry.step), entry.facts["verdict"])
            for entry in shared.entries
            if entry.state == "outcome"
        ]
        assert sorted(outcomes) == sorted(ends.items()), "not exactly one outcome for each step"
        assert [entry.state for entry in shared.entries].count(EntryState.END) == 1
        expected = [
            (target, call)
            for step, target in self.setting.steps
            if target not in skipped
            for call in self._calls(target)
        ]
        assert sorted((effect.target, effect.call) for effect in self.cloud.effects()) == sorted(
            expected
        ), "an effect was lost, or came twice"

    def _calls(self, target: str) -> tuple[str, ...]:
        return self.setting.settings[target].calls

    def _waits_for(self, name: str) -> set[str]:
        needs = set(self.setting.needs[name])
        return needs.union(*(self._waits_for(need) for need in needs))


def _shared(job: Job) -> Job:
    return replace(job, location=Location("dev", "eu-west-1", "111111111111", store=STORE))


class Eager(mirror.Mirror):
    """Sends each line at once, in the thread that wrote it, so that a crash is at one point."""

    def begin(self, over: SharedRun | None = None) -> str | None:
        if over is not None:
            self._etag, self._sent = over.etag, len(over.data)
        self._mark()
        problem = self._once()
        self.check()
        self._journal.watcher = self._at_once
        return problem

    def _at_once(self, entry: JournalEntry) -> None:
        self._once(logs=True)

    def close(self) -> Advice:
        self._journal.watcher = None
        self._once(logs=True)
        return super().close()


class Lagging(Eager):
    """Sends the first line and what has to be there first, and the rest only if its process comes
    to its end.
    """

    def begin(self, over: SharedRun | None = None) -> str | None:
        problem = super().begin(over)
        self._journal.watcher = self._if_it_must
        return problem

    def _if_it_must(self, entry: JournalEntry) -> None:
        if mirror.must_be_shared_first(entry, self._undoing):
            self._once()


@contextmanager
def mirrored_by(how: type[mirror.Mirror]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "Mirror", how)
        yield


def passed(setting: Setting, folder: Path, how: type[mirror.Mirror]) -> list[Point]:
    """Every point that an uninterrupted run passes."""
    points = Points()
    with Failpoints(points), mirrored_by(how):
        town = SharedCloud(folder, setting, points)
        assert town.start("one").status in ("succeeded", "partial", "failed")
        town.is_exact()
        return list(points.passed)


def taken_over(setting: Setting, folder: Path, fatal: Point, how: type[mirror.Mirror]) -> None:
    """The first machine dies at a point; another one goes on, if there is anything to go on with;
    then the first one comes back.
    """
    points = Points()
    failpoints = Failpoints(points)
    with failpoints, mirrored_by(how):
        town = SharedCloud(folder, setting, points)
        points.begin(fatal)
        try:
            town.start("one")
        except Crash:
            pass
        else:
            return
        failpoints.bury()
        points.begin(None)
        theirs = town.shared()
        if theirs is None:
            assert not town.cloud.effects(), (
                "something was done before a colleague could know of the run"
            )
            return
        if not any(entry.state == "end" for entry in theirs.entries):
            town.resume("two", theirs)
        town.is_exact()
        before = town.shared()
        with pytest.raises((Refused, StateDamaged)):
            town.resume("one")
        assert town.shared() == before
        town.is_exact()


@pytest.mark.slow("crashes", keep=1)
@pytest.mark.parametrize("how", [Eager, Lagging], ids=["at once", "behind"])
@pytest.mark.parametrize("name", ["tokens", "looks", "failing", "undone"])
def test_wherever_one_machine_dies_another_one_goes_on_and_each_effect_is_there_once(
    tmp_path: Path, name: str, how: type[Any]
) -> None:
    setting = SETTINGS[name]
    points = passed(setting, tmp_path / "whole", how)
    assert len(points) > 40
    for number, fatal in enumerate(points):
        taken_over(setting, tmp_path / f"at-{number}", fatal, how)


def test_a_run_of_a_machine_that_is_alive_is_not_taken_over(tmp_path: Path) -> None:
    points = Points()
    with Failpoints(points) as failpoints, mirrored_by(Eager):
        town = SharedCloud(tmp_path / "town", SETTINGS["tokens"], points)
        points.begin(("a", "before append outcome", 1))
        with pytest.raises(Crash):
            town.start("one")
        failpoints.bury()
        points.begin(None)
        theirs = town.shared()
        town.clock.pass_(100)
        with pytest.raises(LockHeld):
            town.resume("two", theirs, wait_s=0)
        assert not (tmp_path / "town/two/runs").exists(), (
            "a run that is not ours leaves nothing here"
        )
        town.clock.pass_(30)
        assert town.resume("two", theirs, wait_s=0).status == "succeeded"
        town.is_exact()


def test_who_comes_back_after_its_run_was_taken_over_does_nothing_more_and_writes_nothing_over_it(
    tmp_path: Path,
) -> None:
    """The first machine sleeps between two steps; it was not killed."""
    slept: list[RunResult] = []
    with mirrored_by(Eager), Failpoints(Points()):
        town = SharedCloud(tmp_path / "town", SETTINGS["tokens"])

        def sleeps(where: str, what: str) -> None:
            if (where, what) == ("b", "before register") or slept:
                return
            if (where, what) == ("a", "after move"):
                town.clock.pass_(600)
                first, town.listener = town.listener, simulated.Listener()
                slept.append(town.resume("two", town.shared()))
                town.listener = first

        town.cloud._point = sleeps
        ran = town.start("one")
        assert slept[0].status == "succeeded"
        assert ran.exit == 5
        town.is_exact()
        shared = town.shared()
        assert shared is not None
        assert [entry.state for entry in shared.entries][-1] == "end"
        assert any("has taken the run over" in words for _, words in town.listener.told_)


def test_where_the_bucket_is_gone_during_a_run_it_goes_on_and_the_rest_is_sent_later(
    tmp_path: Path,
) -> None:
    with Failpoints(Points()):
        town = SharedCloud(tmp_path / "town", SETTINGS["tokens"])
        begun = Event()

        def down(key: str) -> bool:
            return "/runs/" in key and bool(town.cloud.effects()) and not begun.is_set()

        town.cloud.down = down
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mirror, "FLUSH_S", 0.2)
            patch.setattr(mirror, "RETRY_S", 0.05)
            ran = town.start("one")
        assert ran.status == "succeeded"
        assert any("not completely in the bucket yet" in words for _, words in town.listener.told_)
        body = town.cloud.s3.body(f"team/runs/{RUN}.jsonl")
        assert len(journal.parse(body, RUN, "there")[0]) < len(town.entries("one"))
        assert mirror.unsent_runs(town.store("one")) == [RUN]
        begun.set()
        assert mirror.send_unsent_runs(town.store("one"), lambda opened: town.shelf()) == {}
        town.is_exact()
        shared = town.shared()
        assert shared is not None
        assert shared.entries == town.entries("one")
        assert mirror.unsent_runs(town.store("one")) == []


def test_a_run_sends_its_journal_and_logs_from_a_thread_of_its_own(tmp_path: Path) -> None:
    with Failpoints(Points()):
        town = SharedCloud(tmp_path / "town", SETTINGS["side by side"])
        assert town.start("one").status == "succeeded"
        town.is_exact()
        log = town.shelf().log(RUN, "a")
        assert log is not None
        assert b"-> simulated:move" in log[0]


def test_what_was_only_on_the_first_machine_is_kept_beside_the_journal(tmp_path: Path) -> None:
    points = Points()
    with Failpoints(points) as failpoints, mirrored_by(Lagging):
        town = SharedCloud(tmp_path / "town", SETTINGS["tokens"], points)
        points.begin(("b", "after register", 1))
        with pytest.raises(Crash):
            town.start("one")
        failpoints.bury()
        points.begin(None)
        lines = len(town.entries("one"))
        town.resume("two", town.shared())
        with pytest.raises(Refused, match="has ended"):
            town.resume("one")
        data = (tmp_path / f"town/one/runs/{RUN}.jsonl.superseded").read_bytes()
        assert len(journal.parse(data, RUN, "kept")[0]) >= lines
        assert town.entries("one") == town.entries("two")


def test_a_run_of_the_same_name_with_other_steps_is_not_gone_on_with(tmp_path: Path) -> None:
    with mirrored_by(Eager), Failpoints(Points()) as failpoints:
        town = SharedCloud(tmp_path / "town", SETTINGS["tokens"])
        town.cloud._point = _dies_at("b", "before register")
        with pytest.raises(Crash):
            town.start("one")
        failpoints.bury()
        town.cloud._point = lambda where, what: None
        town.clock.pass_(300)
        key = f"team/runs/{RUN}.jsonl"
        shared_cloud = SharedCloud(tmp_path / "other", SETTINGS["failing"])
        shared_cloud.start("one")
        town.cloud.s3.put(key, shared_cloud.cloud.s3.body(key))
        with pytest.raises(StateDamaged, match="another run of this name"):
            town.resume("one")
        assert [effect.target for effect in town.cloud.effects()] == ["a"]


def _dies_at(where: str, what: str) -> Callable[[str, str], None]:
    def point(text: str, does: str) -> None:
        if (text, does) == (where, what):
            raise Crash

    return point


@pytest.mark.parametrize(
    ("first", "data", "same"),
    [
        (b"", b"", 0),
        (b"a\n", b"a\n", 2),
        (b"a\nb\n", b"a\n", 2),
        (b"a\nb\n", b"a\nc\n", 2),
        (b"x\n", b"y\n", 0),
        (b"a\nbc\n", b"a\nbd\n", 2),
    ],
)
def test_what_two_journals_have_in_common_ends_with_a_line(
    first: bytes, data: bytes, same: int
) -> None:
    assert common_length(first, data) == common_length(data, first) == same


def test_the_clock_of_these_tests_is_the_buckets(tmp_path: Path) -> None:
    town = SharedCloud(tmp_path / "town", SETTINGS["tokens"])
    assert isinstance(town.cloud.s3.clock.now(), datetime)
