"""`toolkit init`: look at the repository and draft rules.toml."""

import os
from collections.abc import Sequence

import click
from msgspec.structs import replace

from toolkit import flow
from toolkit.advice import ShellCommand
from toolkit.cli import debugging, options, output
from toolkit.cli.draft_proof import prove
from toolkit.errors import FileIsThere, RulesError, UsageError
from toolkit.formats.patterns import everything_in, literal
from toolkit.formats.words import count
from toolkit.init.account import Account
from toolkit.init.coverage import PathCoverage, measure_coverage
from toolkit.init.draft import draft_to_toml
from toolkit.init.draft_builder import Question, answered
from toolkit.init.evidence import Evidence
from toolkit.init.repository_draft import RepositoryDraft, cdk_folders, draft_repository
from toolkit.model import Rules
from toolkit.operations import Location
from toolkit.ports import disk, files
from toolkit.ports.git import Git
from toolkit.show import survey as show

MOST_BYTES = 1024 * 1024
"""The most bytes of one file that are read."""


@click.command(epilog="Then: toolkit rules check, toolkit diff")
@click.option("-C", "folder", metavar="DIR", help="Run as if started in DIR.")
@click.option(
    "--out",
    metavar="FILE",
    help=(
        "Where to write the draft; the default is `rules.toml` at the repository's root, - is "
        "the screen."
    ),
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option(
    "--synth",
    is_flag=True,
    help="Synthesize the CDK apps to see their stacks. This runs programs of the repository.",
)
@click.option(
    "--from-aws",
    is_flag=True,
    help=(
        "Read what runs in the AWS account and region of your credentials, to draft from it. This"
        " changes nothing there."
    ),
)
@click.option(
    "--yes",
    is_flag=True,
    help="Ask nothing: what is not known is left to be filled in, and nothing is ignored.",
)
@options.as_json
@debugging.debug_option
@click.pass_context
def init(
    ctx: click.Context, /, folder: str | None, out: str | None, as_json: bool, **flags: bool
) -> int:
    """Look at the repository and draft rules.toml.

    It drafts what something proves to be deployed: a step of CI, a script, a Makefile, a
    package.json, cdk.json, samconfig.toml and the like. It lists what else it saw. On a terminal
    it asks at most ten questions. Then it runs `rules check`, `doctor` and a replay of 50 commits
    on its draft. It runs no program of the repository without --synth, calls AWS only with
    --from-aws, and replaces an existing file only with --force.
    """
    git = Git.open(options.enter(ctx, folder))
    path = out or os.path.join(git.root, "rules.toml")
    if path != "-" and not flags["force"] and os.path.lexists(path):
        raise FileIsThere(path=flow.display_path(path))
    paths = [name for name in git.files() if name != "rules.toml"]
    if not paths:
        raise UsageError("git tracks no file here", ("add some first:", ShellCommand("git add .")))
    asks = output.interactive() and not (flags["yes"] or as_json or path == "-")
    result = draft_repository(
        paths,
        lambda name: files.text_inside(git.root, name, MOST_BYTES),
        os.path.basename(git.root),
        _synthesized(paths, git, flags["synth"]) if flags["synth"] or asks else (),
        _account(git) if flags["from_aws"] else None,
    )
    if asks:
        result = _ask(result, paths)
    text = draft_to_toml(result.draft)
    rules = flow.read_rules(text.encode(), "the draft", draft=True)
    proof = prove(text, rules, paths, git)
    if path != "-":
        disk.write(path, text.encode(), replace=flags["force"], mode=0o666)
    covered = _coverage(rules, paths)
    written = None if path == "-" else flow.display_path(path)
    if as_json:
        return output.document(show.document(result, covered, rules, proof, text, written))
    remarks = show.text(result, covered, rules, proof, written)
    if written is None:  # the draft itself is the answer, so the remarks must not be part of it
        output.say(text.rstrip("\n"))
        output.note(remarks)
    else:
        output.say(remarks)
    return 0


def _synthesized(paths: Sequence[str], git: Git, is_asked_for: bool) -> Sequence[Evidence]:
    """The stacks of the CDK apps, if that was asked for or a person says so now."""
    from toolkit.cli.redaction import redactor
    from toolkit.flow.draft_evidence import assembly_evidence

    folders = cdk_folders(paths)
    if folders and not is_asked_for:
        from toolkit.cli import prompt

        listed = ", ".join(folder or "." for folder in folders[:5])
        words = f"Run the CDK app in {listed}, to see its stacks? That runs the repository's code."
        if not prompt.confirm(words, False):
            return ()
    return list(assembly_evidence(folders, git, redactor()))


def _account(git: Git) -> Account:
    """What runs in the account of the credentials."""
    from toolkit.cli.ports import open_ports
    from toolkit.flow.draft_account import read_account

    return read_account(open_ports(git, git.root).aws(Location()))


def _coverage(rules: Rules, paths: Sequence[str]) -> PathCoverage:
    return measure_coverage([rule.paths for rule in rules.rules], paths, rules.ignore)


def _ask(drafted: RepositoryDraft, paths: Sequence[str]) -> RepositoryDraft:
    """Ask what only a person knows: names first, then whether folders that no rule matches are for
    people alone. What is not answered stays to be filled in.
    """
    from toolkit.cli import prompt  # what it loads takes its time

    draft = drafted.draft
    unanswered: list[Question] = []
    left = show.MOST_QUESTIONS
    for question in drafted.questions:
        answer = ""
        if left and question.environment:
            left -= 1
            answer = prompt.text(f"{question.text}? (Enter: later)")
        changed = answered(draft, question, answer)
        text = draft_to_toml(changed)
        try:
            flow.read_rules(text.encode(), "the draft", draft=True)
        except RulesError as error:
            output.note(f"that is not possible: {error.problems[0]}")
            changed = draft
        if changed is draft:
            unanswered.append(question)
        draft = changed
    if draft.targets:
        rules = flow.read_rules(draft_to_toml(draft).encode(), "the draft", draft=True)
        for folder, number in _coverage(rules, paths).folders[:left]:
            pattern = everything_in(folder.rstrip("/")) if folder.endswith("/") else literal(folder)
            words = f"{count(number, 'file')} in {folder}: does anything that is deployed use them?"
            if not prompt.confirm(words, True):
                draft = answered(draft, Question(words, ignore=pattern), "no")
    return replace(drafted, draft=draft, questions=tuple(unanswered))
