"""What the readers of a job share: where they are, and the evidence so far."""

import re
from collections.abc import Callable, Mapping
from posixpath import dirname
from posixpath import join as joined

from msgspec import Struct

from toolkit.init.command_words import Options
from toolkit.init.evidence import UNKNOWN, Evidence, Place, Sighting
from toolkit.init.shell import ROOT
from toolkit.init.steps import Job, Step
from toolkit.init.tree import TrackedFiles, clean_path, is_in

_LONGEST_WORDS = 120
_ACCOUNT = re.compile(r"arn:aws[\w-]*:iam::([0-9]{12}):")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]\Z")


class BuildStep(Struct, frozen=True):
    """A command that makes files, and where it runs."""

    folder: str
    words: tuple[str, ...]


class StepReader:
    """Reads what is about one sort of evidence: programs by their names, operations of the AWS CLI,
    and actions by their names in small letters. Each is called once the context says where it
    stands.
    """

    def __init__(self, context: "JobContext") -> None:
        self.job = context
        self.programs: Mapping[str, Callable[[tuple[str, ...]], None]] = {}
        self.operations: Mapping[tuple[str, str], Callable[[Options], None]] = {}
        self.actions: Mapping[str, Callable[[Step], None]] = {}


class JobContext:
    """A job as far as it was read. `folder` is where the current step starts, None where only a
    run would tell; `builds` are the commands so far that make files, `objects` the files that were
    copied into a bucket, by their addresses there.
    """

    def __init__(self, tree: TrackedFiles, job: Job) -> None:
        self.tree, self.job = tree, job
        self.line, self.words = 0, ""
        self.folder: str | None = ""
        self.region = self.account = ""
        self.builds: list[BuildStep] = []
        self.objects: dict[str, str] = {}
        self.evidence: list[Evidence] = []

    def note_variables(self, variables: Mapping[str, str]) -> None:
        """The region and the account, if they are among the variables."""
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            self.note_region(variables.get(name, ""))
        for name in ("AWS_ACCOUNT_ID", "AWS_ACCOUNT", "CDK_DEFAULT_ACCOUNT"):
            if re.fullmatch(r"[0-9]{12}", variables.get(name, "")):
                self.account = variables[name]

    def note_region(self, text: str) -> None:
        """The region of what follows, if the text is that of a region."""
        if _REGION.match(text):
            self.region = text

    def note_role(self, arn: str) -> None:
        """The account of what follows, if the ARN of a role says it."""
        account = _ACCOUNT.search(arn)
        self.account = account[1] if account else self.account

    def path(self, word: str, folder: str | None = None, new: bool = False) -> str | None:
        """A word as a path from the root; None where it leads out or only a run would tell.
        Where the folder is not known, it is looked for in the root and beside the script.
        """
        if word.startswith(ROOT):
            path = clean_path(word[1:].lstrip("/") or ".")
            return None if UNKNOWN in path or "{" in path or path.startswith("..") else path
        if not word or set(word) & {UNKNOWN, "{"} or word[0] in "/~" or len(word) > 300:
            return None
        start = self.folder if folder is None else folder
        homes = [home for home in (start, "", self.job.home) if home is not None]
        paths = [clean_path(joined(home, word)) for home in dict.fromkeys(homes)]
        inside = [path for path in paths if path.split("/")[0] != ".."]
        if not new:
            for path in inside:
                if path in self.tree or self.tree.is_folder(path):
                    return path
        return inside[0] if inside and start is not None else None

    def build_of(self, path: str) -> BuildStep | None:
        """The last command before it that makes files in the folder, or in the one around it; else
        the `build` of the package around it. What is in git is copied as it is.
        """
        for build in reversed(self.builds):
            if is_in(path, build.folder) and build.words[0] not in ("pip", "pip3"):
                return build
        if joined(path, "index.html") in self.tree:
            return None
        folder = dirname(path)
        while folder or path:
            if '"build"' in (self.tree.read(joined(folder, "package.json")) or ""):
                return BuildStep(folder, ("npm", "run", "build"))
            if not folder:
                break
            folder = dirname(folder)
        return None

    def place(self) -> Place:
        """Where the current step stands."""
        words = " ".join(self.words.split())
        if len(words) > _LONGEST_WORDS:
            words = f"{words[: _LONGEST_WORDS - 1]}…"
        return Place(
            self.job.file,
            self.line,
            words,
            self.job.name,
            self.job.environment,
            self.region,
            self.account,
        )

    def add(self, entry: Evidence) -> None:
        """What the current step deploys."""
        self.evidence.append(entry)

    def see(self, what: str) -> None:
        """Something is deployed in a way that no target stands for."""
        self.add(Sighting(self.place(), what))


def image_repository(tag: str) -> str:
    """The repository of an image's name, without its registry and its tag."""
    name = tag.partition("@")[0]
    start, _, last = name.rpartition("/")
    path = joined(start, re.sub(r":.*\Z", "", last)) if start else re.sub(r":.*\Z", "", last)
    registry, slash, rest = path.partition("/")
    looks_like_registry = "." in registry or ":" in registry or UNKNOWN in registry
    if slash and (looks_like_registry or (registry.startswith("{") and registry.endswith("}"))):
        path = rest
    return "" if UNKNOWN in path or not path.strip("/") else path


def arn_name(text: str) -> str:
    """The name in an ARN; any other text as it is."""
    if text.startswith("arn:"):
        return re.split(r"[:/]", text)[-1]
    return text


def shown(text: str) -> str:
    """A name in words for people."""
    return text.replace(UNKNOWN, "…") or "…"
