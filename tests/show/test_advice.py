"""Next commands as text: one line for programs, and lines that can be pasted for people."""

import shlex
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolkit.advice import Advice, NextCommand, SameOptions, ShellCommand
from toolkit.show.advice import (
    advice_lines,
    command_line,
    command_words,
    commands_line,
    sentence,
    shown_command,
)

PROD = SameOptions("r.toml", "prod", "us-east-1")
DEPLOY, RESUME = NextCommand("deploy-app", ("app",)), NextCommand("resume")

HOSTILE = st.text(
    st.one_of(
        st.characters(exclude_characters="\0"),
        st.sampled_from("-'\"\\ $`;|&<>*?~#!\n\r\t\x1b\x9b\u202e\u2028\udc80é[]:"),
    ),
    min_size=1,
)


@pytest.mark.parametrize(
    ("advice", "line"),
    [
        ("", ""),
        ((), ""),
        ("wait for it", "wait for it"),
        (DEPLOY, "toolkit deploy-app app"),
        (("see what is due:", NextCommand("diff")), "see what is due: toolkit diff"),
        (("see", NextCommand("diff"), ", or name it"), "see `toolkit diff`, or name it"),
        (
            ("did you mean", NextCommand("diff", ("live",)), "?"),
            "did you mean `toolkit diff live`?",
        ),
        (
            (RESUME, ", or without its checks:", NextCommand("resume", options=("--no-checks",))),
            "toolkit resume, or without its checks: toolkit resume --no-checks",
        ),
        (
            ("app:", "its end is not known", "(", RESUME, ")"),
            "app: its end is not known (toolkit resume)",
        ),
        (
            ("first:", DEPLOY, ";", NextCommand("deploy", ("b c",)), "; then:", RESUME),
            "first: toolkit deploy-app app; toolkit deploy 'b c'; then: toolkit resume",
        ),
        (
            ("sign in:", ShellCommand("aws sso login", ("--profile", "my one"))),
            "sign in: aws sso login --profile 'my one'",
        ),
    ],
)
def test_an_advice_is_one_line_for_programs(advice: Advice, line: str) -> None:
    assert sentence(advice) == line


@pytest.mark.parametrize(
    ("advice", "before", "lines"),
    [
        ("", "hint: ", []),
        ("wait for it", "hint: ", ["hint: wait for it"]),
        (DEPLOY, "  next: ", ["  next:", "    toolkit deploy-app app"]),
        (DEPLOY, "", ["  toolkit deploy-app app"]),
        (
            ("see", DEPLOY, ", or wait"),
            "hint: ",
            ["hint: see:", "  toolkit deploy-app app", "or wait"],
        ),
        (
            ("did you mean", DEPLOY, "?"),
            "hint: ",
            ["hint: did you mean:", "  toolkit deploy-app app"],
        ),
        (
            ("app:", "not known", "(", RESUME, ")"),
            "note: ",
            ["note: app: not known:", "  toolkit resume"],
        ),
        (
            ("first deploy what uses it:", DEPLOY, "; then go on:", RESUME),
            "  next: ",
            [
                "  next: first deploy what uses it:",
                "    toolkit deploy-app app",
                "  then go on:",
                "    toolkit resume",
            ],
        ),
    ],
)
def test_for_people_each_command_stands_on_a_line_of_its_own(
    advice: Advice, before: str, lines: list[str]
) -> None:
    assert advice_lines(advice, before=before) == lines


def test_words_are_wrapped_and_commands_never() -> None:
    command = NextCommand("deploy", tuple(f"target-{number}" for number in range(20)))
    words = "see what it is, and whether somebody else has put it there in the meantime; then:"
    shown = advice_lines((words, command, "and look at it afterwards " * 5), PROD, 40, "  next: ")
    assert shown.count(f"    {shown_command(command, PROD)}") == 1
    assert max(len(line) for line in shown if "toolkit" not in line) <= 40


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (DEPLOY, "toolkit deploy-app app --rules r.toml --env prod --region us-east-1"),
        (
            NextCommand("smoke-test", options=("--only", "up")),
            "toolkit smoke-test --only up --rules r.toml --env prod --region us-east-1",
        ),
        (NextCommand("lock show", ("app",)), "toolkit lock show app --rules r.toml --env prod"),
        (RESUME, "toolkit resume --rules r.toml"),
        (NextCommand("rules check"), "toolkit rules check --rules r.toml"),
        (
            NextCommand("diff", ("A..B",), ("--rules", "FILE")),
            "toolkit diff A..B --rules FILE --env prod",
        ),
        (NextCommand("sandbox up"), "toolkit sandbox up"),
        (
            NextCommand("explain", ("-x",)),
            "toolkit explain --rules r.toml --env prod -- -x",
        ),
        (ShellCommand("aws s3 sync", ("dist", "s3://web")), "aws s3 sync dist s3://web"),
        (
            ShellCommand("rm -- {} && git -C {} status", ("a b", "{}", "c")),
            "rm -- 'a b' && git -C '{}' status c",
        ),
        (ShellCommand("rm {}"), "rm {}"),
    ],
)
def test_a_command_repeats_the_options_that_it_has(
    command: NextCommand | ShellCommand, line: str
) -> None:
    assert command_line(command, PROD) == line


def test_several_commands_run_each_only_if_the_one_before_went_well() -> None:
    checks = (NextCommand("smoke-test"), NextCommand("health-check"))
    assert commands_line(checks, SameOptions(env="prod")) == (
        "toolkit smoke-test --env prod && toolkit health-check --env prod"
    )


@given(HOSTILE, HOSTILE, HOSTILE)
@example("$(reboot)", "a\n::error::b", "--help")
def test_a_shell_reads_hostile_names_as_the_words_that_they_are(
    target: str, environment: str, rules: str
) -> None:
    command, same = NextCommand("deploy", (target,)), SameOptions(rules, environment)
    assert shlex.split(command_line(command, same)) == ["toolkit", *command_words(command, same)]


@given(HOSTILE)
@example("##vso[task]")
@example("a ::error::b")
def test_no_name_in_a_command_leaves_its_line_or_speaks_to_a_terminal(target: str) -> None:
    [shown] = advice_lines(NextCommand("deploy", (target,)), before="")
    assert shown.isprintable()
    assert "##vso[" not in shown
    assert " ::error::" not in shown


@pytest.mark.parametrize(
    "target",
    ["a b", "it's", "a\nb", "\x1b[2J", "##vso[x]", "a ::error::b", "é\u202e\u2028", "\\x41"],
)
def test_bash_reads_what_is_shown_as_the_very_words(target: str) -> None:
    shown = shown_command(ShellCommand("printf %s", (target,)))
    done = subprocess.run(["bash", "-c", shown], capture_output=True, check=True)
    assert done.stdout.decode() == target
    shown = shown_command(ShellCommand('printf %s "$(printf %sx {})" && true', (target,)))
    done = subprocess.run(["bash", "-c", shown], capture_output=True, check=True)
    assert done.stdout.decode() == f"{target}x"
