"""Stacks that are deployed from CloudFormation and SAM templates."""

from posixpath import join as joined

from toolkit.init.command_words import Options
from toolkit.init.deploy_steps.context import JobContext, StepReader, shown
from toolkit.init.evidence import StackDeploy
from toolkit.init.steps import Step

_SAM_FLAGS = ("--use-container", "-u", "--guided", "-g", "--resolve-s3", "--cached")


class StackSteps(StepReader):
    """`aws cloudformation deploy`, `sam deploy` and the CloudFormation action."""

    def __init__(self, context: JobContext) -> None:
        super().__init__(context)
        self._templates: dict[str, str] = {}
        self.programs = {"sam": self._read_sam}
        self.operations = {
            ("cloudformation", "deploy"): self._read_stack,
            ("cloudformation", "create-stack"): self._read_stack,
            ("cloudformation", "update-stack"): self._read_stack,
            ("cloudformation", "create-change-set"): self._read_stack,
            ("cloudformation", "package"): self._read_stack_package,
        }
        self.actions = {"aws-actions/aws-cloudformation-github-deploy": self._read_stack_action}

    def _read_stack(self, options: Options) -> None:
        stack = options.first("--stack-name")
        template = options.first("--template-file", "--template-body").removeprefix("file://")
        if not stack:
            return
        path = self.job.path(template) if template else None
        path = self._templates.get(path or "", path)
        if path is None or path not in self.job.tree:
            said = template or options.first("--template-url") or "a template"
            self.job.see(f"deploys the stack {shown(stack)} from {said!r}, which is not in git")
            return
        self.job.add(StackDeploy(self.job.place(), path, stack))

    def _read_stack_package(self, options: Options) -> None:
        template = self.job.path(options.first("--template-file"))
        output = self.job.path(options.first("--output-template-file"), new=True)
        if template is not None and output is not None:
            self._templates[output] = self._templates.get(template, template)

    def _read_sam(self, words: tuple[str, ...]) -> None:
        options = Options(words, _SAM_FLAGS)
        if not options.plain or self.job.folder is None:
            return
        named = options.first("-t", "--template", "--template-file")
        if options.plain[0] in ("build", "package"):
            template = self._sam_template(named)
            output = options.first("--output-template-file")
            if template is not None and options.plain[0] == "build":
                self._templates[joined(self.job.folder, ".aws-sam/build/template.yaml")] = template
            elif template is not None and output:
                self._templates[self.job.path(output, new=True) or ""] = template
        elif options.plain[0] == "deploy":
            built = joined(self.job.folder, ".aws-sam/build/template.yaml")
            path = self.job.path(named, new=True) if named else built
            template = self._templates.get(path or "") or self._sam_template(named)
            if template is None and path is not None and ".aws-sam" in path:
                template = self._sam_template("")
            stack = options.first("--stack-name")
            if template is None:
                self.job.see("deploys a SAM template that is not in git")
            else:
                self.job.add(StackDeploy(self.job.place(), template, stack))
        elif options.plain[0] == "sync" and options.first("--stack-name"):
            template = self._sam_template(named)
            if template is not None:
                self.job.add(StackDeploy(self.job.place(), template, options.first("--stack-name")))

    def _sam_template(self, named: str) -> str | None:
        if named:
            path = self.job.path(named)
            path = self._templates.get(path or "", path)
            return path if path in self.job.tree else None
        for name in ("template.yaml", "template.yml", "template.json"):
            path = joined(self.job.folder or "", name)
            if path in self.job.tree:
                return path
        return None

    def _read_stack_action(self, step: Step) -> None:
        path = self.job.path(step.inputs.get("template", ""))
        stack = step.inputs.get("name", "")
        if path is not None and path in self.job.tree:
            self.job.add(StackDeploy(self.job.place(), path, stack))
        else:
            self.job.see(f"deploys the stack {shown(stack)} from a template that is not in git")
