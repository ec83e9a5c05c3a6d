"""The recipes of docs/recipes.md, word for word, with the real programs."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.repo import Repo
from tests.support.run import ROOT, Result
from toolkit.exits import Exit

PAGE = (ROOT / "docs/recipes.md").read_text()
TOOLS = os.environ.get("TOOLKIT_TEST_DEPLOYERS", "")
"""A folder with helm, and the `node_modules` of the others."""
BLOCK = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEAD = 'version = 1\nenvironment = "dev"\n[environments.dev]\nvars = {stage = "dev"}\n'
TERRAFORM = """
terraform {
  backend "local" { path = "../state/network.tfstate" }
}
variable "size" { default = 1 }
resource "terraform_data" "queue" {
  input = var.size
  lifecycle {
    postcondition {
      condition     = self.input != 13
      error_message = "no queue has thirteen places"
    }
  }
}
"""
SERVERLESS = """service: api
provider: {name: aws, runtime: nodejs20.x, region: eu-west-1}
package: {excludeDevDependencies: false, patterns: ["!**", "hello.js"]}
functions: {hello: {handler: hello.main}}
resources: {Outputs: {Release: {Value: "${param:release}"}}}
"""
WRANGLER = """name = "edge"
main = "worker.js"
compatibility_date = "2026-01-01"
[env.dev]
"""
CHART = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  annotations: {release: {{ .Values.image.tag | quote }}}
"""

needs_tools = pytest.mark.skipif(not TOOLS, reason="scripts/test --all installs them")
needs_terraform = pytest.mark.skipif(shutil.which("terraform") is None, reason="no terraform")


def section(title: str) -> str:
    """The text of one recipe."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


class Recipe:
    """A repository with the rules of a recipe, and files that it is about."""

    def __init__(self, folder: Path, title: str, files: Mapping[str, str]) -> None:
        (self.rules,) = BLOCK.findall(section(title))
        self.repo = Repo.make(folder / "repo", {".gitignore": "node_modules\n", **files})
        self.repo.commit("rules", {"rules.toml": HEAD + self.rules})
        self.env = {"PATH": os.pathsep.join((f"{TOOLS}/bin", os.environ["PATH"]))}

    def link_packages(self) -> None:
        """Give the repository what `npm install` would."""
        (self.repo.path / "node_modules").symlink_to(f"{TOOLS}/node_modules")

    def __call__(self, *args: str, **env: str) -> Result:
        command = [sys.executable, "-m", "toolkit", *args]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.env, **env}
        done = subprocess.run(
            command, cwd=self.repo.path, env=environment, capture_output=True, timeout=300
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    @property
    def head(self) -> str:
        return self.repo.git("rev-parse", "HEAD").strip()


def output(result: Result) -> str:
    return result.out + result.err


def test_each_recipe_says_how_far_it_was_run() -> None:
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert len(titles) == 5
    for title in titles:
        assert re.search(r"^\*(Tested with|Not run here)", section(title), re.MULTILINE), title


@pytest.mark.parametrize("title", re.findall(r"^## (.*)$", PAGE, re.MULTILINE))
def test_the_rules_of_each_recipe_are_valid(title: str, tmp_path: Path) -> None:
    recipe = Recipe(tmp_path, title, {"README.md": "read me\n"})
    checked = recipe("rules", "check")
    assert checked.code == 0, output(checked)


@pytest.mark.slow("terraform")
@needs_terraform
def test_terraform(tmp_path: Path) -> None:
    (configuration,) = re.findall(r"```hcl\n(.*?)```", section("Terraform and OpenTofu"), re.DOTALL)
    ignored = {".gitignore": "state\n", "terraform/.gitignore": ".terraform*\n"}
    files = {"terraform/main.tf": configuration + TERRAFORM, **ignored}
    recipe = Recipe(tmp_path, "Terraform and OpenTofu", files)
    folder, state = recipe.repo.path / "terraform", recipe.repo.path / "state/network.tfstate"
    subprocess.run(["terraform", "init", "-input=false"], cwd=folder, check=True)

    dry = recipe("deploy", "network", "--dry-run")
    assert dry.code == 0, output(dry)
    assert "1 to add, 0 to change, 0 to destroy" in output(dry)
    assert not state.exists()
    first = recipe("deploy", "network", "--yes")
    assert first.code == 0, output(first)
    assert recipe.head in state.read_text()
    again = recipe("deploy", "network", "--yes")
    assert again.code == 0, output(again)
    assert "nothing to do" in output(again)

    wide = configuration + TERRAFORM.replace("= 1 }", "= 13 }")
    recipe.repo.commit("wide", {"terraform/main.tf": wide})
    failed = recipe("deploy", "network", "--yes")
    assert failed.code == Exit.FAILED, output(failed)
    assert "no queue has thirteen places" in output(failed)
    recipe.repo.commit("narrow", {"terraform/main.tf": configuration + TERRAFORM})
    fixed = recipe("deploy", "network", "--yes", "-v")
    assert fixed.code == 0, output(fixed)
    assert "what terraform sends" in output(fixed)


@pytest.mark.slow("helm")
@needs_tools
def test_helm(tmp_path: Path) -> None:
    files = {
        "charts/web/Chart.yaml": CHART,
        "charts/web/values.yaml": "image: {tag: none}\n",
        "charts/web/templates/web.yaml": DEPLOYMENT,
    }
    recipe = Recipe(tmp_path, "Helm", files)
    config = tmp_path / "kubeconfig"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: none\n"
        "clusters: [{name: none, cluster: {server: 'http://127.0.0.1:9'}}]\n"
        "contexts: [{name: none, context: {cluster: none, user: none}}]\nusers: [{name: none}]\n"
    )
    dry = recipe("deploy", "web", "--dry-run", KUBECONFIG=str(config))
    assert dry.code == 0, output(dry)
    assert f'release: "{recipe.head}"' in output(dry)
    failed = recipe("deploy", "web", "--yes", KUBECONFIG=str(config))
    assert failed.code == Exit.FAILED, output(failed)
    assert "cluster unreachable" in output(failed)


@pytest.mark.slow("serverless")
@needs_tools
def test_serverless(tmp_path: Path) -> None:
    files = {
        "api/serverless.yml": SERVERLESS,
        "api/hello.js": "exports.main = async () => ({});\n",
        "api/.gitignore": ".serverless\n",
    }
    recipe = Recipe(tmp_path, "Serverless", files)
    recipe.link_packages()
    keys = {"AWS_ACCESS_KEY_ID": "AKIA0000000000000000", "AWS_SECRET_ACCESS_KEY": "k" * 40}
    dry = recipe("deploy", "api", "--dry-run", **keys)
    assert dry.code == 0, output(dry)
    assert "Service packaged" in output(dry)
    template = recipe.repo.path / "api/.serverless/cloudformation-template-update-stack.json"
    assert recipe.head in template.read_text()
    recipe.repo.commit("broken", {"api/serverless.yml": SERVERLESS.replace("hello.main", "x.main")})
    failed = recipe("deploy", "api", "--yes", **keys)
    assert failed.code != 0
    assert "exit code 1" in output(failed)


@pytest.mark.slow("wrangler")
@needs_tools
def test_wrangler(tmp_path: Path) -> None:
    files = {
        "edge/wrangler.toml": WRANGLER,
        "edge/worker.js": 'export default { fetch() { return new Response("ok") } }\n',
        "edge/.gitignore": ".wrangler\n",
    }
    recipe = Recipe(tmp_path, "Wrangler", files)
    recipe.link_packages()
    # The port answers nobody, so that no account is ever asked.
    nobody = {"CLOUDFLARE_API_TOKEN": "t" * 40, "CLOUDFLARE_ACCOUNT_ID": "a" * 32}
    dry = recipe("deploy", "edge", "--dry-run", **nobody)
    assert dry.code == 0, output(dry)
    assert "--dry-run: exiting now" in output(dry)
    assert (recipe.repo.path / "edge/.wrangler/toolkit/worker.js").exists()
    (recipe.repo.path / "edge/worker.js").write_text("export default {\n")
    failed = recipe("deploy", "edge", "--yes", **nobody)
    assert failed.code != 0
    assert "exit code 1" in output(failed)
