"""What proves that something is deployed: a line of a CI workflow, a script or a configuration, and
what it deploys.

Texts in evidence may hold names in braces (`{cluster}`): what the line takes from a variable whose
value nobody wrote down here. They become variables of rules.toml.
"""

from collections.abc import Mapping

from msgspec import Struct

UNKNOWN = "\ufffc"
"""A part of a word that only a run of its program would tell."""


class Place(Struct, frozen=True):
    """Where evidence stands. `line` counts from 1; `words` is the line, as a person wrote it. With
    line 0 it is no file: `file` is what was asked, `words` are what it said.

    `job` is what runs it (a job of a workflow, a script): what stands in one job belongs together.
    `environment`, `region` and `account` are those of the job, empty where it names none.
    """

    file: str
    line: int
    words: str
    job: str = ""
    environment: str = ""
    region: str = ""
    account: str = ""

    @property
    def where(self) -> str:
        """In words, without the line's own."""
        return f"{self.file}:{self.line}" if self.words and self.line else self.file


class StackDeploy(Struct, frozen=True):
    """A CloudFormation stack is deployed from a template of the repository. An empty `stack` is a
    name that the line does not say.
    """

    place: Place
    template: str
    stack: str = ""


class CdkDeploy(Struct, frozen=True):
    """Stacks of the CDK app in a folder are deployed: those that the line names, or patterns for
    them (none: all), and the context values that it gives. `app` is the program, where the line
    names it itself, `more` are options with what the stacks get besides their templates. Without
    `place.words` only cdk.json says that there is an app.
    """

    place: Place
    folder: str
    stacks: tuple[str, ...] = ()
    context: Mapping[str, str] = {}
    app: str = ""
    more: tuple[tuple[str, str], ...] = ()


class AssemblyStack(Struct, frozen=True):
    """A stack that a CDK app was seen to synthesize. Its account and region stand in its place.
    `template` is what account.plain_template makes of its template, None if that is not known.
    """

    place: Place
    folder: str
    stack: str
    template: str | None = None


class ServiceDeploy(Struct, frozen=True):
    """An ECS service gets a new task definition. `images` are repositories that are known to be
    used by it, `container` the container that gets the image.
    """

    place: Place
    cluster: str
    service: str
    container: str = ""
    images: tuple[str, ...] = ()


class ImagePush(Struct, frozen=True):
    """An image is built from a Dockerfile and pushed to a repository (without its registry)."""

    place: Place
    repository: str
    context: str
    dockerfile: str
    ecr: bool = True
    target: str = ""


class FunctionDeploy(Struct, frozen=True):
    """A Lambda function gets new code: a folder that is packed, what `build` makes there, or the
    image of a repository. An empty `source` is a package of which nobody says what is in it.
    `aliases` are those that the function was seen to have.
    """

    place: Place
    function: str
    source: str = ""
    folder: str = ""
    build: tuple[str, ...] = ()
    image: str = ""
    aliases: tuple[str, ...] = ()


class SiteDeploy(Struct, frozen=True):
    """A folder is copied into a bucket. `build` is the command that makes it, and where it runs."""

    place: Place
    source: str
    bucket: str
    prefix: str = ""
    folder: str = ""
    build: tuple[str, ...] = ()
    distribution: str = ""


class CommandDeploy(Struct, frozen=True):
    """Another tool deploys a folder: `words` are what it is started with, there. `identity` tells
    one deployed thing in the folder from another (a Helm release, a service of render.yaml).
    """

    place: Place
    tool: str
    folder: str
    words: tuple[str, ...]
    identity: str = ""
    inputs: tuple[str, ...] = ()


class Sighting(Struct, frozen=True):
    """Something is deployed in a way that toolkit has no target for, or nothing says that it is
    deployed at all: `what` says which.
    """

    place: Place
    what: str


Evidence = (
    StackDeploy
    | CdkDeploy
    | AssemblyStack
    | ServiceDeploy
    | ImagePush
    | FunctionDeploy
    | SiteDeploy
    | CommandDeploy
    | Sighting
)
