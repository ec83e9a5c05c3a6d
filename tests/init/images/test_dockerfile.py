"""What a Dockerfile takes from its context: BuildKit's rules, one test a rule."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.formats.glob import alternatives
from toolkit.impact.matcher import Matcher
from toolkit.init.images.contexts import build_contexts, ignore_file, is_compose, is_dockerfile
from toolkit.init.images.dockerignore import allowed_patterns, excluded_patterns, exclusion_check
from toolkit.init.images.sources import CopySource, copy_sources


def patterns(text: str) -> list[str]:
    return [pattern for source in copy_sources(text) for pattern in source.patterns]


def matches(patterns: tuple[str, ...] | list[str], path: str) -> bool:
    return bool(Matcher([patterns]).match(path))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY . .", ["**"]),
        ("COPY ./ /app/", ["**"]),
        ("COPY / /app/", ["**"]),
        ("COPY src/ app/", ["src/**"]),
        ("COPY src/. app/", ["src/**"]),
        ("COPY src app", ["src", "src/**"]),
        ("COPY /src app", ["src", "src/**"]),
        ("COPY ./src app", ["src", "src/**"]),
        ("COPY ../../src app", ["src", "src/**"]),
        ("COPY a/../b c", ["b", "b/**"]),
        ("COPY *.txt /x/", ["*.txt", "*.txt/**"]),
        ("COPY */x /y/", ["*/x", "*/x/**"]),
        ("COPY a b c/ d/", ["a", "a/**", "b", "b/**", "c/**"]),
        ("copy a b", ["a", "a/**"]),
        ("ADD a.tar.gz /", ["a.tar.gz", "a.tar.gz/**"]),
        ('COPY ["a b", "c"]', ["a b", "a b/**"]),
        ('COPY [ "a", "b", "/c/" ]', ["a", "a/**", "b", "b/**"]),
        ("COPY [a b", ["*", "*/**"]),
        ("COPY arr[[]0].txt /x", ["arr?0].txt", "arr?0].txt/**"]),
        ("COPY [0-9].txt /x", ["[0-9].txt", "[0-9].txt/**"]),
        ('COPY "quoted" /x', ["quoted", "quoted/**"]),
        ("COPY 'quoted' /x", ["quoted", "quoted/**"]),
        ("COPY {a,b} /x", ["\\{a,b}", "\\{a,b}/**"]),
        ("COPY !a /x", ["\\!a", "\\!a/**"]),
        ("COPY a**b /x", ["a*b", "a*b/**"]),
        ("COPY --chown=1:1 --chmod=755 --link a b", ["a", "a/**"]),
        ("COPY --parents ./x/**/y.txt /z", ["x/**/y.txt", "x/**/y.txt/**"]),
        ("COPY --parents ./x/./y /z", ["x/y", "x/y/**"]),
    ],
)
def test_a_source_is_what_the_line_names(line: str, expected: list[str]) -> None:
    assert patterns(f"FROM x\n{line}\n") == expected


@pytest.mark.parametrize(
    "line",
    [
        "COPY --from=builder /app /app",
        "COPY --from=nginx:latest /etc /etc",
        "COPY --from=0 a b",
        "COPY --chown=1 --from=b a b",
        "ADD https://example.com/a.tar /a",
        "ADD git@github.com:a/b.git#v1 /b",
        "ADD --keep-git-dir=true https://github.com/a/b.git /b",
        "ONBUILD COPY . .",
        "RUN --mount=type=cache,target=/home/app/.cache pip install x",
        "RUN --mount=type=secret,id=aws,target=/x cat /x",
        "RUN --mount=type=bind,from=builder,source=/a,target=/b ls",
        "RUN cp a b",
        "RUN echo COPY a b",
        "# COPY a b",
        "COPY",
        "COPY onlyone",
        "LABEL x='COPY a b'",
    ],
)
def test_what_does_not_come_from_the_context_is_left_out(line: str) -> None:
    assert patterns(f"FROM x\n{line}\n") == []


def test_a_from_flag_that_names_nothing_is_the_context() -> None:
    assert patterns("FROM x\nCOPY --from= a b\n") == ["a", "a/**"]
    assert patterns('FROM x\nCOPY --from="" a b\n') == ["a", "a/**"]
    assert patterns("ARG F=\nFROM x\nARG F\nCOPY --from=$F a b\n") == ["a", "a/**"]


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ("type=bind,source=src,target=/x", ["src", "src/**"]),
        ("source=src,target=/x", ["src", "src/**"]),
        ("type=bind,src=go.mod,dst=/x", ["go.mod", "go.mod/**"]),
        ("type=bind,target=.", ["**"]),
        ("target=/x,rw", ["**"]),
    ],
)
def test_a_bind_mount_is_a_source(mount: str, expected: list[str]) -> None:
    assert patterns(f"FROM x\nRUN --mount={mount} --mount=type=cache,target=/c make\n") == expected


def test_the_escape_directive_changes_what_continues_a_line() -> None:
    text = "# escape=`\nFROM x\nCOPY dir\\file `\n  b `\n  c:\\x\\\n"
    assert patterns(text) == ["dir/file", "dir/file/**", "b", "b/**"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARG A=src\nCOPY $A x", ["src", "src/**"]),
        ("ENV A=src\nCOPY ${A}/y x", ["src/y", "src/y/**"]),
        ("ENV A src dir\nCOPY $A/y x", ["src dir/y", "src dir/y/**"]),
        ('ENV A="a b" B=c\\ d\nCOPY $A $B x', ["a b", "a b/**", "c d", "c d/**"]),
        ("ARG A=one\nENV A=two\nCOPY $A x", ["two", "two/**"]),
        ("ENV A=one B=$A\nCOPY ${B:-none} x", ["**"]),
        ("ENV B=src/$A\nCOPY ${B:-none}/c x", ["src/**/c", "src/**/c/**"]),
        ("ENV A=one\nENV B=$A\nCOPY $B x", ["one", "one/**"]),
        ("ARG A\nCOPY ${A:-src} x", ["src", "src/**"]),
        ("COPY ${A:-src/${B:-c}} x", ["src/c", "src/c/**"]),
        ("ARG A=\nCOPY ${A:-src} x", ["src", "src/**"]),
        ("ARG A=\nCOPY ${A-src}/y x", ["y", "y/**"]),
        ("ARG A=yes\nCOPY ${A:+src} x", ["src", "src/**"]),
        ("ARG A=src\nCOPY '$A' x", ["$A", "$A/**"]),
        ("ARG A=src\nCOPY \\$A x", ["$A", "$A/**"]),
    ],
)
def test_a_variable_counts_with_what_the_file_says(text: str, expected: list[str]) -> None:
    assert patterns(f"FROM x\n{text}\n") == expected


@pytest.mark.parametrize(
    ("line", "pattern", "inside"),
    [
        ("COPY $X y", "**", "anything/at/all"),
        ("COPY src/$X y", "src/**", "src/a/b"),
        ("COPY $X/app y", "**/app", "a/b/app"),
        ("COPY bin-${TARGETARCH}/app y", "bin-**/app", "bin-arm64/app"),
        ("COPY ${X%.*}.jar y", "**.jar", "target/a.jar"),
        ("COPY $A-$B/x y", "**-**/x", "a-b/x"),
        ("COPY a$A/b$B/c$C y", "a**/**/**", "a1/b2/c3"),
        ("ENV B=$A\nCOPY ${B:+src} y", "**", "src"),
    ],
)
def test_a_variable_that_nobody_knows_widens_the_source(
    line: str, pattern: str, inside: str
) -> None:
    (actual,) = copy_sources(f"FROM x\n{line}\n")
    assert actual.uncertain
    assert actual.patterns[0] == pattern
    assert matches(actual.patterns, inside)


def test_an_argument_before_from_has_to_be_named_again() -> None:
    assert patterns("ARG A=src\nFROM x\nCOPY $A y\n") == ["**"]
    assert patterns("ARG A=src\nFROM x\nARG A\nCOPY $A y\n") == ["src", "src/**"]


def test_a_stage_inherits_from_the_stage_it_starts_from_only() -> None:
    text = "FROM x AS one\nENV A=src\nFROM {} AS two\nCOPY $A y\n"
    assert patterns(text.format("one")) == ["src", "src/**"]
    assert patterns(text.format("other")) == ["**"]


def test_all_stages_count() -> None:
    assert patterns("FROM x AS a\nCOPY p/ .\nFROM y\nCOPY --from=a /p /p\nCOPY q/ .\n") == [
        "p/**",
        "q/**",
    ]


@pytest.mark.parametrize(
    ("line", "without"),
    [
        ("COPY --exclude=**/*.md src /x", ("src/**/*.md/**",)),
        ("COPY --exclude=*.md . /x", ("*.md/**",)),
        ("COPY --exclude=*.md src /x", ()),
        ("COPY --exclude=**/*.md */src /x", ()),
    ],
)
def test_an_exclude_counts_where_it_is_sure_what_it_means(
    line: str, without: tuple[str, ...]
) -> None:
    assert copy_sources(f"FROM x\n{line}\n")[0].without == without


def test_carriage_returns_and_a_byte_order_mark_are_no_part_of_it() -> None:
    assert copy_sources("\ufeffFROM x\r\nCOPY a \\\r\n b /c\r\n") == (
        CopySource("a", 2, ("a", "a/**")),
        CopySource("b", 2, ("b", "b/**")),
    )


def test_values_that_double_themselves_come_to_an_end() -> None:
    text = "FROM x\nENV A=aaaaaaaaaa\n" + "ENV A=$A$A$A$A\n" * 200 + "COPY $A/b c\n"
    assert patterns(text) == ["**/b", "**/b/**"]


@pytest.mark.parametrize(
    "text",
    [
        "RUN cat <<X\n" * 20_000,
        "COPY ${" * 20_000,
        'ENV A="' + "\\" * 100_000,
        "COPY [" + "[" * 100_000 + " x",
    ],
    ids=range(4),
)
def test_hostile_texts_take_no_time(text: str) -> None:
    copy_sources("FROM x\n" + text)


dockerish = st.lists(
    st.one_of(
        st.sampled_from(
            ["FROM x AS y", "COPY", "ADD", "RUN", "ARG", "ENV", "ONBUILD", "--from=", "--mount="]
        ),
        st.sampled_from(["<<EOF", "EOF", "\\", "\n", "#"]),
        st.sampled_from(
            [
                "${A:-b}",
                "$A",
                "A=b",
                "[",
                "]",
                '"',
                "'",
                "**",
                "*",
                "?",
                "..",
                "/",
                "!",
                "{",
                "# escape=`",
                "`",
                "\r\n",
                "\0",
            ]
        ),
        st.text(max_size=5),
    ),
    max_size=40,
).map(" ".join)


@given(st.one_of(st.text(), dockerish))
def test_any_text_gives_patterns_that_our_dialect_takes(text: str) -> None:
    for source in copy_sources(text):
        assert source.patterns
        for pattern in (*source.patterns, *source.without):
            assert len(alternatives(pattern)) < 100


segment = st.text("ab*?.-", min_size=1, max_size=4).filter(
    lambda item: item not in (".", "..") and not item.startswith("--")
)
names = st.lists(
    st.text("ab.-", min_size=1, max_size=3).filter(lambda item: item not in (".", "..")),
    min_size=1,
    max_size=4,
).map("/".join)


def by_filepath_match(pattern: list[str], path: list[str]) -> bool:
    """Go's filepath.Match on a path or a folder above it, by the book."""
    regex = "/".join(
        "".join(
            "[^/]*" if char == "*" else "[^/]" if char == "?" else re.escape(char) for char in text
        )
        for text in pattern
    )
    return any(re.fullmatch(regex, "/".join(path[:deep])) for deep in range(1, len(path) + 1))


@given(st.lists(segment, min_size=1, max_size=3), names)
def test_a_source_matches_what_go_matches(source: list[str], path: str) -> None:
    if "**" in source:
        return
    assert matches(patterns(f"FROM x\nCOPY {'/'.join(source)} /x\n"), path) == by_filepath_match(
        source, path.split("/")
    )


# --- .dockerignore


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node_modules\n*.log\n", ("node_modules/**", "*.log/**")),
        ("node_modules\n!node_modules/keep", ()),
        ("node_modules\n!src/keep", ("node_modules/**",)),
        ("!node_modules\nnode_modules", ("node_modules/**",)),
        ("**/*.md\n!README.md", ()),
        ("a**b", ()),
        ("dist/*", ("dist/*", "dist/*/**")),
        ("*\n!src\nsrc/test", ("src/test/**",)),
    ],
)
def test_only_what_surely_stays_out_is_excluded(text: str, expected: tuple[str, ...]) -> None:
    assert excluded_patterns(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*\n!src\n!package.json", ("src/**", "package.json/**")),
        ("!a\n**\n!b", ("b/**",)),
        ("node_modules\n!a", None),
        ("*\n!a**b", ("**",)),
        ("", None),
    ],
)
def test_a_list_that_shuts_out_all_is_known_by_what_it_lets_in(
    text: str, expected: tuple[str, ...] | None
) -> None:
    assert allowed_patterns(text) == expected


ignore_line = st.builds(
    lambda back, path: ("!" if back else "") + "/".join(path),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", "*", "**", "*.md", "a*", "?"]), min_size=1, max_size=3),
)


some_path = st.lists(st.sampled_from(["a", "b", "ab", "x.md", "a.md"]), min_size=1, max_size=4)


@given(st.lists(ignore_line, max_size=5).map("\n".join), some_path)
def test_what_is_excluded_is_out_and_what_is_let_in_is_all_that_is_in(
    text: str, path: list[str]
) -> None:
    out, output = exclusion_check(text), "/".join(path)
    assert not matches(excluded_patterns(text), output) or out(output)
    let_in = allowed_patterns(text)
    assert let_in is None or out(output) or matches(let_in, output)


@given(st.text())
def test_any_text_is_a_dockerignore(text: str) -> None:
    exclusion_check(text)("a/b")
    for pattern in (*excluded_patterns(text), *(allowed_patterns(text) or ())):
        assert alternatives(pattern)


# --- which folder it is built in


@pytest.mark.parametrize(
    "path",
    [
        "Dockerfile",
        "a/Dockerfile",
        "Dockerfile.api",
        "api.Dockerfile",
        "a/dockerfile",
        "Containerfile",
    ],
)
def test_a_dockerfile_is_known_by_its_name(path: str) -> None:
    assert is_dockerfile(path)


@pytest.mark.parametrize(
    "path",
    [
        "Dockerfile.dockerignore",
        "Dockerfile.j2",
        "Dockerfile.old",
        "MyDockerfile",
        "dockerfiles/a",
        "src/dockerfile_parser.py",
    ],
)
def test_other_names_are_no_dockerfile(path: str) -> None:
    assert not is_dockerfile(path)


def test_a_compose_file_is_known_by_its_name() -> None:
    names = ["docker-compose.prod.yml", "a/compose.yaml", "composer.json", "compose.py"]
    assert [is_compose(name) for name in names] == [True, True, False, False]


@pytest.mark.parametrize(
    ("dockerfile", "text", "paths", "context"),
    [
        ("backend/Dockerfile", "COPY src .", ["backend/src/a"], "backend"),
        ("backend/Dockerfile", "COPY backend/src .", ["backend/src/a"], ""),
        ("backend/Dockerfile", "COPY . .", ["backend/src/a", "b"], "backend"),
        ("docker/Dockerfile", "COPY . .", ["src/a", "docker/Dockerfile"], ""),
        ("docker/Dockerfile", "COPY nowhere .", ["src/a"], "docker"),
        ("Dockerfile", "COPY nowhere .", ["src/a"], ""),
        ("api/docker/Dockerfile", "COPY src .", ["api/src/a"], "api"),
        ("a/Dockerfile", "COPY x y z/", ["a/x", "x", "y"], ""),
    ],
)
def test_a_context_is_where_the_sources_are(
    dockerfile: str, text: str, paths: list[str], context: str
) -> None:
    assert build_contexts({dockerfile: f"FROM x\n{text}\n"}, paths, {}) == {dockerfile: context}


@pytest.mark.parametrize(
    ("build", "dockerfile", "context"),
    [
        ("build: .", "deploy/Dockerfile", "deploy"),
        ("build: ../api", "api/Dockerfile", "api"),
        ("build: {context: .., dockerfile: docker/Dockerfile}", "docker/Dockerfile", ""),
        ("build: {context: '${DIR:-../api}'}", "api/Dockerfile", "api"),
        ("build: {context: ../api, dockerfile: Dockerfile.prod}", "api/Dockerfile.prod", "api"),
    ],
)
def test_a_compose_file_says_it_best(build: str, dockerfile: str, context: str) -> None:
    compose = f"services:\n  x:\n    {build}\n"
    assert build_contexts(
        {dockerfile: "FROM x\nCOPY a b\n"}, ["a", dockerfile], {"deploy/compose.yaml": compose}
    ) == {dockerfile: context}


@pytest.mark.parametrize(
    "build",
    [
        "",
        "services: 3",
        "a: b: c",
        "services: {x: {build: https://x.y/z.git}}",
        "services: {x: {build: /a}}",
    ],
)
def test_a_compose_file_that_says_nothing_is_passed_over(build: str) -> None:
    assert build_contexts(
        {"a/Dockerfile": "FROM x\nCOPY b c\n"}, ["a/b"], {"compose.yml": build}
    ) == {"a/Dockerfile": "a"}


def test_the_ignore_file_of_a_dockerfile_goes_before_that_of_its_context() -> None:
    assert (
        ignore_file("a/Dockerfile", "a", {"a/.dockerignore", "a/Dockerfile.dockerignore"})
        == "a/Dockerfile.dockerignore"
    )
    assert ignore_file("a/Dockerfile", "", {"a/.dockerignore", ".dockerignore"}) == ".dockerignore"
    assert ignore_file("a/Dockerfile", "", {"a/.dockerignore"}) is None
