"""Deploys of a function through a scripted Lambda: what is done once, what is refused, and who is
in the way.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.aws.functions import digest_of
from tests.support.report import Crash, Report
from tests.targets.functions import COMMIT, FunctionStage
from toolkit.artifacts import packages
from toolkit.errors import (
    FileProblem,
    Missing,
    NotAgreed,
    ProgramFailed,
    Refused,
    Superseded,
    TagTaken,
    Throttled,
)
from toolkit.operations import Job, JobAction, Location, RecordedDeploy
from toolkit.ports.aws import functions
from toolkit.ports.sharing import SharedWork
from toolkit.show.advice import sentence
from toolkit.targets.container_test import ContainerTest
from toolkit.targets.function import image, marks, state
from toolkit.targets.function.kind import kind as function
from toolkit.targets.function.options import FunctionRestore
from toolkit.targets.function.settings import FunctionBuild, FunctionImage, S3Object

UPDATE, PUBLISH, MOVE = "lambda:UpdateFunctionCode", "lambda:PublishVersion", "lambda:UpdateAlias"
ALL = [UPDATE, PUBLISH, MOVE]
NOBODY = frozenset[str]()


@pytest.fixture
def stage(aws_endpoint: Endpoint, tmp_path: Path) -> FunctionStage:
    """A function with other code than the folder has."""
    return FunctionStage(aws_endpoint, tmp_path)


def deployed(stage: FunctionStage) -> FunctionStage:
    """The same, whose code toolkit has deployed as version 2; no call is counted yet."""
    assert stage.deployed().verdict == "succeeded"
    stage.endpoint.calls.clear()
    return stage


# --- what is deployed


def test_equal_code_of_another_commit_is_not_deployed_again(stage: FunctionStage) -> None:
    deployed(stage)
    job = stage.another(2)
    assert stage.preview(job).unchanged
    looked = stage.deployed(job)
    assert (looked.state, looked.verdict, stage.writes) == ("done", "unchanged", [])
    assert looked.live is not None
    assert looked.live.version == COMMIT


def test_other_code_is_a_version_of_its_own(stage: FunctionStage) -> None:
    deployed(stage)
    stage.write("newer")
    job = stage.another(2)
    assert not stage.preview(job).unchanged
    assert (stage.deployed(job).verdict, stage.alias) == ("succeeded", "3")
    assert stage.writes == ALL


def test_a_configuration_that_is_newer_than_the_version_is_published_with_equal_code(
    stage: FunctionStage,
) -> None:
    deployed(stage)
    stage.lambdas.configure("mail", "secret-of-the-stack")
    job = stage.another(2)
    planned = stage.preview(job)
    assert [call.name for call in planned.calls] == [PUBLISH, MOVE]
    assert planned.warnings == (
        "the configuration of function mail has changed since version 2: this publishes it, too",
    )
    assert "secret-of-the-stack" not in repr(planned)
    assert (stage.deployed(job).verdict, stage.alias) == ("succeeded", "3")
    assert stage.writes == [PUBLISH, MOVE]
    assert stage.preview(stage.another(3)).unchanged


DENIED = {"Error": {"ErrorCode": "AccessDeniedException", "Message": "no kms:Decrypt"}}


@pytest.mark.parametrize("part", ["Environment", "ImageConfigResponse"])
def test_a_configuration_that_lambda_cannot_read_is_not_equal(
    stage: FunctionStage, part: str
) -> None:
    deployed(stage)
    stage.function.more[part] = DENIED
    planned = stage.preview(stage.another(2))
    assert [call.name for call in planned.calls] == [PUBLISH, MOVE]
    assert planned.warnings == (
        "Lambda cannot read the configuration of function mail, which may have changed since"
        " version 2: this publishes it, too",
    )


def test_snapshots_belong_to_the_configuration_and_their_progress_does_not(
    stage: FunctionStage,
) -> None:
    deployed(stage)
    job = stage.another(2)
    asked = {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    stage.function.latest.more = {"SnapStart": asked}
    assert [call.name for call in stage.preview(job).calls] == [PUBLISH, MOVE]
    stage.function.versions["2"].more = {"SnapStart": {**asked, "OptimizationStatus": "On"}}
    assert stage.preview(job).unchanged


def test_code_that_is_latest_already_is_only_published(stage: FunctionStage) -> None:
    deployed(stage)
    stage.lambdas.point("mail", "1", description="")
    stage.lambdas.configure("mail", "more memory")
    job = stage.another(2)
    assert [call.name for call in stage.preview(job).calls] == [PUBLISH, MOVE]
    assert (stage.deployed(job).verdict, stage.alias) == ("succeeded", "3")
    assert stage.writes == [PUBLISH, MOVE]


def test_a_version_that_exists_with_this_code_is_used_under_the_name_of_this_deploy(
    stage: FunctionStage,
) -> None:
    """Lambda makes no second version of equal code: the first one is the answer."""
    deployed(stage)
    stage.lambdas.point("mail", "1")
    job = stage.another(2)
    assert (stage.deployed(job).verdict, stage.alias) == ("succeeded", "2")
    assert len(stage.function.versions) == 2
    live = function.live(job, stage.ports)
    assert live is not None
    assert (live.version, live.run) == ("2" * 40, "r2")


def test_code_that_somebody_has_changed_by_hand_is_replaced_although_toolkit_had_deployed_it(
    stage: FunctionStage,
) -> None:
    deployed(stage)
    stage.lambdas.change("mail", "by hand")
    stage.lambdas.publish("mail")
    stage.lambdas.point("mail", "3")
    job = stage.another(2, recorded=RecordedDeploy("r1", COMMIT))
    preview = stage.preview(job)
    assert preview.warnings == ("version 3 of mail is live, which toolkit did not deploy",)
    assert preview.live is not None
    assert (preview.live.version, preview.live.run) == ("3", None)
    assert (stage.deployed(job).verdict, stage.writes) == ("succeeded", ALL)


def test_a_copied_description_says_nothing_of_other_code(stage: FunctionStage) -> None:
    deployed(stage)
    description = stage.function.versions["2"].description
    stage.lambdas.change("mail", "by hand")
    stage.lambdas.publish("mail", description)
    stage.lambdas.point("mail", "3")
    live = function.live(stage.job(), stage.ports)
    assert live is not None
    assert (live.version, live.commit, live.run) == ("3", None, None)
    assert not stage.preview(stage.another(2)).unchanged


def test_a_description_that_was_forged_for_other_code_makes_nothing_unchanged(
    stage: FunctionStage,
) -> None:
    deployed(stage)
    content = marks.read(stage.function.versions["2"].description)[marks.CONTENT]
    stage.lambdas.change("mail", "theirs")
    digest = stage.function.latest.sha256[:24]
    stage.lambdas.publish("mail", f"toolkit v=x t=y c={content} sha={digest}")
    stage.lambdas.point("mail", "3")
    assert not stage.preview(stage.another(2)).unchanged


@pytest.mark.parametrize("digest", ["", "sha=" + "A" * 24])
def test_an_alias_says_the_content_of_no_other_code(
    stage: FunctionStage, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    monkeypatch.setattr(packages, "MOST_STORED", 0)  # equal content may be another zip
    deployed(stage)
    assert stage.preview(stage.another(2)).unchanged
    content = marks.read(stage.function.versions["2"].description)[marks.CONTENT]
    stage.lambdas.change("mail", "theirs")
    stage.lambdas.publish("mail")
    stage.lambdas.point("mail", "3", description=f"toolkit n=3 c={content} {digest}".strip())
    assert not stage.preview(stage.another(2)).unchanged


def test_a_version_of_somebody_else_with_the_same_code_is_not_deployed_twice(
    stage: FunctionStage,
) -> None:
    """Lambda makes no second version of equal code, and theirs says nothing of the content."""
    deployed(stage)
    stage.function.versions["2"].description = "theirs"
    stage.lambdas.point("mail", "1", description="")
    assert (stage.deployed(stage.another(2)).verdict, stage.alias) == ("succeeded", "2")
    later = stage.another(3)
    assert (stage.preview(later).unchanged, stage.deployed(later).verdict) == (True, "unchanged")
    live = function.live(later, stage.ports)
    assert live is not None
    assert (live.run, live.fingerprint, live.settings) == ("r2", "2" * 64, "5" * 64)


def test_an_alias_that_moves_between_two_reads_is_read_with_its_version(
    stage: FunctionStage,
) -> None:
    deployed(stage)

    def late(params: dict[str, Any]) -> dict[str, Any]:
        if params.get("Qualifier") == "live":
            params = {**params, "Qualifier": "1"}
        return stage.lambdas.get_function_configuration(params)

    stage.endpoint.on("lambda", "GetFunctionConfiguration", late)
    read = state.read_state(stage.job(), stage.ports)
    assert read.serving is not None
    assert read.serving.version == "2"


# --- who has to agree


def test_the_first_deploy_of_somebody_elses_function_needs_adopt(stage: FunctionStage) -> None:
    [warning] = stage.preview().warnings
    assert str(warning) == (
        "function mail was not deployed by toolkit: this replaces its code; --adopt confirms"
        " this in advance"
    )
    with pytest.raises(NotAgreed):
        stage.applied(report=Report(yes=NOBODY, clock=stage.clock))
    assert (stage.writes, stage.alias) == ([], "1")
    job = stage.job(options=function.Options(adopt=True))
    assert stage.preview(job).warnings == ()
    report = stage.applied(job, Report(yes=NOBODY, clock=stage.clock))
    assert report.of("consent") == []
    assert stage.look(report, job).verdict == "succeeded"
    # from now on nobody is asked, also where nothing is recorded
    stage.write("newer")
    report = stage.applied(stage.another(2), Report(yes=NOBODY, clock=stage.clock))
    assert stage.alias == "3"


@pytest.mark.parametrize(
    "recorded",
    [
        RecordedDeploy(problem="the bucket does not answer"),
        RecordedDeploy("r0", "b" * 40, detail={"function": "another"}),
    ],
)
def test_a_record_that_is_unknown_or_of_another_function_is_no_consent(
    stage: FunctionStage, recorded: RecordedDeploy
) -> None:
    with pytest.raises(NotAgreed):
        stage.applied(stage.job(recorded=recorded), Report(yes=NOBODY, clock=stage.clock))
    assert (stage.writes, stage.alias) == ([], "1")


def test_what_is_recorded_needs_no_adopt(stage: FunctionStage) -> None:
    job = stage.job(recorded=RecordedDeploy("r0", "b" * 40))
    stage.applied(job, Report(yes=NOBODY, clock=stage.clock))
    assert stage.alias == "2"


def test_a_function_of_a_stack_says_so_when_it_is_adopted(stage: FunctionStage) -> None:
    stage.function.tags["aws:cloudformation:stack-name"] = "Shop"
    assert "function mail belongs to stack Shop" in str(stage.preview().warnings[0])


def test_a_missing_alias_is_created_only_if_somebody_agrees(
    aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = FunctionStage(aws_endpoint, tmp_path, alias="")
    job = stage.job(recorded=RecordedDeploy("r0", "b" * 40))
    assert "has no alias live: this creates it; --adopt" in str(stage.preview(job).warnings[0])
    with pytest.raises(NotAgreed):
        stage.applied(job, Report(yes=NOBODY, clock=stage.clock))
    assert stage.writes == []
    assert function.live(job, stage.ports) is None
    assert stage.deployed(job).verdict == "succeeded"
    assert stage.writes == [UPDATE, PUBLISH, "lambda:CreateAlias"]


def test_weights_of_an_alias_are_reset_only_if_somebody_agrees(stage: FunctionStage) -> None:
    deployed(stage)
    stage.lambdas.point("mail", "2", weights={"1": 0.1})
    live = function.live(stage.job(), stage.ports)
    assert live is not None
    assert (live.version, live.doubt) == (
        None,
        "its calls go to several versions: 10 % of the calls go to version 1",
    )
    job = stage.another(2)
    assert "10 % of the calls go to version 1 by alias live" in str(stage.preview(job).warnings[0])
    with pytest.raises(NotAgreed):
        stage.applied(job, Report(yes=NOBODY, clock=stage.clock))
    assert stage.writes == []
    job = replace(job, options=function.Options(reset_weights=True))
    stage.applied(job, Report(yes=NOBODY, clock=stage.clock))
    routing = stage.function.aliases["live"]["RoutingConfig"]
    assert routing == {"AdditionalVersionWeights": {}}


def test_nobody_is_asked_twice(stage: FunctionStage) -> None:
    stage.endpoint.fault(MOVE, kind="error", code="PreconditionFailedException", status=412)
    report = stage.applied()
    assert report.of("consent") == ["--adopt"]
    assert stage.look(report).verdict == "succeeded"


# --- what is refused before


def test_a_function_that_does_not_exist_is_missing(stage: FunctionStage) -> None:
    job = stage.job({"function": "other"})
    for ask in (stage.preview, stage.applied, lambda job: function.live(job, stage.ports)):
        with pytest.raises(Missing, match="there is no Lambda function other"):
            ask(job)


@pytest.mark.parametrize(
    ("package", "settings"),
    [("Image", {}), ("Zip", {"source": None, "image": FunctionImage(repository="mail")})],
)
def test_code_of_another_sort_than_the_functions_is_refused(
    aws_endpoint: Endpoint, tmp_path: Path, package: str, settings: dict[str, Any]
) -> None:
    stage = FunctionStage(aws_endpoint, tmp_path, package=package)
    with pytest.raises(Refused, match="which Lambda never changes"):
        stage.preview(stage.job(settings))
    assert stage.writes == []


@pytest.mark.parametrize("policy", ["Enforce", "Warn"])
def test_code_that_has_to_be_signed_is_refused_or_told(
    aws_endpoint: Endpoint, tmp_path: Path, policy: str
) -> None:
    stage = FunctionStage(aws_endpoint, tmp_path, signing=policy)
    if policy == "Enforce":
        with pytest.raises(Refused, match="only takes code that is signed"):
            stage.preview()
    else:
        assert "asks for signed code" in str(stage.preview().warnings[0])


def test_a_handler_that_is_not_in_the_package_is_told(stage: FunctionStage) -> None:
    job = stage.job(options=function.Options(adopt=True))
    stage.function.more = {"Handler": "main.handler"}
    [warning] = stage.preview(job).warnings
    assert warning == "the handler main.handler needs main.py, which is not in the package"
    for there in ({"Layers": [{"Arn": "arn:x"}]}, {"Runtime": "provided.al2023"}):
        stage.function.more = {"Handler": "main.handler", **there}
        assert stage.preview(job).warnings == ()


def test_a_file_that_may_hold_passwords_is_told(stage: FunctionStage) -> None:
    (stage.folder / "mail" / ".env").write_text("PASSWORD=canary")
    warnings = stage.preview(stage.job(options=function.Options(adopt=True))).warnings
    assert warnings == ("the package holds .env, which may be secret",)


def test_a_folder_that_is_not_there_is_refused(stage: FunctionStage) -> None:
    with pytest.raises(Refused, match="the folder gone of mail does not exist"):
        stage.preview(stage.job({"source": "gone"}))


def test_a_folder_that_leads_out_of_the_repository_is_refused(
    stage: FunctionStage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (stage.folder / "out").symlink_to(tmp_path_factory.mktemp("outside"))
    with pytest.raises(FileProblem, match="it is outside of the repository"):
        stage.preview(stage.job({"source": "out"}))


# --- what Lambda says


def test_an_update_that_fails_is_told_at_once_with_its_code_and_reason(
    stage: FunctionStage,
) -> None:
    stage.lambdas.next("mail", looks=3, code="InvalidImage", reason="The layer is gone.")
    report = stage.report()
    with pytest.raises(Refused) as refused:
        stage.applied(report=report)
    assert str(refused.value) == ("Lambda could not update mail: The layer is gone. (InvalidImage)")
    assert (stage.writes, stage.alias) == ([UPDATE], "1")
    assert stage.look(report).state == "absent"
    # the next deploy does not take the failed code for one that is there
    assert (stage.deployed(stage.another(2)).verdict, stage.alias) == ("succeeded", "2")


def test_an_update_in_progress_is_waited_for(stage: FunctionStage) -> None:
    stage.lambdas.next("mail", looks=6)
    stage.endpoint.functions.update_function_code({"FunctionName": "mail", "ZipFile": b"x"})
    assert "is being changed: toolkit will wait for it" in str(stage.preview().warnings[0])
    report = stage.applied()
    assert "waiting for function mail" in report.of("phase")
    assert stage.look(report).verdict == "succeeded"


def test_an_update_that_never_ends_is_refused_at_the_deadline(stage: FunctionStage) -> None:
    stage.lambdas.next("mail", looks=10**6)
    with pytest.raises(Refused, match="function mail is still being changed") as refused:
        stage.applied(stage.job(deadline_s=30))
    assert stage.writes == [UPDATE]
    assert sentence(refused.value.next) == (
        "wait for it: aws lambda wait function-updated-v2 --function-name mail then try again:"
        " toolkit deploy-function mail"
    )


def test_all_waits_of_a_step_share_its_deadline(stage: FunctionStage) -> None:
    stage.lambdas.next("mail", looks=20)
    stage.function.pending = 20
    began = stage.clock.elapsed()
    with pytest.raises(Refused, match="version 2 of mail is still being changed") as refused:
        stage.applied(stage.job(deadline_s=30))
    assert stage.clock.elapsed() - began < 35
    assert stage.alias == "1"
    assert "published-version-active --function-name mail --qualifier 2" in sentence(
        refused.value.next
    )


def test_a_version_is_waited_for_until_it_can_be_called(stage: FunctionStage) -> None:
    stage.function.pending = 3
    report = stage.applied()
    assert any("waiting for version 2" in words for words in report.of("phase"))
    assert stage.look(report).verdict == "succeeded"


def test_a_version_that_cannot_be_called_is_never_live(stage: FunctionStage) -> None:
    def fail(event: tuple[Any, ...]) -> None:
        if event[0] == "phase" and str(event[1]).startswith("waiting for version"):
            stage.function.versions["2"].state = "Failed"

    stage.function.pending = 50
    with pytest.raises(Refused, match="version 2 of mail cannot be called"):
        stage.applied(report=Report(clock=stage.clock, on_event=fail))
    assert stage.alias == "1"


# --- others


def during(intent: str, do: Callable[[], Any]) -> Callable[[tuple[Any, ...]], None]:
    """Something that happens once, right before a call is made."""
    done: list[str] = []

    def on_event(event: tuple[Any, ...]) -> None:
        if event[:2] == ("intend", intent) and not done:
            done.append(intent)
            do()

    return on_event


def die() -> None:
    """The process is killed."""
    raise Crash


def test_a_change_right_before_the_update_is_told_and_the_function_read_again(
    stage: FunctionStage,
) -> None:
    change = during(UPDATE, lambda: stage.lambdas.configure("mail", "more memory"))
    report = Report(clock=stage.clock, on_event=change)
    stage.applied(report=report)
    assert report.of("tell") == ["someone else has changed function mail: reading it again"]
    assert (stage.look(report).verdict, stage.writes) == ("succeeded", [UPDATE, *ALL])
    assert stage.function.versions["2"].settings == "more memory"


def test_somebody_who_changes_the_function_again_and_again_is_given_way(
    stage: FunctionStage,
) -> None:
    stage.endpoint.fault(
        UPDATE, times=None, kind="error", code="PreconditionFailedException", status=412
    )
    with pytest.raises(Refused, match="someone else is changing function mail"):
        stage.applied()
    assert (stage.writes, stage.alias) == ([UPDATE, UPDATE], "1")


def test_other_code_right_before_it_is_published_supersedes_the_deploy(
    stage: FunctionStage,
) -> None:
    change = during(PUBLISH, lambda: stage.lambdas.change("mail", "theirs"))
    with pytest.raises(Superseded, match="someone else has deployed other code to mail"):
        stage.applied(report=Report(clock=stage.clock, on_event=change))
    assert (stage.alias, len(stage.function.versions)) == ("1", 1)


def test_an_update_that_begins_right_before_the_code_is_published_is_waited_for(
    stage: FunctionStage,
) -> None:
    def begin() -> None:
        stage.function.latest.update, stage.function.latest.looks = "InProgress", 2

    report = Report(clock=stage.clock, on_event=during(PUBLISH, begin))
    stage.applied(report=report)
    assert stage.look(report).verdict == "succeeded"
    assert stage.endpoint.calls.applied(PUBLISH) == 1


def test_an_alias_that_somebody_has_moved_in_between_is_left_to_them(
    stage: FunctionStage,
) -> None:
    def move() -> None:
        stage.lambdas.publish("mail")
        stage.lambdas.point("mail", "3")

    report = Report(clock=stage.clock, on_event=during(MOVE, move))
    with pytest.raises(Superseded, match="someone else has deployed mail:3"):
        stage.applied(report=report)
    assert stage.alias == "3"
    assert stage.look(report).verdict == "superseded"


def test_a_function_of_ours_is_not_taken_for_a_strangers_after_a_race(
    stage: FunctionStage,
) -> None:
    """Its version still says whose it is, when somebody has described the alias anew."""
    deployed(stage)
    stage.write("newer")
    change = during(MOVE, lambda: stage.lambdas.point("mail", "2", description="ours"))
    report = Report(clock=stage.clock, on_event=change, yes=NOBODY)
    stage.applied(stage.another(2), report)
    assert (report.of("consent"), stage.alias) == ([], "3")


def test_an_alias_that_somebody_has_only_described_is_moved(stage: FunctionStage) -> None:
    change = during(MOVE, lambda: stage.lambdas.point("mail", "1", description="ours"))
    report = Report(clock=stage.clock, on_event=change)
    stage.applied(report=report)
    assert report.of("tell") == ["someone else has changed alias live: reading it again"]
    assert stage.look(report).verdict == "succeeded"


def test_two_deploys_at_once_leave_one_live_and_the_other_says_so(stage: FunctionStage) -> None:
    """Without a lock, as from two machines without a store."""
    other = stage.another(2)

    def race() -> None:
        (stage.folder / "mail" / "index.py").write_text("theirs = 1\n")
        assert stage.deployed(other).verdict == "succeeded"

    report = Report(clock=stage.clock, on_event=during(MOVE, race))
    with pytest.raises(Superseded):
        stage.applied(report=report)
    live = function.live(other, stage.ports)
    assert live is not None
    assert (live.run, stage.look(report).verdict) == ("r2", "superseded")


def killed_before(stage: FunctionStage, call: str, job: Job) -> Report:
    """A process that was killed right before it made a call."""
    killed = Report(clock=stage.clock, on_event=during(call, die))
    with pytest.raises(Crash):
        stage.applied(job, killed)
    return stage.report(killed.receipt)


@pytest.mark.parametrize("call", ALL)
def test_a_deploy_that_is_resumed_never_replaces_what_somebody_has_deployed_since(
    stage: FunctionStage, call: str
) -> None:
    resumed = killed_before(stage, call, stage.job())
    stage.write("newer")
    assert stage.deployed(stage.another(2)).verdict == "succeeded"
    newer = stage.alias
    stage.write("new")
    assert stage.look(resumed).verdict == "superseded"
    with pytest.raises(Superseded, match=f"someone else has deployed mail:{newer}"):
        stage.applied(report=resumed)  # as if they were done right after the look
    assert stage.alias == newer


def test_a_rollback_that_is_resumed_never_replaces_what_somebody_has_deployed_since(
    stage: FunctionStage,
) -> None:
    deployed(stage)
    resumed = killed_before(stage, MOVE, restored(stage, "1"))
    stage.write("newer")
    assert stage.deployed(stage.another(2)).verdict == "succeeded"
    assert stage.look(resumed).verdict == "superseded"
    with pytest.raises(Superseded):
        stage.applied(restored(stage, "1"), resumed)
    assert stage.alias == "3"


@pytest.mark.parametrize("change", ["moved", "weights", "gone"])
def test_what_somebody_does_afterwards_is_no_success_of_ours(
    stage: FunctionStage, change: str
) -> None:
    report = stage.applied()
    if change == "moved":
        stage.lambdas.point("mail", "1")
    elif change == "weights":
        stage.lambdas.point("mail", "2", weights={"1": 0.5})
    else:
        del stage.function.aliases["live"]
    looked = stage.look(report)
    assert (looked.state, looked.verdict) == ("failed", "superseded")
    assert looked.cause


# --- faults


@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize(
    ("kind", "when"),
    [
        ("throttle", "before"),
        ("reset", "before"),
        ("reset", "after"),
        ("503", "before"),
        ("503", "after"),
    ],
)
def test_a_call_that_goes_wrong_once_has_its_effect_once(
    stage: FunctionStage, call: str, kind: str, when: str
) -> None:
    stage.endpoint.fault(call, kind=kind, when=when)
    report = stage.report()
    try:
        stage.applied(report=report)
    except Exception:
        stage.clock.advance(30)
        stage.applied(report=report)
    assert stage.look(report).verdict == "succeeded"
    assert [stage.endpoint.calls.applied(name) for name in ALL] == [1, 1, 1]


def test_a_throttled_call_is_given_up_after_a_while(stage: FunctionStage) -> None:
    stage.endpoint.fault(UPDATE, times=None, kind="throttle")
    with pytest.raises(Throttled):
        stage.applied()
    assert stage.alias == "1"


def test_a_process_that_dies_at_any_moment_is_gone_on_with_exactly(
    aws_endpoint: Endpoint, tmp_path: Path
) -> None:
    """At each thing that a run is told, and between each call and its answer."""
    number = 0
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        stage = FunctionStage(aws_endpoint, folder)
        if not _survives(stage, number):
            break
        number += 1
    assert number > 10


def _survives(stage: FunctionStage, number: int) -> bool:
    """Kill the process at its `number`th event: whether there were so many."""
    events = 0

    def die(event: tuple[Any, ...]) -> None:
        nonlocal events
        if events == number:
            raise Crash
        events += 1

    report = Report(clock=stage.clock, on_event=die)
    try:
        stage.applied(report=report)
    except Crash:
        pass
    else:
        return False
    # as from the journal: the intents count even where nothing was kept
    later = stage.report(report.receipt)
    if stage.look(later).state == "absent":
        stage.applied(report=later)
    looked = stage.look(later)
    assert (looked.state, looked.verdict) == ("done", "succeeded"), number
    assert [stage.endpoint.calls.applied(name) for name in ALL] == [1, 1, 1], number
    assert stage.alias == "2"
    return True


# --- what the code comes from


def test_a_large_package_goes_through_the_store(
    stage: FunctionStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "MOST_DIRECT", 10)
    with pytest.raises(Refused, match="can be sent without a bucket"):
        stage.preview()
    stage.endpoint.s3.bucket("store")
    location = Location("dev", "eu-west-1", "111111111111", store="s3://store/team")
    job = stage.job(location=location)
    upload = "s3:PutObject"
    assert [call.name for call in stage.preview(job).calls] == [upload, *ALL]
    report = stage.applied(job)
    assert report.prepared == [upload, PUBLISH]
    assert stage.look(report, job).verdict == "succeeded"
    [key] = stage.endpoint.s3.buckets["store"].objects
    assert key.startswith("team/functions/")
    # what is in the store is not put there again
    stage.lambdas.point("mail", "1", description="")
    stage.lambdas.change("mail", "other")
    assert [call.name for call in stage.preview(stage.another(2, location=location)).calls] == ALL


def test_an_object_of_s3_is_deployed_until_it_changes(stage: FunctionStage) -> None:
    stage.endpoint.s3.bucket("code")
    settings = {"source": None, "s3": S3Object(bucket="code", key="mail.zip")}
    with pytest.raises(Missing, match=r"there is no object mail\.zip in bucket code"):
        stage.preview(stage.job(settings))
    stage.endpoint.s3.put("code", "mail.zip", b"one")
    assert stage.deployed(stage.job(settings)).verdict == "succeeded"
    assert stage.deployed(stage.another(2, settings=settings)).verdict == "unchanged"
    stage.endpoint.s3.put("code", "mail.zip", b"two")
    assert stage.deployed(stage.another(3, settings=settings)).verdict == "succeeded"
    assert stage.alias == "3"


def test_an_object_of_s3_with_the_same_code_as_before_is_not_deployed_twice(
    stage: FunctionStage,
) -> None:
    stage.endpoint.s3.bucket("code")
    for number, key in enumerate(["one.zip", "two.zip"], 1):
        stage.endpoint.s3.put("code", key, b"same")
        settings = {"source": None, "s3": S3Object(bucket="code", key=key)}
        assert stage.deployed(stage.another(number, settings=settings)).verdict == "succeeded"
        assert stage.alias == "2"  # Lambda makes no second version of equal code
        assert stage.preview(stage.another(3, settings=settings)).unchanged


def test_other_code_during_the_update_is_never_published_as_the_object_of_s3(
    stage: FunctionStage,
) -> None:
    stage.endpoint.s3.bucket("code")
    stage.endpoint.s3.put("code", "mail.zip", b"ours")
    stage.lambdas.next("mail", looks=1)

    def change(event: tuple[Any, ...]) -> None:
        if event[0] == "wait" and stage.function.latest.update == "InProgress":
            stage.function.latest.update = "Successful"
            stage.lambdas.change("mail", "theirs")

    job = stage.job({"source": None, "s3": S3Object(bucket="code", key="mail.zip")})
    with pytest.raises(Superseded, match="someone else has deployed other code to mail"):
        stage.applied(job, Report(clock=stage.clock, on_event=change))
    assert (stage.alias, len(stage.function.versions)) == ("1", 1)


def test_an_object_of_s3_that_is_replaced_before_the_resume_is_given_to_the_function_again(
    stage: FunctionStage,
) -> None:
    stage.endpoint.s3.bucket("code")
    stage.endpoint.s3.put("code", "mail.zip", b"one")
    job = stage.job({"source": None, "s3": S3Object(bucket="code", key="mail.zip")})
    killed = killed_before(stage, PUBLISH, job)
    stage.endpoint.s3.put("code", "mail.zip", b"two")
    resumed = stage.applied(job, killed)
    assert stage.look(resumed, job).verdict == "succeeded"
    assert stage.function.versions[stage.alias].sha256 == digest_of(b"two")
    assert stage.endpoint.calls.applied(UPDATE) == 2


IMAGE = {"source": None, "image": FunctionImage(repository="mail", context="image")}
PUSH = "ecr:PutImage"


@pytest.fixture
def imaged(
    aws_endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FunctionStage:
    """A function from an image, whose repository is there, and a Dockerfile."""
    monkeypatch.setenv("PATH", "/nonexistent")  # no docker: the builder is toolkit's own
    aws_endpoint.ecr.repository("mail")
    stage = FunctionStage(aws_endpoint, tmp_path, package="Image")
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "Dockerfile").write_text("FROM scratch\nCOPY index.py /\n")
    (tmp_path / "image" / "index.py").write_text("one")
    return stage


def test_an_image_is_built_pushed_and_deployed_by_its_digest(imaged: FunctionStage) -> None:
    job = imaged.job(IMAGE)
    assert [call.name for call in imaged.preview(job).calls] == [PUSH, *ALL]
    report = imaged.applied(job)
    assert report.prepared == [PUSH, PUBLISH]
    assert imaged.look(report, job).verdict == "succeeded"
    [pushed] = imaged.endpoint.ecr.repositories["mail"].images.values()
    assert pushed.tags == [COMMIT]
    [update] = imaged.endpoint.calls.of(UPDATE)
    assert update.params["ImageUri"].endswith(f"/mail@{pushed.digest}")
    assert imaged.preview(imaged.job(IMAGE, run="r2", token="t-2")).unchanged


def test_an_image_that_has_to_be_tested_is_not_built_where_it_cannot_be(
    imaged: FunctionStage,
) -> None:
    tested = {**IMAGE, "container_test": ContainerTest(command=("python", "-c", "import index"))}
    job = imaged.job(tested)
    with pytest.raises(Refused, match="the container test needs docker or podman"):
        imaged.preview(job)
    assert imaged.endpoint.calls.count(PUSH, *ALL, "registry:StartUpload") == 0
    fast = replace(job, options=replace(job.options, fast=True))
    [push] = [call for call in imaged.preview(fast).calls if call.name == PUSH]
    assert push.what["container_test"] == "skipped (--fast)"
    report = imaged.applied(fast)
    assert report.receipt["container_test"] == "skipped (--fast)"
    # what was pushed untested is never taken for tested
    with pytest.raises(Refused, match="was pushed without a container test"):
        imaged.preview(job)
    assert imaged.preview(fast).artifact is None


def test_an_image_is_built_by_a_step_of_its_own(imaged: FunctionStage) -> None:
    job = imaged.job(IMAGE)
    artifact = imaged.preview(job).artifact
    assert artifact is not None
    assert (artifact.what, artifact.name, [call.name for call in artifact.calls]) == (
        "image",
        COMMIT,
        [PUSH],
    )
    other = imaged.another(2, settings=IMAGE)
    assert imaged.preview(replace(job, run="r2")).artifact == artifact
    assert imaged.preview(other).artifact != artifact
    step, report = replace(job, action=JobAction.BUILD), imaged.report()
    assert function.built(step, {}, imaged.ports).state == "absent"
    function.build(step, imaged.ports, report)
    assert (report.prepared, imaged.alias) == ([PUSH], "1")
    assert function.built(step, report.receipt, imaged.ports).state == "done"
    function.build(step, imaged.ports, report)
    assert report.prepared == [PUSH]
    assert imaged.preview(job).artifact is None
    assert imaged.deployed(job).verdict == "succeeded"


def test_an_image_that_is_there_is_not_built_again(imaged: FunctionStage) -> None:
    imaged.applied(imaged.job(IMAGE))
    imaged.lambdas.point("mail", "1", description="")
    (imaged.folder / "image" / "Dockerfile").unlink()
    again = imaged.job(IMAGE, run="r2", token="t-2")
    (imaged.folder / "image" / "Dockerfile").write_text("FROM scratch\n")
    assert [call.name for call in imaged.preview(again).calls] == ALL
    imaged.endpoint.calls.clear()
    assert imaged.deployed(again).verdict == "succeeded"
    assert PUSH not in imaged.writes


def test_an_image_that_was_built_in_another_way_is_refused(imaged: FunctionStage) -> None:
    imaged.applied(imaged.job(IMAGE))
    other = FunctionImage(repository="mail", context="image", args={"A": "1"})
    with pytest.raises(Refused, match="was built in another way"):
        imaged.preview(imaged.job({"source": None, "image": other}))


def test_an_image_that_somebody_else_has_pushed_meanwhile_is_used_if_it_was_built_alike(
    imaged: FunctionStage,
) -> None:
    imaged.endpoint.ecr.repository("mail", immutable=True)

    def push() -> None:
        other = replace(imaged.ports, shared=SharedWork())
        function.build(imaged.job(IMAGE), other, imaged.report())

    report = Report(clock=imaged.clock, on_event=during(PUSH, push))
    imaged.applied(imaged.job(IMAGE), report)
    [pushed] = imaged.endpoint.ecr.repositories["mail"].images.values()
    [update] = imaged.endpoint.calls.of(UPDATE)
    assert update.params["ImageUri"].endswith(f"/mail@{pushed.digest}")


def test_another_image_that_somebody_else_has_pushed_meanwhile_is_not_used(
    imaged: FunctionStage,
) -> None:
    imaged.endpoint.ecr.repository("mail", immutable=True)

    def push() -> None:
        (imaged.folder / "image" / "index.py").write_text("theirs")
        other = replace(imaged.ports, shared=SharedWork())
        function.build(imaged.job(IMAGE), other, imaged.report())
        (imaged.folder / "image" / "index.py").write_text("one")

    with pytest.raises(TagTaken):
        imaged.applied(imaged.job(IMAGE), Report(clock=imaged.clock, on_event=during(PUSH, push)))
    assert imaged.alias == "1"


def built_for(stage: FunctionStage) -> str:
    """The processor in the only image of the repository."""
    repository = stage.endpoint.ecr.repositories["mail"]
    [pushed] = repository.images.values()
    manifest = json.loads(pushed.manifest)
    return str(json.loads(repository.blobs[manifest["config"]["digest"]])["architecture"])


@pytest.mark.parametrize(("architecture", "built"), [("x86_64", "amd64"), ("arm64", "arm64")])
def test_an_image_is_built_for_the_processor_of_its_function(
    imaged: FunctionStage, architecture: str, built: str
) -> None:
    imaged.function.more = {"Architectures": [architecture]}
    assert imaged.deployed(imaged.job(IMAGE)).verdict == "succeeded"
    assert built_for(imaged) == built


@pytest.mark.parametrize(
    ("architectures", "platform", "words"),
    [
        ([], None, "a processor that Lambda does not name, so what to build for is unknown"),
        (["arm64"], "linux/amd64", "for linux/amd64, but function mail runs on linux/arm64"),
        (["x86_64"], "linux/arm64/v8", "for linux/arm64/v8, but function mail runs on linux/amd64"),
    ],
)
def test_an_image_that_would_not_run_or_may_not_is_refused_before(
    imaged: FunctionStage, architectures: list[str], platform: str | None, words: str
) -> None:
    imaged.function.more = {"Architectures": architectures}
    asked = FunctionImage(repository="mail", context="image", platform=platform)
    job = imaged.job({"source": None, "image": asked})
    for act in (imaged.preview, imaged.applied):
        with pytest.raises(Refused, match=words) as refused:
            act(job)
        assert "set `platform" in str(refused.value.next)
    with pytest.raises(Refused, match=words):
        function.build(job, imaged.ports, imaged.report())
    assert imaged.writes == []


def test_a_processor_that_toolkit_does_not_know_is_refused(imaged: FunctionStage) -> None:
    known = functions.function(imaged.ports.clouds(None, None), "mail")
    assert known is not None
    with pytest.raises(Refused, match="runs on the processor riscv, so what to build for is un"):
        image.existing_image(imaged.job(IMAGE), imaged.ports, replace(known, architecture="riscv"))


def test_a_processor_that_only_the_rules_know_is_built_for(imaged: FunctionStage) -> None:
    imaged.function.more = {"Architectures": []}
    asked = FunctionImage(repository="mail", context="image", platform="linux/arm64")
    imaged.applied(imaged.job({"source": None, "image": asked}))
    assert built_for(imaged) == "arm64"


def test_a_processor_that_changes_after_the_build_is_told(imaged: FunctionStage) -> None:
    job = imaged.job(IMAGE)
    function.build(job, imaged.ports, imaged.report())
    imaged.function.more = {"Architectures": ["arm64"]}
    with pytest.raises(Refused, match=r"built in another way .*for another processor"):
        imaged.applied(job)
    assert imaged.alias == "1"


def test_a_dockerfile_that_cannot_be_built_here_is_refused_before(imaged: FunctionStage) -> None:
    (imaged.folder / "image" / "Dockerfile").write_text("FROM scratch\nRUN make\n")
    with pytest.raises(Refused, match="RUN"):
        imaged.preview(imaged.job(IMAGE))


def test_a_repository_that_is_not_there_is_missing(imaged: FunctionStage) -> None:
    other = FunctionImage(repository="gone", context="image")
    with pytest.raises(Missing, match="gone"):
        imaged.preview(imaged.job({"source": None, "image": other}))


BUILD = """#!/bin/sh
set -eu
mkdir -p dist
printf 'def handler(event, context):\\n    return "%s"\\n' "${TEAM_ANSWER:-none}" >dist/index.py
echo "built with ${TEAM_ANSWER:-none} and ${OTHER:-nothing}"
exit "${TEAM_CODE:-0}"
"""


@pytest.fixture
def built(stage: FunctionStage, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of a function whose files a script makes."""
    (stage.folder / "build.sh").write_text(BUILD)
    (stage.folder / "build.sh").chmod(0o755)
    monkeypatch.setenv("TEAM_ANSWER", "canary")
    monkeypatch.setenv("OTHER", "secret")
    build = FunctionBuild(command=("./build.sh",), output="dist", pass_env=("TEAM_*",))
    return {"source": None, "build": build}


def test_a_build_command_gets_the_variables_that_are_passed_and_no_others(
    stage: FunctionStage, built: dict[str, Any]
) -> None:
    job = stage.job(built)
    assert [call.name for call in stage.preview(job).calls] == ALL
    assert not (stage.folder / "dist").exists()
    report = stage.applied(job)
    assert "canary" in (stage.folder / "dist" / "index.py").read_text()
    assert report.of("log") == ["built with {TEAM_ANSWER} and nothing"]
    assert stage.look(report, job).verdict == "succeeded"


def test_a_build_of_the_same_commit_and_settings_is_not_run_again(
    stage: FunctionStage, built: dict[str, Any]
) -> None:
    assert stage.deployed(stage.job(built)).verdict == "succeeded"
    (stage.folder / "build.sh").unlink()
    again = stage.job(built, run="r2", token="t-2")
    assert stage.preview(again).unchanged
    assert stage.deployed(again).verdict == "unchanged"


def test_a_build_of_another_commit_with_the_same_result_is_unchanged(
    stage: FunctionStage, built: dict[str, Any]
) -> None:
    assert stage.deployed(stage.job(built)).verdict == "succeeded"
    stage.endpoint.calls.clear()
    assert stage.deployed(stage.another(2, settings=built)).verdict == "unchanged"
    assert stage.writes == []


def test_a_build_that_fails_changes_nothing_and_hides_what_was_passed(
    stage: FunctionStage, built: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_CODE", "3")
    with pytest.raises(ProgramFailed) as failed:
        stage.applied(stage.job(built))
    assert "exit code 3" in str(failed.value)
    assert "canary" not in str(failed.value)
    assert stage.writes == []


def test_a_build_that_never_ends_is_stopped_at_the_deadline(
    stage: FunctionStage, built: dict[str, Any]
) -> None:
    (stage.folder / "build.sh").write_text("#!/bin/sh\nexec sleep 60\n")
    elapsed = iter(range(0, 10**6, 60))
    stage.clock.elapsed = lambda: float(next(elapsed))  # type: ignore[method-assign]
    with pytest.raises(ProgramFailed, match="did not end before its deadline"):
        stage.applied(stage.job(built, deadline_s=100))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-program", "there is no program no-such-program on PATH"),
        ("./gone.sh", r"there is no program \./gone\.sh"),
        ("../outside.sh", "leads out of the repository"),
    ],
)
def test_a_program_that_cannot_be_started_is_refused(
    stage: FunctionStage, built: dict[str, Any], command: str, words: str
) -> None:
    built["build"] = replace(built["build"], command=(command,))
    for act in (stage.preview, stage.applied):
        with pytest.raises(Refused, match=words):
            act(stage.job(built))
    assert stage.writes == []


def test_a_program_that_is_not_executable_is_refused(
    stage: FunctionStage, built: dict[str, Any]
) -> None:
    os.chmod(stage.folder / "build.sh", 0o644)
    with pytest.raises(Refused, match=r"\./build\.sh could not be started"):
        stage.applied(stage.job(built))


# --- rollback


def restored(stage: FunctionStage, number: str, **fields: Any) -> Any:
    sha256 = stage.function.versions[number].sha256 if number in stage.function.versions else "x"
    restore = FunctionRestore(function_version=number, function_sha256=sha256)
    return stage.job(
        action=JobAction.ROLLBACK, restore=restore, run="back", token="t-back", **fields
    )


def test_a_rollback_only_moves_the_alias(stage: FunctionStage) -> None:
    deployed(stage)
    job = restored(stage, "1")
    (stage.folder / "mail" / "index.py").unlink()
    assert [call.name for call in stage.preview(job).calls] == [MOVE]
    looked = stage.deployed(job)
    assert (looked.verdict, stage.writes, stage.alias) == ("succeeded", [MOVE], "1")
    assert looked.live is not None
    assert looked.live.run == "back"
    assert stage.preview(restored(stage, "1")).unchanged


def test_a_deploy_after_a_rollback_is_a_deploy(stage: FunctionStage) -> None:
    deployed(stage)
    stage.deployed(restored(stage, "1"))
    assert not stage.preview(stage.another(2)).unchanged
    assert (stage.deployed(stage.another(2)).verdict, stage.alias) == ("succeeded", "2")


def test_a_rollback_to_a_version_that_is_gone_is_refused(stage: FunctionStage) -> None:
    deployed(stage)
    details = [{"alias version": number, "sha256": "x"} for number in ("2", "9")]
    details.append({"alias version": "1", "sha256": stage.function.versions["1"].sha256})
    assert function.restorable(stage.job(), details, stage.ports) == (False, False, True)
    for job in (restored(stage, "9"), replace(restored(stage, "1"), restore=FunctionRestore())):
        with pytest.raises(Refused):
            stage.preview(job)
        with pytest.raises(Refused):
            stage.applied(job)
    other = FunctionRestore(function_version="1", function_sha256="other")
    with pytest.raises(Refused, match="version 1 of mail no longer exists"):
        stage.preview(replace(restored(stage, "1"), restore=other))
    assert (stage.writes, stage.alias) == ([], "2")


def test_a_rollback_without_the_alias_is_refused(stage: FunctionStage) -> None:
    deployed(stage)
    del stage.function.aliases["live"]
    with pytest.raises(Refused, match="has no alias live"):
        stage.preview(restored(stage, "1"))
    with pytest.raises(Refused):
        stage.applied(restored(stage, "1"))
    assert stage.writes == []


def test_what_cannot_be_read_is_not_known_to_be_restorable(stage: FunctionStage) -> None:
    deployed(stage)
    stage.endpoint.fault("lambda:ListVersionsByFunction", times=None, kind="denied")
    assert function.restorable(stage.job(), [{"alias version": "1"}], stage.ports) == (None,)


def test_a_version_that_sleeps_is_told_before_it_is_put_back(stage: FunctionStage) -> None:
    deployed(stage)
    stage.function.versions["1"].state = "Inactive"
    assert "its first calls fail" in str(stage.preview(restored(stage, "1")).warnings[0])


FAILED = {
    "state": {"State": "Failed", "StateReason": "Gone.", "StateReasonCode": "ImageDeleted"},
    "update": {
        "LastUpdateStatus": "Failed",
        "LastUpdateStatusReason": "Gone.",
        "LastUpdateStatusReasonCode": "ImageDeleted",
    },
}


@pytest.mark.parametrize("what", FAILED)
def test_a_version_that_has_failed_is_never_put_back(stage: FunctionStage, what: str) -> None:
    deployed(stage)
    stage.function.versions["1"].more = FAILED[what]
    for act in (stage.preview, stage.applied):
        with pytest.raises(Refused, match=r"version 1 of mail c.*: Gone\. \(ImageDeleted\)") as why:
            act(restored(stage, "1"))
        assert sentence(why.value.next) == "list the others: toolkit rollback mail --list"
    assert (stage.writes, stage.alias) == ([], "2")


def test_a_version_that_fails_while_it_is_put_back_is_never_live(stage: FunctionStage) -> None:
    deployed(stage)
    version = stage.function.versions["1"]
    version.state, version.looks = "Pending", 50

    def fail(event: tuple[Any, ...]) -> None:
        if event[0] == "wait":
            version.state = "Failed"

    with pytest.raises(Refused, match="version 1 of mail cannot be called"):
        stage.applied(restored(stage, "1"), Report(clock=stage.clock, on_event=fail))
    assert (stage.writes, stage.alias) == ([], "2")


def test_a_version_that_is_still_being_made_is_waited_for_before_it_is_put_back(
    stage: FunctionStage,
) -> None:
    deployed(stage)
    version = stage.function.versions["1"]
    version.state, version.looks = "Pending", 3
    assert (stage.deployed(restored(stage, "1")).verdict, stage.alias) == ("succeeded", "1")
    assert version.state == "Active"


@pytest.mark.parametrize("what", FAILED)
def test_a_version_of_ours_that_has_failed_since_is_no_success(
    stage: FunctionStage, what: str
) -> None:
    report = stage.applied()
    stage.function.versions["2"].more = FAILED[what]
    looked = stage.look(report)
    assert (looked.verdict, "Gone. (ImageDeleted)" in looked.cause) == ("failed", True)


def test_a_rollback_that_dies_is_gone_on_with(stage: FunctionStage) -> None:
    deployed(stage)
    stage.endpoint.fault(MOVE, kind="reset", when="after")
    job, report = restored(stage, "1"), stage.report()
    stage.applied(job, report)
    assert stage.look(report, job).verdict == "succeeded"
    assert stage.endpoint.calls.applied(MOVE) == 1


def test_the_size_of_the_package_is_told_with_its_growth(stage: FunctionStage) -> None:
    first = stage.deployed().size
    assert first is not None
    assert (first.what, first.growth, first.before) == ("package", None, None)
    stage.write("much longer than before, and so the package is larger, too")
    second = stage.deployed(stage.another(2)).size
    assert second is not None
    assert second.before == first.bytes
    assert second.growth is not None
    assert second.growth > 0
