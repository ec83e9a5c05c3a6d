"""Evidence about the same thing becomes one unit: what is deployed, by which kind of target, from
which folders.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from posixpath import basename, dirname
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from toolkit.formats.patterns import everything_in, is_valid_pattern, literal, simplify
from toolkit.formats.variables import fill, names
from toolkit.init.evidence import (
    UNKNOWN,
    AssemblyStack,
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
from toolkit.init.images.inputs import read_image
from toolkit.init.names import slug
from toolkit.init.stages import STAGE, without_stage
from toolkit.init.templates import (
    Templates,
    TemplateService,
    template_inputs,
    template_services,
)
from toolkit.init.tree import TrackedFiles, is_ours

_READS_ANYTHING = {"serverless", "sst", "cdktf", "pulumi", "terraform", "helm", "copilot"}
_OF_IMAGES = {"helm", "helmfile", "kubectl", "terraform", "tofu", "ecspresso", "pulumi", "copilot"}
_SOURCES = (
    ".ts",
    ".mts",
    ".cts",
    ".js",
    ".mjs",
    ".cjs",
    ".py",
    ".java",
    ".cs",
    ".go",
    ".kt",
    ".fs",
)
_MOST_SOURCES = 5000
_FUNCTION = re.compile(r"(?:[A-Za-z0-9_-]|\{\w+\})+")
_IMAGE_ASSET = re.compile(
    r"image\w{0,20}[._]from_?(?:image_?)?asset|docker_?image_?(?:asset|function|code)"
    r"|asset_?image|image_?asset|tarball",
    re.IGNORECASE,
)


class Unit(Struct, frozen=True):
    """One deployed thing. `name` is what its target is called if nothing else is, `long_name` what
    it is called if another one has that; `patterns` are what it is made of for sure, `folders`
    those whose code has to be followed. `composes`: its code puts other folders together (a CDK
    app, a Terraform module); `takes_images`: an image that the same file builds may be its own.
    """

    kind: str
    name: str
    settings: Mapping[str, object]
    places: tuple[Place, ...]
    patterns: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    exclusions: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    comment: tuple[str, ...] = ()
    composes: bool = False
    stages: tuple[str, ...] = ()
    long_name: str = ""
    takes_images: bool = False


Entry = TypeVar("Entry", bound=Evidence)


class _Group(Struct, frozen=True):
    """What several lines say about one thing: its names (with `{stage}` where they differ by the
    environment alone), and the environments.
    """

    names: tuple[str, ...]
    entries: tuple[Evidence, ...]
    stages: tuple[str, ...]

    @property
    def places(self) -> tuple[Place, ...]:
        """Where it is said, a line once, what runs it before what only names it."""
        return tuple(sorted({entry.place for entry in self.entries}, key=_trust))


def _grouped(
    entries: Sequence[Entry],
    names: Callable[[Entry], tuple[str, ...]],
    source: Callable[[Entry], str],
) -> list[_Group]:
    """Entries by their names, those that only differ by the environment together. `source` is what
    the thing is made of: what has no certain name is the same only if that is the same.
    """
    groups: dict[tuple[tuple[str, ...], str], list[tuple[Entry, str]]] = {}
    for entry in entries:
        staged = [without_stage(name) for name in names(entry)]
        stage = next((stage for _, stage in reversed(staged) if stage), "")
        certain = all(_is_literal(name) for name in names(entry) if name)
        key = tuple(name for name, _ in staged), "" if certain else source(entry)
        groups.setdefault(key, []).append((entry, stage))
    merged = []
    for (staged_names, _), members in groups.items():
        stages = tuple(dict.fromkeys(stage for _, stage in members if stage))
        # One environment is no reason for a variable.
        own = staged_names if len(stages) > 1 else names(members[0][0])
        listed = tuple(entry for entry, _ in members)
        merged.append(_Group(own, listed, stages if len(stages) > 1 else ()))
    return merged


def join_units(
    tree: TrackedFiles, evidence: Iterable[Evidence], templates: Templates
) -> tuple[list[Unit], list[Sighting]]:
    """All units, and what was seen besides."""
    joiner = _Joiner(tree, tuple(evidence), templates)
    units = joiner.units()
    return units, joiner.sightings


class _Joiner:
    def __init__(
        self,
        tree: TrackedFiles,
        evidence: tuple[Evidence, ...],
        templates: Templates,
    ) -> None:
        self._tree, self._templates = tree, templates
        self._evidence = evidence
        self._images = _distinct_images(self._of(ImagePush))
        self._used: set[ImagePush] = set()
        self.sightings: list[Sighting] = list(self._of(Sighting))

    def units(self) -> list[Unit]:
        """Units of all kinds. What images nothing of them runs is told apart."""
        units = [
            *self._apps(),
            *self._functions(),
            *self._stacks(),
            *self._cdk_apps(),
            *self._commands(),
            *self._sites(),
        ]
        leftover = [image for image in self._images if image not in self._used]
        for image in leftover:
            units = self._give_away(image, units)
        return units

    def _of(self, kind: type[Entry]) -> list[Entry]:
        return [entry for entry in self._evidence if isinstance(entry, kind)]

    # --- Apps

    def _apps(self) -> Iterator[Unit]:
        groups = _grouped(
            self._of(ServiceDeploy),
            lambda entry: (entry.cluster, entry.service, entry.container),
            lambda entry: _dockerfile(self._image_of([entry])),
        )
        for group in groups:
            services = [entry for entry in group.entries if isinstance(entry, ServiceDeploy)]
            yield self._app(group.names, group.places, self._image_of(services), group.stages)
        images = [image for image in self._images if image not in self._used]
        for service in template_services(self._templates) if images else ():
            images = [image for image in images if image not in self._used]
            for image in images:
                if image.ecr and image.repository and _mentions(service, image.repository):
                    place = Place(service.path, 1, "an ECS service that uses the image")
                    names = (service.cluster, service.service, "")
                    yield self._app(names, (image.place, place), image, ())
                    break

    def _app(
        self,
        names: tuple[str, ...],
        places: tuple[Place, ...],
        image: ImagePush | None,
        stages: tuple[str, ...],
    ) -> Unit:
        cluster, service, container = names
        repository = image.repository if image else ""
        name = _target_name(service, repository, _folder_name(image.dockerfile) if image else "")
        settings: dict[str, object] = {
            "cluster": _or_variable(cluster, name, "cluster"),
            "service": _or_variable(service, name, "service"),
            "repository": _or_variable(repository, name, "repository"),
        }
        if container:
            settings["container"] = container
        if image is None:
            sources = [entry for entry in self._images if _in_file(entry, places)]
            listed = [pattern for entry in sources for pattern in self._inputs(entry)[0]]
            question = (
                f"targets.{name}.build: which image does the service get? Nothing says how it is"
                " built"
            )
            known = tuple(listed) or ("**",)
            return Unit("app", name, settings, places, known, questions=(question,), stages=stages)
        self._used.add(image)
        settings["build"] = _build(image)
        patterns, exclusions, folders, questions = self._inputs(image)
        return Unit(
            "app",
            name,
            settings,
            tuple(dict.fromkeys((*places, image.place))),
            patterns,
            folders,
            exclusions,
            questions,
            stages=stages,
        )

    def _image_of(self, services: Sequence[ServiceDeploy]) -> ImagePush | None:
        """The image that a service gets: named by the line, or pushed by the same job, or by the
        same file; of several the one that is called like it.
        """
        named = {name for entry in services for name in entry.images}
        by_name = [image for image in self._images if image.repository in named]
        if len(by_name) == 1:
            return by_name[0]
        jobs = {(entry.place.file, entry.place.job) for entry in services}
        files = {entry.place.file for entry in services}
        for candidates in (
            [image for image in self._images if (image.place.file, image.place.job) in jobs],
            [image for image in self._images if image.place.file in files],
            self._images,
        ):
            if len(candidates) == 1 and candidates is not self._images:
                return candidates[0]
            words = {
                slug(without_stage(word)[0].replace(STAGE, ""))
                for entry in services
                for word in (entry.service, entry.container)
            } - {""}
            alike = [image for image in candidates if _is_alike(image, words)]
            if len(alike) == 1:
                return alike[0]
            if candidates and candidates is not self._images and not alike:
                same = {(image.dockerfile, image.context) for image in candidates}
                if len(same) == 1:
                    return candidates[0]
        return None

    def _inputs(
        self, image: ImagePush
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """What an image is made of: patterns, exclusions, folders to follow, and questions."""
        inputs = read_image(self._tree, image.dockerfile, image.context)
        home = dirname(image.dockerfile)
        patterns = list(inputs.positive)
        if home:
            patterns.append(everything_in(home))
        if not inputs.missing_sources:
            exclusions = tuple(
                pattern[1:] for pattern in inputs.patterns if pattern.startswith("!")
            )
            return simplify(patterns), exclusions, (), ()
        # What is built before the image is made of the code around it.
        folder = home or image.context
        missing = ", ".join(f"`{source}`" for source in inputs.missing_sources[:3])
        question = (
            f"{image.dockerfile} copies {missing}, not in git: what has to run before the image is"
            " built?"
        )
        patterns.append(everything_in(folder))
        return simplify(patterns), (), (folder,) if folder else (), (question,)

    # --- Functions

    def _functions(self) -> Iterator[Unit]:
        for group in _grouped(
            self._of(FunctionDeploy),
            lambda entry: (entry.function,),
            lambda entry: entry.source or entry.folder or entry.image,
        ):
            entries = [entry for entry in group.entries if isinstance(entry, FunctionDeploy)]
            best = max(entries, key=lambda entry: (bool(entry.source), bool(entry.build)))
            name = _target_name(group.names[0], basename(best.source or best.folder), "function")
            named = group.names[0]
            known = named if _FUNCTION.fullmatch(named) else ""
            settings: dict[str, object] = {"function": _or_variable(known, name, "function")}
            questions: list[str] = []
            if len(best.aliases) == 1:
                settings["alias"] = best.aliases[0]
            elif best.aliases:
                listed = ", ".join(f"`{alias}`" for alias in best.aliases[:5])
                questions.append(
                    f"targets.{name}.alias: which of {listed} has to point to the new version?"
                )
            if best.image:
                image = next(
                    (image for image in self._images if image.repository == best.image), None
                )
                unit = self._image_function(group, name, settings, best.image, image)
                yield replace(unit, questions=(*questions, *unit.questions))
                continue
            source = best.source or best.folder
            if best.build and best.source:
                settings["build"] = {
                    "command": list(best.build),
                    "output": best.source or ".",
                    "folder": best.folder or ".",
                }
            elif best.source:
                settings["source"] = best.source
            else:
                settings["source"] = _or_variable("", name, "source")
                questions.append(
                    f"targets.{name}.source: which folder is packed for the function"
                    f" `{_shown(group.names[0])}`?"
                )
            folders = tuple(folder for folder in {source, best.folder} if folder)
            patterns = tuple(map(everything_in, folders)) or ("**",)
            if not best.source and not best.folder:
                patterns = ("**",)
            yield Unit(
                "function",
                name,
                settings,
                group.places,
                patterns,
                folders,
                questions=tuple(questions),
                stages=group.stages,
            )

    def _image_function(
        self,
        group: _Group,
        name: str,
        settings: dict[str, object],
        repository: str,
        image: ImagePush | None,
    ) -> Unit:
        build: dict[str, object] = {"repository": repository}
        if image is None:
            question = f"targets.{name}.image: which Dockerfile is it built from?"
            files = {place.file for place in group.places}
            near = [entry for entry in self._images if entry.place.file in files]
            if len(near) == 1:
                image = near[0]
        if image is None:
            settings["image"] = build
            return Unit("function", name, settings, group.places, ("**",), questions=(question,))
        self._used.add(image)
        settings["image"] = {**build, **_build(image)}
        patterns, exclusions, folders, questions = self._inputs(image)
        places = tuple(dict.fromkeys((*group.places, image.place)))
        return Unit(
            "function",
            name,
            settings,
            places,
            patterns,
            folders,
            exclusions,
            questions,
            stages=group.stages,
        )

    # --- Stacks

    def _stacks(self) -> Iterator[Unit]:
        by_template: dict[str, list[StackDeploy]] = {}
        for entry in self._of(StackDeploy):
            by_template.setdefault(entry.template, []).append(entry)
        for path, entries in by_template.items():
            named = [entry for entry in entries if _is_literal(entry.stack)]
            # A line that takes the name from elsewhere means a stack that another one names.
            groups = _grouped(
                named or entries, lambda entry: (entry.stack,), lambda entry: entry.template
            )
            unnamed = [] if not named else [entry.place for entry in entries if entry not in named]
            for group in groups:
                places = tuple(dict.fromkeys((*group.places, *unnamed)))
                yield self._stack(path, group, places)

    def _stack(self, path: str, group: _Group, places: tuple[Place, ...]) -> Unit:
        stack = group.names[0]
        name = _target_name(stack, slug(path.rpartition(".")[0]), "stack")
        settings: dict[str, object] = {
            "stack": _or_variable(stack, name, "stack"),
            "template": path,
        }
        questions: list[str] = []
        comment: list[str] = []
        if path in self._templates:
            inputs = template_inputs(self._tree, self._templates, path)
            patterns, folders = inputs.patterns, inputs.folders
            required = self._templates[path].required
            if required:
                questions.append(
                    f"targets.{name}.parameters: {path} needs values for"
                    f" {', '.join(required[:10])}, which have no default"
                )
            questions += inputs.unknown
            if self._templates[path].serverless:
                comment.append("`sam build` comes first.")
            for image in self._images:
                if (image.dockerfile, image.context) in inputs.images:
                    self._used.add(image)
        else:
            home = dirname(path)
            patterns = (everything_in(home) if home else "**",)
            folders = (home,) if home else ()
        return Unit(
            "stack",
            name,
            settings,
            places,
            patterns,
            tuple(folder for folder in folders if folder),
            questions=tuple(questions),
            comment=tuple(comment),
            stages=group.stages,
            takes_images=True,
        )

    def _cdk_apps(self) -> Iterator[Unit]:
        by_folder: dict[str, list[CdkDeploy]] = {}
        for entry in self._of(CdkDeploy):
            by_folder.setdefault(entry.folder, []).append(entry)
        synthesized: dict[str, list[AssemblyStack]] = {}
        for stack in self._of(AssemblyStack):
            synthesized.setdefault(stack.folder, []).append(stack)
        for folder, entries in by_folder.items():
            stacks = synthesized.get(folder, [])
            # Where the app leaves a place open, what the account says of the stack counts.
            own = [stack.place for stack in stacks if stack.place.line]
            if own and len({(place.account, place.region) for place in own}) == 1:
                yield from _assembly_units(folder, entries, stacks)
            else:
                yield _cdk_unit(self._tree, folder, entries)

    # --- Other tools

    def _commands(self) -> Iterator[Unit]:
        by_folder: dict[tuple[str, str], list[CommandDeploy]] = {}
        for entry in self._of(CommandDeploy):
            by_folder.setdefault((entry.tool, entry.folder), []).append(entry)
        groups: list[_Group] = []
        for entries in by_folder.values():
            groups += _grouped(entries, lambda entry: (entry.identity,), lambda entry: "")
        for group in groups:
            entries = [entry for entry in group.entries if isinstance(entry, CommandDeploy)]
            first = min(entries, key=lambda entry: _trust(entry.place))
            words = first.words
            stages = group.stages
            own = [without_stage(shell) for entry in entries for shell in [" ".join(entry.words)]]
            differing = {stage for _, stage in own if stage}
            if len(differing) > 1:
                words = tuple(without_stage(word)[0] for word in words)
                stages = tuple(dict.fromkeys((*stages, *sorted(differing))))
            folder = first.folder
            name = _target_name(group.names[0], slug(folder), first.tool)
            inputs = dict.fromkeys(path for entry in entries for path in entry.inputs)
            patterns = [
                literal(path) if path in self._tree else everything_in(path) for path in inputs
            ]
            render = first.tool in ("render", "kubectl", "helm", "ansible")
            if folder:
                patterns.append(everything_in(folder))
            elif not (render and patterns) or first.tool == "render":
                patterns.append("**")
            questions = tuple(
                f"targets.{name}.deploy: what `{variable}` is there"
                for variable in ("{argument}",)
                if any(variable in word for word in words)
            )
            yield Unit(
                "command",
                name,
                {"deploy": list(words), "folder": folder or "."},
                group.places,
                tuple(patterns),
                (folder,) if folder else (),
                questions=questions,
                composes=first.tool in _READS_ANYTHING,
                stages=stages,
                long_name=slug(f"{folder} {first.tool} {group.names[0]}"),
                takes_images=first.tool in _OF_IMAGES,
            )

    def _sites(self) -> Iterator[Unit]:
        groups = _grouped(
            self._of(SiteDeploy),
            lambda entry: (entry.bucket, entry.prefix),
            lambda entry: entry.source,
        )
        for group in groups:
            entries = [entry for entry in group.entries if isinstance(entry, SiteDeploy)]
            best = max(
                entries,
                key=lambda entry: (bool(entry.source), bool(entry.build), bool(entry.distribution)),
            )
            bucket, prefix = group.names
            name = _target_name(bucket, basename(best.folder or best.source), "site")
            questions: tuple[str, ...] = ()
            settings: dict[str, object] = {
                "source": best.source or _or_variable("", name, "source"),
                "bucket": _or_variable(bucket, name, "bucket"),
            }
            if not best.source:
                question = "which folder is copied into the bucket, and which `build` makes it?"
                questions = (f"targets.{name}.source: {question}",)
            if best.build:
                settings["build"] = {"command": list(best.build), "folder": best.folder or "."}
            if prefix and UNKNOWN not in prefix:
                settings["prefix"] = prefix
            distributions = {entry.distribution for entry in entries if entry.distribution}
            if len(distributions) == 1:
                settings["distribution"] = distributions.pop()
            folder = best.folder if best.build or not best.source else best.source
            if folder == ".":
                folder = ""
            own = [folder] if folder else []
            if best.build and not folder:
                patterns: tuple[str, ...] = ("**",)
            elif folder:
                patterns = (everything_in(folder),)
            else:
                patterns = ("**",)
            nearest = self._tree.nearest(best.source)
            if nearest and self._tree.is_folder(nearest):
                patterns = simplify((*patterns, everything_in(nearest)))
            yield Unit(
                "site",
                name,
                settings,
                group.places,
                patterns,
                tuple(own),
                questions=questions,
                stages=group.stages,
            )

    # --- Images that no service is known for

    def _give_away(self, image: ImagePush, units: list[Unit]) -> list[Unit]:
        """An image that the same file deploys in another way belongs to that unit, too."""
        takers = [unit for unit in units if unit.takes_images and _in_file(image, unit.places)]
        where = image.place.where
        if not takers:
            self.sightings.append(
                Sighting(
                    image.place,
                    f"builds and pushes the image of {image.dockerfile}; nothing says what runs it",
                )
            )
            return units
        patterns, _, _, _ = self._inputs(image)
        given = []
        for unit in units:
            if unit in takers:
                question = (
                    f"targets.{unit.name}: {where} builds the image of {image.dockerfile} and"
                    " pushes it first; does something have to do that before this deploy?"
                )
                unit = replace(
                    unit,
                    patterns=simplify((*unit.patterns, *patterns)),
                    exclusions=(),
                    questions=(*unit.questions, question),
                )
            given.append(unit)
        return given


def _cdk_unit(tree: TrackedFiles, folder: str, entries: Sequence[CdkDeploy]) -> Unit:
    """The target that stands for a CDK app. Which stacks it has only a synthesis tells, so it is
    deployed whole, unless every line that deploys it names stacks: then those, and a question
    where only a run would tell their names. The kind `stack` does it where it deploys what the
    lines do, else the CDK itself.

    This is the only place that decides how a whole app is drafted.
    """
    said = [entry for entry in entries if entry.place.words]
    unit = Unit(
        "stack",
        slug(folder) or "cdk",
        {"cdk": folder or "."},
        tuple(sorted({entry.place for entry in entries}, key=_trust)),
        (everything_in(folder),) if folder else ("**",),
        (folder,) if folder else (),
        composes=True,
    )
    named, stages = _named_stacks(said, _or_variable("", unit.name, "stacks"))
    context, stages, differing = _staged_context(said, stages)
    unit = replace(unit, stages=stages)
    settings = dict(unit.settings)
    if context:
        settings["context"] = context
    is_open = not all(map(_may_name_stacks, named))
    has_settings = f"{folder}/cdk.json".lstrip("/") in tree
    plain = not (is_open or differing or any(entry.app or entry.more for entry in said))
    by_kind = bool(said) and plain and has_settings and not _makes_images(tree, folder)
    # A path is no name: only patterns are compared with paths.
    if by_kind and len(named) == 1 and _is_literal(named[0]) and not set(named[0]) & set("*?/"):
        return replace(unit, settings={"stack": named[0], **settings})
    comment = ("The whole app: which stacks it has, only a synthesis tells.",)
    regions = "It is deployed in the `regions` of its environment, and says what it leaves out."
    if named and not is_open:
        comment = ("The stacks that those lines name.",)
        regions = "They are deployed in the `regions` of the environment."
    unit = replace(unit, comment=comment, takes_images=True)
    if by_kind:
        settings["stacks"] = list(named) or "*"
        return replace(unit, settings=settings, comment=(*comment, regions))
    chosen = named if named and not is_open else ("--all",)
    words = [*_cdk_program(tree, folder), "deploy", *chosen, "--require-approval", "never"]
    apps = {entry.app for entry in said if entry.app and UNKNOWN not in entry.app}
    if apps and not has_settings:
        words += ["-a", sorted(apps)[0]]
    for key, value in sorted(context.items()):
        words += ["-c", f"{key}={value}"]
    questions = []
    if is_open:
        shown = " ".join(map(_shown, named))
        questions.append(
            f"targets.{unit.name}.deploy: which stacks is `{shown}` there? `--all` is every one"
        )
    questions += [f"targets.{unit.name}.deploy: what is `-c {key}=…` there?" for key in differing]
    for option, value in dict.fromkeys(pair for entry in said for pair in entry.more):
        if UNKNOWN in value or not all((option, value) in entry.more for entry in said):
            questions.append(
                f"targets.{unit.name}.deploy: what is `{option} {_shown(value)}` there?"
            )
        else:
            words += [option, value]
    return replace(
        unit,
        kind="command",
        settings={"deploy": words, "folder": folder or "."},
        questions=tuple(questions),
    )


def _named_stacks(
    said: Sequence[CdkDeploy], variable: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The stacks that lines name, each once, and the environments that these differ by; no stacks
    if a line deploys all. What jobs of some environments alone deploy is the variable: with their
    names, another environment would deploy it, too.
    """
    if not all(entry.stacks for entry in said):
        return (), ()
    environments = {entry.place.environment for entry in said} - {""}
    stages: dict[str, None] = {}
    users: dict[str, set[str]] = {}
    for group in _grouped(said, lambda entry: entry.stacks, lambda entry: ""):
        stages |= dict.fromkeys(group.stages)
        own = {""} if group.stages else {entry.place.environment for entry in group.entries}
        for name in group.names:
            users.setdefault(name, set()).update(own)
    named = (name if "" in own or own >= environments else variable for name, own in users.items())
    return tuple(dict.fromkeys(named)), tuple(stages)


def _may_name_stacks(text: str) -> bool:
    """Whether the kind `stack` takes a name or a pattern of a line as it is."""
    plain = fill(text, dict.fromkeys(names(text), "x"))
    return UNKNOWN not in text and not text.startswith("!") and is_valid_pattern(plain)


def _cdk_program(tree: TrackedFiles, folder: str) -> list[str]:
    """What starts the CDK: npx, where it may be a package of the folder, or of one around it."""
    while True:
        if f"{folder}/package.json".lstrip("/") in tree:
            return ["npx", "cdk"]
        if not folder:
            return ["cdk"]
        folder = dirname(folder)


def _makes_images(tree: TrackedFiles, folder: str) -> bool:
    """Whether the source of a CDK app speaks of image assets, which the kind `stack` refuses, or is
    too much to be read.
    """
    paths = [path for path in tree.below(folder) if path.endswith(_SOURCES) and is_ours(path)]
    if len(paths) > _MOST_SOURCES:
        return True
    texts = map(tree.read, paths)
    return any(text is None or _IMAGE_ASSET.search(text) for text in texts)


def _assembly_units(
    folder: str, entries: Sequence[CdkDeploy], stacks: Sequence[AssemblyStack]
) -> Iterator[Unit]:
    """The stacks of an app that was synthesized. All of its source belongs to each of them: what
    only one of them uses, a source does not say.
    """
    said = [entry for entry in entries if entry.place.words]
    context, stages, differing = _staged_context(said)
    by_name: dict[str, list[Place]] = {}
    for stack in stacks:
        by_name.setdefault(stack.stack, []).append(stack.place)
    for name, places in by_name.items():
        settings: dict[str, object] = {"stack": name, "cdk": folder or "."}
        if context:
            settings["context"] = context
        yield Unit(
            "stack",
            slug(name) or "stack",
            settings,
            (*places, *sorted({entry.place for entry in said}, key=_trust)),
            (everything_in(folder),) if folder else ("**",),
            (folder,) if folder else (),
            questions=tuple(
                f"targets.{slug(name) or 'stack'}.context: what is `{key}` there?"
                for key in differing
            ),
            composes=True,
            stages=stages,
            takes_images=True,
        )


def _staged_context(
    entries: Sequence[CdkDeploy], stages: tuple[str, ...] = ()
) -> tuple[dict[str, str], tuple[str, ...], list[str]]:
    """The context values that all lines give, with `{stage}` where they differ by the environment
    alone, and those environments (`stages`, if there are some); then what has other values in
    other lines.
    """
    same: dict[str, str] = {}
    differing = []
    for key in dict.fromkeys(key for entry in entries for key in entry.context):
        values = {entry.context.get(key) for entry in entries}
        staged = [without_stage(value) for value in values if value is not None]
        own = {stage for _, stage in staged} - {""}
        if len(values) == 1:
            same[key] = entries[0].context[key]
        elif (
            None in values
            or len({text for text, _ in staged}) > 1
            or (stages and not own <= set(stages))
        ):
            differing.append(key)
        else:
            same[key] = staged[0][0]
            stages = stages or tuple(sorted(own))
    return same, stages, differing


def _distinct_images(images: Sequence[ImagePush]) -> list[ImagePush]:
    """Each image once: the same Dockerfile in the same repository, whoever builds it. The same
    image for several environments counts once, too.
    """
    distinct: dict[tuple[str, str, str, str], ImagePush] = {}
    stages: dict[tuple[str, str, str, str], set[str]] = {}
    for image in images:
        staged, stage = without_stage(image.repository)
        key = (image.dockerfile, image.context, image.target, staged)
        distinct.setdefault(key, image)
        stages.setdefault(key, set()).add(stage)
    merged = []
    for key, image in distinct.items():
        if len(stages[key]) > 1 and "" not in stages[key]:
            image = replace(image, repository=key[3])
        merged.append(image)
    # A tag at Docker Hub besides the one in ECR is the same image.
    by_build: dict[tuple[str, str, str], list[ImagePush]] = {}
    for image in merged:
        by_build.setdefault((image.dockerfile, image.context, image.target), []).append(image)
    chosen: list[ImagePush] = []
    for alike in by_build.values():
        chosen += [image for image in alike if image.ecr and image.repository] or alike[:1]
    return chosen


def _build(image: ImagePush) -> dict[str, object]:
    build: dict[str, object] = {
        "context": image.context or ".",
        "dockerfile": image.dockerfile,
    }
    if image.target and _is_literal(image.target):
        build["target"] = image.target
    return build


def _mentions(service: TemplateService, repository: str) -> bool:
    word = re.compile(rf"(?<![\w-]){re.escape(repository)}(?![\w-])")
    return any(word.search(text) for text in service.images)


def _is_alike(image: ImagePush, words: set[str]) -> bool:
    """Whether an image is called like a service: one name is a part of the other."""
    own = {slug(basename(image.repository)), slug(_folder_name(image.dockerfile))} - {""}
    return any(
        word == name or set(word.split("-")) >= set(name.split("-")) or name.endswith(f"-{word}")
        for word in words
        for name in own
    )


def _in_file(image: ImagePush, places: Sequence[Place]) -> bool:
    return image.place.file in {place.file for place in places}


def _folder_name(dockerfile: str) -> str:
    """After `Dockerfile.worker`, else after the folder."""
    for word in basename(dockerfile).split("."):
        if word.lower() not in ("dockerfile", "containerfile", "") and not without_stage(word)[1]:
            return word
    return slug(dirname(dockerfile))


def _dockerfile(image: ImagePush | None) -> str:
    return image.dockerfile if image else ""


def _target_name(*candidates: str) -> str:
    """What a target is called: after the deployed thing, and after what it is made of only where
    that has no name here.
    """
    for candidate in candidates:
        text = candidate.replace(STAGE, "")
        if UNKNOWN in text or "{" in text:
            text = re.sub(r"\{[^{}]*\}|" + UNKNOWN, "", text)
            if len(slug(text)) < 3:
                continue
        if slug(text):
            return slug(text)
    # Only variables: the name that a person gave one of them.
    return next((slug(text.replace(UNKNOWN, "")) for text in candidates if slug(text)), "part")


def _or_variable(text: str, target: str, key: str) -> str:
    """The text, or a variable that a person has to fill in."""
    variable = f"{{{target.replace('-', '_')}_{key}}}"
    if not text or UNKNOWN in text:
        return variable
    return text if not set(re.sub(r"\{\w+\}", "", text)) & set("{}") else variable


def _is_literal(text: str) -> bool:
    return bool(text) and UNKNOWN not in text and not set(text.replace(STAGE, "")) & set("{}")


def _trust(place: Place) -> tuple[int, str, int]:
    """Workflows before scripts before what an account says before configurations that only name
    the thing.
    """
    if not place.words or not place.line:
        return (2 if place.words else 3), place.file, place.line
    return (0 if ".github/" in place.file else 1), place.file, place.line


def _shown(text: str) -> str:
    return text.replace(UNKNOWN, "…")
