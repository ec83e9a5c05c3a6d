"""What a command does before it calls AWS: say where that is, if it is not AWS itself, and ask for
what credentials need, such as a code.

Both come before anything else is drawn: a question must not stand under a progress line, and no
deadline runs in the meantime.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from toolkit.cli import output
from toolkit.errors import CloudError
from toolkit.model import ProjectRequest, Rules
from toolkit.operations import Location
from toolkit.ports.aws import endpoint
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports


class SignIn(Struct, frozen=True, kw_only=True):
    """What a command is about to call: environments (None: the default one), or `everywhere`, all
    of them. `silent`: the answer is for a program. `shared`: only the buckets of a `store` are
    called.
    """

    environments: Sequence[str | None] = (None,)
    profile: str | None = None
    region: str | None = None
    everywhere: bool = False
    silent: bool = False
    shared: bool = False


def sign_in(
    request: SignIn,
    ports: Ports | None,
    git: Git | None,
    folder: str,
    rules_file: str | None,
    allowed: bool = False,
) -> None:
    """Do so with the rules of a folder. `allowed`: rules.toml decides where it differs from the
    trusted base. Raises RulesError, UsageError, CloudError.

    Costs nothing where AWS's files and variables are plain. `ports` is None where no call is made.
    """
    if not endpoint.is_special():
        return
    from toolkit.flow.trusted import load_trusted

    sign_in_with(request, load_trusted(folder, rules_file, git, allowed), ports)


def sign_in_for(
    project: ProjectRequest,
    git: Git | None,
    ports: Ports,
    everywhere: bool = False,
    silent: bool = False,
    shared: bool = False,
) -> None:
    """The same for the environment, profile and region of a request."""
    request = SignIn(
        environments=(project.environment,),
        profile=project.profile,
        region=project.region,
        everywhere=everywhere,
        silent=silent,
        shared=shared,
    )
    sign_in(request, ports, git, project.folder, project.rules, project.allowed)


def trusted_rules(
    project: ProjectRequest, git: Git | None, ports: Ports, silent: bool = False
) -> Rules:
    """The rules of a request, after the same for its environment, profile and region. Raises
    RulesError, UsageError, CloudError.
    """
    from toolkit.flow.trusted import load_trusted

    rules = load_trusted(project.folder, project.rules, git, project.allowed)
    request = SignIn(
        environments=(project.environment,),
        profile=project.profile,
        region=project.region,
        silent=silent,
    )
    sign_in_with(request, rules, ports)
    return rules


def sign_in_with(request: SignIn, rules: Rules, ports: Ports | None) -> None:
    """The same with rules that are read already. Raises UsageError, CloudError."""
    if not endpoint.is_special():
        return
    locations = _locations(request, rules)
    endpoints = {endpoint.everywhere(location.profile) for location in locations}
    named = sorted(name for name in endpoints if name is not None)
    output.set_endpoint("; ".join(named) or None, request.silent)
    if ports is not None and endpoint.may_ask():
        for location in locations:
            if location.store or not request.shared:
                ports.aws(location).sign_in()


def sign_in_for_runs(rules: Rules, ports: Ports, silent: bool = False) -> None:
    """The same for commands about runs, which are of all environments. Raises UsageError.

    Credentials that do not work are reported where a bucket is read: this machine's own runs need
    none.
    """
    with suppress(CloudError):
        sign_in_with(SignIn(everywhere=True, silent=silent, shared=True), rules, ports)


def _locations(request: SignIn, rules: Rules) -> tuple[Location, ...]:
    from toolkit.flow.rulebook import environment_name
    from toolkit.run.jobs import locations

    names: list[str | None] = [*rules.environments] or [None]
    if not request.everywhere:
        names = [environment_name(name, rules) for name in request.environments]
    every: list[Location] = []
    for name in names:
        settings = rules.environments.get(name) if name else None
        every += locations(settings, request.profile, request.region)
    return tuple(dict.fromkeys(every))


def ask(question: str) -> str:
    """Ask on the terminal; the answer is not shown. Raises EOFError, KeyboardInterrupt."""
    from getpass import getpass

    return getpass(question)


def can_ask() -> bool:
    """Whether a question would be seen and can be answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()
