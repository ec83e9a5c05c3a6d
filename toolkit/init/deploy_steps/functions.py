"""Lambda functions that get new code."""

from posixpath import dirname
from shlex import join as shell_line

from msgspec import Struct

from toolkit.init.command_words import Options
from toolkit.init.deploy_steps.context import (
    BuildStep,
    JobContext,
    StepReader,
    arn_name,
    image_repository,
)
from toolkit.init.evidence import FunctionDeploy
from toolkit.init.steps import Step
from toolkit.init.tree import is_in


class Package(Struct, frozen=True):
    """What is in a zip: a folder (`whole`: its content and nothing else), and the builds before."""

    folder: str
    whole: bool
    builds: tuple[BuildStep, ...]


class FunctionSteps(StepReader):
    """`aws lambda update-function-code` with what was zipped before, and the Lambda action."""

    def __init__(self, context: JobContext) -> None:
        super().__init__(context)
        self._zips: dict[str, Package] = {}
        self.programs = {"zip": self._read_zip}
        self.operations = {("lambda", "update-function-code"): self._read_function}
        self.actions = {"aws-actions/aws-lambda-deploy": self._read_lambda_action}

    def _read_function(self, options: Options) -> None:
        function = arn_name(options.first("--function-name"))
        if not function:
            return
        image = options.first("--image-uri")
        if image:
            self.job.add(FunctionDeploy(self.job.place(), function, image=image_repository(image)))
            return
        path: str | None = None
        package = options.first("--zip-file").removeprefix("fileb://").removeprefix("file://")
        if package:
            path = self.job.path(package)
        elif options.first("--s3-key"):
            key = f"s3://{options.first('--s3-bucket')}/{options.first('--s3-key')}"
            path = self.job.objects.get(key)
        self._add_function(function, path)

    def _add_function(self, function: str, path: str | None) -> None:
        package = self._zips.get(path or "")
        if package is None:
            folder = dirname(path) if path else (self.job.folder or "")
            # A folder that is only made when it is built stands for the one around it.
            self.job.add(
                FunctionDeploy(self.job.place(), function, "", self.job.tree.nearest(folder))
            )
            return
        builds = [build for build in package.builds if _is_related(build.folder, package.folder)]
        source = package.folder if package.whole else ""
        words: tuple[str, ...] = ()
        folder = package.folder
        if builds:
            folder = builds[0].folder
            same = [build for build in builds if build.folder == folder]
            words = builds[0].words
            if len(same) > 1:
                lines = " && ".join(shell_line(build.words) for build in same)
                words = ("sh", "-c", lines)
        self.job.add(FunctionDeploy(self.job.place(), function, source, folder, words))

    def _read_zip(self, words: tuple[str, ...]) -> None:
        options = Options(
            words,
            ("-r", "-q", "-qr", "-rq", "-j", "-g", "-9", "-X", "-y", "-r9", "-ur", "-u", "-qq"),
        )
        left_out = {*options.values.get("-x", ()), *options.values.get("--exclude", ())}
        plain = [word for word in options.plain if word not in left_out]
        if len(plain) < 2 or self.job.folder is None:
            return
        output = self.job.path(
            plain[0] if plain[0].endswith(".zip") else f"{plain[0]}.zip", new=True
        )
        if output is None:
            return
        inputs = plain[1:]
        whole = inputs in (["."], ["./"], ["*"], ["./*"])
        self._zips[output] = Package(self.job.folder, whole, tuple(self.job.builds))

    def _read_lambda_action(self, step: Step) -> None:
        function = step.inputs.get("function-name", "")
        folder = step.inputs.get("code-artifacts-dir", "")
        path = self.job.path(folder) if folder else None
        if not function:
            return
        if path is not None and self.job.tree.is_folder(path):
            self.job.add(FunctionDeploy(self.job.place(), function, path, path))
        elif path is not None and (build := self.job.build_of(path)):
            self.job.add(
                FunctionDeploy(self.job.place(), function, path, build.folder, build.words)
            )
        else:
            self.job.add(
                FunctionDeploy(self.job.place(), function, "", self.job.tree.nearest(path or ""))
            )


def _is_related(build: str, packed: str) -> bool:
    return is_in(packed, build) or is_in(build, packed)
