"""One CloudFormation stack, from a CDK app or from a plain template; or several of a CDK app."""

import posixpath
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolkit.advice import NextCommand
from toolkit.model import Inputs, Resource
from toolkit.targets import base
from toolkit.targets.stack.options import StackOptions
from toolkit.targets.stack.settings import StackSettings

if TYPE_CHECKING:  # `diff` loads every kind, and deploys none
    from datetime import datetime

    from toolkit.operations import (
        Drift,
        Job,
        LiveVersion,
        Observation,
        Preview,
        Provision,
        Statement,
        Uncovered,
    )
    from toolkit.ports.ports import Ports
    from toolkit.ports.program_runs import ProgramLog
    from toolkit.templates.model import StackComparison, SynthesizedStack
    from toolkit.templates.refinement import Synthesis, SynthesisSource


class StackKind(base.Kind):
    """One CloudFormation stack, from a CDK app or from a plain template; or those of a CDK app that
    patterns match.
    """

    action = "deploy-stack"
    estimate_s = 300
    deadline_s = 5400
    program = False
    restores_with = ("--force",)
    Settings = StackSettings
    Options = StackOptions

    def problem(self, settings: StackSettings) -> str | None:
        """Where the template comes from must be said once, and which stack it is."""
        if settings.stack is None and settings.stacks is None:
            return "`stack` is missing: the name of one, or `stacks`, patterns for several"
        if settings.stack is not None and settings.stacks is not None:
            return "it has both `stack` (the name of one) and `stacks` (patterns for several)"
        if settings.stacks is not None and settings.template is not None:
            return "`stacks` is for CDK apps: a template is one stack"
        if settings.stacks is not None and settings.parameters:
            return "`parameters` are for one `stack`: give that a target of its own"
        if settings.stacks is not None:
            from toolkit.targets.stack import patterns

            if problem := patterns.problem(settings):
                return problem
        if (settings.cdk is None) == (settings.template is None):
            return (
                "needs either `cdk` (the folder with cdk.json) or `template` (a file), and not both"
            )
        if settings.context and settings.cdk is None:
            return "`context` is for CDK apps: a template has `parameters`"
        if settings.pass_env and settings.cdk is None:
            return "`pass_env` is for CDK apps: a template reads no environment"
        return None

    def inputs(self, settings: StackSettings) -> Inputs:
        """Its template; a CDK app is a program, so it may read anything."""
        if settings.cdk is not None:
            files = (f"{settings.cdk}/cdk.json", f"{settings.cdk}/cdk.context.json")
            return Inputs(files=tuple(posixpath.normpath(path) for path in files), everything=True)
        return Inputs(files=(settings.template,) if settings.template else ())

    def linked(self, path: str, text: str) -> tuple[str, ...]:
        """The local files and folders that a template names: code, nested templates, what it
        includes.
        """
        from toolkit.targets.stack import references

        return references.local_paths(path, text)

    def synthesis_source(self, settings: StackSettings) -> "SynthesisSource":
        """A CDK app, which is a program; a template needs none."""
        from toolkit.templates.refinement import SynthesisSource

        return SynthesisSource((settings.cdk,) if settings.cdk else (), settings.pass_env)

    def synthesize(
        self, jobs: "Sequence[Job]", ports: "Ports", log: "ProgramLog", again: bool = False
    ) -> "tuple[Synthesis, ...]":
        """Each CDK app is synthesized once for all of its stacks in an account and region."""
        from toolkit.targets.stack import synthesis

        return synthesis.synthesize(jobs, ports, log, again)

    def live_synthesis(
        self, job: "Job", ports: "Ports", recorded: "Sequence[SynthesizedStack]", body: str
    ) -> "Synthesis":
        """By the templates, parameters and tags in CloudFormation."""
        if self.has_parts(job.settings):
            from toolkit.targets.stack import several

            return several.live_synthesis(job, ports, recorded)
        from toolkit.targets.stack import live_synthesis

        [stack] = recorded
        return live_synthesis.live_synthesis(job, ports, stack, body)

    def code_owners(
        self, comparison: "StackComparison", stack: "SynthesizedStack"
    ) -> tuple[Resource, ...] | None:
        """The functions and services whose code is all that differs."""
        from toolkit.targets.stack import code_owners

        return code_owners.code_owners(comparison, stack)

    def provisions(self, settings: StackSettings) -> "tuple[Provision, ...]":
        """A bootstrapped account, for a CDK app; the stack itself is what a deploy brings."""
        from toolkit.operations import Provision, ProvisionKind

        if settings.cdk is None:
            return ()
        return (Provision(ProvisionKind.BOOTSTRAP, "hnb659fds"),)

    def writes(self, settings: StackSettings) -> tuple[Resource, ...]:
        """The stack, by its name; that is the second part of what an ARN has behind `stack/`. Of
        several the patterns, as far as they are known here.
        """
        name = settings.stack
        if name is None:
            from toolkit.targets.stack import patterns

            return patterns.resources(settings)
        if name.startswith("arn:") and "/" in name:
            name = name.split("/")[1]
        return (Resource("stack", name),)

    def sources(self, settings: StackSettings) -> tuple[str, ...]:
        """Its CDK app or template."""
        return tuple(source for source in (settings.cdk, settings.template) if source)

    def aliases(self, settings: StackSettings) -> tuple[str, ...]:
        """The stack's name."""
        return (settings.stack,) if settings.stack is not None else ()

    def has_parts(self, settings: StackSettings) -> bool:
        """Whether it stands for several stacks."""
        return settings.stacks is not None

    def without_others(
        self,
        settings: StackSettings,
        earlier: "Sequence[StackSettings]",
        later: "Sequence[StackSettings]",
    ) -> StackSettings:
        """Without the stacks that other targets of the app name, or match first."""
        from toolkit.targets.stack import patterns

        return patterns.without_others(settings, earlier, later)

    def parts(self, job: "Job", ports: "Ports") -> tuple[str, ...]:
        """The stacks of the app that its patterns match, in the account and region."""
        from toolkit.targets.stack import several

        return several.parts(job, ports)

    def part(self, settings: StackSettings, name: str) -> StackSettings | None:
        """One of its stacks."""
        from toolkit.targets.stack import several

        if not several.NAME.fullmatch(name):
            return None
        return several.part_settings(settings, name)

    def uncovered(
        self, jobs: "Sequence[Job]", every: "Sequence[Job]", ports: "Ports", log: "ProgramLog"
    ) -> "tuple[Uncovered, ...]":
        """The stacks of the jobs' apps that no target deploys."""
        from toolkit.targets.stack import several

        return several.uncovered(jobs, every, ports, log)

    def command(self, target: str, settings: StackSettings) -> NextCommand | None:
        """The command that deploys it."""
        return NextCommand("deploy-stack", (target,))

    def services(self) -> tuple[str, ...]:
        """CloudFormation; the others are called by some stacks only."""
        return ("cloudformation",)

    def preview(self, job: "Job", ports: "Ports") -> "Preview":
        """What would be done: the template is read or synthesized, and compared with what the stack
        has.
        """
        if self.has_parts(job.settings):
            from toolkit.targets.stack import several

            return several.preview(job, ports)
        from toolkit.targets.stack import preview

        return preview.preview(job, ports)

    def apply(self, job: "Job", ports: "Ports", report: base.Report) -> None:
        """Make the change set, show it, and execute it."""
        if self.has_parts(job.settings):
            from toolkit.targets.stack import several

            several.apply(job, ports, report)
            return
        from toolkit.targets.stack import apply

        apply.apply(job, ports, report)

    def observe(
        self,
        job: "Job",
        receipt: Mapping[str, Any],
        ports: "Ports",
        before: "Observation | None" = None,
    ) -> "Observation":
        """How it stands, by the stack's events that bear our token."""
        if self.has_parts(job.settings):
            from toolkit.targets.stack import several

            return several.observe_whole(job, receipt, ports)
        from toolkit.targets.stack import observe

        return observe.observe(job, receipt, ports, before)

    def abandon(
        self, job: "Job", receipt: Mapping[str, Any], ports: "Ports", report: base.Report
    ) -> None:
        """Cancel an update that is still running. CloudFormation rolls a creation back by
        itself.
        """
        if self.has_parts(job.settings):
            return  # it has started nothing
        from toolkit.targets.stack import apply

        apply.abandon(job, receipt, ports, report)

    def live(self, job: "Job", ports: "Ports") -> "LiveVersion | None":
        """What the stack's tags say."""
        if self.has_parts(job.settings):
            from toolkit.targets.stack import several

            return several.live(job, ports)
        from toolkit.targets.stack import observe

        return observe.live(job, ports)

    def drift(self, job: "Job", ports: "Ports", until: float) -> "Drift | None":
        """As CloudFormation finds it, by a look at each resource."""
        if self.has_parts(job.settings):
            from toolkit.targets.stack import several

            return several.drift_of_all(job, ports, until)
        from toolkit.targets.stack import drift

        return drift.detect(job, ports, until)

    def outputs(self, job: "Job", ports: "Ports") -> Mapping[str, str]:
        """The outputs of the stack that its setting `outputs` names: others may be secret."""
        if self.has_parts(job.settings):
            from toolkit.targets.stack import several

            return several.outputs(job, ports)
        from toolkit.targets.stack import observe

        return observe.outputs(job, ports)

    def logs(self, job: "Job", ports: "Ports", since: "datetime") -> base.LogReader:
        """The events of the stack and of those in it."""
        if self.has_parts(job.settings):
            from toolkit.targets.stack import several

            return several.SeveralLogs(job, ports, since)
        from toolkit.targets.stack import live_events

        return live_events.StackLogs(job, ports, since)

    def permissions(self, job: "Job") -> "tuple[Statement, ...]":
        """For CloudFormation, the CDK's bucket and role, and the look at running images."""
        from toolkit.targets.stack import policy

        return policy.statements(job)

    def health(self, job: "Job", ports: "Ports", tell: base.Tell) -> "LiveVersion | None":
        """Its state, what it failed at, drift if anybody has looked for it, and alarms."""
        if self.has_parts(job.settings):
            from toolkit.targets.stack import several

            return several.report_health(job, ports, tell)
        from toolkit.targets.stack import health

        return health.report_health(job, ports, tell)


kind = StackKind()
