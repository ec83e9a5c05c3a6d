"""What a command does before it talks to AWS: say where that is, if it is not AWS itself, and ask what credentials need, such as a code.

Both come before anything else is drawn: a question must not stand under a progress line, and nobody's deadline runs meanwhile.
"""

import sys

from toolkit.cli import output
from toolkit.model import Place
from toolkit.ports.aws import endpoint
from toolkit.ports.git import Git
from toolkit.ports.world import World


def begin(
    world: World | None, git: Git | None, folder: str, rules: str | None, environment: str | None, profile: str | None = None,
    region: str | None = None, everywhere: bool = False, silent: bool = False, allowed: bool = False,
) -> None:  # fmt: skip
    """Do so for the places of an environment, or of all. `silent`: the answer is for a program;
    `allowed`: rules.toml decides where it differs from the trusted base. Raises RulesError, UsageError, CloudError.

    Costs nothing where AWS's files and variables are plain. `world` is None where no call is made.
    """
    if not endpoint.is_special():
        return
    places = _places(git, folder, rules, environment, profile, region, everywhere, allowed)
    elsewhere = sorted({found for place in places if (found := endpoint.everywhere(place.profile)) is not None})
    output.elsewhere("; ".join(elsewhere) or None, silent)
    if world is not None and endpoint.may_ask():
        for place in places:
            world.aws(place).sign_in()


def _places(
    git: Git | None, folder: str, rules: str | None, environment: str | None, profile: str | None, region: str | None, everywhere: bool,
    allowed: bool,
) -> tuple[Place, ...]:  # fmt: skip
    from toolkit.flow.rulebook import environment as chosen
    from toolkit.flow.trusted import load_trusted
    from toolkit.run.jobs import places

    known = load_trusted(folder, rules, git, allowed)
    every: list[str | None] = [*known.environments] or [None]
    names = every if everywhere else [chosen(environment, known)]
    found = [place for name in names for place in places(known.environments.get(name) if name else None, profile, region)]
    return tuple(dict.fromkeys(found))


def ask(question: str) -> str:
    """Ask on the terminal; the answer is not shown. Raises EOFError, KeyboardInterrupt."""
    from getpass import getpass

    return getpass(question)


def is_somebody_there() -> bool:
    """Whether a question would be seen and can be answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()
