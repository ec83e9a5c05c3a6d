"""Next commands and the command line: each is a command that there is, with options that it has."""

import ast
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.advice import NextCommand, SameOptions
from toolkit.cli.main import cli, typed_options
from toolkit.show.advice import SAME_OPTIONS, command_words

ROOT = Path(__file__).parents[2] / "toolkit"
FILES = sorted(ROOT.rglob("*.py"))

NOT_REPEATED = {
    "resume": {"env", "region"},  # its run says where it acts
    "history": {"env"},  # it lists the runs of all environments
    "sandbox up": {"rules", "env"},  # nobody is in it yet
    "sandbox reset": {"rules", "env"},
}
"""What a command has options for, and a next command does not repeat."""

SENTENCES = {
    "cli/output.py": "the command whose --help is the place to look",
    "cli/sandbox.py": "what a shell has to evaluate",
    "cli/crash.py": "the report's first line: the version",
    "cli/explain.py": "the end of a pipe that begins with another program",
    "cli/health.py": "the name of a JUnit suite",
    "cli/smoke_test.py": "the name of a JUnit suite",
    "exits.py": "what an exit code means, in --help",
    "init/draft_builder.py": "a comment in the drafted rules.toml",
    "init/repository_draft.py": "a note on what was found, which says what else could be drafted",
    "ports/aws/client.py": "what a shell has to evaluate",
    "sandbox/engine.py": "what the sandbox answers to other programs",
    "sandbox/guard.py": "what a digest is made of",
    "show/sandbox.py": "the way in, whose output a shell evaluates",
    "targets/stack/apply.py": "a line of a step's log",
}
"""Where a text says `toolkit` and a word that is a command all the same, and what it is."""


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> dict[str, click.Command]:
    """Every command by its name."""
    by_name: dict[str, click.Command] = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            by_name |= commands(command, (*path, name))
        else:
            by_name[" ".join((*path, name))] = command
    return by_name


COMMANDS = commands()


def option_names(command: click.Command) -> set[str]:
    parameters = command.get_params(click.Context(command))
    return {name for parameter in parameters for name in parameter.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_next_command_repeats_just_the_options_that_the_command_has(name: str) -> None:
    options = {f"--{option}" for option in ("rules", "env", "region")}
    has = {option.removeprefix("--") for option in options & option_names(COMMANDS[name])}
    assert set(SAME_OPTIONS.get(name, ())) == has - NOT_REPEATED.get(name, set())


def test_the_table_names_no_other_commands() -> None:
    assert SAME_OPTIONS.keys() | NOT_REPEATED.keys() <= COMMANDS.keys()


# What the code builds


def built(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NextCommand":
            yield node


CALLS = [
    pytest.param(call, id=f"{file.relative_to(ROOT)}:{call.lineno}")
    for file in FILES
    for call in built(ast.parse(file.read_text()))
]


@pytest.mark.parametrize("call", CALLS)
def test_every_next_command_in_the_code_is_a_command_with_options_that_it_has(
    call: ast.Call,
) -> None:
    name = call.args[0]
    words = {
        node.value
        for part in (*call.args[1:], *(keyword.value for keyword in call.keywords))
        for node in ast.walk(part)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    options = {word for word in words if word.startswith("--")} - {"--help"}
    if isinstance(name, ast.Constant):
        assert isinstance(name.value, str)
        assert options <= option_names(COMMANDS[name.value])
    else:
        # An action of a kind, or a command that runs already: each is a command by that name.
        assert ast.unparse(name) in ("action", "self.action", "check", "command", "part.command")
        assert not options


def texts(tree: ast.AST) -> Iterator[str]:
    """Every text in the code but docstrings and what click shows as help."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.keyword) and node.arg in ("help", "epilog", "description"):
            skipped |= {id(child) for child in ast.walk(node.value)}
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EPILOG":
            skipped |= {id(child) for child in ast.walk(node.value)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(child) for child in ast.walk(node)}
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


GENERATED = ("cli/completion_table.py",)


def names_a_command(text: str) -> bool:
    first = {name.split()[0] for name in COMMANDS}
    words = [rest.split(maxsplit=1)[0] for rest in text.split("toolkit ")[1:] if rest.strip()]
    return any(word.strip("`,;:.)") in {*first, "{}"} for word in words)


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=str(file.relative_to(ROOT))) for file in FILES]
)
def test_no_text_holds_a_command_of_ours(file: Path) -> None:
    name = str(file.relative_to(ROOT))
    actual = [text for text in texts(ast.parse(file.read_text())) if names_a_command(text)]
    if name in GENERATED:  # from the summaries of the commands
        return
    assert len(actual) == (name in SENTENCES), actual


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=str(file.relative_to(ROOT))) for file in FILES]
)
def test_words_of_a_command_are_quoted_only_where_it_is_rendered(file: Path) -> None:
    """A name that was quoted before is no longer whole once a terminal's text escapes it."""
    imported = {
        alias.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "shlex"
        for alias in node.names
    }
    rendering = file.parent.name == "show"
    assert rendering or "quote" not in imported


# What click reads


HOSTILE = st.text(st.characters(exclude_characters="\0"), min_size=1)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_click_reads_hostile_names_in_a_next_command_as_what_they_are(
    target: str, environment: str, rules: str, region: str
) -> None:
    command = NextCommand("deploy", (target,))
    same = SameOptions(rules, environment, region)
    name, *words = command_words(command, same)
    context = COMMANDS[name].make_context(name, words)
    assert context.params["targets"] == (target,)
    assert [context.params[key] for key in ("rules", "env", "region")] == [
        rules,
        (environment,),
        region,
    ]


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("health", SameOptions()),
        ("health --env prod app", SameOptions(env="prod")),
        ("-e stage health --env=prod", SameOptions(env="prod")),
        ("deploy -eprod --region=us-east-1 app", SameOptions(env="prod", region="us-east-1")),
        ("--rules other.toml diff --env", SameOptions(rules="other.toml")),
        ("deploy app -- --env prod", SameOptions()),
        ("deploy app --env=", SameOptions()),
        ("health --env $(reboot)", SameOptions(env="$(reboot)")),
        ("rules check --rules x.toml", SameOptions(rules="x.toml")),
        ("--rules a.toml lock show --env b app", SameOptions("a.toml", "b")),
        ("nothing --env prod", SameOptions()),
        ("-C /nowhere health --nothing", SameOptions()),
        ("", SameOptions()),
    ],
)
def test_what_a_command_line_says_is_repeated(line: str, same: SameOptions) -> None:
    assert typed_options(line.split()) == same
