"""How a Lambda function is now: its state, the version behind its alias, how many of its calls
fail, whether they have a log, and its alarms.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from toolkit.advice import NextCommand, ShellCommand
from toolkit.errors import CloudError
from toolkit.operations import Finding, HealthStatus, Job, LiveVersion
from toolkit.ports.aws import functions, logs, metrics
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.functions import Alias, Function
from toolkit.ports.ports import Ports
from toolkit.targets import alarms, findings
from toolkit.targets.base import Tell
from toolkit.targets.function.state import has_same_configuration, live_version, shares_words
from toolkit.targets.times import iso_utc

FAILING, WARNING = 0.05, 0.01
"""The share of calls that fail from which on it is that."""
CALLS = metrics.MetricNames("AWS/Lambda", ("Errors", "Invocations"), "FunctionName")
WINDOW = timedelta(hours=1)


def report_health(job: Job, ports: Ports, tell: Tell) -> LiveVersion | None:
    """See targets/base.py."""
    aws, name, alias = ports.aws(job.location), str(job.settings.function), str(job.settings.alias)
    running: list[LiveVersion] = []

    def state() -> Iterator[Finding]:
        function = functions.function(aws, name)
        if function is None:
            yield missing_function(name)
        else:
            yield function_finding(function)

    def alias_target() -> Iterator[Finding]:
        current = functions.alias(aws, name, alias)
        if current is None:
            # without a function, the other question says so
            if functions.function(aws, name) is not None:
                yield missing_alias(alias)
            return
        version = functions.function(aws, name, current.version)
        running.append(live_version(name, current, version))
        yield alias_finding(name, current, version)
        latest = None if version is None else functions.function(aws, name)
        if version is not None and latest is not None:
            yield from configuration_findings(job, current, version, latest)

    def errors() -> Iterator[Finding]:
        yield from call_findings(aws, name, ports.clock.now())

    def ringing() -> list[Finding]:
        return alarms.read_findings(aws, job.settings.alarms, {"FunctionName": name})

    findings.ask(
        tell,
        [("function", state), ("alias", alias_target), ("errors", errors), ("alarms", ringing)],
    )
    return running[0] if running else None


def missing_function(name: str) -> Finding:
    """There is nothing."""
    command = "deploy the stack that it is in, or correct `function` in rules.toml"
    return Finding(
        "function",
        HealthStatus.FAILING,
        "missing",
        cause=f"there is no function {name}",
        next=command,
    )


def missing_alias(alias: str) -> Finding:
    """There is a function, and nobody calls it by the alias."""
    return Finding(
        "alias",
        HealthStatus.FAILING,
        "missing",
        cause=f"there is no alias {alias}",
        next="deploy the stack that creates it, or correct `alias` in rules.toml",
    )


def function_finding(function: Function) -> Finding:
    """What Lambda says of a function, or of one version."""
    since = iso_utc(function.modified)
    wait = ShellCommand("aws lambda wait function-updated-v2 --function-name", (function.name,))
    mend = "fix what Lambda reports, and deploy the stack that it is in again"
    if function.state == "Failed":
        return Finding(
            "function",
            HealthStatus.FAILING,
            "Failed",
            since,
            function.reason or "it cannot be called",
            mend,
        )
    if function.update == "Failed":
        return Finding(
            "function",
            HealthStatus.FAILING,
            "last update failed",
            since,
            function.update_reason or "its last update failed",
            mend,
        )
    if function.state == "Inactive":
        return Finding(
            "function",
            HealthStatus.WARNING,
            "Inactive",
            None,
            function.reason or "it has not been called for a long time",
            "nothing: a call activates it",
        )
    if function.state not in ("Active", ""):
        return Finding(
            "function",
            HealthStatus.WARNING,
            function.state,
            since,
            function.reason or f"it is {function.state}",
            wait,
        )
    if function.update == "InProgress":
        return Finding(
            "function",
            HealthStatus.WARNING,
            "being updated",
            since,
            function.update_reason or "its update is not complete",
            wait,
        )
    return Finding("function", HealthStatus.OK, function.state, since)


def alias_finding(name: str, alias: Alias, version: Function | None) -> Finding:
    """Where an alias leads, and how that is."""
    detail = f"{alias.name} -> version {alias.version}"
    if version is None:
        command = ShellCommand("aws lambda list-versions-by-function --function-name", (name,))
        return Finding(
            "alias",
            HealthStatus.FAILING,
            detail,
            cause=f"there is no version {alias.version}",
            next=("point the alias at a version that exists; these do:", command),
        )
    finding, since = function_finding(version), iso_utc(version.modified)
    if finding.status != HealthStatus.OK:
        return Finding(
            "alias",
            finding.status,
            detail,
            finding.since,
            f"version {alias.version}: {finding.cause}",
            finding.next,
        )
    if alias.shares:
        options = ("--function-name", name, "--name", alias.name)
        routing = ("--routing-config", "AdditionalVersionWeights={}")
        command = ShellCommand("aws lambda update-alias", (*options, *routing))
        return Finding(
            "alias",
            HealthStatus.WARNING,
            detail,
            None,
            shares_words(alias),
            (f"to send all calls to version {alias.version}:", command),
        )
    return Finding("alias", HealthStatus.OK, detail, since)


def configuration_findings(
    job: Job, alias: Alias, version: Function, latest: Function
) -> Iterator[Finding]:
    """What is live does not run as the function is configured, or nobody can tell: a stack changes
    only $LATEST.
    """
    is_same = has_same_configuration(version, latest)
    if is_same is None:
        name = job.settings.function
        yield Finding(
            "configuration",
            HealthStatus.UNKNOWN,
            "could not be read",
            cause="Lambda answers with an error in place of a part of it",
            next=ShellCommand("aws lambda get-function-configuration --function-name", (name,)),
        )
    elif not is_same:
        yield Finding(
            "configuration",
            HealthStatus.WARNING,
            f"changed since version {alias.version}",
            iso_utc(latest.modified),
            f"the function's configuration has changed since version {alias.version}, which alias"
            f" {alias.name} points to",
            ("to publish it:", NextCommand("deploy-function", (job.target,))),
        )


def call_findings(aws: Aws, name: str, now: datetime) -> Iterator[Finding]:
    """How the calls of the last hour went, and whether they have a log."""
    # Metrics come per whole minute: the current one counts, too.
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    failed, calls = metrics.sums(aws, CALLS, name, end - WINDOW, end)
    if not (failed or calls):
        yield Finding("errors", HealthStatus.OK, "no calls in the last hour")
        return
    function = functions.function(aws, name)
    group = "" if function is None else function.log_group
    yield error_finding(group, failed, calls)
    if group:
        yield from log_findings(aws, group)


def error_finding(group: str, failed: float, calls: float) -> Finding:
    """How many calls of the last hour have failed; `group` has their log. CloudWatch may know of an
    error before it knows of its call.
    """
    calls = max(failed, calls)
    share = failed / calls
    detail = f"{_counted(failed, 'error')} in {_counted(calls, 'call')}"
    if share < WARNING:
        return Finding("errors", HealthStatus.OK, detail)
    cause = f"{share * 100:.1f} % of the calls in the last hour failed"
    status = HealthStatus.FAILING if share >= FAILING else HealthStatus.WARNING
    command = ShellCommand("aws logs tail", (group, "--since", "1h"))
    fix = ("fix what its log says, and deploy it again; its log:", command)
    return Finding("errors", status, detail, None, cause, fix)


def log_findings(aws: Aws, group: str) -> Iterator[Finding]:
    """That what the calls of the last hour have written is lost, or that nobody can tell."""
    try:
        if logs.has_group(aws, group):
            return
    except CloudError as problem:
        yield findings.unknown("log", problem)
        return
    command = ShellCommand("aws logs create-log-group --log-group-name", (group,))
    yield Finding(
        "log",
        HealthStatus.WARNING,
        "missing",
        cause=f"log group {group} does not exist, so what the function writes is lost",
        next=("let the function's role write to it, and create it:", command),
    )


def _counted(number: float, word: str) -> str:
    """`1,200 calls`."""
    return f"{number:,.0f} {word}{'' if number == 1 else 's'}"
