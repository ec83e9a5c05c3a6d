"""The words of a command: its options and its other words, and what stands before its program."""

from collections.abc import Collection, Sequence
from posixpath import basename

from msgspec import Struct

_RUNNERS = {
    "sudo",
    "exec",
    "nohup",
    "command",
    "npx",
    "bunx",
    "pnpx",
    "time",
    "cross-env",
    "env",
    "dotenv",
    "dotenvx",
    "chronic",
    "nice",
    "eval",
    "and",
    "timeout",
}
_RUN_BEHIND = {
    "pnpm": {"exec", "dlx", "run"},
    "yarn": {"dlx", "exec", "run"},
    "npm": {"exec", "x", "run", "run-script"},
    "bun": {"x", "run"},
    "uv": {"run"},
    "uvx": set[str](),
    "poetry": {"run"},
    "pipenv": {"run"},
    "pdm": {"run"},
    "hatch": {"run"},
    "bundle": {"exec"},
    "aws-vault": {"exec"},
    "doppler": {"run"},
    "op": {"run"},
    "turbo": set[str](),
}
_MOST_RUNNERS = 6
_MANAGERS = {"pnpm", "yarn", "npm", "bun"}
_TAKES_VALUE = {
    "-p",
    "--package",
    "--filter",
    "-F",
    "-C",
    "--dir",
    "--cwd",
    "--prefix",
    "-w",
    "--workspace",
    "-e",
    "-f",
    "--project",
    "--directory",
    "--profile",
}
_OF_FOLDER = {"-C", "--dir", "--cwd", "--prefix", "--directory"}
_OF_PACKAGE = {"--filter", "-F", "-w", "--workspace"}


class Program(Struct, frozen=True):
    """A program with its words. `folder` and `package` are where a package manager was told to
    start it, empty where it was not.
    """

    name: str
    words: tuple[str, ...]
    folder: str = ""
    package: str = ""


def program_of(words: Sequence[str]) -> Program | None:
    """The program that a command starts, behind `sudo`, `npx`, `pnpm exec` and their like."""
    rest = list(words)
    folder = package = ""
    for _ in range(_MOST_RUNNERS):
        if not rest:
            return None
        name = basename(rest[0])
        if name in _RUNNERS:
            rest = _behind_options(rest[1:])[1 if name == "timeout" else 0 :]
        elif name in ("python", "python3") and rest[1:2] == ["-m"]:
            rest = rest[2:]
        elif name in _RUN_BEHIND:
            behind, options = _behind_manager(name, rest)
            folder = _option(options, _OF_FOLDER) or folder
            package = _option(options, _OF_PACKAGE) or package
            if behind is None:
                break
            rest = behind
            if name in _MANAGERS:
                break
        else:
            break
    return Program(basename(rest[0]), tuple(rest[1:]), folder, package) if rest else None


def _option(options: Sequence[tuple[str, str]], names: Collection[str]) -> str:
    return next((value for key, value in options if key in names), "")


def _behind_manager(name: str, words: list[str]) -> tuple[list[str] | None, list[tuple[str, str]]]:
    """What `pnpm --filter api exec` and the like start, and their options; None where they start
    nothing.
    """
    index, options = _leading_options(words)
    behind = words[index:]
    if name == "yarn" and behind[:1] == ["workspace"] and len(behind) > 2:
        options.append(("--workspace", behind[1]))
        behind = behind[2:]
    if behind[:1] and behind[0] in _RUN_BEHIND[name]:
        more, inner = _leading_options(behind)
        options += inner
        behind = behind[more:]
        # `npm run cdk -- deploy`: the dashes are npm's.
        if behind[1:2] == ["--"]:
            del behind[1]
        if name == "aws-vault":
            behind = behind[1:]
        return behind[1:] if behind[:1] == ["--"] else behind, options
    return (behind if name in _MANAGERS else None), options


def _behind_options(words: list[str]) -> list[str]:
    index = 0
    while index < len(words):
        word = words[index]
        if word in ("-p", "--package", "-f", "-e"):
            index += 2
        elif word == "--" or word.startswith("-") or ("=" in word and not word.startswith("=")):
            index += 1
        else:
            break
    return words[index:]


def _leading_options(words: list[str]) -> tuple[int, list[tuple[str, str]]]:
    """How many words come before the first that is no option, and the options."""
    options: list[tuple[str, str]] = []
    index = 1
    while index < len(words) and words[index].startswith("-"):
        key, equals, value = words[index].partition("=")
        if words[index] == "--":
            index += 1
            break
        if equals:
            options.append((key, value))
        elif key in _TAKES_VALUE and index + 1 < len(words):
            options.append((key, words[index + 1]))
            index += 1
        index += 1
    return index, options


_TAKES_SEVERAL = {
    "--capabilities",
    "--parameter-overrides",
    "--parameters",
    "--tags",
    "--paths",
    "--exclude",
    "-x",
    "--notification-arns",
}


class Options:
    """Options with their values, and the words that are none."""

    def __init__(self, words: Sequence[str], flags: Collection[str] = ()) -> None:
        self.values: dict[str, list[str]] = {}
        self.plain: list[str] = []
        index = 0
        while index < len(words):
            word = words[index]
            index += 1
            if word == "--":
                continue
            if not word.startswith("-") or word == "-":
                self.plain.append(word)
                continue
            key, equals, value = word.partition("=")
            listed = self.values.setdefault(key, [])
            if equals:
                listed.append(value)
            elif key in flags:
                listed.append("true")
            else:
                # A few options take several words: `--capabilities A B`.
                while index < len(words) and not words[index].startswith("-"):
                    listed.append(words[index])
                    index += 1
                    if key not in _TAKES_SEVERAL:
                        break

    def first(self, *names: str) -> str:
        """The first value of an option that goes by these names; empty where there is none."""
        return next((self.values[name][0] for name in names if self.values.get(name)), "")

    def has(self, *names: str) -> bool:
        """Whether the option stands there, with or without a value."""
        return any(name in self.values for name in names)
