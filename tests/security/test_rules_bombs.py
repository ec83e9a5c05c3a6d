"""A rules.toml from a stranger: refused with its line, or cheap (S15 to S17). What each limit is
exactly: tests/config and tests/formats.
"""

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.security.measured import measured
from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit
from toolkit.formats.glob import PatternError
from toolkit.impact.matcher import Matcher


@pytest.mark.parametrize(
    ("added", "line", "text"),
    [
        ('cmd = "touch pwn"\n', 2, "cmd: unknown key"),
        ('[hooks]\nbefore = "touch pwn"\n', 2, "hooks: unknown key"),
        ('include = "/etc/passwd"\n', 2, "include: expected an array"),
        ('include = ["/etc/passwd"]\n', 2, "include[0]: expected a `.toml` file"),
        ('include = ["../../x.toml"]\n', 2, "include[0]: expected a `.toml` file"),
        (
            '[targets.x]\nkind = "manual"\ninstructions = "i"\ncmd = "touch pwn"\n',
            5,
            "targets.x.cmd: unknown key",
        ),
        (
            (
                '[targets.x]\nkind = "app"\ncluster = "c"\nservice = "s"\nrepository = "r"\nbuild ='
                ' { context = ".", run = "touch pwn" }\n'
            ),
            7,
            "run",
        ),
        ('[targets.x]\nkind = "toolkit.cli.main"\n', 3, "unknown kind"),
        ('[targets.x]\nkind = "../../x"\n', 3, "unknown kind"),
        ('[targets."$(touch pwn)"]\nkind = "manual"\ninstructions = "i"\n', 2, "a name is made of"),
        ('[environments."-x"]\nregions = []\n', 2, "a name is made of"),
        (
            '[environments.x]\nendpoint_url = "http://169.254.169.254"\n',
            3,
            "endpoint_url: unknown key",
        ),
        ('[[rules]]\nname = "r"\npaths = ["a"]\nrun = ["touch pwn"]\n', 5, "unknown check"),
        ('[[rules]]\nname = "r"\npaths = ["a"]\nexec = "touch pwn"\n', 5, "exec: unknown key"),
        (
            '[[rules]]\nname = "r"\npaths = ["../../etc/passwd"]\nrun = ["smoke-test"]\n',
            4,
            "can never match",
        ),
    ],
)
def test_a_rules_file_that_wants_more_than_data_is_refused_with_its_line(
    repo: Repo, toolkit: Toolkit, added: str, line: int, text: str
) -> None:
    """S15: by every command that reads it."""
    repo.write({"rules.toml": "version = 1\n" + added})
    for args in (
        ("diff", "HEAD"),
        ("explain", "a"),
        ("rules", "check"),
        ("rules", "match", "a"),
        ("rules", "replay"),
        ("doctor",),
    ):
        actual = toolkit(repo.path, *args)
        assert actual.code == 2
        assert f"rules.toml:{line}: " in actual.err
        assert text in actual.err
    assert not (repo.path / "pwn").exists()


HEAD = b"version = 1\n"
MANUAL = b'[targets.a]\nkind = "manual"\ninstructions = "i"\n'


def _full(unit: bytes) -> bytes:
    return HEAD + unit * ((1_040_000 - len(HEAD)) // len(unit))


BOMBS: dict[str, bytes] = {
    "500 nested brackets": HEAD + b"a = " + b"[" * 500,
    "nested inline tables": HEAD + b"a = " + b"{a=" * 300,
    "a key of 50,000 parts": HEAD + b".".join([b"a"] * 50_000) + b" = 1\n",
    "dots on many lines": b"".join(
        b".".join([b"a%d" % position] * 16) + b" = 1\n" for position in range(4_000)
    ),
    "a million keys": HEAD + b"".join(b"k%d=1\n" % position for position in range(1_000_000)),
    "as many keys as fit": HEAD + b"".join(b"k%d=1\n" % position for position in range(110_000)),
    "tables without a kind": HEAD
    + b"".join(b"[targets.a%d]\n" % position for position in range(39_000)),
    "targets that need unknown ones": (
        HEAD
        + b"".join(
            b'[targets.a%d]\nkind="manual"\ninstructions="i"\nneeds=["z%d"]\n'
            % (position, position)
            for position in range(9_900)
        )
    ),
    "one that needs thousands": (
        HEAD
        + MANUAL
        + b"needs = ["
        + b"".join(b'\n"z%d",' % position for position in range(90_000))
        + b"]\n"
    ),
    "a circle of thousands": (
        HEAD
        + b"".join(
            b'[targets.a%d]\nkind="manual"\ninstructions="i"\nneeds=["a%d"]\n'
            % (position, (position + 1) % 9_900)
            for position in range(9_900)
        )
    ),
    "groups in groups": (
        HEAD
        + MANUAL
        + b"".join(
            b'[targets.g%d]\nkind="group"\nmembers=["%s"]\n'
            % (position, b"g%d" % (position - 1) if position else b"a")
            for position in range(9_000)
        )
    ),
    "stacks in environments": (
        HEAD
        + b"".join(
            b'[targets.a%d]\nkind="stack"\ncdk="c"\nstack="a%d{v}"\n' % (position, position)
            for position in range(5_000)
        )
        + b"".join(
            b'[environments.e%d]\nvars.v="%d"\n' % (position, position)
            for position in range(10_000)
        )
    ),
    "headers": HEAD + b"[[rules]]\n" * 100_000,
    "commas": (
        HEAD
        + b"a = ["
        + b"1," * 8_000
        + b"]\n"
        + b"".join(b"a%d = [%s]\n" % (position, b"1," * 8_000) for position in range(60))
    ),
    "a number without an end": HEAD + b"a = " + b"9" * 16_000 + b"\n",
    "fifty thousand wrong patterns": HEAD + b"ignore = [" + b'"/",\n' * 150_000 + b"]\n",
    "unknown variables": (
        HEAD
        + b'[targets.a]\nkind = "manual"\ninstructions = """'
        + b"".join(b"{v%d}\n" % position for position in range(20_000))
        + b'"""\n'
        + b"".join(b"[environments.e%d]\n" % position for position in range(9_000))
    ),
    "braces in braces": (
        HEAD
        + MANUAL
        + b'[[rules]]\nname="r"\ndeploy=["a"]\npaths=["'
        + b"{a," * 2_000
        + b"x"
        + b"}" * 2_000
        + b'"]\n'
    ),
    "braces in a row": (
        HEAD + MANUAL + b'[[rules]]\nname="r"\ndeploy=["a"]\npaths=["' + b"{a,b}" * 60 + b'"]\n'
    ),
    "two stars inside a name": (
        HEAD + MANUAL + b'[[rules]]\nname="r"\ndeploy=["a"]\npaths=["' + b"x**" * 60 + b'"]\n'
    ),
    "a thousand times a thousand alternatives": (
        HEAD
        + MANUAL
        + b'[[rules]]\nname="r"\ndeploy=["a"]\npaths=['
        + b"".join(b'"%d%s",\n' % (position, b"{a,b}" * 10) for position in range(12_000))
        + b"]\n"
    ),
    "no end of a text": HEAD + b'a = """' + b"x\n" * 500_000,
    "quotes": _full(b'"' * 16_000 + b"\n"),
    "apostrophes": _full(b"'" * 16_000 + b"\n"),
    "not even text": _full(b"\0\xff"),
    "a gigabyte": b"",
}


@pytest.mark.slow("bombs", keep=4)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_of_rules_exits_with_two_quickly_and_small(tmp_path: Path, bomb: str) -> None:
    """S16: within a second on an idle machine; three of processor time are allowed for."""
    rules = tmp_path / "rules.toml"
    rules.write_bytes(BOMBS[bomb])
    if bomb == "a gigabyte":
        with rules.open("wb") as file:
            file.truncate(1 << 30)
    functions = measured(tmp_path, tmp_path / "report", "rules", "match", "a", cpu_s=3)
    assert functions.code == 2, functions.err[-2000:]
    assert functions.peak_mb < 200
    assert len(functions.err.splitlines()) < 20


@pytest.mark.slow("bombs", keep=1)
@pytest.mark.parametrize(
    "bomb", [b'"\\' * 500_000, b'\\"""\n' * 200_000], ids=["in a line", "over many lines"]
)
def test_texts_that_never_end_exit_with_two_quickly(tmp_path: Path, bomb: bytes) -> None:
    """S16: 72 s when it was found."""
    (tmp_path / "rules.toml").write_bytes(HEAD + bomb)
    assert measured(tmp_path, tmp_path / "report", "rules", "match", "a", cpu_s=3).code == 2


def test_a_file_of_rules_that_is_too_large_is_told_with_its_real_size(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    """H1: it was said to have what was read of it."""
    (tmp_path / "rules.toml").write_bytes(HEAD + b"#" * 3_000_000)
    assert (
        "it has 3,000,012 bytes; 1,048,576 are the most"
        in toolkit(tmp_path, "rules", "match", "a").err
    )


def test_an_included_file_that_is_too_large_is_told_with_its_name_and_size(
    repo: Repo, toolkit: Toolkit
) -> None:
    repo.write(
        {"rules.toml": 'version = 1\ninclude = ["checks.toml"]\n', "checks.toml": "#" * 2_000_000}
    )
    actual = toolkit(repo.path, "smoke-test", "--list")
    assert actual.code == 2
    assert "checks.toml: it has 2,000,000 bytes; 1,048,576 are the most" in actual.err


@pytest.mark.slow("bombs")
def test_a_rules_file_as_large_as_one_may_be_is_read_in_time(tmp_path: Path) -> None:
    """S16: the limits are no smaller than what a large repository needs."""
    rules = [
        f'[[rules]]\nname = "r{position}"\n'
        f'paths = ["src/part{position}/**", "**/x{position}*y"]\ndeploy = ["app"]\n'
        for position in range(9_000)
    ]
    (tmp_path / "rules.toml").write_text(RULES + "".join(rules))
    assert 512 * 1024 < (tmp_path / "rules.toml").stat().st_size < 1024 * 1024
    functions = measured(tmp_path, tmp_path / "report", "rules", "match", "src/part7/a", cpu_s=10)
    assert (functions.code, functions.out) == (0, "src/part7/a: app (r7)\n"), functions.err
    assert functions.peak_mb < 200


LONG = 100_000

PATTERNS = [
    ("**/" * 300 + "x", "a/" * (LONG // 2) + "x"),
    ("**/" * 300 + "x", "a/" * (LONG // 2) + "y"),
    ("**/a/" * 200 + "x", "a/" * (LONG // 2) + "x"),
    ("**/a/" * 200 + "b/x", "a/" * (LONG // 2) + "x"),
    ("**/" + "*/" * 500 + "b/x", "a/" * (LONG // 2) + "x"),
    ("**/" + "*/" * 500 + "b/**/x", "a/" * (LONG // 2) + "x"),
    ("**/" + "a*/" * 300 + "b/**/x", "a/" * (LONG // 2) + "x"),
    ("**/" + "[!b]/" * 200 + "b/**/x", "a/" * (LONG // 2) + "x"),
    ("*a" * 500 + "b", "a" * LONG),
    ("*a?" * 300 + "b", "a" * LONG),
    ("*" + "a" * 1000 + "b*", "a" * LONG),
    ("?*" * 400 + "b", "a" * LONG),
    ("**/?*" * 100 + "b", "a/" * (LONG // 2)),
    ("{a,{a,{a,{a,{a,b}}}}}*" * 4, "a" * LONG),
    ("{*,**}/{*,**}/{*,**}/{*,**}/x", "a/" * (LONG // 2) + "x"),
    ("x**x**x**x", "x/" * (LONG // 2) + "y"),
    ("[ab]*[ab]*[ab]*c", "a" * LONG),
]


@pytest.mark.parametrize(
    ("pattern", "path"),
    PATTERNS,
    ids=[f"{pattern[:24]} of {len(pattern)}" for pattern, _ in PATTERNS],
)
def test_no_pattern_takes_long_over_a_long_path(pattern: str, path: str) -> None:
    """S17: a path of 100,000 bytes is 25 times what the file system allows, and still answered in
    the time of 550 walks through such a path, which was half a second where this was first
    measured.
    """
    assert any(_cpu_s(pattern, path) < 5.5 * _hundred_walks_s() for _ in range(3))


def _hundred_walks_s() -> float:
    """The processor's time for a regular expression that walks a hundred times through a long path,
    here and now.
    """
    walk, path = re.compile(r"(?:[^/]*/)*"), "a/" * (LONG // 2)
    started = time.process_time()
    for _ in range(100):
        walk.match(path)
    return time.process_time() - started


def _cpu_s(pattern: str, path: str) -> float:
    started = time.process_time()
    with suppress(PatternError):
        Matcher([[pattern]]).match(path)
    return time.process_time() - started


def test_a_long_path_is_refused_or_answered_by_the_command(tmp_path: Path) -> None:
    """S17: from a list of paths, whose names may have any length."""
    (tmp_path / "rules.toml").write_text(RULES)
    source = ("a/" * LONG + "x\n" + "b" * LONG + "\n").encode() * 20
    functions = measured(
        tmp_path, tmp_path / "report", "rules", "match", "-", given=source, cpu_s=5
    )
    assert functions.code == 0
    assert functions.peak_mb < 200
