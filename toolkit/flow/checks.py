"""The checks of a rules.toml with those of the files that it includes, and what is needed to run
some of them: addresses, secrets and the hosts that may be asked.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import NextCommand
from toolkit.checks.base import host_of
from toolkit.checks.values import BUILT_IN, Redactor
from toolkit.config import checks as reading
from toolkit.config.reader import nearest
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
from toolkit.flow.rulebook import (
    check_types,
    read_rules_bytes,
    variables_of,
)
from toolkit.formats import toml
from toolkit.formats.variables import as_text, fill_check
from toolkit.model import Checks, CheckTypeName, Environment, Rules
from toolkit.operations import Location, Provision, ProvisionKind
from toolkit.ports import files
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.targets.base import JudgedSettings

if TYPE_CHECKING:  # to know the checks is not to run them
    from toolkit.checks.select import Task
    from toolkit.ports.net.policy import Policy
    from toolkit.ports.ports import Ports

CONNECT_TO, HOSTS = "TOOLKIT_CONNECT_TO", "TOOLKIT_PROBE_HOSTS"
"""Settings from outside of the repository: where hosts really are, and the only hosts that may be
asked.
"""
SECRETS_S = 60.0
"""How long secrets may take to be read where the caller has no deadline, in seconds."""


def load_checks(rules: Rules) -> Checks:
    """All checks, whichever file they are in; where the trusted base has others, those.

    Raises RulesError with every problem, FileProblem.
    """
    if rules.trust.checks is not None:
        return rules.trust.checks
    checks = all_checks(rules)
    _refuse_problems(rules, checks)
    return checks


def inspect_checks(rules: Rules) -> None:
    """All that can be said of checks without running them: also what goes wrong only in some of the
    environments. Raises RulesError, FileProblem.
    """
    checks = load_checks(rules)
    problems = list(reading.find_missing_checks(checks, rules.environments))
    if problems:
        raise RulesError(rules.file, problems)


def all_checks(rules: Rules) -> Checks:
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
            parts[path] = reading.load_file(
                read_rules_bytes(path, folder), os.path.relpath(path), check_types()
            )
        except (RulesError, FileProblem) as problem:
            wrong.append(problem)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        problems: list[Problem] = []
        for error in wrong:
            problems += _problems(error)
        raise RulesError(rules.file, problems)
    return with_files(reading.merge_checks(parts), folder, rules.file)


def with_files(checks: Checks, folder: str, file: str) -> Checks:
    """These checks with the files that they name, read from the folder of rules.toml. Raises
    RulesError, for `file`, with what is wrong with them.
    """
    contents: dict[str, bytes] = {}
    problems: list[Problem] = []
    for check in checks.checks.values():
        for name in check.files:
            try:
                contents[name] = _file_of_check(name, folder)
            except FileProblem as problem:
                message = f"{name}: {problem.facts['reason']}"
                where = check.where
                problems.append(Problem(where.line, f"checks.{check.name}", message, where.file))
    if problems:
        raise RulesError(file, problems)
    return reading.with_contents(checks, contents, check_types(), file)


def _file_of_check(name: str, folder: str) -> bytes:
    """What a file holds. A link is refused, wherever it leads: git has another content for it.
    Raises FileProblem.
    """
    path = os.path.join(folder, name)
    if files.within(folder, name) != os.path.normpath(name):
        raise FileProblem(path=path, reason="it is a link, or lies behind one")
    data = files.read_inside(folder, name, reading.MOST_FILE)
    if len(data) > reading.MOST_FILE:
        reason = f"it has more than {reading.MOST_FILE:,} bytes, which are the most"
        raise FileProblem(path=path, reason=reason)
    return data


def _problems(error: RulesError | FileProblem) -> list[Problem]:
    """The problems of one file, with its name."""
    if isinstance(error, RulesError):
        return [
            Problem(problem.line, problem.key, problem.message, error.file)
            for problem in error.problems
        ]
    return [Problem(None, "", error.facts["reason"], os.path.relpath(error.facts["path"]))]


def _refuse_problems(rules: Rules, checks: Checks) -> None:
    """Problems that only show when all files are read: names that stand for nothing, and circles.
    Raises RulesError with all of them.
    """
    variables = {name: environment.vars for name, environment in rules.environments.items()}
    problems = list(reading.find_problems(checks, variables, BUILT_IN))
    words = (*checks.checks, *_tags(checks))
    for name, target in rules.targets.items():
        for word in reading.resolve_words(_of(target.settings), checks)[1]:
            hint = nearest(word, words)
            if not hint and words:
                hint = f"there are {', '.join(words[:8])}"
            elif not hint:
                hint = "there are none"
            line_number = toml.TomlLines(rules.text).line_of("targets", name, "checks")
            message = f"{word!r} is neither a check nor a tag; {hint}"
            problems.append(Problem(line_number, f"targets.{name}.checks", message))
    if problems:
        raise RulesError(rules.file, problems)


def _tags(checks: Checks) -> tuple[str, ...]:
    """All tags, each once, in the order of the checks."""
    tags: dict[str, None] = {}
    for check in checks.checks.values():
        tags |= dict.fromkeys(check.tags)
    return tuple(tags)


def _of(settings: object) -> tuple[str, ...]:
    return settings.checks if isinstance(settings, JudgedSettings) else ()


def deciding_checks(settings: object, checks: Checks) -> tuple[str, ...]:
    """The names of the checks that decide about a deploy with these settings. Raises Refused where
    one of them is gone: the settings may be those of a run that was begun with another rules.toml.
    """
    names, gone = reading.resolve_words(_of(settings), checks)
    if gone:
        raise Refused(
            f"check {gone[0]!r}, which decides about it, is no longer there",
            "leave the checks out: --no-checks",
        )
    return names


class CheckSelection(Struct, frozen=True):
    """The checks that are to run, by `names`, and where. `url` was given on the command line in
    place of the environment's `urls`; `redact` hides what looks like a secret in what is shown;
    `seconds` is how long secrets may take to be read.
    """

    rules: Rules
    checks: Checks
    names: Sequence[str]
    environment: Environment | None
    locations: Sequence[Location]
    url: str | None = None
    redact: Callable[[str], str] = str
    seconds: float = SECRETS_S


class CheckSetup(Struct, frozen=True):
    """What checks run with: where, at which addresses, under which policy, and the values of their
    variables. `redactor` hides the secret ones. `environments` are all that rules.toml has.
    """

    environment: str | None
    locations: tuple[Location, ...]
    urls: tuple[str, ...]
    policy: "Policy"
    values: Mapping[str, str]
    redactor: Redactor
    root: str
    environments: tuple[str, ...] = ()


def check_setup(selection: CheckSelection, ports: "Ports") -> CheckSetup:
    """Everything that these checks need, secrets included.

    Raises Refused for a secret that does not exist, WrongAccount, CloudError.
    """
    rules, environment, url = selection.rules, selection.environment, selection.url
    variables = dict(variables_of(environment))
    # Before any secret is read: those of another account are not for this one's hosts.
    _check_accounts(selection, ports)
    hidden = _secrets(selection, ports, variables)
    urls: tuple[str, ...] = ()
    if url:
        urls = (url,)
    elif environment is not None:
        urls = tuple(fill_check(environment.urls, variables))
    name = environment.name if environment else None
    return CheckSetup(
        environment=name,
        locations=tuple(selection.locations),
        urls=urls,
        policy=host_policy(rules, selection.checks, environment, url),
        values={**variables, **hidden, "environment": name or ""},
        redactor=Redactor(hidden, selection.redact),
        root=os.path.dirname(os.path.abspath(rules.file)),
        environments=tuple(rules.environments),
    )


def _check_accounts(selection: CheckSelection, ports: "Ports") -> None:
    """Refuse another account: its resources say nothing about this one, and its secrets are not for
    this one's hosts.

    Raises WrongAccount. Any other problem is left to the checks of AWS to report, but where secrets
    would be read it is raised.
    """
    checks = [selection.checks.checks[name] for name in selection.names]
    used = set[str]().union(*(check.uses for check in checks))
    secret = any(
        secret.env is None for name, secret in selection.checks.secrets.items() if name in used
    )
    if not secret and not any(check.check_type == CheckTypeName.AWS for check in checks):
        return
    until = monotonic() + selection.seconds
    tasks = [
        BackgroundTask(partial(_check_account, location, ports)) for location in selection.locations
    ]
    for task in tasks:
        try:
            task.within(until - monotonic())
        except WrongAccount:
            raise
        except ToolkitError:
            if secret:
                raise
        except Timeout:
            if secret:
                reason = (
                    "the account of the credentials could not be checked within "
                    f"{selection.seconds:g} s"
                )
                raise Unreachable(call="secrets", reason=reason) from None


def _check_account(location: Location, ports: "Ports") -> None:
    from toolkit.ports.aws.client import check_account

    check_account(ports.aws(location), location)


def _secrets(
    selection: CheckSelection, ports: "Ports", variables: Mapping[str, str]
) -> dict[str, str]:
    """The values of the secrets that the checks use, read side by side."""
    from toolkit.checks import secrets

    checks = selection.checks
    used = set[str]().union(*(checks.checks[name].uses for name in selection.names))
    tasks = {}
    for name, secret in checks.secrets.items():
        if name in used:
            read = partial(secrets.value, secret, ports.aws(selection.locations[0]), variables)
            tasks[name] = BackgroundTask(read)
    until = monotonic() + selection.seconds
    try:
        return {name: task.within(until - monotonic()) for name, task in tasks.items()}
    except Timeout:
        reason = f"the secrets of the checks could not be read within {selection.seconds:g} s"
        raise Unreachable(call="secrets", reason=reason) from None


def host_policy(
    rules: Rules, checks: Checks, environment: Environment | None, url: str | None = None
) -> "Policy":
    """Which hosts probes may ask: those of TOOLKIT_PROBE_HOSTS, else `hosts` of the environment,
    else those that rules.toml itself mentions.
    """
    from toolkit.ports.net.policy import Policy, parse_instead

    variables = variables_of(environment)
    instead = dict(parse_instead(os.environ.get(CONNECT_TO, "")))
    hosts = _outside_hosts()
    if not hosts and environment is not None:
        hosts = tuple(fill_check(environment.hosts, variables))
    if not hosts:
        hosts = _mentioned_hosts(rules, checks, environment)
    if url is not None:
        host = host_of(url)
        hosts = (*hosts, host)
        instead |= _local_address(url, host)
    return Policy(hosts, environment.private if environment else False, instead)


def _outside_hosts() -> tuple[str, ...]:
    """The hosts of TOOLKIT_PROBE_HOSTS, empty if it is not set. Raises UsageError if it is set and
    has no host.
    """
    setting = os.environ.get(HOSTS)
    if setting is None:
        return ()
    hosts = tuple(setting.replace(",", " ").split())
    if not hosts:
        raise UsageError(
            f"{HOSTS} is set, but empty",
            f"list the hosts that may be asked, or unset {HOSTS}",
        )
    return hosts


def _local_address(url: str, host: str) -> dict[str, tuple[str, int]]:
    """The host's own address where that is a local one: whoever gives it on the command line means
    it, though probes may not ask such addresses otherwise.
    """
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    try:
        split = urlsplit(url)
        port = split.port or (443 if split.scheme == "https" else 80)
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return {}
    return {} if address.is_global else {host: (str(address), port)}


def _mentioned_hosts(
    rules: Rules, checks: Checks, environment: Environment | None
) -> tuple[str, ...]:
    """The hosts that are written down for an environment: in its `urls`, in `health` of targets, in
    the addresses of checks.
    """
    from toolkit.checks import check_type

    hosts = set[str]()
    variables: Mapping[str, str] = {}
    regions: Sequence[str] = ()
    if environment is not None:
        variables, regions = environment.vars, environment.regions
        hosts = {host_of(url) for url in fill_check(environment.urls, variables)}
    for target in rules.targets.values():
        if not isinstance(target.settings, JudgedSettings):
            continue
        for region in regions or ("",):
            by_region = {"region": region, **variables}
            hosts.update(host_of(_fill(url, by_region)) for url in target.settings.addresses)
    for check in checks.checks.values():
        host = check_type(check.check_type).host(check.settings)
        for row in check.rows or ({},):
            hosts.add(_fill(host, {**variables, **row}))
    return tuple(sorted(host for host in hosts if host and "{" not in host))


def _fill(text: str, variables: Mapping[str, Any]) -> str:
    """With the environment's variables; what is only known later stays, and such a host has to be
    in `hosts`.
    """
    for name, value in variables.items():
        text = text.replace(f"{{{name}}}", as_text(value))
    return text


def choose_checks(
    checks: Checks, only: Sequence[str], tags: Sequence[str], environment: str | None
) -> tuple[str, ...]:
    """The checks that are asked for, with what they need. Raises UsageError, Refused."""
    if not checks.checks:
        raise Refused(
            "rules.toml has no checks",
            (
                "write some: see docs/smoke-test.md, or",
                NextCommand("smoke-test", options=("--help",)),
            ),
        )
    _require_existing(only, tuple(checks.checks), "check")
    _require_existing(tags, _tags(checks), "tag")
    chosen: list[str] = []
    for name, check in checks.checks.items():
        if not (only or tags) or name in only or set(check.tags) & set(tags):
            chosen.append(name)
    names = deploy_checks(checks, chosen, environment)
    if not names:
        raise Refused(
            f"no check is for environment {environment}",
            "see `environments` of the checks in rules.toml",
        )
    return names


def check_tasks(checks: Checks, names: Sequence[str], setup: CheckSetup) -> "tuple[Task, ...]":
    """These checks, each in its location. Raises Refused."""
    from toolkit.checks import select

    unchosen = setup.environments if setup.environment is None else None
    givers = reading.capturing_checks(checks.checks)
    return select.tasks(names, checks.checks, givers, setup.urls, setup.locations, unchosen)


def deploy_checks(checks: Checks, names: Sequence[str], environment: str | None) -> tuple[str, ...]:
    """These checks with what they need, as far as they are for this environment; may be empty."""
    from toolkit.checks import select

    waits = _waits(checks)
    return select.for_environment(
        select.closure(names, checks.checks, waits), checks.checks, waits, environment
    )


def _waits(checks: Checks) -> dict[str, frozenset[str]]:
    """What has to be done for a check: what it needs, and what gives it values. What cleans up
    needs no more than its values, so that it runs also after a failure.
    """
    givers = reading.capturing_checks(checks.checks)
    waits: dict[str, frozenset[str]] = {}
    for name, check in checks.checks.items():
        if check.always:
            check = replace(check, needs=())
        waits[name] = reading.predecessors(check, givers)
    return waits


def _require_existing(words: Sequence[str], existing: tuple[str, ...], noun: str) -> None:
    """Raises UsageError for the first word that does not exist."""
    for word in words:
        if word in existing:
            continue
        names = ", ".join(existing[:8]) or "none"
        if len(existing) > 8:
            names += f" and {len(existing) - 8} more"
        hint = nearest(word, existing) or f"there are: {names}"
        raise UsageError(f"there is no {noun} {word!r}", hint)


def sandbox_provisions(checks: Checks, environment: Environment | None) -> list[Provision]:
    """What checks look for in AWS, for the sandbox to create. What cannot be created by its name
    alone is left out.
    """
    variables = dict(variables_of(environment))
    provisions: list[Provision] = []
    for check in checks.checks.values():
        if check.check_type != CheckTypeName.AWS:
            continue
        if check.environments and (
            environment is None or environment.name not in check.environments
        ):
            continue
        for row in check.rows or ({},):
            values = {**variables, **row}
            if check.uses <= values.keys():
                what, _, name = fill_check(check.settings, values).aws.partition(":")
                if what in MADE:
                    provisions.append(Provision(ProvisionKind(what), name))
    return provisions


MADE = (
    ProvisionKind.BUCKET,
    ProvisionKind.TABLE,
    ProvisionKind.QUEUE,
    ProvisionKind.PARAMETER,
)
"""What the sandbox can make by its name alone."""
