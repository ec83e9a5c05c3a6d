"""CI path filters -> the draft of a rules.toml: dorny/paths-filter, and `on.<event>.paths` and
`paths-ignore` of workflows.

Each filter becomes a target that a person deploys, and the rules that make it due on exactly the
commits where the filter says yes. What cannot be said exactly stands as a comment beside the rest,
is counted, and is never guessed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from posixpath import basename

from msgspec import Struct

from toolkit.init.documents import load_yaml
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
_QUANTIFIERS = ("some", "every", "some-with-excludes")

Rules = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
"""The paths of each rule, and the statuses it is limited to."""


class ImportedFilters(Struct, frozen=True):
    """The draft, what of the filters it does not hold (in words), and how many filters there
    were.
    """

    draft: Draft
    inexact: tuple[str, ...]
    count: int


class _Filter(Struct, frozen=True):
    """One filter. `names` are the names its target may have, best first; `problems` are patterns
    that cannot be said, with why.
    """

    file: str
    label: str
    names: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    rules: Rules = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        return f"{self.file}: {self.label}"


class _Item(Struct, frozen=True):
    """One item of a dorny filter: any of its patterns, for changes of these statuses."""

    patterns: tuple[str, ...]
    statuses: tuple[str, ...] = STATUSES


def import_filters(sources: Sequence[tuple[str, str]]) -> ImportedFilters:
    """The filters of these files (name, text) as a draft."""
    found: list[_Filter] = []
    unread: list[str] = []
    for file, text in sources:
        try:
            found += _filters(file, load_yaml(text))
        except ValueError as error:
            unread.append(f"{file}: not imported: {error}")
    return _draft_from_filters(found, unread)


def _filters(file: str, document: object) -> list[_Filter]:
    """The filters of one file. Raises ValueError for one that has none of a known kind."""
    if not isinstance(document, Mapping):
        raise ValueError("it is neither a workflow nor a list of filters")
    if any(isinstance(document.get(key), Mapping) for key in ("on", "jobs", "runs")):
        return [*_event_filters(file, document.get("on")), *_step_filters(file, document)]
    return [
        _dorny_filter(file, str(_yaml_key(name)), value, "some") for name, value in document.items()
    ]


# --- on.<event>.paths


def _event_filters(file: str, events: object) -> Iterator[_Filter]:
    """The filters of a workflow's events, one where all say the same."""
    if not isinstance(events, Mapping):
        return
    found: dict[tuple[object, ...], list[str]] = {}
    for event, settings in events.items():
        if isinstance(settings, Mapping):
            lists: tuple[object, ...] = tuple(
                _pattern_list(settings.get(key)) if key in settings else None for key in _EVENT_KEYS
            )
            if lists != (None, None):
                found.setdefault(lists, []).append(str(event))
    for lists, names in found.items():
        stem = _stem(file)
        own = _target_name(f"{stem}-{'-'.join(names)}")
        yield _event_filter(file, (stem, own) if len(found) == 1 else (own,), names, lists)


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
        return _Filter(file, label, names, problems=("it is no list of patterns",))
    said = from_paths(patterns) if key == "paths" else from_paths_ignore(patterns)
    return _Filter(
        file,
        label,
        names,
        patterns,
        tuple((paths, ()) for paths in said.rules),
        _problems(said, key),
        tuple(_dead_notes(said.dead)),
    )


def _pattern_list(value: object) -> tuple[str, ...] | str:
    """The patterns under a key; a word in the place of what is no list of strings."""
    values = [value] if isinstance(value, str) else value
    if (
        isinstance(values, list)
        and values
        and all(isinstance(one, str) and one for one in values)
        and len(values) <= MOST_ITEMS
    ):
        return tuple(values)
    return "unreadable"


def _problems(said: TranslatedPatterns, key: str) -> tuple[str, ...]:
    excluding = {
        pattern for pattern, _ in said.inexact if pattern.startswith("!") == (key == "paths")
    }
    return tuple(
        f"pattern `{pattern}`: {why}{_WIDER if pattern in excluding else ''}"
        for pattern, why in said.inexact
    )


def _dead_notes(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        yield f"`{pattern}` is left out: no path can match it"


# --- dorny/paths-filter


def _step_filters(file: str, document: Mapping[object, object]) -> Iterator[_Filter]:
    """The filters of every step that uses dorny/paths-filter, in all jobs of a workflow, or in a
    composite action.
    """
    jobs = document.get("jobs")
    for job in [*(jobs.values() if isinstance(jobs, Mapping) else ()), document.get("runs")]:
        steps = job.get("steps") if isinstance(job, Mapping) else None
        for step in steps if isinstance(steps, list) else ():
            if isinstance(step, Mapping) and str(step.get("uses", "")).lower().startswith(
                "dorny/paths-filter@"
            ):
                yield from _filters_of_step(file, step.get("with"))


def _filters_of_step(file: str, given: object) -> Iterator[_Filter]:
    inputs = (
        {str(key).lower(): value for key, value in given.items()}
        if isinstance(given, Mapping)
        else {}
    )
    text = inputs.get("filters")
    quantifier = inputs.get("predicate-quantifier") or "some"
    problem = ""
    filters: object = None
    if not isinstance(text, str) or not text.strip():
        problem = "it has no `filters`"
    elif quantifier not in _QUANTIFIERS:
        problem = f"its `predicate-quantifier` is `{quantifier}`"
    elif "\n" not in text and ":" not in text:
        problem = f"its filters are in the file {text.strip()}: import that file"
    else:
        try:
            filters = load_yaml(text)
            problem = "" if isinstance(filters, Mapping) else "its `filters` are no mapping"
        except ValueError as error:
            problem = f"its `filters` cannot be read: {error}"
    if problem or not isinstance(filters, Mapping):
        yield _Filter(file, "dorny/paths-filter", (), problems=(problem,))
        return
    for name, value in filters.items():
        yield _dorny_filter(file, str(_yaml_key(name)), value, str(quantifier))


def _dorny_filter(file: str, name: str, value: object, quantifier: str) -> _Filter:
    """One named filter of dorny/paths-filter."""
    label = f"filter `{name}`"
    own = _target_name(name)
    names = (
        name if _TARGET.fullmatch(name) and len(name) <= _LONGEST_NAME else own,
        _target_name(f"{_stem(file)}-{own}"),
    )
    notes: list[str] = []
    try:
        items = list(_items(value, notes))
    except ValueError as error:
        return _Filter(file, label, names, problems=(str(error),))
    reader = _Reader(quantifier)
    rules = reader.rules(items)
    patterns = tuple(dict.fromkeys(pattern for item in items for pattern in item.patterns))
    return _Filter(
        file,
        label,
        names,
        patterns,
        rules,
        tuple(reader.problems),
        (*notes, *_dead_notes(reader.dead)),
    )


def _items(value: object, notes: list[str]) -> Iterator[_Item]:
    """The items of a filter, with its lists inside lists written out. Raises ValueError for what
    the action would not take.
    """
    waiting, seen = [value], 0
    while waiting:
        one = waiting.pop()
        seen += 1
        if seen > MOST_ITEMS:
            raise ValueError(f"it has more than {MOST_ITEMS} items")
        if isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, str):
            yield _Item((one,))
        elif isinstance(one, Mapping):
            for key, patterns in one.items():
                yield _Item(_patterns(patterns), tuple(_statuses(str(_yaml_key(key)), notes)))
        else:
            raise ValueError(f"`{_yaml_key(one)}` is no pattern")


def _patterns(value: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if (
        not isinstance(values, list)
        or not all(isinstance(one, str) for one in values)
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
    """Translates the items of one filter, and remembers what could not be said and what can never
    match.
    """

    def __init__(self, quantifier: str) -> None:
        self.quantifier = quantifier
        self.problems: list[str] = []
        self.dead: list[str] = []
        self._read: dict[str, tuple[str, ...] | None] = {}

    def rules(self, items: Sequence[_Item]) -> Rules:
        """The rules of a filter: what it says of each status, put together again where it says the
        same.
        """
        said: dict[tuple[str, ...], list[str]] = {}
        for status in STATUSES:
            counting = [item for item in items if status in item.statuses]
            if self.quantifier == "every" and len(counting) < len(items):
                continue
            for paths in self._paths(counting):
                statuses = said.setdefault(paths, [])
                if status not in statuses:
                    statuses.append(status)
        return tuple(_merge_rules(said))

    def _paths(self, items: Sequence[_Item]) -> Iterator[tuple[str, ...]]:
        if self.quantifier == "every":
            yield from self._every(items)
        elif self.quantifier == "some":
            yield from self._some(items)
        else:
            yield from self._some_with_excludes(
                [pattern for item in items for pattern in item.patterns]
            )

    def _some(self, items: Sequence[_Item]) -> Iterator[tuple[str, ...]]:
        """Each pattern stands for itself: a `!` alone matches all that the rest of it does not."""
        for item in items:
            for pattern in item.patterns:
                found = self._patterns(pattern)
                if found is not None and negates(pattern):
                    yield found or ("**",)
                elif found and found[-1].startswith("!"):
                    yield found
                else:
                    yield from ((one,) for one in found or ())

    def _some_with_excludes(self, patterns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Any of the patterns that include, and none of those that exclude."""
        found = {pattern: self._patterns(pattern) or () for pattern in patterns}
        excluded = dict.fromkeys(
            one for pattern in found if negates(pattern) for one in found[pattern]
        )
        included = [paths for pattern, paths in found.items() if paths and not negates(pattern)]
        together = dict.fromkeys(
            one for paths in included if not paths[-1].startswith("!") for one in paths
        )
        if together:
            yield (*together, *excluded)
        yield from ((*paths, *excluded) for paths in included if paths[-1].startswith("!"))

    def _every(self, items: Sequence[_Item]) -> Iterator[tuple[str, ...]]:
        """All items have to match: any number that exclude, and one that includes."""
        included: dict[tuple[str, ...], str] = {}
        excluded: dict[str, None] = {}
        for item in items:
            found = [self._patterns(pattern) for pattern in item.patterns]
            if any(
                paths == ("**",) or (paths == () and negates(one))
                for one, paths in zip(item.patterns, found, strict=True)
            ):
                continue  # it matches everything
            if len(found) == 1 and negates(item.patterns[0]):
                excluded.update(dict.fromkeys(found[0] or ()))
            elif None in found:
                return  # without what includes, this would be far more than what the filter counts
            elif len(found) > 1 and any(
                one.startswith("!") for paths in found for one in paths or ()
            ):
                self._cannot(
                    item.patterns[0],
                    "it stands in a list of which one has to match, beside or as one that excludes",
                )
                return
            else:
                every = dict.fromkeys(one for paths in found for one in paths or ())
                included[tuple(one for one in every if not one.startswith("!"))] = (
                    item.patterns[0] if found else ""
                )
                excluded.update((one, None) for one in every if one.startswith("!"))
        if () in included:
            return
        if len(included) > 1:
            self._cannot(
                list(included.values())[1],
                "it has to match together with another pattern (predicate-quantifier: every)",
            )
        else:
            yield (*next(iter(included), ()), *excluded) or ("**",)

    def _patterns(self, pattern: str) -> tuple[str, ...] | None:
        """Our patterns, None where they cannot be said."""
        if pattern not in self._read:
            try:
                self._read[pattern] = _translate(pattern)
            except Inexact as error:
                self._read[pattern] = None
                self._cannot(
                    pattern,
                    str(error) + (_WIDER if negates(pattern) and self.quantifier != "some" else ""),
                )
            if self._read[pattern] == ():
                self.dead.append(pattern)
        return self._read[pattern]

    def _cannot(self, pattern: str, why: str) -> None:
        problem = f"pattern `{pattern}`: {why}"
        if problem not in self.problems:
            self.problems.append(problem)


def _translate(pattern: str) -> tuple[str, ...]:
    if not pattern:
        raise Inexact("it is empty, which the action refuses")
    if "${{" in pattern:
        raise Inexact("it has an expression, whose value only GitHub knows")
    return from_picomatch(pattern)


def _merge_rules(
    said: Mapping[tuple[str, ...], Sequence[str]],
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The rules, with those that only include and count the same statuses as one."""
    together: dict[tuple[str, ...], dict[str, None]] = {}
    apart = []
    for paths, statuses in said.items():
        changes = () if len(statuses) == len(STATUSES) else tuple(statuses)
        if any(path.startswith("!") for path in paths):
            apart.append((paths, changes))
        else:
            together.setdefault(changes, {}).update(dict.fromkeys(paths))
    yield from ((tuple(paths), changes) for changes, paths in together.items())
    yield from apart


# --- the draft


def _draft_from_filters(found: Sequence[_Filter], unread: Sequence[str]) -> ImportedFilters:
    same: dict[tuple[object, ...], list[_Filter]] = {}
    nothing: list[_Filter] = []
    for one in found:
        if one.rules:
            same.setdefault((one.names[:1], one.rules, one.problems), []).append(one)
        else:
            nothing.append(one)
    targets: list[DraftTarget] = []
    rules: list[DraftRule] = []
    for filters in same.values():
        name = _free_name(filters[0].names, {target.name for target in targets})
        targets.append(_target(name, filters))
        rules += _rules(name, filters[0])
    comment = (
        *_opening(len(targets)),
        *unread,
        *(
            line
            for one in nothing
            for line in (f"{one.source}: nothing is imported", *_filter_comment(one))
        ),
    )
    inexact = (
        *unread,
        *(
            f"{one.source}: {problem}"
            for one in found
            for problem in one.problems or _empty_reason(one)
        ),
    )
    return ImportedFilters(
        Draft("imported", tuple(targets), tuple(rules), comment=comment), inexact, len(found)
    )


def _opening(targets: int) -> Iterator[str]:
    if targets:
        yield (
            "Imported from CI path filters: each target is due on the commits where its filter says"
            " yes."
        )
        yield (
            "Every `kind` is `manual`: choose how each target is deployed, and remove those that"
            " are only tests."
        )


def _empty_reason(one: _Filter) -> Iterator[str]:
    """Why a filter without a problem has no rules."""
    if not one.rules:
        yield "no path can match it"


def _target(name: str, filters: Sequence[_Filter]) -> DraftTarget:
    first = filters[0]
    instructions = "Say here how it is deployed, or choose another kind."
    if first.problems:
        instructions = f"Its rules are incomplete: see the comment above. {instructions}"
    return DraftTarget(
        name,
        "manual",
        {"instructions": instructions},
        comment=(*(one.source for one in filters), *_filter_comment(first)),
    )


def _filter_comment(one: _Filter) -> Iterator[str]:
    """The comment on a filter: its patterns if they are not in the rules as they stand, and what
    was left out.
    """
    written = {path for paths, _ in one.rules for path in paths}
    if not written.issuperset(one.patterns):
        yield f"its patterns there: {'  '.join(one.patterns)}"
    yield from one.notes
    for problem in one.problems:
        yield f"not imported: {problem}"


def _rules(name: str, one: _Filter) -> Iterator[DraftRule]:
    for number, (paths, changes) in enumerate(one.rules, 1):
        yield DraftRule(
            name if number == 1 else f"{name} ({number})",
            paths,
            (name,),
            changes=changes,
            comment=_inverted(one, paths),
        )


def _inverted(one: _Filter, paths: Sequence[str]) -> tuple[str, ...]:
    """What has to be said of a rule that only excludes."""
    if not all(path.startswith("!") for path in paths):
        return ()
    there = (
        ""
        if one.label.startswith("on.")
        else "; in dorny/paths-filter a `!` pattern matches all other files"
    )
    return (f"Everything but what these patterns name{there}.",)


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
    return (
        re.sub(r"[^A-Za-z0-9_.-]+", "-", text).lstrip(".-")[:_LONGEST_NAME].rstrip("-") or "filter"
    )


def _yaml_key(value: object) -> object:
    """A YAML scalar as JavaScript would write it as a key."""
    return (
        {None: "null", True: "true", False: "false"}.get(value, value)
        if value is None or isinstance(value, bool)
        else value
    )
