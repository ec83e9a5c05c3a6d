"""The checks of a rules.toml with those of the files that it includes, and what is needed to carry
some of them out.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from toolkit.checks import secrets, select
from toolkit.checks.base import host_of
from toolkit.checks.values import BUILT_IN, Redactor, filled
from toolkit.errors import (
    FileProblem,
    Problem,
    Refused,
    RulesError,
    ToolkitError,
    Unreachable,
    UsageError,
    WrongAccount,
)
from toolkit.flow.rulebook import bytes_of, sorts
from toolkit.impact import checks as reading
from toolkit.impact import toml
from toolkit.impact.reading import nearest
from toolkit.model import Checks, Environment, Location, Provision, Rules
from toolkit.ports import files
from toolkit.ports.aws.client import check_account
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.net.policy import Policy, parse_instead
from toolkit.ports.ports import Ports
from toolkit.targets.base import JudgedSettings

CONNECT_TO, HOSTS = "TOOLKIT_CONNECT_TO", "TOOLKIT_PROBE_HOSTS"
"""What is said from outside of the repository: where hosts really are, and the only hosts that may
be asked.
"""
SECRETS_S = 60.0
"""How long secrets may take to be read, where nobody says anything else."""


def load(rules: Rules) -> Checks:
    """All checks, whichever file they are in; where the trusted base has others, those.

    Raises RulesError with every problem, FileProblem.
    """
    if rules.trust.checks is not None:
        return rules.trust.checks
    found = together(rules)
    _check(rules, found)
    return found


def together(rules: Rules) -> Checks:
    """The checks of rules.toml and of what it includes. Raises RulesError with what is wrong in all
    of these files, FileProblem where that is all that is wrong.
    """
    parts = {rules.file: rules.checks}
    folder = os.path.dirname(os.path.abspath(rules.file))
    wrong: list[RulesError | FileProblem] = []
    for name in rules.include:
        path = os.path.join(folder, name)
        try:
            if not files.is_inside(path, folder):
                raise FileProblem(path=path, reason="a link leads out of the folder of rules.toml")
            parts[path] = reading.load_file(bytes_of(path, folder), os.path.relpath(path), sorts())
        except (RulesError, FileProblem) as problem:
            wrong.append(problem)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise RulesError(rules.file, [one for problem in wrong for one in _problems(problem)])
    return reading.merge_checks(parts)


def _problems(wrong: RulesError | FileProblem) -> list[Problem]:
    """What is wrong with one file, with its name."""
    if isinstance(wrong, RulesError):
        return [Problem(one.line, one.key, one.message, wrong.file) for one in wrong.problems]
    return [Problem(None, "", wrong.facts["reason"], os.path.relpath(wrong.facts["path"]))]


def _check(rules: Rules, found: Checks) -> None:
    """What only shows when all files are read: names that stand for nothing, and circles. Raises
    RulesError with all of it.
    """
    variables = {name: one.vars for name, one in rules.environments.items()}
    problems: list[Problem] = []
    for where, key, message in reading.find_problems(found, variables, BUILT_IN):
        file, _, line = where.rpartition(":")
        problems.append(Problem(int(line), key, message, file))
    for name, target in rules.targets.items():
        for word in reading.resolve_words(_of(target.settings), found)[1]:
            words = (
                *found.checks,
                *{tag: None for check in found.checks.values() for tag in check.tags},
            )
            there = nearest(word, words) or (
                "there are none" if not words else f"there are {', '.join(words[:8])}"
            )
            at = toml.TomlLines(rules.text).line_of("targets", name, "checks")
            problems.append(
                Problem(
                    at, f"targets.{name}.checks", f"{word!r} is neither a check nor a tag; {there}"
                )
            )
    if problems:
        raise RulesError(rules.file, problems)


def _of(settings: object) -> tuple[str, ...]:
    return settings.checks if isinstance(settings, JudgedSettings) else ()


def deciding(settings: object, found: Checks) -> tuple[str, ...]:
    """The names of the checks that decide about a deploy with these settings. Raises Refused where
    one of them is gone: the settings may be those of a run that was begun with another rules.toml.
    """
    names, gone = reading.resolve_words(_of(settings), found)
    if gone:
        raise Refused(
            f"check {gone[0]!r}, which decides about it, is no longer there",
            "leave the checks out: --no-checks",
        )
    return names


class CheckSetup(Struct, frozen=True):
    """What checks are carried out with: where, at which addresses, under which policy, and the
    values that are known. `veil` hides what is secret of them. `environments` are all that there
    are.
    """

    environment: str | None
    locations: tuple[Location, ...]
    urls: tuple[str, ...]
    policy: Policy
    known: Mapping[str, str]
    veil: Redactor
    root: str
    environments: tuple[str, ...] = ()


def scene(
    rules: Rules,
    found: Checks,
    wanted: Sequence[str],
    environment: Environment | None,
    locations: Sequence[Location],
    ports: Ports,
    url: str | None = None,
    redact: Callable[[str], str] = str,
    seconds: float = SECRETS_S,
) -> CheckSetup:
    """Everything that these checks need, secrets included. `url` is what somebody said instead of
    the environment's `urls`; `redact` takes out of what is told what looks like a secret of
    anybody's. `seconds` is how long secrets may take to be read.

    Raises Refused for a secret that is not there, WrongAccount, CloudError.
    """
    variables = dict(environment.vars) if environment else {}
    _check_accounts(found, wanted, locations, ports, seconds)
    hidden = _secrets(found, wanted, locations, ports, variables, seconds)
    urls = (
        (url,)
        if url
        else (
            tuple(filled(environment.urls if environment else (), variables)) if environment else ()
        )
    )
    known = {
        **variables,
        **hidden,
        "environment": environment.name if environment else "",
    }
    return CheckSetup(
        environment=environment.name if environment else None,
        locations=tuple(locations),
        urls=urls,
        policy=policy(rules, found, environment, url),
        known=known,
        veil=Redactor(hidden, redact),
        root=os.path.dirname(os.path.abspath(rules.file)),
        environments=tuple(rules.environments),
    )


def _check_accounts(
    found: Checks,
    wanted: Sequence[str],
    locations: Sequence[Location],
    ports: Ports,
    seconds: float,
) -> None:
    """What is there in another account says nothing about this one, and its secrets are not for
    this one's hosts.

    Raises WrongAccount; what else is wrong, a check of AWS says itself, but nobody's secrets are
    read.
    """
    used = set[str]().union(*(found.checks[name].uses for name in wanted))
    secret = any(one.env is None for name, one in found.secrets.items() if name in used)
    if not secret and not any(found.checks[name].check_type == "aws" for name in wanted):
        return
    until = monotonic() + seconds
    for asked in [
        BackgroundTask(partial(_check_account, location, ports)) for location in locations
    ]:
        try:
            asked.within(until - monotonic())
        except WrongAccount:
            raise
        except (ToolkitError, Timeout) as problem:
            if secret:
                late = Unreachable(
                    call="secrets", reason=f"whose account it is was not known within {seconds:g} s"
                )
                raise problem if isinstance(problem, ToolkitError) else late from None


def _check_account(location: Location, ports: Ports) -> None:
    check_account(ports.aws(location), location)


def _secrets(
    found: Checks,
    wanted: Sequence[str],
    locations: Sequence[Location],
    ports: Ports,
    variables: Mapping[str, str],
    seconds: float,
) -> dict[str, str]:
    used = set[str]().union(*(found.checks[name].uses for name in wanted))
    asked = {}
    for name, secret in found.secrets.items():
        if name in used:
            read = partial(secrets.value, secret, ports.aws(locations[0]), variables)
            asked[name] = BackgroundTask(read)
    until = monotonic() + seconds
    try:
        return {name: one.within(until - monotonic()) for name, one in asked.items()}
    except Timeout:
        raise Unreachable(
            call="secrets", reason=f"those of the checks were not read within {seconds:g} s"
        ) from None


def policy(
    rules: Rules, found: Checks, environment: Environment | None, url: str | None = None
) -> Policy:
    """Which hosts probes may ask: what the outside says, else `hosts` of the environment, else
    those that rules.toml itself names.
    """
    variables = environment.vars if environment else {}
    instead = dict(parse_instead(os.environ.get(CONNECT_TO, "")))
    outside = _outside()
    said = (
        outside
        or (tuple(filled(environment.hosts, variables)) if environment else ())
        or _named(rules, found, environment)
    )
    if url is not None:
        host = host_of(url)
        said = (*said, host)
        instead |= _here(url, host)
    return Policy(said, environment.private if environment else False, instead)


def _outside() -> tuple[str, ...]:
    """The only hosts that may be asked, where somebody says so. Raises UsageError where that was
    said, and none.
    """
    said = os.environ.get(HOSTS)
    hosts = tuple((said or "").replace(",", " ").split())
    if said is not None and not hosts:
        raise UsageError(
            f"{HOSTS} is set, and names no host",
            f"name the hosts that may be asked, or unset {HOSTS}",
        )
    return hosts


def _here(url: str, host: str) -> dict[str, tuple[str, int]]:
    """Somebody who says an address of this machine on the command line means it."""
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    try:
        split = urlsplit(url)
        port = split.port or (443 if split.scheme == "https" else 80)
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return {}
    return {} if address.is_global else {host: (str(address), port)}


def _named(rules: Rules, found: Checks, environment: Environment | None) -> tuple[str, ...]:
    """The hosts that are written down for an environment: in its `urls`, in `health` of targets, in
    the addresses of checks.
    """
    from toolkit import checks

    variables = environment.vars if environment else {}
    hosts = {host_of(url) for url in filled(environment.urls if environment else (), variables)}
    regions = (environment.regions if environment else ()) or ("",)
    for target in rules.targets.values():
        if isinstance(target.settings, JudgedSettings):
            hosts |= {
                host_of(_put(url, {"region": region, **variables}))
                for url in target.settings.addresses
                for region in regions
            }
    for check in found.checks.values():
        hosts.add(_put(checks.check_type(check.check_type).host(check.settings), variables))
    return tuple(sorted(host for host in hosts if host and "{" not in host))


def _put(text: str, variables: Mapping[str, str]) -> str:
    """With the environment's variables; what is only known later is left, and such a host has to be
    in `hosts`.
    """
    for name, value in variables.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def chosen(
    found: Checks, only: Sequence[str], tags: Sequence[str], environment: str | None
) -> tuple[str, ...]:
    """The checks that are asked for, with what they need. Raises UsageError, Refused."""
    if not found.checks:
        raise Refused(
            "rules.toml has no checks",
            "write some: see docs/smoke-test.md, or `toolkit smoke-test --help`",
        )
    _know(only, tuple(found.checks), "check")
    _know(tags, tuple({tag: None for check in found.checks.values() for tag in check.tags}), "tag")
    wanted = [
        name
        for name, check in found.checks.items()
        if (not (only or tags)) or name in only or set(check.tags) & set(tags)
    ]
    names = select.for_environment(
        select.closure(wanted, found.checks, _waits(found)),
        found.checks,
        _waits(found),
        environment,
    )
    if not names:
        raise Refused(
            f"no check is for environment {environment}",
            "see `environments` of the checks in rules.toml",
        )
    return names


def tasks(found: Checks, names: Sequence[str], scene: CheckSetup) -> tuple[select.Task, ...]:
    """These checks, each where it is done. Raises Refused."""
    unchosen = scene.environments if scene.environment is None else None
    return select.tasks(
        names,
        found.checks,
        reading.capturing_checks(found.checks),
        scene.urls,
        scene.locations,
        unchosen,
    )


def of_deploy(found: Checks, names: Sequence[str], environment: str | None) -> tuple[str, ...]:
    """The checks of a deploy with what they need, in an environment; none is no error."""
    waits = _waits(found)
    return select.for_environment(
        select.closure(names, found.checks, waits), found.checks, waits, environment
    )


def _waits(found: Checks) -> dict[str, frozenset[str]]:
    """What has to be done for a check: what it needs, and what gives it values. What cleans up
    needs no more than its values.
    """
    givers = reading.capturing_checks(found.checks)
    return {
        name: reading.predecessors(replace(check, needs=()) if check.always else check, givers)
        for name, check in found.checks.items()
    }


def _know(words: Sequence[str], there: tuple[str, ...], what: str) -> None:
    for word in words:
        if word not in there:
            known = (", ".join(there[:8]) or "none") + (
                f" and {len(there) - 8} more" if len(there) > 8 else ""
            )
            raise UsageError(
                f"there is no {what} {word!r}", nearest(word, there) or f"there are: {known}"
            )


def wanted(found: Checks, there: Environment | None) -> list[Provision]:
    """What checks look for in AWS, for the sandbox to make; what cannot be made by its name alone
    is left to somebody.
    """
    variables = dict(there.vars) if there else {}
    fit = [
        check
        for check in found.checks.values()
        if check.check_type == "aws"
        and check.uses <= variables.keys()
        and (not check.environments or (there and there.name in check.environments))
    ]
    named = [filled(check.settings, variables).aws.partition(":") for check in fit]
    return [Provision(what, name) for what, _, name in named if what in MADE]


MADE = ("bucket", "table", "queue", "parameter")
"""What the sandbox can make by its name alone."""
