"""Dockerfiles are read as docker's reference says; every expected value is written from its text,
not from this code.
"""

import pytest

from toolkit.errors import Refused
from toolkit.formats.build_stages import needed, platform, stages
from toolkit.formats.dockerfile import UNKNOWN, expand, json_list, parse, split


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("FROM a", [("FROM", "a", 1)]),
        ("# c\n\nfrom a as b\n", [("FROM", "a as b", 3)]),
        ("FROM a\nENV a=1 \\\n  b=2\n", [("FROM", "a", 1), ("ENV", "a=1   b=2", 2)]),
        ("ENV a=1 \\\n# comment\n\n  b=2\nUSER 1", [("ENV", "a=1   b=2", 1), ("USER", "1", 5)]),
        ("ENV a=x\\  \ny", [("ENV", "a=xy", 1)]),
        ("CMD a \\\\\nUSER 1", [("CMD", "a \\\\", 1), ("USER", "1", 2)]),
        ("  # indented\n\tUSER\t1  ", [("USER", "1", 2)]),
        ("# escape=`\nENV a=1 `\n b=2", [("ENV", "a=1  b=2", 2)]),
        ("#escape=`\n# no directive\nENV a=C:\\\nUSER 1", [("ENV", "a=C:\\", 3), ("USER", "1", 4)]),
        ("# a comment\n# escape=`\nENV a=1 \\\n b=2", [("ENV", "a=1  b=2", 3)]),
        ("# syntax=docker/dockerfile:1\n# escape=`\nENV a=1 `\n b=2", [("ENV", "a=1  b=2", 3)]),
        ("# author=me\n# escape=`\nENV a=1 \\\n b=2", [("ENV", "a=1  b=2", 3)]),
        ("# escape=\nENV a=1 \\\n b=2", [("ENV", "a=1  b=2", 2)]),
        ("RUN <<E\nUSER 2\nE\nUSER 1", [("RUN", "<<E", 1), ("USER", "1", 4)]),
        ('RUN ["<<E"]\nUSER 1', [("RUN", '["<<E"]', 1), ("USER", "1", 2)]),
        ("ENV a=<<E\nUSER 1", [("ENV", "a=<<E", 1), ("USER", "1", 2)]),
        ("FROM a\r\nUSER 1\r\n", [("FROM", "a", 1), ("USER", "1", 2)]),
        ("\ufeffFROM a", [("FROM", "a", 1)]),
        ("CMD # not a comment", [("CMD", "# not a comment", 1)]),
        ("\\\nUSER 1", [("USER", "1", 1)]),
        ("USER 1 \\", [("USER", "1", 1)]),
    ],
)
def test_lines_become_instructions(text: str, rows: list[tuple[str, str, int]]) -> None:
    assert [
        (instruction.keyword, instruction.rest, instruction.line)
        for instruction in parse(text).instructions
    ] == rows


def test_flags_are_taken_from_the_front_only() -> None:
    (item,) = parse("COPY --chown=1:2 --link a --b c").instructions
    assert (item.flags, item.rest) == ({"chown": "1:2", "link": "true"}, "a --b c")


@pytest.mark.parametrize(
    ("line", "options", "rest"),
    [
        ("COPY --a=\"b c\" --d='e f' g h", (("a", "b c"), ("d", "e f")), "g h"),
        ("COPY --a=b\\ c d e", (("a", "b c"),), "d e"),
        ('COPY --a="b \\" c" d e', (("a", 'b " c'),), "d e"),
        ("RUN --mount=a --mount=b c", (("mount", "a"), ("mount", "b")), "c"),
        ("RUN --a= b", (("a", ""),), "b"),
        ('RUN --a="b c', (), '--a="b c'),
        ("RUN -a --b", (), "-a --b"),
    ],
)
def test_quotes_and_escapes_hold_a_flag_together(
    line: str, options: tuple[tuple[str, str], ...], rest: str
) -> None:
    (item,) = parse(line).instructions
    assert (item.options, item.rest) == (options, rest)


def test_directives_are_those_that_docker_knows_at_the_very_top() -> None:
    text = "# escape=`\n#Syntax = docker/dockerfile:1 \n# other=x\n# check=skip=all\nFROM a"
    assert parse(text).directives == {"escape": "`", "syntax": "docker/dockerfile:1"}


def test_another_escape_character_than_the_two_is_refused_as_soon_as_stages_are_read() -> None:
    parsed = parse("# escape=x\nFROM scratch")
    with pytest.raises(Refused, match="escape=x"):
        stages(parsed, {}, platform(None))


KNOWN = {"A": "1", "EMPTY": "", "PATH_": "/x"}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$A", "1"),
        ("${A}", "1"),
        ("x${A}y", "x1y"),
        ("$Ab", ""),
        ("$A-b", "1-b"),
        ("$NO", ""),
        ("${NO}", ""),
        ("$", "$"),
        ("$$A", "A"),  # `$` is a parameter of a shell, which BuildKit does not have
        ("x$@y$#$*$?$!$-z", "xyz"),
        ("a$ b", "a$ b"),
        ("$Aé", ""),
        ("${A:-d}", "1"),
        ("${NO:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${NO-d}", "d"),
        ("${A:+s}", "s"),
        ("${NO:+s}", ""),
        ("${EMPTY:+s}", ""),
        ("${EMPTY+s}", "s"),
        ("${A:?no}", "1"),
        ("${NO:-${A}}", "1"),
        ("${NO:-x${NO:-y}z}", "xyz"),
        ("${PATH_}/bin", "/x/bin"),
        (r"\$A", "$A"),
        (r"\\$A", r"\1"),
        (r"a\ b", "a b"),
        ("'$A'", "$A"),
        ('"$A"', "1"),
        ('"a \\"b\\" \\$A \\n"', 'a "b" $A \\n'),
        ('a"b c"\'d "e\'', 'ab cd "e'),
        ("${NO:-a b}", "a b"),
        ("\"${NO:-'d'}\"", "d"),
        ("$12x", "x"),
        ("", ""),
    ],
)
def test_variables_and_quotes_are_filled_in(word: str, value: str) -> None:
    assert expand(word, KNOWN.get) == value


@pytest.mark.parametrize(
    "word",
    ["'a", '"a', "${A", "${A:-x", "${A#x}", "${A/x/y}", "${}", "${A:}", "${NO:?say it}", '"${A'],
)
def test_what_is_not_a_word_is_an_error(word: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        expand(word, KNOWN.get)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$NO", UNKNOWN),
        ("a${NO}b", f"a{UNKNOWN}b"),
        ("${NO:-d}", "d"),
        ("${NO:+d}", UNKNOWN),
        ("${NO?}", UNKNOWN),
        ("${EMPTY:?say it}x", f"{UNKNOWN}x"),
        ("${U:-d}", UNKNOWN),
        ("${A%.*}x", f"{UNKNOWN}x"),
        ("${A:}x", f"{UNKNOWN}x"),
        ("${}x", f"{UNKNOWN}}}x"),
        ("a'b", f"a{UNKNOWN}"),
        ('a"b', f"a{UNKNOWN}"),
        ("${A", UNKNOWN),
        ("$A", "1"),
    ],
)
def test_a_guess_says_which_part_is_unknown(word: str, value: str) -> None:
    assert expand(word, {**KNOWN, "U": UNKNOWN}.get, guess=True) == value


def test_values_that_double_themselves_stop() -> None:
    values = {"A": "x" * 60_000}
    with pytest.raises(ValueError, match="too long"):
        expand("$A$A", values.get)


def test_another_escape_character_leaves_the_backslash_alone() -> None:
    assert expand("C:\\x`$A", KNOWN.get, "`") == "C:\\x$A"


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("a=1 b=2", ["a=1", "b=2"]),
        ("a=\"x y\" b='p q'", ['a="x y"', "b='p q'"]),
        ("a=x\\ y\tb", ["a=x\\ y", "b"]),
        ("", []),
    ],
)
def test_quotes_hold_words_together(rest: str, words: list[str]) -> None:
    assert split(rest, "\\") == words


@pytest.mark.parametrize(
    ("rest", "lines"),
    [
        ('["a", "b c"]', ["a", "b c"]),
        ("[]", []),
        ("a b", None),
        ("['a']", None),
        ('["a", 1]', None),
        ("[a", None),
    ],
)
def test_the_exec_form_is_a_list_of_strings(rest: str, lines: list[str] | None) -> None:
    assert json_list(rest) == lines


@pytest.mark.parametrize(
    ("text", "output"),
    [
        (None, "linux/amd64"),
        ("linux/arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("arm64", "linux/arm64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/arm/v7", "linux/arm/v7"),
    ],
)
def test_a_platform_has_one_spelling(text: str | None, output: str) -> None:
    assert str(platform(text)) == output


@pytest.mark.parametrize(
    "line",
    [
        "COPY --from=one /a /b",
        "COPY --from=0 /a /b",
        "RUN --mount=type=bind,from=one,target=/b cp /b/a /c",
        "RUN --mount=type=cache,target=/c --mount=from=ONE,target=/b cp /b/a /c",
    ],
)
def test_a_stage_that_is_copied_from_or_mounted_is_needed(line: str) -> None:
    parsed = parse(f"FROM x AS one\nFROM y AS two\nFROM z\n{line}\n")
    used = needed(stages(parsed, {}, platform(None)), None)
    assert [stage.number for stage in used] == [0, 2]
