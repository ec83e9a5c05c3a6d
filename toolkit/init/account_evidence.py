"""What runs in an account meets what the repository says: it names what the repository leaves open,
and proves what only its content tells. What matches nothing is listed, and never drafted.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from posixpath import basename, dirname, splitext
from posixpath import join as joined

from msgspec.structs import replace

from toolkit.init.account import (
    Account,
    LiveBucket,
    LiveFunction,
    LiveService,
    LiveStack,
    plain_template,
)
from toolkit.init.deploy_steps.context import image_repository
from toolkit.init.evidence import (
    UNKNOWN,
    AssemblyStack,
    CdkDeploy,
    Evidence,
    FunctionDeploy,
    ImagePush,
    Place,
    ServiceDeploy,
    Sighting,
    SiteDeploy,
    StackDeploy,
)
from toolkit.init.images.contexts import build_contexts, is_dockerfile
from toolkit.init.names import slug
from toolkit.init.stages import STAGE, without_stage
from toolkit.init.templates import Templates
from toolkit.init.tree import TrackedFiles

NOT_HERE = "runs in the account; nothing here says where it comes from"
_HOLE = re.compile(r"\{\w+\}|" + UNKNOWN)
_LEAST_LETTERS = 3
"""So many letters of a name with variables have to be known for it to mean something that runs."""
_OF_TOOLS = re.compile(r"CDKToolkit\Z|aws-sam-cli-managed-")
_CDK_IMAGES = re.compile(r"cdk-\w+-container-assets-")
_OF_OUR_REGISTRY = re.compile(r"([0-9]{12})\.dkr[.-]ecr\.")
_HASHED = re.compile(r"[.-](?=[\w-]*[0-9])[\w-]{8,64}(?=\.\w+\Z)")
_HANDLED_BY = (".py", ".js", ".mjs", ".cjs", ".ts", ".mts", ".rb")
_OF_ANY_FUNCTION = re.compile(r"\A(?:lambda|function|handler)-|-(?:lambda|function|handler)\Z")
_HOLDS_SOURCE = {"src", "public", "static", "www", "app"}


def with_account(
    tree: TrackedFiles,
    evidence: Sequence[Evidence],
    templates: Templates,
    account: Account,
    project: str,
) -> list[Evidence]:
    """The evidence with what an account adds to it: places, names that were open, things that only
    their content tells, and sightings of the rest.
    """
    matching = _Matching(tree, evidence, templates, account, project)
    for service in account.services:
        matching.match_service(service)
    for stack in account.stacks:
        matching.match_stack(stack)
    for function in account.functions:
        matching.match_function(function)
    for bucket in account.buckets:
        matching.match_bucket(bucket)
    unknown = [
        Sighting(Place(what, 0, ""), f"not known what of it runs in the account: {why}")
        for what, why in account.unknown
    ]
    return [*matching.evidence(), *unknown]


class _Matching:
    def __init__(
        self,
        tree: TrackedFiles,
        evidence: Sequence[Evidence],
        templates: Templates,
        account: Account,
        project: str,
    ) -> None:
        self._tree, self._templates = tree, templates
        self._account, self._project = account, project
        self._evidence = list(evidence)
        self._named: dict[int, list[Evidence]] = {}
        self._more: list[Evidence] = []
        self._by_template: dict[str, list[str]] | None = None
        self._handlers: dict[str, dict[str, list[str]]] = {}
        environments = {entry.place.environment for entry in evidence} - {""}
        self._keeps_names = len(environments) > 1

    def evidence(self) -> Iterator[Evidence]:
        """What there was, with the names that the account says, and what it adds."""
        for index, entry in enumerate(self._evidence):
            yield from self._named.get(index, (entry,))
        yield from self._more

    @cached_property
    def _dockerfiles(self) -> dict[str, list[str]]:
        """Dockerfiles by what they are for."""
        by_name: dict[str, list[str]] = {}
        for path in filter(is_dockerfile, self._tree.candidates):
            by_name.setdefault(_image_name(path, self._project), []).append(path)
        return by_name

    @cached_property
    def _page_folders(self) -> list[str]:
        return [dirname(path) for path in self._tree.candidates if basename(path) == "index.html"]

    @cached_property
    def _modules(self) -> dict[str, list[str]]:
        """Paths of what can be a handler, without their endings, by their last names."""
        modules: dict[str, list[str]] = {}
        for path in self._tree.candidates:
            stem, ending = splitext(path)
            if ending in _HANDLED_BY:
                modules.setdefault(basename(stem), []).append(stem)
        return modules

    def match_service(self, live: LiveService) -> None:
        """A service is that of a line that names it, or of the image that it runs."""
        pushed = [image_repository(image) for image in live.images.values()]
        matched = False
        for index, entry in enumerate(self._evidence):
            if (
                isinstance(entry, ServiceDeploy)
                and _fits(entry.cluster, live.cluster)
                and (_means(entry.service, live.name) or self._runs_push(entry, live.name, pushed))
            ):
                matched = True
                container = entry.container
                image = live.images.get(container) or next(iter(live.images.values()), "")
                place = self._service_place(live, image)
                named = replace(entry, cluster=live.cluster, service=live.name)
                self._add(index, entry, named, place)
        if not matched and not self._match_image(live):
            self._see(f"service {live.name} in cluster {live.cluster}")

    def _runs_push(self, entry: ServiceDeploy, service: str, repositories: Sequence[str]) -> bool:
        """Whether a line whose names are open stands with the push of an image that runs there."""
        return _fits(entry.service, service) and any(
            isinstance(push, ImagePush)
            and push.place.file == entry.place.file
            and any(_means(push.repository, repository) for repository in repositories)
            for push in self._evidence
        )

    def _match_image(self, live: LiveService) -> bool:
        """Whether a container's image is built here: a push says so, or the names of a Dockerfile
        and its repository.
        """
        for container, image in live.images.items():
            if not _OF_OUR_REGISTRY.match(image):
                continue
            repository = image_repository(image)
            if _CDK_IMAGES.match(repository):
                continue
            place = self._service_place(live, image)
            push = self._push_of(repository, place)
            if push is not None:
                self._more.append(push)
                only = container if len(live.images) > 1 else ""
                self._more.append(
                    ServiceDeploy(place, live.cluster, live.name, only, (push.repository,))
                )
                return True
        return False

    def _push_of(self, repository: str, place: Place) -> ImagePush | None:
        """What is pushed to a repository; None where that is not known, or not certain."""
        pushes = {
            (entry.dockerfile, entry.context, entry.target): entry
            for entry in self._evidence
            if isinstance(entry, ImagePush) and _means(entry.repository, repository)
        }
        if pushes:
            return next(iter(pushes.values())) if len(pushes) == 1 else None
        alike = [path for own in _names_like(repository) for path in self._dockerfiles.get(own, ())]
        if len(alike) != 1:
            return None
        (path,) = alike
        text = self._tree.read(path)
        if text is None:
            return None
        context = build_contexts({path: text}, self._tree.paths, {})[path]
        return ImagePush(place, repository, context, path)

    def match_stack(self, live: LiveStack) -> None:
        """A stack is that of a line or an app that names it, or of the template that is equal to
        what it has.
        """
        if _OF_TOOLS.match(live.name):
            return
        paths = self._paths_of(live.template)
        matched = self._match_app_stack(live)
        for index, entry in enumerate(self._evidence):
            if isinstance(entry, StackDeploy) and (
                _means(entry.stack, live.name)
                or (entry.template in paths and _fits(entry.stack, live.name))
            ):
                place = self._place(self._compared(live, entry.template))
                self._add(index, entry, replace(entry, stack=live.name), place)
                matched = True
        if matched:
            return
        if len(paths) == 1:
            place = self._place(self._compared(live, paths[0]))
            self._more.append(StackDeploy(place, paths[0], live.name))
            return
        words = NOT_HERE
        if paths:
            words = f"has the template of {' and of '.join(paths[:3])}: which deploys it?"
        elif self._has(CdkDeploy) and not self._has(AssemblyStack):
            words = f"{NOT_HERE}; --synth compares it with what the CDK app makes"
        self._see(f"stack {live.name}", words)

    def _has(self, kind: type[Evidence]) -> bool:
        return any(isinstance(entry, kind) for entry in self._evidence)

    def _match_app_stack(self, live: LiveStack) -> bool:
        """Whether a CDK app has the stack: one that was synthesized, or a line that names it."""
        named = [
            entry
            for entry in self._evidence
            if isinstance(entry, CdkDeploy) and live.name in entry.stacks
        ]
        made = [
            entry
            for entry in self._evidence
            if isinstance(entry, AssemblyStack) and entry.stack == live.name
        ]
        for entry in made:
            if live.template is None or entry.template is None:
                words = "a template that could not be compared"
            elif live.template == entry.template:
                words = "what the app synthesizes"
            else:
                words = "another template than the app has now"
            place = self._place(f"stack {live.name} has {words}")
            self._more.append(replace(entry, place=place))
        if not made:
            place = self._place(f"stack {live.name}")
            self._more += [replace(entry, place=place) for entry in named]
        return bool(made or named)

    def _compared(self, live: LiveStack, path: str) -> str:
        if live.template is None or (own := self._plain(path)) is None:
            return f"stack {live.name}, whose template could not be compared with {path}"
        if own == live.template:
            return f"stack {live.name} has the template {path}"
        return f"stack {live.name} has another template than {path} now"

    def _plain(self, path: str) -> str | None:
        return plain_template(self._tree.read(path) or "")

    def _paths_of(self, template: str | None) -> list[str]:
        if template is None:
            return []
        if self._by_template is None:
            self._by_template = {}
            for path in self._templates:
                plain = self._plain(path)
                if plain is not None:
                    self._by_template.setdefault(plain, []).append(path)
        return self._by_template.get(template, [])

    def match_function(self, live: LiveFunction) -> None:
        """A function is that of a line that names it, of its image, or, where its stack did not
        give it its code, of the folder with its handler that is called like it.
        """
        matched = False
        place = self._place(f"function {live.name}")
        for index, entry in enumerate(self._evidence):
            if isinstance(entry, FunctionDeploy) and _means(entry.function, live.name):
                self._add(index, entry, replace(entry, function=live.name), place)
                matched = True
        if matched or not live.apart:
            return  # what deploys its stack deploys it
        if live.image:
            repository = image_repository(live.image)
            place = self._place(f"function {live.name} runs {_short(live.image)}")
            push = None if _CDK_IMAGES.match(repository) else self._push_of(repository, place)
            if push is not None:
                deploy = FunctionDeploy(
                    place, live.name, image=push.repository, aliases=live.aliases
                )
                self._more += [push, deploy]
                return
        elif len(folders := self._handler_folders(live)) == 1:
            how = f", whose code is not its stack's ({live.stack})" if live.stack else ""
            place = self._place(f"function {live.name} with the handler {live.handler}{how}")
            self._more.append(
                FunctionDeploy(place, live.name, folders[0], folders[0], aliases=live.aliases)
            )
            return
        self._see(f"function {live.name}")

    def _handler_folders(self, live: LiveFunction) -> list[str]:
        """The folders with a function's handler in them that are called like it."""
        module = live.handler.rpartition(".")[0].replace(".", "/").strip("/")
        if not module:
            return []
        if module not in self._handlers:
            by_name = self._handlers[module] = dict[str, list[str]]()
            for stem in self._modules.get(basename(module), ()):
                folder = stem[: -len(module)].rstrip("/")
                if f"/{stem}".endswith(f"/{module}") and folder:
                    own = _OF_ANY_FUNCTION.sub("", slug(basename(folder)))
                    by_name.setdefault(own, []).append(folder)
        named = self._handlers[module]
        folders = (folder for own in _names_like(live.name) for folder in named.get(own, ()))
        return list(dict.fromkeys(folders))

    def match_bucket(self, live: LiveBucket) -> None:
        """A bucket is that of a line that names it, or of the folder whose files it holds."""
        distribution = live.distributions[0] if len(live.distributions) == 1 else ""
        behind = f", behind the distribution {distribution}" if distribution else ""
        matched = False
        for index, entry in enumerate(self._evidence):
            if isinstance(entry, SiteDeploy) and _means(entry.bucket, live.name):
                named = replace(entry, bucket=live.name)
                if not entry.distribution and not entry.prefix:
                    named = replace(named, distribution=distribution)
                self._add(index, entry, named, self._place(f"bucket {live.name}{behind}"))
                matched = True
        if matched or ("index.html" not in live.keys and not live.distributions):
            return
        homes = self._homes_of(live)
        if len(homes) != 1:
            self._see(f"bucket {live.name}{behind}")
            return
        (home,) = homes
        place = self._place(f"bucket {live.name}{behind} holds files of {home or 'the root'}")
        if all(joined(home, key) in self._tree for key in live.keys):
            self._more.append(SiteDeploy(place, home or ".", live.name, "", home, (), distribution))
            return
        folder = dirname(home) if basename(home) in _HOLDS_SOURCE else home
        self._more.append(SiteDeploy(place, "", live.name, "", folder, (), distribution))

    def _homes_of(self, live: LiveBucket) -> list[str]:
        """The folders with a page whose files have the names of most of a bucket's objects, but for
        digests in them; or of some, and the folder is called like the bucket.
        """
        names = {_HASHED.sub("", basename(key)) for key in live.keys} - {""}
        called = _names_like(live.name)
        homes: dict[str, int] = {}
        for home in self._page_folders:
            common = len(names & {basename(other) for other in self._tree.below(home)})
            folder = home if basename(home) not in _HOLDS_SOURCE else dirname(home)
            alike = slug(basename(folder) or self._project) in called
            if (common > 2 and 2 * common >= len(names)) or (common and alike):
                homes[home] = common
        most = max(homes.values(), default=0)
        return [home for home, common in homes.items() if common == most]

    def _add(self, index: int, entry: Evidence, named: Evidence, place: Place) -> None:
        """An entry is what runs here under these names. They replace what was open in it, unless it
        is for several environments: then they are those of this one alone.
        """
        if not self._keeps_names:
            self._named.setdefault(index, []).append(named)
            entry = named
        self._more.append(replace(entry, place=place))

    def _service_place(self, live: LiveService, image: str) -> Place:
        runs = f" runs {_short(image)}" if image else ""
        return self._place(f"service {live.name} in cluster {live.cluster}{runs}")

    def _place(self, words: str) -> Place:
        number, region = self._account.number, self._account.region
        file = f"the account {number} ({region})"
        return Place(file, 0, words, words, region=region, account=number)

    def _see(self, what: str, words: str = NOT_HERE) -> None:
        self._more.append(Sighting(Place(what, 0, ""), words))


def _fits(text: str, name: str) -> bool:
    """Whether a name of evidence, with its holes, can be that of something that runs. No pattern:
    many holes in a stranger's line would take for ever.
    """
    first, *rest = _HOLE.split(text)
    if not rest:
        return bool(text) and text == name
    *between, last = rest
    start, end = len(first), len(name) - len(last)
    if not (name.startswith(first) and name.endswith(last)) or start > end:
        return False
    for part in between:
        position = name.find(part, start, end)
        if position < 0:
            return False
        start = position + len(part)
    return True


def _means(text: str, name: str) -> bool:
    """The same, where enough of the name is known to mean this one."""
    letters = sum(map(str.isalnum, _HOLE.sub("", text)))
    return text == name or (letters >= _LEAST_LETTERS and _fits(text, name))


def _names_like(name: str) -> set[str]:
    """The names of folders that something that runs may be called after: the words, but for its
    environment, that its name begins or ends with.
    """
    words = slug(without_stage(name)[0].replace(STAGE, "")).split("-")
    counts = range(1, len(words) + 1)
    return {"-".join(part) for n in counts for part in (words[:n], words[-n:])} - {""}


def _image_name(dockerfile: str, project: str) -> str:
    """What a Dockerfile is for: after its ending, else its folder, else the project."""
    _, dot, ending = basename(dockerfile).partition(".")
    if dot and ending.lower() not in ("dockerfile", "containerfile"):
        return slug(ending)
    return slug(basename(dirname(dockerfile)) or project)


def _short(image: str) -> str:
    """An image without its registry, and without a digest's letters."""
    name, _, digest = image.rpartition("/")[2].partition("@")
    return f"{name}@{digest[:19]}" if digest else name
