"""What could come next on the command line, for the completion of bash, zsh and fish.

It is asked at each press of a key, so it loads next to nothing, not even click: the commands and
options are in `completion_table.py`, which `scripts/docs` writes. AWS and git are never asked;
nothing is written; where something cannot be read, nothing is suggested. Names come from a
repository that may be hostile: only those that no shell could take for anything else are suggested.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from toolkit.cli.completion_table import COMMANDS, TASK_KINDS

MOST = 200
"""How many names are suggested."""
FILE_MOST = 1024 * 1024
"""How many bytes of a file, and of all included files, are read."""
INCLUDES_MOST = 100
"""How many included files are read."""
ABOUT_MOST = 80
"""How many letters stand beside a name."""
GOOD = ("succeeded", "unchanged")
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@/+-]{0,199}")
_QUOTES = re.compile(r"""\\(.)|["']""", re.DOTALL)

Suggestion = tuple[str, str, str]
"""Its type for the shell's script (plain, file, dir), the word, and what it is (or empty)."""


class Line:
    """A command line as far as it is typed: its command, the values of its options, its other
    words, and the option whose value comes next.
    """

    def __init__(self, words: list[str]) -> None:
        self.path = ""
        self.values: dict[str, str] = {}
        self.others: list[str] = []
        self.pending = ""
        self.is_unknown = False
        self._ended = False  # by `--`
        for word in words:
            self._take(word)

    @property
    def takes_options(self) -> bool:
        """Whether a word that begins with `-` is an option."""
        return not self._ended

    def option(self, name: str) -> tuple[str, str | tuple[str, ...] | None]:
        """The first name of an option, and what its value is: None for a flag. An unknown option
        is one, too.
        """
        for names, value, _, _ in COMMANDS[self.path][0]:
            if name in names:
                return names[0], value
        return name, None

    def _take(self, word: str) -> None:
        if self.pending:
            if word != "=":  # bash takes it for a word of its own
                self.values[self.pending], self.pending = word, ""
        elif word == "--" and not self._ended:
            self._ended = True
        elif word[:1] == "-" and len(word) > 1 and not self._ended:
            self._take_option(word)
        elif COMMANDS[self.path][2]:
            path = f"{self.path} {word}".strip()
            if path in COMMANDS:
                self.path = path
            else:
                self.is_unknown = True
        else:
            self.others.append(word)

    def _take_option(self, word: str) -> None:
        name, has_value, value = word.partition("=")
        if not word.startswith("--"):
            name, has_value, value = word[:2], word[2:], word[2:]
        first, source = self.option(name)
        if source is None:
            self.values[first] = ""
        elif has_value:
            self.values[first] = value
        else:
            self.pending = first


def suggestions(words: list[str], incomplete: str, joined: bool) -> Iterator[Suggestion]:
    """What the incomplete word behind these words could become. `joined`: the shell takes
    `--option=value` for one word.
    """
    line = Line(words)
    if line.is_unknown:
        return
    if line.pending:
        begun = "" if incomplete == "=" else incomplete  # bash takes it for a word of its own
        yield from _named(line, line.option(line.pending)[1] or "", begun)
    elif line.takes_options and incomplete.startswith("--") and "=" in incomplete:
        name, _, begun = incomplete.partition("=")
        for kind, word, about in _named(line, line.option(name)[1] or "", begun):
            is_whole = joined and kind == "plain"
            yield kind, f"{name}={word}" if is_whole else word, about
    elif line.takes_options and incomplete.startswith("-"):
        yield from _options(line, incomplete)
    else:
        yield from _others(line, incomplete)


def _options(line: Line, incomplete: str) -> Iterator[Suggestion]:
    for names, _, repeatable, about in COMMANDS[line.path][0]:
        if names[0] in line.values and not repeatable:
            continue
        for name in names:
            if name.startswith(incomplete):
                yield "plain", name, about


def _others(line: Line, incomplete: str) -> Iterator[Suggestion]:
    """Commands, or what comes next behind the words that are no options."""
    _, arguments, commands = COMMANDS[line.path]
    for name, about in commands.items():
        if name.startswith(incomplete):
            yield "plain", name, about
    position = len(line.others)
    for source, repeatable in arguments:
        if repeatable or position == 0:
            for suggestion in _named(line, source, incomplete):
                if suggestion[1] not in line.others:
                    yield suggestion
            return
        position -= 1


def _named(line: Line, source: str | tuple[str, ...], incomplete: str) -> Iterator[Suggestion]:
    """The names of a source: words, files, or what rules.toml and the records have."""
    if isinstance(source, tuple):
        names: Iterator[tuple[str, str]] = ((name, "") for name in source)
    elif source in ("file", "dir"):
        yield source, "", ""
        return
    elif source in SOURCES:
        names = SOURCES[source](Project(line))
    else:
        return
    shown: set[str] = set()
    for name, about in names:
        if name.startswith(incomplete) and name not in shown and _SAFE.fullmatch(name):
            shown.add(name)
            shown_about = about[:ABOUT_MOST]
            is_plain = shown_about.isascii() and shown_about.isprintable()
            yield "plain", name, shown_about if is_plain else ""
            if len(shown) == MOST:
                return


class Project:
    """What completion reads of a project: rules.toml, what it includes, and the state on this
    machine. Whatever cannot be read is empty.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self._folder = os.path.expanduser(line.values.get("-C") or ".")
        self.root = _root(self._folder)
        named = line.values.get("--rules")
        self._path = self._nearest()
        if named:
            self._path = os.path.join(self._folder, os.path.expanduser(named))
        self.rules = _tables(self._path, "" if named else self.root)

    def _nearest(self) -> str:
        """rules.toml as `ports.files.find_rules` finds it; empty if there is none."""
        current = os.path.realpath(self._folder)
        while True:
            for name in ("rules.toml", os.path.join(".toolkit", "rules.toml")):
                path = os.path.join(current, name)
                if os.path.isfile(path):
                    return path
            if current in (self.root, os.path.dirname(current)):
                return ""
            current = os.path.dirname(current)

    def table(self, name: str) -> dict[str, dict[str, object]]:
        """The tables in a table, by name."""
        return _tables_in(self.rules.get(name))

    def checks(self) -> dict[str, dict[str, object]]:
        """The checks, those of included files, too."""
        checks = dict(self.table("checks"))
        folder = os.path.dirname(os.path.realpath(self._path))
        left = FILE_MOST
        for name in dict.fromkeys(_texts(self.rules.get("include"))[:INCLUDES_MOST]):
            path = os.path.join(folder, name)
            left -= _size(path)
            if left < 0:
                break
            checks |= _tables_in(_tables(path, folder).get("checks"))
        return checks

    def environment(self) -> str:
        """The environment that was typed, or the default; empty where nobody says."""
        typed, default = self.line.values.get("-e"), self.rules.get("environment")
        environments = list(self.table("environments"))
        only = ""
        if len(environments) == 1:
            only = environments[0]
        return typed or (default if isinstance(default, str) else only)

    def state_folders(self) -> list[str]:
        """The folders of its state: for AWS itself, then for other endpoints; only for these where
        calls go to one.
        """
        from toolkit.record import places

        project = self.rules.get("project")
        root = self.root or os.path.realpath(self._folder)
        own = places.folder_name(project if isinstance(project, str) else None, root, None)
        parent = places.state_folder()
        names = [name for name in sorted(_files(parent)) if name.startswith(f"{own}@")]
        if not os.environ.get("AWS_ENDPOINT_URL"):
            names = [own, *names]
        return [os.path.join(parent, name) for name in names]


def _root(folder: str) -> str:
    """The folder with `.git` at or above a folder; empty if there is none."""
    current = os.path.realpath(folder)
    while not os.path.lexists(os.path.join(current, ".git")):
        if current == os.path.dirname(current):
            return ""
        current = os.path.dirname(current)
    return current


def _tables(path: str, root: str) -> dict[str, object]:
    """The tables of a TOML file; none where it leads out of `root` by links."""
    from toolkit.formats import toml

    real = os.path.realpath(path)
    if not path or (root and os.path.commonpath((real, root)) != root):
        return {}
    try:
        return toml.parse(_read(real))[1]
    except (toml.TomlError, OSError):
        return {}


def _read(path: str) -> bytes:
    """A file's bytes; empty where it is no regular file, or too large. Raises OSError."""
    from stat import S_ISREG

    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode) or status.st_size > FILE_MOST:
            return b""
        return file.read(FILE_MOST)


def _size(path: str) -> int:
    """A file's size in bytes; 0 where it cannot be read."""
    with suppress(OSError, ValueError):
        return os.stat(path).st_size
    return 0


def _files(folder: str) -> list[str]:
    """The names in a folder; none where there is none."""
    with suppress(OSError):
        return os.listdir(folder)
    return []


def _document(path: str, first_line: bool = False) -> dict[str, object]:
    """A JSON object in a file, or in its first line."""
    import json

    with suppress(OSError, ValueError, RecursionError):
        data = _first_line(path) if first_line else _read(path)
        document = json.loads(data)
        if isinstance(document, dict):
            return document
    return {}


def _first_line(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        return file.readline(FILE_MOST)


def _tables_in(value: object) -> dict[str, dict[str, object]]:
    if not isinstance(value, dict):
        return {}
    return {name: table for name, table in value.items() if isinstance(table, dict)}


def _tables_of(value: object) -> list[dict[str, object]]:
    return [table for table in value if isinstance(table, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _targets(project: Project) -> Iterator[tuple[str, str]]:
    for name, target in project.table("targets").items():
        yield name, _text(target.get("kind"))


def _targets_of_kind(project: Project) -> Iterator[tuple[str, str]]:
    """Those of the kind that the command is called after."""
    kind = project.line.path.removeprefix("deploy-")
    return ((name, about) for name, about in _targets(project) if about == kind)


def _task_targets(project: Project) -> Iterator[tuple[str, str]]:
    """Those that can run a command once."""
    return ((name, about) for name, about in _targets(project) if about in TASK_KINDS)


def _members(project: Project) -> Iterator[tuple[str, str]]:
    """All targets but groups."""
    groups = {name for name, target in project.table("targets").items() if "members" in target}
    return ((name, about) for name, about in _targets(project) if name not in groups)


def _environments(project: Project) -> Iterator[tuple[str, str]]:
    for name, environment in project.table("environments").items():
        yield name, _text(environment.get("account"))


def _regions(project: Project) -> Iterator[tuple[str, str]]:
    chosen = project.environment()
    for name, environment in project.table("environments").items():
        if chosen in ("", name):
            for region in _texts(environment.get("regions")):
                yield region, ""


def _checks(project: Project) -> Iterator[tuple[str, str]]:
    return (
        (name, ", ".join(_texts(check.get("tags"))[:ABOUT_MOST]))
        for name, check in project.checks().items()
    )


def _tags(project: Project) -> Iterator[tuple[str, str]]:
    for check in project.checks().values():
        for tag in _texts(check.get("tags")):
            yield tag, ""


def _runs(project: Project) -> Iterator[tuple[str, str]]:
    """The runs of this machine, newest first."""
    from toolkit.record.places import JOURNAL, RUNS

    runs: set[str] = set()
    for folder in project.state_folders():
        names = _files(os.path.join(folder, RUNS))
        runs |= {name.removesuffix(JOURNAL) for name in names if name.endswith(JOURNAL)}
    return ((run, "") for run in sorted(runs, reverse=True))


def _steps(project: Project) -> Iterator[tuple[str, str]]:
    """The steps of the run that was typed."""
    from toolkit.record.places import JOURNAL, RUNS

    run = project.line.others[0]
    if not _SAFE.fullmatch(run) or "/" in run:
        return
    for folder in project.state_folders():
        path = os.path.join(folder, RUNS, f"{run}{JOURNAL}")
        facts = _document(path, first_line=True).get("facts")
        jobs = facts.get("jobs") if isinstance(facts, dict) else None
        for job in _tables_of(jobs):
            yield str(job.get("step", "")), ""


def _versions(project: Project) -> Iterator[tuple[str, str]]:
    """The versions of the target that was typed that were good, newest first, as this machine's
    record has them.
    """
    from toolkit.record.places import record_files

    [target] = project.line.others[:1] or [""]
    if not _SAFE.fullmatch(target):
        return
    environment = project.environment()
    deploys: list[tuple[int, str, str]] = []
    for folder in project.state_folders():
        for path in record_files(folder, environment, target):
            for record in _tables_of(_document(path).get("records")):
                if record.get("verdict") in GOOD:
                    number = record.get("n")
                    order = number if isinstance(number, int) else 0
                    when = str(record.get("when", ""))[:16].replace("T", " ")
                    deploys.append((order, str(record.get("version", "")), when))
    for _, version, when in sorted(deploys, reverse=True):
        yield version, when


SOURCES: dict[str, Callable[[Project], Iterator[tuple[str, str]]]] = {
    "targets": _targets,
    "targets of the kind": _targets_of_kind,
    "targets but groups": _members,
    "targets that run tasks": _task_targets,
    "environments": _environments,
    "regions": _regions,
    "checks": _checks,
    "tags": _tags,
    "runs": _runs,
    "steps": _steps,
    "versions": _versions,
}
"""What `completion_table.py` says of a value -> the names, and what each is."""


def main(shell: str) -> None:
    """Answer a shell's script, and leave. Whatever goes wrong, nothing is written: it would stand
    in the middle of what somebody types.
    """
    answer = ""
    with suppress(Exception):
        answer = respond(shell, os.environ)
    with suppress(OSError):
        os.write(1, answer.encode("ascii"))
    os._exit(0)


def respond(shell: str, variables: Mapping[str, str]) -> str:
    """The lines that the scripts in `completion.py` expect."""
    words = [_unquoted(word) for word in variables["_TOOLKIT_WORDS"].split("\n")]
    index = int(variables["_TOOLKIT_CURRENT"])
    incomplete = ""
    if index < len(words):
        incomplete = words[index]
    lines = [
        "\t".join(suggestion).rstrip("\t")
        for suggestion in suggestions(words[1:index], incomplete, joined=shell != "bash")
    ]
    return "\n".join((*lines, ""))


def _unquoted(word: str) -> str:
    """A word as the program would get it: without quotes and backslashes, whether they are closed
    or not.
    """
    return _QUOTES.sub(lambda match: match[1] or "", word)
