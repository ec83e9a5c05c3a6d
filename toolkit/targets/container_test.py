"""The container test of an image: what rules.toml says of it, for every kind that builds images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from toolkit.errors import Refused
from toolkit.formats.durations import seconds
from toolkit.targets import base

if TYPE_CHECKING:  # `diff` reads rules.toml, and builds nothing
    from toolkit.artifacts.images import ImageTest

LABEL = "toolkit.container-test"
"""The label of an image that was pushed only after a container of it had passed."""
PASSED = "passed"
SKIPPED = "skipped (--fast)"
ROOT, FINE = "/", 200
FAST = base.option("Skip the container test before an image is pushed.", consent=True)
"""How `--fast` is declared."""


class ContainerTest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a container of a new image is tested on this machine before the image is pushed."""

    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None,
        Meta(
            description=(
                "The port where it has to answer; without one, it has to end by itself with exit "
                "code 0."
            ),
        ),
    ] = None
    path: Annotated[
        str, Meta(pattern=r"^/[^\s#]*$(?!\n)", description="The path that is asked for.")
    ] = ROOT
    status: Annotated[
        int, Meta(ge=200, le=599, description="The status that it has to answer.")
    ] = FINE
    command: Annotated[
        tuple[base.Text, ...],
        Meta(
            description=(
                "A program and its arguments to run in place of the image's own `ENTRYPOINT` and "
                "`CMD`."
            )
        ),
    ] = ()
    env: Annotated[
        Mapping[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)")], str],
        Meta(description="Environment variables for it. No secrets."),
    ] = {}
    pass_env: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)")], ...],
        Meta(
            description=(
                "The variables of your environment that it gets, too. Their values are in no log."
            )
        ),
    ] = ()
    deadline: Annotated[
        base.Duration, Meta(description="How long it may take to answer, or to end.")
    ] = "1m"


def problem(test: ContainerTest | None) -> str | None:
    """What is wrong with a test whose types are right, None if nothing is."""
    if test is None:
        return None
    if test.port is None and (test.path, test.status) != (ROOT, FINE):
        return "`path` and `status` of `container_test` need a `port`"
    if not seconds(test.deadline):
        return f"`deadline` of `container_test` is {test.deadline}, and has to be at least 1s"
    if "\0" in "".join((*test.command, *test.env.values())):
        return "`container_test` holds a NUL character"
    return None


def comparable(test: ContainerTest | None) -> ContainerTest | None:
    """Equal for equal tests, in whichever words rules.toml has their time, and in whichever order
    their variables.
    """
    if test is None:
        return None
    deadline = f"{seconds(test.deadline)}s"
    return replace(test, deadline=deadline, pass_env=tuple(sorted(test.pass_env)))


def image_test(test: ContainerTest | None, skipped: bool) -> "ImageTest | None":
    """The test as a builder makes it; None where there is none, or it is skipped."""
    if test is None or skipped:
        return None
    from toolkit.artifacts.images import ImageTest

    return ImageTest(
        test.port,
        test.path,
        test.status,
        test.command,
        dict(test.env),
        test.pass_env,
        seconds(test.deadline) or 60,
    )


def described(test: ContainerTest | None, skipped: bool) -> dict[str, str]:
    """What a planned push says of the test before it."""
    if test is None:
        return {}
    if skipped:
        return {"container_test": SKIPPED}
    if test.port is None:
        return {"container_test": "exit code 0"}
    return {"container_test": f"{test.status} at port {test.port}, {test.path}"}


def tell_skipped(test: ContainerTest | None, skipped: bool, report: base.Report) -> None:
    """Where a test is skipped, say so, and keep it in the run's record."""
    if test is not None and skipped:
        report.tell("the container test is skipped (--fast)")
        report.keep(container_test=SKIPPED)


def refuse_untested(image: str, labels: Mapping[str, str]) -> None:
    """Raises Refused for an image of another build whose labels do not say that it has passed."""
    if labels.get(LABEL) != PASSED:
        raise Refused(
            f"image {image} was pushed without a container test",
            "deploy it untested with --fast, or commit a change to build it again; targets that "
            "share a repository need the same `container_test`",
        )
