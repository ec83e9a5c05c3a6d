"""Deploys of a site against a scripted AWS: what arrives, in which order, what becomes of it when
the process dies at any moment, and when somebody else is at work.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.report import Crash, Report
from tests.targets.sites import SiteStage
from toolkit.errors import (
    CloudError,
    Missing,
    NotAgreed,
    NotAllowed,
    Refused,
    Stopped,
    Superseded,
    Unreachable,
)
from toolkit.operations import Job, Observation
from toolkit.ports import parallel
from toolkit.targets.site.kind import kind as site
from toolkit.targets.site.manifest import KEY, SiteState, release_key
from toolkit.targets.site.settings import Keep, SiteBuild

FIRST = {
    "index.html": '<script src="app.js"></script>',
    "about.html": "about 1",
    "old.html": "old",
    "app.js": "1",
    "same.png": "png",
    "assets/chunk-1.js": "chunk 1",
}
SECOND = {
    "index.html": '<script src="app.js"></script>2',
    "about.html": "about 2",
    "new.html": "new",
    "app.js": "2",
    "same.png": "png",
    "assets/chunk-2.js": "chunk 2",
}
THIRD = {**SECOND, "index.html": '<script src="app.js"></script>3', "third.html": "3"}
KEEP = Keep(releases=1, days=0)


@pytest.fixture
def stage(aws_endpoint: Endpoint, tmp_path: Path) -> SiteStage:
    """A bucket behind distribution E1, with nothing in it."""
    aws_endpoint.cloudfront.distribution("E1", "www")
    return SiteStage(aws_endpoint, tmp_path)


def job(stage: SiteStage, number: int, **settings: Any) -> Job:
    options = {"allow_shrink": True}
    return stage.job(number, options, distribution="E1", keep=KEEP, **settings)


def released(stage: SiteStage, number: int, files: dict[str, str]) -> Observation:
    """A whole deploy of these files, a while after the one before."""
    stage.clock.advance(60)
    stage.write(files, only=True)
    done = stage.deployed(job(stage, number))
    assert done.verdict == "succeeded", done
    return done


def finished(stage: SiteStage, deploy: Job, receipt: dict[str, Any]) -> Observation:
    """What `resume` does: look, apply again if nothing is there, look until it has ended."""
    report = Report(receipt, clock=stage.clock)
    seen = stage.watched(deploy, report)
    if seen.state == "absent":
        stage.apply(deploy, report)
        seen = stage.watched(deploy, report)
    return seen


def final(stage: SiteStage) -> dict[str, Any]:
    """All that is there in the end, but for times."""
    manifest = stage.manifest()
    objects = {key: found.body for key, found in stage.bucket.objects.items() if key != KEY}
    lists = {key: json.loads(body)["files"] for key, body in objects.items() if "site.json" in key}
    return {
        "files": {key: body for key, body in objects.items() if key not in lists},
        "headers": {key: found.headers for key, found in stage.bucket.objects.items()},
        "lists": {
            key: {name: row[:4] for name, row in rows.items()} for key, rows in lists.items()
        },
        "manifest": [
            manifest.state,
            manifest.release.id,
            manifest.release.version,
            sorted(manifest.files),
            sorted(manifest.stale),
            [release.id for release in manifest.releases],
            manifest.claim,
        ],
        "forgotten": sorted(path for paths in stage.endpoint.cloudfront.paths for path in paths),
    }


class Crashing:
    """Ends the process right before the event with this number."""

    def __init__(self, number: int) -> None:
        self.number, self.seen = number, 0

    def __call__(self, event: tuple[Any, ...]) -> None:
        if event[0] not in ("intend", "keep"):
            return
        if self.seen == self.number:
            raise Crash
        self.seen += 1


def crashed(stage: SiteStage, deploy: Job, number: int) -> dict[str, Any] | None:
    """A deploy that dies at a moment: what it has kept, None if it came to its end before."""
    report = Report(clock=stage.clock, on_event=Crashing(number))
    try:
        stage.apply(deploy, report)
    except Crash:
        return dict(report.receipt)
    return None


def stages(tmp_path: Path) -> Callable[[Endpoint, str], SiteStage]:
    def new(endpoint: Endpoint, name: str) -> SiteStage:
        folder = tmp_path / name
        folder.mkdir()
        endpoint.s3.buckets.clear()
        endpoint.cloudfront.invalidations.clear()
        return SiteStage(endpoint, folder)

    return new


def prepared(stage: SiteStage, action: str) -> Job:
    """A site with two releases, and a deploy of a third or a rollback to the first."""
    released(stage, 1, FIRST)
    released(stage, 2, SECOND)
    stage.endpoint.cloudfront.invalidations.clear()
    if action == "deploy":
        stage.write(THIRD, only=True)
        stage.clock.advance(60)
        return job(stage, 3)
    stage.clock.advance(60)
    return stage.back(3, 1, distribution="E1", keep=KEEP)


@pytest.mark.slow("crashes", keep=1)
@pytest.mark.parametrize("action", ["deploy", "rollback"])
def test_resumed_after_a_crash_at_any_moment_it_ends_as_if_nothing_had_happened(
    action: str, aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    aws_endpoint.cloudfront.distribution("E1", "www")
    new = stages(tmp_path)
    undisturbed = new(aws_endpoint, "undisturbed")
    undisturbed.deployed(prepared(undisturbed, action))
    expected = final(undisturbed)
    for number in range(40):
        stage = new(aws_endpoint, str(number))
        deploy = prepared(stage, action)
        receipt = crashed(stage, deploy, number)
        if receipt is None:
            assert number > 5
            return
        assert finished(stage, deploy, receipt).verdict == "succeeded"
        assert final(stage) == expected, number
    raise AssertionError("it never came to its end")


class _Dying:
    """Ends the process at a place: right before an intent with this content, or what is kept."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __call__(self, event: tuple[Any, ...]) -> None:
        if event[0] == "keep" and self.place in event[1]:
            raise Crash
        if event[0] == "intend" and event[2].get("content") == self.place:
            raise Crash


def died(stage: SiteStage, deploy: Job, place: str) -> dict[str, Any]:
    """A deploy that dies at a place: what it has kept."""
    report = Report(clock=stage.clock, on_event=_Dying(place))
    with pytest.raises(Crash):
        stage.apply(deploy, report)
    return dict(report.receipt)


RANDOM_BUILD = """
import os, shutil, time
shutil.rmtree("dist", ignore_errors=True)
os.makedirs("dist")
name = f"app-{time.time_ns()}.js"
for path, text in ((name, name), ("index.html", f'<script src="{name}"></script>')):
    with open(f"dist/{path}", "w") as file:
        file.write(text)
"""


@pytest.mark.parametrize("place", ["switched", "the release that is live"])
def test_a_switch_that_is_resumed_with_another_build_has_all_that_its_pages_need(
    place: str, stage: SiteStage
) -> None:
    (stage.folder / "web").mkdir()
    (stage.folder / "web" / "build.py").write_text(RANDOM_BUILD)
    build = SiteBuild(command=("python3", "build.py"), folder="web")
    deploy = stage.job(1, source="web/dist", build=build, distribution="E1")
    receipt = died(stage, deploy, place)
    assert finished(stage, deploy, receipt).verdict == "succeeded"
    served = stage.served()
    assert served["index.html"].split('"')[1] in served
    assert served.keys() >= stage.manifest().files.keys()


@pytest.mark.parametrize("place", ["what is about to be uploaded", "switched"])
def test_a_deploy_that_is_resumed_after_somebody_elses_is_superseded(
    place: str, stage: SiteStage
) -> None:
    released(stage, 1, FIRST)
    stage.write(SECOND, only=True)
    receipt = died(stage, job(stage, 2), place)
    released(stage, 3, THIRD)
    stage.write(SECOND, only=True)
    assert finished(stage, job(stage, 2), receipt).verdict == "superseded"
    with pytest.raises(Superseded):
        stage.apply(job(stage, 2), Report(receipt, clock=stage.clock))
    assert stage.manifest().release.version == "v3"


def test_what_two_dead_deploys_have_left_needs_no_adopt(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    for number, asset in ((2, "assets/a.js"), (3, "assets/b.js")):
        stage.write({**FIRST, "index.html": str(number), asset: "x"}, only=True)
        died(stage, job(stage, number), "the release that comes")
    fourth = {**FIRST, "index.html": "4", "assets/a.js": "x"}
    stage.write(fourth, only=True)
    report = Report(clock=stage.clock, yes=frozenset())
    stage.apply(job(stage, 4), report)
    assert stage.watched(job(stage, 4), report).verdict == "succeeded"
    assert stage.served() == fourth


class _Successor:
    """Takes over at an event, as another machine does that has seen no sign of life."""

    def __init__(self, stage: SiteStage, kind: str, words: str) -> None:
        self._stage, self._kind, self._words = stage, kind, words
        self.served: dict[str, str] = {}

    def __call__(self, event: tuple[Any, ...]) -> None:
        if self.served or event[0] != self._kind or not str(event[1]).startswith(self._words):
            return
        self._stage.endpoint.cloudfront.too_many = 0
        self._stage.write({**FIRST, "index.html": "rival"}, only=True)
        assert self._stage.deployed(job(self._stage, 7)).verdict == "succeeded"
        self.served = self._stage.served()


@pytest.mark.parametrize(
    ("kind", "words"),
    [("phase", "replacing"), ("phase", "invalidating"), ("wait", "10"), ("phase", "deleting")],
)
def test_who_was_taken_for_dead_changes_nothing_any_more(
    kind: str, words: str, stage: SiteStage
) -> None:
    released(stage, 1, FIRST)
    released(stage, 2, SECOND)
    stage.clock.advance(60)
    if kind == "wait":
        stage.endpoint.cloudfront.too_many = 1
    stage.write(THIRD, only=True)
    successor = _Successor(stage, kind, words)
    with pytest.raises(Superseded):
        stage.apply(job(stage, 3), Report(clock=stage.clock, on_event=successor))
    assert stage.served() == successor.served != {}
    assert stage.manifest().release.version == "v7"


def test_a_machine_that_slept_while_it_replaced_pages_replaces_none_once_it_was_overtaken(
    stage: SiteStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(stage, 1, FIRST)
    stage.write(SECOND, only=True)
    stage.clock.advance(60)
    awake = parallel.run
    served: dict[str, str] = {}

    def sleep(keys: Any, *how: Any) -> Any:
        if not served and stage.manifest().state is SiteState.SWITCHING:
            monkeypatch.setattr(parallel, "run", awake)
            stage.write({**FIRST, "index.html": "rival", "app.js": "rival"})
            assert stage.deployed(job(stage, 7)).verdict == "succeeded"
            served.update(stage.served())
            stage.write(SECOND)
        return awake(keys, *how)

    monkeypatch.setattr(parallel, "run", sleep)
    with pytest.raises(Superseded):
        stage.apply(job(stage, 2), Report(clock=stage.clock))
    assert stage.served() == served != {}


def test_a_deploy_that_waits_for_cloudfront_is_not_taken_for_dead(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    stage.write(SECOND, only=True)
    stage.endpoint.cloudfront.too_many = 8
    written: list[str] = []

    def on_event(event: tuple[Any, ...]) -> None:
        if event[0] == "wait":
            written.append(stage.bucket.objects[KEY].etag)

    stage.apply(job(stage, 2), Report(clock=stage.clock, on_event=on_event))
    assert len(written) == len(set(written)) == 8
    assert stage.manifest().release.version == "v2"
    assert stage.manifest().beats == 0


@pytest.mark.slow("crashes")
def test_a_deploy_after_one_that_died_at_any_moment_ends_as_without_it(
    aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    aws_endpoint.cloudfront.distribution("E1", "www")
    new = stages(tmp_path)
    for number in range(40):
        stage = new(aws_endpoint, str(number))
        receipt = crashed(stage, prepared(stage, "deploy"), number)
        if receipt is None:
            assert number > 5
            return
        fourth = {**FIRST, "index.html": "4"}
        done = released(stage, 4, fourth)
        assert done.live is not None
        assert done.live.version == "v4"
        served = stage.served()
        assert {key: served[key] for key in fourth} == fourth, number
        assert stage.manifest().state is SiteState.LIVE
        # What only the dead deploy had is gone, or goes with the releases that are not kept.
        released(stage, 5, {**fourth, "index.html": "5"})
        released(stage, 6, {**fourth, "index.html": "6"})
        assert stage.served().keys() == fourth.keys(), number
    raise AssertionError("it never came to its end")


def test_pages_come_after_everything_they_need_and_the_first_page_is_last(
    stage: SiteStage,
) -> None:
    released(stage, 1, FIRST)
    stage.endpoint.calls.clear()
    released(stage, 2, SECOND)
    puts = [call.params["Key"] for call in stage.endpoint.calls.of("s3:PutObject")]
    files = [key for key in puts if not key.startswith(".toolkit/")]
    assert files[0] == "assets/chunk-2.js"
    assert files[1] == "app.js"
    assert set(files[2:4]) == {"about.html", "new.html"}
    assert files[4:] == ["index.html"]


def test_only_what_differs_is_uploaded(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    stage.endpoint.calls.clear()
    released(stage, 2, {**FIRST, "about.html": "about 2"})
    puts = [call.params["Key"] for call in stage.endpoint.calls.of("s3:PutObject")]
    assert [key for key in puts if not key.startswith(".toolkit/")] == ["about.html"]
    assert stage.endpoint.cloudfront.paths[-1] == ["/about.html"]


def test_equal_content_is_unchanged_whatever_its_times(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    stage.write(FIRST, only=True)
    again = replace(job(stage, 2), version=job(stage, 1).version)
    before = len(stage.endpoint.calls.of("s3:PutObject"))
    assert site.preview(again, stage.ports).unchanged
    assert stage.deployed(again).verdict == "unchanged"
    assert len(stage.endpoint.calls.of("s3:PutObject")) == before


def test_equal_content_of_another_version_only_changes_what_the_manifest_says(
    stage: SiteStage,
) -> None:
    released(stage, 1, FIRST)
    stage.endpoint.calls.clear()
    done = released(stage, 2, FIRST)
    assert done.live is not None
    assert done.live.version == "v2"
    puts = {call.params["Key"] for call in stage.endpoint.calls.of("s3:PutObject")}
    assert all(key.startswith(".toolkit/") for key in puts)


def test_other_headers_alone_are_copied_inside_the_bucket(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    stage.endpoint.calls.clear()
    rule = {"match": "*.png", "cache": "public, max-age=9", "disposition": "inline"}
    settings = msgspec.convert(
        {"source": "dist", "bucket": "www", "headers": [rule]}, site.Settings
    )
    deploy = job(stage, 2, headers=settings.headers)
    assert stage.deployed(deploy).verdict == "succeeded"
    [copy] = stage.endpoint.calls.of("s3:CopyObject")
    assert (copy.params["Key"], copy.params["MetadataDirective"]) == ("same.png", "REPLACE")
    assert stage.bucket.objects["same.png"].headers == {
        "CacheControl": "public, max-age=9",
        "ContentDisposition": "inline",
        "ContentType": "image/png",
    }


def test_an_asset_that_cannot_be_uploaded_leaves_every_page_as_it_was(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    before = stage.served()
    stage.write(SECOND, only=True)
    # The first is the manifest.
    stage.endpoint.fault("s3:PutObject", kind="denied", skip=1, times=None)
    with pytest.raises(NotAllowed):
        stage.apply(job(stage, 2))
    assert {key: text for key, text in stage.served().items() if key in before} == before
    live = site.live(job(stage, 2), stage.ports)
    assert live is not None
    assert live.version == "v1"


# --- rollback


def test_a_rollback_copies_the_pages_inside_the_bucket_and_uploads_none(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    released(stage, 2, SECOND)
    stage.endpoint.calls.clear()
    done = stage.deployed(stage.back(3, 1, distribution="E1"))
    assert (done.verdict, done.live and done.live.version) == ("succeeded", "v1")
    served = stage.served()
    assert {key: served[key] for key in FIRST} == FIRST
    puts = {call.params["Key"] for call in stage.endpoint.calls.of("s3:PutObject")}
    assert puts == {KEY}
    copied = {call.params["Key"] for call in stage.endpoint.calls.of("s3:CopyObject")}
    assert {"about.html", "app.js", "index.html"} <= copied
    forward = stage.deployed(stage.back(4, 2, distribution="E1"))
    assert forward.verdict == "succeeded"
    served = stage.served()
    assert {key: served[key] for key in SECOND} == SECOND


def test_what_can_be_put_back_is_known_and_what_is_gone_is_told(stage: SiteStage) -> None:
    for number in range(1, 5):
        released(stage, number, {**FIRST, "index.html": str(number)})
    details = [{"release": f"{number:024}"} for number in range(1, 5)]
    asked = job(stage, 9)
    assert site.restorable(asked, [*details, {}], stage.ports) == (
        False,
        False,
        True,
        True,
        False,
    )
    with pytest.raises(Refused, match="gone from the bucket"):
        site.preview(stage.back(5, 1, distribution="E1"), stage.ports)
    archive = next(key for key in stage.bucket.objects if key.endswith("/files/index.html"))
    del stage.bucket.objects[archive]
    assert site.restorable(asked, details[2:3], stage.ports) == (False,)
    with pytest.raises(Refused, match="gone from the bucket"):
        stage.apply(stage.back(5, 3, distribution="E1"))


# --- somebody else


class _Rival:
    """Deploys another release right before the call with this number is made."""

    def __init__(self, stage: SiteStage, number: int) -> None:
        self._stage, self._number, self.seen = stage, number, 0

    def __call__(self, event: tuple[Any, ...]) -> None:
        if event[0] != "intend":
            return
        if self.seen == self._number:
            self._stage.write({**FIRST, "index.html": "rival"}, only=True)
            assert self._stage.deployed(job(self._stage, 7)).verdict == "succeeded"
            self._stage.write(SECOND, only=True)
        self.seen += 1


def test_another_writer_is_told_and_its_manifest_is_not_overwritten(
    aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    """Another deploy, which our locks know nothing of, ends between any two calls of ours."""
    aws_endpoint.cloudfront.distribution("E1", "www")
    new = stages(tmp_path)
    for number in range(40):
        stage = new(aws_endpoint, str(number))
        released(stage, 1, FIRST)
        rival = _Rival(stage, number)
        stage.write(SECOND, only=True)
        report = Report(clock=stage.clock, on_event=rival)
        try:
            stage.apply(job(stage, 2), report)
        except (Superseded, Refused):
            assert stage.manifest().release.version == "v7"
            continue
        if rival.seen <= number:
            assert number > 4
            return
        # The rival came when nothing was left to write under a condition: it is what is live.
        assert stage.manifest().release.version == "v7"
        assert stage.watched(job(stage, 2), report).verdict == "superseded"
    raise AssertionError("it never came to its end")


def test_the_pages_of_a_deploy_that_is_at_work_are_waited_for(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    stage.write(SECOND, only=True)
    manifest = stage.manifest()
    busy = replace(manifest, state=SiteState.SWITCHING, token="other", pages=("index.html",))
    stage.endpoint.s3.put("www", KEY, msgspec.json.encode(busy))
    waited: list[float] = []

    def on_event(event: tuple[Any, ...]) -> None:
        if event[0] == "wait":
            waited.append(event[1])
            if len(waited) == 3:
                stage.endpoint.s3.put("www", KEY, msgspec.json.encode(manifest))

    stage.apply(job(stage, 2), Report(clock=stage.clock, on_event=on_event))
    assert len(waited) == 3
    assert stage.manifest().release.version == "v2"


def test_files_that_toolkit_never_deployed_need_adopt(stage: SiteStage) -> None:
    stage.endpoint.s3.put("www", "uploads/photo.jpg", b"theirs")
    preview = site.preview(job(stage, 1), stage.ports)
    assert preview.warnings == (
        "s3://www/ has files that toolkit never deployed; deploy over them: confirm it with"
        " --adopt",
    )
    with pytest.raises(NotAgreed, match="nobody said yes"):
        stage.apply(job(stage, 1), Report(clock=stage.clock, yes=frozenset()))
    assert "index.html" not in stage.served()
    adopted = replace(job(stage, 1), options=site.Options(adopt=True))
    assert stage.deployed(adopted).verdict == "succeeded"
    assert stage.served()["uploads/photo.jpg"] == "theirs"


def test_a_file_that_appears_where_another_one_lies_needs_adopt_each_time(
    stage: SiteStage,
) -> None:
    released(stage, 1, FIRST)
    stage.endpoint.s3.put("www", "new.html", b"theirs")
    stage.write(SECOND, only=True)
    with pytest.raises(NotAgreed):
        stage.apply(job(stage, 2), Report(clock=stage.clock, yes=frozenset()))
    assert stage.served()["new.html"] == "theirs"
    stage.apply(job(stage, 2), Report(clock=stage.clock, yes=frozenset(("--adopt",))))
    assert stage.served()["new.html"] == "new"


def test_a_file_that_was_changed_outside_toolkit_is_told_and_put_there_again(
    stage: SiteStage,
) -> None:
    released(stage, 1, FIRST)
    stage.endpoint.s3.put("www", "about.html", b"changed by hand")
    again = replace(job(stage, 2), version=job(stage, 1).version)
    assert site.preview(again, stage.ports).warnings == (
        "changed or deleted outside toolkit, and will be replaced: about.html",
    )
    stage.deployed(again)
    assert stage.served()["about.html"] == "about 1"


def test_a_manifest_that_toolkit_has_not_written_is_refused(stage: SiteStage) -> None:
    deep = b"[" * 200_000
    unread = (b"", b"{}", b"\xff", b'{"format": 1}', b'{"format": 9, "claim": null}')
    for body in (*unread, deep, b'{"x":' + deep):
        stage.endpoint.s3.put("www", KEY, body)
        with pytest.raises(Refused, match="is damaged, or was not written by toolkit"):
            site.preview(job(stage, 1), stage.ports)
        with pytest.raises(Refused, match="is damaged, or was not written by toolkit"):
            stage.apply(job(stage, 1))


FILE = ["0" * 64, [], 1, True, '"e"', "r"]


@pytest.mark.parametrize(
    ("part", "forged"),
    [
        ("files", {"a.js": ["0" * 64, [["Metadata", "x"]], 1, True]}),
        ("files", {"a.js": ["0" * 64, [["CacheControl", "x\r\nHost: y"]], 1, True]}),
        ("files", {"a.js": ["0" * 64, [], 1, True, "x\r\nHost: y"]}),
        ("files", {KEY: FILE}),
        ("stale", {KEY: [0, None]}),
        ("stale", {".toolkit/releases/1/files/a": [0, ["0" * 64, [["Body", ""]], 1, True]]}),
        ("deletes", [KEY]),
        ("claim", {"token": "1", "run": "r1", "keys": [KEY]}),
    ],
)
def test_a_manifest_that_would_do_harm_is_refused_and_stays(
    part: str, forged: Any, stage: SiteStage
) -> None:
    released(stage, 1, FIRST)
    document = json.loads(stage.bucket.objects[KEY].body)
    document[part] = forged
    body = json.dumps(document).encode()
    stage.endpoint.s3.put("www", KEY, body)
    stage.write(SECOND, only=True)
    with pytest.raises(Refused, match="is damaged, or was not written by toolkit"):
        stage.apply(job(stage, 2))
    assert stage.bucket.objects[KEY].body == body


def test_a_list_of_a_release_that_would_do_harm_is_refused(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    released(stage, 2, SECOND)
    key = release_key(f"{1:024}")
    document = json.loads(stage.bucket.objects[key].body)
    document["files"]["index.html"][1] = [["Metadata", "x"]]
    stage.endpoint.s3.put("www", key, json.dumps(document).encode())
    with pytest.raises(Refused, match="is damaged, or was not written by toolkit"):
        stage.apply(stage.back(3, 1, distribution="E1", keep=KEEP))


# --- what goes wrong


def test_a_file_that_changes_while_it_is_deployed_is_never_put_there(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    stage.write(SECOND, only=True)

    def on_event(event: tuple[Any, ...]) -> None:
        if event[0] == "phase" and event[1].startswith("uploading"):
            stage.write({"assets/chunk-2.js": "CHUNK 2"})

    with pytest.raises(Refused, match=r"chunk-2\.js was changed while it was being deployed"):
        stage.apply(job(stage, 2), Report(clock=stage.clock, on_event=on_event))
    assert stage.manifest().release.version == "v1"
    assert "assets/chunk-2.js" not in stage.served()


@pytest.mark.parametrize("kind", ["throttle", "500", "503", "reset"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_trouble_at_any_call_ends_well_once_it_is_over(
    kind: str, when: str, stage: SiteStage
) -> None:
    released(stage, 1, FIRST)
    stage.write(SECOND, only=True)
    for call in ("s3:PutObject", "s3:CopyObject", "s3:ListObjectsV2", "s3:GetObject"):
        stage.endpoint.fault(call, kind=kind, when=when)
    stage.endpoint.fault("cloudfront:CreateInvalidation", kind=kind, when=when)
    report = Report(clock=stage.clock)
    for _ in range(4):
        try:
            stage.apply(job(stage, 2), report)
            break
        except CloudError:
            continue
    assert stage.watched(job(stage, 2), report).verdict == "succeeded"
    served = stage.served()
    assert {key: served[key] for key in SECOND} == SECOND
    assert len(stage.endpoint.cloudfront.paths) == 1


def test_too_many_invalidations_are_waited_for(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    stage.endpoint.cloudfront.too_many = 2
    stage.write(SECOND, only=True)
    report = stage.apply(job(stage, 2))
    assert (
        report.of("phase").count("waiting: CloudFront has too many invalidations in progress") == 2
    )
    assert stage.watched(job(stage, 2), report).verdict == "succeeded"


def test_it_has_succeeded_once_the_invalidation_is_over_and_not_before(stage: SiteStage) -> None:
    released(stage, 1, FIRST)
    stage.endpoint.cloudfront.slow = 2
    stage.write(SECOND, only=True)
    report = stage.apply(job(stage, 2))
    looks = [site.observe(job(stage, 2), report.receipt, stage.ports) for _ in range(3)]
    assert [look.state for look in looks] == ["running", "running", "done"]


def test_a_page_that_is_not_what_was_deployed_is_no_success(stage: SiteStage) -> None:
    report = stage.apply(job(stage, 1))
    stage.endpoint.s3.put("www", "index.html", b"somebody else's")
    look = stage.watched(job(stage, 1), report)
    assert (look.state, look.verdict, look.cause) == (
        "failed",
        "failed",
        "the release is in the bucket, but s3://www/index.html has different content",
    )


def test_a_stop_is_heard_while_files_are_uploaded(stage: SiteStage) -> None:
    stage.write({f"assets/{number}.js": str(number) for number in range(200)})
    stage.endpoint.faults.slow(0.05, "s3:PutObject")
    report = Report(clock=stage.clock)

    def on_event(event: tuple[Any, ...]) -> None:
        if event[0] == "phase" and "of" in event[1]:
            report.stopping = True

    report._on_event = on_event
    with pytest.raises(Stopped):
        stage.apply(job(stage, 1), report)
    assert 0 < len([key for key in stage.served() if key.startswith("assets/")]) < 200
    assert "index.html" not in stage.served()


def test_a_bucket_that_does_not_exist_is_told(stage: SiteStage) -> None:
    stage.endpoint.s3.buckets.clear()
    with pytest.raises(Missing, match="there is no bucket www"):
        site.preview(job(stage, 1), stage.ports)


def test_a_distribution_that_does_not_exist_is_told_before_anything_changes(
    stage: SiteStage,
) -> None:
    released(stage, 1, FIRST)
    stage.endpoint.cloudfront.distributions.clear()
    stage.write(SECOND, only=True)
    with pytest.raises(Missing, match="there is no distribution E1"):
        site.preview(job(stage, 2), stage.ports)


def test_a_look_that_fails_says_nothing(stage: SiteStage) -> None:
    report = stage.apply(job(stage, 1))
    stage.endpoint.fault("*", kind="reset", times=None)
    with pytest.raises(Unreachable):
        site.observe(job(stage, 1), report.receipt, stage.ports)


# --- where


def test_a_site_in_a_folder_of_the_bucket_leaves_everything_else_alone(stage: SiteStage) -> None:
    stage.endpoint.s3.put("www", "index.html", b"the bucket's own")
    stage.endpoint.cloudfront.distribution("E1", "www", "/app")
    stage.write(FIRST, only=True)
    first = job(stage, 1, prefix="app")
    assert stage.deployed(first).verdict == "succeeded"
    stage.write({**FIRST, "index.html": "2"}, only=True)
    second = job(stage, 2, prefix="app")
    assert stage.deployed(second).verdict == "succeeded"
    assert stage.bucket.objects["index.html"].body == b"the bucket's own"
    assert stage.bucket.objects["app/index.html"].body == b"2"
    assert stage.endpoint.cloudfront.paths == [["/", "/index.html"]]


def test_without_a_distribution_nothing_is_invalidated(stage: SiteStage) -> None:
    for number, files in ((1, FIRST), (2, SECOND)):
        stage.write(files, only=True)
        assert stage.deployed(stage.job(number)).verdict == "succeeded"
    assert stage.endpoint.cloudfront.paths == []
