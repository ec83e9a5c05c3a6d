"""CI path filters -> the draft of a rules.toml: dorny/paths-filter, and `on.<event>.paths` and
`paths-ignore` of workflows.

Each filter becomes a target that a person deploys, and the rules that make it due on exactly the
commits where the filter says yes. What cannot be expressed exactly becomes a comment beside the
rest, is counted, and is never guessed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain
from posixpath import basename
from typing import Any

from msgspec import Struct

from toolkit.formats.documents import as_mapping, load_yaml
from toolkit.init.draft import Draft, DraftRule, DraftTarget
from toolkit.init.filters.github_paths import TranslatedPatterns, from_paths, from_paths_ignore
from toolkit.init.filters.picomatch import Inexact, from_picomatch, negates
from toolkit.model import STATUSES

MOST_ITEMS = 10_000
"""The most patterns of one filter, with its lists inside lists written out."""

_LONGEST_NAME = 80
_TARGET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_NEVER_IN_A_DIFF = ("copied", "renamed", "unmerged")
_WIDER = "; without it, more matches than there"
_EVENT_KEYS = ("paths", "paths-ignore")


class Quantifier(StrEnum):
    """How many patterns of a filter have to match, in the words of dorny/paths-filter."""

    SOME = "some"
    EVERY = "every"
    SOME_WITH_EXCLUDES = "some-with-excludes"


Rules = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
"""The paths of each rule, and the statuses it is limited to."""


def _as_list(value: object) -> list[Any] | None:
    """A list, or a single text as one; None for anything else."""
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else None


class ImportedFilters(Struct, frozen=True):
    """The draft, what of the filters it does not hold (in words), and how many filters there
    were.
    """

    draft: Draft
    inexact: tuple[str, ...]
    count: int


class _Filter(Struct, frozen=True):
    """One filter. `names` are the names its target may have, best first; `problems` are patterns
    that cannot be expressed, with why.
    """

    file: str
    label: str
    names: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    rules: Rules = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_event: bool = False
    """Whether it limits an event of GitHub, and is not a step's."""

    @property
    def source(self) -> str:
        return f"{self.file}: {self.label}"


class _Item(Struct, frozen=True):
    """One item of a dorny filter: any of its patterns, for changes of these statuses."""

    patterns: tuple[str, ...]
    statuses: tuple[str, ...] = STATUSES


def import_filters(sources: Sequence[tuple[str, str]]) -> ImportedFilters:
    """The filters of these files (name, text) as a draft."""
    filters: list[_Filter] = []
    unread: list[str] = []
    for file, text in sources:
        try:
            filters += _filters(file, load_yaml(text))
        except ValueError as error:
            unread.append(f"{file}: not imported: {error}")
    return _draft_from_filters(filters, unread)


def _filters(file: str, document: object) -> list[_Filter]:
    """The filters of one file. Raises ValueError for one that has none of a known kind."""
    if not isinstance(document, Mapping):
        raise ValueError("it is neither a workflow nor a list of filters")
    if any(isinstance(document.get(key), Mapping) for key in ("on", "jobs", "runs")):
        return [*_event_filters(file, document.get("on")), *_step_filters(file, document)]
    return [
        _dorny_filter(file, str(_yaml_key(name)), value, Quantifier.SOME)
        for name, value in document.items()
    ]


# --- on.<event>.paths


def _event_filters(file: str, events: object) -> Iterator[_Filter]:
    """The filters of a workflow's events, one where all say the same."""
    if not isinstance(events, Mapping):
        return
    events_by_lists: dict[tuple[object, ...], list[str]] = {}
    for event, settings in events.items():
        if isinstance(settings, Mapping):
            lists: tuple[object, ...] = tuple(
                _pattern_list(settings[key]) if key in settings else None for key in _EVENT_KEYS
            )
            # An event without filters always runs, which is no filter to import.
            if lists != (None, None):
                events_by_lists.setdefault(lists, []).append(str(event))
    stem = _stem(file)
    for lists, names in events_by_lists.items():
        target_names = [_target_name(f"{stem}-{'-'.join(names)}")]
        if len(events_by_lists) == 1:
            target_names.insert(0, stem)
        yield _event_filter(file, tuple(target_names), names, lists)


def _event_filter(
    file: str, names: tuple[str, ...], events: list[str], lists: tuple[object, ...]
) -> _Filter:
    included, ignored = lists
    key = _EVENT_KEYS[included is None]
    label = ", ".join(f"on.{event}.{key}" for event in events)
    patterns = ignored if included is None else included
    if included is not None and ignored is not None:
        return _Filter(
            file, label, names, problems=("GitHub refuses `paths` and `paths-ignore` together",)
        )
    if not isinstance(patterns, tuple):
        return _Filter(file, label, names, problems=("it is not a list of patterns",))
    translate = from_paths if key == "paths" else from_paths_ignore
    translated = translate(patterns)
    return _Filter(
        file,
        label,
        names,
        patterns,
        tuple((paths, ()) for paths in translated.rules),
        tuple(_problems(translated, key)),
        tuple(_dead_notes(translated.dead)),
        is_event=True,
    )


def _pattern_list(value: object) -> tuple[str, ...] | str:
    """The patterns under a key; a word in the place of what is not a list of strings."""
    values = _as_list(value)
    if (
        values
        and all(isinstance(pattern, str) and pattern for pattern in values)
        and len(values) <= MOST_ITEMS
    ):
        return tuple(values)
    return "unreadable"


def _problems(translated: TranslatedPatterns, key: str) -> Iterator[str]:
    for pattern, why in translated.inexact:
        # A pattern that only excludes may be left out: more matches then, but nothing is forgotten.
        excludes = pattern.startswith("!") == (key == "paths")
        yield f"pattern `{pattern}`: {why}{_WIDER if excludes else ''}"


def _dead_notes(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        yield f"`{pattern}` is left out: no path can match it"


# --- dorny/paths-filter


def _step_filters(file: str, document: Mapping[object, object]) -> Iterator[_Filter]:
    """The filters of every step that uses dorny/paths-filter, in all jobs of a workflow, or in a
    composite action.
    """
    jobs = as_mapping(document.get("jobs"))
    for job in (*jobs.values(), document.get("runs")):
        steps = as_mapping(job).get("steps")
        if not isinstance(steps, list):
            continue
        for step in map(as_mapping, steps):
            action = str(step.get("uses", "")).lower()
            if action.startswith("dorny/paths-filter@"):
                yield from _filters_of_step(file, step.get("with"))


def _filters_of_step(file: str, arguments: object) -> Iterator[_Filter]:
    inputs: dict[str, object] = {}
    if isinstance(arguments, Mapping):
        inputs = {str(key).lower(): value for key, value in arguments.items()}
    quantifier = inputs.get("predicate-quantifier") or Quantifier.SOME
    try:
        filters = _load_filters(inputs.get("filters"), quantifier)
    except ValueError as error:
        yield _Filter(file, "dorny/paths-filter", (), problems=(str(error),))
        return
    for name, value in filters.items():
        yield _dorny_filter(file, str(_yaml_key(name)), value, Quantifier(str(quantifier)))


def _load_filters(text: object, quantifier: object) -> Mapping[object, object]:
    """The filters in the input of a step. Raises ValueError."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError("it has no `filters`")
    if quantifier not in tuple(Quantifier):
        raise ValueError(f"its `predicate-quantifier` is `{quantifier}`")
    if "\n" not in text and ":" not in text:
        raise ValueError(f"its filters are in the file {text.strip()}: import that file")
    try:
        filters = load_yaml(text)
    except ValueError as error:
        raise ValueError(f"its `filters` cannot be read: {error}") from None
    if not isinstance(filters, Mapping):
        raise ValueError("its `filters` are no mapping")
    return filters


def _dorny_filter(file: str, name: str, value: object, quantifier: Quantifier) -> _Filter:
    """One named filter of dorny/paths-filter."""
    label = f"filter `{name}`"
    target_name = _target_name(name)
    is_valid = _TARGET.fullmatch(name) and len(name) <= _LONGEST_NAME
    names = (
        name if is_valid else target_name,
        _target_name(f"{_stem(file)}-{target_name}"),
    )
    notes: list[str] = []
    try:
        items = list(_items(value, notes))
    except ValueError as error:
        return _Filter(file, label, names, problems=(str(error),))
    reader = _Reader(quantifier)
    rules = reader.rules(items)
    return _Filter(
        file,
        label,
        names,
        _all_patterns(items),
        rules,
        tuple(reader.problems),
        (*notes, *_dead_notes(reader.dead)),
    )


def _all_patterns(items: Sequence[_Item]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(item.patterns for item in items)))


def _items(value: object, notes: list[str]) -> Iterator[_Item]:
    """The items of a filter, with its lists inside lists written out. Raises ValueError for what
    the action would not take.
    """
    waiting, count = [value], 0
    while waiting:
        entry = waiting.pop()
        count += 1
        if count > MOST_ITEMS:
            raise ValueError(f"it has more than {MOST_ITEMS} items")
        if isinstance(entry, list):
            waiting += reversed(entry)
        elif isinstance(entry, str):
            yield _Item((entry,))
        elif isinstance(entry, Mapping):
            for key, patterns in entry.items():
                yield _Item(_patterns(patterns), tuple(_statuses(str(_yaml_key(key)), notes)))
        else:
            raise ValueError(f"`{_yaml_key(entry)}` is not a pattern")


def _patterns(value: object) -> tuple[str, ...]:
    values = _as_list(value)
    if (
        values is None
        or not all(isinstance(pattern, str) for pattern in values)
        or len(values) > MOST_ITEMS
    ):
        raise ValueError(
            "a status stands before something that is neither a pattern nor a list of patterns"
        )
    return tuple(values)


def _statuses(key: str, notes: list[str]) -> Iterator[str]:
    words = [word.strip().lower() for word in key.split("|") if word.strip()]
    yield from (status for status in STATUSES[:3] if status in words)
    for word in words:
        if word in _NEVER_IN_A_DIFF:
            notes.append(
                f"`{word}` is left out: a rename is a deleted and an added path, there as here"
            )
        elif word not in STATUSES[:3]:
            notes.append(
                f"`{word}` is left out: the action knows no such status, so that it never matches"
            )


class _Reader:
    """Translates the items of one filter, and remembers which patterns have no exact translation
    and which can never match.
    """

    def __init__(self, quantifier: Quantifier) -> None:
        self.quantifier = quantifier
        self.problems: list[str] = []
        self.dead: list[str] = []
        self._translations: dict[str, tuple[str, ...] | None] = {}

    def rules(self, items: Sequence[_Item]) -> Rules:
        """The rules of a filter: what it says of each status, put together again where it says the
        same.
        """
        statuses_by_paths: dict[tuple[str, ...], list[str]] = {}
        for status in STATUSES:
            counting = [item for item in items if status in item.statuses]
            # All items have to match, and one of them never does for this status.
            if self.quantifier == Quantifier.EVERY and len(counting) < len(items):
                continue
            for paths in self._paths(counting):
                statuses = statuses_by_paths.setdefault(paths, [])
                if status not in statuses:
                    statuses.append(status)
        return tuple(_merge_rules(statuses_by_paths))

    def _paths(self, items: Sequence[_Item]) -> Iterator[tuple[str, ...]]:
        if self.quantifier == Quantifier.EVERY:
            yield from self._every(items)
        elif self.quantifier == Quantifier.SOME:
            yield from self._some(items)
        else:
            yield from self._some_with_excludes(_all_patterns(items))

    def _some(self, items: Sequence[_Item]) -> Iterator[tuple[str, ...]]:
        """Each pattern stands for itself: a `!` alone matches all that the rest of it does not."""
        for pattern in chain.from_iterable(item.patterns for item in items):
            translated = self._translation(pattern)
            if translated is None:
                continue
            if negates(pattern):
                yield translated or ("**",)
            elif translated and translated[-1].startswith("!"):
                yield translated
            else:
                yield from ((path,) for path in translated)

    def _some_with_excludes(self, patterns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Any of the patterns that include, and none of those that exclude."""
        included: dict[str, None] = {}
        excluded: dict[str, None] = {}
        mixed: list[tuple[str, ...]] = []
        for pattern in patterns:
            translated = self._translation(pattern) or ()
            if negates(pattern):
                excluded.update(dict.fromkeys(translated))
            elif translated and translated[-1].startswith("!"):
                mixed.append(translated)
            else:
                included.update(dict.fromkeys(translated))
        if included:
            yield (*included, *excluded)
        yield from ((*paths, *excluded) for paths in mixed)

    def _every(self, items: Sequence[_Item]) -> Iterator[tuple[str, ...]]:
        """All items have to match: any number that exclude, and one that includes."""
        included: dict[tuple[str, ...], str] = {}
        excluded: dict[str, None] = {}
        for item in items:
            translations = [self._translation(pattern) for pattern in item.patterns]
            if _matches_everything(item, translations):
                continue
            if len(translations) == 1 and negates(item.patterns[0]):
                excluded.update(dict.fromkeys(translations[0] or ()))
                continue
            known = [translation for translation in translations if translation is not None]
            if len(known) < len(translations):
                return  # without what includes, this would be far more than what the filter counts
            paths = dict.fromkeys(chain.from_iterable(known))
            positive = tuple(path for path in paths if not path.startswith("!"))
            negative = [path for path in paths if path.startswith("!")]
            if len(known) > 1 and negative:
                self._add_problem(
                    item.patterns[0],
                    "it is in a list of which one has to match, with or as an exclusion",
                )
                return
            included[positive] = item.patterns[0] if known else ""
            excluded.update(dict.fromkeys(negative))
        if () in included:
            return
        if len(included) > 1:
            self._add_problem(
                list(included.values())[1],
                "it has to match together with another pattern (predicate-quantifier: every)",
            )
        else:
            yield (*next(iter(included), ()), *excluded) or ("**",)

    def _translation(self, pattern: str) -> tuple[str, ...] | None:
        """Our patterns, None where there are no exact ones."""
        if pattern not in self._translations:
            self._translations[pattern] = None
            try:
                self._translations[pattern] = _translate(pattern)
            except Inexact as error:
                is_exclusion = negates(pattern) and self.quantifier != Quantifier.SOME
                self._add_problem(pattern, f"{error}{_WIDER if is_exclusion else ''}")
            if self._translations[pattern] == ():
                self.dead.append(pattern)
        return self._translations[pattern]

    def _add_problem(self, pattern: str, why: str) -> None:
        problem = f"pattern `{pattern}`: {why}"
        if problem not in self.problems:
            self.problems.append(problem)


def _matches_everything(item: _Item, translations: Sequence[tuple[str, ...] | None]) -> bool:
    """Whether one of the item's patterns matches all paths: `**`, or a `!` of what no path is."""
    for pattern, translation in zip(item.patterns, translations, strict=True):
        if translation == ("**",) or (translation == () and negates(pattern)):
            return True
    return False


def _translate(pattern: str) -> tuple[str, ...]:
    if not pattern:
        raise Inexact("it is empty, which the action refuses")
    if "${{" in pattern:
        raise Inexact("it has an expression, whose value only GitHub knows")
    return from_picomatch(pattern)


def _merge_rules(
    statuses_by_paths: Mapping[tuple[str, ...], Sequence[str]],
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The rules, with those that only include and count the same statuses as one."""
    together: dict[tuple[str, ...], dict[str, None]] = {}
    apart = []
    for paths, statuses in statuses_by_paths.items():
        changes = () if len(statuses) == len(STATUSES) else tuple(statuses)
        if any(path.startswith("!") for path in paths):
            apart.append((paths, changes))
        else:
            together.setdefault(changes, {}).update(dict.fromkeys(paths))
    yield from ((tuple(paths), changes) for changes, paths in together.items())
    yield from apart


# --- the draft


def _draft_from_filters(filters: Sequence[_Filter], unread: Sequence[str]) -> ImportedFilters:
    # The same filter in several workflows becomes one target.
    equal: dict[tuple[object, ...], list[_Filter]] = {}
    without_rules: list[str] = []
    inexact = [*unread]
    for entry in filters:
        if entry.rules:
            key = (entry.names[:1], entry.rules, entry.problems)
            equal.setdefault(key, []).append(entry)
        else:
            without_rules.append(f"{entry.source}: nothing is imported")
            without_rules += _filter_comment(entry)
        problems = entry.problems
        if not problems and not entry.rules:
            problems = ("no path can match it",)
        inexact += [f"{entry.source}: {problem}" for problem in problems]
    targets: list[DraftTarget] = []
    rules: list[DraftRule] = []
    for group in equal.values():
        name = _free_name(group[0].names, {target.name for target in targets})
        targets.append(_target(name, group))
        rules += _rules(name, group[0])
    comment = (*_opening(len(targets)), *unread, *without_rules)
    draft = Draft("imported", tuple(targets), tuple(rules), comment=comment)
    return ImportedFilters(draft, tuple(inexact), len(filters))


def _opening(targets: int) -> Iterator[str]:
    if targets:
        yield (
            "Imported from CI path filters: each target is due on the commits for which its "
            "filter is true."
        )
        yield (
            "Every `kind` is `manual`: choose how each target is deployed, and remove those that"
            " are only tests."
        )


def _target(name: str, filters: Sequence[_Filter]) -> DraftTarget:
    first = filters[0]
    instructions = "Say here how it is deployed, or choose another kind."
    if first.problems:
        instructions = f"Its rules are incomplete: see the comment above. {instructions}"
    return DraftTarget(
        name,
        "manual",
        {"instructions": instructions},
        comment=(*(entry.source for entry in filters), *_filter_comment(first)),
    )


def _filter_comment(entry: _Filter) -> Iterator[str]:
    """The comment on a filter: its patterns if they are not in the rules as they stand, and what
    was left out.
    """
    written: set[str] = set()
    for paths, _ in entry.rules:
        written.update(paths)
    if not written.issuperset(entry.patterns):
        yield f"its patterns there: {'  '.join(entry.patterns)}"
    yield from entry.notes
    for problem in entry.problems:
        yield f"not imported: {problem}"


def _rules(name: str, entry: _Filter) -> Iterator[DraftRule]:
    for number, (paths, changes) in enumerate(entry.rules, 1):
        yield DraftRule(
            name if number == 1 else f"{name} ({number})",
            paths,
            (name,),
            changes=changes,
            comment=_inverted(entry, paths),
        )


def _inverted(entry: _Filter, paths: Sequence[str]) -> tuple[str, ...]:
    """The comment on a rule that only excludes."""
    if not all(path.startswith("!") for path in paths):
        return ()
    if entry.is_event:
        return ("Everything but what these patterns name.",)
    return (
        "Everything but what these patterns name; in dorny/paths-filter a `!` pattern matches all"
        " other files.",
    )


def _free_name(names: Sequence[str], taken: set[str]) -> str:
    """The first name that is free, else the last one with a number."""
    for name in names:
        if name not in taken:
            return name
    number = 2
    while f"{names[-1]}-{number}" in taken:
        number += 1
    return f"{names[-1]}-{number}"


def _stem(file: str) -> str:
    """The name of a file, without its folder and its extension, as a target's."""
    return _target_name(re.sub(r"\.ya?ml$", "", basename(file)))


def _target_name(text: str) -> str:
    """A text as one segment of a target's name: odd characters become `-`."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).lstrip(".-")[:_LONGEST_NAME].rstrip("-")
    return name or "filter"


def _yaml_key(value: object) -> object:
    """A YAML scalar as JavaScript would write it as a key."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value
