"""What a stage's instructions mean: the image's configuration, and the copies to make, in order."""

import re
from collections.abc import Callable, Mapping, Sequence
from posixpath import join, normpath
from typing import Any

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.formats.build_context import REMOTE
from toolkit.formats.build_stages import BuildArguments, BuildStage, args, expand, named
from toolkit.formats.dockerfile import Instruction, json_list, split

ENGINES = "install docker, podman or buildah"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHELL = ["/bin/sh", "-c"]
_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/([A-Za-z]+))?")
_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}

Owner = tuple[int, int]


class CopyStep(Struct, frozen=True):
    """One COPY or ADD. `dest` is absolute, with a slash at its end if it has to be a folder;
    `origin` is another stage's number.
    """

    sources: tuple[str, ...]
    dest: str
    origin: int | None
    owner: Owner
    mode: int | None
    unpacks: bool
    instruction: Instruction


class FolderStep(Struct, frozen=True):
    """What WORKDIR makes sure of. The owner is None where only the image's own passwd knows it."""

    path: str
    owner: Owner | None
    instruction: Instruction


class ImageStep(Struct, frozen=True):
    """One instruction as the image's history tells it, and what it does to the files, if
    anything.
    """

    words: str
    does: CopyStep | FolderStep | None = None


class EvaluatedStage(Struct, frozen=True):
    """A stage's own part: its configuration and arguments in full, and its steps."""

    config: Mapping[str, Any]
    author: str
    steps: tuple[ImageStep, ...]
    args: Mapping[str, str]


class _Unsure(dict[str, str]):
    """The variables of a stage whose base image has not been read: remembers that a missing one was
    used.
    """

    missed = False

    def get(self, name: str, default: Any = None) -> Any:
        self.missed = self.missed or name not in self
        return super().get(name, default)


def evaluate(
    stage: BuildStage,
    all_stages: Sequence[BuildStage],
    base: Mapping[str, Any] | None,
    arguments: BuildArguments,
    escape: str,
    inherited: Mapping[str, str],
) -> EvaluatedStage:
    """Follow a stage's instructions from its base's configuration. Raises Refused for what only an
    engine can do.

    `base` is None where the base image has not been read: instructions that depend on it are then
    without effect. `inherited` are the arguments of the stage that it is based on.
    """
    run = _Evaluation(stage, all_stages, base, arguments, escape)
    run.args.update(inherited)
    for instruction in stage.instructions:
        run.follow(instruction)
    return EvaluatedStage(run.config, run.author, tuple(run.steps), run.args)


class _Evaluation:
    """One stage while its instructions are followed."""

    def __init__(
        self,
        stage: BuildStage,
        all_stages: Sequence[BuildStage],
        base: Mapping[str, Any] | None,
        arguments: BuildArguments,
        escape: str,
    ) -> None:
        self._earlier = all_stages[: stage.number]
        self._arguments, self._escape = arguments, escape
        self.config: dict[str, Any] = dict(base or {})
        self._base_known, self._missed = base is not None, False
        self.author = ""
        self.steps: list[ImageStep] = []
        self.args: dict[str, str] = {}
        self._has_cmd = False
        self._env: dict[str, str] = {}
        for entry in self.config.get("Env") or [PATH]:
            name, _, value = entry.partition("=")
            self._env[name] = value
        self._store_env()
        if self.config.get("OnBuild"):
            raise stage.start.refuse("its base image has ONBUILD instructions", ENGINES)

    def follow(self, instruction: Instruction) -> None:
        evaluate_instruction = _INSTRUCTIONS.get(instruction.keyword)
        if evaluate_instruction is None:
            raise instruction.refuse(
                "the built-in builder only copies files", f"{ENGINES} to build this image"
            )
        if instruction.keyword not in ("COPY", "ADD", "HEALTHCHECK") and instruction.flags:
            raise instruction.refuse(f"--{min(instruction.flags)} is not understood")
        self._missed = False
        does = None
        try:
            does = evaluate_instruction(self, instruction)
        except Refused:
            # What looks wrong may be right with a variable of the base image.
            if not self._missed:
                raise
        if self._missed:
            does = None
        if instruction.keyword != "ARG":
            flags = "".join(f"--{name}={value} " for name, value in instruction.flags.items())
            self.steps.append(ImageStep(f"{instruction.keyword} {flags}{instruction.rest}", does))

    def _expand(self, instruction: Instruction, word: str) -> str:
        variables = {**self.args, **self._env}
        if self._base_known:
            return expand(instruction, word, variables, self._escape)
        unsure = _Unsure(variables)
        try:
            return expand(instruction, word, unsure, self._escape)
        finally:
            self._missed = self._missed or unsure.missed

    def _store_env(self) -> None:
        self.config["Env"] = [f"{name}={value}" for name, value in self._env.items()]

    def arg(self, instruction: Instruction) -> None:
        variables = {**self.args, **self._env}
        for name, value in args(instruction, variables, self._arguments, self._escape):
            if value is not None:
                self.args[name] = value

    def env(self, instruction: Instruction) -> None:
        self._env |= self._pairs(instruction)
        self._store_env()

    def label(self, instruction: Instruction) -> None:
        self.config["Labels"] = {**(self.config.get("Labels") or {}), **self._pairs(instruction)}

    def _pairs(self, instruction: Instruction) -> dict[str, str]:
        """`a=b c="d e"`, or the old `a all the rest`. A value cannot refer to a name that is set in
        the same instruction.
        """
        words = split(instruction.rest, self._escape)
        if words and "=" not in words[0]:
            name, value = [*instruction.rest.split(None, 1), ""][:2]
            if not value:
                raise instruction.refuse(f"`{name}` has no value")
            return {self._expand(instruction, name): self._expand(instruction, value)}
        pairs = [word.partition("=") for word in words]
        for name, sign, _ in pairs:
            if not name or not sign:
                raise instruction.refuse(f"`{name}` is not written name=value")
        if not pairs:
            raise instruction.refuse("it needs name=value")
        return {
            self._expand(instruction, name): self._expand(instruction, value)
            for name, _, value in pairs
        }

    def workdir(self, instruction: Instruction) -> FolderStep:
        path = self._expand(instruction, instruction.rest)
        if not path:
            raise instruction.refuse("it needs a folder")
        self.config["WorkingDir"] = _absolute(self._folder(), path)
        return FolderStep(self._folder(), _owner(self.config.get("User") or "0"), instruction)

    def _folder(self) -> str:
        return self.config.get("WorkingDir") or "/"

    def copy(self, instruction: Instruction) -> CopyStep:
        unknown = set(instruction.flags) - {"chown", "chmod", "link"}
        if instruction.keyword == "COPY":
            unknown.discard("from")
        if unknown:
            raise instruction.refuse(
                f"--{min(unknown)} is not understood by the built-in builder", ENGINES
            )
        words = self._words(instruction)
        if len(words) < 2 or not all(words):
            raise instruction.refuse("it needs a source and a destination")
        *sources, dest = words
        if len(sources) > 1 and not _is_folder(dest):
            raise instruction.refuse(
                f"with several sources, the destination `{dest}` must end with /"
            )
        if instruction.keyword == "ADD" and any(REMOTE.match(source) for source in sources):
            raise instruction.refuse(
                "it fetches from the network", f"download it beforehand, or {ENGINES}"
            )
        absolute = _absolute(self._folder(), dest)
        if _is_folder(dest) and absolute != "/":
            absolute += "/"
        return CopyStep(
            tuple(sources),
            absolute,
            self._origin(instruction),
            self._chown(instruction),
            self._chmod(instruction),
            instruction.keyword == "ADD",
            instruction,
        )

    def _words(self, instruction: Instruction) -> list[str]:
        return [self._expand(instruction, word) for word in instruction.words]

    def _origin(self, instruction: Instruction) -> int | None:
        origin = instruction.flags.get("from")
        if not origin:
            return None
        stage = named(self._earlier, origin)
        if stage is None:
            raise instruction.refuse(
                f"`{origin}` is not an earlier stage of this Dockerfile, and"
                " images are not copied from",
                ENGINES,
            )
        return stage.number

    def _chown(self, instruction: Instruction) -> Owner:
        text = self._expand(instruction, instruction.flags.get("chown", "0:0"))
        owner = _owner(text)
        if owner is None:
            raise instruction.refuse(
                f"--chown={text}: names are only known inside of the image",
                f"write numbers, such as 1000:1000, or {ENGINES}",
            )
        return owner

    def _chmod(self, instruction: Instruction) -> int | None:
        if "chmod" not in instruction.flags:
            return None
        text = self._expand(instruction, instruction.flags["chmod"])
        if not re.fullmatch(r"[0-7]{3,4}", text):
            raise instruction.refuse(f"--chmod={text}: only octal numbers are understood", ENGINES)
        return int(text, 8)

    def user(self, instruction: Instruction) -> None:
        self.config["User"] = self._word(instruction)

    def stop_signal(self, instruction: Instruction) -> None:
        self.config["StopSignal"] = self._word(instruction)

    def _word(self, instruction: Instruction) -> str:
        word = self._expand(instruction, instruction.rest)
        if not word or len(word.split()) > 1:
            raise instruction.refuse("it needs one word")
        return word

    def expose(self, instruction: Instruction) -> None:
        ports = dict(self.config.get("ExposedPorts") or {})
        for unexpanded in instruction.rest.split():
            word = self._expand(instruction, unexpanded)
            match = _PORT.fullmatch(word)
            if not match:
                raise instruction.refuse(f"`{word}` is not a port")
            first, last = int(match[1]), int(match[2] or match[1])
            if not first <= last <= 65535:
                raise instruction.refuse(f"`{word}` is not a port")
            protocol = (match[3] or "tcp").lower()
            ports |= {f"{port}/{protocol}": {} for port in range(first, last + 1)}
        self.config["ExposedPorts"] = ports

    def volume(self, instruction: Instruction) -> None:
        paths = self._words(instruction)
        if not paths or not all(paths):
            raise instruction.refuse("it needs a folder")
        self.config["Volumes"] = {
            **(self.config.get("Volumes") or {}),
            **{path: {} for path in paths},
        }

    def cmd(self, instruction: Instruction) -> None:
        self.config["Cmd"] = self._command(instruction)
        self._has_cmd = True

    def entrypoint(self, instruction: Instruction) -> None:
        """The command of the base image is dropped: it is not an argument for this entry point."""
        self.config["Entrypoint"] = self._command(instruction)
        if not self._has_cmd:
            self.config.pop("Cmd", None)

    def _command(self, instruction: Instruction) -> list[str]:
        words = json_list(instruction.rest)
        if words is None:
            return [*(self.config.get("Shell") or _SHELL), instruction.rest]
        return words

    def shell(self, instruction: Instruction) -> None:
        words = json_list(instruction.rest)
        if not words:
            raise instruction.refuse('it is written ["program", "argument"]')
        self.config["Shell"] = words

    def healthcheck(self, instruction: Instruction) -> None:
        kind, rest = [*instruction.rest.split(None, 1), ""][:2]
        if kind.upper() == "NONE" and not rest and not instruction.flags:
            self.config["Healthcheck"] = {"Test": ["NONE"]}
            return
        unknown = set(instruction.flags) - {*_TIMES, "retries"}
        if kind.upper() != "CMD" or not rest or unknown:
            raise instruction.refuse(
                "it is written `HEALTHCHECK [--interval=30s …] CMD command`, or `HEALTHCHECK NONE`"
            )
        words = json_list(rest)
        check: dict[str, Any] = {"Test": ["CMD-SHELL", rest] if words is None else ["CMD", *words]}
        for name, value in instruction.flags.items():
            if name in _TIMES:
                check[_TIMES[name]] = _duration(instruction, value)
        if "retries" in instruction.flags:
            if not instruction.flags["retries"].isdecimal():
                raise instruction.refuse(
                    f"--retries={instruction.flags['retries']} is not a number"
                )
            check["Retries"] = int(instruction.flags["retries"])
        self.config["Healthcheck"] = check

    def maintainer(self, instruction: Instruction) -> None:
        self.author = instruction.rest


def _is_folder(dest: str) -> bool:
    return dest.endswith(("/", "/.")) or dest == "."


def _absolute(folder: str, path: str) -> str:
    """POSIX keeps two slashes at the front; images have one."""
    return "/" + normpath(join(folder, path)).lstrip("/")


def _owner(words: str) -> Owner | None:
    """`1000:1000`, or `1000` for both; None if it names somebody else than root."""
    user, _, group = words.partition(":")
    numbers = []
    for name in (user, group or user):
        if name == "root":
            numbers.append(0)
        elif name.isdecimal() and name.isascii():
            numbers.append(int(name))
        else:
            return None
    return numbers[0], numbers[1]


def _duration(instruction: Instruction, words: str) -> int:
    """A duration of Go's, such as 1m30s, in nanoseconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", words)
    if words != "0" and (not parts or "".join("".join(part) for part in parts) != words):
        raise instruction.refuse(f"`{words}` is not a duration such as 30s")
    return sum(round(float(number) * _NS[unit]) for number, unit in parts)


_INSTRUCTIONS: Mapping[str, Callable[[_Evaluation, Instruction], CopyStep | FolderStep | None]] = {
    "ARG": _Evaluation.arg,
    "ENV": _Evaluation.env,
    "LABEL": _Evaluation.label,
    "WORKDIR": _Evaluation.workdir,
    "COPY": _Evaluation.copy,
    "ADD": _Evaluation.copy,
    "USER": _Evaluation.user,
    "STOPSIGNAL": _Evaluation.stop_signal,
    "EXPOSE": _Evaluation.expose,
    "VOLUME": _Evaluation.volume,
    "CMD": _Evaluation.cmd,
    "ENTRYPOINT": _Evaluation.entrypoint,
    "SHELL": _Evaluation.shell,
    "HEALTHCHECK": _Evaluation.healthcheck,
    "MAINTAINER": _Evaluation.maintainer,
}


def merged_labels(config: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """The configuration with the recipe's labels, which win."""
    merged = {**(config.get("Labels") or {}), **labels}
    return {**config, "Labels": merged} if merged else dict(config)
