"""A site in the emulator, behind a proxy that caches: nobody who looks at it ever meets a file that
is not there, whatever is deployed, rolled back or killed meanwhile.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.cdn import Cdn, Crawler, built_site, fetch, served
from tests.support.repo import Repo
from tests.support.report import Report
from tests.support.run import ROOT, process
from tests.support.sandbox import REGION, Cloud, Emulator
from toolkit.errors import NotAllowed
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Observation, Statement
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import SystemClock
from toolkit.ports.net.policy import CONNECT_TO
from toolkit.ports.ports import Ports
from toolkit.targets.site.kind import kind as site
from toolkit.targets.site.manifest import KEY, RELEASES, SiteManifest
from toolkit.targets.site.options import SiteOptions, SiteRestore
from toolkit.targets.site.settings import Keep


class Www:
    """Bucket `www` in the emulator, with a distribution and the caching proxy in front."""

    def __init__(self, aws: Aws, folder: Path, distribution: str | None) -> None:
        self.aws, self.folder, self.distribution = aws, folder, distribution
        self.account = aws.account()
        self.ports = Ports(str(folder), str(folder), SystemClock(), lambda *location: aws)

    def write(self, files: dict[str, str]) -> None:
        """A build with these files and no others."""
        dist = self.folder / "dist"
        for path in [path for path in dist.rglob("*") if path.is_file()]:
            path.unlink()
        for name, text in files.items():
            path = dist / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def job(self, number: int, restore: int | None = None) -> Job:
        """The step that deploys release `number`, or puts release `restore` back."""
        settings = site.Settings(
            source="dist",
            bucket="www",
            distribution=self.distribution,
            url="http://www.example.com" if self.distribution else None,
            keep=Keep(releases=10 if self.distribution else 1, days=0),
        )
        shown = number if restore is None else restore
        job = Job(
            step="www",
            target="www",
            kind="site",
            action=JobAction.DEPLOY,
            location=Location("dev", REGION, self.account),
            settings=settings,
            version=Version(f"v{shown}", None, f"{shown:064}"),
            run=f"r{number}",
            token=f"{number:024}",
            options=SiteOptions(),
        )
        if restore is None:
            return job
        back = SiteRestore(release=f"{restore:024}")
        return replace(job, action=JobAction.ROLLBACK, restore=back)

    def done(self, job: Job) -> Observation:
        """Deploy, and look until it has ended."""
        report = Report()
        site.apply(job, self.ports, report)
        before: Observation | None = None
        for _ in range(200):
            before = site.observe(job, report.receipt, self.ports, before)
            if before.state != "running":
                return before
            time.sleep(0.05)
        raise AssertionError(before)


@pytest.fixture
def www(cloud: Cloud, tmp_path: Path) -> Www:
    """An empty bucket behind a distribution."""
    aws = cloud.aws()
    place = {"LocationConstraint": REGION}
    aws.write("s3", "create_bucket", Bucket="www", CreateBucketConfiguration=place)
    origin = {
        "Id": "o",
        "DomainName": "www.s3.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    behavior: dict[str, Any] = {
        "TargetOriginId": "o",
        "ViewerProtocolPolicy": "allow-all",
        "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
        "MinTTL": 0,
    }
    config = {
        "CallerReference": "1",
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": behavior,
    }
    made = aws.write("cloudfront", "create_distribution", DistributionConfig=config)
    return Www(aws, tmp_path, str(made["Distribution"]["Id"]))


@pytest.fixture
def port(www: Www, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of the proxy, which is what www.example.com means here."""
    assert www.distribution is not None
    with served(Cdn(www.aws, "www", www.distribution)) as number:
        monkeypatch.setenv(CONNECT_TO, f"www.example.com=127.0.0.1:{number}")
        yield number


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("deploys", "rollbacks"),
    [(5, 2), pytest.param(50, 20, marks=pytest.mark.slow("crawls"))],
)
def test_whoever_follows_every_reference_during_deploys_and_rollbacks_sees_nothing_but_200(
    deploys: int, rollbacks: int, www: Www, port: int
) -> None:
    www.write(built_site(0))
    assert www.done(www.job(0)).verdict == "succeeded"
    chance = random.Random(7)
    back_at = {chance.randrange(2, deploys) for _ in range(20 * rollbacks)}
    back_after = sorted(back_at)[:rollbacks]
    run = 0
    with Crawler(port) as crawler:
        for number in range(1, deploys + 1):
            run += 1
            www.write(built_site(run))
            assert www.done(www.job(run)).verdict == "succeeded"
            if number in back_after:
                earlier = run - chance.randint(1, min(3, run))
                if f"{earlier:024}" in _kept(www):
                    run += 1
                    done = www.done(www.job(run, restore=earlier))
                    assert (done.verdict, done.live and done.live.version) == (
                        "succeeded",
                        f"v{earlier}",
                    )
                    assert f"release {earlier}".encode() in fetch(port, "/")[1]
    assert crawler.wrong == []
    assert crawler.rounds > 1


def _kept(www: Www) -> set[str]:
    manifest = _manifest(www)
    return {release.id for release in manifest.releases}


def _manifest(www: Www) -> SiteManifest:
    _, body = www.aws.streamed("s3", "get_object", 1 << 24, Bucket="www", Key=KEY)
    return msgspec.json.decode(body, type=SiteManifest)


@pytest.mark.sandbox
def test_an_old_tab_loads_its_lazy_chunk_after_ten_more_deploys(www: Www, port: int) -> None:
    www.write(built_site(0))
    www.done(www.job(0))
    page = fetch(port, "/")[1].decode()
    script = re.search(r'src="(/assets/index-[^"]+)"', page)
    assert script is not None
    for number in range(1, 11):
        www.write(built_site(number))
        assert www.done(www.job(number)).verdict == "succeeded"
    status, body, _ = fetch(port, script[1])
    assert status == 200
    lazy = re.search(r'import\("([^"]+)"\)', body.decode())
    assert lazy is not None
    assert fetch(port, lazy[1])[:2] == (200, b"// lazy 0")
    www.write(built_site(11))
    www.done(www.job(11))
    listed = www.aws.pages("s3", "list_objects_v2", "Contents", Bucket="www")
    keys = {str(item["Key"]) for item in listed}
    assert lazy[1].lstrip("/") not in keys
    assert not any(key.startswith(f"{RELEASES}{0:024}/") for key in keys)


PACKAGES = os.environ.get("TOOLKIT_TEST_BUNDLERS", "")
BROWSER = shutil.which("chromium")
PAGE = """<link rel="icon" href="data:,"><button>load</button><output></output>
<script type="module" src="/main.js"></script>"""
MAIN = """const show = (module) => { document.querySelector("output").textContent = module.words };
document.querySelector("button").onclick = () => import("./lazy.js").then(show);
console.log("release RELEASE");
"""


@pytest.mark.sandbox
@pytest.mark.slow("browsers")
@pytest.mark.skipif(
    not (PACKAGES and BROWSER),
    reason="TOOLKIT_TEST_BUNDLERS names no folder with vite and playwright-core, or no chromium",
)
def test_a_tab_of_a_real_browser_loads_its_lazy_chunk_after_ten_more_deploys_of_a_real_bundler(
    www: Www, port: int
) -> None:
    web = www.folder / "web"
    web.mkdir()

    def deploy(number: int) -> None:
        (web / "index.html").write_text(PAGE)
        (web / "main.js").write_text(MAIN.replace("RELEASE", str(number)))
        (web / "lazy.js").write_text(f'export const words = "lazy {number}"')
        vite = [f"{PACKAGES}/node_modules/.bin/vite", "build", "--manifest"]
        subprocess.run([*vite, "--outDir", "../dist", "--emptyOutDir"], cwd=web, check=True)
        assert www.done(www.job(number)).verdict == "succeeded"

    deploy(0)
    script = str(ROOT / "tests" / "targets" / "old_tab.mjs")
    tab = subprocess.Popen(
        ["node", script, PACKAGES, str(BROWSER), f"http://127.0.0.1:{port}/"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert tab.stdout is not None
        assert tab.stdout.readline() == "open\n"
        for number in range(1, 11):
            deploy(number)
        shown, _ = tab.communicate("press\n", timeout=60)
    finally:
        tab.kill()
    assert json.loads(shown) == {"old": "lazy 0", "fresh": "lazy 10", "missed": []}


@pytest.mark.sandbox
def test_what_the_cache_keeps_is_forgotten_where_there_is_a_distribution_to_tell(
    www: Www, port: int
) -> None:
    www.write(built_site(0))
    www.done(www.job(0))
    job = www.job(1)
    untold = replace(job, settings=replace(job.settings, distribution=None))
    assert fetch(port, "/config.js")[1] == b"release = 0"
    www.write({**built_site(0), "config.js": "release = 1"})
    assert www.done(untold).verdict == "succeeded"
    assert fetch(port, "/config.js")[1] == b"release = 0"
    www.write({**built_site(0), "config.js": "release = 2"})
    assert www.done(www.job(2)).verdict == "succeeded"
    assert fetch(port, "/config.js")[1] == b"release = 2"


def policy(statements: Sequence[Statement]) -> str:
    """Statements as IAM reads them."""
    rows = [
        {"Effect": "Allow", "Action": list(item.actions), "Resource": list(item.resources)}
        for item in statements
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": rows})


class Strict:
    """An account that enforces its policies, with an empty bucket and a user."""

    def __init__(self, emulator: Emulator, patch: pytest.MonkeyPatch, folder: Path) -> None:
        emulator.reset()
        self._emulator, self._patch, self._folder = emulator, patch, folder
        self.root = self._signed_in("test", emulator.secret)
        place = {"LocationConstraint": REGION}
        self.root.write("s3", "create_bucket", Bucket="www", CreateBucketConfiguration=place)
        self.root.write("iam", "create_user", UserName="deployer")
        made = self.root.write("iam", "create_access_key", UserName="deployer")["AccessKey"]
        self._key = (str(made["AccessKeyId"]), str(made["SecretAccessKey"]))

    def _signed_in(self, key: str, secret: str) -> Aws:
        for name, value in self._emulator.env(region=REGION).items():
            self._patch.setenv(name, value)
        self._patch.setenv("AWS_ACCESS_KEY_ID", key)
        self._patch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        aws = Aws(None, REGION)
        aws.account()
        return aws

    def user(self, statements: Sequence[Statement]) -> Www:
        """The site as the user sees it, who may do this and nothing else."""
        self.root.write(
            "iam",
            "put_user_policy",
            UserName="deployer",
            PolicyName="toolkit",
            PolicyDocument=policy(statements),
        )
        return Www(self._signed_in(*self._key), self._folder, None)


@pytest.mark.slow("permissions, one by one", keep=1)
@pytest.mark.real_time
@pytest.mark.sandbox
def test_exactly_these_permissions_are_enough_and_without_any_of_them_something_is_refused(
    strict_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    strict = Strict(strict_emulator, monkeypatch, tmp_path)
    statements = [
        item
        for item in site.permissions(Www(strict.root, tmp_path, None).job(0))
        if not item.actions[0].startswith("cloudwatch:")
    ]
    actions = [(item, action) for item in statements for action in item.actions]
    www = strict.user(statements)
    number = 0

    def everything(www: Www) -> None:
        nonlocal number
        for _ in range(3):
            number += 1
            www.write({**built_site(number), f"only-{number}.html": ""})
            assert www.done(www.job(number)).verdict == "succeeded"
        number += 1
        assert www.done(www.job(number, restore=number - 2)).verdict == "succeeded"

    everything(www)
    for missing, action in actions:
        left = [
            replace(item, actions=tuple(other for other in item.actions if other != action))
            if item is missing
            else item
            for item in statements
        ]
        with pytest.raises(NotAllowed) as refused:
            everything(strict.user([item for item in left if item.actions]))
        assert action in str(refused.value), action


RULES = """version = 1
project = "shop"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[targets.www]
kind = "site"
source = "dist"
bucket = "www"
keep = { releases = 1, days = 0 }

[[rules]]
name = "site"
paths = ["dist/**"]
deploy = ["www"]
"""


@pytest.mark.sandbox
@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.slow("kills"))])
def test_a_deploy_that_is_killed_at_any_moment_is_resumed_to_its_end(
    kills: int, www: Www, repo: Repo, tmp_path: Path
) -> None:
    """Real processes, really killed."""
    chance = random.Random(kills)
    state = str(tmp_path / "state")
    repo.commit("rules", {"rules.toml": RULES})
    resumes = 0
    for number in range(kills):
        files = {f"dist/{number % 4}-{index}.js": f"{number} {index}" for index in range(60)}
        files |= {f"dist/p{index}.html": f"{number}" for index in range(20)}
        repo.commit(f"release {number}", {**files, "dist/index.html": f"release {number}"})
        runs = _runs(tmp_path)
        child = subprocess.Popen(
            [sys.executable, "-m", "toolkit", "deploy-site", "www", "--yes", "--allow-shrink"],
            cwd=repo.path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TOOLKIT_STATE_DIR": state},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while _runs(tmp_path) == runs:
            assert child.poll() is None
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1.5) if number else 0)
        child.send_signal(signal.SIGKILL)
        child.wait()
        resumed = process(repo.path, "resume", "--yes", TOOLKIT_STATE_DIR=state)
        if "no run is open" not in resumed.err:  # it was over, or had not begun
            assert resumed.code == 0, resumed
            assert _first_page(www) == f"release {number}"
            assert _manifest(www).state == "live"
            resumes += 1
        again = ("deploy-site", "www", "--yes", "--allow-shrink")
        done = process(repo.path, *again, TOOLKIT_STATE_DIR=state)
        assert done.code == 0, done
        manifest = _manifest(www)
        assert manifest.state == "live"
        listed = {
            str(item["Key"]): str(item["ETag"])
            for item in www.aws.pages("s3", "list_objects_v2", "Contents", Bucket="www")
        }
        assert {key: file.etag for key, file in manifest.files.items()}.items() <= listed.items()
        kept = {*manifest.files, *manifest.stale, KEY}
        lists = {f"{RELEASES}{release.id}/site.json" for release in manifest.releases}
        own = f"{RELEASES}{manifest.release.id}/site.json"
        assert {key for key in listed if key.startswith(RELEASES)} <= {*kept, *lists, own}
        assert _first_page(www) == f"release {number}"
    assert resumes


def _runs(folder: Path) -> set[Path]:
    """The journals of all runs that have begun."""
    return {path for path in folder.glob("state/**/*.jsonl") if path.stat().st_size}


def _first_page(www: Www) -> str:
    body = www.aws.streamed("s3", "get_object", 99, Bucket="www", Key="index.html")[1]
    return body.decode()


@pytest.mark.sandbox
def test_what_was_changed_in_the_bucket_is_due_and_the_next_deploy_restores_it(
    www: Www, repo: Repo, tmp_path: Path
) -> None:
    def toolkit(*args: str) -> Any:
        return process(repo.path, *args, TOOLKIT_STATE_DIR=str(tmp_path / "state"))

    page = {"dist/index.html": "release 1", "dist/a.js": "1", "dist/b.js": "1"}
    repo.commit("site", {"rules.toml": RULES, **page})
    assert toolkit("deploy-site", "www", "--yes").code == 0
    assert toolkit("diff", "live", "--json").json["states"] == {"www": "clean"}
    www.aws.write("s3", "put_object", Bucket="www", Key="index.html", Body=b"by hand")
    www.aws.write("s3", "delete_object", Bucket="www", Key="b.js")
    why = "2 files differ from release 1: b.js (deleted), index.html"
    seen = toolkit("health", "www")
    assert (seen.code, why in " ".join(seen.out.split())) == (1, True), seen
    assert "toolkit deploy-site www" in seen.out
    due = toolkit("diff", "live")
    assert why in " ".join(due.out.split()), due
    assert toolkit("diff", "live", "--json").json["states"] == {"www": "due"}
    done = toolkit("deploy-site", "www", "--yes")
    assert (done.code, "unchanged" in done.out) == (0, False), done
    assert _first_page(www) == "release 1"
    assert www.aws.streamed("s3", "get_object", 9, Bucket="www", Key="b.js")[1] == b"1"
    assert toolkit("diff", "live", "--json").json["states"] == {"www": "clean"}
