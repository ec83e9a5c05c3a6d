"""What a pattern means, by example, and against git's own matcher."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats import strategies
from tests.formats.strategies import escaped, usable
from tests.support.repo import Repo
from toolkit.formats.glob import LONGEST, PatternError, alternatives, regex


def matches(pattern: str, path: str) -> bool:
    return any(re.fullmatch(regex(plain), path) for plain in alternatives(pattern))


EXAMPLES = {
    "a": ("a", "!b", "!a/b", "!A", "!b/a"),
    "a/b.c": ("a/b.c", "!a/bxc", "!a/b.cd", "!x/a/b.c"),
    "*": ("a", ".a", "a b", "\n", "é", "\udcff", "!a/b"),
    "*.md": ("a.md", ".md", ".a.md", "!a.mdx", "!a/b.md", "!amd"),
    "*.test.*": ("a.test.ts", ".test.", "!a.tests.ts"),
    "*.test.ts": ("a.test.ts", ".test.ts", "a.b.test.ts", "!a.ts", "!a.test.tsx", "!atest.ts"),
    "**/*.d.ts": ("a.d.ts", "a/b.d.ts", "!a/b.ts"),
    "src/*/x.d.ts": ("src/a/x.d.ts", "!src/x.d.ts"),
    "src/**/x*.d.ts": ("src/x.d.ts", "src/a/x1.d.ts", "!src/a/y.d.ts"),
    "a*b*c": ("abc", "axbxc", "abbc", "abcc", "!abcd", "!ab/c"),
    "a/*": ("a/b", "a/.b", "!a", "!a/b/c"),
    "a/*/c": ("a/b/c", "!a/c", "!a/b/b/c"),
    "a/x*": ("a/x", "a/xy", "!a/xy/z", "!a/y"),
    "?": ("a", ".", "\n", "é", "\udcff", "!aa", "!a/a"),
    "a?b": ("axb", "!ab", "!a/b", "!axxb"),
    "**": ("a", "a/b", ".a/.b", "a\nb/\n"),
    "a/**": ("a", "a/b", "a/b/c", "a/.b", "a/b\nc", "!ab", "!b/a/c", "!A/b"),
    "a/**/**": ("a", "a/b", "a/b/c", "!ab"),
    "**/a": ("a", "b/a", "b/b/a", "!ba", "!a/b"),
    "**/*.py": ("a.py", ".py", "a/b.py", "a/b/c.py", "a.py/b.py", "!a.py/b"),
    "**/a/**": ("a", "a/b", "b/a", "b/a/b/c", "!ba/c", "!b/ab"),
    "a/**/b": ("a/b", "a/x/b", "a/x/y/b", "a/b/b", "!ab", "!a/bb", "!x/a/b"),
    "a/**/b/**/c": ("a/b/c", "a/x/b/y/c", "a/b/b/c/c", "!a/c", "!a/c/b"),
    "**/a/**/b/**/c": ("a/b/c", "a/b/a/c", "ax/a/b/c", "x/a/bx/b/cx/c", "!b/a/c"),
    "*a*b*c": ("abc", "abac", "aabbc", "!acb"),
    "**/a/b/**/b/c": ("a/b/b/c", "x/a/a/b/x/b/c", "!a/b/c", "!a/x/b/b/c"),
    "*/**": ("a/b", "a/b/c", "!a"),
    "a*/**": ("a/b", "ab/c/d", "!a", "!ab", "!ba/c"),
    "a?/**": ("ab", "ab/c", "!a/c"),
    "*a/**": ("a", "ba", "ba/c", "!ab/c"),
    "**/*": ("a", "a/b"),
    "**.go": ("a.go", "a/b.go", ".go", "a/b/.go", "!a.god"),
    "a-**": ("a-", "a-b", "a-b/c", "a-/b", "!a"),
    "a**b": ("ab", "axb", "a/b", "ax/y/zb", "!abc", "!a/c"),
    "x/a**/b": ("x/a/b", "x/ac/d/b", "!x/b"),
    "***": ("a", "a/b"),
    "[ab]": ("a", "b", "[ab]", "!c", "!ab"),
    "a/[id].ts": ("a/i.ts", "a/d.ts", "a/[id].ts", "!a/id.ts"),
    "[a-c]x": ("ax", "cx", "!dx", "![a-c]x", "!/x"),
    "[!a]": ("b", ".", "\n", "\udcff", "!a", "![!a]"),
    "[^a]": ("b", "!a"),
    "[^]a]": ("b", "!a", "!]"),
    "a[!b]c": ("axc", "!a/c", "!abc"),
    "[]a]": ("]", "a", "!b"),
    "[!]]": ("a", "!]"),
    "[a\\]]": ("]", "a", "!b"),
    "[-a]": ("-", "a", "!b"),
    "[a-]": ("-", "a", "!b"),
    "a[+-9]b": ("a+b", "a5b", "a.b", "!a/b", "!a*b"),
    "[[:digit:]x]": ("1", "x", "!d", "!:"),
    "[[:alnum:]]": ("a", "Z", "5", "!_", "!é"),
    "[[:alpha:]]": ("a", "Z", "!5"),
    "[[:lower:]]": ("a", "!A"),
    "[[:word:]]": ("a", "Z", "5", "_", "!-"),
    "[[:xdigit:]]": ("a", "F", "5", "!g"),
    "[[:upper:]]*": ("Ab", "A", "!ab"),
    "[&&||~~]": ("&", "|", "~", "!a"),
    "{a,b}": ("a", "b", "!c", "!{a,b}"),
    "*.{ts,tsx}": ("a.ts", "a.tsx", "!a.js"),
    "{a,b/{c,d}}/x": ("a/x", "b/c/x", "b/d/x", "!b/x"),
    "a{,/**}": ("a", "a/b", "!ab"),
    "{a,**/b}/c": ("a/c", "b/c", "x/b/c", "!x/a/c"),
    "a/{b,}": ("a/b", "!a", "!a/"),
    "{,x}a": ("a", "xa", "!x"),
    "{a}": ("{a}", "!a"),
    "{{name}}/x": ("{{name}}/x", "!name/x"),
    "{}": ("{}",),
    "{a..c}": ("a", "c", "!d", "!{a..c}"),
    "{3..1}": ("1", "2", "!4"),
    "{[,],a}": (",", "a", "!["),
    "\\*": ("*", "!a", "!\\*"),
    "\\[a]": ("[a]", "!a"),
    "\\{a,b}": ("{a,b}", "!a"),
    "\\!a": ("!a",),
    "a!b": ("a!b",),
    "a\\ ": ("a ", "!a"),
    " a": (" a", "!a"),
    "app/(shop)/p": ("app/(shop)/p", "!app/shop/p"),
    "a(b": ("a(b",),
    "a.b+c$^": ("a.b+c$^", "!axb+c$^"),
    "...": ("...",),
    ".github/**": (".github/a", "!github/a"),
    "é*": ("é", "éa", "!e", "!e\u0301"),
}
"""Pattern -> paths; with `!` those that it does not match."""


def test_a_pattern_matches_what_the_table_says() -> None:
    wrong = []
    for pattern, path in [(pattern, path) for pattern, them in EXAMPLES.items() for path in them]:
        negated = path.startswith("!") and not pattern.startswith("\\!")
        if matches(pattern, path.removeprefix("!") if negated else path) == negated:
            wrong.append((pattern, path))
    assert not wrong


NEVER = "it can never match: "
REFUSED = {
    "": "it is empty; to match everything write `**`",
    "a\0b": "it has a NUL, which no path has",
    "x" * 1025: "it has 1025 characters; 1024 are the most",
    "!a": "it has more than one `!`; write one or none",
    "/a/b": NEVER + "paths start at the repository's root without a slash; write `a/b`",
    "/": NEVER + "paths start at the repository's root without a slash; write `**`",
    "/a/": NEVER + "paths start at the repository's root without a slash; write `a/**`",
    "a/": NEVER + "git names files, not folders; write `a/**`",
    "a//": NEVER + "git names files, not folders; write `a/**`",
    "./a": NEVER + "no path has an empty or `.` folder; write `a`",
    "a/./b": NEVER + "no path has an empty or `.` folder; write `a/b`",
    "a//b": NEVER + "no path has an empty or `.` folder; write `a/b`",
    "a/.": NEVER + "no path has an empty or `.` folder; write `a`",
    ".": NEVER + "no path has an empty or `.` folder; write `**`",
    "../a": NEVER + "`..` leaves the repository; write the path from the repository's root",
    "a/../b": NEVER + "`..` leaves the repository; write the path from the repository's root",
    "{.,..,x/}/b": "it can never match: every alternative has an empty, `.` or `..` folder",
    "a ": "it ends in white space; write `a`",
    "a\n": "it ends in white space; write `a`",
    "a\\b": (
        "a backslash may only stand before one of *?[]{}()!,\\ or a space; between folders"
        " write `/`"
    ),
    "a\\": (
        "a backslash may only stand before one of *?[]{}()!,\\ or a space; between folders"
        " write `/`"
    ),
    "@(a|b)": (
        "`@(…)` is not supported; write the alternatives in braces, `{a,b}`, or `\\(` for a"
        " parenthesis"
    ),
    "*(a)": (
        "`*(…)` is not supported; write the alternatives in braces, `{a,b}`, or `\\(` for a"
        " parenthesis"
    ),
    "(a|b)": "`(a|b)` is not supported; write `{a,b}`, or `\\(` for a parenthesis",
    "[a": "its `[` is never closed; write `\\[` for a bracket",
    "[]": "its `[` is never closed; write `\\[` for a bracket",
    "[a/b]": "a character class cannot hold `/`",
    "[z-a]": "the range `z-a` is the wrong way round",
    "[[:letter:]]": (
        "`[:letter:]` is not a character class; there are alnum, alpha, digit, lower, upper, word,"
        " xdigit"
    ),
    "{a,b": "its `{` is never closed; write `\\{` for a brace",
    "{1..10}": (
        "`{1..10}` is not supported; a range is between two letters or digits, or write `{a,b}`"
    ),
    "{a,b}" * 11: (
        "its braces, `[…]` and `**` inside of names stand for more than 1024 patterns; split it"
    ),
    "[ab]" * 11: (
        "its braces, `[…]` and `**` inside of names stand for more than 1024 patterns; split it"
    ),
    "a**" * 11: "it has more than 4 `**` inside of names, which stand for 2048 patterns; split it",
    "{a,b}" * 5 + "c**" * 6: (
        "it has more than 4 `**` inside of names, which stand for 64 patterns; split it"
    ),
    "{" * 17 + "a,b" + "}" * 17: "its braces are nested deeper than 16 levels; split it",
}


@pytest.mark.parametrize(
    "pattern", REFUSED, ids=lambda pattern: pattern[:20].encode("unicode_escape").decode()
)
def test_a_pattern_that_cannot_be_meant_is_refused_with_the_mend(pattern: str) -> None:
    with pytest.raises(PatternError) as refused:
        alternatives(pattern)
    assert str(refused.value) == REFUSED[pattern]


@given(
    st.lists(st.sampled_from(("", ".", "a", "*", "b*")), min_size=1, max_size=5),
    st.sampled_from(("", " ", "\t ")),
)
def test_the_mend_of_a_path_that_never_matches_is_a_pattern_that_loads(
    names: list[str], end: str
) -> None:
    try:
        alternatives("/".join(names) + end)
    except PatternError as refused:
        mend = re.search(r"write `([^`]+)`$", str(refused))
        assert mend
        assert usable(mend[1])


@given(st.text("a*?[]{}!^,.-\\/(|) :", max_size=30))
def test_any_text_is_a_pattern_that_compiles_or_is_refused(pattern: str) -> None:
    try:
        plains = alternatives(pattern)
    except PatternError:
        return
    assert all(re.compile(regex(plain)) for plain in plains)


@given(strategies.paths())
def test_an_escaped_path_matches_itself_and_nothing_near_it(path: str) -> None:
    if path[-1] in "\n\t":
        return  # only a space can be escaped at the end
    assert matches(escaped(path), path)
    assert not matches(escaped(path), path + "x")
    assert not matches(escaped(path), "x/" + path)
    assert not matches(escaped(path), path + "/x")


@given(st.data())
def test_a_pattern_that_only_lets_go_of_some_of_a_path_still_matches_it(
    data: st.DataObject,
) -> None:
    path = data.draw(strategies.paths())
    pattern = data.draw(strategies.wider(path).filter(usable))
    # what ends in a star wants something below it, so that the last `**` may not stand for no
    # folder at all there
    if not re.search(r"(?<!\\)\*/\*\*$", pattern):
        assert matches(pattern, path)


@given(strategies.paths(), strategies.paths())
def test_everything_below_a_folder_and_the_folder_itself_match_its_globstar(
    folder: str, below: str
) -> None:
    assert matches(f"{escaped(folder)}/**", f"{folder}/{below}")
    assert matches(f"{escaped(folder)}/**", folder)
    assert matches(f"**/{escaped(folder)}/**", f"x/{folder}/{below}")
    assert not matches(f"{escaped(folder)}/**", f"{folder}x/{below}")


@given(st.data(), strategies.paths())
def test_a_brace_is_the_sum_of_its_alternatives(data: st.DataObject, path: str) -> None:
    first, second = (
        data.draw(strategies.loose().filter(lambda pattern: "," not in pattern)) for _ in range(2)
    )
    both = f"{{{first},{second}}}"
    assert matches(both, path) == (matches(first, path) or matches(second, path))


def slowly(pattern: str, path: str) -> bool:
    """`*`, `?` and `**` by their definition: every way is tried."""
    names, folders = pattern.split("/"), path.split("/")
    while names[-2:] == ["**", "**"]:
        names.pop()
    if names[-1] != "**" or len(names) == 1:
        return _folders(names, folders)
    itself = not names[-2].endswith("*") and _folders(names[:-1], folders)
    return itself or _folders([*names, "*"], folders)


def _folders(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_folders(pattern[1:], path[position:]) for position in range(len(path) + 1))
    return bool(path) and _name(pattern[0], path[0]) and _folders(pattern[1:], path[1:])


def _name(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(_name(pattern[1:], name[position:]) for position in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and _name(pattern[1:], name[1:])


@given(
    st.lists(
        st.text("aab*?", min_size=1, max_size=5).map(lambda name: re.sub(r"\*+", "*", name))
        | st.just("**"),
        min_size=1,
        max_size=6,
    ),
    st.lists(
        st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=7).map("/".join),
        min_size=1,
        max_size=10,
    ),
)
def test_stars_agree_with_trying_every_way(names: list[str], paths: list[str]) -> None:
    pattern = "/".join(names)
    for path in paths:
        assert matches(pattern, path) == slowly(pattern, path)


HOSTILE = {
    "*a" * 300 + "b": "a" * 4000,
    "**/*a*/**/*b*/**/c": "/".join(["ab"] * 1300),
    "**/" + "/".join(["*a*"] * 200) + "/x": "/".join(["a"] * 2000),
    "**/" + "a/" * 200 + "**/" + "a/" * 200 + "x": "/".join(["a"] * 2000),
    "**/a/" * 200 + "b": "/".join(["a"] * 2000),
    "**/*a*?*a*?/" * 70 + "b/**": "/".join(["a" * 13] * 300),
    "*" + "?" * 500 + "x": "a" * 4000,
    "a**" * 10 + "b": "a/" * 2000 + "a",
    "{*a,*b}" * 9 + "c": "ab" * 2000,
    "{a,b}" * 60: "",
    "[ab]" * 60: "",
    "a**" * 340: "",
    "**/a" * 250 + "/b": "",
    "{,/}" * 10 + "a**" * 300: "",
    "{" * 341 + "a" + "," * 341 + "}" * 341: "",
    "x" * 90 + "{a,b}" * 10 + "x" * 90: "",
}
"""Patterns that make a matcher with backtracking, or one that writes out everything, work for
ever.
"""


@pytest.mark.parametrize("pattern", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_pattern_is_answered_or_refused_at_once(pattern: str) -> None:
    start = time.process_time()
    if usable(pattern):
        assert not any(
            re.fullmatch(regex(plain), HOSTILE[pattern]) for plain in alternatives(pattern)
        )
    assert time.process_time() - start < 1


def test_the_longest_pattern_is_still_one() -> None:
    assert matches("a" * LONGEST, "a" * LONGEST)


# Git's `:(glob,top)` pathspec is the same dialect but for what is left out here: braces, a `**`
# inside a name, `[id]` as a literal name (every class below has a range or a `!`), non-ASCII (git
# matches bytes). Two differences are computed instead: a pathspec also names all that is below what
# it spells literally, and ours also matches `dir` for `dir/**`.

_GIT_LETTERS = "aAb.-[]"
_GIT_PART = st.one_of(
    st.text("aAb.-", min_size=1, max_size=2),
    st.sampled_from(
        (
            "*",
            "?",
            "[a-b]",
            "[!a]",
            "[^.]",
            "[]a-]",
            "[[:upper:]]",
            "[[:alpha:]-]",
            "[\\]a]",
            "\\[",
            "\\*",
            "]",
        )
    ),
)
_GIT_NAME = st.one_of(
    st.just("**"),
    st.lists(_GIT_PART, min_size=1, max_size=3).map("".join).filter(lambda name: "**" not in name),
)
_GIT_PATTERNS = (
    st.lists(_GIT_NAME, min_size=1, max_size=4)
    .map("/".join)
    .filter(
        lambda pattern: "**/**" not in pattern and not {".", ".."}.intersection(pattern.split("/"))
    )
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    return Repo.make(tmp_path_factory.mktemp("index") / "repo", rules=None)


def listed(index: Repo, pattern: str) -> set[str]:
    """What git finds, without what is below a path that is spelled as the pattern is."""
    lines = index.git("ls-files", "-z", "--", f":(glob,top){pattern}").split("\0")
    return {path for path in lines if path and not path.startswith(f"{pattern}/")}


@given(
    st.sets(strategies.paths(_GIT_LETTERS), min_size=1, max_size=30),
    st.lists(_GIT_PATTERNS, min_size=1, max_size=12, unique=True),
)
@settings(max_examples=settings().max_examples // 2)
def test_git_agrees_on_the_shared_dialect(index: Repo, tree: set[str], patterns: list[str]) -> None:
    files = {path for path in tree if not any(text.startswith(f"{path}/") for text in tree)}
    index.git("read-tree", "--empty")
    index.git(
        "update-index",
        "-z",
        "--index-info",
        given="".join(f"100644 {'1' * 40}\t{path}\0" for path in sorted(files)).encode(),
    )
    for pattern in patterns:
        expected = listed(index, pattern)
        folder = pattern.removesuffix("/**")
        if folder != pattern and not folder.endswith("*"):
            expected |= listed(index, folder)
        ours = {
            path for path in files if matches(pattern, path) and not path.startswith(f"{pattern}/")
        }
        assert ours == expected, pattern
