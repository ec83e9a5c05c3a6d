"""Which few files make a plan wide: what `diff` would say without them."""

from pathlib import Path

from hypothesis import given

from tests.plan.strategies import CHANGES, systems
from tests.support.repo import Repo
from tests.support.run import Toolkit
from toolkit import flow
from toolkit.impact.touch import RuleBook, touch
from toolkit.model import Base, BaseChoice, BaseKind, Change, DiffResult, Head, Rules
from toolkit.plan import build
from toolkit.plan.counterfactuals import counterfactuals
from toolkit.plan.graph import Graph

FILES = {"backend/src/a.py": "1", "cdk/util.py": "1", "lambda/x.py": "1"}


def answer_for(rules: Rules, changes: tuple[Change, ...]) -> DiffResult:
    graph = Graph(rules.targets)
    impact = touch(changes, RuleBook(rules, graph.covered))
    plan = build.build(impact, rules, graph, flow.deploy_command)
    base = Base(BaseKind.PATHS, None, (), BaseChoice.PATHS_FROM)
    return DiffResult(base, Head(), None, rules, impact, plan, {})


@given(systems(), CHANGES.map(tuple))
def test_each_answer_is_the_plan_of_the_other_files(
    rules: Rules, changes: tuple[Change, ...]
) -> None:
    answer = answer_for(rules, changes)
    for candidate in counterfactuals(answer, flow.deploy_command):
        left = tuple(change for change in changes if change.path not in candidate.paths)
        graph = Graph(rules.targets)
        expected = set[str]()
        for step in answer_for(rules, left).plan.steps:
            expected |= graph.leaves(step.target)
        actual = set[str]()
        for step in candidate.plan.steps:
            actual |= graph.leaves(step.target)
        assert actual == expected
        assert candidate.plan.estimate_s < answer.plan.estimate_s
        assert candidate.plan.steps, "without all files there is no plan, which says nothing"


def test_the_file_that_widens_the_plan_most_comes_first(tmp_path: Path, toolkit: Toolkit) -> None:
    repo = Repo.make(tmp_path / "repo", FILES)
    repo.commit("all of it", dict.fromkeys(FILES, "2"))
    result = toolkit(repo.path, "explain", "--plan", "HEAD~1")
    assert result.out.splitlines() == [
        "The plan: infra, app, about 11m30s.",
        "Without cdk/util.py: api, app, about 2m30s.",
        "Without backend/src/a.py: api, fargate, about 9m.",
        "Without backend/src/a.py and cdk/util.py: api alone, about 1m30s.",
    ]
    document = toolkit(repo.path, "explain", "--plan", "HEAD~1", "--json").json
    assert document["plan"]["targets"] == ["infra", "app"]
    assert document["without"][0] == {
        "paths": ["cdk/util.py"],
        "dropped": ["fargate"],
        "plan": {
            "targets": ["api", "app"],
            "commands": ["toolkit deploy api app"],
            "estimate_s": 150,
        },
    }


def test_what_is_due_for_other_reasons_is_no_file_s_doing(tmp_path: Path, toolkit: Toolkit) -> None:
    repo = Repo.make(tmp_path / "repo", FILES)
    result = toolkit(repo.path, "explain", "--plan")
    assert "nothing" not in result.out
    assert "No 4 files or fewer widen it" in result.out.replace("\n ", "")


def test_nothing_is_due_where_nothing_changed(tmp_path: Path, toolkit: Toolkit) -> None:
    repo = Repo.make(tmp_path / "repo", FILES)
    assert toolkit(repo.path, "explain", "--plan", "HEAD").out == "Nothing is due.\n"


def test_explain_needs_a_path_or_a_plan(tmp_path: Path, toolkit: Toolkit) -> None:
    repo = Repo.make(tmp_path / "repo", FILES)
    result = toolkit(repo.path, "explain")
    assert result.code == 2
    assert "toolkit explain --plan" in result.err
    assert toolkit(repo.path, "explain", "--plan", "HEAD", "HEAD~1").code == 2
