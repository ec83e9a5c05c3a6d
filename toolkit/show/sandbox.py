"""The sandbox: lines for a shell, its state for a person, documents for programs."""

from collections.abc import Iterable, Mapping
from shlex import quote as shell
from typing import Any, Protocol

from toolkit.advice import NextCommand, ShellCommand
from toolkit.show.advice import advice_lines
from toolkit.show.text import quote

CDK = "cdk/requirements.txt"
"""The packages of the example's CDK app."""


class ProvisionedRow(Protocol):
    """One thing that was made (sandbox/provision.py)."""

    @property
    def environment(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...


def exports(env: Mapping[str, str]) -> str:
    """The lines that make a shell use the sandbox."""
    return "\n".join(f"export {name}={shell(value)}" for name, value in env.items())


def example(folder: str) -> str:
    """What to do with the example that was written."""
    enter = ShellCommand("cd {}", (f"./{folder}" if folder.startswith("-") else folder,))
    up = ShellCommand('eval "$(toolkit sandbox up)"')
    packages = ShellCommand("python3 -m venv cdk/.venv && cdk/.venv/bin/pip install -r {}", (CDK,))
    start = (enter, up, NextCommand("deploy-app", ("app",)))
    return "\n".join(
        (
            f"The example is in {quote(folder)}, a git repository with one commit.",
            *advice_lines(start, before="Deploy its app to the sandbox: "),
            *advice_lines(packages, before="Its three stacks need the packages of its CDK app: "),
        )
    )


def unsets(names: Iterable[str]) -> str:
    """The line that makes a shell use AWS again."""
    return "unset " + " ".join(names)


def state(url: str, since: str, provisioned: Iterable[ProvisionedRow]) -> str:
    """Where it answers, since when, and what is in it."""
    lines: list[str] = []
    for row in provisioned:
        text = f"  {row.what:<10} {quote(row.name)}  {row.account} {row.region}"
        if row.url:
            text += f"  {row.url}"
        lines.append(text)
    if not lines:
        lines = ["  nothing was created for a rules.toml"]
    return "\n".join([f"the sandbox is up at {url} since {since}", *lines])


def document(verb: str, status: str, exit: int, **more: Any) -> dict[str, Any]:
    """The document of `toolkit sandbox VERB`."""
    return {"toolkit": 1, "command": f"sandbox {verb}", "status": status, "exit": int(exit), **more}


def rows(provisioned: Iterable[ProvisionedRow]) -> list[dict[str, str]]:
    """What is in it, for a document."""
    return [
        {
            "environment": row.environment,
            "account": row.account,
            "region": row.region,
            "what": row.what,
            "name": row.name,
            "url": row.url,
        }
        for row in provisioned
    ]
