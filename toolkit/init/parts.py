"""What each look at the repository hands to the next: targets, rules, and words for the person."""

import re
from collections.abc import Iterable, Mapping
from itertools import takewhile
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


class SurveyPart(Struct, frozen=True):
    """What one look found. `taken` are the Dockerfiles and folders that a stack deploys by itself;
    `stages` are environments and what a variable is there; `variables` are those that names need,
    each with its likely value.
    """

    stacks: tuple[Stack, ...] = ()
    targets: tuple[DraftTarget, ...] = ()
    rules: tuple[DraftRule, ...] = ()
    found: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}
    stages: Mapping[str, Mapping[str, str]] = {}
    taken: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    tests: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    images: tuple[StackImage, ...] = ()


def together(parts: Iterable[SurveyPart]) -> SurveyPart:
    """All parts as one."""
    listed = list(parts)
    stages: dict[str, dict[str, str]] = {}
    for part in listed:
        for name, variables in part.stages.items():
            stages.setdefault(name, {}).update(variables)
    return SurveyPart(
        stacks=tuple(one for part in listed for one in part.stacks),
        targets=tuple(one for part in listed for one in part.targets),
        rules=tuple(one for part in listed for one in part.rules),
        found=tuple(one for part in listed for one in part.found),
        questions=tuple(one for part in listed for one in part.questions),
        variables={name: value for part in listed for name, value in part.variables.items()},
        stages=stages,
        taken=frozenset(one for part in listed for one in part.taken),
        regions=frozenset(one for part in listed for one in part.regions),
        accounts=frozenset(one for part in listed for one in part.accounts),
        tests=tuple(one for part in listed for one in part.tests),
        ignore=tuple(one for part in listed for one in part.ignore),
        images=tuple(one for part in listed for one in part.images),
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

    def short(self, long: str, among: Iterable[str] = ()) -> str:
        """A free name for a stack, without `Stack` and the words that all of them (or else the
        project) begin with: `CarRentalApiStack` is `api`.
        """
        words = _stack_words(long)
        others = [_stack_words(one) for one in among]
        columns = zip(*others, strict=False) if len(others) > 1 else ()
        shared = [column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)]
        for prefix in (shared, slug(self.project).split("-")):
            if words[: len(prefix)] == prefix and len(words) > len(prefix):
                words = words[len(prefix) :]
        return self.new("-".join(words) or "stack")


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
