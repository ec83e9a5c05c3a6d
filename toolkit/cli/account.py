"""What a command does before it talks to AWS: say where that is, if it is not AWS itself, and ask
what credentials need, such as a code.

Both come before anything else is drawn: a question must not stand under a progress line, and
nobody's deadline runs meanwhile.
"""

import sys
from contextlib import suppress

from toolkit.cli import output
from toolkit.errors import CloudError
from toolkit.model import Location, Rules
from toolkit.ports.aws import endpoint
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports


def begin(
    ports: Ports | None,
    git: Git | None,
    folder: str,
    rules: str | None,
    environment: str | None,
    profile: str | None = None,
    region: str | None = None,
    everywhere: bool = False,
    silent: bool = False,
    allowed: bool = False,
    shared: bool = False,
) -> None:
    """Do so for the places of an environment, or of all. `silent`: the answer is for a program;
    `allowed`: rules.toml decides where it differs from the trusted base; `shared`: only the buckets
    of a `store` will be asked. Raises RulesError, UsageError, CloudError.

    Costs nothing where AWS's files and variables are plain. `world` is None where no call is made.
    """
    if not endpoint.is_special():
        return
    from toolkit.flow.trusted import load_trusted

    known = load_trusted(folder, rules, git, allowed)
    begin_with(known, ports, environment, profile, region, everywhere, silent, shared)


def begin_with(
    rules: Rules,
    ports: Ports | None,
    environment: str | None = None,
    profile: str | None = None,
    region: str | None = None,
    everywhere: bool = False,
    silent: bool = False,
    shared: bool = False,
) -> None:
    """The same with rules that are read already. Raises UsageError, CloudError."""
    if not endpoint.is_special():
        return
    locations = _locations(rules, environment, profile, region, everywhere)
    elsewhere = sorted(
        {
            found
            for location in locations
            if (found := endpoint.everywhere(location.profile)) is not None
        }
    )
    output.elsewhere("; ".join(elsewhere) or None, silent)
    if ports is not None and endpoint.may_ask():
        for location in locations:
            if location.store or not shared:
                ports.aws(location).sign_in()


def begin_with_runs(rules: Rules, ports: Ports, silent: bool = False) -> None:
    """The same for what looks at runs, which are of all environments. Credentials that do not work
    are told by whoever asks a bucket: this machine's own runs need none. Raises UsageError.
    """
    with suppress(CloudError):
        begin_with(rules, ports, everywhere=True, silent=silent, shared=True)


def _locations(
    rules: Rules, environment: str | None, profile: str | None, region: str | None, everywhere: bool
) -> tuple[Location, ...]:
    from toolkit.flow.rulebook import environment as chosen
    from toolkit.run.jobs import locations

    every: list[str | None] = [*rules.environments] or [None]
    names = every if everywhere else [chosen(environment, rules)]
    found = [
        location
        for name in names
        for location in locations(rules.environments.get(name) if name else None, profile, region)
    ]
    return tuple(dict.fromkeys(found))


def ask(question: str) -> str:
    """Ask on the terminal; the answer is not shown. Raises EOFError, KeyboardInterrupt."""
    from getpass import getpass

    return getpass(question)


def is_somebody_there() -> bool:
    """Whether a question would be seen and can be answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()
