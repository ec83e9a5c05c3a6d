"""Inputs outside git that rules.toml declares (`inputs` of a target): read before a deploy,
recorded with it, and compared ever after. A target is due when one of them has another version.

Only what tells versions apart is read and kept: a parameter's number, the id of a secret's current
version, and of a variable, which is no secret, its value.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.changes.names import with_inputs
from toolkit.errors import FileProblem, Missing, ToolkitError
from toolkit.flow.rulebook import find_environment, variables_of
from toolkit.flow.stores import resolved_location
from toolkit.formats.redaction import LOOKS_SECRET
from toolkit.formats.variables import fill
from toolkit.model import DeclaredInput, InputSource, Rules, Target, Version
from toolkit.operations import GOOD, Finding, HealthStatus, Job, Location, Statement
from toolkit.ports import disk, files
from toolkit.ports.aws.input_versions import parameter_version, secret_version
from toolkit.ports.aws.names import arn
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record

FOLDER = "inputs"
"""The folder of the cache for what was seen last."""
MOST_BYTES = 1 << 20
MOST_LETTERS = 1000
"""Of the value of a variable."""
UNSET = "unset"
"""What is recorded of a variable that is not set; else its value behind a `=`."""
_MOST_CALLS = 16
_SHOWN = 40


class InputReading(Struct, frozen=True):
    """The version that an input has now; `problem` says why it is not known."""

    version: str = ""
    problem: str = ""
    missing: bool = False


Readings = Mapping[tuple[Location, str], InputReading]
"""(location, `ssm:NAME`) -> what was read there."""


class RecordedInputs(Struct, frozen=True):
    """The versions that a good deploy recorded, when that was, and in which account."""

    versions: Mapping[str, str] = {}
    when: str = ""
    account: str | None = None


class InputComparison(Struct, frozen=True):
    """How the inputs of a target stand to its last good deploy, in words: those that have changed,
    those of which that is not known, and what else there is to say.
    """

    changed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def inputs_of(
    target: Target, location: Location, variables: Mapping[str, str]
) -> tuple[DeclaredInput, ...]:
    """The inputs of a target in a location, with the variables filled in."""
    known = {"region": location.region or "", **variables}
    return tuple(
        replace(declared, name=fill(declared.name, known)) for declared in target.declared_inputs
    )


def inputs_of_job(job: Job, rules: Rules) -> tuple[DeclaredInput, ...]:
    """The inputs of a job's target."""
    environment = find_environment(job.location.environment, rules)
    return inputs_of(rules.targets[job.target], job.location, variables_of(environment))


def words(declared: DeclaredInput) -> str:
    """An input for people. `secret:NAME` would be taken for a secret, and hidden."""
    if declared.source is InputSource.SECRET:
        return f"secret {declared.name}"
    return str(declared)


# --- reading


def read_inputs(
    asked: Iterable[tuple[Location, DeclaredInput]], ports: Ports
) -> dict[tuple[Location, str], InputReading]:
    """What each input is now: one call for each, all at the same time. Raises nothing."""
    wanted = {(location, str(declared)): declared for location, declared in asked}
    if not wanted:
        return {}
    with ThreadPoolExecutor(min(len(wanted), _MOST_CALLS)) as pool:
        readings = list(pool.map(lambda key: _read(wanted[key], key[0], ports), wanted))
    return dict(zip(wanted, readings, strict=True))


def _read(declared: DeclaredInput, location: Location, ports: Ports) -> InputReading:
    if declared.source is InputSource.ENV:
        return read_variable(declared.name)
    read = parameter_version if declared.source is InputSource.SSM else secret_version
    try:
        return InputReading(read(ports.aws(location), declared.name))
    except Missing:
        return InputReading(problem=f"{words(declared)} does not exist", missing=True)
    except ToolkitError as problem:
        return InputReading(problem=f"{words(declared)} cannot be read: {problem}")


def read_variable(name: str) -> InputReading:
    """A variable of the environment. What looks like a secret is not kept, so it stays unknown."""
    text = os.environ.get(name)
    if text is None:
        return InputReading(UNSET)
    if LOOKS_SECRET.search(text):
        return InputReading(problem=f"env:{name} holds what looks like a secret")
    if len(text) > MOST_LETTERS or not text.isprintable():
        return InputReading(problem=f"env:{name} is too long, or has control characters")
    return InputReading(f"={text}")


# --- what was seen last


class _Seen(Struct, frozen=True):
    version: str
    when: str


class _SeenFile(Struct):
    v: int = 1
    inputs: dict[str, _Seen] = {}


def remember(readings: Readings, ports: Ports) -> None:
    """Keep what was read, for answers that ask nobody. What cannot be written is left out: what was
    recorded has to do then.
    """
    by_location: dict[Location, dict[str, _Seen]] = {}
    now = ports.clock.now().isoformat(timespec="seconds")
    for (location, text), reading in readings.items():
        if reading.version and not text.startswith(f"{InputSource.ENV}:"):
            by_location.setdefault(location, {})[text] = _Seen(reading.version, now)
    for location, seen in by_location.items():
        with suppress(ToolkitError):
            location = resolved_location(location, ports)
            path = _seen_path(location, location.account, ports)
            document = _SeenFile(1, {**_seen(path), **seen})
            disk.write(path, msgspec.json.encode(document))


def last_seen(location: Location, account: str | None, ports: Ports) -> Mapping[str, _Seen]:
    """What this machine saw last in a location."""
    try:
        return _seen(_seen_path(location, location.account or account, ports))
    except ToolkitError:
        return {}


def _seen(path: str) -> Mapping[str, _Seen]:
    try:
        data = files.read(path, MOST_BYTES)
        return msgspec.convert(json.loads(data), _SeenFile).inputs
    except (FileProblem, ValueError, RecursionError):
        return {}


def _seen_path(location: Location, account: str | None, ports: Ports) -> str:
    """The file of an account and region at an endpoint. Raises FileProblem, BadConfig."""
    place = [ports.endpoint(location.profile), account, location.region]
    name = hashlib.sha256(json.dumps(place).encode()).hexdigest()[:24]
    return os.path.join(files.own_cache(ports.cache, FOLDER), f"{name}.json")


# --- comparing


def compare_inputs(
    declared: Sequence[DeclaredInput],
    recorded: RecordedInputs,
    now: Mapping[str, InputReading],
    seen: Mapping[str, _Seen],
    moment: datetime,
) -> InputComparison:
    """How these inputs stand to what a good deploy recorded. What `now` does not have is as it was
    `seen` last, or as that deploy itself saw it, whichever is newer. Pure.
    """
    changed: list[str] = []
    unknown: list[str] = []
    as_seen: dict[str, str] = {}
    for each in declared:
        text = str(each)
        before, reading = recorded.versions.get(text, ""), now.get(text)
        if reading is None:
            sight = seen.get(text)
            if sight is None or sight.when < recorded.when:
                sight = _Seen(before, recorded.when)
            reading = InputReading(sight.version)
            as_seen[words(each)] = sight.when
        if reading.problem:
            unknown.append(reading.problem)
        elif not before:
            unknown.append(f"nothing says with which version of {words(each)} it was deployed")
        elif reading.version != before:
            changed.append(_difference(each, before, reading.version))
    notes: tuple[str, ...] = ()
    if as_seen:
        age = _age(min(as_seen.values()), moment)
        notes = (f"{', '.join(as_seen)}: as seen {age}",)
    return InputComparison(tuple(changed), tuple(unknown), notes)


def _difference(declared: DeclaredInput, before: str, now: str) -> str:
    if declared.source is InputSource.ENV:
        return f"{declared} is {_variable(now)}; it was {_variable(before)} at the last deploy"
    short = 8 if declared.source is InputSource.SECRET else _SHOWN
    new, old = now[:short], before[:short]
    if new == old:
        new, old = now[:_SHOWN], before[:_SHOWN]
    return f"{words(declared)} is at version {new}; version {old} was deployed"


def _variable(version: str) -> str:
    return "not set" if version == UNSET else repr(version[1:][:_SHOWN])


def _age(when: str, moment: datetime) -> str:
    """`3 h ago`."""
    try:
        passed = (moment - datetime.fromisoformat(when)).total_seconds()
    except (ValueError, TypeError):
        return "at an unknown time"
    for seconds, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= seconds:
            return f"{passed / seconds:.0f} {unit} ago"
    return "just now"


# --- a deploy


def input_versions(
    declared: Iterable[DeclaredInput], location: Location, readings: Readings
) -> dict[str, str]:
    """The versions that a deploy records; what could not be read is left out."""
    known = ((str(each), readings[location, str(each)].version) for each in declared)
    return {text: version for text, version in known if version}


def named_version(
    version: Version,
    target: Target,
    versions: Mapping[str, str],
    run: str,
) -> Version:
    """The version under the name that tells of its inputs, where something is built under it. An
    input that could not be read makes it another one each time.
    """
    kind = targets.kind(target.kind)
    built_from = kind.inputs(target.settings)
    if not kind.named_builds or not (built_from.images or built_from.folders):
        return version
    known = [sorted(versions.items())]
    whole = len(versions) == len(target.declared_inputs)
    digest = hashlib.sha256(json.dumps([known, None if whole else run]).encode()).hexdigest()
    return replace(version, name=with_inputs(version.name, digest))


def last_inputs(records: Iterable[Record]) -> RecordedInputs:
    """What the newest good deploy recorded; `records` are the newest first."""
    good = next((record for record in records if record.verdict in GOOD), None)
    return RecordedInputs() if good is None else recorded_inputs(good)


def recorded_inputs(good: Record) -> RecordedInputs:
    """What a good deploy recorded of its inputs."""
    return RecordedInputs(good.inputs, max(good.when, good.seen), good.account)


# --- permissions and health


def permissions(
    rules: Rules,
    names: Collection[str],
    locations: Iterable[Location],
    variables: Mapping[str, str],
) -> list[Statement]:
    """What IAM has to allow so that the inputs of these targets can be read."""
    statements: list[Statement] = []
    for location in locations:
        for name in names:
            for declared in inputs_of(rules.targets[name], location, variables):
                if declared.source is InputSource.SSM:
                    resource = declared.name
                    if not resource.startswith("arn:"):
                        resource = arn(location, "ssm", f"parameter/{declared.name.lstrip('/')}")
                    action = "ssm:GetParameter"
                elif declared.source is InputSource.SECRET:
                    resource = declared.name
                    if not resource.startswith("arn:"):
                        # AWS puts a `-` and six letters behind a secret's name.
                        resource = arn(location, "secretsmanager", f"secret:{declared.name}-??????")
                    action = "secretsmanager:DescribeSecret"
                else:
                    continue
                statements.append(
                    Statement(f"read the version of {words(declared)}", (action,), (resource,))
                )
    return statements


def findings(readings: Readings) -> Iterable[Finding]:
    """A finding for each input that is gone, or cannot be read."""
    for (_, text), reading in readings.items():
        if reading.missing:
            yield Finding(text, HealthStatus.FAILING, "missing", cause=reading.problem)
        elif reading.problem:
            yield Finding(text, HealthStatus.UNKNOWN, "not readable", cause=reading.problem)
