"""The example's full deploy in the sandbox, its steps in parallel and one after the other; and its
stacks beside what `cdk deploy` takes for them, both from one assembly.

Node, and a Python with aws-cdk-lib as `python3`, have to be in PATH.
"""

import os
import shlex
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.sites import Cost

Row = tuple[str, str, str, str]

RUNS = 3
_FULL = ("deploy", "--all", "--yes", "--allow-broadening", "--adopt", "-q")
_STACKS = {"network": "Network", "api": "Api", "fargate": "Fargate"}
_RULES = """version = 1
project = "bench"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
"""
_TARGET = """[targets.{name}]
kind = "stack"
stack = "CarRental{stack}Stack"
cdk = "cdk"
"""
_RULE = """[[rules]]
name = "Stacks"
paths = ["**"]
deploy = ["network", "api", "fargate"]
"""
_APP = """import os, shutil
shutil.copytree({assembly!r}, os.environ["CDK_OUTDIR"], dirs_exist_ok=True)
"""


def rows(folder: Path, toolkit: Sequence[str], modules: Path) -> Iterator[Row]:
    """`modules` is a node_modules folder that has aws-cdk."""
    example, stacks, assembly = folder / "car-rental", folder / "stacks", folder / "assembly"
    with _sandbox(folder, toolkit) as env:
        synthesis = {**env, "CDK_OUTDIR": str(assembly), "CDK_CONTEXT_JSON": '{"suffix": ""}'}
        subprocess.run(["python3", "app.py"], cwd=example / "cdk", env=synthesis, check=True)
        _write_stacks(stacks, assembly)
        program = str(modules / "aws-cdk" / "bin" / "cdk")
        cdk = ["node", program, "deploy", "--all", "--concurrency", "4", "--app", str(assembly)]
        cdk += ["--require-approval", "never", "--no-version-reporting", "--no-notices"]
        ours = [*toolkit, "deploy", "--all", "--yes", "--allow-broadening", "-q"]
        measured = {
            "parallel": (example, [*toolkit, *_FULL]),
            "in turn": (example, [*toolkit, *_FULL, "--parallel", "1"]),
            "stacks": (stacks, ours),
            "cdk": (stacks, cdk),
        }
        for repo, command in (measured["parallel"], measured["stacks"]):
            # What is synthesized is kept: the first of them must not be the only one that waits.
            Cost().add(repo, env, [*command, "--dry-run"])
        costs = {name: Cost() for name in measured}
        for run in range(RUNS):
            # Each deploys into an empty sandbox, with no record of the one before.
            for name, (repo, command) in measured.items():
                reset = [*toolkit, "sandbox", "reset"]
                subprocess.run(reset, cwd=example, env=env, check=True, capture_output=True)
                own = {**env, "TOOLKIT_STATE_DIR": str(folder / f"state-{name}-{run}")}
                costs[name].add(repo, own, command)
    yield (
        "the example's full deploy in the sandbox, in parallel",
        str(costs["parallel"]),
        f"one after the other {costs['in turn']}: {_ratio(costs['parallel'], costs['in turn'])}",
        "",
    )
    yield (
        "the example's three stacks in the sandbox, from a synthesized assembly",
        str(costs["stacks"]),
        f"`cdk deploy --all --concurrency 4` {costs['cdk']}:"
        f" {_ratio(costs['stacks'], costs['cdk'])}",
        "",
    )


def _ratio(ours: Cost, theirs: Cost) -> str:
    wall = statistics.median(a / b for a, b in zip(ours.wall, theirs.wall, strict=True))
    return f"**{wall:.2f}** of its time"


@contextmanager
def _sandbox(folder: Path, toolkit: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """The example as a repository, and the environment of a sandbox for it."""
    example = folder / "car-rental"
    env = {
        "TOOLKIT_CACHE_DIR": str(Path(__file__).parents[1] / ".cache" / "toolkit"),
        **os.environ,
        "TOOLKIT_STATE_DIR": str(folder / "state"),
    }
    folder.mkdir(exist_ok=True)
    subprocess.run(
        [*toolkit, "sandbox", "example", str(example)], env=env, check=True, capture_output=True
    )
    up = [*toolkit, "sandbox", "up"]
    lines = subprocess.run(up, cwd=example, env=env, check=True, capture_output=True, text=True)
    try:
        for line in lines.stdout.splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            env[name] = "".join(shlex.split(value))
        yield env
    finally:
        subprocess.run(
            [*toolkit, "sandbox", "down"], cwd=example, env=env, check=True, capture_output=True
        )


def _write_stacks(repo: Path, assembly: Path) -> None:
    """A repository of the stacks alone, whose CDK app is synthesized already."""
    app = repo / "cdk"
    app.mkdir(parents=True)
    (app / "cdk.json").write_text('{"app": "python3 app.py"}')
    (app / "app.py").write_text(_APP.format(assembly=str(assembly)))
    targets = [_TARGET.format(name=name, stack=stack) for name, stack in _STACKS.items()]
    (repo / "rules.toml").write_text("".join((_RULES, *targets, _RULE)))
    git = ("git", "-c", "user.name=b", "-c", "user.email=b@b")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "stacks")):
        subprocess.run([*git, *words], cwd=repo, check=True)
