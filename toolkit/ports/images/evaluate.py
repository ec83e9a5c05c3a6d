"""What a stage's instructions mean: the image's configuration, and the copies to make, in order."""

import re
from collections.abc import Callable, Mapping, Sequence
from posixpath import join, normpath
from typing import Any

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.ports.images.dockerfile import Instruction, json_list, split
from toolkit.ports.images.stages import BuildStage, args, expand, named

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
    one: Instruction


class FolderStep(Struct, frozen=True):
    """What WORKDIR makes sure of. The owner is None where only the image's own passwd knows it."""

    path: str
    owner: Owner | None
    one: Instruction


class ImageStep(Struct, frozen=True):
    """One instruction as the image's history tells it, and what it does to the files, if
    anything.
    """

    words: str
    does: CopyStep | FolderStep | None = None


class EvaluatedStage(Struct, frozen=True):
    """A stage's own part: its configuration in full, and its steps."""

    config: Mapping[str, Any]
    author: str
    steps: tuple[ImageStep, ...]


class _Unsure(dict[str, str]):
    """The variables of a stage whose base image has not been read: remembers that one was asked for
    that is not known.
    """

    missed = False

    def get(self, name: str, default: Any = None) -> Any:
        self.missed = self.missed or name not in self
        return super().get(name, default)


def evaluate(
    stage: BuildStage,
    all_stages: Sequence[BuildStage],
    base: Mapping[str, Any] | None,
    known: Mapping[str, str],
    given: Mapping[str, str],
    escape: str,
) -> EvaluatedStage:
    """Follow a stage's instructions from its base's configuration. Raises Refused for what only an
    engine can do.

    With `base` None it is not known yet: instructions that depend on it say nothing.
    """
    run = _Evaluation(stage, all_stages, base, known, given, escape)
    for one in stage.instructions:
        run.follow(one)
    return EvaluatedStage(run.config, run.author, tuple(run.steps))


class _Evaluation:
    """One stage while its instructions are followed."""

    def __init__(
        self,
        stage: BuildStage,
        others: Sequence[BuildStage],
        base: Mapping[str, Any] | None,
        known: Mapping[str, str],
        given: Mapping[str, str],
        escape: str,
    ) -> None:
        self._others, self._known, self._given, self._escape = (
            others[: stage.number],
            known,
            given,
            escape,
        )
        self.config: dict[str, Any] = dict(base or {})
        self._sure, self._missed = base is not None, False
        self.author = ""
        self.steps: list[ImageStep] = []
        self._args: dict[str, str] = {}
        self._has_cmd = False
        self._env = dict(one.partition("=")[::2] for one in self.config.get("Env") or [PATH])
        self._keep_env()
        if self.config.get("OnBuild"):
            raise stage.start.refuse("its base image has ONBUILD instructions", ENGINES)

    def follow(self, one: Instruction) -> None:
        meaning = _MEANINGS.get(one.keyword)
        if meaning is None:
            raise one.refuse(
                "the built-in builder only copies files", f"{ENGINES} to build this image"
            )
        if one.keyword not in ("COPY", "ADD", "HEALTHCHECK") and one.flags:
            raise one.refuse(f"--{min(one.flags)} is not understood")
        self._missed = False
        try:
            does = meaning(self, one)
        except Refused:
            if not self._missed:
                raise
            does = None
        if one.keyword != "ARG":
            flags = "".join(f"--{name}={value} " for name, value in one.flags.items())
            self.steps.append(
                ImageStep(f"{one.keyword} {flags}{one.rest}", None if self._missed else does)
            )

    def _expand(self, one: Instruction, word: str) -> str:
        variables = {**self._args, **self._env}
        if self._sure:
            return expand(one, word, variables, self._escape)
        unsure = _Unsure(variables)
        try:
            return expand(one, word, unsure, self._escape)
        finally:
            self._missed = self._missed or unsure.missed

    def _keep_env(self) -> None:
        self.config["Env"] = [f"{name}={value}" for name, value in self._env.items()]

    def arg(self, one: Instruction) -> None:
        for name, value in args(
            one, {**self._args, **self._env}, self._given, self._known, self._escape
        ):
            if value is not None:
                self._args[name] = value

    def env(self, one: Instruction) -> None:
        self._env |= self._pairs(one)
        self._keep_env()

    def label(self, one: Instruction) -> None:
        self.config["Labels"] = {**(self.config.get("Labels") or {}), **self._pairs(one)}

    def _pairs(self, one: Instruction) -> dict[str, str]:
        """`a=b c="d e"`, or the old `a all the rest`; values know nothing of each other."""
        words = split(one.rest, self._escape)
        if words and "=" not in words[0]:
            name, value = [*one.rest.split(None, 1), ""][:2]
            if not value:
                raise one.refuse(f"`{name}` has no value")
            return {self._expand(one, name): self._expand(one, value)}
        pairs = [word.partition("=") for word in words]
        for name, sign, _ in pairs:
            if not name or not sign:
                raise one.refuse(f"`{name}` is not written name=value")
        if not pairs:
            raise one.refuse("it needs name=value")
        return {self._expand(one, name): self._expand(one, value) for name, _, value in pairs}

    def workdir(self, one: Instruction) -> FolderStep:
        path = self._expand(one, one.rest)
        if not path:
            raise one.refuse("it needs a folder")
        self.config["WorkingDir"] = _absolute(self._folder(), path)
        return FolderStep(self._folder(), _owner(self.config.get("User") or "0"), one)

    def _folder(self) -> str:
        return self.config.get("WorkingDir") or "/"

    def copy(self, one: Instruction) -> CopyStep:
        unknown = set(one.flags) - {
            "chown",
            "chmod",
            "link",
            *(["from"] if one.keyword == "COPY" else []),
        }
        if unknown:
            raise one.refuse(f"--{min(unknown)} is not understood by the built-in builder", ENGINES)
        words = json_list(one.rest)
        words = [self._expand(one, word) for word in (one.rest.split() if words is None else words)]
        if len(words) < 2 or not all(words):
            raise one.refuse("it needs a source and a destination")
        *sources, dest = words
        if len(sources) > 1 and not _is_folder(dest):
            raise one.refuse(f"with several sources, the destination `{dest}` must end with /")
        if one.keyword == "ADD" and any(
            re.match(r"[a-z][a-z0-9+.-]*://|git@", source, re.IGNORECASE) for source in sources
        ):
            raise one.refuse("it fetches from the network", f"download it beforehand, or {ENGINES}")
        folder = _absolute(self._folder(), dest)
        dest = folder if not _is_folder(dest) or folder == "/" else f"{folder}/"
        return CopyStep(
            tuple(sources),
            dest,
            self._origin(one),
            self._chown(one),
            self._chmod(one),
            one.keyword == "ADD",
            one,
        )

    def _origin(self, one: Instruction) -> int | None:
        if "from" not in one.flags:
            return None
        stage = named(self._others, one.flags["from"])
        if stage is None:
            raise one.refuse(
                f"`{one.flags['from']}` is no earlier stage of this Dockerfile, and images are not"
                " copied from",
                ENGINES,
            )
        return stage.number

    def _chown(self, one: Instruction) -> Owner:
        said = self._expand(one, one.flags.get("chown", "0:0"))
        owner = _owner(said)
        if owner is None:
            raise one.refuse(
                f"--chown={said}: names are only known inside of the image",
                f"write numbers, such as 1000:1000, or {ENGINES}",
            )
        return owner

    def _chmod(self, one: Instruction) -> int | None:
        if "chmod" not in one.flags:
            return None
        said = self._expand(one, one.flags["chmod"])
        if not re.fullmatch(r"[0-7]{3,4}", said):
            raise one.refuse(f"--chmod={said}: only octal numbers are understood", ENGINES)
        return int(said, 8)

    def user(self, one: Instruction) -> None:
        self.config["User"] = self._word(one)

    def stop_signal(self, one: Instruction) -> None:
        self.config["StopSignal"] = self._word(one)

    def _word(self, one: Instruction) -> str:
        word = self._expand(one, one.rest)
        if not word or len(word.split()) > 1:
            raise one.refuse("it needs one word")
        return word

    def expose(self, one: Instruction) -> None:
        ports = dict(self.config.get("ExposedPorts") or {})
        for word in (self._expand(one, word) for word in one.rest.split()):
            found = _PORT.fullmatch(word)
            if not found:
                raise one.refuse(f"`{word}` is no port")
            first, last = int(found[1]), int(found[2] or found[1])
            if not first <= last <= 65535:
                raise one.refuse(f"`{word}` is no port")
            ports |= {
                f"{port}/{(found[3] or 'tcp').lower()}": {} for port in range(first, last + 1)
            }
        self.config["ExposedPorts"] = ports

    def volume(self, one: Instruction) -> None:
        words = json_list(one.rest)
        paths = [self._expand(one, word) for word in (one.rest.split() if words is None else words)]
        if not paths or not all(paths):
            raise one.refuse("it needs a folder")
        self.config["Volumes"] = {
            **(self.config.get("Volumes") or {}),
            **{path: {} for path in paths},
        }

    def cmd(self, one: Instruction) -> None:
        self.config["Cmd"] = self._command(one)
        self._has_cmd = True

    def entrypoint(self, one: Instruction) -> None:
        """What the base image would run is no argument for this one."""
        self.config["Entrypoint"] = self._command(one)
        if not self._has_cmd:
            self.config.pop("Cmd", None)

    def _command(self, one: Instruction, rest: str | None = None) -> list[str]:
        words = json_list(one.rest if rest is None else rest)
        return (
            [*(self.config.get("Shell") or _SHELL), one.rest if rest is None else rest]
            if words is None
            else words
        )

    def shell(self, one: Instruction) -> None:
        words = json_list(one.rest)
        if not words:
            raise one.refuse('it is written ["program", "argument"]')
        self.config["Shell"] = words

    def healthcheck(self, one: Instruction) -> None:
        kind, rest = [*one.rest.split(None, 1), ""][:2]
        if kind.upper() == "NONE" and not rest and not one.flags:
            self.config["Healthcheck"] = {"Test": ["NONE"]}
            return
        unknown = set(one.flags) - {*_TIMES, "retries"}
        if kind.upper() != "CMD" or not rest or unknown:
            raise one.refuse(
                "it is written `HEALTHCHECK [--interval=30s …] CMD command`, or `HEALTHCHECK NONE`"
            )
        words = json_list(rest)
        check: dict[str, Any] = {"Test": ["CMD-SHELL", rest] if words is None else ["CMD", *words]}
        check |= {
            _TIMES[name]: _duration(one, value)
            for name, value in one.flags.items()
            if name in _TIMES
        }
        if "retries" in one.flags:
            if not one.flags["retries"].isdecimal():
                raise one.refuse(f"--retries={one.flags['retries']} is no number")
            check["Retries"] = int(one.flags["retries"])
        self.config["Healthcheck"] = check

    def maintainer(self, one: Instruction) -> None:
        self.author = one.rest


def _is_folder(dest: str) -> bool:
    return dest.endswith(("/", "/.")) or dest == "."


def _absolute(folder: str, path: str) -> str:
    """POSIX keeps two slashes at the front; images have one."""
    return "/" + normpath(join(folder, path)).lstrip("/")


def _owner(words: str) -> Owner | None:
    """`1000:1000`, or `1000` for both; None if it names somebody else than root."""
    user, _, group = words.partition(":")
    found = ["0" if one == "root" else one for one in (user, group or user)]
    return (
        (int(found[0]), int(found[1]))
        if all(one.isdecimal() and one.isascii() for one in found)
        else None
    )


def _duration(one: Instruction, words: str) -> int:
    """A duration of Go's, such as 1m30s, in nanoseconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", words)
    if words != "0" and (not parts or "".join("".join(part) for part in parts) != words):
        raise one.refuse(f"`{words}` is no duration such as 30s")
    return sum(round(float(number) * _NS[unit]) for number, unit in parts)


_MEANINGS: Mapping[str, Callable[[_Evaluation, Instruction], CopyStep | FolderStep | None]] = {
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
    return (
        {**config, "Labels": {**(config.get("Labels") or {}), **labels}}
        if labels or config.get("Labels")
        else dict(config)
    )
