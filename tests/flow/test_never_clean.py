"""P2 of the record: for random histories of deploys, reverts, rebases, squashes, clones,
environments, endpoints and failures, `diff` never calls a target clean whose deployed content
differs, and never one due whose content and settings are those that were deployed.

The oracle knows nothing of git: it keeps the bytes that each deploy took.
"""

import random
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.modes import by_mode
from tests.support.record import KnownAws
from tests.support.repo import Repo
from toolkit.changes import detect, fingerprint
from toolkit.flow.compare import DiffRequest, diff
from toolkit.flow.recorded_bases import records_reader
from toolkit.flow.rulebook import load_rules, path_owners, rules_path, target_settings
from toolkit.flow.stores import store_for
from toolkit.operations import Location
from toolkit.ports.clock import SystemClock
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record, open_ledger

RULES = """\
version = 1
project = "town"
environment = "dev"
unmatched = "warn"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
vars = {{ size = "{dev}" }}

[environments.prod]
account = "222222222222"
regions = ["eu-west-1"]
vars = {{ size = "{prod}" }}

[targets.a]
kind = "app"
cluster = "c"
service = "a"
repository = "a"
env = {{ SIZE = "{{size}}" }}

[targets.b]
kind = "app"
cluster = "c"
service = "b"
repository = "b"

[[rules]]
name = "a"
paths = ["a/**", "both/**"]
deploy = ["a"]

[[rules]]
name = "b"
paths = ["b/**", "both/**"]
deploy = ["b"]
"""
TARGETS = {"a": ("a", "both"), "b": ("b", "both")}
ENDPOINTS = ("", "http://127.0.0.1:4566")
ENVIRONMENTS = {"dev": "111111111111", "prod": "222222222222"}

Key = tuple[str, str, str]


class RandomTeam:
    """A remote, a clone of it, one state folder, and what is really live."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        self.folder, self.patch, self.random = folder, monkeypatch, random.Random(seed)
        self.patch.setenv("TOOLKIT_STATE_DIR", str(folder / "state"))
        self.sizes = {"dev": "1", "prod": "1"}
        self.origin = Repo.make(
            folder / "origin", {"a/1": "1", "b/1": "1", "both/1": "1", "none/1": "1"}, self.rules()
        )
        self.origin.git("config", "receive.denyCurrentBranch", "ignore")
        self.repo = self.origin.clone(folder / "clone")
        self.count, self.clones = 0, 0
        self.live: dict[Key, tuple[dict[str, bytes], str] | None] = {}

    def rules(self) -> str:
        return RULES.format(**self.sizes)

    def content(self, target: str) -> dict[str, bytes]:
        """The target's files as they lie there."""
        return {
            str(path.relative_to(self.repo.path)): path.read_bytes()
            for folder in TARGETS[target]
            for path in sorted((self.repo.path / folder).rglob("*"))
            if path.is_file()
        }

    def edit(self, *more: str) -> None:
        """Not of a file that no rule knows: while it is not committed, it may be in any build, and
        so makes all of them due.
        """
        self.count += 1
        folder = self.random.choice(("a", "b", "both", *more))
        self.repo.write({f"{folder}/{self.random.randint(1, 3)}": f"{self.random.randint(1, 3)}"})

    def commit(self) -> None:
        self.edit("none")
        self.repo.commit(f"change {self.count}")

    def resize(self) -> None:
        name = self.random.choice(("dev", "prod"))
        self.sizes[name] = str(self.random.randint(1, 3))
        self.repo.write({"rules.toml": self.rules()})
        self.repo.commit(f"size of {name}")

    def tidy(self) -> None:
        """Uncommitted files away."""
        self.repo.git("add", "-A")
        self.repo.git("reset", "-q", "--hard")
        text = (self.repo.path / "rules.toml").read_text()
        self.sizes = {
            name: text.split(f"[environments.{name}]")[1].split('size = "')[1][0]
            for name in self.sizes
        }

    def revert(self) -> None:
        self.tidy()
        if int(self.repo.git("rev-list", "--count", "HEAD")) > 1:
            done = subprocess.run(
                ["git", "-c", "user.name=A", "-c", "user.email=a@b", "revert", "--no-edit", "HEAD"],
                cwd=self.repo.path,
                capture_output=True,
            )
            if done.returncode:
                self.repo.git("reset", "-q", "--hard")
        self.tidy()

    def amend(self) -> None:
        """As a rebase does: the same content under another commit."""
        self.repo.git(
            "commit", "-q", "--amend", "--allow-empty", "-m", f"again {self.random.random()}"
        )

    def squash(self) -> None:
        self.tidy()
        many = int(self.repo.git("rev-list", "--count", "HEAD"))
        back = min(self.random.randint(1, 3), many - 1)
        if back > 0:
            self.repo.git("reset", "-q", "--soft", f"HEAD~{back}")
            self.repo.git("commit", "-q", "--allow-empty", "-m", f"squashed {self.random.random()}")

    def older(self) -> None:
        self.tidy()
        many = int(self.repo.git("rev-list", "--count", "HEAD"))
        self.repo.git(
            "checkout", "-q", "--detach", f"HEAD~{self.random.randint(0, min(many - 1, 3))}"
        )
        self.tidy()

    def orphan(self) -> None:
        """A rewritten mainline: the same files, and no history."""
        self.tidy()
        self.repo.git("checkout", "-q", "--orphan", f"rewritten{self.random.random()}")
        self.repo.git("commit", "-q", "-m", f"all of it {self.random.random()}")

    def collect(self) -> None:
        """What no branch holds is gone."""
        self.repo.git("reflog", "expire", "--expire=now", "--all")
        self.repo.git("gc", "-q", "--prune=now")

    def clone(self, *options: str) -> None:
        self.tidy()
        self.repo.git("push", "-q", "--force", "origin", "HEAD:refs/heads/main")
        self.clones += 1
        self.repo = self.origin.clone(
            self.folder / f"clone{self.clones}", "--branch=main", *options
        )

    def shallow(self) -> None:
        self.clone("--depth=1")

    def location(self) -> tuple[str, str]:
        return self.random.choice(tuple(ENVIRONMENTS)), self.random.choice(ENDPOINTS)

    def ports(self, endpoint: str) -> Ports:
        if endpoint:
            self.patch.setenv("AWS_ENDPOINT_URL", endpoint)
        else:
            self.patch.delenv("AWS_ENDPOINT_URL", raising=False)
        root = str(self.repo.path)
        return Ports(root, root, SystemClock(), lambda profile, region: KnownAws(profile, region))

    def deploy(self, verdict: str = "succeeded") -> None:
        environment, endpoint = self.location()
        target = self.random.choice(tuple(TARGETS))
        ports, git = self.ports(endpoint), Git.open(str(self.repo.path))
        rules = load_rules(str(self.repo.path), None, git)
        by_name = target_settings(rules, environment)
        owners = fingerprint.PathOwners(path_owners(rules, rules_path(rules, git)))
        paths = detect.look(git).paths
        version = fingerprint.versions(by_name, owners, git, paths)[target]
        location = Location(environment, "eu-west-1", ENVIRONMENTS[environment])
        store = store_for(rules, ports, None)
        self.count += 1
        record = Record(
            target,
            environment,
            "eu-west-1",
            version.name,
            version.commit,
            version.fingerprint,
            f"20261120-{self.count:06}-aaaa",
            "now",
            verdict,
            account=location.account,
            endpoint=store.endpoint,
            settings=version.settings,
            unsure=verdict == "failed",
        )
        open_ledger(store, location, ports).put(replace(record))
        key = (environment, endpoint, target)
        taken = (self.content(target), self.sizes[environment] if target == "a" else "")
        self.live[key] = taken if verdict == "succeeded" else None

    def fail(self) -> None:
        self.deploy("failed")

    def check(self) -> None:
        """What `diff` says of every target, in every environment, of every endpoint."""
        for environment in ENVIRONMENTS:
            for endpoint in ENDPOINTS:
                ports = self.ports(endpoint)
                request = DiffRequest(str(self.repo.path), environment=environment)
                answer = diff(
                    request,
                    Git.open(str(self.repo.path)),
                    records_reader(ports, lambda words: None),
                )
                planned = {step.target for step in answer.plan.steps}
                for target in TARGETS:
                    live = self.live.get((environment, endpoint, target))
                    now = (self.content(target), self.sizes[environment] if target == "a" else "")
                    where = (
                        environment,
                        endpoint,
                        target,
                        answer.states[target],
                        answer.plan.steps,
                    )
                    if live is None or live != now:
                        assert answer.states[target] != "clean", where
                        assert target in planned, where
                    else:
                        assert answer.states[target] == "clean", where


EXAMPLES = by_mode(2, 30, 500)

STEPS = (
    "deploy",
    "deploy",
    "deploy",
    "fail",
    "edit",
    "commit",
    "commit",
    "resize",
    "revert",
    "amend",
    "squash",
    "older",
    "orphan",
    "collect",
    "clone",
    "shallow",
)


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(st.sampled_from(STEPS), min_size=3, max_size=10), st.integers(0, 1 << 16))
def test_a_target_is_clean_exactly_where_its_deployed_content_is_what_is_here(
    steps: list[str], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        team = RandomTeam(Path(folder), patch, seed)
        team.deploy()
        for step in steps:
            getattr(team, step)()
            team.check()
