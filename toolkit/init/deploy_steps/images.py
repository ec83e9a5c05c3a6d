"""Images: what is built from which Dockerfile, and pushed where."""

import re
from collections.abc import Iterator, Sequence
from posixpath import dirname
from posixpath import join as joined

from toolkit.formats.documents import as_mapping, load_yaml
from toolkit.init.command_words import Options
from toolkit.init.deploy_steps.context import JobContext, StepReader, image_repository
from toolkit.init.evidence import UNKNOWN, ImagePush, Place
from toolkit.init.images.contexts import is_compose
from toolkit.init.shell import ROOT, as_variable
from toolkit.init.steps import Step
from toolkit.init.tools import DEPLOYS

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
_COMPOSE_VARIABLE = re.compile(r"\$\{?(\w+)[^}/:]*\}?")


class ImageSteps(StepReader):
    """`docker build` and `push`, their like, compose, and the actions that do it."""

    def __init__(self, context: JobContext) -> None:
        super().__init__(context)
        self._ecr = False
        self._images: dict[str, ImagePush] = {}
        self._aliases: dict[str, str] = {}
        self._pushed: list[tuple[str, Place]] = []
        self.programs = {
            **dict.fromkeys(_ENGINES, self._read_engine),
            "docker-compose": self._read_compose,
        }
        self.operations = {
            ("ecr", "get-login-password"): self._read_ecr_login,
            ("ecr", "get-login"): self._read_ecr_login,
        }
        self.actions = {
            "aws-actions/amazon-ecr-login": self._read_ecr_action,
            "docker/build-push-action": self._read_image_action,
            "kciter/aws-ecr-action": self._read_ecr_push_action,
        }

    def pushes(self) -> Iterator[ImagePush]:
        """The images that were built and pushed, in the order of their pushes."""
        for tag, place in self._pushed:
            image = self._image(tag)
            if image is not None:
                yield ImagePush(
                    place,
                    image_repository(tag),
                    image.context,
                    image.dockerfile,
                    self._is_ecr(tag),
                    image.target,
                )

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
                self._pushed.append((tag, self.job.place()))
        elif words[0] == "login" and any("dkr.ecr" in word for word in words):
            self._ecr = True

    def _read_image_build(self, words: tuple[str, ...]) -> None:
        options = Options(words, _BUILD_FLAGS)
        context = options.plain[-1] if options.plain else "."
        tags = [*options.values.get("-t", []), *options.values.get("--tag", [])]
        self._add_build(context, options.first("-f", "--file"), tags, options.first("--target"))
        output = options.first("--output", "-o")
        if options.has("--push") or "push=true" in output:
            self._pushed += [(tag, self.job.place()) for tag in tags]

    def _add_build(
        self, context: str, dockerfile: str, tags: Sequence[str], target: str = ""
    ) -> None:
        folder = self.job.path(context)
        if folder is None or context == "-" or "://" in context:
            return
        path = self.job.path(dockerfile) if dockerfile else joined(folder, "Dockerfile")
        if path is not None and path not in self.job.tree and not dockerfile:
            others = [joined(folder, "Containerfile")]
            path = next((other for other in others if other in self.job.tree), path)
        if path is None or path not in self.job.tree:
            self.job.see(f"builds an image from {context}, whose Dockerfile is not in git")
            return
        image = ImagePush(self.job.place(), "", folder, path, target=target)
        for tag in tags:
            self._images[tag] = image

    def _read_compose(self, words: tuple[str, ...]) -> None:
        options = Options(words, ("-d", "--detach", "--build", "--no-cache", "--pull", "-q"))
        does = options.plain[0] if options.plain else ""
        if does not in ("push", "build", "up"):
            return
        chosen = (*options.values.get("-f", ()), *options.values.get("--file", ()))
        named = [self.job.path(path) for path in chosen]
        if not named and self.job.folder is not None:
            named = [path for path in self.job.tree.files_in(self.job.folder) if is_compose(path)]
        if does == "up":
            # Tests and people start containers, too: only a name tells that this is a deploy.
            if DEPLOYS.search(f"{self.job.job.file} {self.job.job.name}".lower()):
                files = ", ".join(path for path in named if path) or "a compose file"
                self.job.see(f"starts the containers of {files}, for which toolkit has no target")
            return
        for path in named:
            if path is not None:
                self._read_compose_file(path, does == "push", options.plain[1:])

    def _read_compose_file(self, path: str, pushes: bool, chosen: Sequence[str]) -> None:
        try:
            document = load_yaml(self.job.tree.read(path) or "")
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
                self._pushed.append((tag, self.job.place()))

    def _read_ecr_login(self, options: Options) -> None:
        self._ecr = True

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
            self._pushed += [(tag, self.job.place()) for tag in tags or [UNKNOWN]]

    def _read_ecr_push_action(self, step: Step) -> None:
        self._ecr = True
        repository = step.inputs.get("repo", "")
        path = self.job.path(step.inputs.get("path", "."))
        file = step.inputs.get("dockerfile", "./Dockerfile")
        if path is not None:
            # The Dockerfile is relative to the path.
            beside = joined(path, file.removeprefix("./"))
            dockerfile = ROOT + beside if beside in self.job.tree else file
            self._add_build(ROOT + path, dockerfile, [repository])
            self._pushed.append((repository, self.job.place()))

    def _image(self, tag: str) -> ImagePush | None:
        """The build behind a tag, directly or through `docker tag`."""
        for _ in range(5):
            if tag in self._images:
                return self._images[tag]
            if tag not in self._aliases:
                break
            tag = self._aliases[tag]
        # The same repository with another tag.
        name = image_repository(tag)
        alike = [other for other in self._images if name and image_repository(other) == name]
        if alike:
            return self._images[alike[-1]]
        built = list({image.dockerfile: image for image in self._images.values()}.values())
        return built[0] if len(built) == 1 else None

    def _is_ecr(self, tag: str) -> bool:
        registry = tag.rpartition("/")[0].partition("/")[0]
        if "dkr.ecr" in registry:
            return True
        return self._ecr and ("." not in registry or UNKNOWN in registry or "{" in registry)
