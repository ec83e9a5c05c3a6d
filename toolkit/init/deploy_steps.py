"""Jobs of steps become evidence: which of their commands deploy what."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from posixpath import basename, dirname
from posixpath import join as joined
from shlex import join as shell_line

from msgspec import Struct

from toolkit.formats.documents import as_mapping, load_yaml
from toolkit.init.command_words import Options, Program, program_of
from toolkit.init.evidence import (
    UNKNOWN,
    CdkDeploy,
    CommandDeploy,
    Evidence,
    FunctionDeploy,
    ImagePush,
    Place,
    ServiceDeploy,
    Sighting,
    SiteDeploy,
    StackDeploy,
)
from toolkit.init.images.contexts import is_compose
from toolkit.init.shell import ROOT, Shell, ShellCommand, as_variable
from toolkit.init.steps import Job, Step
from toolkit.init.tools import ACTIONS_SEEN, DEPLOY_WORD, SEEN, TOOLS, tool_deploy
from toolkit.init.tree import TrackedFiles, clean_path, is_in

_LONGEST_WORDS = 120
_ACCOUNT = re.compile(r"arn:aws[\w-]*:iam::([0-9]{12}):")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]\Z")
_ENGINES = {"docker", "podman", "nerdctl", "buildah", "finch"}
_BUILD_FLAGS = {
    "--no-cache",
    "--pull",
    "--push",
    "--load",
    "--rm",
    "-q",
    "--quiet",
    "--squash",
    "--force-rm",
    "--compress",
    "--provenance",
}
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
_SAM_FLAGS = ("--use-container", "-u", "--guided", "-g", "--resolve-s3", "--cached")
_BUILDS = {
    "npm": ("run", "run-script"),
    "yarn": ("",),
    "pnpm": ("",),
    "bun": ("run",),
    "make": ("",),
    "hugo": ("",),
    "mkdocs": ("build",),
    "ng": ("build",),
    "vite": ("build",),
    "next": ("build",),
    "gatsby": ("build",),
    "astro": ("build",),
    "jekyll": ("build",),
    "gradlew": ("",),
    "mvn": ("package",),
    "sphinx-build": ("",),
    "zola": ("build",),
    "tsc": ("",),
    "esbuild": ("",),
    "webpack": ("",),
    "rollup": ("",),
    "go": ("build",),
    "cargo": ("build", "lambda"),
    "dotnet": ("publish",),
    "pip": ("install",),
    "pip3": ("install",),
}
_NO_BUILD = {"install", "ci", "test", "lint", "i", "add", "audit", "typecheck", "format"}
_COMPOSE_VARIABLE = re.compile(r"\$\{?(\w+)[^}/:]*\}?")


class BuildStep(Struct, frozen=True):
    """A command that makes files, and where it runs."""

    folder: str
    words: tuple[str, ...]


class Package(Struct, frozen=True):
    """What is in a zip: a folder (`whole`: its content and nothing else), and the builds before."""

    folder: str
    whole: bool
    builds: tuple[BuildStep, ...]


def read_evidence(tree: TrackedFiles, job: Job, packages: Mapping[str, str]) -> Iterator[Evidence]:
    """What a job deploys. `packages` are the folders of the repository's own packages by name."""
    if not any(step.uses or DEPLOY_WORD.search(step.text) for step in job.steps):
        return
    reader = _JobReader(tree, job, packages)
    reader.read()
    yield from reader.evidence()


class _JobReader:
    """Follows one job from its first step to its last."""

    def __init__(self, tree: TrackedFiles, job: Job, packages: Mapping[str, str]) -> None:
        self._tree, self._job, self._packages = tree, job, packages
        self._line, self._words = 0, ""
        self._region = self._account = ""
        self._ecr = False
        self._folder: str | None = ""
        self._found: list[Evidence] = []
        self._images: dict[str, ImagePush] = {}
        self._aliases: dict[str, str] = {}
        self._pushed: list[tuple[str, Place]] = []
        self._zips: dict[str, Package] = {}
        self._objects: dict[str, str] = {}
        self._builds: list[BuildStep] = []
        self._templates: dict[str, str] = {}
        self._distributions: list[str] = []
        self._rendered: list[tuple[str, str]] = []
        self._variables: dict[str, str] = {}

    def read(self) -> None:
        """Read all steps."""
        shell: Shell | None = None
        for step in self._job.steps:
            self._note_variables(step.variables)
            if step.uses:
                self._read_action(step)
                continue
            if shell is None or not self._job.shared:
                variables = {**step.variables, **self._variables}
                shell = Shell(step.folder, variables, self._job.home)
            for command in shell.read(step.text, step.line):
                self._read_command(command)
                if "GITHUB_ENV" in step.text and command.words[0] == "echo" and command.words[1:]:
                    name, equals, value = command.words[1].partition("=")
                    if equals and UNKNOWN not in value:
                        self._variables[name] = value

    def evidence(self) -> Iterator[Evidence]:
        """What was read, images first."""
        for tag, place in self._pushed:
            image = self._image(tag)
            if image is not None:
                yield ImagePush(
                    place,
                    _repository(tag),
                    image.context,
                    image.dockerfile,
                    self._is_ecr(tag),
                    image.target,
                )
        distribution = self._distributions[0] if len(set(self._distributions)) == 1 else ""
        for entry in self._found:
            if isinstance(entry, SiteDeploy) and not entry.distribution:
                yield SiteDeploy(
                    entry.place,
                    entry.source,
                    entry.bucket,
                    entry.prefix,
                    entry.folder,
                    entry.build,
                    distribution,
                )
            else:
                yield entry

    # --- Commands

    def _read_command(self, command: ShellCommand) -> None:
        program = program_of(command.words)
        if program is None:
            return
        self._line, self._words = command.line, command.source
        self._folder = self._start_folder(command.folder, program)
        name, words = program.name, program.words
        handler: Callable[[tuple[str, ...]], None] | None = None
        if name in _ENGINES:
            handler = self._read_engine
        elif name == "docker-compose":
            handler = self._read_compose
        else:
            handler = {
                "aws": self._read_aws,
                "awslocal": None,
                "cdk": self._read_cdk,
                "sam": self._read_sam,
                "zip": self._read_zip,
                "ecs-deploy": self._read_ecs_deploy,
                "ecs": self._read_ecs,
            }.get(name)
        if handler is not None:
            handler(words)
        elif name in TOOLS:
            self._read_tool(name, words)
        elif name in _BUILDS or name.startswith("gradlew") or _builds(command.words):
            self._read_build(command, program)
        for start, where in SEEN.items():
            if (name, *words[: len(start) - 1]) == start:
                self._see(f"deploys to {where}, for which toolkit has no target")

    def _start_folder(self, folder: str | None, program: Program) -> str | None:
        if program.package and program.package in self._packages:
            return self._packages[program.package]
        if program.folder and folder is not None:
            return self._path(program.folder, folder)
        return folder

    def _read_build(self, command: ShellCommand, program: Program) -> None:
        """A command that makes files, unless it only installs or checks."""
        subcommands = _BUILDS.get(program.name, ("",))
        first = program.words[0] if program.words else ""
        if program.name in ("pip", "pip3"):
            if not {"-t", "--target"} & set(program.words):
                return
        elif first in _NO_BUILD or (first and "" not in subcommands and first not in subcommands):
            return
        if UNKNOWN not in "".join(command.words) and self._folder is not None:
            self._builds.append(BuildStep(self._folder, command.words))

    def _read_engine(self, words: tuple[str, ...]) -> None:
        if words[:1] == ("compose",):
            self._read_compose(words[1:])
            return
        if words[:1] in (("buildx",), ("image",), ("builder",)):
            words = words[1:]
        if not words:
            return
        if words[0] in ("build", "bud", "build-using-dockerfile"):
            self._read_image_build(words[1:])
        elif words[0] == "tag" and len(words) > 2:
            self._aliases[words[2]] = words[1]
        elif words[0] == "push":
            options = Options(words[1:], ("--all-tags", "-a", "-q", "--quiet"))
            for tag in options.plain[:1]:
                self._pushed.append((tag, self._place()))
        elif words[0] == "login" and any("dkr.ecr" in word for word in words):
            self._ecr = True

    def _read_image_build(self, words: tuple[str, ...]) -> None:
        options = Options(words, _BUILD_FLAGS)
        context = options.plain[-1] if options.plain else "."
        tags = [*options.values.get("-t", []), *options.values.get("--tag", [])]
        self._add_build(context, options.first("-f", "--file"), tags, options.first("--target"))
        output = options.first("--output", "-o")
        if options.has("--push") or "push=true" in output:
            self._pushed += [(tag, self._place()) for tag in tags]

    def _add_build(
        self, context: str, dockerfile: str, tags: Sequence[str], target: str = ""
    ) -> None:
        folder = self._path(context)
        if folder is None or context == "-" or "://" in context:
            return
        path = self._path(dockerfile) if dockerfile else joined(folder, "Dockerfile")
        if path is not None and path not in self._tree and not dockerfile:
            others = [joined(folder, "Containerfile")]
            path = next((other for other in others if other in self._tree), path)
        if path is None or path not in self._tree:
            self._see(f"builds an image from {context}, whose Dockerfile is not in git")
            return
        image = ImagePush(self._place(), "", folder, path, target=target)
        for tag in tags:
            self._images[tag] = image

    def _read_compose(self, words: tuple[str, ...]) -> None:
        options = Options(words, ("-d", "--detach", "--build", "--no-cache", "--pull", "-q"))
        if not options.plain or options.plain[0] not in ("push", "build"):
            return
        chosen = (*options.values.get("-f", ()), *options.values.get("--file", ()))
        named = [self._path(path) for path in chosen]
        if not named and self._folder is not None:
            named = [path for path in self._tree.files_in(self._folder) if is_compose(path)]
        for path in named:
            if path is not None:
                self._read_compose_file(path, options.plain[0] == "push", options.plain[1:])

    def _read_compose_file(self, path: str, pushes: bool, chosen: Sequence[str]) -> None:
        try:
            document = load_yaml(self._tree.read(path) or "")
        except ValueError:
            return
        for name, value in as_mapping(as_mapping(document).get("services")).items():
            service = as_mapping(value)
            image, build = service.get("image"), service.get("build")
            if not isinstance(image, str) or build is None or (chosen and name not in chosen):
                continue
            table = {"context": build} if isinstance(build, str) else as_mapping(build)
            tag = _COMPOSE_VARIABLE.sub(lambda match: as_variable(match[1]), image)
            context = joined(dirname(path), str(table.get("context", ".")))
            dockerfile = table.get("dockerfile")
            file = ROOT + joined(context, dockerfile) if isinstance(dockerfile, str) else ""
            self._add_build(ROOT + context, file, [tag])
            if pushes:
                self._pushed.append((tag, self._place()))

    def _read_aws(self, words: tuple[str, ...]) -> None:
        if "--dry-run" in words or "--dryrun" in words or "--endpoint-url" in words:
            return
        service = next((at for at, word in enumerate(words) if _is_service(words, at)), None)
        if service is None or service + 1 >= len(words):
            return
        options = Options(
            (*words[:service], *words[service + 2 :]),
            (
                "--delete",
                "--recursive",
                "--no-progress",
                "--only-show-errors",
                "--quiet",
                "--force-new-deployment",
                "--publish",
                "--no-fail-on-empty-changeset",
                "--no-cli-pager",
                "--size-only",
                "--exact-timestamps",
                "--follow-symlinks",
                "--force-upload",
            ),
        )
        region = options.first("--region")
        if _REGION.match(region):
            self._region = region
        operation = (words[service], words[service + 1])
        handler: Callable[[Options], None] | None = {
            ("ecr", "get-login-password"): self._read_ecr_login,
            ("ecr", "get-login"): self._read_ecr_login,
            ("ecs", "update-service"): self._read_update_service,
            ("s3", "sync"): self._read_sync,
            ("s3", "cp"): self._read_copy,
            ("s3", "mv"): self._read_copy,
            ("cloudfront", "create-invalidation"): self._read_invalidation,
            ("lambda", "update-function-code"): self._read_function,
            ("cloudformation", "deploy"): self._read_stack,
            ("cloudformation", "create-stack"): self._read_stack,
            ("cloudformation", "update-stack"): self._read_stack,
            ("cloudformation", "create-change-set"): self._read_stack,
            ("cloudformation", "package"): self._read_stack_package,
        }.get(operation)
        if handler is not None:
            handler(options)

    def _read_ecr_login(self, options: Options) -> None:
        self._ecr = True

    def _read_update_service(self, options: Options) -> None:
        service = options.first("--service")
        cluster = options.first("--cluster") or "default"
        deploys = options.has("--task-definition", "--force-new-deployment")
        if service and (deploys or not options.has("--desired-count")):
            self._add(ServiceDeploy(self._place(), _arn_name(cluster), _arn_name(service)))

    def _read_ecs_deploy(self, words: tuple[str, ...]) -> None:
        options = Options(words)
        cluster = options.first("-c", "--cluster")
        service = options.first("-n", "--service-name")
        image = options.first("-i", "--image")
        if cluster and service:
            images = (_repository(image),) if image else ()
            self._add(ServiceDeploy(self._place(), cluster, service, images=images))

    def _read_ecs(self, words: tuple[str, ...]) -> None:
        """`ecs deploy CLUSTER SERVICE`, of the Python package ecs-deploy."""
        options = Options(words)
        if options.plain[:1] == ["deploy"] and len(options.plain) > 2:
            self._add(ServiceDeploy(self._place(), options.plain[1], options.plain[2]))

    def _read_sync(self, options: Options) -> None:
        if len(options.plain) < 2 or not options.plain[1].startswith("s3://"):
            return
        self._add_site(options.plain[0], options.plain[1])

    def _read_copy(self, options: Options) -> None:
        if len(options.plain) < 2 or not options.plain[1].startswith("s3://"):
            return
        if options.has("--recursive"):
            self._add_site(options.plain[0], options.plain[1])
            return
        path = self._path(options.plain[0])
        if path is not None:
            target = options.plain[1]
            target = joined(target, basename(path)) if target.endswith("/") else target
            self._objects[target] = path

    def _add_site(self, source: str, target: str) -> None:
        if source.startswith("s3://"):
            return
        path = self._path(source)
        bucket, _, prefix = target.removeprefix("s3://").partition("/")
        if path is None:
            self._see(f"copies {source!r} into the bucket {_shown(bucket)}: which folder is it?")
            return
        build = self._build_of(path)
        if build is None and joined(path, "index.html") not in self._tree:
            self._see(
                f"copies {path or 'the whole repository'} into the bucket {_shown(bucket)}; nothing"
                " says that it is a site"
            )
            return
        folder = build.folder if build else path
        words = build.words if build else ()
        place = self._place()
        self._add(SiteDeploy(place, path or ".", bucket, prefix.strip("/"), folder, words))

    def _build_of(self, path: str) -> BuildStep | None:
        """The last command before it that makes files in the folder, or in the one around it; else
        the `build` of the package around it. What is in git is copied as it is.
        """
        for build in reversed(self._builds):
            if is_in(path, build.folder) and build.words[0] not in ("pip", "pip3"):
                return build
        if joined(path, "index.html") in self._tree:
            return None
        folder = dirname(path)
        while folder or path:
            if '"build"' in (self._tree.read(joined(folder, "package.json")) or ""):
                return BuildStep(folder, ("npm", "run", "build"))
            if not folder:
                break
            folder = dirname(folder)
        return None

    def _read_invalidation(self, options: Options) -> None:
        identifier = options.first("--distribution-id")
        if identifier and UNKNOWN not in identifier:
            self._distributions.append(identifier)

    def _read_function(self, options: Options) -> None:
        function = _arn_name(options.first("--function-name"))
        if not function:
            return
        image = options.first("--image-uri")
        if image:
            self._add(FunctionDeploy(self._place(), function, image=_repository(image)))
            return
        path: str | None = None
        package = options.first("--zip-file").removeprefix("fileb://").removeprefix("file://")
        if package:
            path = self._path(package)
        elif options.first("--s3-key"):
            key = f"s3://{options.first('--s3-bucket')}/{options.first('--s3-key')}"
            path = self._objects.get(key)
        self._add_function(function, path)

    def _add_function(self, function: str, path: str | None) -> None:
        package = self._zips.get(path or "")
        if package is None:
            folder = dirname(path) if path else (self._folder or "")
            # A folder that is only made when it is built stands for the one around it.
            self._add(FunctionDeploy(self._place(), function, "", self._tree.nearest(folder)))
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
        self._add(FunctionDeploy(self._place(), function, source, folder, words))

    def _read_zip(self, words: tuple[str, ...]) -> None:
        options = Options(
            words,
            ("-r", "-q", "-qr", "-rq", "-j", "-g", "-9", "-X", "-y", "-r9", "-ur", "-u", "-qq"),
        )
        left_out = {*options.values.get("-x", ()), *options.values.get("--exclude", ())}
        plain = [word for word in options.plain if word not in left_out]
        if len(plain) < 2 or self._folder is None:
            return
        output = self._path(plain[0] if plain[0].endswith(".zip") else f"{plain[0]}.zip", new=True)
        if output is None:
            return
        inputs = plain[1:]
        whole = inputs in (["."], ["./"], ["*"], ["./*"])
        self._zips[output] = Package(self._folder, whole, tuple(self._builds))

    def _read_stack(self, options: Options) -> None:
        stack = options.first("--stack-name")
        template = options.first("--template-file", "--template-body").removeprefix("file://")
        if not stack:
            return
        path = self._path(template) if template else None
        path = self._templates.get(path or "", path)
        if path is None or path not in self._tree:
            said = template or options.first("--template-url") or "a template"
            self._see(f"deploys the stack {_shown(stack)} from {said!r}, which is not in git")
            return
        self._add(StackDeploy(self._place(), path, stack))

    def _read_stack_package(self, options: Options) -> None:
        template = self._path(options.first("--template-file"))
        output = self._path(options.first("--output-template-file"), new=True)
        if template is not None and output is not None:
            self._templates[output] = self._templates.get(template, template)

    def _read_sam(self, words: tuple[str, ...]) -> None:
        options = Options(words, _SAM_FLAGS)
        if not options.plain or self._folder is None:
            return
        named = options.first("-t", "--template", "--template-file")
        if options.plain[0] in ("build", "package"):
            template = self._sam_template(named)
            output = options.first("--output-template-file")
            if template is not None and options.plain[0] == "build":
                self._templates[joined(self._folder, ".aws-sam/build/template.yaml")] = template
            elif template is not None and output:
                self._templates[self._path(output, new=True) or ""] = template
        elif options.plain[0] == "deploy":
            built = joined(self._folder, ".aws-sam/build/template.yaml")
            path = self._path(named, new=True) if named else built
            template = self._templates.get(path or "") or self._sam_template(named)
            if template is None and path is not None and ".aws-sam" in path:
                template = self._sam_template("")
            stack = options.first("--stack-name")
            if template is None:
                self._see("deploys a SAM template that is not in git")
            else:
                self._add(StackDeploy(self._place(), template, stack))
        elif options.plain[0] == "sync" and options.first("--stack-name"):
            template = self._sam_template(named)
            if template is not None:
                self._add(StackDeploy(self._place(), template, options.first("--stack-name")))

    def _sam_template(self, named: str) -> str | None:
        if named:
            path = self._path(named)
            path = self._templates.get(path or "", path)
            return path if path in self._tree else None
        for name in ("template.yaml", "template.yml", "template.json"):
            path = joined(self._folder or "", name)
            if path in self._tree:
                return path
        return None

    def _read_cdk(self, words: tuple[str, ...]) -> None:
        options = Options(words, _CDK_FLAGS)
        if not options.plain or options.plain[0] not in ("deploy", "d"):
            return
        app = options.first("-a", "--app")
        folder = self._cdk_folder()
        if folder is None and app:
            folder = self._folder
        if folder is None:
            self._see("deploys a CDK app; which folder it is in only a run would tell")
            return
        context: dict[str, str] = {}
        for value in (*options.values.get("-c", ()), *options.values.get("--context", ())):
            name, equals, text = value.partition("=")
            if equals and UNKNOWN not in text:
                context[name] = text
        stacks = tuple(options.plain[1:])
        if options.has("--all") or any(set(stack) & set("*?") for stack in stacks):
            stacks = ()
        app = app if UNKNOWN not in app else ""
        self._add(CdkDeploy(self._place(), folder, stacks, context, app))

    def _cdk_folder(self) -> str | None:
        apps = [dirname(path) for path in self._tree.paths if basename(path) == "cdk.json"]
        folder = self._folder
        if folder is not None:
            while True:
                if folder in apps:
                    return folder
                if not folder:
                    break
                folder = dirname(folder)
        return apps[0] if len(apps) == 1 else None

    def _read_tool(self, name: str, words: tuple[str, ...]) -> None:
        deploy = tool_deploy(name, words)
        if deploy is None:
            return
        folder = self._folder
        if deploy.folder and folder is not None:
            folder = self._path(deploy.folder)
        if folder is None or (folder and not self._tree.is_folder(folder)):
            self._see(f"deploys with {deploy.label}; which folder it is in only a run would tell")
            return
        inputs: dict[str, None] = {}
        for word in words:
            candidate = (word.partition("=")[2] or word).removeprefix("./")
            path = self._path(candidate) if candidate and not candidate.startswith("-") else None
            if path and path != folder and (path in self._tree or self._tree.is_folder(path)):
                inputs[path] = None
        if deploy.label == "kubectl" and not inputs:
            return
        self._add(
            CommandDeploy(
                self._place(), deploy.label, folder, deploy.words, deploy.identity, tuple(inputs)
            )
        )

    # --- Actions

    def _read_action(self, step: Step) -> None:
        self._line, self._words = step.line, f"uses: {step.uses}"
        self._folder = step.folder
        name = step.uses.partition("@")[0].lower()
        handler: Callable[[Step], None] | None = {
            "aws-actions/configure-aws-credentials": self._read_credentials_action,
            "aws-actions/amazon-ecr-login": self._read_ecr_action,
            "docker/build-push-action": self._read_image_action,
            "kciter/aws-ecr-action": self._read_ecr_push_action,
            "aws-actions/amazon-ecs-render-task-definition": self._read_render_action,
            "aws-actions/amazon-ecs-deploy-task-definition": self._read_ecs_action,
            "aws-actions/aws-cloudformation-github-deploy": self._read_stack_action,
            "aws-actions/aws-lambda-deploy": self._read_lambda_action,
            "jakejarvis/s3-sync-action": self._read_site_action,
            "reggionick/s3-deploy": self._read_site_action,
            "serverless/github-action": self._read_serverless_action,
        }.get(name)
        if handler is not None:
            handler(step)
        elif name in ACTIONS_SEEN:
            self._see(f"deploys to {ACTIONS_SEEN[name]}, for which toolkit has no target")
        elif "cdk" in name and step.inputs.get("cdk_subcommand") == "deploy":
            self._folder = self._path(step.inputs.get("working_dir", "."))
            self._read_cdk(("deploy", *step.inputs.get("cdk_stack", "").split()))

    def _read_credentials_action(self, step: Step) -> None:
        self._note_variables({"AWS_REGION": step.inputs.get("aws-region", "")})
        account = _ACCOUNT.search(step.inputs.get("role-to-assume", ""))
        self._account = account[1] if account else self._account

    def _read_ecr_action(self, step: Step) -> None:
        self._ecr = True

    def _read_image_action(self, step: Step) -> None:
        given = step.inputs
        tags = [tag for tag in re.split(r"[\s,]+", given.get("tags", "").strip()) if tag]
        context = given.get("context", ".")
        self._add_build(context, given.get("file", ""), tags, given.get("target", ""))
        pushes = given.get("push", "").lower() not in ("false", "")
        if pushes or "push=true" in given.get("outputs", ""):
            # Without a tag that is known, the image is pushed all the same.
            self._pushed += [(tag, self._place()) for tag in tags or [UNKNOWN]]

    def _read_ecr_push_action(self, step: Step) -> None:
        self._ecr = True
        repository = step.inputs.get("repo", "")
        path = self._path(step.inputs.get("path", "."))
        file = step.inputs.get("dockerfile", "./Dockerfile")
        if path is not None:
            # The Dockerfile is relative to the path.
            beside = joined(path, file.removeprefix("./"))
            dockerfile = ROOT + beside if beside in self._tree else file
            self._add_build(ROOT + path, dockerfile, [repository])
            self._pushed.append((repository, self._place()))

    def _read_render_action(self, step: Step) -> None:
        container, image = step.inputs.get("container-name", ""), step.inputs.get("image", "")
        self._rendered.append((container, image))

    def _read_stack_action(self, step: Step) -> None:
        path = self._path(step.inputs.get("template", ""))
        stack = step.inputs.get("name", "")
        if path is not None and path in self._tree:
            self._add(StackDeploy(self._place(), path, stack))
        else:
            self._see(f"deploys the stack {_shown(stack)} from a template that is not in git")

    def _read_site_action(self, step: Step) -> None:
        source = step.inputs.get("folder") or step.variables.get("SOURCE_DIR", ".")
        bucket = step.inputs.get("bucket") or step.variables.get("AWS_S3_BUCKET", UNKNOWN)
        if step.inputs.get("dist-id"):
            self._distributions.append(step.inputs["dist-id"])
        self._add_site(source, f"s3://{bucket}/{step.variables.get('DEST_DIR', '')}")

    def _read_serverless_action(self, step: Step) -> None:
        self._read_tool("serverless", tuple(step.inputs.get("args", "deploy").split()))

    def _read_ecs_action(self, step: Step) -> None:
        given = step.inputs
        service = given.get("service", "")
        if not service:
            return
        container = ""
        images: list[str] = []
        for name, image in self._rendered[-1:]:
            container = name
            # `steps.build.outputs.image` says nothing; the job's own pushes do.
            if "/" in image or ":" in image:
                images.append(_repository(image))
        cluster = given.get("cluster", "") or "default"
        self._add(
            ServiceDeploy(self._place(), cluster, service, container, tuple(filter(None, images)))
        )

    def _read_lambda_action(self, step: Step) -> None:
        function = step.inputs.get("function-name", "")
        folder = step.inputs.get("code-artifacts-dir", "")
        path = self._path(folder) if folder else None
        if not function:
            return
        if path is not None and self._tree.is_folder(path):
            self._add(FunctionDeploy(self._place(), function, path, path))
        elif path is not None and (build := self._build_of(path)):
            self._add(FunctionDeploy(self._place(), function, path, build.folder, build.words))
        else:
            self._add(FunctionDeploy(self._place(), function, "", self._tree.nearest(path or "")))

    # --- Helpers

    def _note_variables(self, variables: Mapping[str, str]) -> None:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            if _REGION.match(variables.get(name, "")):
                self._region = variables[name]
        for name in ("AWS_ACCOUNT_ID", "AWS_ACCOUNT", "CDK_DEFAULT_ACCOUNT"):
            if re.fullmatch(r"[0-9]{12}", variables.get(name, "")):
                self._account = variables[name]

    def _image(self, tag: str) -> ImagePush | None:
        """The build behind a tag, directly or through `docker tag`."""
        for _ in range(5):
            if tag in self._images:
                return self._images[tag]
            if tag not in self._aliases:
                break
            tag = self._aliases[tag]
        # The same repository with another tag.
        name = _repository(tag)
        alike = [other for other in self._images if name and _repository(other) == name]
        if alike:
            return self._images[alike[-1]]
        built = list({image.dockerfile: image for image in self._images.values()}.values())
        return built[0] if len(built) == 1 else None

    def _is_ecr(self, tag: str) -> bool:
        registry = tag.rpartition("/")[0].partition("/")[0]
        if "dkr.ecr" in registry:
            return True
        return self._ecr and ("." not in registry or UNKNOWN in registry or "{" in registry)

    def _path(self, word: str, folder: str | None = None, new: bool = False) -> str | None:
        """A word as a path from the root; None where it leads out or only a run would tell.
        Where the folder is not known, it is looked for in the root and beside the script.
        """
        if word.startswith(ROOT):
            path = clean_path(word[1:].lstrip("/") or ".")
            return None if UNKNOWN in path or "{" in path or path.startswith("..") else path
        if not word or set(word) & {UNKNOWN, "{"} or word[0] in "/~" or len(word) > 300:
            return None
        start = self._folder if folder is None else folder
        homes = [home for home in (start, "", self._job.home) if home is not None]
        paths = [clean_path(joined(home, word)) for home in dict.fromkeys(homes)]
        inside = [path for path in paths if path.split("/")[0] != ".."]
        if not new:
            for path in inside:
                if path in self._tree or self._tree.is_folder(path):
                    return path
        return inside[0] if inside and start is not None else None

    def _place(self) -> Place:
        words = " ".join(self._words.split())
        if len(words) > _LONGEST_WORDS:
            words = f"{words[: _LONGEST_WORDS - 1]}…"
        return Place(
            self._job.file,
            self._line,
            words,
            self._job.name,
            self._job.environment,
            self._region,
            self._account,
        )

    def _add(self, entry: Evidence) -> None:
        self._found.append(entry)

    def _see(self, what: str) -> None:
        self._found.append(Sighting(self._place(), what))


def _is_service(words: Sequence[str], at: int) -> bool:
    """Whether the word is the service behind `aws`, and no option or an option's value."""
    if words[at].startswith("-"):
        return False
    before = words[at - 1] if at else ""
    return not before.startswith("--") or before in ("--no-cli-pager", "--debug", "--no-paginate")


def _repository(tag: str) -> str:
    """The repository of an image's name, without its registry and its tag."""
    name = tag.partition("@")[0]
    start, _, last = name.rpartition("/")
    path = joined(start, re.sub(r":.*\Z", "", last)) if start else re.sub(r":.*\Z", "", last)
    registry, slash, rest = path.partition("/")
    looks_like_registry = "." in registry or ":" in registry or UNKNOWN in registry
    if slash and (looks_like_registry or (registry.startswith("{") and registry.endswith("}"))):
        path = rest
    return "" if UNKNOWN in path or not path.strip("/") else path


def _arn_name(text: str) -> str:
    """The name in an ARN; any other text as it is."""
    if text.startswith("arn:"):
        return re.split(r"[:/]", text)[-1]
    return text


def _builds(words: Sequence[str]) -> bool:
    """Whether a script is started that is called after what it does: `python3 build.py`."""
    return any(re.match(r"build\b", basename(word)) for word in words[:3])


def _shown(text: str) -> str:
    return text.replace(UNKNOWN, "…") or "…"


def _is_related(build: str, packed: str) -> bool:
    return is_in(packed, build) or is_in(build, packed)
