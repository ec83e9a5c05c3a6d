"""`toolkit rules check`: is rules.toml right, and does it fit the files that there are?"""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from msgspec.structs import replace

from toolkit import flow
from toolkit.cli import options, output
from toolkit.errors import UsageError
from toolkit.exits import Exit
from toolkit.flow import checks, observed_inputs
from toolkit.flow.build_inputs import target_inputs
from toolkit.flow.rulebook import own_paths
from toolkit.impact.lint import INFORMATION, generated_findings, lint
from toolkit.model import LintCode, LintFinding, Rules
from toolkit.ports.git import Git
from toolkit.show import lint as show


@click.command("check")
@options.common
@options.color
@click.option(
    "--strict", is_flag=True, help="Exit with 1 if there is a finding, or a file that no rule owns."
)
@click.option(
    "--templates",
    is_flag=True,
    help="Also find stacks that no target deploys. This runs the CDK apps.",
)
@options.as_json
@click.pass_context
def rules_check(ctx: click.Context, /, **values: Any) -> int:
    """Find dead, shadowed and overlapping rules, and files that no rule owns.

    An error in rules.toml, or in a file that it includes, exits with 2. Findings are advice: they
    exit with 0 unless you give --strict. Outside a repository, only these files themselves are
    checked.

    With --templates, a stack of a CDK app that no target deploys in any environment exits with 1.
    """
    folder = options.enter(ctx, values["folder"])
    strict, as_json = values["strict"], values["as_json"]
    git = options.repository(folder)
    loaded = flow.load_rules(folder, options.inherited(ctx, "rules", values["rules"]), git)
    options.known_environment(ctx, loaded)
    checks.inspect_checks(loaded)
    groups = [name for name, target in loaded.targets.items() if target.members]
    result, serious = None, False
    if values["templates"] and (git is None or git.bare):
        raise UsageError(
            "--templates needs a repository with a working tree", "run it in your repository"
        )
    if git is not None:
        own = own_paths(flow.rules_path(loaded, git))
        awaited = observed_inputs.awaited(loaded, git)
        paths = [path for path in git.files() if path not in own]
        result = lint(flow.rule_book(loaded), paths, groups, awaited)
        if not git.bare:
            inputs = target_inputs(loaded, loaded.environment)
            images = {name for name, target in inputs.items() if target.images}
            findings = generated_findings(flow.rule_book(loaded), _generated(loaded, git), images)
            evidence = observed_inputs.findings(loaded, git)
            result = replace(result, findings=(*result.findings, *findings, *evidence))
        if values["templates"]:
            found = _uncovered(loaded, git, as_json)
            result = replace(result, findings=(*result.findings, *found))
        codes = {finding.code for finding in result.findings}
        serious = bool(result.unowned or codes.difference(INFORMATION))
    failed = result is not None and any(finding.code.is_error for finding in result.findings)
    code = Exit.FAILED if failed or (strict and serious) else Exit.OK
    if as_json:
        return output.document(show.document(loaded, result, code))
    output.say(show.text(loaded, result))
    return code


def _uncovered(rules: Rules, git: Git, silent: bool) -> list[LintFinding]:
    """The stacks that no target deploys, and the apps of which that is not known."""
    from toolkit.cli.ports import open_ports
    from toolkit.cli.redaction import redacted
    from toolkit.cli.synthesis_progress import SynthesisProgress
    from toolkit.flow import parts
    from toolkit.show.advice import sentence

    findings: list[LintFinding] = []
    with SynthesisProgress(silent=silent, estimate_s=0) as progress:
        for thing in parts.uncovered_everywhere(rules, open_ports(git, git.root), progress):
            if thing.unknown:
                message = f"whether all of {thing.source} is covered is not known"
                hint = redacted(sentence(thing.unknown))
                findings.append(LintFinding(LintCode.NOT_CHECKED, None, message, hint))
            else:
                message = parts.words_of(thing)
                hint = "add a target for it, or patterns that match it"
                findings.append(LintFinding(LintCode.UNCOVERED, None, message, hint))
    return findings


def _generated(rules: Rules, git: Git) -> Mapping[str, Sequence[str]]:
    """For each target the files that its build takes and git does not know."""
    from toolkit.changes.detect import look
    from toolkit.flow.versions import generated_files

    return generated_files(rules, rules.environment, git, look(git))
