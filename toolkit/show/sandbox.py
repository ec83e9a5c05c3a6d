"""The sandbox: lines for a shell, its state for a person, documents for programs."""

from collections.abc import Iterable, Mapping
from shlex import quote as shell
from typing import Any, Protocol

from toolkit.show.text import quote


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
    """What a shell has to read to mean the sandbox."""
    return "\n".join(f"export {name}={shell(value)}" for name, value in env.items())


def unsets(names: Iterable[str]) -> str:
    """What a shell has to read to mean AWS again."""
    return "unset " + " ".join(names)


def state(url: str, since: str, made: Iterable[ProvisionedRow]) -> str:
    """Where it answers, since when, and what is in it."""
    rows = [
        f"  {one.what:<10} {quote(one.name)}  {one.account}"
        f" {one.region}{'  ' + one.url if one.url else ''}"
        for one in made
    ]
    return "\n".join(
        [
            f"the sandbox is up at {url} since {since}",
            *(rows or ["  nothing was made for a rules.toml"]),
        ]
    )


def document(verb: str, status: str, exit: int, **more: Any) -> dict[str, Any]:
    """The document of `toolkit sandbox VERB`."""
    return {"toolkit": 1, "command": f"sandbox {verb}", "status": status, "exit": int(exit), **more}


def rows(made: Iterable[ProvisionedRow]) -> list[dict[str, str]]:
    """What is in it, for a document."""
    names = ("environment", "account", "region", "what", "name", "url")
    return [{name: getattr(one, name) for name in names} for one in made]
