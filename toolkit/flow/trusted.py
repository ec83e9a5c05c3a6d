"""What is judged never chooses its judge: where the record is, which account is used, and which
gates hold is read from rules.toml at the trusted base, and not from the one that is about to be
deployed (docs/adr/0025).

The trusted value is the one that is used. Every difference is shown, most make every target of the
environment due, and where there is no trusted value, or the local one is another place, consent is
required before anything is changed.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import ShellCommand
from toolkit.changes.trusted import VARIABLE, TrustedBase, find
from toolkit.errors import FileProblem, GitError, NoTrustedBase, Refused, RulesError
from toolkit.flow.decisions import tell_trust
from toolkit.flow.rulebook import check_types, load_rules, read_rules, rules_path
from toolkit.formats import toml
from toolkit.formats.variables import names_in_check
from toolkit.model import (
    Checks,
    Environment,
    FileLine,
    JudgeDifference,
    JudgeEffect,
    Rules,
    Target,
    Trust,
)
from toolkit.ports import files
from toolkit.ports.git import Git
from toolkit.targets.base import LOOKING, JudgedSettings

OPTION = "--allow-untrusted-rules"
"""The option that lets the local rules.toml decide."""
MOST_TOLD = 8

PLACES = ("account", "regions", "profile", "store")
"""The keys that say where an environment is: another value is another place."""
GATES = ("protected", "rollback", "backwards", "urls", "hosts", "private")
"""The other keys of an environment that judge."""
GRAVEST_FIRST = (JudgeEffect.CONSENT, JudgeEffect.DUE, JudgeEffect.TOLD)


def trust_notice(rules: Rules, environment: str | None) -> tuple[str, ...]:
    """The lines to show before anything else where the judges here are not the trusted ones."""
    trust = rules.trust
    if trust.allowed and not trust.ref:
        return (f"the rules that judge a deploy were not compared with a trusted base: {OPTION}",)
    differences = trust.about(environment)
    if not differences:
        return ()
    new = differences[0].what == rules.file
    consequence = _consequence(rules, environment, new)
    if new:
        return (f"{trust.ref} has no {rules.file}", consequence)
    lines = [f"the rules that judge a deploy differ from {trust.ref}"]
    lines += [f"  {_line(difference, trust.ref)}" for difference in differences[:MOST_TOLD]]
    if len(differences) > MOST_TOLD:
        lines.append(f"  and {len(differences) - MOST_TOLD} more")
    return (*lines, consequence)


def _line(difference: JudgeDifference, ref: str) -> str:
    what, local, trusted = difference.what, difference.here, difference.trusted
    if local is None and trusted is None:
        return f"{what} differs here"
    if local is None:
        return f"{what} is missing here"
    if trusted is not None:
        return f"{what} is {local} here, and {trusted} at {ref}"
    return f"{what} is new: {local}" if local else f"{what} is new"


def _consequence(rules: Rules, environment: str | None, new: bool) -> str:
    trust = rules.trust
    if trust.allowed:
        return f"this {rules.file} decides: {OPTION}"
    used = f"the rules of {trust.ref} are used"
    if new:
        used = f"no checks of {rules.file} are run"
    due = ""
    if trust.is_due(environment):
        due = f", and every target of {environment or 'this project'} counts as due"
    return f"{used}{due}; to let this {rules.file} decide: {OPTION}"


def require_rules_consent(rules: Rules, environment: str | None) -> None:
    """Before anything is changed, or a secret is used: where only the local rules.toml says where,
    its option has to be given. Raises Refused.
    """
    refusal = rules_refusal(rules, environment)
    if refusal is not None:
        problem, first = refusal
        raise Refused(problem, f"{first} first, or add {OPTION}")


def rules_refusal(rules: Rules, environment: str | None) -> tuple[str, str] | None:
    """Why nothing may be changed before somebody lets the local rules.toml decide, and what to do
    instead; None where that is not needed.
    """
    trust = rules.trust
    if not trust.is_refused(environment):
        return None
    differences = [
        difference.what
        for difference in trust.about(environment)
        if difference.effect is JudgeEffect.CONSENT
    ]
    first = "commit it" if trust.ref == "HEAD" else f"merge it into {trust.ref}"
    return f"{differences[0]} is not what {trust.ref} says, and this was not confirmed", first


class RulesAndChecks(Struct, frozen=True):
    """The rules of one point, and all checks with those of the files that they include."""

    rules: Rules
    checks: Checks


class TrustedFiles(Struct, frozen=True):
    """The files of the trusted base, as bytes: rules.toml, where it was, and what it includes."""

    location: str
    text: bytes
    included: Mapping[str, bytes | None]


def load_trusted(folder: str, named: str | None, git: Git | None, allowed: bool = False) -> Rules:
    """The rules.toml that was named, or the nearest one, with the judges of the trusted base.

    `allowed`: somebody lets it decide by itself. Raises RulesError, NoRules, FileProblem; GitError
    with the command that fetches it where the trusted base cannot be read.
    """
    rules = with_trusted_judges(load_rules(folder, named, git), folder, named, git, allowed)
    tell_trust(rules.trust)
    return rules


def with_trusted_judges(
    rules: Rules, folder: str, named: str | None, git: Git | None, allowed: bool = False
) -> Rules:
    """These rules with the judges of the trusted base, and with what differs in `trust`.

    Without a repository, and for a file from outside of it, rules.toml itself is trusted: whoever
    works there has named it. Raises as `load_trusted`.
    """
    path = _path(rules, git)
    if git is None or path is None:
        return rules
    try:
        base = find(git)
        sources = _sources(rules, path, base, folder, named, git)
        if sources is not None and _is_same(rules, path, sources, base, git):
            return replace(rules, trust=Trust(base.ref, base.commit, allowed=allowed))
        trusted = _judges(sources, rules, base, git)
    except GitError:
        if allowed:
            return replace(rules, trust=Trust(allowed=True))
        raise
    current = RulesAndChecks(rules, _local_checks(rules))
    if sources is None:
        differences = [JudgeDifference(rules.file, "", None, JudgeEffect.CONSENT)]
    else:
        differences = _differences(current, trusted)
    trust = Trust(base.ref, base.commit, tuple(differences), allowed)
    if allowed:
        return replace(rules, trust=trust)
    return _with_judges(current, trusted, trust)


def _path(rules: Rules, git: Git | None) -> str | None:
    """rules.toml as git names it; None where the repository has no say.

    A link inside of the repository that leads out of it makes no stranger's file a trusted one.
    """
    if git is None or git.bare:
        return None
    path = rules_path(rules, git)
    if path is not None:
        return path
    near = os.path.relpath(os.path.abspath(rules.file), git.root)
    return None if near == ".." or near.startswith(".." + os.sep) else near


def _sources(
    rules: Rules, path: str, base: TrustedBase, folder: str, named: str | None, git: Git
) -> TrustedFiles | None:
    """The files at the trusted base, None if it has no rules.toml. It is looked for where it would
    have been found there, for it may have been moved. Raises GitError."""
    if not base.commit:
        return None
    locations = [path]
    if not named:
        locations = files.locations_of_rules(path, files.relative(folder, git.root) or "")
    names = [*locations, *_beside(path, rules.include)]
    texts = dict(zip(names, git.blobs([(base.commit, name) for name in names]), strict=True))
    location = next((location for location in locations if texts[location] is not None), None)
    if location is None:
        _refuse_unfetched(git, base, locations)
        return None
    text = texts[location] or b""
    included = _beside(location, _rules_at(text, location, rules, base).include)
    unread = [name for name in included if texts.get(name) is None]
    if unread:
        blobs = git.blobs([(base.commit, name) for name in unread])
        texts |= dict(zip(unread, blobs, strict=True))
        _refuse_unfetched(git, base, [name for name in unread if texts[name] is None])
    return TrustedFiles(location, text, {name: texts[name] for name in included})


def _beside(path: str, names: Iterable[str]) -> list[str]:
    return [os.path.normpath(os.path.join(os.path.dirname(path), name)) for name in names]


def _refuse_unfetched(git: Git, base: TrustedBase, locations: Iterable[str]) -> None:
    """A file that a partial clone has not fetched is part of the commit all the same: it must not
    pass for missing. Raises MissingCommit.
    """
    for location in locations:
        git.blob(base.commit, location)


def _is_same(rules: Rules, path: str, sources: TrustedFiles, base: TrustedBase, git: Git) -> bool:
    """Whether all files here are those of the trusted base, so that nothing has to be compared."""
    if not _is_text_of(sources.text, rules):
        return False
    if list(sources.included) != _beside(path, rules.include):
        return False
    for name, text in sources.included.items():
        if not _is_here(text, os.path.join(git.root, name)):
            return False
    texts = (sources.text, *sources.included.values())
    if not any(re.search(_NAMES_FILE, text or b"") for text in texts):
        return True  # `diff` need not read the checks
    from toolkit.flow import checks

    try:
        local = checks.all_checks(rules)
    except (RulesError, FileProblem):
        return False
    names = list(local.contents)
    if not names:
        return True
    blobs = git.blobs([(base.commit, name) for name in _beside(path, names)])
    return all(
        blob is not None and _is_content(local.contents[name], blob)
        for name, blob in zip(names, blobs, strict=True)
    )


_NAMES_FILE = rb"""(?<![A-Za-z])file["']?\s*=|schema|rows|\\[uU]"""
"""What is in each text in which a check names a file, however TOML writes its keys."""
_POINTER = b"version https://git-lfs.github.com/spec/"


def _is_content(local: bytes, blob: bytes) -> bool:
    """Whether a file here holds what git has of it, maybe as a pointer of Git LFS."""
    if not blob.startswith(_POINTER):
        return _plain(local) == _plain(blob)
    import hashlib

    return f"sha256:{hashlib.sha256(local).hexdigest()}".encode() in blob


def _is_text_of(text: bytes, rules: Rules) -> bool:
    return _plain(text) == _plain(rules.text.encode("utf-8", "surrogateescape"))


def _is_here(text: bytes | None, path: str) -> bool:
    try:
        return text is not None and _plain(text) == _plain(files.read(path, toml.MOST_BYTES))
    except FileProblem:
        return False


def _plain(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n")


def _rules_at(text: bytes, location: str, rules: Rules, base: TrustedBase) -> Rules:
    """The rules of the trusted base: the very ones here where the text is the same."""
    if _is_text_of(text, rules):
        return rules
    try:
        return read_rules(text, f"{location} at {base.ref}")
    except RulesError as problem:
        raise _unusable(problem, base) from None


_NAME_ANOTHER = ShellCommand(f"export {VARIABLE}=COMMIT")


def _unusable(problem: RulesError, base: TrustedBase) -> NoTrustedBase:
    return NoTrustedBase(
        f"the rules that judge a deploy cannot be read: {str(problem).splitlines()[0]}",
        (f"fix it at {base.ref}, or choose another commit that you trust:", _NAME_ANOTHER),
    )


def _judges(
    sources: TrustedFiles | None, rules: Rules, base: TrustedBase, git: Git
) -> RulesAndChecks:
    """What the trusted base says. Raises NoTrustedBase for what is missing there, or wrong."""
    if sources is None:
        return RulesAndChecks(Rules("", "", None, None, {}, (), "warn", {}, ()), Checks())
    from toolkit.config import checks as reading

    old = _rules_at(sources.text, sources.location, rules, base)
    parts = {old.file: old.checks}
    try:
        for name, text in sources.included.items():
            if text is None:
                raise NoTrustedBase(
                    f"the rules that judge a deploy cannot be read: {base.ref} has no {name}, "
                    "which its rules.toml includes",
                    (
                        f"add it at {base.ref}, or choose another commit that you trust:",
                        _NAME_ANOTHER,
                    ),
                )
            file = f"{name} at {base.ref}"
            parts[file] = reading.load_file(text, file, check_types())
        checks = reading.merge_checks(parts)
        contents = _trusted_contents(checks, sources, rules, base, git)
        return RulesAndChecks(
            old, reading.with_contents(checks, contents, check_types(), f"the checks at {base.ref}")
        )
    except RulesError as problem:
        raise _unusable(problem, base) from None


def _trusted_contents(
    checks: Checks, sources: TrustedFiles, rules: Rules, base: TrustedBase, git: Git
) -> dict[str, bytes]:
    """What the files that checks name hold at the trusted base. Raises NoTrustedBase, GitError."""
    from toolkit.config import checks as reading

    names = reading.file_names(checks)
    if not names:
        return {}
    folder = os.path.dirname(os.path.abspath(rules.file))
    paths = _beside(sources.location, names)
    blobs = git.blobs([(base.commit, path) for path in paths])
    _refuse_unfetched(
        git, base, [path for path, blob in zip(paths, blobs, strict=True) if blob is None]
    )
    contents: dict[str, bytes] = {}
    for name, blob in zip(names, blobs, strict=True):
        if blob is None:
            raise _unusable_file(name, f"{base.ref} has no {name}", base)
        if blob.startswith(_POINTER):
            blob = _from_lfs(name, blob, folder, base)
        if len(blob) > reading.MOST_FILE:
            raise _unusable_file(name, f"{name} at {base.ref} is too large", base)
        contents[name] = blob
    return contents


def _from_lfs(name: str, pointer: bytes, folder: str, base: TrustedBase) -> bytes:
    """The file here, if it is what a pointer of Git LFS stands for. Raises NoTrustedBase."""
    from toolkit.config import checks as reading

    try:
        local = files.read_inside(folder, name, reading.MOST_FILE)
    except FileProblem:
        local = b""
    if _is_content(local, pointer):
        return local
    raise _unusable_file(name, f"{name} is in Git LFS, and differs from {base.ref}", base)


def _unusable_file(name: str, reason: str, base: TrustedBase) -> NoTrustedBase:
    return NoTrustedBase(
        f"the rules that judge a deploy cannot be read: {reason}, which a check needs",
        (f"add {name} at {base.ref}, or choose another commit that you trust:", _NAME_ANOTHER),
    )


def _local_checks(rules: Rules) -> Checks:
    """All checks of the local files. Where they cannot be read, every check counts as changed."""
    from toolkit.flow import checks

    try:
        return checks.all_checks(rules)
    except (RulesError, FileProblem):
        return Checks()


def _differences(current: RulesAndChecks, trusted: RulesAndChecks) -> list[JudgeDifference]:
    """What judges differently here, the gravest first."""

    def gravest_first(difference: JudgeDifference) -> tuple[int, str]:
        return GRAVEST_FIRST.index(difference.effect), difference.what

    differences = [
        *_of_file(current.rules, trusted.rules),
        *_of_environments(current.rules, trusted),
        *_of_targets(current.rules, trusted),
        *_of_checks(current, trusted),
    ]
    return sorted(differences, key=gravest_first)


def _of_file(current: Rules, trusted: Rules) -> Iterator[JudgeDifference]:
    """`project` names the local record. Where the trusted base has no default environment, there is
    no trusted value to use.
    """
    if current.project != trusted.project:
        yield _changed("project", current.project, trusted.project, JudgeEffect.DUE)
    if current.environment != trusted.environment:
        effect = JudgeEffect.TOLD if trusted.environment else JudgeEffect.CONSENT
        yield _changed("environment", current.environment, trusted.environment, effect)


def _changed(
    what: str, local: Any, trusted: Any, effect: JudgeEffect, environment: str | None = None
) -> JudgeDifference:
    return JudgeDifference(what, _words(local), _words(trusted), effect, environment)


def _of_environments(current: Rules, trusted: RulesAndChecks) -> Iterator[JudgeDifference]:
    used = _variables_that_judge(trusted)
    fields = [(field, JudgeEffect.CONSENT) for field in PLACES]
    fields += [(field, JudgeEffect.DUE) for field in GATES]
    for name, environment in current.environments.items():
        old = trusted.rules.environments.get(name)
        key = f"environments.{name}"
        if old is None:
            yield JudgeDifference(key, "", None, JudgeEffect.CONSENT, name)
            continue
        for field, effect in fields:
            local, before = getattr(environment, field), getattr(old, field)
            if local != before:
                yield _changed(f"{key}.{field}", local, before, effect, name)
        for variable in sorted(used | names_in_check((*old.urls, *old.hosts))):
            local, before = environment.vars.get(variable), old.vars.get(variable)
            if local != before:
                what = f"{key}.vars.{variable}"
                yield _changed(what, local, before, JudgeEffect.CONSENT, name)


def _variables_that_judge(trusted: RulesAndChecks) -> set[str]:
    """The variables in health addresses, checks and secrets: another value is another judge."""
    used = set[str]()
    for target in trusted.rules.targets.values():
        gates = _gates(target)
        used |= names_in_check((gates.get("health"), gates.get("container_test")))
    for check in trusted.checks.checks.values():
        used |= check.uses
    for secret in trusted.checks.secrets.values():
        used |= secret.uses
    return used


def _gates(target: Target) -> dict[str, Any]:
    """What says whether a deploy of a target went well."""
    if not isinstance(target.settings, JudgedSettings):
        return {}
    fields = target.settings.__struct_fields__
    return {name: getattr(target.settings, name) for name in LOOKING if name in fields}


def _is_gated(target: Target) -> bool:
    return any(isinstance(gate, tuple | Struct) and gate for gate in _gates(target).values())


def _of_targets(current: Rules, trusted: RulesAndChecks) -> Iterator[JudgeDifference]:
    old = trusted.rules.targets
    for name, target in current.targets.items():
        key = f"targets.{name}"
        if name not in old:
            unknown = _unknown_checks(target, trusted)
            if unknown:
                yield _changed(f"{key}.checks", unknown, None, JudgeEffect.CONSENT)
        elif _is_gated(old[name]) and not _gates(target):
            yield _changed(f"{key}.kind", target.kind, old[name].kind, JudgeEffect.CONSENT)
        else:
            yield from _of_gates(target, old[name])
    if current.targets.keys() <= old.keys():
        return
    # A target may have been renamed: with another name it would have lost its gates.
    for name, target in old.items():
        if name not in current.targets and (_is_gated(target) or target.hooks.before):
            yield JudgeDifference(f"targets.{name}", None, "", JudgeEffect.CONSENT)


def _of_gates(target: Target, old: Target) -> Iterator[JudgeDifference]:
    """What has to go well before and after a deploy of a target."""
    key = f"targets.{target.name}"
    if target.hooks != old.hooks:
        local, before = target.hooks.before, old.hooks.before
        yield _changed(f"{key}.hooks", local, before, JudgeEffect.TOLD)
    gates, trusted_gates = _gates(target), _gates(old)
    for field in gates.keys() & trusted_gates.keys():
        if gates[field] != trusted_gates[field]:
            yield _changed(f"{key}.{field}", gates[field], trusted_gates[field], JudgeEffect.DUE)


def _unknown_checks(target: Target, trusted: RulesAndChecks) -> tuple[str, ...]:
    """The words in a new target's `checks` that mean nothing at the trusted base."""
    words = _gates(target).get("checks", ())
    if not words:
        return ()
    from toolkit.config.checks import resolve_words

    return resolve_words(words, trusted.checks)[1]


def _of_checks(current: RulesAndChecks, trusted: RulesAndChecks) -> Iterator[JudgeDifference]:
    """What is new here is not used, so it is only shown. A changed or missing one would be another
    judge wherever a target has checks.
    """
    decide = any(_gates(target).get("checks") for target in trusted.rules.targets.values())
    effect = JudgeEffect.DUE if decide else JudgeEffect.TOLD
    for key, local, before in (
        ("checks", _without_lines(current.checks), _without_lines(trusted.checks)),
        ("secrets", current.checks.secrets, trusted.checks.secrets),
    ):
        for name in sorted(local.keys() | before.keys()):
            if name not in before:
                yield JudgeDifference(f"{key}.{name}", "", None, JudgeEffect.TOLD)
            elif name not in local:
                yield JudgeDifference(f"{key}.{name}", None, "", effect)
            elif local[name] != before[name]:
                yield JudgeDifference(f"{key}.{name}", None, None, effect)


def _without_lines(checks: Checks) -> dict[str, Any]:
    bare: dict[str, Any] = {}
    for name, check in checks.checks.items():
        contents = {path: _plain(content) for path, content in check.contents.items()}
        bare[name] = replace(check, where=FileLine(), contents=contents)
    return bare


def _words(value: Any) -> str | None:
    """A value as rules.toml would have it."""
    return None if value is None else msgspec.json.encode(value).decode("utf-8", "replace")


def _with_judges(current: RulesAndChecks, trusted: RulesAndChecks, trust: Trust) -> Rules:
    """The local rules, with the values of the trusted base wherever they judge."""
    rules, old = current.rules, trusted.rules
    environments = {}
    for name, environment in rules.environments.items():
        before = old.environments.get(name)
        environments[name] = environment if before is None else _environment(environment, before)
    targets = {}
    for name, target in rules.targets.items():
        targets[name] = _target(target, old.targets.get(name), trusted)
    checks: Checks | None = trusted.checks
    if (
        _without_lines(current.checks) == _without_lines(trusted.checks)
        and current.checks.secrets == trusted.checks.secrets
    ):
        checks = None  # those of the files here have the right line numbers
    return replace(
        rules,
        environment=old.environment or rules.environment,
        environments=environments,
        targets=targets,
        trust=replace(trust, checks=checks),
    )


def _environment(current: Environment, trusted: Environment) -> Environment:
    values = {name: getattr(trusted, name) for name in (*PLACES, *GATES)}
    if current.vars != trusted.vars:
        for name in ("urls", "hosts"):
            values[name] = _filled(values[name], trusted.vars)
    return replace(current, **values)


def _filled(texts: Sequence[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    filled = []
    for text in texts:
        for name, value in variables.items():
            text = text.replace(f"{{{name}}}", value)
        filled.append(text)
    return tuple(filled)


def _target(current: Target, old: Target | None, trusted: RulesAndChecks) -> Target:
    """With the gates of the trusted base; a new one keeps its own, but for checks of its own."""
    if old is None:
        unknown = _unknown_checks(current, trusted)
        if not unknown:
            return current
        words = tuple(word for word in _gates(current).get("checks", ()) if word not in unknown)
        return replace(current, settings=replace(current.settings, checks=words))
    current = replace(current, hooks=old.hooks)
    if not _gates(current) or not _gates(old):
        return current
    judges = {name: gate for name, gate in _gates(old).items() if name in _gates(current)}
    return replace(current, settings=replace(current.settings, **judges))
