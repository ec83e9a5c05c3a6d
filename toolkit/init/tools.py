"""Tools that deploy by themselves and are started as they are: a `command` target runs them."""

import re
from collections.abc import Mapping

from msgspec import Struct

from toolkit.init.command_words import Options
from toolkit.init.evidence import UNKNOWN


class Tool(Struct, frozen=True):
    """A tool: the subcommands that deploy, the options that tell one deployed thing from another,
    and what starts it where it is a package.
    """

    label: str
    deploys: tuple[tuple[str, ...], ...]
    identity: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()


class ToolDeploy(Struct, frozen=True):
    """A command of a tool that deploys: `words` are what a target runs, `folder` is where it says
    that it works, `identity` what it deploys there.
    """

    label: str
    words: tuple[str, ...]
    folder: str
    identity: str


TOOLS: Mapping[str, Tool] = {
    "serverless": Tool("serverless", (("deploy",),), ("-c", "--config"), runner=("npx",)),
    "sls": Tool("serverless", (("deploy",),), ("-c", "--config"), runner=("npx",)),
    "osls": Tool("serverless", (("deploy",),), ("-c", "--config"), runner=("npx",)),
    "sst": Tool("sst", (("deploy",),), runner=("npx",)),
    "cdktf": Tool("cdktf", (("deploy",),), runner=("npx",)),
    "arc": Tool("arc", (("deploy",),), runner=("npx",)),
    "copilot": Tool(
        "copilot",
        (("deploy",), ("svc", "deploy"), ("job", "deploy"), ("env", "deploy"), ("app", "deploy")),
        ("--name", "-n"),
    ),
    "terraform": Tool("terraform", (("apply",),)),
    "tofu": Tool("terraform", (("apply",),)),
    "terragrunt": Tool("terragrunt", (("apply",), ("run-all", "apply"), ("apply-all",))),
    "pulumi": Tool("pulumi", (("up",), ("update",)), ("--stack", "-s")),
    "helm": Tool("helm", (("upgrade",), ("install",))),
    "helmfile": Tool("helmfile", (("apply",), ("sync",))),
    "kubectl": Tool("kubectl", (("apply",), ("replace",))),
    "chalice": Tool("chalice", (("deploy",),), ("--stage",)),
    "zappa": Tool("zappa", (("update",), ("deploy",))),
    "ecspresso": Tool("ecspresso", (("deploy",),), ("--config",)),
    "kamal": Tool("kamal", (("deploy",),)),
    "flyctl": Tool("fly", (("deploy",),), ("--config", "-c", "--app", "-a")),
    "fly": Tool("fly", (("deploy",),), ("--config", "-c", "--app", "-a")),
    "vercel": Tool("vercel", (("deploy",), ("--prod",)), runner=("npx",)),
    "netlify": Tool("netlify", (("deploy",),), ("--site",), runner=("npx",)),
    "firebase": Tool("firebase", (("deploy",),), ("--only",), runner=("npx",)),
    "wrangler": Tool(
        "wrangler",
        (("deploy",), ("publish",), ("pages", "deploy"), ("pages", "publish")),
        ("--config", "-c"),
        runner=("npx",),
    ),
    "gcloud": Tool(
        "gcloud",
        (
            ("run", "deploy"),
            ("app", "deploy"),
            ("functions", "deploy"),
            ("beta", "run", "deploy"),
            ("beta", "functions", "deploy"),
            ("builds", "submit"),
        ),
    ),
    "railway": Tool("railway", (("up",),), ("--service",)),
    "eb": Tool("eb", (("deploy",),)),
    "amplify": Tool("amplify", (("push",), ("publish",)), runner=("npx",)),
    "ansible-playbook": Tool("ansible", ((),)),
    "cap": Tool("capistrano", (("production", "deploy"), ("staging", "deploy"))),
    "render": Tool("render", (("deploys", "create"),)),
    "supabase": Tool("supabase", (("functions", "deploy"), ("db", "push")), runner=("npx",)),
    "ng": Tool("ng", (("deploy",),), runner=("npx",)),
    "gh-pages": Tool("gh-pages", ((),), runner=("npx",)),
    "mkdocs": Tool("mkdocs", (("gh-deploy",),)),
}
"""Program -> what it does. `az`, `heroku` and others are seen by `SEEN`."""

SEEN: Mapping[tuple[str, ...], str] = {
    ("az", "webapp"): "Azure",
    ("az", "functionapp"): "Azure",
    ("az", "containerapp"): "Azure",
    ("aws", "elasticbeanstalk", "update-environment"): "Elastic Beanstalk",
    ("aws", "deploy", "create-deployment"): "CodeDeploy",
    ("aws", "amplify", "start-job"): "Amplify Hosting",
    ("aws", "amplify", "start-deployment"): "Amplify Hosting",
    ("aws", "apprunner", "start-deployment"): "App Runner",
    ("aws", "apprunner", "update-service"): "App Runner",
    ("aws", "codepipeline", "start-pipeline-execution"): "CodePipeline",
    ("aws", "codebuild", "start-build"): "CodeBuild",
    ("aws", "lightsail", "create-container-service-deployment"): "Lightsail",
    ("aws", "batch", "register-job-definition"): "AWS Batch",
    ("heroku", "container:release"): "Heroku",
    ("docker", "stack", "deploy"): "Docker Swarm",
    ("gcloud", "storage", "cp"): "Cloud Storage",
    ("gcloud", "storage", "rsync"): "Cloud Storage",
    ("gsutil", "cp"): "Cloud Storage",
    ("gsutil", "rsync"): "Cloud Storage",
    ("git", "push", "gh-pages"): "GitHub Pages",
    ("git", "push", "heroku"): "Heroku",
    ("npm", "publish"): "a package registry",
    ("oc", "apply"): "OpenShift",
    ("oc", "rollout"): "OpenShift",
    ("twine", "upload"): "a package registry",
}
"""Words of commands that deploy, the program first -> what takes it; toolkit has no target for it.
Other words may stand between them.
"""

RIFF_RAFF = "Riff-Raff"
ACTIONS_SEEN: Mapping[str, str] = {
    "azure/webapps-deploy": "Azure",
    "azure/functions-action": "Azure",
    "azure/static-web-apps-deploy": "Azure",
    "azure/k8s-deploy": "Kubernetes",
    "google-github-actions/deploy-cloudrun": "Cloud Run",
    "google-github-actions/deploy-appengine": "App Engine",
    "google-github-actions/deploy-cloud-functions": "Cloud Functions",
    "amondnet/vercel-action": "Vercel",
    "nwtgck/actions-netlify": "Netlify",
    "netlify/actions/cli": "Netlify",
    "peaceiris/actions-gh-pages": "GitHub Pages",
    "actions/deploy-pages": "GitHub Pages",
    "jamesives/github-pages-deploy-action": "GitHub Pages",
    "cloudflare/wrangler-action": "Cloudflare",
    "cloudflare/pages-action": "Cloudflare",
    "akhileshns/heroku-deploy": "Heroku",
    "firebaseextended/action-hosting-deploy": "Firebase",
    "einaregilsson/beanstalk-deploy": "Elastic Beanstalk",
    "johnbeynon/render-deploy-action": "Render",
    "appleboy/ssh-action": "a server, by SSH",
    "appleboy/scp-action": "a server, by SSH",
    "burnett01/rsync-deployments": "a server, by rsync",
    "pypa/gh-action-pypi-publish": "a package registry",
    "bobheadxi/deployments": "GitHub's deployments",
    "guardian/actions-riff-raff": RIFF_RAFF,
}
"""GitHub actions that deploy -> where to; toolkit has no target for it."""

DEPLOYS = re.compile(r"(?<![a-z])(?<!pre-)(?<!post-)(?:deploy|deployer|deployment)(?![a-z])")
"""What the name of an action, a workflow or a job has that deploys."""

IS_SECRET = re.compile(
    r"\{\w*(?:secret|token|passw|credential|api_?key|access_key|private_key)\w*\}"
)
"""A variable, by its name, that no rules.toml may hold."""

DEPLOY_WORD = re.compile(
    r"(?<![\w-])(?:aws|cdk|sam|deploy|docker|docker-compose|podman|nerdctl|buildah|ecs|ecs-deploy"
    rf"|{'|'.join(sorted(TOOLS))}|{'|'.join(sorted({start[0] for start in SEEN}))})(?![\w-])"
)
"""What stands in every text that deploys something."""

_FLAGS = (
    "-auto-approve",
    "--auto-approve",
    "--yes",
    "-y",
    "--install",
    "-i",
    "--wait",
    "--atomic",
    "--prod",
    "--verbose",
    "-v",
)
_CHANGES_NOTHING = {"--help", "--dry-run", "-destroy", "--destroy", "--preview", "--noDeploy"}
_OF_FOLDER = ("-chdir", "--cwd", "--source-dir", "--chdir")
_BY_FIRST_WORD = {"helm", "ansible", "gcloud"}
"""Tools whose first word behind the subcommand is what they deploy."""


def tool_deploy(program: str, words: tuple[str, ...]) -> ToolDeploy | None:
    """What a tool deploys with these words; None if it deploys nothing, or a part of it alone."""
    tool = TOOLS[program]
    options = Options(words, _FLAGS)
    plain = tuple(options.plain)
    starts = [
        start for start in tool.deploys if start in (plain[: len(start)], words[: len(start)])
    ]
    if not starts or any(map(_changes_nothing, words)):
        return None
    rest = plain[len(max(starts, key=len)) :]
    if tool.label == "serverless" and rest[:1] == ("function",):
        return None  # a part of the service
    identity = options.first(*tool.identity) if tool.identity else ""
    if tool.label in _BY_FIRST_WORD:
        identity = rest[0] if rest else ""
    elif tool.label == "kubectl":
        identity = options.first("-f", "--filename", "-k")
    own = tuple(word for word in words if not word.startswith("-chdir"))
    if tool.label == "terraform":
        own = _without_plan_file(own)
    runner = (*tool.runner, program) if program not in tool.runner else tool.runner
    return ToolDeploy(
        tool.label,
        tuple(map(_without_unknown, (*runner, *own))),
        options.first(*_OF_FOLDER),
        identity,
    )


def _changes_nothing(word: str) -> bool:
    """Whether a word says that nothing is deployed: `--dry-run`, `--dry-run=client`."""
    option, _, value = word.partition("=")
    return option in _CHANGES_NOTHING and value not in ("none", "false")


def _without_plan_file(words: tuple[str, ...]) -> tuple[str, ...]:
    """`terraform apply release.tfplan` needs a plan that an earlier step made: without it the same
    is planned again.
    """
    kept: list[str] = []
    is_value = False
    for word in words[1:]:
        if word.startswith("-") or is_value:
            kept.append(word)
        is_value = word in ("-var", "-var-file", "-target")
    for flag in ("-input=false", "-auto-approve"):
        if flag not in kept and f"-{flag}" not in kept:
            kept.append(flag)
    return ("apply", *kept)


def _without_unknown(word: str) -> str:
    """A tag that only a run would tell is nearly always the commit's."""
    return word.replace(UNKNOWN, "{commit}" if "tag" in word.lower() else "{argument}")
