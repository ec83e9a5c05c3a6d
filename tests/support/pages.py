"""The documentation's moving parts: generated references, and console examples that really run.

`python -m tests.support.pages` writes them all again; tests/test_docs.py fails when that would
change anything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tests.support import completions
from tests.support.run import ROOT
from tests.support.sandbox import prepare
from toolkit.cli.main import cli
from toolkit.cli.rules_schema import schema
from toolkit.model import CheckTypeName

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
GENERATED = "<!-- Written by scripts/docs. Change the code, not this file. -->\n"

_BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
_ENV = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "COLUMNS": "80",
    "LC_ALL": "C.UTF-8",
    "USER": "ada",
    "LOGNAME": "ada",
    "TOOLKIT_CACHE_DIR": str(ROOT / ".cache" / "toolkit"),
}
SANDBOX = "toolkit sandbox up"
"""A page whose examples say this runs in a sandbox of its own, on the mainline with nothing
changed.
"""
COMMITS = (
    "90d7db011ff424b4e29262aec9809f01b9f2e17a",
    "3e8a51c47b02d9f6a1c85e40b7d3926f18ce5a04",
    "b61f09d2e5478ac3019de67f42b85ca7130d9e6f",
)
"""How commits are written, whichever they are: by their order of appearance, the last one for all
that come later.
"""


def car_rental(folder: Path) -> Path:
    """The example as a clone on a branch with a committed, an uncommitted and an ignored change, as
    scripts/demo makes it.
    """
    origin, clone = folder / "origin", folder / "car-rental"
    ignored = shutil.ignore_patterns("dist", "cdk.out", "__pycache__", ".*_cache")
    shutil.copytree(ROOT / "examples" / "car-rental", origin, ignore=ignored)
    _git(origin, "init", "-q", "-b", "main")
    _git(origin, "add", "-A")
    _git(origin, "commit", "-q", "-m", "Car rental")
    _git(folder, "clone", "-q", str(origin), str(clone))
    _git(clone, "checkout", "-q", "-b", "faster-search")
    _append(clone / "backend/src/car_rental/catalogue.py", "# a faster search\n")
    _git(clone, "commit", "-q", "-a", "-m", "Search faster")
    _append(clone / "cdk/stacks/fargate_stack.py", "# more memory\n")
    _append(clone / "README.md", "A note.\n")
    return clone


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def _git(folder: Path, *args: str) -> None:
    subprocess.run(
        ["git", *args], cwd=folder, env={**os.environ, **_ENV}, check=True, capture_output=True
    )


def with_examples_run(page: str) -> str:
    """The page with the output of every `console` block as it is today.

    The blocks of a page run one after the other in the same repository and with the same exported
    variables; a line that starts with `$ ` is a command, everything else output. A block whose
    output holds a line of `...` keeps its own words if they still match.
    """
    if not _BLOCK.search(page):
        return page
    with (
        tempfile.TemporaryDirectory(prefix="toolkit-docs-") as folder,
        _session(Path(folder), runs_in_sandbox(page)) as session,
    ):
        return _BLOCK.sub(lambda block: session.run(block[0]), page)


def runs_in_sandbox(page: str) -> bool:
    """Whether its examples need the sandbox."""
    return any(SANDBOX in block for block in _BLOCK.findall(page))


class Session:
    """One page's shell: a repository, and what the commands before have exported."""

    def __init__(self, folder: Path, repo: Path) -> None:
        self._repo, self._exported = repo, folder / "exported"
        self._exported.write_text("")
        document = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "TOOLKIT_"))
        }
        path = f"{_commands(folder)}{os.pathsep}{os.environ['PATH']}"
        self._env = {
            **document,
            **_ENV,
            "PATH": path,
            "HOME": str(folder),
            "TOOLKIT_STATE_DIR": str(folder / "state"),
        }
        self._commits: dict[str, str] = {}
        self._runs: dict[str, str] = {}

    def run(self, block: str) -> str:
        """The block with today's output."""
        out: list[str] = []
        for command, expected in _parts(block):
            output = self._masked(self.shell(command[2:]))
            receipt = "...\n" in expected and re.fullmatch(_wildcard(expected), output)
            out.append(command + "\n" + (expected if receipt else output))
        return "".join(out)

    def shell(self, command: str) -> str:
        """What a person would see of a command: both streams, and the exit code where it is not
        0.
        """
        script = f". {self._exported}\n{command}\ncode=$?\nexport -p >{self._exported}\nexit $code"
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=self._repo,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.stdout + (f"(exit {done.returncode})\n" if done.returncode else "")

    def _masked(self, text: str) -> str:
        """What differs from one day, or one version of the example, to the next is always written
        in the same way.
        """
        text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:4e1c", text)
        text = re.sub(r"(?<=-dirty-)[0-9a-f]{12}\b", "5f0c2a9e7d31", text)
        text = re.sub(
            r"(?<!-dirty-)\b(?=\d*[a-f])(?=[a-f]*\d)(?:[0-9a-f]{40}|[0-9a-f]{12}|[0-9a-f]{7})\b",
            self._commit,
            text,
        )
        text = re.sub(r"\b\d{8}-\d{6}-[a-z0-9]{4}\b", self._run, text)
        text = re.sub(r"\b\d{4}-\d\d-\d\d([T ])\d\d:\d\d(:\d\d)?(\.\d+)?", _time, text)
        text = _USED.sub(_used, text)
        text = re.sub(r"\b(in|of about) \d+s\b", r"\1 2s", text)
        text = _BUILT.sub(r"\1", text)  # its time is only worth telling on a slow machine
        text = _TOOK.sub(r"\1  2s", text)
        text = _NOTHING.sub(r"\1", text)
        text = _DONE.sub(r"\1 in 2s", text)
        text = re.sub(r"\b(?!1\.2s)(?:\d+ms|\d+\.\ds)(?!\w)", "12ms", text)
        text = re.sub(r"(?<=(?:failing|unknown) in )12ms\b", "0.8s", text)
        text = re.sub(r"^(-+(?:  -+)+  )-{4,6}$", r"\1-----", text, flags=re.MULTILINE)
        text = _MOVING.sub(r"\1[\2] 0 of 1 tasks running\n[\2] 1 of 1 tasks running\n", text)
        return re.sub(r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:40123", text)

    def _commit(self, match: re.Match[str]) -> str:
        setdefault = self._commits.setdefault(
            match[0][:7], COMMITS[min(len(self._commits), len(COMMITS) - 1)]
        )
        return setdefault[: len(match[0])]

    def _run(self, match: re.Match[str]) -> str:
        return self._runs.setdefault(
            match[0], f"20261120-1937{10 + len(self._runs)}-x7k{2 + len(self._runs) % 8}"
        )


_BUILT = re.compile(r"^(\S+:build +done +[0-9a-f]{12}) +\d+s$", re.MULTILINE)
_TOOK = re.compile(r"^(\S+ +(?:done|failed, rolled back) +[0-9a-f]{12}) +\d+s\b", re.MULTILINE)
_NOTHING = re.compile(r"^(\S+ +nothing to do +[0-9a-f]{12}) +\d+s$", re.MULTILINE)
"""Rows of the table at a run's end."""
_USED = re.compile(
    r"^on this machine  .*\n[- ]+\n(?:.*\n)*?in all, with toolkit .*\n", re.MULTILINE
)
"""What a run took on this machine, as a table."""
_DONE = re.compile(r"^(\[[\w:-]+\] done|[\w-]+ [0-9a-f]{12}: done)$", re.MULTILINE)
"""A quick machine is done in less than a second."""
_MOVING = re.compile(
    r"^(\[(\w+)\] moving .*\n)(?:\[\2\] \d+ of \d+ tasks running\n)*", re.MULTILINE
)
"""How many of a deploy's looks come while tasks start depends on the machine."""


def _used(match: re.Match[str]) -> str:
    """The table of what a run took on this machine, with the same figures everywhere."""
    rows = [re.split(r" {2,}", row) for row in match[0].splitlines()]
    for row in rows[2:]:
        row[1] = "1.2s"
        row[2] = re.sub(r"\d.*", "96.0 MB", row[2])
        row[3] = re.sub(r"[1-9].*", "1.2 MB", row[3])
    widths = [max(map(len, column)) for column in zip(rows[0], *rows[2:], strict=True)]
    rows[1] = ["-" * width for width in widths]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)


def _time(match: re.Match[str]) -> str:
    return f"2026-11-20{match[1]}19:37{':42' if match[2] else ''}{'.118' if match[3] else ''}"


@contextmanager
def _session(folder: Path, sandbox: bool) -> Iterator[Session]:
    repo = car_rental(folder)
    if sandbox:
        # Its one-time line belongs to the machine, not to the page.
        prepare(Path(_ENV["TOOLKIT_CACHE_DIR"]))
        _git(repo, "checkout", "-q", "-f", "main")
    session = Session(folder, repo)
    try:
        yield session
    finally:
        if sandbox:
            session.shell("toolkit sandbox down")


def _commands(folder: Path) -> Path:
    """A folder with a `toolkit` that is this checkout's."""
    result = folder / "bin"
    result.mkdir()
    script = result / "toolkit"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m toolkit "$@"\n')
    script.chmod(0o755)
    return result


def _parts(block: str) -> Iterator[tuple[str, str]]:
    """Each command, with the output that follows it."""
    command, expected = "", ""
    for line in block.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, expected
            command, expected = line, ""
        else:
            expected += line + "\n"
    yield command, expected


def _wildcard(expected: str) -> str:
    return re.escape(expected).replace(re.escape("...\n"), r"(?:.*\n)*")


def command_reference() -> str:
    """Every command's own help."""
    parts = [GENERATED, "# Commands\n", "The `--help` of every command.\n"]
    for path, command in _commands_of(cli, ("toolkit",)):
        command._help_option = None  # click keeps that of the first context, of whatever test
        context = click.Context(
            command,
            info_name=path[-1],
            parent=_parents(path[:-1]),
            max_content_width=100,
            terminal_width=100,
            help_option_names=cli.context_settings["help_option_names"],
        )
        parts.append(f"## {' '.join(path)}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _parents(path: tuple[str, ...]) -> click.Context | None:
    parent: click.Context | None = None
    for name in path:
        parent = click.Context(cli, info_name=name, parent=parent)
    return parent


def _commands_of(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1])
        for name in command.list_commands(context):
            result = command.get_command(context, name)
            assert result is not None
            yield from _commands_of(result, (*path, name))


def _structs_of(
    definition: dict[str, Any], definitions: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The keys that hold a table of their own, each with what is in that."""
    for key, value in definition["properties"].items():
        for one in (value, *value.get("anyOf", ())):
            struct = definitions.get(one.get("$ref", "").rpartition("/")[2], {})
            if "properties" in struct:
                yield key, struct


def rules_reference() -> str:
    """Every key of rules.toml, from its schema."""
    document = schema()
    definitions = document["$defs"]
    kinds = [
        item["$ref"].rsplit("/", 1)[1]
        for item in document["properties"]["targets"]["additionalProperties"]["oneOf"]
    ]
    parts = [
        GENERATED,
        "# rules.toml, key by key\n",
        INTRODUCTION,
        "## The file\n",
        _table(document),
    ]
    parts += [
        "## `[environments.NAME]`\n",
        _sentence(definitions["Environment"]),
        _table(definitions["Environment"]),
    ]
    common: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        parts += [
            f'## `[targets.NAME]` with `kind = "{kind}"`\n',
            _sentence(definitions[kind]),
            _table(definitions[kind]),
        ]
        article = "an" if kind[0] in "aeiou" else "a"
        for key, struct in _structs_of(definitions[kind], definitions):
            if all(key in definitions[each]["properties"] for each in kinds):
                common[key] = struct
            else:
                parts += [f"### `{key}` of {article} {kind}\n", _sentence(struct), _table(struct)]
    for key, struct in common.items():
        parts += [f"## `{key}` of a target\n", _sentence(struct), _table(struct)]
    parts += ["## `[[rules]]`\n", _sentence(definitions["Rule"]), _table(definitions["Rule"])]
    for name in CheckTypeName:
        local = definitions[f"check-{name}"]
        parts += [f"## `[checks.NAME]` with `{name}`\n", _sentence(local), _table(local)]
        inner = definitions.get(
            local["properties"].get("expect", {}).get("$ref", "").rpartition("/")[2]
        )
        if inner:
            parts += [f"### `expect` of `{name}`\n", _sentence(inner), _table(inner)]
        if name == "http":
            parts += [
                "### `load`\n",
                _sentence(definitions["LoadTable"]),
                _table(definitions["LoadTable"]),
            ]
    parts += [
        "## `[secrets.NAME]`\n",
        _sentence(definitions["Secret"]),
        _table(definitions["Secret"]),
    ]
    parts += [
        "## `[[accept]]`\n",
        _sentence(definitions["AcceptTable"]),
        _table(definitions["AcceptTable"]),
    ]
    return "\n".join(parts)


INTRODUCTION = """\
`toolkit` searches for `rules.toml`, then `.toolkit/rules.toml`, in the current folder and in its
parents, up to the repository's root; `--rules FILE` uses another file. Unknown keys, wrong types,
undefined names and targets that need each other in a cycle are errors with a line. `toolkit rules
schema` prints the format as JSON Schema for editors ([rules.schema.json](rules.schema.json) is a
copy).

In a target's settings, `{name}` is a variable of the environment, and `{region}` the region that it
is deployed to. Names of targets and environments consist of letters, digits, `_`, `-` and `.`, with
`/` between parts. Patterns: [patterns.md](patterns.md).

Limits: 1 MiB, 16 KiB per line, 16 levels of nesting, 16 dots in a line outside of quotes, 10,000
targets, 10,000 rules, 1,024 characters per pattern, 1,024 alternatives in the braces of a pattern.
"""


def _sentence(definition: dict[str, Any]) -> str:
    return str(definition.get("description", "")) + "\n"


def _table(definition: dict[str, Any]) -> str:
    required = definition.get("required", [])
    lines = ["| key | holds | default | meaning |", "| --- | --- | --- | --- |"]
    for key, value in definition["properties"].items():
        default = "required" if key in required else _default(value.get("default"))
        lines.append(f"| `{key}` | {_type(value)} | {default} | {_meaning(value)} |")
    return "\n".join(lines) + "\n"


def _meaning(value: dict[str, Any]) -> str:
    inner: list[dict[str, Any]] = [value, *value.get("anyOf", [])]
    return next((item["description"] for item in inner if item.get("description")), "").replace(
        "|", "\\|"
    )


def _default(value: object) -> str:
    if value is None or value in ([], {}, ()) or isinstance(value, dict):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(value: dict[str, Any]) -> str:
    if "const" in value:
        return f'`"{value["const"]}"`'
    if "anyOf" in value:
        return _type(next(item for item in value["anyOf"] if item.get("type") != "null"))
    if "$ref" in value:
        return "table"
    if value.get("type") == "array":
        words = value.get("items", {}).get("enum")
        return f"list of {', '.join(f'`{word}`' for word in words)}" if words else "list"
    return {
        "string": "text",
        "object": "table",
        "boolean": "`true` or `false`",
        "integer": "number",
    }.get(value.get("type", ""), "")


def schema_text() -> str:
    """docs/rules.schema.json."""
    import json

    return json.dumps(schema(), indent=2) + "\n"


def generated() -> dict[Path, str]:
    """Every file that is written as a whole."""
    return {
        DOCS / "commands.md": command_reference(),
        DOCS / "rules.md": rules_reference(),
        DOCS / "rules.schema.json": schema_text(),
        completions.FILE: completions.table_text(),
    }


def main() -> None:
    """Write everything again."""
    for path, text in generated().items():
        path.write_text(text)
    for page in PAGES:
        if page.exists():
            page.write_text(with_examples_run(page.read_text()))


if __name__ == "__main__":
    main()
