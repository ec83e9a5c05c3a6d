"""CDK apps."""

from posixpath import basename, dirname

from toolkit.init.command_words import Options
from toolkit.init.deploy_steps.context import JobContext, StepReader
from toolkit.init.evidence import UNKNOWN, CdkDeploy
from toolkit.init.steps import Step

_CDK_FLAGS = {
    "--all",
    "--ci",
    "--exclusively",
    "-e",
    "--force",
    "-f",
    "--hotswap",
    "--hotswap-fallback",
    "--verbose",
    "-v",
    "--strict",
    "--no-rollback",
    "-R",
    "--quiet",
    "-q",
    "--no-color",
    "--json",
    "-j",
    "--no-version-reporting",
    "--no-notices",
    "--no-previous-parameters",
    "--watch",
    "--no-staging",
    "--debug",
}
_CHANGES_MORE = (
    "--parameters",
    "--role-arn",
    "-r",
    "--toolkit-stack-name",
    "--tags",
    "-t",
    "--notification-arns",
)
"""Options with what a stack gets besides its template."""


class CdkSteps(StepReader):
    """`cdk deploy`, and the actions that do it."""

    def __init__(self, context: JobContext) -> None:
        super().__init__(context)
        self.programs = {"cdk": self._read_cdk}

    def read_action(self, step: Step) -> None:
        """Any action that starts the CDK for `deploy`."""
        if step.inputs.get("cdk_subcommand") == "deploy":
            self.job.folder = self.job.path(step.inputs.get("working_dir", "."))
            self._read_cdk(("deploy", *step.inputs.get("cdk_stack", "").split()))

    def _read_cdk(self, words: tuple[str, ...]) -> None:
        options = Options(words, _CDK_FLAGS)
        if not options.plain or options.plain[0] not in ("deploy", "d"):
            return
        app = options.first("-a", "--app")
        folder = self._cdk_folder()
        if folder is None and app:
            folder = self.job.folder
        if folder is None:
            self.job.see("deploys a CDK app; which folder it is in only a run would tell")
            return
        context: dict[str, str] = {}
        more = [
            (name, value)
            for name in _CHANGES_MORE
            for value in options.values.get(name, ())
            if value
        ]
        for value in (*options.values.get("-c", ()), *options.values.get("--context", ())):
            name, equals, text = value.partition("=")
            if UNKNOWN in value:
                more.append(("-c", value))
            elif equals:
                context[name] = text
        stacks = tuple(filter(None, options.plain[1:]))
        if options.has("--all") or {"*", "**"} & set(stacks):
            stacks = ()
        self.job.add(CdkDeploy(self.job.place(), folder, stacks, context, app, tuple(more)))

    def _cdk_folder(self) -> str | None:
        apps = [dirname(path) for path in self.job.tree.paths if basename(path) == "cdk.json"]
        folder = self.job.folder
        if folder is not None:
            while True:
                if folder in apps:
                    return folder
                if not folder:
                    break
                folder = dirname(folder)
        return apps[0] if len(apps) == 1 else None
