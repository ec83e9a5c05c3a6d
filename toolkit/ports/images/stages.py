"""A Dockerfile's stages: where each begins, and which of them an image needs."""

from collections.abc import Iterator, Mapping, Sequence, Set

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.ports.images.dockerfile import Instruction, Parsed, expanded, split

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}


class Platform(Struct, frozen=True):
    """What an image runs on."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(one for one in (self.os, self.architecture, self.variant) if one)


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
        raise Refused(f"`{words}` is no platform", "a platform is written like linux/arm64")
    architecture = _ARCHITECTURES.get(parts[1], parts[1])
    variant = parts[2] if len(parts) == 3 else ""
    return Platform(
        parts[0], architecture, "" if (architecture, variant) == ("arm64", "v8") else variant
    )


def declared(parsed: Parsed) -> Set[str]:
    """The names of all build arguments that an ARG declares."""
    found = [
        word.partition("=")[0]
        for one in parsed.instructions
        if one.keyword == "ARG"
        for word in split(one.rest, parsed.escape)
    ]
    return frozenset(found)


def global_args(parsed: Parsed, given: Mapping[str, str], wanted: Platform) -> dict[str, str]:
    """What the ARGs before the first FROM, and docker itself, say of the build."""
    known: dict[str, str] = {}
    for side in ("TARGET", "BUILD"):
        known |= {
            f"{side}PLATFORM": str(wanted),
            f"{side}OS": wanted.os,
            f"{side}ARCH": wanted.architecture,
        }
        known[f"{side}VARIANT"] = wanted.variant
    for one in parsed.instructions:
        if one.keyword == "FROM":
            break
        if one.keyword != "ARG":
            raise one.refuse("only ARG may come before the first FROM")
        for name, value in args(one, known, given, {}, parsed.escape):
            known |= {name: value} if value is not None else {}
    return known


def args(
    one: Instruction,
    variables: Mapping[str, str],
    given: Mapping[str, str],
    known: Mapping[str, str],
    escape: str,
) -> Iterator[tuple[str, str | None]]:
    """What one ARG declares: what was given, else its default, else what is known already; None if
    it is nothing of these.
    """
    words = split(one.rest, escape)
    if not words:
        raise one.refuse("it needs a name")
    for word in words:
        name, has_default, default = word.partition("=")
        if name in given:
            yield name, given[name]
        else:
            yield name, expand(one, default, variables, escape) if has_default else known.get(name)


def expand(one: Instruction, word: str, variables: Mapping[str, str], escape: str) -> str:
    """A word of an instruction with its variables filled in; Refused names the line."""
    try:
        return expanded(word, variables, escape)
    except ValueError as error:
        raise one.refuse(str(error)) from None


def stages(parsed: Parsed, known: Mapping[str, str], wanted: Platform) -> tuple[BuildStage, ...]:
    """The stages in order. Raises Refused for a Dockerfile without any, or a FROM that says
    nothing.
    """
    found: list[BuildStage] = []
    starts = [at for at, one in enumerate(parsed.instructions) if one.keyword == "FROM"]
    if not starts:
        raise Refused("the Dockerfile has no FROM")
    for number, (start, end) in enumerate(
        zip(starts, [*starts[1:], len(parsed.instructions)], strict=True)
    ):
        one = parsed.instructions[start]
        words = one.rest.split()
        named = len(words) == 3 and words[1].lower() == "as"
        if len(words) != 1 and not named:
            raise one.refuse("it is written `FROM image` or `FROM image AS name`")
        unknown = set(one.flags) - {"platform"}
        if unknown:
            raise one.refuse(f"--{min(unknown)} is not understood")
        base = expand(one, words[0], known, parsed.escape)
        if not base:
            raise one.refuse(
                f"`{words[0]}` is empty: one of its arguments has no value",
                "give the ARG before it a default",
            )
        where = (
            platform(expand(one, one.flags["platform"], known, parsed.escape))
            if "platform" in one.flags
            else wanted
        )
        earlier = next(
            (stage.number for stage in found if stage.name and stage.name == base.lower()), None
        )
        inside = parsed.instructions[start + 1 : end]
        found.append(
            BuildStage(
                number,
                words[2].lower() if named else "",
                base if earlier is None else earlier,
                where,
                one,
                inside,
            )
        )
    return tuple(found)


def named(found: Sequence[BuildStage], name: str) -> BuildStage | None:
    """A stage by its name or number."""
    by_name = next((one for one in found if one.name and one.name == name.lower()), None)
    return by_name or (found[int(name)] if name.isdecimal() and int(name) < len(found) else None)


def needed(found: Sequence[BuildStage], target: str | None) -> tuple[BuildStage, ...]:
    """The stages that an image is made of, in order; the last one is the image. Raises Refused for
    a target that is not there.
    """
    last = found[-1] if target is None else named(found, target)
    if last is None:
        raise Refused(f"the Dockerfile has no stage `{target}`")
    open_, seen = [last], {last.number}
    while open_:
        stage = open_.pop()
        for number in _asked(found, stage):
            if number not in seen:
                seen.add(number)
                open_.append(found[number])
    return tuple(one for one in found if one.number in seen)


def _asked(found: Sequence[BuildStage], stage: BuildStage) -> Iterator[int]:
    if isinstance(stage.base, int):
        yield stage.base
    for one in stage.instructions:
        other = (
            named(found[: stage.number], one.flags["from"])
            if one.keyword == "COPY" and "from" in one.flags
            else None
        )
        if other:
            yield other.number
