"""`toolkit explain`: which rule, pattern and line sends a path where, and why no other rule
does.
"""

from typing import Any

import click

from toolkit import flow
from toolkit.advice import NextCommand, ShellCommand
from toolkit.changes.detect import relative
from toolkit.cli import options, output
from toolkit.cli.diff import records_for
from toolkit.errors import UsageError
from toolkit.flow.build_inputs import input_targets
from toolkit.flow.compare import DiffRequest
from toolkit.impact.explain import explain as explain_path
from toolkit.model import Commit
from toolkit.plan.counterfactuals import counterfactuals
from toolkit.ports import files
from toolkit.ports.git import Git
from toolkit.show import counterfactuals as show_plan
from toolkit.show import explanation as show

EPILOG = """\b
Examples:
  toolkit explain cdk/stacks/fargate_stack.py
  toolkit explain --plan         which few files make the plan wide?
  toolkit explain --plan change  the same of this branch's change"""


@click.command(epilog=EPILOG)
@click.argument("paths", nargs=-1)
@click.option("--plan", is_flag=True, help="Show which few changed files widen the plan of `diff`.")
@options.common
@options.environment
@options.as_json
@click.pass_context
def explain(ctx: click.Context, /, paths: tuple[str, ...], plan: bool, **values: Any) -> int:
    """Explain which rule, pattern and line matches a PATH, and why no other rule does.

    PATH need not exist. In a repository, it also shows who changed the file last.

    With --plan, show what `toolkit diff` would recommend without a few of the changed files. Give
    its BASE in place of PATH, if it has one.
    """
    folder, as_json = options.enter(ctx, values["folder"]), values["as_json"]
    rules = options.inherited(ctx, "rules", values["rules"])
    if plan:
        environment = options.inherited(ctx, "env", values["env"])
        return _explain_plan(DiffRequest(folder, _base(paths), rules, environment), as_json)
    if not paths:
        raise UsageError(
            "`explain` needs a PATH", ("or:", NextCommand("explain", options=("--plan",)))
        )
    git = options.repository(folder)
    book = flow.rule_book(flow.load_rules(folder, rules, git))
    options.known_environment(ctx, book.rules)
    rules_path = flow.rules_path(book.rules, git)
    users = input_targets(book.rules, book.rules.environment, git, None)
    explanations = [explain_path(_path(path, git), book, users.by) for path in paths]
    commits: list[Commit | None] = [None] * len(explanations)
    if git and git.head:
        commits = [git.last_commit(explanation.path) for explanation in explanations]
    if as_json:
        return output.document(show.document(explanations, commits))
    texts: list[str] = []
    for explanation, commit in zip(explanations, commits, strict=True):
        is_rules = explanation.path == rules_path
        texts.append(show.text(explanation, commit, book.rules.file, is_rules))
    output.say("\n\n".join(texts))
    return 0


def _base(words: tuple[str, ...]) -> str | None:
    """The base of --plan, None for the default one."""
    if len(words) > 1:
        raise UsageError(f"--plan takes one BASE, not {len(words)}", "leave the others out")
    return words[0] if words else None


def _explain_plan(request: DiffRequest, as_json: bool) -> int:
    """Show which few files widen the plan that `diff` would recommend."""
    git = Git.open(request.folder, bare=request.base is not None and ".." in request.base)
    answer = flow.diff(request, git, records_for(request, git, as_json))
    several = counterfactuals(answer, flow.deploy_command)
    if as_json:
        return output.document(show_plan.document(answer, several))
    output.say(show_plan.text(answer, several, output.width()))
    return 0


def _path(path: str, git: Git | None) -> str:
    """A path as git writes it: from the repository's root, wherever the person stands."""
    if git is None:
        return relative(path)
    in_root = files.relative(path, git.root)
    if in_root is None:
        raise UsageError(f"{path!r} is not in the repository", f"it starts at {git.root}")
    # A submodule is a folder, but one path to git.
    if files.is_folder(path) and in_root not in git.files():
        raise UsageError(
            f"{path!r} is a folder",
            ("name a file, or:", ShellCommand("git ls-files -- {} | toolkit rules match", (path,))),
        )
    return in_root
