"""Other tools that deploy a folder."""

from functools import partial

from toolkit.init.deploy_steps.context import JobContext, StepReader
from toolkit.init.evidence import CommandDeploy
from toolkit.init.steps import Step
from toolkit.init.tools import IS_SECRET, TOOLS, tool_deploy


class ToolSteps(StepReader):
    """Serverless, Terraform, Helm and their like."""

    def __init__(self, context: JobContext) -> None:
        super().__init__(context)
        self.programs = {name: partial(self._read_tool, name) for name in TOOLS}
        self.actions = {"serverless/github-action": self._read_serverless_action}

    def _read_tool(self, name: str, words: tuple[str, ...]) -> None:
        deploy = tool_deploy(name, words)
        if deploy is None:
            return
        if IS_SECRET.search(" ".join(deploy.words)):
            self.job.see(
                f"deploys with {deploy.label}, and takes secrets as words, which no rules.toml may"
                " hold: a script of yours can start it"
            )
            return
        folder = self.job.folder
        if deploy.folder and folder is not None:
            folder = self.job.path(deploy.folder)
        if folder is None or (folder and not self.job.tree.is_folder(folder)):
            self.job.see(
                f"deploys with {deploy.label}; which folder it is in only a run would tell"
            )
            return
        inputs: dict[str, None] = {}
        for word in words:
            candidate = (word.partition("=")[2] or word).removeprefix("./")
            path = self.job.path(candidate) if candidate and not candidate.startswith("-") else None
            if path and path != folder and (path in self.job.tree or self.job.tree.is_folder(path)):
                inputs[path] = None
        if deploy.label == "kubectl" and not inputs:
            return
        self.job.add(
            CommandDeploy(
                self.job.place(),
                deploy.label,
                folder,
                deploy.words,
                deploy.identity,
                tuple(inputs),
            )
        )

    def _read_serverless_action(self, step: Step) -> None:
        self._read_tool("serverless", tuple(step.inputs.get("args", "deploy").split()))
