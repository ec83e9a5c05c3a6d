"""`rollback`: which versions of a target were good, and the order that puts one of them back."""

from collections.abc import Sequence
from typing import Any

from toolkit import targets as kinds
from toolkit.errors import Refused, ToolkitError, UsageError
from toolkit.flow.deploy import Order, known
from toolkit.flow.rulebook import environment, load_rules
from toolkit.model import GOOD
from toolkit.ports.git import Git
from toolkit.ports.world import World
from toolkit.record.history import last_good
from toolkit.record.ledger import Record, open_ledger
from toolkit.record.state import open_store
from toolkit.run.jobs import imagined, places


def candidates(order: Order, git: Git | None, world: World) -> list[Record]:
    """The good deploys of the order's one target, newest first, each version once. Raises ToolkitError."""
    rules = load_rules(order.folder, order.rules, git)
    name = environment(order.environment, rules)
    [target] = order.targets
    known(target, rules)
    reason = kinds.kind(rules.targets[target].kind).irreversible(rules.targets[target].settings)
    if reason:
        raise Refused(f"{target} cannot be rolled back: {reason[0]}", reason[1])
    found: dict[str, Record] = {}
    store = open_store(rules.project, world.root)
    for place in places(rules.environments.get(name) if name else None, order.profile, order.region):
        shared = open_ledger(store, place, world).get(place.environment, place.region, target)
        for record in last_good(store, target, place.environment, place.region, shared):
            found.setdefault(record.version, record)
    return list(found.values())


def live(order: Order, good: Sequence[Record], git: Git | None, world: World) -> str | None:
    """The version that runs, as the cloud says; where regions differ, one that is none of the good ones.

    Where the cloud does not say, it is taken to be the newest good one; None if there is none.
    """
    rules = load_rules(order.folder, order.rules, git)
    name = environment(order.environment, rules)
    found = rules.environments.get(name) if name else None
    targets = [rules.targets[one] for one in order.targets]
    seen: list[str | None] = []
    for job in imagined(targets, places(found, order.profile, order.region), found.vars if found else {}):
        try:
            runs = kinds.kind(job.kind).live(job, world)
        except ToolkitError:
            return good[0].version if good else None
        seen.append(runs.version if runs is not None else "")
    known = {record.version for record in good}
    return next((version for version in seen if version not in known), seen[0])


def pick(records: list[Record], wanted: str | None, live: str | None) -> Record:
    """The record of the version that was asked for, else the newest one that is not live. Raises Refused, UsageError."""
    if wanted is not None:
        exact = [record for record in records if wanted in (record.version, record.run)]
        close = exact or [record for record in records if record.version.startswith(wanted)]
        if len({record.version for record in close}) > 1:
            raise UsageError(
                f"{wanted!r} is the beginning of several versions", f"name a run: {', '.join(record.run for record in close[:4])}"
            )
        if not close:
            raise Refused(f"no good deploy of {wanted!r} is recorded", "see them with: toolkit rollback TARGET --list")
        return close[0]
    others = [record for record in records if record.version != live]
    if not others:
        raise Refused("no other good deploy is recorded", "deploy what is wanted: toolkit deploy-app --no-build --image TAG")
    return others[0]


def good_before(records: Sequence[Record], version: str) -> Record | None:
    """The newest good deploy of another version, None if there is none. `records` are the newest first."""
    return next((record for record in records if record.verdict in GOOD and record.version not in ("", version)), None)


def wishes(record: Record) -> dict[str, Any]:
    """What the kind has to know to put this version back."""
    detail = {name.replace(" ", "_"): value for name, value in record.detail.items()}
    return {
        "version": record.version, "commit": record.commit, "fingerprint": record.fingerprint, "image_digest": detail.get("digest"),
        "task_definition": detail.get("task_definition"),
    }  # fmt: skip
