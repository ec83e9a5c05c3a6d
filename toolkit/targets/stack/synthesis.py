"""What a stack's source says that the stack has to be, in the form of the templates room: it is
recorded with each deploy, so that a later synthesis can be compared with it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from msgspec.structs import replace

from toolkit.advice import advice_parts
from toolkit.errors import (
    FileProblem,
    NoTemplate,
    ProgramFailed,
    Refused,
    StateDamaged,
)
from toolkit.operations import Job
from toolkit.ports import cdk, cdk_assembly, cdk_packages, stale_packages
from toolkit.ports.ports import Ports
from toolkit.ports.program_runs import ProgramLog
from toolkit.targets.base import Report
from toolkit.targets.stack import kept_stacks, packaging, patterns, sources
from toolkit.targets.stack.observe import stack_name
from toolkit.templates import assembly
from toolkit.templates.model import SynthesizedStack
from toolkit.templates.refinement import Synthesis, encode, not_synthesized

_NOWHERE = packaging.PackageBucket("toolkit-packages", "", "s3://toolkit-packages/")
"""Where code lies does not count, only what it is."""
NO_LOCATION = (
    "the account and region that it is deployed to are not known: add `account` and `regions` to"
    " the environment in rules.toml, or deploy it once"
)


def synthesized(
    job: Job, ports: Ports, source: sources.ChangeSetSource, check: Callable[[], None]
) -> SynthesizedStack | None:
    """The stack of a source; None if it is in no assembly. Raises FileProblem, Refused."""
    if job.settings.cdk:
        stack = _of_assembly(job, ports, source, check)
    else:
        stack = plain(job, ports.root, source.account, source.region)
    if stack is None:
        return None
    return with_parameters(stack, job.settings.parameters)


def with_parameters(stack: SynthesizedStack, configured: Mapping[str, str]) -> SynthesizedStack:
    """The stack with the parameters of rules.toml, which win."""
    return replace(stack, parameters={**stack.parameters, **configured})


def _of_assembly(
    job: Job, ports: Ports, source: sources.ChangeSetSource, check: Callable[[], None]
) -> SynthesizedStack | None:
    with ports.shared.turn(("stacks", source.assembly), job.step, check) as work:
        if work.is_mine:
            work.value = stacks_of(source.assembly)
        stacks: tuple[SynthesizedStack, ...] = work.value
    return matching(stacks, stack_name(job), source.account, source.region)


def stacks_of(folder: str) -> tuple[SynthesizedStack, ...]:
    """All stacks of an assembly. Raises FileProblem."""
    return assembly.stacks(cdk_assembly.reader(folder))


def matching(
    stacks: tuple[SynthesizedStack, ...], name: str, account: str | None, region: str | None
) -> SynthesizedStack | None:
    """The stack of that name in that account and region; None where there is none."""
    return next(
        (stack for stack in stacks if stack.name == name and _is_in(stack, account, region)), None
    )


def matching_all(
    stacks: Sequence[SynthesizedStack],
    wanted: Sequence[str],
    account: str | None,
    region: str | None,
) -> tuple[SynthesizedStack, ...]:
    """The stacks in that account and region that patterns match."""
    return tuple(
        stack
        for stack in stacks
        if _is_in(stack, account, region) and patterns.matches(wanted, stack.name, stack.id)
    )


def _is_in(stack: SynthesizedStack, account: str | None, region: str | None) -> bool:
    """Whether a stack is for an account and region; where one of them is not known, for any."""
    in_account = not account or stack.account in (None, account)
    return in_account and (not region or stack.region in (None, region))


def plain(job: Job, root: str, account: str | None, region: str | None) -> SynthesizedStack:
    """The stack of a template in the repository, with its local code by content. Raises Refused,
    FileProblem, NoTemplate.
    """
    path = job.settings.template
    text = sources.template_text(root, path)
    packaged = packaging.package_template(root, path, text, lambda: _NOWHERE)
    contents: dict[str, str] = {}
    for asset in packaged.assets:
        # Two may be called the same where templates are nested.
        name = asset.name if asset.name not in contents else f"{asset.name} {asset.key}"
        contents[name] = asset.key.rpartition("/")[2]
    stack = SynthesizedStack(job.target, stack_name(job), account, region, {})
    return assembly.plain_stack(stack, packaged.text, contents, path=path)


def keep(job: Job, ports: Ports, source: sources.ChangeSetSource, report: Report) -> str:
    """Keep the text of a source's stack until its deploy has ended; the digest under which it is
    kept, empty where nothing reliable is known of the stack. No reason for a deploy to fail: it is
    only for later comparisons.
    """
    try:
        stack = synthesized(job, ports, source, report.check)
        if stack is None or stack.missing:
            return ""
        return kept_stacks.keep(encode([stack]), ports.cache)
    except (FileProblem, Refused, StateDamaged) as problem:
        report.log(f"later templates cannot be compared with this one: {problem}")
        return ""


def synthesize(
    jobs: Sequence[Job], ports: Ports, log: ProgramLog, again: bool
) -> tuple[Synthesis, ...]:
    """See targets/base.py."""
    apps: dict[cdk.CdkApp, Synthesis] = {}
    answers: list[Synthesis] = []
    for job in jobs:
        if not job.settings.cdk:
            answers.append(_of_template(job, ports))
            continue
        app = _app(job, ports)
        if isinstance(app, Synthesis):
            answers.append(app)
            continue
        if app not in apps:
            apps[app] = _of_app(app, ports, log, again)
        answers.append(_of_stack(job, app, apps[app]))
    return tuple(answers)


def _of_template(job: Job, ports: Ports) -> Synthesis:
    try:
        stack = plain(job, ports.root, job.location.account, job.location.region)
    except (FileProblem, NoTemplate, Refused) as problem:
        return not_synthesized(problem)
    return Synthesis((with_parameters(stack, job.settings.parameters),))


def _app(job: Job, ports: Ports) -> cdk.CdkApp | Synthesis:
    """The app of a job, or why it cannot be synthesized for its location. Commits are compared with
    each other without one, too: the app leaves it open for both.
    """
    location, settings = job.location, job.settings
    if not ports.fresh and not (location.account and location.region):
        return Synthesis(unknown=NO_LOCATION)
    return cdk.CdkApp(
        ports.root,
        settings.cdk,
        location,
        location.account or "",
        location.region or "",
        settings.context,
        settings.pass_env,
        ports.fresh,
    )


def _of_app(app: cdk.CdkApp, ports: Ports, log: ProgramLog, again: bool) -> Synthesis:
    stale = "" if ports.fresh else stale_packages.stale(app.root, app.folder)
    if stale:
        install = advice_parts(cdk_packages.install(app.root, app.folder))
        return Synthesis(unknown=(f"{stale}; to install it:", *install))
    try:
        return Synthesis(stacks_of(cdk.synthesized(app, ports.cache, log, again)))
    except (FileProblem, ProgramFailed, Refused, StateDamaged) as problem:
        return not_synthesized(problem)


def _of_stack(job: Job, app: cdk.CdkApp, whole: Synthesis) -> Synthesis:
    if whole.unknown:
        return whole
    if wanted := job.settings.patterns:
        return _of_patterns(wanted, app, whole)
    name = stack_name(job)
    stacks = [
        stack
        for stack in whole.stacks
        if stack.name == name and _is_in(stack, app.account, app.region)
    ]
    if len(stacks) > 1:
        return Synthesis(unknown=f"the CDK app has several stacks {name}; {NO_LOCATION}")
    stack = next(iter(stacks), None)
    if stack is None:
        names = ", ".join(sorted({other.name for other in whole.stacks})) or "none"
        return Synthesis(unknown=f"the CDK app has no stack {name} there; it has {names}")
    if stack.missing:
        return Synthesis(unknown="; ".join(stack.missing), about=stack.remarks)
    return Synthesis((with_parameters(stack, job.settings.parameters),))


def _of_patterns(wanted: Sequence[str], app: cdk.CdkApp, whole: Synthesis) -> Synthesis:
    stacks = matching_all(whole.stacks, wanted, app.account, app.region)
    missing = dict.fromkeys(why for stack in stacks for why in stack.missing)
    if missing:
        about = tuple(chain.from_iterable(stack.remarks for stack in stacks))
        return Synthesis(unknown="; ".join(missing), about=about)
    return Synthesis(stacks)
