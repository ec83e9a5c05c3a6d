"""The one sandbox of a person: what is remembered of it, and the environment that commands are to
run in.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from toolkit.errors import FileProblem, StateDamaged
from toolkit.model import Location
from toolkit.ports import files
from toolkit.ports.aws.client import Aws
from toolkit.ports.images.bases import ImageName
from toolkit.sandbox import environment, images, provision, server


class Box(Struct, frozen=True):
    """A started sandbox. `profiles` are account and region by name; `since` is ISO 8601 in UTC."""

    server: server.Server
    since: str
    region: str
    profiles: Mapping[str, tuple[str, str]] = {}
    made: tuple[provision.ProvisionedPart, ...] = ()
    hosts: Mapping[str, str] = {}
    """Host -> the path of the service that answers for it here."""


def folder() -> str:
    """Where its files are."""
    return os.path.join(files.state_folder(), "sandbox")


def load() -> Box | None:
    """What is remembered, None if nothing is. Raises StateDamaged."""
    path = os.path.join(folder(), "sandbox.json")
    if not os.path.lexists(folder()):
        return None
    files.own_state("sandbox")  # a process is ended, and a secret trusted, by what it says
    if not os.path.exists(path):
        return None
    try:
        return msgspec.json.decode(files.read(path), type=Box)
    except msgspec.DecodeError as problem:
        raise StateDamaged(path=path, reason=str(problem)) from None


def save(box: Box) -> None:
    """Remember it, with the files in which AWS's own tools look for profiles. Raises
    FileProblem.
    """
    default = {"default": next(iter(box.profiles.values()), (provision.ACCOUNT, box.region))}
    profiles = {**default, **box.profiles, "sandbox": default["default"]}
    config = [
        f"[{name if name == 'default' else f'profile {name}'}]\nregion = {region}\n"
        for name, (_, region) in profiles.items()
    ]
    secrets = [
        f"[{name}]\naws_access_key_id = {account}\naws_secret_access_key = {box.server.token}\n"
        for name, (account, _) in profiles.items()
    ]
    files.write(os.path.join(folder(), "aws-config"), "\n".join(config).encode(), mode=0o600)
    files.write(os.path.join(folder(), "aws-credentials"), "\n".join(secrets).encode(), mode=0o600)
    files.write(os.path.join(folder(), "sandbox.json"), msgspec.json.encode(box), mode=0o600)


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else starts or ends it meanwhile. Raises FileProblem."""
    try:
        files.own_state()
        descriptor = os.open(
            f"{folder()}.lock",
            os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
            0o600,
        )
        file = open(descriptor, "w")  # noqa: SIM115 (closed below)
    except OSError as problem:
        raise FileProblem(
            path=f"{folder()}.lock", reason=problem.strerror or str(problem)
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def up(region: str, tell: Callable[[str], None]) -> tuple[Box, bool]:
    """The running sandbox, and whether it was started for this. Raises ProgramFailed, FileProblem,
    StateDamaged.
    """
    box = load()
    if box is not None and server.runs(box.server) and server.answers(box.server):
        return box, False
    if box is not None:
        server.end(box.server)
    shutil.rmtree(folder(), ignore_errors=True)
    python = environment.python(files.cache_folder(), tell)
    files.own_state("sandbox")
    # What was exported before means this one again.
    port, token = (box.server.port, box.server.token) if box is not None else (0, None)
    started = Box(
        server.start(python, folder(), region, port=port, token=token),
        datetime.now(UTC).isoformat(timespec="seconds"),
        region,
    )
    save(started)
    return started, True


def down() -> bool:
    """End it and forget it; whether there was one. Raises StateDamaged."""
    box = load()
    if box is None:
        return False
    ran = server.runs(box.server)
    server.end(box.server)
    shutil.rmtree(folder(), ignore_errors=True)
    return ran


def fill(
    box: Box,
    wanted: Iterable[provision.PlannedPart],
    bases: Iterable[ImageName],
    tell: Callable[[str], None],
) -> Box:
    """Make what is wanted and not there yet; the box that knows of it. Raises CloudError,
    ProgramFailed.
    """
    wanted = tuple(wanted)
    named = {part.location.profile: part.location for part in wanted if part.location.profile}
    own = {
        _profile(location): location
        for location in (*(part.location for part in wanted), provision.MIRROR_PLACE)
    }
    locations = {**own, **named}
    profiles = {
        name: (location.account or "", location.region or "")
        for name, location in locations.items()
    }
    box = msgspec.structs.replace(box, profiles={**profiles, **box.profiles, **profiles})
    save(box)
    known = {(one.account, one.region, one.what, one.name): one for one in box.made}
    registry = images.SandboxRegistry(box.server.port, box.server.token)
    with pointed(variables(box)):
        clouds = {name: Aws(name, location.region) for name, location in own.items()}
        made = provision.make(wanted, lambda location: clouds[_profile(location)], registry, tell)
        provision.mirror(bases, clouds[_profile(provision.MIRROR_PLACE)], registry)
        provision.settle(
            (part for part in wanted if _key(part) not in known),
            lambda location: clouds[_profile(location)],
        )
    there = {**known, **{(one.account, one.region, one.what, one.name): one for one in made}}
    box = msgspec.structs.replace(
        box, made=tuple(there.values()), hosts={**provision.hosts(wanted), **box.hosts}
    )
    server.name_hosts(box.server, box.hosts)
    save(box)
    return box


def empty(box: Box) -> Box:
    """Forget all that it holds; the box without it. Raises ProgramFailed."""
    server.empty(box.server)
    emptied = msgspec.structs.replace(box, made=(), profiles={}, hosts={})
    save(emptied)
    return emptied


def variables(box: Box, location: Location | None = None) -> dict[str, str]:
    """The environment in which AWS means the sandbox, and nothing else; in `place`, where a command
    names none itself.
    """
    account = (location.account if location else None) or provision.ACCOUNT
    region = (location.region if location else None) or box.region
    return {
        "AWS_ENDPOINT_URL": box.server.url,
        "AWS_CONFIG_FILE": os.path.join(folder(), "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": os.path.join(folder(), "aws-credentials"),
        "AWS_PROFILE": "sandbox",
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": box.server.token,
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "TOOLKIT_CONNECT_TO": ",".join(f"{host}=127.0.0.1:{box.server.port}" for host in box.hosts),
        # An engine would ask the internet for the base images, and build for real what only seems
        # to run.
        "TOOLKIT_BUILDER": "built-in",
        "TOOLKIT_BASE_MIRROR": f"127.0.0.1:{box.server.port}/{provision.MIRROR}",
    }


@contextmanager
def pointed(variables: Mapping[str, str]) -> Iterator[None]:
    """Within the sandbox's environment: boto3 reads it from the process."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _key(part: provision.PlannedPart) -> tuple[str, str, str, str]:
    return part.location.account or "", part.location.region or "", part.what.what, part.what.name


def _profile(location: Location) -> str:
    """A profile of the sandbox's own for an account and region: what rules.toml names may be the
    same for several.
    """
    return f"sandbox-{location.account}-{location.region}"
