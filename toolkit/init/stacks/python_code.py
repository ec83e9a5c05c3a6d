"""Reads a Python file of a CDK app, by its syntax tree. Nothing is run."""

import ast
import re
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from posixpath import dirname
from posixpath import join as joined

from toolkit.init.stacks.code import (
    ASSET_ARGUMENTS,
    ASSET_CALLS,
    LONGEST_TEXT,
    MOST_NAMED,
    REPOSITORY_LOOKUPS,
    STACK_VALUES,
    VARIABLE,
    CodeAsset,
    CodeFile,
    CreatedObject,
    path_from_root,
    plain_name,
)

DEEPEST = 40
"""How deep an expression is followed."""

_Find = Callable[[ast.expr, int], str | None]

_LOOKUPS = {"try_get_context", "get_context", "getenv", "get"}
_SAME_PATH = {
    "str",
    "Path",
    "PurePath",
    "abspath",
    "realpath",
    "normpath",
    "fspath",
    "resolve",
    "absolute",
    "as_posix",
}


def read_python(path: str, text: str, folder: str) -> CodeFile:
    """What the file says, for an app whose cdk.json is in `folder`. Raises ValueError if it is not
    Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"not Python as of today: {type(error).__name__}") from None
    return _Reader(path, tree, folder).read()


class _Reader:
    def __init__(self, path: str, tree: ast.Module, folder: str) -> None:
        self.path, self.folder = path, folder
        self.nodes = list(_in_classes(tree))
        self.values = _Values(path, folder, [node for node, _ in self.nodes])
        self.variables = {
            id(value): name for node, _ in self.nodes for name, value in _assignments(node)
        }

    def read(self) -> CodeFile:
        calls = [(node, within) for node, within in self.nodes if isinstance(node, ast.Call)]
        names: dict[str, set[str]] = {}
        for call, within in calls:
            names.setdefault(within, set()).add(_last_name(call.func))
        few = [
            (call, within, {one.arg: one.value for one in call.keywords if one.arg})
            for call, within in calls[:MOST_NAMED]
        ]
        return CodeFile(
            self.path,
            bases={
                node.name: tuple(map(_last_name, node.bases))
                for node, _ in self.nodes
                if isinstance(node, ast.ClassDef)
            },
            calls={within: frozenset(found) for within, found in names.items()},
            made=tuple(
                self._made(*one)
                for one in few
                if (one[0].args or "scope" in one[2]) and _last_name(one[0].func)[:1].isupper()
            ),
            assets=tuple(asset for one in few for asset in self._assets(*one)),
            imports=frozenset(name for node, _ in self.nodes for name in _imported_names(node)),
            values=tuple(value for one in few for value in self._named(*one)),
            after=tuple(pair for call, _, _ in few for pair in _dependency_pairs(call)),
            regions=_literal_arguments(few, "region"),
            accounts=_literal_arguments(few, "account"),
            defaults=self.values.defaults,
        )

    def _made(self, call: ast.Call, within: str, given: dict[str, ast.expr]) -> CreatedObject:
        positional = dict(zip(("scope", "id"), call.args, strict=False))
        name = (
            given.get("stack_name")
            or positional.get("id")
            or given.get("construct_id")
            or given.get("id")
        )
        inner = [node for one in (*call.args, *given.values()) for node in ast.walk(one)]
        own = (
            node.attr
            for node in inner
            if isinstance(node, ast.Attribute) and _last_name(node.value) == "self"
        )
        return CreatedObject(
            _last_name(call.func),
            self.values.text(name) if name else None,
            self.variables.get(id(call), ""),
            frozenset((*(node.id for node in inner if isinstance(node, ast.Name)), *own)),
            within,
            _last_name(positional.get("scope") or given.get("scope")) == "self",
        )

    def _assets(
        self, call: ast.Call, within: str, given: dict[str, ast.expr]
    ) -> Iterator[CodeAsset]:
        dockerfile = self.values.text(given["file"]) if "file" in given else None
        receiver = _last_name(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        called = _last_name(call.func)
        if receiver and called in ASSET_CALLS and (called != "asset" or receiver == "Source"):
            what = "image" if "Image" in receiver else ASSET_CALLS[called]
            value = call.args[0] if call.args else given.get("path") or given.get("directory")
            yield CodeAsset(what, self._path(value), dockerfile, within, call.lineno)
            return
        for argument, what in ASSET_ARGUMENTS.items():
            path = self._path(given.get(argument))
            if path is not None:
                yield CodeAsset(what, path, dockerfile, within, call.lineno)

    def _path(self, value: ast.expr | None) -> str | None:
        raw = self.values.path(value) if value is not None else None
        return None if raw is None else path_from_root(raw, self.folder)

    def _named(
        self, call: ast.Call, within: str, given: dict[str, ast.expr]
    ) -> Iterator[tuple[str, str, str]]:
        named = [
            (STACK_VALUES[name], value) for name, value in given.items() if name in STACK_VALUES
        ]
        if _last_name(call.func) in REPOSITORY_LOOKUPS and len(call.args) > 2:
            named.append(("repository", call.args[2]))
        for word, value in named:
            name = self.values.text(value)
            if name:
                yield within, word, name


class _Values:
    """What an expression comes to, as far as this file tells. A name that is assigned more than
    once is not followed.
    """

    def __init__(self, path: str, folder: str, nodes: list[ast.AST]) -> None:
        self.file, self.folder = f"/{path}", folder
        self.assigned: dict[str, ast.expr | None] = {}
        for node in nodes:
            for name, value in _assignments(node):
                self.assigned[name] = None if name in self.assigned else value
        self.defaults: dict[str, str] = {}
        self._texts: dict[str, str | None] = {}
        self._paths: dict[str, str | None] = {}

    def text(self, node: ast.expr, depth: int = 0) -> str | None:
        """A string with `{name}` for what is only known when the app runs; None where not even that
        can be said.
        """
        found = self._text(node, depth) if depth < DEEPEST else None
        return found if found is None or len(found) <= LONGEST_TEXT else None

    def path(self, node: ast.expr, depth: int = 0) -> str | None:
        """A path: from `/`, which is the repository's root, where `__file__` is part of it, else as
        written.
        """
        found = self._path(node, depth) if depth < DEEPEST else None
        return found if found is None or len(found) <= LONGEST_TEXT else None

    def _text(self, node: ast.expr, depth: int) -> str | None:
        match node:
            case ast.Constant(value=str() | int() as value):
                return str(value) if not set(str(value)) & set("{}") else None
            case ast.JoinedStr(values=parts):
                return _concatenate([self.text(part, depth + 1) for part in parts])
            case ast.FormattedValue(value=value):
                return self.text(value, depth + 1)
            case ast.BoolOp(op=ast.Or(), values=[value, *others]):
                return self._with_default(self.text(value, depth + 1), others[-1])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _concatenate([self.text(left, depth + 1), self.text(right, depth + 1)])
            case ast.Name(id=name):
                known = self._remembered(self._texts, name, depth, self.text)
                return _placeholder(name) if known is None else known
            case ast.Attribute(attr=name):
                return _placeholder(name)
            case ast.Subscript(slice=ast.Constant(value=str() as name)):
                return _placeholder(name)
            case ast.Call(func=ast.Name(id="str"), args=[value]):
                return self.text(value, depth + 1)
            case ast.Call(args=[ast.Constant(value=str() as name), *others]) if (
                _last_name(node.func) in _LOOKUPS
            ):
                return self._with_default(_placeholder(name), others[-1] if others else None)
        return None

    def _with_default(self, found: str | None, other: ast.expr | None) -> str | None:
        """What was found, remembering what it is where the environment or the context does not
        say.
        """
        hole = VARIABLE.fullmatch(found or "")
        if hole and isinstance(other, ast.Constant) and isinstance(other.value, str):
            self.defaults.setdefault(hole[1], other.value)
        return found

    def _path(self, node: ast.expr, depth: int) -> str | None:
        match node:
            case ast.Constant(value=str() as value):
                return value
            case ast.Name(id="__file__"):
                return self.file
            case ast.Name(id=name):
                return self._remembered(self._paths, name, depth, self.path)
            case ast.JoinedStr(values=parts):
                return _concatenate([self.path(part, depth + 1) for part in parts])
            case ast.FormattedValue(value=value) | ast.Attribute(value=value, attr="resolve"):
                return self.path(value, depth + 1)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _concatenate([self.path(left, depth + 1), self.path(right, depth + 1)])
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self._joined([left, right], depth)
            case ast.Attribute(value=value, attr="parent"):
                return self._above(value, 1, depth)
            case ast.Subscript(
                value=ast.Attribute(value=value, attr="parents"),
                slice=ast.Constant(value=int() as levels),
            ):
                return self._above(value, levels + 1, depth)
            case ast.Call(func=func, args=args):
                return self._called(func, args, depth)
        return None

    def _called(self, func: ast.expr, args: list[ast.expr], depth: int) -> str | None:
        name = _last_name(func)
        if name in ("cwd", "getcwd") and not args:
            return f"/{self.folder}"
        if name == "dirname" and len(args) == 1:
            return self._above(args[0], 1, depth)
        if name == "joinpath" and isinstance(func, ast.Attribute):
            return self._joined([func.value, *args], depth)
        if name in ("join", "Path") and args:
            return self._joined(args, depth)
        if name in _SAME_PATH:
            inner = args[0] if args else func.value if isinstance(func, ast.Attribute) else None
            return self.path(inner, depth + 1) if inner else None
        return None

    def _joined(self, parts: list[ast.expr], depth: int) -> str | None:
        found = [self.path(part, depth + 1) for part in parts]
        return None if None in found else joined(*(one or "" for one in found))

    def _above(self, node: ast.expr, levels: int, depth: int) -> str | None:
        found = self.path(node, depth + 1)
        for _ in range(min(levels, LONGEST_TEXT)):
            found = dirname(found) if found is not None else None
        return found

    def _remembered(
        self, memory: dict[str, str | None], name: str, depth: int, find: _Find
    ) -> str | None:
        if name not in memory:
            memory[name] = (
                None  # while it is looked for: a name that stands for itself is not known
            )
            value = self.assigned.get(name)
            memory[name] = find(value, depth + 1) if value is not None else None
        return memory[name]


def _in_classes(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every node in the order of the text, with the outermost class that it stands in."""
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, within = waiting.pop()
        yield node, within
        inner = node.name if isinstance(node, ast.ClassDef) and not within else within
        waiting += [(child, inner) for child in reversed(list(ast.iter_child_nodes(node)))]


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    for target in targets:
        if value is not None and isinstance(target, ast.Name | ast.Attribute):
            yield _last_name(target), value


def _literal_arguments(
    calls: list[tuple[ast.Call, str, dict[str, ast.expr]]], argument: str
) -> frozenset[str]:
    """The values of an argument; one that is computed counts as an empty one."""
    given = (one[argument] for _, _, one in calls if argument in one)
    return frozenset(
        one.value if isinstance(one, ast.Constant) and isinstance(one.value, str) else ""
        for one in given
    )


def _last_name(node: ast.AST | None) -> str:
    return (
        node.id
        if isinstance(node, ast.Name)
        else node.attr
        if isinstance(node, ast.Attribute)
        else ""
    )


def _imported_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        yield node.module.rpartition(".")[2]
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (one.name.rpartition(".")[2] for one in node.names)


def _dependency_pairs(call: ast.Call) -> Iterator[tuple[str, str]]:
    """`a.add_dependency(b)`: a comes after b."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "add_dependency" and call.args:
        yield _last_name(call.func.value), _last_name(call.args[0])


def _concatenate(parts: list[str | None]) -> str | None:
    return None if None in parts else "".join(part or "" for part in parts)


def _placeholder(name: str) -> str | None:
    return f"{{{name.lower()}}}" if name.isascii() and name.isidentifier() else None


_LOOSE_CLASS = re.compile(r"^class\s+(\w+)\s*\(([^()\n]{0,200})\)\s*:", re.MULTILINE)
_LOOSE_CALL = re.compile(
    r"\b([A-Z]\w*)\(\s*(self|\w+)\s*,\s*(?:f\"([^\"\n]{1,200})\"|f'([^'\n]{1,200})'|\"([^\"\n]{1,200})\"|'([^'\n]{1,200})')"
)


def read_python_loosely(path: str, text: str) -> CodeFile:
    """The classes and stacks of a file that is not Python as of today, by how its lines look."""
    classes = [(found.start(), found[1], found[2]) for found in _LOOSE_CLASS.finditer(text)]
    made = []
    for found in islice(_LOOSE_CALL.finditer(text), MOST_NAMED):
        name = plain_name(next(one for one in found.groups()[2:] if one))
        within = (
            max((one for one in classes if one[0] < found.start()), default=(0, "", ""))[1]
            if found[2] == "self"
            else ""
        )
        made.append(CreatedObject(found[1], name, "", frozenset(), within, found[2] == "self"))
    bases = {
        name: tuple(one.strip().rpartition(".")[2] for one in listed.split(","))
        for _, name, listed in classes
    }
    return CodeFile(path, bases=bases, made=tuple(made))
