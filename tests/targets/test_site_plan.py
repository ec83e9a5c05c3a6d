"""What is done so that a bucket has the files of a release: any releases, in any order, whatever
others do to the bucket in between.
"""

import hashlib
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from tests.support.modes import by_mode
from toolkit.targets.site import plan as plans
from toolkit.targets.site.manifest import (
    FORMAT,
    OWN,
    Invalidation,
    Release,
    SiteFile,
    SiteManifest,
    SiteState,
    content_digest,
    release_key,
)
from toolkit.targets.site.plan import PlanRequest, SiteBucket, SitePlan
from toolkit.targets.site.settings import Keep

KEEP = Keep()
START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = ("index.html", "a/index.html", "b.html", "app.js", "assets/x-1.js", "assets/y-2.js", "z.png")


def file(content: str, cache: str = "no-cache", mutable: bool = True) -> SiteFile:
    digest = hashlib.sha256(content.encode()).hexdigest()
    return SiteFile(digest, (("CacheControl", cache),), len(content), mutable)


class Object(Struct):
    """What lies under a key: the digest of its content, and its headers."""

    digest: str
    headers: tuple[tuple[str, str], ...]

    @property
    def etag(self) -> str:
        return f'"{self.digest[:8]}"'


class World:
    """A bucket, and deploys that do what the plan says."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.manifest: SiteManifest | None = None
        self.changing: tuple[str, ...] = ()
        self.lists: dict[str, dict[str, SiteFile]] = {}
        self.now = START

    def bucket(self) -> SiteBucket:
        return SiteBucket(self.manifest, {key: found.etag for key, found in self.objects.items()})

    def request(
        self, name: str, files: dict[str, SiteFile], restore: bool = False, keep: Keep = KEEP
    ) -> PlanRequest:
        bucket = self.bucket()
        self.changing = plans.never_immutable(files, bucket)
        files = {
            key: replace(item, mutable=item.mutable or key in self.changing)
            for key, item in files.items()
        }
        return PlanRequest(
            release=name,
            token=f"{name} {self.now.isoformat()}",
            files=files,
            keep=keep,
            now=self.now,
            restore=restore,
        )

    def deploy(self, request: PlanRequest) -> SitePlan:
        """Do it: as apply.py does, without its calls."""
        plan = plans.plan(request, self.bucket())
        assert not plan.gone
        files = dict(plan.files)
        stale = dict(plan.stale)
        for key in plan.assets:
            assert not request.restore
            self._put(key, files[key])
        for copy in plan.archives:
            self._copy(copy)
            kept = stale[copy.key].file
            assert kept is not None
            stale[copy.key] = replace(
                stale[copy.key], file=replace(kept, etag=self.objects[copy.key].etag)
            )
        for copy in plan.copies:
            self._copy(copy)
        for key in plan.pages:
            self._put(key, files[key])
        for key in plan.deletes:
            del self.objects[key]
        files = {key: replace(item, etag=self.objects[key].etag) for key, item in files.items()}
        self.lists[request.release] = files
        self.objects[release_key(request.release)] = Object("list", ())
        self.manifest = SiteManifest(
            format=FORMAT,
            state=SiteState.LIVE,
            token=request.token,
            release=Release(
                request.release,
                plan.seq,
                "r",
                "v",
                None,
                "f",
                "s",
                "",
                content_digest(files),
                self.now.isoformat(),
            ),
            files=files,
            stale=stale,
            releases=plan.releases,
            changing=self.changing,
        )
        return plan

    def _put(self, key: str, item: SiteFile) -> None:
        self.objects[key] = Object(item.digest, item.headers)

    def _copy(self, copy: plans.Copy) -> None:
        assert self.objects[copy.source].etag == copy.etag
        self.objects[copy.key] = Object(self.objects[copy.source].digest, copy.file.headers)

    def holds(self, files: dict[str, SiteFile]) -> bool:
        """Whether exactly these are served, apart from what is kept of earlier releases."""
        return all(
            key in self.objects
            and (self.objects[key].digest, self.objects[key].headers) == (item.digest, item.headers)
            for key, item in files.items()
        )


CONTENTS = st.sampled_from(("1", "2", "3"))
RELEASES = st.dictionaries(
    st.sampled_from(KEYS),
    st.builds(file, CONTENTS, st.sampled_from(("no-cache", "x")), st.booleans()),
    max_size=len(KEYS),
)


@settings(max_examples=by_mode(150, 2000, 20_000), deadline=None)
@given(
    st.lists(st.tuples(RELEASES, st.integers(0, 40), st.integers(-1, 5)), min_size=1, max_size=9),
    st.builds(Keep, releases=st.integers(1, 3), days=st.integers(0, 30)),
)
def test_after_any_deploys_and_rollbacks_the_release_is_served_and_each_kept_one_comes_back(
    steps: list[tuple[dict[str, SiteFile], int, int]], keep: Keep
) -> None:
    world = World()
    for number, (files, days, back) in enumerate(steps):
        world.now += timedelta(days=days)
        kept = world.manifest.releases if world.manifest else ()
        if 0 <= back < len(kept):
            name = kept[back].id
            world.deploy(world.request(name, world.lists[name], restore=True, keep=keep))
            assert world.holds(world.lists[name])
        else:
            request = world.request(f"r{number}", files, keep=keep)
            world.deploy(request)
            assert world.holds(dict(request.files))
        assert world.manifest is not None
        for release in world.manifest.releases:
            request = world.request(release.id, world.lists[release.id], restore=True, keep=keep)
            assert plans.plan(request, world.bucket()).gone == ()
            assert release_key(release.id) in world.objects


@settings(max_examples=by_mode(100, 1000, 10_000), deadline=None)
@given(st.lists(RELEASES, min_size=1, max_size=5), st.sets(st.sampled_from(KEYS)))
def test_what_others_put_there_is_never_deleted_and_told_before_it_is_replaced(
    releases: list[dict[str, SiteFile]], foreign: set[str]
) -> None:
    world = World()
    for key in (*foreign, "uploads/photo.jpg"):
        world.objects[key] = Object("foreign", ())
    for number, files in enumerate(releases):
        world.now += timedelta(days=100)
        plan = world.deploy(world.request(f"r{number}", files, keep=Keep(releases=1, days=0)))
        assert set(plan.foreign) == foreign & files.keys()
        foreign -= files.keys()
        assert not set(plan.deletes) & {*foreign, "uploads/photo.jpg"}
    assert world.objects["uploads/photo.jpg"].digest == "foreign"


@settings(max_examples=by_mode(100, 1000, 10_000), deadline=None)
@given(RELEASES, RELEASES, st.sets(st.sampled_from(KEYS)), st.sets(st.sampled_from(KEYS)))
def test_what_somebody_has_changed_or_deleted_is_told_and_put_there_again(
    first: dict[str, SiteFile], second: dict[str, SiteFile], changed: set[str], deleted: set[str]
) -> None:
    world = World()
    world.deploy(world.request("r1", first))
    for key in changed & first.keys():
        world.objects[key] = Object("changed", ())
    for key in deleted & first.keys():
        del world.objects[key]
    plan = world.deploy(world.request("r2", second))
    assert set(plan.drifted) == (changed | deleted) & first.keys() & second.keys()
    assert world.holds(second)


@given(RELEASES, RELEASES)
def test_nothing_that_is_served_changes_before_everything_new_is_there(
    first: dict[str, SiteFile], second: dict[str, SiteFile]
) -> None:
    world = World()
    world.deploy(world.request("r1", first))
    plan = plans.plan(world.request("r2", second), world.bucket())
    served = {key for key in world.objects if not key.startswith(OWN)}
    assert not set(plan.assets) & served
    assert not any(key.endswith(".html") for key in plan.assets)
    for wave, after in zip(waves := plans.waves(second, "index.html"), waves[1:], strict=False):
        assert "index.html" not in wave
        assert not (any(key.endswith(".html") for key in wave) and "app.js" in after)


@given(RELEASES)
def test_the_same_files_again_change_nothing(files: dict[str, SiteFile]) -> None:
    world = World()
    world.deploy(world.request("r1", files))
    plan = plans.plan(world.request("r2", files), world.bucket())
    assert not plan.changes_files
    assert (plan.archives, plan.invalidate) == ((), ())


def test_other_headers_alone_are_a_copy_and_no_upload() -> None:
    world = World()
    world.deploy(world.request("r1", {"app.js": file("1"), "index.html": file("1")}))
    plan = world.deploy(world.request("r2", {"app.js": file("1", "x"), "index.html": file("1")}))
    assert [(copy.source, copy.key) for copy in plan.copies] == [("app.js", "app.js")]
    assert (plan.assets, plan.pages, plan.archives) == ((), (), ())
    assert plan.invalidate == ("app.js",)


def test_a_name_with_a_hash_that_had_other_content_is_never_immutable_again() -> None:
    world = World()
    hashed = "assets/x-1.js"
    world.deploy(world.request("r1", {hashed: file("1", mutable=False)}))
    request = world.request("r2", {hashed: file("2", mutable=False)})
    assert world.changing == (hashed,)
    plan = world.deploy(request)
    assert plan.pages == (hashed,)
    assert world.request("r3", {hashed: file("2", mutable=False)}).files[hashed].mutable


def test_files_of_earlier_releases_stay_as_long_as_any_kept_release_has_them() -> None:
    world, keep = World(), Keep(releases=2, days=0)
    for number in range(6):
        chunk = f"assets/c-{number}.js"
        files = {"index.html": file(str(number)), chunk: file(str(number), mutable=False)}
        world.now += timedelta(days=1)
        world.deploy(world.request(f"r{number}", files, keep=keep))
    chunks = sorted(key for key in world.objects if key.startswith("assets/"))
    assert chunks == ["assets/c-3.js", "assets/c-4.js", "assets/c-5.js"]
    lists = sorted(key for key in world.objects if key.endswith("site.json"))
    assert lists == [release_key(f"r{number}") for number in (3, 4, 5)]


def test_releases_of_the_last_days_stay_however_many_there_are() -> None:
    world, keep = World(), Keep(releases=1, days=30)
    for number in range(5):
        world.deploy(world.request(f"r{number}", {"index.html": file(str(number))}, keep=keep))
    assert world.manifest is not None
    assert [release.id for release in world.manifest.releases] == ["r3", "r2", "r1", "r0"]


def test_only_what_changed_is_invalidated_with_the_folders_that_show_it() -> None:
    world = World()
    world.deploy(world.request("r1", {key: file("1") for key in KEYS}))
    changed = {**{key: file("1") for key in KEYS}, "a/index.html": file("2"), "app.js": file("2")}
    plan = world.deploy(world.request("r2", {**changed, "new.html": file("1")}))
    assert plan.invalidate == ("a", "a/", "a/index.html", "app.js")
    paths = plans.invalidation_paths(plan.invalidate, "/docs/")
    assert paths == ("/docs/a", "/docs/a/", "/docs/a/index.html", "/docs/app.js")


def test_an_index_of_another_name_is_forgotten_at_its_folder_too() -> None:
    world = World()
    world.deploy(world.request("r1", {"home.html": file("1"), "app/home.html": file("1")}))
    request = world.request("r2", {"home.html": file("2"), "app/home.html": file("2")})
    plan = world.deploy(replace(request, index="home.html"))
    assert plan.invalidate == ("", "app", "app/", "app/home.html", "home.html")


def test_the_first_page_of_a_folder_is_forgotten_at_its_folder_too() -> None:
    """`index` may be a path."""
    world = World()
    world.deploy(world.request("r1", {"en/home.html": file("1"), "de/home.html": file("1")}))
    request = world.request("r2", {"en/home.html": file("2"), "de/home.html": file("2")})
    plan = world.deploy(replace(request, index="en/home.html"))
    assert plan.invalidate == ("", "de", "de/", "de/home.html", "en", "en/", "en/home.html")


def test_below_a_prefix_the_folder_is_forgotten_without_its_slash_too() -> None:
    assert plans.invalidation_paths(["", "index.html"], "/app/") == (
        "/app/",
        "/app",
        "/app/index.html",
    )
    assert plans.invalidation_paths([""], "/") == ("/",)
    many = [f"{number}.html" for number in range(20)]
    assert plans.invalidation_paths(["", *many], "/app/") == ("/app*",)
    assert plans.invalidation_paths(many, "/app/") == ("/app/*",)


def test_many_paths_become_the_folder_that_has_them_all() -> None:
    keys = [f"en/blog/{number}.html" for number in range(20)]
    assert plans.invalidation_paths(keys, "/") == ("/en/blog/*",)
    assert plans.invalidation_paths([*keys, "de/x.html"], "/") == ("/*",)


def test_a_path_is_written_as_addresses_are() -> None:
    assert plans.invalidation_paths(["ä b.html", "50%.html"], "/") == (
        "/50%25.html",
        "/%C3%A4%20b.html",
    )


def test_what_an_interrupted_switch_was_to_invalidate_is_invalidated_by_the_next_deploy() -> None:
    world = World()
    world.deploy(world.request("r1", {"index.html": file("1"), "b.html": file("1")}))
    live = world.manifest
    assert live is not None
    world.manifest = replace(
        live,
        state=SiteState.SWITCHING,
        token="dead",
        pages=("b.html",),
        invalidation=Invalidation("toolkit-dead", ("b.html",)),
    )
    request = world.request("r3", {"index.html": file("1"), "b.html": file("1")})
    plan = plans.plan(request, world.bucket())
    assert plan.invalidate == ("b.html",)
    assert [copy.key for copy in plan.copies] == ["b.html"]
