"""Sites of real bundlers: what their own manifests say is hashed, and that nothing else is."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.aws import Endpoint
from tests.targets.sites import SiteStage
from toolkit.targets.site.headers import IMMUTABLE, REVALIDATED, SHORT
from toolkit.targets.site.settings import SiteBuild

REAL = os.environ.get("TOOLKIT_TEST_BUNDLERS", "")
needs_bundlers = pytest.mark.skipif(
    not REAL, reason="TOOLKIT_TEST_BUNDLERS names no folder with vite and esbuild"
)
SOURCES = {
    "index.html": '<script type="module" src="/src/main.js"></script><img src="/src/logo.svg">',
    "public/google-analytics.js": "// as it is",
    "public/manifest.json": "{}",
    "src/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg'></svg>",
    "src/style.css": "a{background:url(./logo.svg)}",
    "src/main.js": 'import "./style.css"; document.body.onclick = () => import("./lazy.js")',
    "src/lazy.js": "export default RELEASE",
    "vite.config.mjs": "export default { build: { manifest: true, assetsInlineLimit: 0 } }",
}


@pytest.fixture
def stage(aws_endpoint: Endpoint, tmp_path: Path) -> SiteStage:
    """A repository with a front end in `web`."""
    for name, text in SOURCES.items():
        path = tmp_path / "web" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return SiteStage(aws_endpoint, tmp_path)


def caches(stage: SiteStage) -> dict[str, str]:
    return {
        re.sub(r"-[\w-]{8}\.", "-HASH.", key): found.headers["CacheControl"]
        for key, found in stage.bucket.objects.items()
        if not key.startswith(".toolkit/")
    }


@needs_bundlers
def test_what_vite_hashes_is_kept_for_a_year_and_an_old_tab_loads_its_chunk(
    stage: SiteStage,
) -> None:
    vite = f"{REAL}/node_modules/.bin/vite"
    build = SiteBuild(command=(vite, "build"), folder="web", pass_env=("PATH",))
    chunks: list[str] = []
    for number in range(1, 4):
        lazy = SOURCES["src/lazy.js"].replace("RELEASE", str(number))
        (stage.folder / "web" / "src" / "lazy.js").write_text(lazy)
        job = stage.job(number, source="web/dist", build=build)
        assert stage.deployed(job).verdict == "succeeded"
        chunks += [key for key in stage.manifest().files if "lazy" in key]
    assert caches(stage) == {
        "assets/index-HASH.css": IMMUTABLE,
        "assets/index-HASH.js": IMMUTABLE,
        "assets/lazy-HASH.js": IMMUTABLE,
        "assets/logo-HASH.svg": IMMUTABLE,
        "google-analytics.js": SHORT,
        "index.html": REVALIDATED,
        "manifest.json": REVALIDATED,
    }
    assert len(set(chunks)) == 3
    assert stage.served().keys() >= set(chunks)


@needs_bundlers
def test_what_esbuild_hashes_is_kept_for_a_year(stage: SiteStage) -> None:
    subprocess.run(
        [
            f"{REAL}/node_modules/.bin/esbuild",
            "src/main.js",
            "--bundle",
            "--splitting",
            "--format=esm",
            "--outdir=../dist",
            "--entry-names=[name]-[hash]",
            "--loader:.svg=file",
            "--metafile=meta.json",
            "--log-level=error",
        ],
        cwd=stage.folder / "web",
        check=True,
    )
    stage.write({"app.js": "// as it is"})
    stage.deployed(stage.job(manifest="web/meta.json"))
    assert caches(stage) == {
        "app.js": SHORT,
        "index.html": REVALIDATED,
        "lazy-HASH.js": IMMUTABLE,
        "logo-HASH.svg": IMMUTABLE,
        "main-HASH.css": IMMUTABLE,
        "main-HASH.js": IMMUTABLE,
    }
