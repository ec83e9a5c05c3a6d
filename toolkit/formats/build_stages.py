"""A Dockerfile's stages: where each begins, and which of them an image needs."""

import csv
from collections.abc import Iterator, Mapping, Sequence, Set

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.formats import dockerfile
from toolkit.formats.dockerfile import Dockerfile, Instruction, split, split_at_spaces

PLATFORM_ARGUMENTS = frozenset(
    f"{side}{part}"
    for side in ("TARGET", "BUILD")
    for part in ("PLATFORM", "OS", "ARCH", "VARIANT")
)
"""The arguments that docker sets itself, as soon as an ARG declares them."""
_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}


class Platform(Struct, frozen=True):
    """What an image runs on."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class BuildArguments(Struct, frozen=True):
    """The arguments of a build. `passed` are those of the recipe (`--build-arg`), which win over
    defaults; `values` are those of the ARGs before the first FROM, and docker's own.
    """

    passed: Mapping[str, str]
    values: Mapping[str, str]


class BuildStage(Struct, frozen=True):
    """One FROM and what follows it. `base` is the name of an image, or the number of an earlier
    stage.
    """

    number: int
    name: str
    base: str | int
    platform: Platform
    start: Instruction
    instructions: tuple[Instruction, ...]


def platform(words: str | None) -> Platform:
    """`linux/arm64/v8` in parts; None is linux/amd64. Raises Refused."""
    parts = (words or "linux/amd64").lower().split("/")
    if len(parts) == 1:
        parts = ["linux", *parts]
    if len(parts) > 3 or not all(parts):
        raise Refused(f"`{words}` is not a platform", "a platform is written like linux/arm64")
    architecture = _ARCHITECTURES.get(parts[1], parts[1])
    variant = parts[2] if len(parts) == 3 else ""
    if (architecture, variant) == ("arm64", "v8"):
        variant = ""  # v8 is what arm64 means without a variant
    return Platform(parts[0], architecture, variant)


def declared(parsed: Dockerfile) -> Set[str]:
    """The names of all build arguments that an ARG declares."""
    names: set[str] = set()
    for instruction in parsed.instructions:
        if instruction.keyword == "ARG":
            for word in split(instruction.rest, parsed.escape):
                name = word.partition("=")[0]
                names.add(dockerfile.expand(name, lambda _: None, parsed.escape, guess=True))
    return frozenset(names)


def global_args(
    parsed: Dockerfile, passed: Mapping[str, str], platform: Platform
) -> BuildArguments:
    """The arguments of a build for a platform, which is both its target and where it is built."""
    values: dict[str, str] = {}
    for side in ("TARGET", "BUILD"):
        values[f"{side}PLATFORM"] = str(platform)
        values[f"{side}OS"] = platform.os
        values[f"{side}ARCH"] = platform.architecture
        values[f"{side}VARIANT"] = platform.variant
    for instruction in parsed.instructions:
        if instruction.keyword == "FROM":
            break
        if instruction.keyword != "ARG":
            raise instruction.refuse("only ARG may come before the first FROM")
        for name, value in args(instruction, values, BuildArguments(passed, {}), parsed.escape):
            if value is not None:
                values[name] = value
    return BuildArguments(passed, values)


def args(
    instruction: Instruction,
    variables: Mapping[str, str],
    arguments: BuildArguments,
    escape: str,
) -> Iterator[tuple[str, str | None]]:
    """The names that one ARG declares, each with its value: what was passed, else the default, else
    the global value, else None.
    """
    words = split(instruction.rest, escape)
    if not words:
        raise instruction.refuse("it needs a name")
    for word in words:
        name, has_default, default = word.partition("=")
        name = expand(instruction, name, variables, escape)
        if name in arguments.passed:
            yield name, arguments.passed[name]
        elif has_default:
            yield name, expand(instruction, default, variables, escape)
        else:
            yield name, arguments.values.get(name)


def expand(instruction: Instruction, word: str, variables: Mapping[str, str], escape: str) -> str:
    """A word of an instruction with its variables filled in; Refused names the line."""
    try:
        return dockerfile.expand(word, variables.get, escape)
    except ValueError as error:
        raise instruction.refuse(str(error)) from None


def stages(
    parsed: Dockerfile, variables: Mapping[str, str], default: Platform
) -> tuple[BuildStage, ...]:
    """The stages in order; `default` is the platform of those that name none. Raises Refused for a
    Dockerfile without a stage, or a FROM that cannot be read.
    """
    escape = parsed.directives.get("escape", parsed.escape)
    if escape != parsed.escape:
        raise Refused(f"Dockerfile: escape={escape} is neither \\ nor `")
    starts = []
    for index, instruction in enumerate(parsed.instructions):
        if instruction.keyword == "FROM":
            starts.append(index)
    if not starts:
        raise Refused("the Dockerfile has no FROM")
    result: list[BuildStage] = []
    for start, end in zip(starts, [*starts[1:], len(parsed.instructions)], strict=True):
        instruction = parsed.instructions[start]
        name, base = _from(instruction, variables, parsed.escape)
        stage_platform = default
        if "platform" in instruction.flags:
            words = expand(instruction, instruction.flags["platform"], variables, parsed.escape)
            stage_platform = platform(words)
        earlier = _by_name(result, base)
        result.append(
            BuildStage(
                number=len(result),
                name=name,
                base=base if earlier is None else earlier.number,
                platform=stage_platform,
                start=instruction,
                instructions=parsed.instructions[start + 1 : end],
            )
        )
    return tuple(result)


def _from(instruction: Instruction, variables: Mapping[str, str], escape: str) -> tuple[str, str]:
    """The name that a FROM gives its stage, empty if none, and what it builds upon."""
    words = split_at_spaces(instruction.rest)
    has_name = len(words) == 3 and words[1].lower() == "as"
    if len(words) != 1 and not has_name:
        raise instruction.refuse("it is written `FROM image` or `FROM image AS name`")
    unknown = set(instruction.flags) - {"platform"}
    if unknown:
        raise instruction.refuse(f"--{min(unknown)} is not understood")
    base = expand(instruction, words[0], variables, escape)
    if not base:
        raise instruction.refuse(
            f"`{words[0]}` is empty: one of its arguments has no value",
            "give the ARG before it a default",
        )
    return words[2].lower() if has_name else "", base


def _by_name(stages: Sequence[BuildStage], name: str) -> BuildStage | None:
    # Of several with one name, the last counts.
    same = [stage for stage in stages if stage.name and stage.name == name.lower()]
    return same[-1] if same else None


def named(stages: Sequence[BuildStage], name: str) -> BuildStage | None:
    """A stage by its name or number."""
    by_name = _by_name(stages, name)
    if by_name is None and name.isdecimal() and len(name) < 6 and int(name) < len(stages):
        return stages[int(name)]
    return by_name


def needed(stages: Sequence[BuildStage], target: str | None) -> tuple[BuildStage, ...]:
    """The stages that an image is made of, in order; the last one is the image. Raises Refused for
    a target that does not exist.
    """
    last = stages[-1] if target is None else named(stages, target)
    if last is None:
        raise Refused(f"the Dockerfile has no stage `{target}`")
    pending, numbers = [last], {last.number}
    while pending:
        for number in _used_by(pending.pop(), stages):
            if number not in numbers:
                numbers.add(number)
                pending.append(stages[number])
    return tuple(stage for stage in stages if stage.number in numbers)


def _used_by(stage: BuildStage, stages: Sequence[BuildStage]) -> Iterator[int]:
    """The numbers of the stages that a stage is built upon, copies from or mounts."""
    if isinstance(stage.base, int):
        yield stage.base
    for instruction in stage.instructions:
        names = [fields.get("from", "") for fields in mounts(instruction)]
        if instruction.keyword == "COPY":
            names.append(instruction.flags.get("from", ""))
        for name in names:
            origin = named(stages[: stage.number], name)
            if origin:
                yield origin.number


def mounts(instruction: Instruction) -> Iterator[dict[str, str]]:
    """The parts of each `RUN --mount=type=bind,source=…`."""
    for name, value in instruction.options:
        if instruction.keyword == "RUN" and name == "mount":
            yield {
                key.lower(): part
                for key, _, part in (field.partition("=") for field in _fields(value))
            }


def _fields(value: str) -> list[str]:
    """The fields of a mount, separated as in CSV."""
    try:
        return next(csv.reader([value]), [])
    except csv.Error:
        return value.split(",")
