"""`toolkit init`, `rules import` and `doctor`, as a new user meets them."""

import shlex
import shutil
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.repo import RULES, Repo
from tests.support.run import ROOT, Toolkit

EXAMPLE = ROOT / "examples" / "car-rental"


WORKFLOW = """
on: {push: {branches: [main]}}
jobs:
  backend:
    steps:
      - uses: aws-actions/configure-aws-credentials@v4
        with: {aws-region: eu-west-1, role-to-assume: "arn:aws:iam::111111111111:role/deploy"}
      - uses: aws-actions/amazon-ecr-login@v2
      - run: |
          docker build -t $REGISTRY/car-rental-backend:$GITHUB_SHA backend
          docker push $REGISTRY/car-rental-backend:$GITHUB_SHA
          aws ecs update-service --cluster car-rental --service backend --force-new-deployment
  web:
    steps:
      - run: make dist && aws s3 sync dist s3://car-rental-web
        working-directory: frontend
  infra:
    steps:
      - run: cdk deploy --all
        working-directory: cdk
"""


@pytest.fixture
def unruled(tmp_path: Path) -> Repo:
    """The example application without its rules.toml."""
    folder = tmp_path / "car-rental"
    shutil.copytree(
        EXAMPLE,
        folder,
        ignore=shutil.ignore_patterns("dist", "cdk.out", "__pycache__", ".*_cache", "rules.toml"),
    )
    repo = Repo.make(folder, {".github/workflows/deploy.yml": WORKFLOW}, rules=None)
    repo.commit("first")
    return repo


def test_init_drafts_rules_that_send_changes_the_right_way(
    unruled: Repo, toolkit: Toolkit, snapshot: SnapshotAssertion
) -> None:
    assert toolkit(unruled.path, "init").out == snapshot
    assert toolkit(unruled.path, "rules", "check").code == 0
    unruled.commit("rules")
    for path, kind in (
        ("backend/src/car_rental/api.py", "app"),
        ("cdk/first_code/handler.py", "stack"),
        ("cdk/stacks/new_stack.py", "stack"),
        ("frontend/src/app.js", "site"),
    ):
        unruled.write({path: "new\n"})
        steps = toolkit(unruled.path, "diff", "--json", "HEAD").json["plan"]["steps"]
        expected = f"deploy-{kind}"
        assert [step["action"] for step in steps] == [expected], path
        unruled.git("clean", "-qfd")
        unruled.git("checkout", "-q", "--", ".")


def test_the_printed_command_commits_the_draft(unruled: Repo, toolkit: Toolkit) -> None:
    *_, command = toolkit(unruled.path, "init").out.splitlines()
    add, _, commit = command.strip().partition(" && ")
    for words in (shlex.split(add), shlex.split(commit)):
        assert words[0] == "git"
        unruled.git(*words[1:])
    assert unruled.git("status", "--porcelain") == ""
    assert unruled.git("show", "--format=", "--name-only", "HEAD").strip() == "rules.toml"


def test_init_never_replaces_a_file_unless_told(repo: Repo, toolkit: Toolkit) -> None:
    result = toolkit(repo.path, "init")
    assert (result.code, "exists already" in result.err) == (2, True)
    assert (repo.path / "rules.toml").read_text() == RULES
    assert toolkit(repo.path, "init", "--force").code == 0
    assert (repo.path / "rules.toml").read_text() != RULES


def test_init_to_the_screen_writes_nothing(unruled: Repo, toolkit: Toolkit) -> None:
    result = toolkit(unruled.path, "init", "--out", "-")
    assert result.out.startswith("#")
    assert "[[rules]]" in result.out
    assert not (unruled.path / "rules.toml").exists()


def test_init_in_a_repository_that_says_nothing_is_honest(
    tmp_path: Path, toolkit: Toolkit, snapshot: SnapshotAssertion
) -> None:
    repo = Repo.make(tmp_path / "plain", {"notes.txt": "x"}, rules=None)
    assert toolkit(repo.path, "init").out == snapshot


def test_doctor_finds_a_source_of_an_image_that_no_rule_knows(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    rules = RULES.replace('repository = "r"', 'repository = "r"\nbuild = { context = "backend" }')
    files = {
        "backend/Dockerfile": "FROM scratch\nCOPY src/ /src/\nCOPY settings.json /\n",
        "backend/src/a.py": "",
        "backend/settings.json": "",
    }
    repo = Repo.make(tmp_path / "repo", files, rules)
    result = toolkit(repo.path, "doctor")
    assert result.code == 1
    assert (
        "backend/Dockerfile:3: copies 1 file (such as backend/settings.json) that no rule sends to"
        " its app" in result.out
    )
    accepted = (
        'version = 1\naccept = [{ path = "backend/settings.json", reason = "baked in, never'
        ' read" }]'
    )
    repo.write({"rules.toml": rules.replace("version = 1", accepted)})
    assert toolkit(repo.path, "doctor").code == 0


def test_doctor_works_without_a_repository(tmp_path: Path, toolkit: Toolkit) -> None:
    result = toolkit(tmp_path, "doctor", "--json")
    assert (result.code, result.json["dockerfiles"]) == (0, None)
    assert {"toolkit", "python", "git"} <= {item["name"] for item in result.json["programs"]}


def test_import_reports_what_cannot_be_said_and_exits_with_four(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    (tmp_path / "filters.yml").write_text("api:\n  - 'api/**'\nodd:\n  - 'src/+(a|b)/x'\n")
    result = toolkit(tmp_path, "rules", "import", "filters.yml")
    assert result.code == 4
    assert "not imported: filters.yml: filter `odd`" in result.err
    assert 'paths = ["api/**"]' in result.out


def test_import_without_a_filter_is_told(tmp_path: Path, toolkit: Toolkit) -> None:
    (tmp_path / "ci.yml").write_text("on: push\njobs: {}\n")
    assert toolkit(tmp_path, "rules", "import", "ci.yml").code == 2


def test_import_never_replaces_a_file_unless_told(tmp_path: Path, toolkit: Toolkit) -> None:
    (tmp_path / "filters.yml").write_text("api: ['api/**']\n")
    (tmp_path / "rules.toml").write_text("mine")
    assert toolkit(tmp_path, "rules", "import", "filters.yml", "--out", "rules.toml").code == 2
    assert (tmp_path / "rules.toml").read_text() == "mine"
    assert (
        toolkit(tmp_path, "rules", "import", "filters.yml", "--out", "rules.toml", "--force").code
        == 0
    )


def test_doctor_looks_at_new_files_too(tmp_path: Path, toolkit: Toolkit) -> None:
    rules = RULES.replace('repository = "r"', 'repository = "r"\nbuild = { context = "backend" }')
    repo = Repo.make(
        tmp_path / "repo",
        {"backend/Dockerfile": "FROM scratch\nCOPY . /\n", "backend/src/a.py": ""},
        rules,
    )
    ignored = {"backend/.gitignore": "*.log\n.*\n", "backend/x.log": ""}
    accept = 'version = 1\naccept = [{ path = "backend/Dockerfile", reason = "r" }]'
    repo.write(
        {"rules.toml": rules.replace("version = 1", accept), "backend/new.txt": "", **ignored}
    )
    result = toolkit(repo.path, "doctor")
    assert (result.code, "copies 1 file (such as backend/new.txt)" in result.out) == (
        1,
        True,
    ), result.out


STACKS = """
version = 1
project = "p"
[targets.api]
kind = "stack"
stack = "Api"
template = "sam/template.yaml"
[[rules]]
name = "api"
paths = ["sam/**", "src/**"]
deploy = ["api"]
[[rules]]
name = "all"
paths = ["lib.txt"]
deploy = ["api"]
"""


def test_doctor_knows_the_images_that_templates_build(tmp_path: Path, toolkit: Toolkit) -> None:
    template = (
        "Resources: {A: {Type: AWS::Serverless::Function, Properties: {PackageType: Image},"
        " Metadata: {DockerContext: .., Dockerfile: Dockerfile}}}\n"
    )
    files = {
        "sam/template.yaml": template,
        "Dockerfile": "FROM x\nCOPY src lib.txt /\nCOPY setup.cfg /\n",
        **dict.fromkeys(("src/a", "lib.txt", "setup.cfg"), ""),
    }
    repo = Repo.make(tmp_path / "repo", files, STACKS)
    result = toolkit(repo.path, "doctor")
    assert "Dockerfile: built for api" in result.out
    assert (
        "Dockerfile:3: copies 1 file (such as setup.cfg) that no rule sends to its app"
        in result.out
    )
    assert (result.code, "Dockerfile:2" in result.out) == (1, False)


def test_doctor_tells_what_is_ignored_and_goes_into_an_image(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    rules = RULES.replace('repository = "r"', 'repository = "r"\nbuild = { context = "backend" }')
    rules = rules.replace(
        "version = 1", 'version = 1\naccept = [{ path = "backend/Dockerfile", reason = "r" }]'
    )
    assert 'ignore = ["**/*.md"]' in rules
    files = {
        "backend/Dockerfile": "FROM scratch\nCOPY src /src\n",
        "backend/src/prompt.md": "",
        "backend/README.md": "",
    }
    result = toolkit(Repo.make(tmp_path / "repo", files, rules).path, "doctor", "--json")
    assert result.code == 1
    (missed,) = result.json["uncovered"]
    assert (missed["example"], missed["files"], missed["ignored"]) == (
        "backend/src/prompt.md",
        1,
        True,
    )


SYNTH = """
import json, os, pathlib
out = pathlib.Path(os.environ["CDK_OUTDIR"])
out.mkdir(parents=True, exist_ok=True)
stacks = {}
for name in ("Net", "Orders-live"):
    (out / f"{name}.template.json").write_text('{"Resources": {}}')
    stacks[name] = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://111111111111/eu-west-1",
        "properties": {"templateFile": f"{name}.template.json"},
    }
(out / "manifest.json").write_text(json.dumps({"version": "36.0.0", "artifacts": stacks}))
open("ran", "w").close()
"""


def test_stacks_are_those_of_the_assembly_only_where_synth_is_asked_for(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    files = {
        "cdk/cdk.json": '{"app": "python3 app.py"}',
        "cdk/app.py": SYNTH,
        "broken/cdk.json": '{"app": "python3 broken.py"}',
        "broken/broken.py": "raise SystemExit('no access: password=hunter2-and-more')",
    }
    repo = Repo.make(tmp_path / "repo", files, rules=None)
    plain = toolkit(repo.path, "init", "--json").json
    assert not (repo.path / "cdk" / "ran").exists()
    assert plain["targets"] == ["broken", "cdk", "everything"]
    document = toolkit(repo.path, "init", "--json", "--synth", "--force").json
    assert sorted(document["targets"]) == ["broken", "everything", "net", "orders-live"]
    assert 'deploy = ["net", "orders-live"]' in document["rules"]
    assert 'account = "111111111111"' in document["rules"]
    (seen,) = [row for row in document["seen"] if row["where"] == "broken/cdk.json:1"]
    assert "could not be synthesized" in seen["what"]
    assert "no access: password=[redacted]" in seen["what"]
