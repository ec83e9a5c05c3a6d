"""The one sandbox of a person: starting, filling and stopping it, what is stored about it, and the
environment for commands that use it.

This is the room's one door: whoever wants something of a sandbox asks here.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from toolkit.errors import StateDamaged
from toolkit.operations import Location
from toolkit.ports import disk, files
from toolkit.ports.aws.client import Aws
from toolkit.sandbox import environment, images, provision, server
from toolkit.sandbox.example import write_example as write_example
from toolkit.sandbox.provision import ProjectNeeds as ProjectNeeds


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
    """The folder of its files."""
    return os.path.join(files.state_folder(), "sandbox")


def load() -> Box | None:
    """The stored sandbox, None if there is none. Raises StateDamaged."""
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
    """Store it, with the files in which AWS's own tools look for profiles. Raises FileProblem."""
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
    disk.write(os.path.join(folder(), "aws-config"), "\n".join(config).encode())
    disk.write(os.path.join(folder(), "aws-credentials"), "\n".join(secrets).encode())
    disk.write(os.path.join(folder(), "sandbox.json"), msgspec.json.encode(box))


@contextmanager
def exclusive() -> Iterator[None]:
    """Keep other processes from starting or stopping it in the meantime. Raises StateDamaged,
    FileProblem.
    """
    files.own_state()
    with disk.exclusive(f"{folder()}.lock"):
        yield


def is_running(box: Box) -> bool:
    """Whether it runs, and answers."""
    return server.is_running(box.server) and server.is_answering(box.server)


def location(project: ProjectNeeds | None, environment: str | None) -> Location:
    """The location of an environment in which commands act that name none: its first region. Raises
    Refused.
    """
    if project is None:
        return Location(account=provision.ACCOUNT, region=provision.REGION)
    places = provision.locations(project.rules)
    return next((place for place in places if place.environment == environment), places[0])


def start_sandbox(region: str | None, tell: Callable[[str], None]) -> tuple[Box, bool]:
    """The running sandbox, and whether it had to be started. Raises ProgramFailed, FileProblem,
    StateDamaged.
    """
    region = region or provision.REGION
    box = load()
    if box is not None and is_running(box):
        return box, False
    if box is not None:
        server.end(box.server)
    shutil.rmtree(folder(), ignore_errors=True)
    python = environment.python(files.cache_folder(), tell)
    files.own_state("sandbox")
    # What was exported before means this one again.
    options = server.StartOptions()
    if box is not None:
        options = server.StartOptions(port=box.server.port, token=box.server.token)
    started = Box(
        server.start(python, folder(), region, options),
        datetime.now(UTC).isoformat(timespec="seconds"),
        region,
    )
    save(started)
    return started, True


def stop_sandbox() -> bool:
    """Stop it and delete what is stored; whether it was running. Raises StateDamaged."""
    box = load()
    if box is None:
        return False
    ran = server.is_running(box.server)
    server.end(box.server)
    shutil.rmtree(folder(), ignore_errors=True)
    return ran


def fill_sandbox(
    box: Box, project: ProjectNeeds | None, bare: bool, tell: Callable[[str], None]
) -> Box:
    """Create what the project needs and is missing; returns the sandbox with it. `bare` leaves
    services and functions to stacks. Raises CloudError, ProgramFailed, Refused.
    """
    parts = provision.planned_parts(project, bare) if project else ()
    bases = provision.base_images(project) if project else ()
    places = [part.location for part in parts]
    by_profile = {_profile(location): location for location in (*places, provision.MIRROR_PLACE)}
    named = {location.profile: location for location in places if location.profile}
    profiles = {
        name: (location.account or "", location.region or "")
        for name, location in {**by_profile, **named}.items()
    }
    # The first one is the default: one of those that are provisioned now.
    box = msgspec.structs.replace(box, profiles={**profiles, **box.profiles, **profiles})
    save(box)
    known_parts = {_made_key(part): part for part in box.made}
    registry = images.SandboxRegistry(box.server.port, box.server.token)
    with sandbox_environment(variables(box)):
        clouds = {name: Aws(name, location.region) for name, location in by_profile.items()}

        def cloud_of(location: Location) -> Aws:
            return clouds[_profile(location)]

        new = provision.make_parts(parts, cloud_of, registry, tell)
        provision.push_base_images(bases, cloud_of(provision.MIRROR_PLACE), registry)
        provision.wait_for_services(
            (part for part in parts if _key(part) not in known_parts), cloud_of
        )
    all_parts = {**known_parts, **{_made_key(part): part for part in new}}
    box = msgspec.structs.replace(
        box,
        made=tuple(all_parts.values()),
        hosts={**provision.service_hosts(parts), **box.hosts},
    )
    server.name_hosts(box.server, box.hosts)
    save(box)
    return box


def empty_sandbox(box: Box) -> Box:
    """Delete everything in it; returns the empty sandbox. Raises ProgramFailed."""
    server.empty(box.server)
    emptied = msgspec.structs.replace(box, made=(), profiles={}, hosts={})
    save(emptied)
    return emptied


VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "TOOLKIT_CONNECT_TO",
    "TOOLKIT_BUILDER",
    "TOOLKIT_BASE_MIRROR",
)
"""The names of all that `variables` sets."""


def is_in_shell() -> bool:
    """Whether the shell still has the variables of a sandbox, which may be gone."""
    return os.environ.get("AWS_CONFIG_FILE") == os.path.join(folder(), "aws-config")


def variables(box: Box, location: Location | None = None) -> dict[str, str]:
    """The environment variables that make the sandbox AWS, and nothing else; in `location`, for
    commands that name none.
    """
    location = location or Location()
    account = location.account or provision.ACCOUNT
    region = location.region or box.region
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
def sandbox_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set these variables for this process, where boto3 reads them, and restore them afterwards."""
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


def _made_key(part: provision.ProvisionedPart) -> tuple[str, str, str, str]:
    return part.account, part.region, part.what, part.name


def _profile(location: Location) -> str:
    """The sandbox's own profile for an account and region: rules.toml may use one profile for
    several.
    """
    return f"sandbox-{location.account}-{location.region}"
