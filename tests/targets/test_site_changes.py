"""What is said of a site that somebody has changed behind a deploy, or that is being deployed."""

import gzip
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.record import put
from tests.support.report import Report
from tests.targets.sites import COMMIT, SiteStage
from toolkit.errors import CloudError, Missing, NotAgreed, Refused
from toolkit.flow.recorded_bases import records_reader
from toolkit.flow.rulebook import read_rules
from toolkit.operations import Finding, Job
from toolkit.ports.net.policy import CONNECT_TO
from toolkit.record.ledger import Record
from toolkit.record.state import open_store
from toolkit.show.advice import sentence
from toolkit.targets.site.kind import kind as site
from toolkit.targets.site.manifest import KEY, SiteState, release_key
from toolkit.targets.site.settings import HeaderRule, SiteBuild

FILES = {"index.html": '<script src="app.js"></script>', "about.html": "about", "app.js": "1"}


@pytest.fixture
def stage(aws_endpoint: Endpoint, tmp_path: Path) -> SiteStage:
    """A site of three files that is live."""
    aws_endpoint.on("cloudwatch", "DescribeAlarms", {"MetricAlarms": [], "CompositeAlarms": []})
    stage = SiteStage(aws_endpoint, tmp_path)
    stage.write(FILES, only=True)
    assert stage.deployed(stage.job(1)).verdict == "succeeded"
    return stage


def told(stage: SiteStage) -> dict[str, Finding]:
    """What health says of it, by what it is about."""
    findings: list[Finding] = []
    site.health(stage.job(9), stage.ports, findings.append)
    return {finding.what: finding for finding in findings}


def outdated(stage: SiteStage) -> str:
    """Why `diff live` calls it due, though nothing of its own has changed."""
    live = site.live(stage.job(9), stage.ports)
    assert live is not None
    assert live.version == "v1"
    return live.outdated


def switching(stage: SiteStage) -> None:
    """Another deploy has begun to replace pages."""
    busy = replace(
        stage.manifest(), state=SiteState.SWITCHING, token="other", pages=("about.html",)
    )
    stage.endpoint.s3.put("www", KEY, msgspec.json.encode(busy))


# --- changed outside toolkit


def test_a_site_that_is_as_deployed_is_ok(stage: SiteStage) -> None:
    stage.endpoint.s3.put("www", "uploads/photo.jpg", b"theirs")
    stage.endpoint.calls.clear()
    assert told(stage)["files"].status == "ok"
    assert stage.endpoint.calls.count("s3:ListObjectsV2") == 1
    assert outdated(stage) == ""


def test_files_that_somebody_has_overwritten_are_named_and_the_command_puts_them_back(
    stage: SiteStage,
) -> None:
    stage.endpoint.s3.put("www", "about.html", b"by hand")
    stage.endpoint.s3.put("www", "app.js", b"2")
    finding = told(stage)["files"]
    why = "2 files differ from release 1: about.html, app.js"
    assert (finding.status, finding.cause) == ("warning", why)
    assert sentence(finding.next) == "restore them: toolkit deploy-site www"
    assert outdated(stage) == why
    again = replace(stage.job(2), version=stage.job(1).version)
    assert not site.preview(again, stage.ports).unchanged
    assert stage.deployed(again).verdict == "succeeded"
    assert stage.served() == FILES
    assert told(stage)["files"].status == "ok"


def test_a_file_that_somebody_has_deleted_is_a_failure_and_comes_back(stage: SiteStage) -> None:
    del stage.bucket.objects["app.js"]
    finding = told(stage)["files"]
    why = "1 file differs from release 1: app.js (deleted)"
    assert (finding.status, finding.cause) == ("failing", why)
    again = replace(stage.job(2), version=stage.job(1).version)
    assert stage.deployed(again).verdict == "succeeded"
    assert stage.served() == FILES


def test_of_many_files_a_few_are_named(stage: SiteStage) -> None:
    many = {f"{number}.html": "x" for number in range(6)}
    stage.write({**FILES, **many}, only=True)
    stage.deployed(replace(stage.job(2), version=stage.job(1).version))
    for key in many:
        stage.endpoint.s3.put("www", key, b"by hand")
    assert outdated(stage) == "6 files differ from release 2: 0.html, 1.html, 2.html and 3 more"


def test_where_the_bucket_cannot_be_listed_that_is_unknown(stage: SiteStage) -> None:
    stage.endpoint.fault("s3:ListObjectsV2", kind="denied", times=None)
    findings = told(stage)
    assert (findings["files"].status, findings["files"].detail) == ("unknown", "not allowed")
    assert findings["release"].status == "ok"
    with pytest.raises(CloudError):
        site.live(stage.job(9), stage.ports)


def test_a_deploy_between_two_looks_is_no_change_of_somebody_else(stage: SiteStage) -> None:
    before = stage.bucket.objects[KEY]
    stage.write({**FILES, "about.html": "2"})
    stage.deployed(stage.job(2))
    after = stage.bucket.objects[KEY]
    asked: list[str] = []

    def manifest(params: dict[str, Any]) -> dict[str, Any]:
        asked.append(params["Key"])
        found = before if len(asked) == 1 else after
        return {"Body": found.body, "ETag": found.etag, "ContentLength": len(found.body)}

    stage.endpoint.on("s3", "GetObject", manifest)
    with pytest.raises(Refused, match="was deployed to while it was checked"):
        site.live(stage.job(9), stage.ports)


# --- being deployed


def test_a_deploy_that_is_at_work_is_no_failure_and_one_that_died_is(stage: SiteStage) -> None:
    switching(stage)
    finding = told(stage)["release"]
    assert (finding.status, finding.detail) == ("warning", "being deployed")
    assert finding.cause == "run r1 is replacing its pages"
    assert sentence(finding.next) == "wait for it: toolkit health www --watch"
    stage.clock.advance(31)
    finding = told(stage)["release"]
    assert (finding.status, finding.detail) == ("failing", "incomplete")
    assert finding.cause == "run r1 replaced some of its pages and never finished"
    live = site.live(stage.job(9), stage.ports)
    assert live is not None
    assert (live.moving, live.version) == (False, None)


RULES = """
version = 1
project = "p"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[targets.www]
kind = "site"
source = "dist"
bucket = "www"
"""


def test_a_deploy_that_is_at_work_is_why_the_site_is_not_called_up_to_date(
    stage: SiteStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    version, when = stage.job(1).version, stage.manifest().release.since
    fields = ("www", "dev", "eu-west-1", version.name, COMMIT, version.fingerprint, "r1", when)
    store = open_store("p", str(tmp_path), stage.ports.endpoint(None))
    put(store, Record(*fields, "succeeded"))
    read = records_reader(stage.ports, lambda words: None, look=True)
    rules = read_rules(RULES.encode(), "rules.toml")
    [before] = read("last", rules, "dev")["www"]
    assert (before.run, before.since) == ("r1", None)
    switching(stage)
    [during] = read("last", rules, "dev")["www"]
    assert during.since == "run r1 is replacing its pages"


def test_the_pages_of_a_deploy_that_never_ends_are_waited_for_until_the_deadline(
    stage: SiteStage,
) -> None:
    switching(stage)
    beats: list[float] = []

    def on_event(event: tuple[Any, ...]) -> None:
        if event[0] == "wait":
            beats.append(event[1])
            assert len(beats) < 1000
            alive = replace(stage.manifest(), beats=len(beats))
            stage.endpoint.s3.put("www", KEY, msgspec.json.encode(alive))

    deploy = replace(stage.job(2), deadline_s=600)
    with pytest.raises(Refused, match="run r1 is still replacing the site's pages") as refused:
        stage.apply(deploy, Report(clock=stage.clock, on_event=on_event))
    assert sentence(refused.value.next) == "once that is over: toolkit deploy-site www"
    assert sum(beats) == 600


def test_too_many_invalidations_are_waited_for_until_the_deadline(stage: SiteStage) -> None:
    stage.endpoint.cloudfront.distribution("E1", "www")
    stage.endpoint.cloudfront.too_many = 10_000
    stage.write({"about.html": "2"})
    deploy = replace(stage.job(2, distribution="E1"), deadline_s=600)
    with pytest.raises(Refused, match="CloudFront has too many invalidations in progress"):
        stage.apply(deploy, Report(clock=stage.clock))
    stage.endpoint.cloudfront.too_many = 0
    assert stage.deployed(stage.job(3, distribution="E1")).verdict == "succeeded"
    assert stage.endpoint.cloudfront.paths == [["/about.html"]]


# --- what is served


def test_what_was_asked_is_what_is_said(stage: SiteStage) -> None:
    stage.write({"about.html": "2"})
    assert stage.deployed(stage.job(2)).phase == "the changed pages are in the bucket as deployed"
    stage.write({"x.txt": "x"}, only=True)
    options = {"allow_no_index": True, "allow_shrink": True}
    assert stage.deployed(stage.job(3, options)).phase == "the release is in the bucket"


@contextmanager
def serving(stage: SiteStage) -> Iterator[int]:
    """The bucket behind an address, as CloudFront serves it; the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = stage.bucket.objects[self.path.lstrip("/")]
            self.send_response(200)
            self.send_header("Content-Length", str(len(found.body)))
            if encoding := found.headers.get("ContentEncoding"):
                self.send_header("Content-Encoding", encoding)
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_pages_that_are_stored_packed_are_compared_as_they_are_stored(
    stage: SiteStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = gzip.compress(b"<p>hello</p>" * 100)
    (stage.folder / "dist" / "index.html").write_bytes(page)
    headers = (HeaderRule(match="index.html", encoding="gzip"),)
    deploy = stage.job(2, url="http://www.example.com", headers=headers)
    with serving(stage) as port:
        monkeypatch.setenv(CONNECT_TO, f"www.example.com=127.0.0.1:{port}")
        done = stage.deployed(deploy)
        assert (done.verdict, done.cause) == ("succeeded", "")
        assert done.phase == "the changed pages are served as deployed"
        stage.bucket.objects["index.html"].body = gzip.compress(b"other")
        report = Report({"release": f"{2:024}", "switched": True})
        assert stage.watched(deploy, report).cause.endswith("index.html has different content")


# --- a distribution that is not there


def build(stage: SiteStage, number: int, **settings: Any) -> Job:
    (stage.folder / "dist" / "build.py").write_text("print('built')")
    command = SiteBuild(command=("python3", "dist/build.py"))
    return stage.job(number, build=command, **settings)


@pytest.mark.parametrize("builds", [False, True])
def test_a_distribution_that_is_not_there_is_told_before_anything_is_built_or_written(
    builds: bool, stage: SiteStage
) -> None:
    stage.write({"about.html": "2"})
    deploy = stage.job(2, distribution="E1")
    if builds:
        deploy = build(stage, 2, distribution="E1")
    with pytest.raises(Missing, match="there is no distribution E1"):
        site.preview(deploy, stage.ports)
    report = Report(clock=stage.clock)
    with pytest.raises(Missing, match="there is no distribution E1"):
        stage.apply(deploy, report)
    assert (report.intents, report.of("log")) == ([], [])
    assert stage.served() == FILES


def test_a_distribution_that_is_deleted_meanwhile_ends_the_look(stage: SiteStage) -> None:
    stage.endpoint.cloudfront.distribution("E1", "www")
    stage.write({"about.html": "2"})
    report = stage.apply(deploy := stage.job(2, distribution="E1"))
    stage.endpoint.cloudfront.distributions.clear()
    stage.endpoint.cloudfront.invalidations.clear()
    look = stage.watched(deploy, report)
    assert (look.verdict, look.cause) == (
        "failed",
        "the release is in the bucket, but there is no distribution E1",
    )


# --- whose bucket it is


def test_a_bucket_that_another_target_was_deployed_to_needs_adopt(stage: SiteStage) -> None:
    for deploy in (stage.job(2), build(stage, 2)):
        other = replace(deploy, target="docs")
        assert site.preview(other, stage.ports).warnings == (
            "s3://www/ has target www; replace it by docs: confirm it with --adopt",
        )
        with pytest.raises(NotAgreed):
            stage.apply(other, Report(clock=stage.clock, yes=frozenset()))
    assert stage.manifest().release.target == "www"
    stage.deployed(replace(stage.job(3, {"adopt": True}), target="docs"))
    assert stage.manifest().release.target == "docs"


def test_a_bucket_of_an_earlier_toolkit_is_nobodys_else(stage: SiteStage) -> None:
    earlier = stage.manifest()
    earlier = replace(earlier, release=replace(earlier.release, target=""))
    stage.endpoint.s3.put("www", KEY, msgspec.json.encode(earlier))
    assert site.preview(stage.job(2), stage.ports).warnings == ()


def test_what_a_dead_first_deploy_has_left_needs_no_adopt_for_a_build(
    aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = SiteStage(aws_endpoint, tmp_path)
    stage.endpoint.fault("s3:PutObject", kind="denied", skip=2, times=None)
    stage.write({f"assets/{number}.js": "x" for number in range(3)})
    with pytest.raises(CloudError):
        stage.apply(stage.job(1))
    assert KEY in stage.bucket.objects
    assert site.preview(build(stage, 2), stage.ports).warnings == ()


# --- what can be put back


def test_a_damaged_list_leaves_unknown_whether_a_release_can_be_put_back(stage: SiteStage) -> None:
    stage.write({"about.html": "2"})
    stage.deployed(stage.job(2))
    details = [{"release": f"{number:024}"} for number in (1, 2)]
    stage.endpoint.s3.put("www", release_key(f"{1:024}"), b"{")
    assert site.restorable(stage.job(9), details, stage.ports) == (None, True)
    stage.endpoint.s3.put("www", KEY, b"{")
    assert site.restorable(stage.job(9), details, stage.ports) == (None, None)
