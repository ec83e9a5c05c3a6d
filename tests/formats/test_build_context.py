"""What a Dockerfile takes from its context: BuildKit's rules, one test a rule."""

from time import process_time

import pytest

from toolkit.formats.build_context import ContextSource, context_sources
from toolkit.formats.dockerfile import UNKNOWN, parse


def sources(text: str) -> list[ContextSource]:
    return list(context_sources(parse(text)))


def paths(text: str) -> list[str]:
    return [source.path for source in sources(text)]


def test_a_line_is_continued_over_comments_and_empty_lines() -> None:
    text = "FROM x\n\nCOPY a \\\n  # why b\n\n  b \\  \n  c/ \\\n d/\nCOPY e f\n"
    assert [(source.word, source.instruction.line) for source in sources(text)] == [
        ("a", 3),
        ("b", 3),
        ("c/", 3),
        ("e", 9),
    ]


def test_two_escapes_at_the_end_do_not_continue_a_line() -> None:
    assert [source.word for source in sources("FROM x\nRUN echo a\\\\\nCOPY b c\n")] == ["b"]


def test_the_escape_directive_counts_only_at_the_very_top() -> None:
    assert [source.word for source in sources("\n# escape=`\nFROM x\nCOPY a \\\n b c\n")] == [
        "a",
        "b",
    ]
    assert [
        source.word
        for source in sources("# syntax=docker/dockerfile:1\n# escape=`\nFROM x\nCOPY a `\n b c\n")
    ] == ["a", "b"]


def test_a_heredoc_is_no_source_and_its_lines_are_no_instructions() -> None:
    text = """FROM x
COPY <<EOF /a
COPY not/me /x
EOF
COPY <<-"A" real <<B /dir/
\tCOPY nor/me /x
\tA
COPY nor/this /x
B
RUN <<EOF
COPY nothing /x
EOF
RUN cat <<EOF > /x && true
COPY nothing /x
EOF
COPY last /x
"""
    assert [source.word for source in sources(text)] == ["real", "last"]


def test_a_dash_lets_go_of_the_tabs_before_the_end_of_a_heredoc() -> None:
    assert [
        source.word for source in sources("FROM x\nCOPY <<-A /x\n\tCOPY not/me /x\n\tA\nCOPY b c\n")
    ] == ["b"]
    assert [source.word for source in sources("FROM x\nCOPY <<A /x\nCOPY b c\n\tA\n")] == ["b"]


def test_a_heredoc_that_never_ends_swallows_nothing() -> None:
    assert [source.word for source in sources("FROM x\nRUN cat <<EOF\nCOPY a b\n")] == ["a"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # The values of one ENV see what was before it, not each other.
        ("ENV A=one\nENV A=two B=$A\nCOPY $B /", ["one"]),
        # BuildKit versions differ in whether one word of an ARG sees another.
        ("ARG A=one B=${A}2\nCOPY $B /", [UNKNOWN]),
        ("ARG A=one B=${C:-$A}\nCOPY $B /", [UNKNOWN]),
        ("ARG C=x\nARG A=one B=$C\nCOPY $B /", ["x"]),
        # ENV wins over ARG in docker's reference, the later one in BuildKit.
        ("ENV A=one\nARG A=two\nCOPY $A /", [UNKNOWN]),
        ("ENV A=one\nARG A\nCOPY $A /", ["one"]),
        ("ARG A=one\nENV A=two\nCOPY $A /", ["two"]),
        # Which platform is built for, only the build knows.
        ("ARG TARGETARCH\nCOPY bin/$TARGETARCH /", [f"bin/{UNKNOWN}"]),
        ("ARG TARGETARCH=arm64\nCOPY bin/$TARGETARCH /", ["bin/arm64"]),
        # A base image may set what the Dockerfile does not.
        ("ARG A\nCOPY $A /", [UNKNOWN]),
        ("ARG A\nCOPY ${A:-one} /", ["one"]),
        ("COPY ${A:-one} /", [UNKNOWN]),
        ('COPY --from="" a b /', ["a", "b"]),
        ("COPY --exclude=x --exclude='y z' a /", ["a"]),
        ("RUN --mount=type=$T,source=a make", ["a"]),
        ('RUN --mount=type=bind,source="a b" --mount=source=c,target=/c make', ["a b", "c"]),
        ("RUN echo --mount=source=a", []),
        ("ONBUILD COPY a /", []),
    ],
)
def test_a_source_is_known_as_far_as_docker_says_the_same_for_every_build(
    lines: str, expected: list[str]
) -> None:
    assert paths(f"FROM x\n{lines}\n") == expected


def test_a_hostile_line_of_arguments_is_read_in_no_time() -> None:
    began = process_time()
    assert paths(f"FROM x\nARG {'a=b ' * 100_000}\nCOPY $a /\n") == ["b"]
    assert process_time() - began < 10


def test_a_stage_hands_on_its_variables_arguments_included() -> None:
    text = "FROM x AS one\nENV A=a\nARG B=b\nFROM One\nCOPY $A $B /\n"
    assert [(source.path, source.stage) for source in sources(text)] == [("a", 1), ("b", 1)]


def test_passed_arguments_win_over_defaults_and_may_be_unknown() -> None:
    text = parse("ARG A=one\nFROM x\nARG A\nARG B=two\nCOPY $A $B /\n")
    passed = {"A": "three", "B": UNKNOWN}
    assert [source.path for source in context_sources(text, passed)] == ["three", UNKNOWN]


def test_excludes_are_filled_in() -> None:
    (source,) = sources("FROM x\nARG A=md\nCOPY --exclude=*.$A --exclude='b c' a /\n")
    assert source.excludes == ("*.md", "b c")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("RUN [ -f x ] && cat <<EOF", "EOF"),
        ("RUN [ <<EOF", "EOF"),
        ('RUN cat <<"E F"', "E F"),
        ("RUN cat <<'E  F' > x", "E  F"),
        ('RUN cat <<E"O"F', "EOF"),
        ("RUN cat <<\\EOF", "EOF"),
        ("RUN cat << EOF", "EOF"),
        ("RUN cat 3<<-$X", "\t$X"),
        ("ONBUILD RUN cat <<EOF", "EOF"),
    ],
)
def test_where_buildkit_sees_a_heredoc_its_lines_are_no_instructions(start: str, end: str) -> None:
    text = f"FROM x\n{start}\nCOPY not/me /x\n{end}\nCOPY last /x\n"
    assert [source.word for source in sources(text)] == ["last"]


@pytest.mark.parametrize(
    "start",
    [
        'RUN ["cat", "<<EOF"]',
        "RUN echo it's <<EOF",
        'RUN echo "<<EOF"',
        "RUN cat <<<EOF",
        'RUN cat <<""',
        "RUN cat a<<EOF",
        "ONBUILD ENV a=<<EOF",
    ],
)
def test_where_buildkit_sees_no_heredoc_what_follows_is_an_instruction(start: str) -> None:
    text = f"FROM x\n{start}\nCOPY a /x\nEOF\nCOPY last /x\n"
    assert [source.word for source in sources(text)] == ["a", "last"]


@pytest.mark.parametrize("line", ['ENV "A"=src', "ENV 'A' src", 'ENV B=A\nENV "$B"=src'])
def test_the_name_of_a_variable_may_be_quoted(line: str) -> None:
    assert [source.path for source in sources(f"FROM x\n{line}\nCOPY $A /x\n")] == ["src"]


def test_the_name_of_an_argument_may_be_quoted() -> None:
    text = 'ARG "V"=1\nFROM x\nARG "V"\nARG "A"=src\nCOPY $A/$V /x\n'
    assert [source.path for source in sources(text)] == ["src/1"]


def test_a_variable_whose_name_nobody_knows_may_be_any() -> None:
    text = "FROM x\nENV A=a\nARG N\nENV $N=b\nCOPY $A /x\n"
    taken = context_sources(parse(text), {"N": UNKNOWN})
    assert [source.path for source in taken] == [UNKNOWN]


@pytest.mark.parametrize(
    ("mount", "source"),
    [
        ("type=bind,source=a,target=/x", "a"),
        ("""'type=bind,"source=a,b",target=/x'""", "a,b"),
        (r"type=bind,\"source=a,b\",target=/x", "a,b"),
        ('type=bind,"source=a",target=/x', "a"),
        ("type=bind,source='a b',target=/x", "a b"),
    ],
)
def test_the_parts_of_a_mount_are_quoted_as_in_csv(mount: str, source: str) -> None:
    assert [taken.path for taken in sources(f"FROM x\nRUN --mount={mount} make\n")] == [source]
