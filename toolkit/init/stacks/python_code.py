"""Reads a Python file of a CDK app, by its syntax tree. Nothing is run."""

import ast
import re
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import islice
from posixpath import dirname
from posixpath import join as joined
from typing import NamedTuple

from toolkit.init.stacks.code import (
    ASSET_ARGUMENTS,
    ASSET_CALLS,
    LONGEST_TEXT,
    MOST_NAMED,
    REPOSITORY_LOOKUPS,
    STACK_VALUES,
    VARIABLE,
    AssetKind,
    CodeAsset,
    CodeFile,
    CreatedObject,
    all_known,
    path_from_root,
    placeholder,
    plain_name,
    without_braces,
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


class _Call(NamedTuple):
    """A call, the class in whose code it stands, and its keyword arguments."""

    node: ast.Call
    within: str
    arguments: dict[str, ast.expr]


class _Reader:
    def __init__(self, path: str, tree: ast.Module, folder: str) -> None:
        self.path, self.folder = path, folder
        self.nodes = list(_in_classes(tree))
        self.values = _Values(path, folder, [node for node, _ in self.nodes])
        self.variables: dict[int, str] = {}
        """id of an assigned expression -> the variable"""
        for node, _ in self.nodes:
            for name, value in _assignments(node):
                self.variables[id(value)] = name

    def read(self) -> CodeFile:
        bases: dict[str, tuple[str, ...]] = {}
        called: dict[str, set[str]] = {}
        calls: list[_Call] = []
        imports: set[str] = set()
        for node, within in self.nodes:
            imports.update(_imported_names(node))
            if isinstance(node, ast.ClassDef):
                bases[node.name] = tuple(map(_last_name, node.bases))
            if isinstance(node, ast.Call):
                called.setdefault(within, set()).add(_last_name(node.func))
                if len(calls) < MOST_NAMED:
                    arguments = {word.arg: word.value for word in node.keywords if word.arg}
                    calls.append(_Call(node, within, arguments))
        objects: list[CreatedObject] = []
        assets: list[CodeAsset] = []
        values: list[tuple[str, str, str]] = []
        after: list[tuple[str, str]] = []
        for call in calls:
            # Constructs get a scope; a class is written with a capital letter.
            has_scope = bool(call.node.args) or "scope" in call.arguments
            if has_scope and _last_name(call.node.func)[:1].isupper():
                objects.append(self._created_object(call))
            assets += self._assets(call)
            values += self._stack_values(call)
            after += _dependency_pairs(call.node)
        return CodeFile(
            self.path,
            bases=bases,
            calls={within: frozenset(names) for within, names in called.items()},
            made=tuple(objects),
            assets=tuple(assets),
            imports=frozenset(imports),
            values=tuple(values),
            after=tuple(after),
            regions=_literal_arguments(calls, "region"),
            accounts=_literal_arguments(calls, "account"),
            defaults=self.values.defaults,
        )

    def _created_object(self, call: _Call) -> CreatedObject:
        positional = dict(zip(("scope", "id"), call.node.args, strict=False))
        name = (
            call.arguments.get("stack_name")
            or positional.get("id")
            or call.arguments.get("construct_id")
            or call.arguments.get("id")
        )
        scope = positional.get("scope") or call.arguments.get("scope")
        uses: set[str] = set()
        for argument in (*call.node.args, *call.arguments.values()):
            for node in ast.walk(argument):
                if isinstance(node, ast.Name):
                    uses.add(node.id)
                elif isinstance(node, ast.Attribute) and _last_name(node.value) == "self":
                    uses.add(node.attr)
        return CreatedObject(
            _last_name(call.node.func),
            self.values.text(name) if name else None,
            self.variables.get(id(call.node), ""),
            frozenset(uses),
            call.within,
            _last_name(scope) == "self",
        )

    def _assets(self, call: _Call) -> Iterator[CodeAsset]:
        node, arguments = call.node, call.arguments
        dockerfile = self.values.text(arguments["file"]) if "file" in arguments else None
        receiver = _last_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        method = _last_name(node.func)
        if receiver and method in ASSET_CALLS and (method != "asset" or receiver == "Source"):
            what = AssetKind.IMAGE if "Image" in receiver else ASSET_CALLS[method]
            value = arguments.get("path") or arguments.get("directory")
            if node.args:
                value = node.args[0]
            yield CodeAsset(what, self._path(value), dockerfile, call.within, node.lineno)
            return
        for argument, what in ASSET_ARGUMENTS.items():
            path = self._path(arguments.get(argument))
            if path is not None:
                yield CodeAsset(what, path, dockerfile, call.within, node.lineno)

    def _path(self, value: ast.expr | None) -> str | None:
        raw = self.values.path(value) if value is not None else None
        if raw is None:
            return None
        return path_from_root(raw, self.folder)

    def _stack_values(self, call: _Call) -> Iterator[tuple[str, str, str]]:
        named = [
            (STACK_VALUES[name], value)
            for name, value in call.arguments.items()
            if name in STACK_VALUES
        ]
        arguments = call.node.args
        if _last_name(call.node.func) in REPOSITORY_LOOKUPS and len(arguments) > 2:
            named.append(("repository", arguments[2]))
        for word, value in named:
            name = self.values.text(value)
            if name:
                yield call.within, word, name


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
        """A string with `{name}` for what is only known when the app runs; None where even that is
        unknown.
        """
        return _bounded(self._text, node, depth)

    def path(self, node: ast.expr, depth: int = 0) -> str | None:
        """A path: from `/`, which is the repository's root, where `__file__` is part of it, else as
        written.
        """
        return _bounded(self._path, node, depth)

    def _text(self, node: ast.expr, depth: int) -> str | None:
        match node:
            case ast.Constant(value=str() | int() as value):
                return without_braces(str(value))
            case ast.JoinedStr(values=parts):
                return _concatenate([self.text(part, depth + 1) for part in parts])
            case ast.FormattedValue(value=value) | ast.Call(func=ast.Name(id="str"), args=[value]):
                return self.text(value, depth + 1)
            case ast.BoolOp(op=ast.Or(), values=[value, *others]):
                return self._with_default(self.text(value, depth + 1), others[-1])
            case ast.BinOp(left=first, op=ast.Add(), right=second):
                return _concatenate([self.text(first, depth + 1), self.text(second, depth + 1)])
            case ast.Name(id=name):
                text = self._remembered(self._texts, name, depth, self.text)
                if text is None:
                    return placeholder(name)
                return text
            case ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str() as name)):
                return placeholder(name)
            case ast.Call(args=[ast.Constant(value=str() as name), *others]) if (
                _last_name(node.func) in _LOOKUPS
            ):
                return self._with_default(placeholder(name), others[-1] if others else None)
        return None

    def _with_default(self, text: str | None, default: ast.expr | None) -> str | None:
        """The text itself. If it stands for a variable, its default is remembered: what it is where
        the environment or the context does not say.
        """
        variable = VARIABLE.fullmatch(text or "")
        if variable and isinstance(default, ast.Constant) and isinstance(default.value, str):
            self.defaults.setdefault(variable[1], default.value)
        return text

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
            case ast.BinOp(left=first, op=ast.Add(), right=second):
                return _concatenate([self.path(first, depth + 1), self.path(second, depth + 1)])
            case ast.BinOp(left=first, op=ast.Div(), right=second):
                return self._joined([first, second], depth)
            case ast.Call(func=func, args=args):
                return self._path_call(func, args, depth)
        return self._parent_path(node, depth)

    def _parent_path(self, node: ast.expr, depth: int) -> str | None:
        match node:
            case ast.Attribute(value=value, attr="parent"):
                return self._above(value, 1, depth)
            case ast.Subscript(
                value=ast.Attribute(value=value, attr="parents"),
                slice=ast.Constant(value=int() as levels),
            ):
                return self._above(value, levels + 1, depth)
        return None

    def _path_call(self, func: ast.expr, args: list[ast.expr], depth: int) -> str | None:
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
            if args:
                return self.path(args[0], depth + 1)
            if isinstance(func, ast.Attribute):
                return self.path(func.value, depth + 1)
        return None

    def _joined(self, parts: list[ast.expr], depth: int) -> str | None:
        paths = all_known([self.path(part, depth + 1) for part in parts])
        if paths:
            return joined(*paths)
        return None

    def _above(self, node: ast.expr, levels: int, depth: int) -> str | None:
        path = self.path(node, depth + 1)
        if path is not None:
            for _ in range(min(levels, LONGEST_TEXT)):
                path = dirname(path)
        return path

    def _remembered(
        self, memory: dict[str, str | None], name: str, depth: int, find: _Find
    ) -> str | None:
        if name not in memory:
            # Marked as unknown while it is looked for: a name may stand for itself.
            memory[name] = None
            value = self.assigned.get(name)
            if value is not None:
                memory[name] = find(value, depth + 1)
        return memory[name]


def _bounded(find: _Find, node: ast.expr, depth: int) -> str | None:
    """What `find` makes of an expression; None if that is too deep or too long."""
    if depth >= DEEPEST:
        return None
    text = find(node, depth)
    if text is None or len(text) > LONGEST_TEXT:
        return None
    return text


def _in_classes(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Every node in the order of the text, with the outermost class that it stands in."""
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, within = waiting.pop()
        yield node, within
        inner = node.name if isinstance(node, ast.ClassDef) and not within else within
        waiting += [(child, inner) for child in reversed(list(ast.iter_child_nodes(node)))]


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    for target in targets:
        if value is not None and isinstance(target, ast.Name | ast.Attribute):
            yield _last_name(target), value


def _literal_arguments(calls: list[_Call], argument: str) -> frozenset[str]:
    """The values of an argument; one that is computed counts as an empty one."""
    values: set[str] = set()
    for call in calls:
        value = call.arguments.get(argument)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            values.add(value.value)
        elif value is not None:
            values.add("")
    return frozenset(values)


def _last_name(node: ast.AST | None) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    return ""


def _imported_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and node.module:
        yield node.module.rpartition(".")[2]
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.name.rpartition(".")[2] for alias in node.names)


def _dependency_pairs(call: ast.Call) -> Iterator[tuple[str, str]]:
    """`a.add_dependency(b)`: a comes after b."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "add_dependency" and call.args:
        yield _last_name(call.func.value), _last_name(call.args[0])


def _concatenate(parts: list[str | None]) -> str | None:
    if not parts:  # an f-string without anything in it
        return ""
    texts = all_known(parts)
    if texts is None:
        return None
    return "".join(texts)


_LOOSE_CLASS = re.compile(r"^class\s+(\w+)\s*\(([^()\n]{0,200})\)\s*:", re.MULTILINE)
_LOOSE_CALL = re.compile(
    r"\b([A-Z]\w*)\(\s*(self|\w+)\s*,\s*(?:f\"([^\"\n]{1,200})\"|f'([^'\n]{1,200})'|\"([^\"\n]{1,200})\"|'([^'\n]{1,200})')"
)


def read_python_loosely(path: str, text: str) -> CodeFile:
    """The classes and stacks of a file that is not Python as of today, by how its lines look."""
    bases: dict[str, tuple[str, ...]] = {}
    classes: list[tuple[int, str]] = []
    for match in _LOOSE_CLASS.finditer(text):
        classes.append((match.start(), match[1]))
        bases[match[1]] = tuple(base.strip().rpartition(".")[2] for base in match[2].split(","))
    objects = []
    for match in islice(_LOOSE_CALL.finditer(text), MOST_NAMED):
        name = plain_name(next(group for group in match.groups()[2:] if group))
        is_inside = match[2] == "self"
        # The class that begins last before the call.
        index = bisect_left(classes, (match.start(), "")) - 1
        within = classes[index][1] if is_inside and index >= 0 else ""
        objects.append(CreatedObject(match[1], name, "", frozenset(), within, is_inside))
    return CodeFile(path, bases=bases, made=tuple(objects))
