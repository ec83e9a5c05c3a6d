"""`budget` of an environment: a run that takes longer says so, and nothing else changes."""

from pathlib import Path

import pytest

from tests.cli.test_command_target import FILES, RULES, CommandTeam, script
from tests.support.run import Toolkit

SLOW = {"infra/deploy.sh": script("sleep 1.2; printf %s $TOOLKIT_VERSION > ../state/live")}


def team_with(folder: Path, toolkit: Toolkit, budget: str) -> CommandTeam:
    rules = RULES.replace("[environments.dev]", f'[environments.dev]\nbudget = "{budget}"')
    return CommandTeam(folder, toolkit, {**FILES, **SLOW, "rules.toml": rules})


def test_a_run_that_takes_longer_than_its_budget_says_so(tmp_path: Path, toolkit: Toolkit) -> None:
    team = team_with(tmp_path, toolkit, "1s")
    done = team("deploy", "infra", "--yes")
    assert done.code == 0
    words = " ".join(done.out.split())
    assert "warning: the run took " in words
    assert ": more than the budget of dev, 1s" in words
    team.repo.commit("change", {"infra/new.tf": "x\n"})
    document = team("deploy", "infra", "--yes", "--json").json
    assert (document["status"], document["over_budget"]) == ("succeeded", {"dev": 1})


@pytest.mark.parametrize("budget", ["10m", "0s"])
def test_a_run_within_its_budget_says_nothing(
    tmp_path: Path, toolkit: Toolkit, budget: str
) -> None:
    team = team_with(tmp_path, toolkit, budget)
    assert "budget" not in team("deploy", "infra", "--yes").out
    team.repo.commit("change", {"infra/new.tf": "x\n"})
    assert team("deploy", "infra", "--yes", "--json").json["over_budget"] == {}


def test_a_budget_that_is_no_time_is_refused(tmp_path: Path, toolkit: Toolkit) -> None:
    answer = team_with(tmp_path, toolkit, "soon")("rules", "check")
    assert answer.code == 2
    assert 'environments.dev.budget: expected a duration such as "2m30s"' in answer.err
