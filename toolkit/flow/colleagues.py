"""The runs that colleagues have begun with the same store: listed, shown and resumed.

Others may have written what is in a bucket. So it only says what was begun and how far that came:
what may be deployed, where, and with which settings, is taken from rules.toml here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import Advice, NextCommand, ShellCommand
from toolkit.errors import CloudError, FileProblem, Refused, StateDamaged, ToolkitError
from toolkit.flow.builds import BUILD
from toolkit.flow.rulebook import find_environment
from toolkit.flow.run_stories import RunStory, shared_runs, story_of
from toolkit.formats.commits import is_commit_id
from toolkit.model import Environment, Rules
from toolkit.operations import Job, JobAction, Location, RunStatus
from toolkit.ports import processes
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.ports import Ports
from toolkit.record import history, mirror
from toolkit.record.history import Summary
from toolkit.record.journal import Journal, JournalEntry, has_foreign_lines, last_writer
from toolkit.record.locks import lock_name
from toolkit.record.shared_runs import SharedRun, SharedRuns, location_of
from toolkit.record.state import Store
from toolkit.record.statistics import ReadRun, may_count
from toolkit.run import jobs as run_jobs
from toolkit.run.recover import RunState, recover_state
from toolkit.targets.options import deciding, without_consents

WAIT_S = 20.0
"""How long the buckets may take to list their runs, in seconds."""
LOOKED_AT = 100
"""How many of the newest runs are read to find those of one environment."""
COUNTED_MOST = 500
"""How many of the newest runs are read to count them."""
SIDE_BY_SIDE = 8
"""How many runs are read from a bucket at the same time."""
BETWEEN = b"-- as the bucket has it, from another machine:\n"

Answer = TypeVar("Answer")


class SharedStore(Struct, frozen=True):
    """One bucket, and an environment that shares its runs there."""

    location: Location
    shelf: SharedRuns


class ColleagueRun(Struct, frozen=True):
    """A run as a bucket has it."""

    store: SharedStore
    run: SharedRun


def shared_stores(
    rules: Rules, ports: Ports, profile: str | None = None, only: str | None = None
) -> list[SharedStore]:
    """The buckets of all environments, or of one only, each once. Raises Refused for an address
    that is not valid.
    """
    stores: dict[tuple[str, str | None], SharedStore] = {}
    for name, environment in rules.environments.items():
        if only not in (None, name):
            continue
        location = _location(environment, profile)
        shelf = shared_runs(location, ports)
        if shelf is not None and environment.store is not None:
            address = environment.store.rstrip("/"), environment.account
            stores.setdefault(address, SharedStore(location, shelf))
    return list(stores.values())


def _location(environment: Environment, profile: str | None) -> Location:
    return run_jobs.locations(environment, profile, None)[0]


def list_runs(
    rules: Rules, ports: Ports, stores: Sequence[Store], most: int, environment: str | None = None
) -> tuple[list[Summary], list[str]]:
    """The newest runs of this machine and of all that share a store with it, newest first, all or
    those in an environment; with notes on what could not be read. Raises FileProblem.
    """
    limit = most if environment is None else max(most, LOOKED_AT)
    summaries: dict[str, Summary] = {}
    for store in stores:
        for summary in history.runs(store, limit):
            summaries[summary.run] = summary
    notes: list[str] = []
    for shared, theirs, problem in _ask_all(
        shared_stores(rules, ports, only=environment),
        lambda shared: _summaries(shared, ports, limit),
    ):
        if problem:
            notes.append(f"the runs in {shared.location.store} could not be read: {problem}")
        for summary in theirs or ():
            mine = summaries.get(summary.run)
            if mine is None or _says_more(summary, mine):
                summaries[summary.run] = _of_another_machine(summary)
    newest = sorted(summaries.values(), key=lambda summary: summary.run, reverse=True)
    shown: list[Summary] = []
    for summary in newest:
        # A damaged run does not say which environment it is of, so it is always shown.
        is_shown = environment is None or environment in summary.environments
        if is_shown or summary.status == RunStatus.DAMAGED:
            shown.append(summary)
    return shown[:most], notes


class ColleagueRuns(Struct, frozen=True):
    """The runs in the buckets: which buckets were read, and what could not be."""

    runs: tuple[ReadRun, ...]
    addresses: tuple[str, ...]
    problems: tuple[str, ...]


def read_runs(rules: Rules, ports: Ports, environment: str | None = None) -> ColleagueRuns:
    """The journals of the last two months in the buckets of all environments, or of one."""
    runs: list[ReadRun] = []
    addresses: list[str] = []
    problems: list[str] = []
    for shared, theirs, problem in _ask_all(
        shared_stores(rules, ports, only=environment), lambda shared: _journals(shared, ports)
    ):
        address = str(shared.location.store)
        if theirs is None:
            problems.append(f"the runs in {address} could not be read: {problem}")
            continue
        addresses.append(address)
        runs += theirs
        if len(theirs) == COUNTED_MOST:
            problems.append(f"only the newest {COUNTED_MOST} runs in {address} were read; others")
    return ColleagueRuns(tuple(runs), tuple(addresses), tuple(problems))


def _journals(store: SharedStore, ports: Ports) -> list[ReadRun]:
    now = ports.clock.now()
    names = [name for name, *_ in store.shelf.names(COUNTED_MOST, f"{now:%Y%m}")]
    recent = [name for name in names if may_count(name, now)]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return list(pool.map(lambda name: _journal(store, name), recent))


def _journal(store: SharedStore, name: str) -> ReadRun:
    """One run in the bucket, with no lines where it is damaged or was taken away meanwhile."""
    try:
        shared = store.shelf.get(name)
    except StateDamaged:
        shared = None
    return ReadRun(name, () if shared is None else shared.entries)


def _says_more(theirs: Summary, mine: Summary) -> bool:
    """Whether the bucket knows more of a run than this machine's journal: another machine has
    resumed it.
    """
    if (
        mine.status == RunStatus.RUNNING
        or theirs.status == RunStatus.DAMAGED
        or (mine.ended and not theirs.ended)
    ):
        return False
    return mine.host != theirs.host or (theirs.ended is not None and mine.ended is None)


def send_unsent(rules: Rules, ports: Ports, stores: Sequence[Store]) -> list[Advice]:
    """Send what could not be sent of this machine's runs; returns what went wrong."""

    def shelf_of(journal: Journal) -> SharedRuns | None:
        location = location_of(journal.entries)
        return None if location is None else shared_runs(location, ports)

    if not any(environment.store for environment in rules.environments.values()):
        return []
    problems: list[Advice] = []
    for store in stores:
        problems += mirror.send_unsent_runs(store, shelf_of).values()
    return problems


def _ask_all(
    stores: Sequence[SharedStore], ask: Callable[[SharedStore], Answer]
) -> Iterator[tuple[SharedStore, Answer | None, str]]:
    """The answer of each bucket, all asked in parallel, or why there is none."""
    until = monotonic() + WAIT_S
    tasks = [(store, BackgroundTask(lambda store=store: ask(store))) for store in stores]  # type: ignore[misc]
    for store, task in tasks:
        try:
            yield store, task.within(until - monotonic()), ""
        except Timeout:
            yield store, None, f"no answer within {WAIT_S:g} s"
        except (CloudError, Refused) as problem:
            yield store, None, str(problem)


def _summaries(store: SharedStore, ports: Ports, most: int) -> list[Summary]:
    names = [name for name, *_ in store.shelf.names(most, f"{ports.clock.now():%Y%m}")]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        summaries = pool.map(lambda name: _summary(store, name), names)
        return [summary for summary in summaries if summary is not None]


def _summary(store: SharedStore, run: str) -> Summary | None:
    """One run in the bucket; a damaged one costs only itself."""
    try:
        shared = store.shelf.get(run)
        return None if shared is None else run_summary(ColleagueRun(store, shared))
    except StateDamaged as problem:
        return Summary(run, "", None, "", "", None, (), RunStatus.DAMAGED, problem=str(problem))


def run_summary(shared: ColleagueRun) -> Summary:
    """A run in a line. Its lock says whether it is running. Raises CloudError, Refused."""
    summary = history.summarize(shared.run.run, shared.run.entries, False)
    if summary.ended is None and _at_work(shared):
        return replace(summary, status=RunStatus.RUNNING)
    return summary


def _at_work(shared: ColleagueRun) -> bool:
    location = location_of(shared.run.entries)
    if location is None:
        return False
    # Others may have written these entries: nothing is taken to have the right type.
    jobs = shared.run.entries[0].facts.get("jobs")
    if not isinstance(jobs, list) or not jobs or not isinstance(jobs[0], dict):
        return False
    target = jobs[0].get("target")
    if not isinstance(target, str):
        return False
    return shared.store.shelf.at_work(shared.run.run, lock_name(location, target))


def find_run(
    run: str, rules: Rules, ports: Ports, profile: str | None = None
) -> ColleagueRun | None:
    """A run as a bucket has it, None if none has. Raises StateDamaged, CloudError, Refused, and
    Refused where no bucket answers in time.
    """
    problems: list[Exception] = []
    for store in shared_stores(rules, ports, profile):
        try:
            shared = BackgroundTask(lambda store=store: store.shelf.get(run)).within(WAIT_S)  # type: ignore[misc]
        except Timeout:
            late = f"{store.location.store} did not answer within {WAIT_S:g} s"
            problems.append(Refused(late, "check the network, and try again"))
            continue
        except (CloudError, Refused, StateDamaged) as problem:
            problems.append(problem)
            continue
        if shared is not None:
            return ColleagueRun(store, shared)
    # Only once no bucket has it: a bucket that cannot be read may be another environment's.
    if problems:
        raise problems[0]
    return None


def newer_copy(
    run: str, store: Store, rules: Rules, ports: Ports, profile: str | None = None
) -> tuple[ColleagueRun | None, str]:
    """The run as a bucket has it, where this machine has none of that name or one that another
    machine has resumed; in words, why the buckets could not be read where this machine has one.
    Raises what `find_run` raises where this machine has none.
    """
    mine = _local_entries(store, run)
    try:
        shared = find_run(run, rules, ports, profile)
    except ToolkitError as problem:
        if mine is None:
            raise
        return None, str(problem)
    if shared is None or mine is None:
        return shared, ""
    theirs = shared.run.entries
    behind = theirs[: len(mine)] == tuple(mine) and len(theirs) > len(mine)
    apart = theirs != tuple(mine)[: len(theirs)] and not behind
    return (shared if behind or apart else None), ""


def _local_entries(store: Store, run: str) -> tuple[JournalEntry, ...] | None:
    """This machine's journal of a run, None if it has none; empty where it cannot be read."""
    from toolkit.record import journal

    try:
        return journal.read(store, run)
    except Refused:
        return None
    except (StateDamaged, FileProblem):
        return ()


def step_log(run: str, step: str, rules: Rules, ports: Ports, local: bytes | None) -> bytes | None:
    """The log of a step: the `local` one, and what another machine has written besides. A bucket
    that does not answer adds nothing.
    """
    text = local
    for _, log, _ in _ask_all(
        shared_stores(rules, ports), lambda store: store.shelf.log(run, step)
    ):
        known = text or b""
        if log is None or known.startswith(log[0]):
            continue
        text = log[0] if log[0].startswith(known) else known + BETWEEN + log[0]
    return text


def run_story(shared: ColleagueRun) -> RunStory:
    """A colleague's run in retrospect. Raises CloudError, Refused."""
    return story_of(_of_another_machine(run_summary(shared)), shared.run.entries)


def _of_another_machine(summary: Summary) -> Summary:
    """A summary that is not taken for one of this machine, whatever host its journal names."""
    if summary.host != processes.current_process().host:
        return summary
    return replace(summary, host=f"{summary.host} (as its journal says)")


def run_state(
    run: str, entries: Sequence[JournalEntry], rules: Rules, ports: Ports, profile: str | None
) -> RunState:
    """What is still to do of a run that is not ours, with its jobs where this machine reaches them,
    and without the consents that somebody else may have given. Raises Refused where they are not
    what rules.toml here says, StateDamaged.
    """
    state = recover_state(entries, ports.clock.now(), run)
    for job in state.jobs:
        if job.run != run or not _is_in_rules(job, rules):
            raise _not_in_rules(job, run, entries)
    return replace(state, jobs=tuple(map(relocation(rules, profile, False), state.jobs)))


def claims(state: RunState) -> tuple[tuple[str, str], ...]:
    """What of a run that is not ours only its journal says: which version is deployed or restored,
    where that is neither in rules.toml nor in git. Each is a step and `NAME=VALUE`. Steps that are
    over claim nothing. Pure.
    """
    parts: list[tuple[str, str]] = []
    for job in state.jobs:
        if job.step not in state.done:
            parts += ((job.step, part) for part in _claims(job))
    return tuple(parts)


def _claims(job: Job) -> Iterator[str]:
    if job.action not in (JobAction.DEPLOY, JobAction.BUILD):
        yield f"{job.action}={job.version.name}"
        if job.version.commit and not job.version.name.startswith(job.version.commit):
            yield f"commit={job.version.commit}"
    decided = [*deciding(job.options)]
    if job.restore is not None:
        decided += msgspec.structs.asdict(job.restore).items()
    for name, value in decided:
        if value is not None:
            yield name if value is True else f"{name}={value}"


def relocation(
    rules: Rules, profile: str | None, with_consents: bool = True
) -> Callable[[Job], Job]:
    """Returns a function that gives a job the profile that this machine uses. Where somebody else
    may have given its consents, it takes them away, and has the job done in any case: only its
    journal says that it may be left out.
    """

    def relocated(job: Job) -> Job:
        environment = find_environment(job.location.environment, rules)
        own_profile = profile or (environment.profile if environment else None)
        here = replace(job, location=replace(job.location, profile=own_profile))
        if with_consents:
            return here
        return replace(here, options=without_consents(job.options), conditional=False)

    return relocated


def _not_in_rules(job: Job, run: str, entries: Sequence[JournalEntry]) -> Refused:
    next_: Advice = ("see", NextCommand("show", (run,)))
    commit = last_writer(entries[:1]).get("commit") or job.version.commit
    if isinstance(commit, str) and is_commit_id(commit):
        checkout = ShellCommand("git checkout", (commit,))
        next_ = ("continue it with the rules.toml of that time:", checkout)
    return Refused(f"step {job.step} of run {run} is not what rules.toml here says", next_)


def _is_in_rules(job: Job, rules: Rules) -> bool:
    """Whether rules.toml has the job's target, in this place and with these settings, and the job
    is what a deploy with its options makes of it: whoever can write to the bucket may have changed
    it.
    """
    environment = find_environment(job.location.environment, rules)
    target = rules.targets.get(job.target)
    if environment is None or target is None or target.kind != job.kind:
        return False
    token = run_jobs.step_token(job.run, job.step, job.version.fingerprint)
    if job.token != token or job.deadline_s != target.deadline_s:
        return False
    if job.is_build != job.step.endswith(BUILD):  # else a deploy could be made to only build
        return False
    step = job.whole if job.part else job.undoes or job.step.removesuffix(BUILD)
    if step not in run_jobs.step_names(job.target, job.location):  # it names another place
        return False
    named = targets.kind(job.kind).version_named(job.options)
    if named is not None and not {job.version.name, job.version.commit} <= {named, None}:
        return False
    variables: Mapping[str, str] = {
        "region": job.location.region or "",
        **environment.vars,
        **run_jobs.version_variables(job.version),
    }
    for location in run_jobs.locations(environment, None, None):
        if location.region == job.location.region:
            return (
                _place(location) == _place(job.location)
                and _has_settings(job, rules, variables)
                and run_jobs.consumed_sources(target, rules.targets, variables) == job.consumed
            )
    return False


def _has_settings(job: Job, rules: Rules, variables: Mapping[str, str]) -> bool:
    """Whether a job has the settings that rules.toml says of its target, or of the part of it that
    it deploys.
    """
    settings = run_jobs.own_settings(rules.targets[job.target], rules.targets, variables)
    part = targets.kind(job.kind).part
    if any(part(settings, name) is None for name in job.parts or ()):
        return False
    return bool((part(settings, job.part) if job.part else settings) == job.settings)


def _place(location: Location) -> tuple[str | None, bool, str]:
    return location.account, location.protected, (location.store or "").rstrip("/")


def record_claim(store: Store, shared: ColleagueRun) -> None:
    """Record in this machine's journal that another machine has taken the run over. Where that
    fails, it is done the next time.
    """
    with suppress(ToolkitError):
        journal = Journal.reopen(store, shared.run.run)
        try:
            mirror.claim_run(shared.store.shelf, journal)
        finally:
            journal.close()


def is_ours(store: Store, run: str, entries: Sequence[JournalEntry]) -> bool:
    """Whether a run was begun, and last written, by this machine: its own journal has these lines,
    and none of them came from a bucket. Which host a line names is only evidence against it.
    """
    own = _local_entries(store, run) or ()
    if has_foreign_lines(store, run) or not entries or own[: len(entries)] != tuple(entries):
        return False
    # Earlier versions copied journals without a mark.
    hosts = {last_writer(part).get("host") for part in (entries[:1], entries)}
    return hosts <= {None, processes.current_process().host}
