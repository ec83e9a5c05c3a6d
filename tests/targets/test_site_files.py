"""Which files a site has, with which headers, and which builds are refused."""

import hashlib
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.report import Report
from tests.targets.sites import SiteStage
from toolkit.errors import FileProblem, ProgramFailed, Refused, Stopped
from toolkit.operations import Job, OutputSource
from toolkit.targets.site.bundler import hashed_keys
from toolkit.targets.site.headers import (
    IMMUTABLE,
    REVALIDATED,
    SHORT,
    HeaderChooser,
    content_type,
)
from toolkit.targets.site.kind import kind as site
from toolkit.targets.site.references import referred_keys
from toolkit.targets.site.settings import HeaderRule, SiteBuild
from toolkit.targets.site.source import read_source
from toolkit.targets.stack.settings import StackSettings


@pytest.fixture
def stage(aws_endpoint: Endpoint, tmp_path: Path) -> SiteStage:
    """An empty bucket."""
    return SiteStage(aws_endpoint, tmp_path)


# --- headers


def cache(key: str, hashed: bool = False, *rules: HeaderRule) -> str:
    chooser = HeaderChooser(rules, frozenset((key,)) if hashed else frozenset())
    return dict(chooser.headers(key))["CacheControl"]


@pytest.mark.parametrize(
    "key",
    [
        "index.html",
        "a/b.htm",
        "sw.js",
        "service-worker.js",
        "app/sw.js",
        "firebase-messaging-sw.js",
        "ngsw.json",
        "manifest.json",
        "site.webmanifest",
        "robots.txt",
        "version.json",
        "sitemap-0.xml",
    ],
)
def test_what_leads_to_everything_else_is_asked_for_each_time_whatever_the_bundler_says(
    key: str,
) -> None:
    assert cache(key) == cache(key, True) == REVALIDATED


@pytest.mark.parametrize(
    "key", ["app.js", "swap.js", "a/swim.js", "manifest.js", "x/robots.txt.js"]
)
def test_other_files_are_kept_for_a_year_only_if_their_name_holds_a_hash(key: str) -> None:
    assert cache(key) == SHORT
    assert cache(key, True) == IMMUTABLE


def test_the_last_rule_that_matches_counts() -> None:
    rules = (
        HeaderRule(match="**/*.pdf", cache="public, max-age=5", disposition="inline"),
        HeaderRule(match="downloads/**", cache="private"),
    )
    chooser = HeaderChooser(rules, frozenset())
    assert chooser.headers("downloads/a.pdf") == (
        ("CacheControl", "private"),
        ("ContentDisposition", "inline"),
        ("ContentType", "application/pdf"),
    )
    assert cache("x.js", False, *rules) == SHORT


def test_a_page_is_never_immutable_whatever_rules_say() -> None:
    with pytest.raises(Refused, match=r"index\.html must not be immutable"):
        cache("index.html", False, HeaderRule(match="**", cache=IMMUTABLE))


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.MJS", "text/javascript; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.webmanifest", "application/manifest+json"),
        (".well-known/apple-app-site-association", "application/json"),
        ("LICENSE", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
    ],
)
def test_the_content_type_is_by_the_end_of_the_name(key: str, kind: str) -> None:
    assert content_type(key) == kind


# --- bundlers

VITE = {
    "index.html": {
        "file": "assets/index-B7PI925R.js",
        "name": "index",
        "src": "index.html",
        "isEntry": True,
        "css": ["assets/index-5UjPuW-k.css"],
        "assets": ["assets/logo-DvoUa2a_.svg"],
    },
    "src/lazy.js": {"file": "assets/lazy-DRmt_-4x.js", "name": "lazy", "src": "src/lazy.js"},
    "src/plain.js": {"file": "assets/plain.js", "name": "plain", "src": "src/plain.js"},
    "src/google.js": {"file": "google-analytics.js", "name": "google-analytics"},
}
CRA = {
    "files": {
        "main.js": "/static/js/main.073c9b0a.js",
        "static/media/logo.svg": "/static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg",
        "index.html": "/index.html",
        "report.pdf": "/static/report-20241201.pdf",
    },
    "entrypoints": ["static/js/main.073c9b0a.js"],
}
ESBUILD = {
    "inputs": {},
    "outputs": {
        "web/dist/app-5YXBGQJ2.js": {"bytes": 1},
        "web/dist/app.js": {"bytes": 1},
        "web/dist/google-analytics.js": {"bytes": 1},
        "elsewhere/x-5YXBGQJ2.js": {"bytes": 1},
    },
}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            VITE,
            {
                "assets/index-B7PI925R.js",
                "assets/index-5UjPuW-k.css",
                "assets/logo-DvoUa2a_.svg",
                "assets/lazy-DRmt_-4x.js",
            },
        ),
        (
            CRA,
            {
                "static/js/main.073c9b0a.js",
                "static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg",
            },
        ),
        (ESBUILD, {"app-5YXBGQJ2.js"}),
    ],
)
def test_only_what_the_bundlers_manifest_says_is_hashed(
    document: object, expected: set[str]
) -> None:
    assert hashed_keys(json.dumps(document).encode(), "web/dist") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '"x"',
        '{"a": 1}',
        '{"outputs": []}',
        '{"files": {"a": 5}}',
        "\xff",
        "[" * 200_000,
    ],
)
def test_what_is_no_manifest_says_nothing(text: str) -> None:
    assert hashed_keys(text.encode("latin-1"), "dist") == frozenset()


def test_hashed_names_are_kept_for_a_year_and_others_are_not(stage: SiteStage) -> None:
    stage.write(
        {
            "index.html": "",
            ".vite/manifest.json": json.dumps(VITE),
            "assets/index-B7PI925R.js": "1",
            "google-analytics.js": "1",
            "bootstrap-datepicker.js": "1",
        },
        only=True,
    )
    stage.deployed(stage.job())
    caches = {key: found.headers["CacheControl"] for key, found in stage.bucket.objects.items()}
    assert caches["assets/index-B7PI925R.js"] == IMMUTABLE
    assert caches["google-analytics.js"] == caches["bootstrap-datepicker.js"] == SHORT
    assert ".vite/manifest.json" not in caches


# --- references


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<script src="a.js"></script>', ["en/a.js"]),
        ('<script src="/a.js?v=1#x"></script>', ["a.js"]),
        ('<link rel="stylesheet" href="../x.css">', ["x.css"]),
        ('<link rel="canonical" href="/nowhere">', []),
        ('<img src=p%20q.png srcset="1.png 1x, /2.png 2x">', ["en/p q.png", "en/1.png", "2.png"]),
        ('<base href="/sub/"><script src="a.js"></script>', ["sub/a.js"]),
        ('<a href="other.html#part">x</a><a href="/login">y</a>', ["en/other.html"]),
        ('<script src="//cdn.example/x.js"></script><img src="data:image/png;base64,AA">', []),
        ('<img src="http://[bad"><script src></script><img src="#x">', []),
        ("<<<<>>&#xffffffff; <script", []),
    ],
)
def test_the_files_that_a_page_needs_are_found(text: str, expected: list[str]) -> None:
    assert list(referred_keys("en/index.html", text, "")) == expected


def test_the_files_that_a_style_needs_are_found() -> None:
    text = "/* url(gone.png) */ a{b:url(x.png)} c{d:url('../y.woff2?#iefix')} e{f:url(data:x)}"
    assert list(referred_keys("css/a.css", text, "")) == ["css/x.png", "y.woff2"]


@pytest.mark.parametrize(
    "text",
    [
        "/*" * 100_000,
        "url(" + " " * 100_000,
        "url(" * 50_000,
        "url('" * 50_000,
        "url(\"url('" * 30_000,
        "url( x " * 50_000,
    ],
)
def test_a_style_that_is_made_to_be_slow_is_read_in_linear_time(text: str) -> None:
    began = time.process_time()
    assert list(referred_keys("a.css", text, "")) == []
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/*/ url(gone.png) */ a{b:url( x.png )}", ["x.png"]),
        ("a{b:url(x.png)} /* url(gone.png)", ["x.png"]),
        ("/**/a{b:url(x.png)}/**/", ["x.png"]),
    ],
)
def test_what_a_comment_of_a_style_says_is_left_out(text: str, expected: list[str]) -> None:
    assert list(referred_keys("a.css", text, "")) == expected


def test_references_below_a_prefix_are_followed_both_ways() -> None:
    text = '<script src="/app/a.js"></script><script src="/b.js"></script><img src="c.png">'
    assert list(referred_keys("index.html", text, "app/")) == ["a.js", "b.js", "c.png"]


# --- builds that are refused

GOOD = {f"{number}.html": str(number) for number in range(9)} | {"index.html": "1"}


@pytest.mark.parametrize(
    ("option", "files", "words"),
    [
        ("allow_no_index", {"a.html": ""}, "dist has no index.html"),
        ("allow_shrink", {"index.html": "1"}, "9 of the 10 live pages are not in dist"),
        ("allow_source_maps", {**GOOD, "a.js.map": ""}, "a.js.map is a source map"),
        ("allow_dotenv", {**GOOD, "sub/.env.local": ""}, "sub/.env.local is a file with settings"),
        (
            "allow_broken_references",
            {**GOOD, "1.html": '<script src="gone.js">'},
            "1.html refers to gone.js, which is not in dist",
        ),
    ],
)
def test_a_doubtful_build_is_refused_and_its_own_option_allows_it(
    option: str, files: dict[str, str], words: str, stage: SiteStage
) -> None:
    stage.write(GOOD, only=True)
    stage.deployed(stage.job(1))
    before = stage.served()
    stage.write(files, only=True)
    flag = f"--{option.replace('_', '-')}"
    allowed = {option: True}
    if option == "allow_no_index":
        allowed["allow_shrink"] = True
    for call in (
        lambda: site.preview(stage.job(2), stage.ports),
        lambda: stage.apply(stage.job(2)),
    ):
        with pytest.raises(Refused) as refused:
            call()
        assert words in str(refused.value)
        assert str(refused.value.next).endswith(f"to deploy it as it is, {flag}")
    assert stage.served() == before
    stage.deployed(stage.job(2, allowed))
    assert {key: text for key, text in stage.served().items() if key in files} == files


def test_a_build_with_far_fewer_files_is_refused_and_one_with_other_names_is_not(
    stage: SiteStage,
) -> None:
    stage.write({**{f"{number}.js": "" for number in range(9)}, "index.html": ""}, only=True)
    stage.deployed(stage.job(1))
    stage.write({**{f"{number}.js": "" for number in range(9, 18)}, "index.html": ""}, only=True)
    assert stage.deployed(stage.job(2)).verdict == "succeeded"
    stage.write({"17.js": "", "index.html": ""}, only=True)
    with pytest.raises(Refused, match="dist has 2 files, and 10 are live"):
        stage.apply(stage.job(3))


def test_an_empty_build_is_refused_and_its_own_option_allows_it(stage: SiteStage) -> None:
    stage.write({}, only=True)
    with pytest.raises(Refused, match="dist has no files"):
        stage.apply(stage.job(1))
    assert stage.deployed(stage.job(1, {"allow_empty": True})).verdict == "succeeded"
    assert stage.served() == {}


def test_a_link_out_of_the_build_is_refused_and_its_own_option_allows_it(
    stage: SiteStage, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", tmp_path / "dist" / "x.txt")
    os.symlink("app.js", tmp_path / "dist" / "inside.js")
    with pytest.raises(Refused, match=r"x\.txt is a link that leads out of dist"):
        stage.apply(stage.job(1))
    assert "secret" not in stage.served().values()
    stage.deployed(stage.job(1, {"allow_links_out": True}))
    assert stage.served()["x.txt"] == "secret"
    assert stage.served()["inside.js"] == "1"


def test_a_linked_folder_out_of_the_build_is_refused_too(stage: SiteStage, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "key.txt").write_text("secret")
    os.symlink(tmp_path / "other", tmp_path / "dist" / "sub")
    with pytest.raises(Refused, match=r"sub/key\.txt is a link that leads out of dist"):
        stage.apply(stage.job(1))


def test_a_build_outside_of_the_repository_is_refused(stage: SiteStage, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    os.symlink(tmp_path / "dist", root / "dist")
    with pytest.raises(Refused, match="dist leads out of the repository"):
        read_source(str(root), "dist", lambda: None)


def test_a_link_in_the_place_of_the_build_is_refused_and_its_own_option_allows_it(
    stage: SiteStage, tmp_path: Path
) -> None:
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "index.html").write_text("x")
    (tmp_path / "backend" / "settings.ini").write_text("password=1")
    os.symlink("backend", tmp_path / "linked")
    with pytest.raises(Refused, match="is a link that leads out of linked"):
        stage.apply(stage.job(1, source="linked"))
    assert stage.served() == {}
    stage.deployed(stage.job(1, {"allow_links_out": True}, source="linked"))
    assert stage.served()["index.html"] == "x"


@pytest.mark.parametrize("name", [".git", ".GIT"])
@pytest.mark.parametrize("link", [("robots.txt", "../{}/config"), ("sub", "../{}")])
def test_a_link_into_gits_own_folder_is_refused_whatever_is_allowed(
    name: str, link: tuple[str, str], stage: SiteStage, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "config").write_text("extraheader = AUTHORIZATION: basic secret")
    os.symlink(link[1].format(name), tmp_path / "dist" / link[0])
    with pytest.raises(Refused, match="leads into git's own folder"):
        stage.apply(stage.job(1, {"allow_links_out": True}))
    assert stage.served() == {}


def test_the_git_file_of_a_worktree_is_no_part_of_a_site(stage: SiteStage) -> None:
    stage.write({".git": "gitdir: /home/ada/work/.git/modules/x", "sub/.git": "gitdir: /x"})
    stage.deployed(stage.job(1))
    assert set(stage.served()) == {"app.js", "index.html"}


def test_a_link_to_settings_counts_as_settings(stage: SiteStage, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET=1")
    os.symlink("../.env", tmp_path / "dist" / "x.txt")
    with pytest.raises(Refused, match=r"x\.txt is a file with settings"):
        stage.apply(stage.job(1, {"allow_links_out": True}))


@pytest.mark.slow("bombs")
def test_links_that_make_too_many_folders_of_a_few_are_refused_soon(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / "dist" / str(number)
        folder.mkdir(parents=True)
        for name in ("a", "b"):
            os.symlink(f"../{number + 1}", folder / name)
    (tmp_path / "dist" / "20").mkdir()
    began = time.process_time()
    with pytest.raises(Refused, match="more than 50,000 folders"):
        read_source(str(tmp_path), "dist", lambda: None)
    assert time.process_time() - began < 30


def test_a_folder_with_two_names_is_published_under_both(stage: SiteStage, tmp_path: Path) -> None:
    stage.write({"v3/a.html": "3"})
    os.symlink("v3", tmp_path / "dist" / "latest")
    stage.deployed(stage.job(1))
    assert stage.served()["latest/a.html"] == stage.served()["v3/a.html"] == "3"


def test_links_in_a_circle_are_read_once(stage: SiteStage, tmp_path: Path) -> None:
    os.symlink("..", tmp_path / "dist" / "loop")
    os.symlink(".", tmp_path / "dist" / "self")
    assert set(read_source(str(tmp_path), "dist/self", lambda: None)) == {"app.js", "index.html"}


def test_what_is_no_file_is_refused_and_never_waited_for(stage: SiteStage, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "dist" / "pipe")
    with pytest.raises(Refused, match="pipe is not a file"):
        stage.apply(stage.job(1))


def test_a_file_that_cannot_be_read_is_told(stage: SiteStage, tmp_path: Path) -> None:
    os.symlink("nowhere", tmp_path / "dist" / "gone.txt")
    with pytest.raises(FileProblem, match=r"gone\.txt: No such file"):
        stage.apply(stage.job(1))


def test_a_name_that_no_address_can_hold_is_refused(stage: SiteStage, tmp_path: Path) -> None:
    (tmp_path / "dist" / "a\nb.txt").write_text("")
    with pytest.raises(Refused, match="cannot be the name of an object"):
        stage.apply(stage.job(1))


def test_the_tools_own_keys_are_no_part_of_a_site(stage: SiteStage) -> None:
    stage.write({".toolkit/site.json": "{}", ".git/config": "x", ".well-known/a": "1"})
    stage.deployed(stage.job(1))
    assert set(stage.served()) == {"app.js", "index.html", ".well-known/a"}
    assert stage.manifest().release.run == "r1"


def test_digests_are_those_of_the_content(stage: SiteStage, tmp_path: Path) -> None:
    found = read_source(str(tmp_path), "dist", lambda: None)
    assert found["app.js"].digest == hashlib.sha256(b"1").hexdigest()


# --- built here

BUILD = """
import os, sys
print("building", os.getcwd().rsplit("/", 1)[1], sys.argv[1:])
print("token", os.environ.get("TOKEN"))
os.makedirs("dist", exist_ok=True)
with open("dist/index.html", "w") as page:
    page.write("api " + os.environ["API_URL"] + " " + str("SECRET" in os.environ))
"""


def built(stage: SiteStage, number: int, url: str | None = "https://api.example") -> Job:
    """A site that is built with the output of a stack."""
    outputs = [{"OutputKey": "Url", "OutputValue": url}] if url is not None else []
    stack = {
        "StackName": "Api",
        "StackId": "arn:aws:cloudformation:eu-west-1:111111111111:stack/Api/1",
        "StackStatus": "CREATE_COMPLETE",
        "CreationTime": datetime.now(UTC),
        "Outputs": outputs,
    }
    stage.endpoint.on("cloudformation", "DescribeStacks", {"Stacks": [stack]})

    build = SiteBuild(
        command=("python3", "build.py", "a b; c"),
        folder="web",
        env={"API_URL": "{outputs.api.Url}/v1"},
        pass_env=("TOKEN",),
    )
    job = stage.job(number, source="web/dist", build=build)
    source = OutputSource(
        "api", "stack", StackSettings(stack="Api", template="api.yaml", outputs=("Url",))
    )
    return replace(job, consumed=(source,))


@pytest.fixture
def web(stage: SiteStage, monkeypatch: pytest.MonkeyPatch) -> SiteStage:
    """A repository with a build in `web`."""
    folder = stage.folder / "web"
    folder.mkdir()
    (folder / "build.py").write_text(BUILD)
    monkeypatch.setenv("TOKEN", "very-secret")
    monkeypatch.setenv("SECRET", "not passed on")
    return stage


def test_a_build_is_told_outputs_of_other_targets_and_no_secret_is_logged(web: SiteStage) -> None:
    job = built(web, 1)
    preview = site.preview(job, web.ports)
    assert [call.name for call in preview.calls] == ["run", "s3:PutObject"]
    report = web.apply(job)
    assert web.watched(job, report).verdict == "succeeded"
    assert web.served() == {"index.html": "api https://api.example/v1 False"}
    assert report.of("log") == ["building web ['a b; c']", "token {TOKEN}"]
    assert "very-secret" not in repr(report.events)


def test_the_same_version_is_not_built_again_unless_an_output_has_changed(web: SiteStage) -> None:
    first = built(web, 1)
    web.apply(first)
    again = replace(built(web, 2), version=first.version)
    assert site.preview(again, web.ports).unchanged
    report = web.apply(again)
    assert (report.of("log"), report.receipt) == ([], {"unchanged": True})
    changed = replace(built(web, 3, "https://new.example"), version=first.version)
    assert not site.preview(changed, web.ports).unchanged
    assert web.deployed(changed).verdict == "succeeded"
    assert web.served() == {"index.html": "api https://new.example/v1 False"}


def test_an_output_that_does_not_exist_yet_is_told_and_refused_when_it_is_needed(
    web: SiteStage,
) -> None:
    job = built(web, 1, None)
    assert site.preview(job, web.ports).warnings == (
        "api has no output Url yet, which the build needs",
    )
    with pytest.raises(Refused, match="api has no output Url, which the build needs"):
        web.apply(job)


def test_a_build_that_fails_uploads_nothing_and_its_last_line_is_told(web: SiteStage) -> None:
    (web.folder / "web" / "build.py").write_text("import sys; print('no module'); sys.exit(3)")
    with pytest.raises(ProgramFailed, match="ended with exit code 3: no module"):
        web.apply(built(web, 1))
    assert web.bucket.objects == {}


def test_the_cause_of_a_failed_build_is_not_what_npm_writes_below_it(web: SiteStage) -> None:
    (web.folder / "web" / "build.py").write_text(
        "import sys\n"
        "print('Error: cannot resolve ./menu')\n"
        "print('npm error A complete log of this run can be found in /home/x/1.log')\n"
        "sys.exit(1)\n"
    )
    with pytest.raises(ProgramFailed, match=r"exit code 1: Error: cannot resolve \./menu$") as told:
        web.apply(built(web, 1))
    assert "and run this again" in str(told.value.next)


def test_a_build_that_fails_without_a_word_is_told_by_its_exit_code(web: SiteStage) -> None:
    (web.folder / "web" / "build.py").write_text("import sys; print(); sys.exit(3)")
    with pytest.raises(ProgramFailed, match=r"ended with exit code 3$"):
        web.apply(built(web, 1))


def test_a_variable_that_is_not_set_is_told_before_anything_begins(
    web: SiteStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOKEN")
    with pytest.raises(Refused, match="TOKEN is not set, and www needs it"):
        site.preview(built(web, 1), web.ports)


def test_a_stop_ends_the_build(web: SiteStage) -> None:
    (web.folder / "web" / "build.py").write_text(
        "import time\nprint('on', flush=True)\ntime.sleep(600)"
    )
    report = Report(clock=web.clock)
    report._on_event = lambda event: setattr(report, "stopping", event[0] == "log")
    with pytest.raises(Stopped):
        web.apply(built(web, 1), report)


@pytest.mark.parametrize("word", ["../tool", "no-such-program-here"])
def test_a_program_that_cannot_be_started_is_told(web: SiteStage, word: str) -> None:
    job = built(web, 1)
    build = replace(job.settings.build, command=(word,), folder=".")
    with pytest.raises(Refused, match=r"leads out of the repository|there is no program"):
        site.preview(replace(job, settings=replace(job.settings, build=build)), web.ports)
