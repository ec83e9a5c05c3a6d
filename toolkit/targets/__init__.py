"""The kinds. A new kind is its folder, its line here, and its stage in
tests/targets/test_contract.py.

Other kinds come from installed packages: each is an entry point `toolkit.kinds` whose name is the
kind and whose object is a `toolkit.targets.base.Kind` (docs/extending.md).
"""

import sys
import sysconfig
from collections.abc import Callable, Collection, Iterator
from functools import cache
from importlib import import_module
from typing import Any, cast

from toolkit.advice import ShellCommand
from toolkit.errors import Refused
from toolkit.targets.base import Kind

KINDS = {
    "app": "toolkit.targets.app.kind",
    "stack": "toolkit.targets.stack.kind",
    "function": "toolkit.targets.function.kind",
    "site": "toolkit.targets.site.kind",
    "command": "toolkit.targets.command.kind",
    "group": "toolkit.targets.group.kind",
    "manual": "toolkit.targets.manual.kind",
}
"""Kind -> the module that has it."""
ENTRY_POINT = "toolkit.kinds"


def kind(name: str) -> Kind:
    """The kind of that name, loaded when it is asked for. Raises KeyError, and Refused where a
    package does not bring what it says.
    """
    if name in KINDS:
        # It is asked for thousands of times, and `import_module` takes its time to find it again.
        known = getattr(sys.modules.get(KINDS[name]), "kind", None)
        return cast(Kind, known or import_module(KINDS[name]).kind)
    return _load(_installed()[name])


def names_of(suits: Callable[[Kind], bool]) -> str:
    """The kinds of ours that suit, as a sentence names them: `app, stack or site`."""
    *others, last = [name for name in KINDS if suits(kind(name))]
    return f"{', '.join(others)} or {last}" if others else last


class _Names(Collection[str]):
    """The names of all kinds. Packages are only looked for where a name is none of ours."""

    def __contains__(self, name: object) -> bool:
        return name in KINDS or name in _installed()

    def __iter__(self) -> Iterator[str]:
        return iter((*KINDS, *sorted(_installed())))

    def __len__(self) -> int:
        return len(KINDS) + len(_installed())


NAMES: Collection[str] = _Names()


@cache
def _installed() -> dict[str, Any]:
    """The entry points of packages, by kind. A package cannot take the name of a kind of ours.

    Only folders that installers write to are searched. The working directory or PYTHONPATH may
    belong to the repository that is being deployed, and that must not choose the program.
    """
    from importlib.metadata import distributions

    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    every = [
        sysconfig.get_path(name, scheme) for scheme in schemes for name in ("purelib", "platlib")
    ]
    folders = [folder for folder in dict.fromkeys(every) if folder in sys.path]
    points: dict[str, Any] = {}
    for distribution in distributions(path=folders):
        for point in distribution.entry_points.select(group=ENTRY_POINT):
            if point.name not in KINDS:
                points.setdefault(point.name, point)
    return points


@cache
def _load(point: Any) -> Kind:
    """The kind that an entry point names: an instance, or a class that makes one. Raises Refused
    where the package does not bring one: that is its fault, and no bug of ours.
    """
    try:
        loaded = point.load()
        kind = loaded() if isinstance(loaded, type) else loaded
    except Exception as problem:
        reason = f"{type(problem).__name__}: {problem}"
    else:
        if isinstance(kind, Kind):
            return kind
        reason = f"{point.value} is not a toolkit.targets.base.Kind"
    raise fault(point.name, f"could not be loaded: {reason}")


def fault(name: str, problem: str) -> Refused:
    """The error that a kind is not as it has to be: what is wrong, and with which package."""
    package = "toolkit" if name in KINDS else _installed()[name].dist.name
    return Refused(
        f"kind {name} of the package {package} {problem}",
        ("update the package, or remove it:", ShellCommand("pip uninstall", (package,))),
    )
