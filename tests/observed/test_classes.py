"""Which of the paths that were looked up can a rule see?"""

from collections.abc import Collection, Sequence

from toolkit.observed.classes import Surroundings, classified, known_files
from toolkit.observed.reads import Reads
from toolkit.operations import Lookup, LookupKind, ObservedInputs

TRACKED = (
    "package-lock.json",
    "package.json",
    "src/a.ts",
    "web/package.json",
    "vendor/kept.js",
    "link",
    "sub",
    "tool/uv.lock",
    "tool/app.py",
)


def inputs(**looked_up: Sequence[str]) -> ObservedInputs:
    """Each word is a kind of lookups, in this order."""
    reads = Reads(["/repo"])
    for moment, (word, paths) in enumerate(looked_up.items(), 1):
        for text in paths:
            path, _, named = text.partition(">")
            names = [f"/repo/{name}" for name in (path, named or path)]
            reads.take(Lookup(LookupKind(word), names[0], moment, moment, names[1]))

    def ignored(paths: Sequence[str]) -> Collection[str]:
        return [path for path in paths if path.startswith(("dist/", ".env", ".cache"))]

    around = Surroundings(
        lambda path: path.removeprefix("/repo").removeprefix("/"),
        lambda path: ["link"] if path.startswith("/repo/link") else [],
        lambda path: path == "empty",
        ignored,
    )
    return classified(reads, known_files(TRACKED, ["sub"]), around)


def test_only_what_git_tracks_or_will_track_is_a_source() -> None:
    result = inputs(
        written=["dist/made"],
        opened=["src/a.ts", "src/new.ts", "dist/made", "dist/old", ".env", "empty", ".git/HEAD"],
    )
    assert result.read == ("src/a.ts", "src/new.ts")
    assert result.ignored == (".env", "dist/old")
    assert result.generated == 1
    assert result.uses_git


def test_packages_are_dependencies_and_lead_to_what_decides_their_content() -> None:
    result = inputs(opened=["web/node_modules/x/i.js", "tool/.venv/lib/site-packages/y.py"])
    assert result.read == ()
    assert result.dependencies == ("tool/.venv", "web/node_modules")
    assert set(result.locks) == {"package-lock.json", "tool/uv.lock"}


def test_a_package_that_git_tracks_is_a_source() -> None:
    assert inputs(opened=["vendor/kept.js"]).read == ("vendor/kept.js",)


def test_a_file_of_a_submodule_counts_as_the_submodule() -> None:
    result = inputs(opened=["sub/deep/x"], listed=["sub/deep"], missing=["sub/no"])
    assert (result.read, result.listed, result.missing) == (("sub",), (), ())


def test_the_link_counts_beside_what_it_leads_to() -> None:
    """A path with `>` in it is opened by the second name."""
    assert inputs(opened=["src/a.ts>link/a.ts"]).read == ("link", "src/a.ts")
    assert inputs(opened=["src/a.ts>web/../src/a.ts"]).read == ("src/a.ts",)


def test_a_name_that_git_would_ignore_is_no_input() -> None:
    result = inputs(missing=[".env.local", "src/b.ts", "node_modules/x", ".gitattributes"])
    assert result.missing == ("src/b.ts",)


def test_a_tracked_file_that_is_missing_is_a_source() -> None:
    assert inputs(missing=["src/a.ts"]).read == ("src/a.ts",)


def test_a_name_that_was_looked_for_and_then_made_is_none() -> None:
    assert inputs(missing=["made.txt"], written=["made.txt"]).missing == ()


def test_a_cache_that_was_there_before_is_named_by_its_folder() -> None:
    result = inputs(
        opened=["node_modules/.cache/x/1", "a.tsbuildinfo"], checked=["cdk.out/asset.1", "src/a.ts"]
    )
    assert result.warm == ("a.tsbuildinfo", "cdk.out", "node_modules/.cache")
    assert inputs(written=["cdk.out/x"], opened=["cdk.out/x"]).warm == ()


def test_a_file_that_was_only_checked_is_not_read() -> None:
    result = inputs(checked=["src/a.ts", "package.json", "src"], opened=["package.json"])
    assert result.checked == ("src/a.ts",)
