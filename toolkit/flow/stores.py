"""Where the runs, locks and records of a project are stored: separately for each endpoint, so that
a sandbox is never taken for AWS.
"""

import os

from msgspec.structs import replace

from toolkit.flow.rulebook import load_rules
from toolkit.model import AWS, Rules
from toolkit.operations import Location
from toolkit.ports.aws.endpoint import endpoint
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record import journal
from toolkit.record.state import Store, find_store, open_store


def store_for(rules: Rules, ports: Ports, profile: str | None) -> Store:
    """The state of a project, for the endpoint that calls with this profile go to. Raises
    StateDamaged, FileProblem, BadConfig.
    """
    return open_store(rules.project, ports.root, ports.endpoint(profile))


def existing_store(rules: Rules, ports: Ports, profile: str | None) -> Store | None:
    """The same where it exists already; nothing is created."""
    return find_store(rules.project, ports.root, ports.endpoint(profile))


def resolved_location(location: Location, ports: Ports) -> Location:
    """A location with the account and region of the credentials and of AWS's own settings where
    rules.toml has none: a record is of one account and one region. Raises CloudError, Refused.
    """
    if location.provider != AWS:
        return location
    account = location.account or ports.aws(location).account()
    region = location.region or ports.aws(location).region_name
    return replace(location, account=account, region=region)


def project_stores(folder: str, named: str | None, git: Git | None) -> list[Store]:
    """The state of the project in a folder: that of the default environment's endpoint, then those
    of the others.

    Raises RulesError, NoRules, StateDamaged, FileProblem, BadConfig.
    """
    rules = load_rules(folder, named, git)
    root = git.root if git and not git.bare else folder
    default = rules.environments.get(rules.environment or "")
    profiles = [default.profile if default else None, None]
    profiles += [environment.profile for environment in rules.environments.values()]
    endpoints = list(dict.fromkeys(endpoint(profile) for profile in profiles))
    stores = [open_store(rules.project, root, endpoints[0])]
    for address in endpoints[1:]:
        store = find_store(rules.project, root, address)
        if store is not None:
            stores.append(store)
    return stores


def store_of_run(run: str, stores: list[Store]) -> Store:
    """The state that has a run's journal; the first if none has. Raises Refused for what cannot be
    a run.
    """
    for store in stores:
        if os.path.lexists(journal.path_of(store, run)):
            return store
    return stores[0]
