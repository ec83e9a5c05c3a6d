"""`toolkit rules observe`: what does this command look up, and do the rules know it?"""

from collections.abc import Callable
from typing import Any

import click
from msgspec import Struct

from toolkit import flow
from toolkit.advice import NextCommand
from toolkit.cli import options, output
from toolkit.cli.run_task import CommandWord
from toolkit.errors import UsageError
from toolkit.exits import Exit
from toolkit.flow import observed_inputs
from toolkit.flow.observed_inputs import ObservedTarget, ObserveRequest
from toolkit.flow.rulebook import environment_name, evidence_name
from toolkit.model import Rules
from toolkit.observed.missed import matched_counts
from toolkit.operations import EvidenceProblem, ObservedCommand
from toolkit.ports.git import Git
from toolkit.show import observation as show

EPILOG = """\b
Examples:
  toolkit rules observe --target api -- npm run build
  toolkit rules observe --target infra --write -- sh -c 'make && cdk synth'
  toolkit rules observe --check
  toolkit rules observe --check --target api -- npm run build

What the command writes is left alone, and its exit code is passed on; what was observed is shown on
standard error. With --check, a command that ends well exits with 1 if something would be missed."""


class ObserveArguments(Struct, frozen=True, kw_only=True):
    """The arguments and options that are this command's own, as click gives them."""

    words: tuple[str, ...]
    target: str | None
    write: bool
    check: bool
    strict: bool
    as_json: bool


@click.command("observe", epilog=EPILOG, context_settings={"allow_interspersed_args": False})
@click.argument("words", nargs=-1, type=CommandWord(), metavar="-- COMMAND...")
@click.option("--target", metavar="TARGET", help="The target that the command builds.")
@click.option(
    "--write", is_flag=True, help="Add what is missed to rules.toml, and record what was proven."
)
@click.option(
    "--check",
    is_flag=True,
    help="Exit with 1 if something is missed, or the record no longer holds; for CI.",
)
@click.option(
    "--strict", is_flag=True, help="Also count new files of any type in folders that were listed."
)
@options.common
@options.environment
@options.color
@options.as_json
@click.pass_context
def rules_observe(ctx: click.Context, /, **values: Any) -> int:
    """Run a build and find the files that it reads and no rule matches.

    A change of such a file would be missed. Files opened, folders listed and names looked for in
    vain all count, also those of child processes. Without a command, --check compares what is
    recorded with the rules and the lock files of today.
    """
    arguments = ObserveArguments(
        **{name: values.pop(name) for name in ObserveArguments.__struct_fields__}
    )
    folder = options.enter(ctx, values["folder"])
    _check_usage(arguments)
    git = Git.open(folder)
    rules = flow.load_rules(folder, options.inherited(ctx, "rules", values["rules"]), git)
    environment = environment_name(options.inherited(ctx, "env", values["env"]), rules)
    if arguments.target is not None and arguments.target not in rules.targets:
        names = ", ".join(rules.targets) or "no targets are defined"
        raise UsageError(f"unknown target {arguments.target!r}", f"choose one: {names}")
    if not arguments.words:
        return _check_record(arguments, rules, git, environment)
    request = ObserveRequest(
        folder=folder,
        environment=environment,
        target=arguments.target,
        command=arguments.words,
        # one document on standard output, and nothing of the command's in it
        out=2 if arguments.as_json else None,
    )
    output.push()
    observation = observed_inputs.observe(request, git)
    return _Report(arguments, rules, git, environment).of(observation)


def _check_usage(arguments: ObserveArguments) -> None:
    """Raises UsageError for options that do not go together."""
    if not arguments.words and not arguments.check:
        raise UsageError("no command", "put two dashes and the command behind the options")
    if arguments.write and arguments.target is None:
        raise UsageError("--write needs --target", "name the target that the command builds")
    if arguments.write and arguments.check:
        raise UsageError("--write and --check cannot be combined", "use --check in CI")
    if arguments.check and arguments.words and arguments.target is None:
        raise UsageError(
            "--check of a command needs --target", "name the target that the command builds"
        )


def _check_record(
    arguments: ObserveArguments, rules: Rules, git: Git, environment: str | None
) -> int:
    """What is recorded against the rules and lock files of today; nothing is run."""
    recorded = observed_inputs.recorded(rules, git)
    names = [arguments.target] if arguments.target else sorted(recorded)
    if not names:
        raise UsageError(
            "nothing is recorded",
            (
                "observe a command first:",
                NextCommand("rules observe", ("COMMAND",), ("--target", "TARGET", "--write")),
            ),
        )
    judge = observed_inputs.judge(rules, git, environment)
    tracked = observed_inputs.tracked_files(git)
    problems: list[EvidenceProblem] = []
    targets: list[ObservedTarget] = []
    for name in names:
        if name not in rules.targets:
            problems.append(EvidenceProblem(name, "rules.toml has no such target"))
            continue
        problems += observed_inputs.evidence_problems(name, None, rules, git)
        if name in recorded:
            seen = recorded[name]
            targets.append(
                observed_inputs.held_against(seen, name, judge, tracked, arguments.strict)
            )
    report = _Report(arguments, rules, git, environment)
    return report.finish(None, targets, problems, output.say)


class _Report:
    """What is said of an observation, and its exit code."""

    def __init__(
        self, arguments: ObserveArguments, rules: Rules, git: Git, environment: str | None
    ) -> None:
        self._arguments, self._rules, self._git = arguments, rules, git
        self._environment = environment

    def of(self, observation: ObservedCommand) -> int:
        """Hold it against the rules; with --write, keep it."""
        arguments, rules, git = self._arguments, self._rules, self._git
        judge = observed_inputs.judge(rules, git, self._environment)
        if not arguments.as_json:
            for words in show.observed(observation):
                output.note(words)
        if arguments.target is None:
            counts = list(matched_counts(observation.inputs, judge))
            if not arguments.as_json:
                output.note(show.matched(counts, observation.inputs))
            return self.finish(observation, [], [], output.note, dict(counts))
        name = arguments.target
        tracked = observed_inputs.tracked_files(git)
        target = observed_inputs.held_against(observation, name, judge, tracked, arguments.strict)
        problems: tuple[EvidenceProblem, ...] = ()
        if arguments.check:
            problems = observed_inputs.evidence_problems(name, observation, rules, git)
        if arguments.write:
            target = self._written(observation, target)
        return self.finish(observation, [target], problems, output.note)

    def _written(self, observation: ObservedCommand, target: ObservedTarget) -> ObservedTarget:
        """Write patterns and evidence; what is still missed then."""
        rules, git = self._rules, self._git
        if observation.code != 0:
            output.note("warning: the command failed, so nothing was written")
            return target
        changed = rules
        if target.patterns:
            written = observed_inputs.write_patterns(target, rules)
            if written is None:
                output.note(
                    f"warning: {rules.file} could not be changed safely; add the patterns yourself"
                )
            else:
                changed = written
                self._rules = written
                output.note(f"{written.file}: patterns added; look at them before you commit")
        path = observed_inputs.record(target.target, observation, changed, git)
        output.note(f"{flow.display_path(path)}: recorded; commit it with {rules.file}")
        judge = observed_inputs.judge(changed, git, self._environment)
        tracked = observed_inputs.tracked_files(git)
        strict = self._arguments.strict
        return observed_inputs.held_against(observation, target.target, judge, tracked, strict)

    def finish(
        self,
        observation: ObservedCommand | None,
        targets: list[ObservedTarget],
        problems: tuple[EvidenceProblem, ...] | list[EvidenceProblem],
        tell: Callable[[str], None],
        matches: dict[str, int] | None = None,
    ) -> int:
        """Say what the rules make of it. The exit code: the command's own, unless that is 0."""
        missed = any(not each.in_doubt for target in targets for each in target.missed)
        code = 0 if observation is None else observation.code
        if code < 0:
            code = 128 - code
        if not code and self._arguments.check and (missed or problems):
            code = int(Exit.FAILED)
        if self._arguments.as_json:
            rows = [(each.target, each.missed, each.patterns) for each in targets]
            return output.document(show.document(observation, rows, problems, matches or {}, code))
        for target in targets:
            self._tell_missed(target, tell)
        for words in show.problems(problems, evidence_name(self._rules.file)):
            tell(words)
        return code

    def _tell_missed(self, target: ObservedTarget, tell: Callable[[str], None]) -> None:
        for words in show.missed(target.target, target.missed, self._rules, target.is_whole):
            tell(words)
        if not target.patterns:
            return
        new = [each for each in target.patterns if each.line is None]
        texts = [observed_inputs.new_rule(each, target.target) for each in new]
        tell(show.proposed(target.patterns, self._rules, texts))
