"""`toolkit explain`: which rule, pattern and line sends a path where, and why no other rule
does.
"""

import click

from toolkit import flow
from toolkit.advice import ShellCommand
from toolkit.changes.detect import relative
from toolkit.cli import options, output
from toolkit.errors import UsageError
from toolkit.flow.build_inputs import input_targets
from toolkit.impact.explain import explain as explain_path
from toolkit.model import Commit
from toolkit.ports import files
from toolkit.ports.git import Git
from toolkit.show import explanation as show


@click.command(epilog="Example: toolkit explain cdk/stacks/fargate_stack.py")
@click.argument("paths", nargs=-1, required=True)
@options.common
@options.as_json
@click.pass_context
def explain(
    ctx: click.Context, paths: tuple[str, ...], folder: str | None, rules: str | None, as_json: bool
) -> int:
    """Explain which rule, pattern and line matches a PATH, and why no other rule does.

    PATH need not exist. In a repository, it also shows who changed the file last.
    """
    folder = options.enter(ctx, folder)
    git = options.repository(folder)
    book = flow.rule_book(flow.load_rules(folder, options.inherited(ctx, "rules", rules), git))
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
