"""`toolkit explain`: which rule, pattern and line sends a path where, and why no other rule
does.
"""

from shlex import quote

import click

from toolkit import flow
from toolkit.changes.detect import relative
from toolkit.cli import options, output
from toolkit.errors import UsageError
from toolkit.flow.sources import used
from toolkit.impact.explain import explain as explained
from toolkit.ports import files
from toolkit.ports.git import Git
from toolkit.show import explained as show


@click.command(epilog="Example: toolkit explain cdk/stacks/fargate_stack.py")
@click.argument("paths", nargs=-1, required=True)
@options.common
@options.as_json
@click.pass_context
def explain(
    ctx: click.Context, paths: tuple[str, ...], folder: str | None, rules: str | None, as_json: bool
) -> int:
    """Which rule, pattern and line sends a PATH where, and why no other rule does.

    PATH need not exist. In a repository it also says who touched it last.
    """
    folder = options.enter(ctx, folder)
    git = options.repository(folder)
    book = flow.book(flow.load_rules(folder, options.inherited(ctx, "rules", rules), git))
    options.known_environment(ctx, book.rules)
    own = flow.rules_path(book.rules, git)
    users = used(book.rules, book.rules.environment, git, None)
    found = [explained(_path(path, git), book, users.by) for path in paths]
    last = [git.last_commit(one.path) if git and git.head else None for one in found]
    if as_json:
        return output.document(show.document(found, last))
    output.say(
        "\n\n".join(
            show.text(one, commit, book.rules.file, one.path == own)
            for one, commit in zip(found, last, strict=True)
        )
    )
    return 0


def _path(path: str, git: Git | None) -> str:
    """A path as git writes it: from the repository's root, wherever the person stands."""
    if git is None:
        return relative(path)
    found = files.relative(path, git.root)
    if found is None:
        raise UsageError(f"{path!r} is not in the repository", f"it starts at {git.root}")
    if (
        files.is_folder(path) and str(found) not in git.files()
    ):  # a submodule is a folder, and a path
        raise UsageError(
            f"{path!r} is a folder",
            f"name a file, or: git ls-files {quote(path)} | toolkit rules match",
        )
    return str(found)
