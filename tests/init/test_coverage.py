"""How much the rules cover, and which sources of images they forget."""

from collections.abc import Sequence

from toolkit.init.coverage import (
    ImageFiles,
    PathCoverage,
    UncoveredSource,
    measure_coverage,
    uncovered_sources,
)

TREE = [
    "backend/Dockerfile",
    "backend/src/a.py",
    "backend/src/b.py",
    "backend/req.txt",
    "backend/README.md",
    "lib/x.py",
    "lib/y.py",
]


def uncovered(
    text: str,
    rules: Sequence[Sequence[str]],
    owned: frozenset[int] = frozenset({0}),
    context: str = "backend",
    ignore: Sequence[str] = (),
    accept: Sequence[str] = (),
    ignored: str | None = None,
) -> list[tuple[int, str, int, str]]:
    sources = uncovered_sources(
        ImageFiles(
            {"backend/Dockerfile": f"FROM x\n{text}\n"},
            {"backend/Dockerfile": context},
            {"backend/Dockerfile": owned},
            {"backend/.dockerignore": ignored} if ignored else {},
        ),
        rules,
        ignore,
        TREE,
        accept,
    )
    return [(item.line, item.source, item.count, item.example) for item in sources]


def test_every_path_is_matched_ignored_or_unmatched() -> None:
    path_coverage = measure_coverage(
        [["backend/src/**"], ["backend/**", "!backend/req.txt"]], TREE, ["**/*.md"]
    )
    assert path_coverage == PathCoverage(
        matched=3, ignored=1, unmatched=3, folders=(("lib/", 2), ("backend/req.txt", 1))
    )


def test_what_is_ignored_is_ignored_although_a_rule_matches_it() -> None:
    assert measure_coverage([["**"]], ["a.md", "b"], ["*.md"]) == PathCoverage(1, 1, 0)


def test_ten_folders_are_named_the_fullest_first() -> None:
    paths = [f"{folder}/{position}" for folder in range(20) for position in range(folder + 1)] + [
        "alone"
    ]
    path_coverage = measure_coverage([], paths)
    assert path_coverage.unmatched == len(paths)
    assert path_coverage.folders[0] == ("19/", 20)
    assert len(path_coverage.folders) == 10


def test_no_rules_and_no_paths_cover_nothing() -> None:
    assert measure_coverage([], []) == PathCoverage(0, 0, 0)


def test_a_source_that_no_rule_of_the_app_matches_is_found() -> None:
    assert uncovered("COPY src .\nCOPY req.txt .", [["backend/src/**"]]) == [
        (3, "req.txt", 1, "backend/req.txt")
    ]


def test_a_rule_of_another_target_does_not_count() -> None:
    assert uncovered("COPY src .", [["backend/req.txt"], ["backend/src/**"]]) == [
        (2, "src", 2, "backend/src/a.py")
    ]
    assert (
        uncovered("COPY src .", [["backend/req.txt"], ["backend/src/**"]], frozenset({0, 1})) == []
    )


def test_a_dockerfile_that_no_app_is_built_from_is_nobodys() -> None:
    images = ImageFiles({"Dockerfile": "FROM x\nCOPY . .\n"}, {}, {})
    assert uncovered_sources(images, [], [], ["a"], []) == ()


def test_an_app_without_a_rule_misses_everything() -> None:
    assert uncovered("COPY . .", [["lib/**"]], frozenset()) == [(2, ".", 5, "backend/Dockerfile")]


def test_a_file_is_counted_for_the_first_source_that_brings_it() -> None:
    assert uncovered("COPY req.txt .\nCOPY . .", [["backend/src/**"]]) == [
        (2, "req.txt", 1, "backend/req.txt"),
        (3, ".", 2, "backend/Dockerfile"),
    ]


def test_what_a_person_said_needs_no_rule_is_let_be() -> None:
    assert uncovered(
        "COPY . .", [["backend/src/**"]], accept=["backend/Dockerfile", "**/*.md"]
    ) == [(2, ".", 1, "backend/req.txt")]


def test_what_is_ignored_but_goes_into_the_image_is_missed() -> None:
    assert uncovered("COPY . .", [["backend/**"]], ignore=["**/*.md"]) == [
        (2, ".", 1, "backend/README.md")
    ]
    assert uncovered("COPY . .", [["backend/**"]], ignore=["**/*.md"], ignored="*.md") == []
    assert uncovered("COPY . .", [["backend/**"]], ignore=["**/*.md"], accept=["**/*.md"]) == []
    assert uncovered("COPY src .", [["backend/**"]], ignore=["**/*.md"]) == []


def test_what_is_ignored_and_left_out_by_the_rule_of_the_app_is_meant() -> None:
    assert uncovered("COPY . .", [["backend/**", "!**/*.md"]], ignore=["**/*.md"]) == []
    assert uncovered("COPY . .", [["backend/**"], ["x", "!**/*.md"]], ignore=["**/*.md"]) == [
        (2, ".", 1, "backend/README.md")
    ]


def test_an_exclusion_in_ignore_takes_nothing_from_what_is_accepted() -> None:
    assert (
        uncovered(
            "COPY src .", [["x"]], ignore=["lib/**", "!backend/**"], accept=["backend/src/**"]
        )
        == []
    )


def test_the_dockerignore_of_the_context_counts() -> None:
    assert uncovered("COPY . .", [["backend/src/**"]], ignored="*\n!req.txt\n!src") == [
        (2, ".", 1, "backend/req.txt")
    ]


def test_an_exclude_of_the_line_counts() -> None:
    assert uncovered("COPY --exclude=**/b.py src .", [["x"]]) == [(2, "src", 1, "backend/src/a.py")]


def test_the_root_may_be_written_in_every_way() -> None:
    for context in ("", ".", "./"):
        assert uncovered("COPY lib .", [["backend/**"]], context=context) == [
            (2, "lib", 2, "lib/x.py")
        ]
    assert uncovered("COPY src .", [["x"]], context="./backend/") == [
        (2, "src", 2, "backend/src/a.py")
    ]


def test_a_source_that_is_not_certain_says_so() -> None:
    text = {"Dockerfile": "FROM x\nCOPY $WHAT .\n"}
    images = ImageFiles(text, {}, {"Dockerfile": frozenset({0})})
    sources = uncovered_sources(images, [["b"]], [], ["a", "b"], [])
    assert sources == (UncoveredSource("Dockerfile", 2, "$WHAT", 1, "a", uncertain=True),)


def test_what_another_stage_brings_is_no_source() -> None:
    assert uncovered("COPY --from=0 src .", [["x"]]) == []
