"""An app that is really built, and a registry that really has what was pushed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts.images.support import entries
from tests.support.aws import Endpoint
from tests.support.repo import Repo
from tests.support.run import Result, Toolkit

RULES = """\
version = 1
project = "shop"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[environments.prod]
account = "111111111111"
regions = ["eu-west-1"]
protected = true

[targets.web]
kind = "app"
cluster = "main"
service = "web"
repository = "backend"
build = { context = "backend" }

[targets.jobs]
kind = "stack"
stack = "Jobs"
template = "infra/jobs.json"

[[rules]]
name = "App"
paths = ["backend/**"]
deploy = ["web"]

[[rules]]
name = "Jobs"
paths = ["infra/**"]
deploy = ["jobs"]

[[rules]]
name = "Elsewhere"
paths = ["docs/**", "docker/**", ".gitmodules", ".gitattributes", ".gitignore", "lib/**"]
run = ["smoke-test"]
"""
FILES = {
    "backend/Dockerfile": "FROM scratch\nCOPY . /srv/\n",
    "backend/.dockerignore": "Dockerfile\n**/.git\n",
    "backend/main.py": "main\n",
    "infra/jobs.json": json.dumps({"Resources": {"Jobs": {"Type": "AWS::SQS::Queue"}}}),
}
PROD = ("--env", "prod", "--confirm", "prod")


class Shop:
    """Service `web` of a scripted AWS, and the repository that it is built from."""

    def __init__(
        self, folder: Path, endpoint: Endpoint, toolkit: Toolkit, patch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self.endpoint, self._toolkit = folder, endpoint, toolkit
        patch.setenv("TOOLKIT_BUILDER", "built-in")
        self.repo = Repo.make(folder / "repo", FILES, RULES)
        self.repository = endpoint.ecr.repository("backend")
        old = endpoint.ecr.image("backend", "old")
        endpoint.ecs.service("web", f"{self.repository.uri}@{old.digest}", cluster="main")

    def __call__(self, *args: str, repo: Repo | None = None) -> Result:
        """Run toolkit in the repository, or in a clone of it."""
        return self._toolkit((repo or self.repo).path, *args)

    def deploy(self, *args: str, repo: Repo | None = None) -> Mapping[str, str]:
        """Deploy the app; path -> text of the files in the image that the service now runs."""
        done = self("deploy", "web", "--yes", *args, repo=repo)
        assert done.code == 0, done.err + done.out
        return self.live()

    def refused(self, *args: str, repo: Repo | None = None) -> tuple[str, str]:
        """Try it; the error and the hint."""
        done = self("deploy", "web", "--yes", *args, repo=repo)
        assert done.code == 2, done.err + done.out
        before, _, hint = done.err.partition("hint: " if "hint: " in done.err else "hint:")
        return before.splitlines()[-1].removeprefix("error: "), " ".join(hint.split())

    def live(self) -> Mapping[str, str]:
        """Path -> text of the files in the image that the service runs."""
        manifest = json.loads(self.repository.images[self.digest].manifest)
        by_name: dict[str, str] = {}
        for layer in manifest["layers"]:
            for path, entry in entries(self.repository.blobs[layer["digest"]]).items():
                if entry.kind != "folder":
                    text = entry.content.decode("utf-8", "replace")
                    by_name[path.removeprefix("srv/")] = (
                        text if entry.kind == "file" else entry.link
                    )
        return by_name

    @property
    def digest(self) -> str:
        """That of the image which the service runs."""
        service = self.endpoint.ecs.find("web", "main")
        image = self.endpoint.ecs.definitions[service.definition].body["containerDefinitions"][0]
        return str(image["image"]).rpartition("@")[2]

    @property
    def tag(self) -> str:
        """The tag of that image, with COMMIT for the commit that is checked out."""
        [tag] = self.repository.images[self.digest].tags
        return tag

    def state(self, target: str = "web", *args: str, repo: Repo | None = None) -> str:
        """What `diff` says of a target."""
        return str(self("diff", "--json", *args, repo=repo).json["states"][target])

    def documents(self, *args: str) -> Any:
        """The answer of a command for programs."""
        return self(*args, "--json").json
