"""What one detector (CDK, templates, images, sites) finds in a repository: targets, rules, notes
and questions for the person.
"""

import re
from collections.abc import Iterable, Mapping
from unicodedata import combining, normalize

from msgspec import Struct

from toolkit.init.draft import DraftRule, DraftTarget

_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[A-Za-z0-9]+")
_PLAIN = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "Æ": "Ae",
        "œ": "oe",
        "Œ": "Oe",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
    }
)
_LONGEST_NAME = 60


class Stack(Struct, frozen=True):
    """A stack's target, and what its source says besides: whether it runs containers, and the names
    of what it makes.
    """

    target: DraftTarget
    containers: bool = False
    values: Mapping[str, tuple[str, ...]] = {}


class StackImage(Struct, frozen=True):
    """A Dockerfile that stacks build by themselves: its build context, and the targets of the
    stacks.
    """

    dockerfile: str
    context: str
    targets: tuple[str, ...]


class Evidence(Struct, frozen=True):
    """What one detector found. `taken` are the Dockerfiles and folders that a stack deploys by
    itself; `stages` are environments and what a variable is there; `variables` are those that names
    need, each with its likely value.
    """

    stacks: tuple[Stack, ...] = ()
    targets: tuple[DraftTarget, ...] = ()
    rules: tuple[DraftRule, ...] = ()
    notes: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}
    stages: Mapping[str, Mapping[str, str]] = {}
    taken: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    tests: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    images: tuple[StackImage, ...] = ()


def merge_evidence(parts: Iterable[Evidence]) -> Evidence:
    """All parts as one, in their order."""
    stacks: list[Stack] = []
    targets: list[DraftTarget] = []
    rules: list[DraftRule] = []
    images: list[StackImage] = []
    notes: list[str] = []
    questions: list[str] = []
    tests: list[str] = []
    ignore: list[str] = []
    taken: set[str] = set()
    regions: set[str] = set()
    accounts: set[str] = set()
    variables: dict[str, str] = {}
    stages: dict[str, dict[str, str]] = {}
    for part in parts:
        stacks += part.stacks
        targets += part.targets
        rules += part.rules
        images += part.images
        notes += part.notes
        questions += part.questions
        tests += part.tests
        ignore += part.ignore
        taken |= part.taken
        regions |= part.regions
        accounts |= part.accounts
        variables |= part.variables
        for name, stage in part.stages.items():
            stages.setdefault(name, {}).update(stage)
    return Evidence(
        stacks=tuple(stacks),
        targets=tuple(targets),
        rules=tuple(rules),
        notes=tuple(notes),
        questions=tuple(questions),
        variables=variables,
        stages=stages,
        taken=frozenset(taken),
        regions=frozenset(regions),
        accounts=frozenset(accounts),
        tests=tuple(tests),
        ignore=tuple(ignore),
        images=tuple(images),
    )


class TargetNames:
    """Hands out names for targets that are valid, short and not taken."""

    def __init__(self, project: str) -> None:
        self.project = project
        self._taken: set[str] = set()

    def new(self, wish: str) -> str:
        """A free name like the one wished for."""
        stem = slug(wish) or "part"
        name, count = stem, 1
        while name in self._taken:
            count += 1
            name = f"{stem}-{count}"
        self._taken.add(name)
        return name

    def short(self, long: str, all_names: Iterable[str] = ()) -> str:
        """A free name for a stack, without `Stack` and the words that all of them (or else the
        project) begin with: `CarRentalApiStack` is `api`.
        """
        words = _stack_words(long)
        common = _common_start([_stack_words(name) for name in all_names])
        for prefix in (common, slug(self.project).split("-")):
            if words[: len(prefix)] == prefix and len(words) > len(prefix):
                words = words[len(prefix) :]
        return self.new("-".join(words) or "stack")


def _common_start(names: list[list[str]]) -> list[str]:
    """The words that all names begin with; none where there is only one name."""
    common: list[str] = []
    if len(names) > 1:
        for words in zip(*names, strict=False):
            if len(set(words)) > 1:
                break
            common.append(words[0])
    return common


def _stack_words(name: str) -> list[str]:
    return [word for word in slug(re.sub(r"\{\w+\}", "", name)).split("-") if word != "stack"]


def slug(text: str) -> str:
    """Words in small letters with dashes and without accents: `CarRentalAPI_v2` is
    `car-rental-api-v2`, `Übung` is `ubung`.
    """
    bare = "".join(
        char for char in normalize("NFKD", text[:500].translate(_PLAIN)) if not combining(char)
    )
    return "-".join(_WORD.findall(_BORDER.sub("-", bare))).lower()[:_LONGEST_NAME].rstrip("-")
