"""Deploys of a real kind through the scripted AWS, as a run carries them out: with a journal on
disk, and a clock that nobody waits for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import Struct

from tests.run.simulated import Told
from tests.support.aws import Endpoint
from tests.support.aws.clock import EndpointClock
from toolkit import targets
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Outcome
from toolkit.ports.aws import client
from toolkit.ports.aws.client import Aws
from toolkit.ports.ports import Ports
from toolkit.record.journal import Journal, JournalEntry, read
from toolkit.record.state import open_store
from toolkit.run.jobs import pack
from toolkit.run.recover import RunState, recover_state
from toolkit.run.run_journal import StoredRunJournal
from toolkit.run.step import StepExecution
from toolkit.targets.app.settings import AppSettings
from toolkit.targets.function.options import FunctionOptions
from toolkit.targets.function.settings import FunctionSettings
from toolkit.targets.stack.settings import StackSettings

REGION, ACCOUNT, COMMIT = "eu-west-1", "111111111111", "c0ffee" + "0" * 34
DEADLINE_S = 300
SPARE_S = 5 + client.CALL_S
"""How much later than its deadline a run may end: the call that is being made then is not cut
off.
"""
UNTOKENED = (
    "RegisterTaskDefinition",
    "UpdateService",
    "UpdateFunctionCode",
    "PublishVersion",
    "UpdateAlias",
)
"""Calls of which AWS makes two if it gets two."""


class Sent(Struct, frozen=True):
    """One attempt of one call, as the SDK numbers them."""

    operation: str
    invocation: str


class CountingAws(Aws):
    """The real client, which counts what it sends; all of them share one session, for that takes
    longest to make.
    """

    shared: Any = None

    def __init__(self) -> None:
        super().__init__(None, REGION)
        self.sent: list[Sent] = []
        self.after: dict[str, Callable[[], None]] = {}
        """Operation -> what happens right after it was answered."""
        self._session = CountingAws.shared

    def _client(self, service: str, once: bool) -> Any:
        new = (service, once) not in self._clients
        value = super()._client(service, once)
        CountingAws.shared = self._session
        if new:
            value.meta.events.register_first("before-send", self._count, unique_id="count")
        return value

    def write(
        self, service: str, operation: str, /, tokened: bool = False, **params: Any
    ) -> dict[str, Any]:
        """As ever, and then what a test wants."""
        answer = super().write(service, operation, tokened, **params)
        self.after.pop(operation, lambda: None)()
        return answer

    def _count(self, request: Any, event_name: str, **_: Any) -> None:
        number = request.headers["amz-sdk-invocation-id"]
        self.sent.append(
            Sent(
                event_name.rpartition(".")[2],
                number.decode() if isinstance(number, bytes) else str(number),
            )
        )

    def close(self) -> None:
        for value in self._clients.values():
            value.close()


class Deploy:
    """One deploy of one target that is there in an older version. Everything of it has a name of
    its own: an endpoint has many of them.
    """

    kind = ""

    def __init__(self, endpoint: Endpoint, folder: Path, name: str) -> None:
        self.endpoint, self.folder, self.name = endpoint, folder, name
        self.clock, self.aws, self.store = (
            EndpointClock(endpoint),
            CountingAws(),
            open_store("faults", str(folder)),
        )
        self.ports = Ports(str(folder), str(folder), self.clock, lambda profile, region: self.aws)
        self.run = f"run-{name}"
        self.prepare()
        endpoint.calls.clear()

    def prepare(self) -> None:
        """What is there before."""
        raise NotImplementedError

    def settings(self) -> Any:
        raise NotImplementedError

    def is_new(self) -> bool:
        """Whether the cloud itself has come to rest on our version."""
        raise NotImplementedError

    def effects(self) -> dict[str, int]:
        """How often each call that counts has had its effect."""
        raise NotImplementedError

    def rest(self) -> None:
        """Let the cloud come to the end of what it does."""
        raise NotImplementedError

    @property
    def job(self) -> Job:
        """The step."""
        return Job(
            self.name,
            self.name,
            self.kind,
            JobAction.DEPLOY,
            Location("dev", REGION, ACCOUNT),
            self.settings(),
            Version(COMMIT, COMMIT, "f" * 64),
            self.run,
            f"token{self.name}",
            deadline_s=DEADLINE_S,
            options=self.options(),
        )

    def options(self) -> Any:
        """What the command line says."""
        return targets.kind(self.kind).Options()

    def begun(self) -> Outcome:
        """A first process carries it out."""
        journal = Journal.create(self.store, self.run, {"jobs": [pack(self.job)]}, self.clock)
        return self._carried_out(journal, self.job, None)

    def resumed(self) -> Outcome:
        """Another process goes on with what the journal says."""
        journal = Journal.reopen(self.store, self.run, self.clock)
        state = self.left()
        return self._carried_out(journal, state.jobs[0], state)

    def left(self) -> RunState:
        """What is left on disk."""
        return recover_state(self.entries(), self.clock.now(), "journal")

    def entries(self) -> tuple[JournalEntry, ...]:
        """The journal."""
        return read(self.store, self.run)

    def _carried_out(self, journal: Journal, job: Job, state: RunState | None) -> Outcome:
        begun = state.begun.get(job.step) if state else None
        papers = Unrecorded(self.store, journal, {}, {}, self.clock, lambda text: text)
        notes = Told()
        self.listener, self.stop = notes.listener, notes.stop
        step = StepExecution(job, notes.request(self.run, self.ports), papers, lambda: None, begun)
        step.carry_out()
        journal.close()
        if step.bug is not None:
            raise step.bug
        assert step.outcome is not None
        return step.outcome

    def close(self) -> None:
        self.aws.close()


class Unrecorded(StoredRunJournal):
    """A journal and logs on disk, and no record of what is live."""

    def announce(self, job: Job) -> None:
        pass

    def has_announced(self, job: Job) -> bool:
        return False

    def record(self, job: Job, outcome: Outcome) -> None:
        pass


class AppDeploy(Deploy):
    """A service behind a load balancer, which is to run another image; two looks later it does."""

    kind = "app"

    def prepare(self) -> None:
        repository = self.endpoint.ecr.repository(self.name)
        old = self.endpoint.ecr.image(self.name, "old")
        self.new = self.endpoint.ecr.image(self.name, COMMIT)
        first = self.endpoint.ecs.definition(
            self.name, f"{repository.uri}@{old.digest}", tags={"toolkit:version": "old"}
        )
        self.service = self.endpoint.ecs.service(
            self.name, definition=first.arn, desired=2, group=f"group-{self.name}"[:32]
        )
        self.endpoint.ecs.next("success", service=self.name, looks=4)

    def settings(self) -> AppSettings:
        return AppSettings(cluster="main", service=self.name, repository=self.name)

    def is_new(self) -> bool:
        image = self.endpoint.ecs.definitions[self.service.definition].body["containerDefinitions"][
            0
        ]["image"]
        return (
            str(image).endswith(f"@{self.new.digest}")
            and self.service.latest.status == "SUCCESSFUL"
        )

    def effects(self) -> dict[str, int]:
        calls = self.endpoint.calls
        names = ("RegisterTaskDefinition", "UpdateService")
        return {name: calls.applied(f"ecs:{name}") for name in names}

    def rest(self) -> None:
        for _ in range(20):
            self.clock.advance(60)
            self.endpoint.ecs.describe_services({"cluster": "main", "services": [self.name]})


class StackDeploy(Deploy):
    """A stack that is to be updated by a change set."""

    kind = "stack"

    def prepare(self) -> None:
        cloud = self.endpoint.cloudformation
        cloud.stack(self.name, "UPDATE_COMPLETE", {"Service": "AWS::ECS::Service"})
        cloud.next_change_set("complete", stack=self.name, looks=1)
        cloud.next("success", stack=self.name, looks=1)
        resources = {"Service": {"Type": "AWS::ECS::Service", "Properties": {"DesiredCount": 2}}}
        (self.folder / f"{self.name}.json").write_text(json.dumps({"Resources": resources}))

    def settings(self) -> StackSettings:
        return StackSettings(stack=self.name, template=f"{self.name}.json")

    def is_new(self) -> bool:
        result = self.endpoint.cloudformation.stacks[self.name]
        return result.status == "UPDATE_COMPLETE" and result.tags.get("toolkit:run") == self.run

    def effects(self) -> dict[str, int]:
        result = self.endpoint.cloudformation.stacks[self.name]
        began = [
            event
            for event in result.events
            if event["LogicalResourceId"] == self.name
            and event["ResourceStatus"] == "UPDATE_IN_PROGRESS"
        ]
        request = [call for call in self.endpoint.calls.of("CreateChangeSet") if call.applied]
        names = {(call.params["ChangeSetName"], call.params.get("ClientToken")) for call in request}
        return {"CreateChangeSet": len(names), "ExecuteChangeSet": len(began)}

    def rest(self) -> None:
        for _ in range(20):
            self.clock.advance(60)
            self.endpoint.cloudformation.describe_stacks({"StackName": self.name})


class FunctionDeploy(Deploy):
    """A function that is to have other code; two looks later it has."""

    kind = "function"

    def prepare(self) -> None:
        self.function = self.endpoint.functions.function(self.name)
        self.function.pending = 1
        self.endpoint.functions.next(self.name, looks=2)
        (self.folder / self.name).mkdir()
        (self.folder / self.name / "index.py").write_text("def handler(*_):\n    return 2\n")

    def settings(self) -> FunctionSettings:
        return FunctionSettings(function=self.name, source=self.name)

    def options(self) -> FunctionOptions:
        return FunctionOptions(adopt=True)

    def is_new(self) -> bool:
        return bool(self.function.aliases["live"]["FunctionVersion"] == "2")

    def effects(self) -> dict[str, int]:
        calls = self.endpoint.calls
        names = ("UpdateFunctionCode", "PublishVersion", "UpdateAlias")
        return {name: calls.applied(f"lambda:{name}") for name in names}

    def rest(self) -> None:
        self.clock.advance(600)


KINDS: dict[str, type[Deploy]] = {
    "app": AppDeploy,
    "stack": StackDeploy,
    "function": FunctionDeploy,
}


@contextmanager
def hurried(patch: pytest.MonkeyPatch, pass_: Callable[[float], None]) -> Iterator[None]:
    """The SDK's own waits take no time but the clock's."""
    with patch.context() as patched:
        patched.setattr("botocore.endpoint.time", SimpleNamespace(sleep=pass_))
        patched.setattr(client, "WINDOW_S", 0.0)
        yield


def impatient(patch: pytest.MonkeyPatch) -> None:
    """An answer that never comes is soon given up.

    Only for faults that are like that: on a slow machine a good answer may take as long.
    """
    patch.setattr(client, "READ_S", 1.0)
    patch.setattr(client, "CALL_S", 2.0)


def tries(deploy: Deploy) -> Counter[tuple[str, str]]:
    """How often each call was sent, with the attempts of the SDK."""
    return Counter((item.operation, item.invocation) for item in deploy.aws.sent)
