"""A real git repository in two lines, the same commit ids every time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RULES = """\
version = 1
ignore = ["**/*.md"]

[targets.app]
kind = "app"
cluster = "c"
service = "s"
repository = "r"
estimate = "2m30s"
needs = ["fargate"]

[targets.api]
kind = "stack"
stack = "Api"
cdk = "cdk"
estimate = "1m30s"

[targets.fargate]
kind = "stack"
stack = "Fargate"
cdk = "cdk"
estimate = "9m"

[targets.infra]
kind = "group"
members = ["api", "fargate"]

[[rules]]
name = "App code"
paths = ["backend/src/**", "!backend/**/*.test.ts"]
deploy = ["app"]

[[rules]]
name = "Lambda"
paths = ["lambda/**"]
deploy = ["api"]

[[rules]]
name = "Environment"
paths = ["cdk/stacks/fargate_stack.py"]
deploy = ["fargate"]

[[rules]]
name = "Infrastructure"
paths = ["cdk/**"]
deploy = ["infra"]

[[rules]]
name = "Smoke tests"
paths = ["smoke/**"]
run = ["smoke-test"]
"""
"""The decision table of the design, short."""

_ENV = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


class Repo:
    """A repository with a working tree. Paths may be bytes, so that any name can be made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(
        cls, path: Path, files: Mapping[Any, str | bytes] | None = None, rules: str | None = RULES
    ) -> Repo:
        """A new repository; with files (and rules.toml) it has a first commit of them on `main`."""
        path.mkdir(parents=True, exist_ok=True)
        repo = cls(path)
        repo.git("init", "-q", "-b", "main")
        expected: dict[Any, str | bytes] = {**(files or {})}
        if rules is not None:
            expected["rules.toml"] = rules
        if expected:
            repo.write(expected)
            repo.commit("first")
        return repo

    def git(self, *args: str | bytes, given: bytes | None = None) -> str:
        """Run git; its output. Raises CalledProcessError."""
        done = subprocess.run(
            ["git", *args],
            cwd=self.path,
            env={**os.environ, **_ENV},
            input=given,
            check=True,
            capture_output=True,
        )
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def write(self, files: Mapping[Any, str | bytes]) -> None:
        """Write files, with their folders."""
        for name, content in files.items():
            path = os.path.join(os.fsencode(self.path), os.fsencode(name))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())

    def commit(
        self, message: str = "change", files: Mapping[Any, str | bytes] | None = None
    ) -> str:
        """Commit everything there is (after writing `files`); the commit's id."""
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    @property
    def head(self) -> str:
        """The id of the commit that is checked out."""
        return self.git("rev-parse", "HEAD")

    def clone(self, path: Path, *options: str) -> Repo:
        """A clone of it, with `origin`."""
        self.git("clone", "-q", *options, f"file://{self.path}", str(path))
        return Repo(path)
