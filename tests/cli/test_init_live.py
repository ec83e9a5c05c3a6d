"""What `init` drafts is what a deploy then does, against a real (emulated) AWS."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.assemblies import APP
from tests.support.repo import Repo
from tests.support.run import Toolkit
from tests.support.sandbox import Cloud
from toolkit.ports import process

pytestmark = pytest.mark.sandbox

JOB = """
on: {{push: {{branches: [main]}}}}
jobs:
  infra:
    steps:
      - uses: aws-actions/configure-aws-credentials@v4
        with: {{aws-region: eu-west-1, role-to-assume: "arn:aws:iam::111111111111:role/deploy"}}
      - run: {}
"""


@pytest.mark.slow("sweeps", keep=1)
@pytest.mark.parametrize(
    ("line", "places", "left_out"),
    [
        ("cd cdk && cdk deploy --all", {}, ""),
        ("cd cdk && cdk deploy '*' -c size=3", {}, ""),
        ("cd cdk && cdk deploy --all", {"Net": "aws://111111111111/us-east-1"}, "Net"),
    ],
)
def test_the_draft_of_a_whole_app_passes_its_check_and_a_dry_run(
    line: str,
    places: dict[str, str],
    left_out: str,
    tmp_path: Path,
    cloud: Cloud,
    toolkit: Toolkit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    which = process.which
    monkeypatch.setattr(process, "which", lambda name: None if name == "cdk" else which(name))
    monkeypatch.setenv("HOME", str(tmp_path))
    files = {
        ".github/workflows/deploy.yml": JOB.format(line),
        "cdk/cdk.json": json.dumps({"app": f"{sys.executable} app.py"}),
        "cdk/app.py": APP,
        "cdk/Net.stack.json": "{}",
        "cdk/Jobs.stack.json": "{}",
        "cdk/places.json": json.dumps(places),
    }
    repo = Repo.make(tmp_path / "shop", files, rules=None)
    assert toolkit(repo.path, "init").code == 0
    assert 'stacks = "*"' in (repo.path / "rules.toml").read_text()
    repo.commit("rules")
    assert toolkit(repo.path, "rules", "check").code == 0
    dry = toolkit(repo.path, "deploy", "--all", "--dry-run")
    assert dry.code == 0, dry.err
    steps = {name for name in ("Net", "Jobs") if f"cdk:{name}" in dry.out}
    assert steps == {"Net", "Jobs"} - {left_out}
    assert (f"no target covers stack {left_out}" in dry.out + dry.err) == bool(left_out)
