"""The lines of steps' logs: whole where a step has failed, or with -v; with --stream, at once."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.test_command_target import FILES, RULES, CommandTeam, script
from tests.support.run import ROOT, Toolkit
from toolkit.cli.deploy_options import Detail
from toolkit.cli.progress import LONGEST_LOG, PlainProgress
from toolkit.operations import Outcome, Verdict
from toolkit.run.events import LogLine, RunEvent, StepEnded

SECRET = "a-secret-that-nobody-has-to-see"
TALKS = {
    "rules.toml": RULES.replace('estimate = "10s"', 'estimate = "10s"\nenv = ["DEPLOY_TOKEN"]'),
    "infra/deploy.sh": script(
        'echo "first line"; echo "with $DEPLOY_TOKEN"\n'
        "if [ -e ../state/slow ]; then sleep 60; fi\n"
        '[ ! -e ../state/broken ]\nprintf %s "${1:-$TOOLKIT_VERSION}" > ../state/live'
    ),
}


@pytest.fixture
def team(tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> CommandTeam:
    monkeypatch.setenv("DEPLOY_TOKEN", SECRET)
    return CommandTeam(tmp_path, toolkit, {**FILES, **TALKS})


def index(lines: Sequence[str], text: str) -> int:
    """Which line it is. Raises ValueError for none."""
    return list(lines).index(text)


def test_the_log_of_a_step_that_went_well_is_not_shown(team: CommandTeam) -> None:
    done = team("deploy", "infra", "--yes")
    assert (done.code, "first line" in done.err + done.out) == (0, False)


def test_the_log_of_a_step_that_has_failed_is_shown_before_how_it_ended(team: CommandTeam) -> None:
    (team.state / "broken").touch()
    done = team("deploy", "infra", "--yes")
    assert done.code == 1
    lines = done.err.splitlines()
    first = index(lines, "[infra] | first line")
    assert lines[first + 1] == "[infra] | with {DEPLOY_TOKEN}"
    assert lines[-1].startswith("[infra] failed")
    assert SECRET not in done.err + done.out


def test_with_v_the_log_of_each_step_is_shown_whole_once_it_has_ended(team: CommandTeam) -> None:
    done = team("deploy", "infra", "--yes", "-v")
    lines = done.err.splitlines()
    assert lines[-3:-1] == ["[infra] | first line", "[infra] | with {DEPLOY_TOKEN}"]
    assert lines[-1].startswith("[infra] done")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_stream_has_each_line_at_once_in_its_place_and_without_secrets(
    team: CommandTeam, as_json: bool
) -> None:
    done = team("deploy", "infra", "--yes", "--stream", *(["--json"] if as_json else []))
    lines = done.err.splitlines()
    first = index(lines, "[infra] | first line")
    assert lines[first + 1] == "[infra] | with {DEPLOY_TOKEN}"
    assert lines[first - 1] == "[infra] running ./deploy.sh"
    assert SECRET not in done.err + done.out
    if as_json:
        assert (done.json["status"], "first line" in done.out) == ("succeeded", False)


def test_a_stream_does_not_wait_for_the_end_of_the_step(team: CommandTeam) -> None:
    (team.state / "slow").touch()
    child = subprocess.Popen(
        [sys.executable, "-m", "toolkit", "deploy", "infra", "--yes", "--stream"],
        cwd=team.repo.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stderr is not None
        assert any(text == "[infra] | first line\n" for text in child.stderr)
        assert child.poll() is None
    finally:
        child.terminate()
        child.communicate()


@pytest.mark.parametrize(
    "command", [("rollback", "infra"), ("resume",), ("deploy-app",), ("deploy-stack",)]
)
def test_each_command_that_deploys_streams(team: CommandTeam, command: tuple[str, ...]) -> None:
    assert "--stream " in team(*command, "--help").out


def test_a_stream_of_nothing_is_refused(team: CommandTeam) -> None:
    done = team("deploy", "infra", "--yes", "--stream", "-q")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "error: --stream and --quiet cannot be combined",
    )


# --- the lines themselves

ENDED = StepEnded(Outcome("web", "web", Verdict.FAILED, log=("two", "three")))


def told(capsys: pytest.CaptureFixture[str], listener: PlainProgress, *events: RunEvent) -> str:
    """What it writes."""
    for event in events:
        listener.take(event)
    return capsys.readouterr().err


def test_the_lines_of_several_steps_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    listener = PlainProgress(["web", "network"], Detail.STREAM)
    assert told(capsys, listener, LogLine("web", "one"), LogLine("network", "two")) == (
        "[web]     | one\n[network] | two\n"
    )


def test_with_colours_each_step_has_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    listener = PlainProgress(["web", "api"], Detail.STREAM)
    assert told(capsys, listener, LogLine("web", "one"), LogLine("api", "two")) == (
        "\x1b[36m[web]\x1b[0m | one\n\x1b[35m[api]\x1b[0m | two\n"
    )


def test_no_line_of_a_log_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    for detail in (Detail.STREAM, Detail.LOGS):
        listener = PlainProgress(["web"], detail)
        words = told(capsys, listener, LogLine("web", "a\x1b[2J\nb"), ENDED)
        assert words.splitlines()[0] == "[web] | a\\x1b[2J\\nb"


def test_a_whole_log_comes_when_its_step_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    listener = PlainProgress(["web"], Detail.LOGS)
    assert told(capsys, listener, LogLine("web", "one")) == ""
    ended = StepEnded(Outcome("web", "web", Verdict.SUCCEEDED))
    assert told(capsys, listener, ended) == "[web] | one\n[web] done\n"


def test_what_the_answer_says_of_a_log_is_not_said_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [LogLine("web", text) for text in ("one", "two", "three")]
    listener = PlainProgress(["web"], Detail.PHASES)
    assert told(capsys, listener, *lines, ENDED).splitlines()[:-1] == ["[web] | one"]


def test_of_a_long_log_the_last_lines_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [LogLine("web", f"line {number}") for number in range(LONGEST_LOG + 5)]
    listener = PlainProgress(["web"], Detail.PHASES)
    shown = told(capsys, listener, *lines, ENDED).splitlines()
    assert shown[0] == "[web] | (5 earlier lines only in the log)"
    assert shown[1] == "[web] | line 5"
    assert len(shown) == LONGEST_LOG + 2
