"""What AWS does that no emulator does: stale answers, lost ones, throttling, and every state that a
stack can be in.
"""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint
from tests.support.moment import at_one_moment
from tests.support.report import Crash, Report, lines
from tests.support.stacks import Stacks, parameter, queue, template
from toolkit.errors import CloudError, NotAllowed, Refused, Throttled, Unreachable
from toolkit.operations import Finding, Observation, StepState
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws.client import Aws
from toolkit.show.advice import sentence
from toolkit.targets.stack import live_functions, stack_status
from toolkit.targets.stack.kind import kind
from toolkit.targets.stack.options import StackOptions

PLAIN = ["cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet"]
REMOVED = ["cloudformation:CreateChangeSet", "cloudformation:DeleteChangeSet"]
NEW = template({"Service": {"Type": "AWS::ECS::Service", "Properties": {"DesiredCount": 2}}})

STATES = (
    "CREATE_IN_PROGRESS",
    "CREATE_FAILED",
    "CREATE_COMPLETE",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_FAILED",
    "ROLLBACK_COMPLETE",
    "DELETE_IN_PROGRESS",
    "DELETE_FAILED",
    "UPDATE_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_COMPLETE",
    "UPDATE_FAILED",
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
    "REVIEW_IN_PROGRESS",
    "IMPORT_IN_PROGRESS",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_IN_PROGRESS",
    "IMPORT_ROLLBACK_FAILED",
    "IMPORT_ROLLBACK_COMPLETE",
)
HOPELESS = ("DELETE_FAILED", "IMPORT_ROLLBACK_FAILED")


@pytest.fixture
def stacks(aws_endpoint: Endpoint, tmp_path: Path) -> Stacks:
    folder = tmp_path / "repo"
    folder.mkdir()
    created = Stacks(folder, Aws(None, "eu-west-1"))
    created.write(NEW)
    return created


# --- states


@pytest.mark.parametrize("status", STATES)
def test_every_state_of_a_stack_is_answered(
    stacks: Stacks, aws_endpoint: Endpoint, status: str
) -> None:
    aws_endpoint.cloudformation.stack("Shop", status, {"Service": "AWS::ECS::Service"})
    job = stacks.job()
    if status in HOPELESS:
        for ask in (stacks.preview, stacks.apply):
            with pytest.raises(Refused) as refused:
                ask(job)
            assert sentence(refused.value.next).startswith(
                ("delete it for good first: aws ", "see `aws ")
            )
        assert not aws_endpoint.calls.count("CreateChangeSet")
        return
    preview = stacks.preview(job)
    names = [call.name for call in preview.calls]
    if status.endswith("IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        assert preview.warnings == (f"another operation runs on it: waiting for {status} to end",)
        with pytest.raises(Refused, match="was not ready within"):
            stacks.apply(replace(job, deadline_s=0))
        assert not aws_endpoint.calls.count("CreateChangeSet")
    elif status in stack_status.RECOVERIES:
        mend = stack_status.RECOVERIES[status]
        assert names == [mend.call, *PLAIN]
        assert any(mend.flag in line for line in map(sentence, preview.warnings))
        report = stacks.apply(
            stacks.job(token=job.token, options=StackOptions(**{mend.consent: True})),
            Report(yes=frozenset()),
        )
        assert report.intents == names
        assert stacks.follow(job, report)[0].verdict == "succeeded"
    else:
        assert preview.warnings == ()
        report = stacks.apply(job)
        assert report.intents == names == PLAIN
        assert stacks.follow(job, report)[0].verdict == "succeeded"


def test_the_types_of_change_sets_follow_the_states(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    for name, status, expected in (
        ("A", "REVIEW_IN_PROGRESS", "CREATE"),
        ("B", "UPDATE_ROLLBACK_COMPLETE", "UPDATE"),
        ("C", "", "CREATE"),
    ):
        stacks.name = name
        if status:
            aws_endpoint.cloudformation.stack(name, status)
        stacks.apply(stacks.job())
        call = aws_endpoint.calls.of("CreateChangeSet")[-1].params
        assert (call["StackName"], call["ChangeSetType"], call["IncludeNestedStacks"]) == (
            name,
            expected,
            True,
        )


def test_a_stack_that_is_stuck_again_after_it_was_mended_is_left_to_a_person(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.stack(
        "Shop", "UPDATE_ROLLBACK_FAILED", {"Service": "AWS::ECS::Service"}
    )
    aws_endpoint.cloudformation.next("rollback_failed", failing="Service")
    with pytest.raises(Refused, match="the rollback of Shop is stuck"):
        stacks.apply(stacks.job())
    assert aws_endpoint.calls.count("ContinueUpdateRollback") == 1


# --- change sets


@pytest.mark.parametrize("plan", ["no_changes", "no_updates"])
@pytest.mark.parametrize("answer", [True, False])
def test_a_change_set_without_changes_is_unchanged_and_taken_away(
    stacks: Stacks, aws_endpoint: Endpoint, plan: str, answer: bool
) -> None:
    cloud = aws_endpoint.cloudformation
    if answer:
        cloud.stack("Shop", "UPDATE_COMPLETE")
    cloud.next_change_set(plan, looks=2)
    job = stacks.job()
    report = stacks.apply(job)
    assert stacks.follow(job, report)[0].verdict == "unchanged"
    assert report.intents == REMOVED + ([] if answer else ["cloudformation:DeleteStack"])
    assert ("Shop" in cloud.stacks) is answer
    assert not answer or not cloud.stacks["Shop"].change_sets


def test_early_validation_is_told_with_the_place_in_the_template(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    cloud = aws_endpoint.cloudformation
    cloud.stack("Shop", "UPDATE_COMPLETE")
    cloud.next_change_set(
        "early_validation",
        validations=[
            {},
            {"ValidationPath": "/Resources/B", "ValidationStatusReason": "no such thing"},
        ],
    )
    report = Report()
    with pytest.raises(
        CloudError,
        match=r"/Resources/Service/Properties/Imagee: extraneous key \[Imagee\] is not permitted",
    ):
        stacks.apply(stacks.job(), report)
    assert report.of("tell") == ["/Resources/B: no such thing"]
    assert report.intents == REMOVED


def test_what_a_hook_says_is_told_whatever_the_reason_of_the_change_set_is(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    cloud = aws_endpoint.cloudformation
    cloud.stack("Shop", "UPDATE_COMPLETE")
    hook = {
        "EventType": "HOOK_INVOCATION_ERROR",
        "ValidationName": None,
        "ValidationStatusReason": None,
        "ValidationPath": None,
        "HookType": "Org::Guard::Hook",
        "HookStatusReason": "buckets  have to be encrypted",
        "LogicalResourceId": "Uploads",
    }
    reason = "The following hook(s) failed: [Org::Guard::Hook]."
    cloud.next_change_set("failed", reason=reason, validations=[hook, hook])
    report = Report()
    with pytest.raises(CloudError, match="Uploads: Org::Guard::Hook: buckets have to be encrypted"):
        stacks.apply(stacks.job(), report)
    assert report.of("tell") == []


def test_a_change_set_whose_events_may_not_be_read_says_its_own_reason(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.next_change_set("early_validation")
    aws_endpoint.fault("DescribeEvents", times=None, kind="denied")
    report = Report()
    with pytest.raises(CloudError, match="AWS::EarlyValidation::PropertyValidation"):
        stacks.apply(stacks.job(), report)
    [told] = report.of("tell")
    assert told.startswith("its events could not be read: these credentials are not allowed")


def test_a_change_set_that_fails_says_why_and_leaves_no_empty_stack(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.next_change_set("failed")
    with pytest.raises(CloudError, match="Invalid Serverless Application Specification"):
        stacks.apply(stacks.job())
    assert not aws_endpoint.cloudformation.stacks


def test_changes_that_the_answer_with_values_leaves_out_are_shown(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    cloud = aws_endpoint.cloudformation
    cloud.stack("Shop", "UPDATE_COMPLETE")
    actual = [cloud.change("Service"), cloud.change("Old", "AWS::SNS::Topic", "Remove")]
    cloud.next_change_set("warn", actual)

    whole: list[Any] = []
    real = type(cloud).describe_change_set

    def short(params: dict[str, Any]) -> dict[str, Any]:
        answer = real(cloud, params)
        whole.append(answer["Changes"])
        return (
            {**answer, "Changes": answer["Changes"][:1]}
            if params.get("IncludePropertyValues")
            else answer
        )

    aws_endpoint.on("cloudformation", "DescribeChangeSet", short)
    with pytest.raises(Refused) as refused:
        stacks.apply(stacks.job(), Report(yes=frozenset()))
    assert sentence(refused.value.next) == "add --allow-delete"
    assert whole


def test_all_pages_of_changes_are_looked_at(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    cloud = aws_endpoint.cloudformation
    cloud.stack("Shop", "UPDATE_COMPLETE")
    many = [cloud.change(f"Topic{number}", "AWS::SNS::Topic", "Add") for number in range(250)]
    cloud.next_change_set("complete", [*many, cloud.change("Last", "AWS::SNS::Topic", "Remove")])
    report = Report()
    stacks.apply(stacks.job(), report)
    assert report.of("tell")[0] == "DELETES      Last  AWS::SNS::Topic"
    assert report.receipt["resources"] == 251
    assert report.of("consent") == ["--allow-delete"]


def test_a_change_set_that_became_obsolete_is_made_and_shown_once_more(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    cloud = aws_endpoint.cloudformation
    cloud.stack("Shop", "UPDATE_COMPLETE")

    def meanwhile(event: tuple[Any, ...]) -> None:
        sets = cloud.stacks["Shop"].change_sets
        if event[:2] == ("phase", "waiting for confirmation") and len(sets) == 1:
            next(iter(sets.values())).execution = "OBSOLETE"

    job = stacks.job()
    report = stacks.apply(job, Report(on_event=meanwhile))
    assert report.intents == PLAIN * 2
    assert list(cloud.stacks["Shop"].change_sets) == [f"tk-{job.token}", f"tk-{job.token}-2"]
    assert stacks.follow(job, report)[0].verdict == "succeeded"


def test_nothing_is_put_into_a_bucket_of_somebody_else(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    stacks.write(template({"Flag": parameter("/a")}, Metadata={"long": "x" * 52_000}))
    aws_endpoint.s3.bucket("store", owner="222222222222")
    for ask in (stacks.preview, stacks.apply):
        with pytest.raises(NotAllowed):
            ask(stacks.job(store="s3://store"))
    aws_endpoint.s3.bucket("ours")
    stacks.apply(stacks.job(store="s3://ours"))
    calls = aws_endpoint.calls.of("s3:*")
    assert [call.operation for call in calls] == [
        "HeadObject",
        "HeadObject",
        "HeadObject",
        "PutObject",
    ]
    assert {call.params["ExpectedBucketOwner"] for call in calls} == {"111111111111"}


# --- how it ends


def test_a_stale_description_is_not_taken_for_the_end_nor_for_the_outputs(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.next(
        "success", stale=4, looks=1, outputs={"Url": "new", "Secret": "s"}
    )
    job = stacks.job(outputs=("Url",))
    observed, looks = stacks.follow(job, stacks.apply(job))
    assert (observed.verdict, observed.outputs) == ("succeeded", {"Url": "new"})
    assert [look.phase for look in looks if look.phase == "reading the outputs"]


def test_progress_is_told_in_words_and_every_event_once(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.next("success", looks=1)
    job = stacks.job()
    observed, looks = stacks.follow(job, stacks.apply(job))
    assert "0 of 1 resources, waiting for Service" in [look.phase for look in looks]
    assert lines(looks) == [
        "AWS::CloudFormation::Stack Shop CREATE_IN_PROGRESS",
        "AWS::ECS::Service Service CREATE_IN_PROGRESS",
        "AWS::ECS::Service Service CREATE_COMPLETE",
        "AWS::CloudFormation::Stack Shop CREATE_COMPLETE",
    ]
    assert observed.state == "done"


@pytest.mark.parametrize(
    ("course", "verdict", "flag"),
    [
        ("rollback", "rolled-back", ""),
        ("rollback_failed", "failed", " --continue-rollback"),
        ("failed", "failed", " --continue-rollback"),
    ],
)
def test_a_failure_is_told_at_once_with_its_first_real_cause(
    stacks: Stacks, aws_endpoint: Endpoint, course: str, verdict: str, flag: str
) -> None:
    aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE", {"Service": "AWS::ECS::Service"})
    aws_endpoint.cloudformation.next(
        course, failing="Service", reason="Resource of type X already exists", looks=1
    )
    job = stacks.job()
    observed, looks = stacks.follow(job, stacks.apply(job))
    cause = "Service (AWS::ECS::Service): Resource of type X already exists"
    assert (observed.state, observed.verdict, observed.cause, sentence(observed.next)) == (
        "failed",
        verdict,
        cause,
        f"fix what failed, then: toolkit deploy-stack shop{flag}",
    )
    if course != "failed":
        assert cause in [look.cause for look in looks if look.state == "running"]
        assert any(look.phase.startswith("rolling back: ") for look in looks)


IN_USE = "Export infra:TopicArn cannot be deleted as it is in use by mail, Jobs-prod and web"
NO_EXPORT = "No export named Network:ExportsOutputRefVpc found. Rollback requested by user."


@pytest.mark.parametrize(
    ("reason", "next_"),
    [
        (
            IN_USE,
            (
                "first deploy what uses infra:TopicArn, without that import: toolkit deploy-stack"
                " mail; toolkit deploy-stack Jobs-prod; toolkit deploy-stack web; then: toolkit"
                " deploy-stack shop"
            ),
        ),
        (
            "Cannot delete export infra:TopicArn as it is in use by mail.",
            (
                "first deploy what uses infra:TopicArn, without that import: toolkit deploy-stack"
                " mail; then: toolkit deploy-stack shop"
            ),
        ),
        (
            NO_EXPORT,
            (
                "first deploy what exports it: toolkit deploy-stack Network; then: toolkit"
                " deploy-stack shop"
            ),
        ),
        (
            "No export named topic-arn found",
            "first deploy the stack that exports topic-arn; then: toolkit deploy-stack shop",
        ),
        (
            "No export named $(x):y found",
            "first deploy the stack that exports $(x):y; then: toolkit deploy-stack shop",
        ),
        (
            "Template error: instance of Fn::GetAtt references undefined resource",
            "fix what failed, then: toolkit deploy-stack shop",
        ),
    ],
)
def test_a_reason_that_only_the_stack_itself_has_is_the_cause_and_its_remedy_is_next(
    stacks: Stacks, aws_endpoint: Endpoint, reason: str, next_: str
) -> None:
    aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE", {"Service": "AWS::ECS::Service"})
    aws_endpoint.cloudformation.next("rollback", own=reason, looks=1)
    job = stacks.job()
    observed, looks = stacks.follow(job, stacks.apply(job))
    assert (observed.verdict, observed.cause, sentence(observed.next)) == (
        "rolled-back",
        reason,
        next_,
    )
    assert reason in [
        look.cause for look in looks if look.state == "running"
    ]  # told at once, while it is rolled back
    rolling_back = f"UPDATE_ROLLBACK_IN_PROGRESS: {reason}"
    assert any(line.endswith(rolling_back) for line in lines(looks))
    finding = health(stacks)
    assert (finding.cause, sentence(finding.next)) == (
        f"its last update was rolled back: {reason}",
        next_,
    )


def test_a_creation_that_lacks_an_export_is_made_again_after_what_exports_it(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.next("rollback", own=NO_EXPORT)
    job = stacks.job()
    observed, _ = stacks.follow(job, stacks.apply(job))
    assert (
        sentence(observed.next)
        == "first deploy what exports it: toolkit deploy-stack Network; then: toolkit deploy-stack"
        " shop --recreate"
    )


def test_a_failed_resource_comes_before_what_the_stack_says_of_it(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    cloud = aws_endpoint.cloudformation
    cloud.stack("Shop", "UPDATE_COMPLETE", {"Service": "AWS::ECS::Service"})
    cloud.next("never")
    job = stacks.job()
    report = stacks.apply(job)
    shop = cloud.stacks["Shop"]
    cloud.event(shop, "Queue", "AWS::SQS::Queue", "UPDATE_FAILED", "Access denied", "q")
    cloud.event(
        shop, "Shop", "AWS::CloudFormation::Stack", "UPDATE_ROLLBACK_IN_PROGRESS", IN_USE, shop.arn
    )
    cloud.event(
        shop, "Shop", "AWS::CloudFormation::Stack", "UPDATE_ROLLBACK_COMPLETE", "", shop.arn
    )
    observation = stacks.observe(job, report)
    assert (observation.cause, sentence(observation.next)) == (
        "Queue (AWS::SQS::Queue): Access denied",
        "fix what failed, then: toolkit deploy-stack shop",
    )


def test_a_rollback_that_somebody_asked_for_is_told_as_that(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE", {"Service": "AWS::ECS::Service"})
    aws_endpoint.cloudformation.next("rollback", own="User Initiated")
    job = stacks.job()
    observed, _ = stacks.follow(job, stacks.apply(job))
    assert (observed.verdict, observed.cause) == ("rolled-back", "User Initiated")


def health(stacks: Stacks) -> Finding:
    """What `health` says of the stack."""
    findings: list[Finding] = []
    kind.health(stacks.job(), stacks.ports, findings.append)
    return next(sign for sign in findings if sign.what == "stack")


def test_what_was_only_cancelled_is_no_cause(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    cloud = aws_endpoint.cloudformation
    cloud.next("never")
    job = stacks.job()
    report = stacks.apply(job)
    shop = cloud.stacks["Shop"]
    cloud.event(
        shop, "Topic", "AWS::SNS::Topic", "CREATE_FAILED", "Resource creation cancelled", "t"
    )
    observation = stacks.observe(job, report)
    assert (observation.state, observation.cause) == ("running", "")
    cloud.event(
        shop,
        "Queue",
        "AWS::SQS::Queue",
        "CREATE_FAILED",
        "Access denied for operation\n  'sqs:CreateQueue'",
        "q",
    )
    observation = stacks.observe(job, report, observation)
    assert (observation.state, observation.cause) == (
        "running",
        "Queue (AWS::SQS::Queue): Access denied for operation 'sqs:CreateQueue'",
    )
    cloud.event(shop, "Later", "AWS::SQS::Queue", "CREATE_FAILED", "something else", "l")
    assert stacks.observe(job, report, observation).cause == observation.cause


def test_a_look_after_a_crash_reads_no_more_than_its_own_operation(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    cloud = aws_endpoint.cloudformation
    shop = cloud.stack("Shop", "UPDATE_COMPLETE")
    for number in range(1000):
        cloud.event(shop, f"Old{number}", "AWS::SNS::Topic", "UPDATE_COMPLETE", "", "x")
    aws_endpoint.clock.advance(3600)
    job = stacks.job()
    report = stacks.apply(job)
    aws_endpoint.calls.clear()
    assert stacks.follow(job, Report(report.receipt))[0].verdict == "succeeded"
    shop.events = [event for event in shop.events if event.get("ClientRequestToken") != job.token]
    assert (
        stacks.observe(job, Report(report.receipt)).phase == "waiting for CloudFormation to begin"
    )
    assert aws_endpoint.calls.count("DescribeStackEvents") <= 4


def test_the_cause_inside_of_a_nested_stack_is_found(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    cloud = aws_endpoint.cloudformation
    cloud.next_change_set("complete", [cloud.change("Nest", "AWS::CloudFormation::Stack", "Add")])
    cloud.next("rollback", failing="Nest", nested="Broker", reason="quota exceeded")
    job = stacks.job()
    observed, looks = stacks.follow(job, stacks.apply(job))
    assert observed.cause == "Broker (AWS::ECS::Service): quota exceeded"
    assert "AWS::ECS::Service Broker CREATE_FAILED: quota exceeded" in lines(looks)


def test_a_cleanup_after_an_update_is_its_success(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE")
    aws_endpoint.cloudformation.next("success", looks=3)
    job = stacks.job()
    observed, _ = stacks.follow(job, stacks.apply(job))
    assert (observed.verdict, observed.phase) == (
        "succeeded",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    )


# --- a bad line


@pytest.mark.parametrize("operation", ["CreateChangeSet", "ExecuteChangeSet"])
@pytest.mark.parametrize("fault", ["reset", "500", "duplicate"])
def test_an_answer_that_is_lost_is_asked_for_again_and_has_one_effect(
    stacks: Stacks, aws_endpoint: Endpoint, operation: str, fault: str
) -> None:
    hit = aws_endpoint.fault(operation, times=1, kind=fault, when="after")
    job = stacks.job()
    observed, _ = stacks.follow(job, stacks.apply(job))
    assert (observed.verdict, hit.hits) == ("succeeded", 1)
    events = aws_endpoint.cloudformation.stacks["Shop"].events
    assert [
        event["ResourceStatus"] for event in events if event["LogicalResourceId"] == "Shop"
    ].count("CREATE_IN_PROGRESS") == 1
    assert len(aws_endpoint.cloudformation.stacks["Shop"].change_sets) == 1


class Deaf(Aws):
    """Calls of which the first few of one operation are in vain."""

    def __init__(self, operation: str, times: int, problem: CloudError) -> None:
        super().__init__(None, "eu-west-1")
        self.operation, self.left, self.problem = operation, times, problem

    def read(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        if operation == self.operation and self.left:
            self.left -= 1
            raise self.problem
        return super().read(service, operation, **params)


@pytest.mark.parametrize("problem", [Throttled(call="x"), Unreachable(call="x", reason="silent")])
@pytest.mark.parametrize("operation", ["describe_change_set", "describe_stacks"])
def test_a_look_that_fails_says_nothing_of_the_stack(
    tmp_path: Path, aws_endpoint: Endpoint, operation: str, problem: CloudError
) -> None:
    (tmp_path / "repo").mkdir()
    aws = Deaf("", 0, problem)
    stacks = Stacks(tmp_path / "repo", aws)
    stacks.write(NEW)
    job = stacks.job()
    begun = "comparing" if operation == "describe_change_set" else "reading the template"

    def turn_deaf(event: tuple[Any, ...]) -> None:
        if event[:2] == ("phase", begun):
            aws.operation, aws.left = operation, 3

    report = stacks.apply(job, Report(on_event=turn_deaf))
    assert aws.left == 0
    assert len([words for words in report.of("phase") if words.startswith("cannot see it: ")]) == 3
    assert stacks.follow(job, report)[0].verdict == "succeeded"


def test_a_throttled_look_at_a_running_stack_is_the_runs_to_repeat(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.next("never")
    job = stacks.job()
    report = stacks.apply(job)
    before = stacks.observe(job, report)
    fault = aws_endpoint.fault("DescribeStackEvents", times=1, kind="throttle")
    assert stacks.observe(job, report, before).state == "running"
    assert fault.hits == 1


def test_nothing_is_made_twice_if_the_process_dies_between_any_call_and_its_receipt(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    for dies in range(1, 12):
        stacks.name = f"Shop{dies}"
        job, count = stacks.job(), 0

        def die(event: tuple[Any, ...], dies: int = dies) -> None:
            nonlocal count
            count += event[0] in ("intend", "keep")
            if count == dies:
                raise Crash

        report = Report(on_event=die)
        try:
            stacks.apply(job, report)
        except Crash:
            pass
        else:
            break
        report = Report(report.receipt)
        if stacks.observe(job, report).state == "absent":
            stacks.apply(job, report)
        assert stacks.follow(job, report)[0].verdict == "succeeded"
        assert len(aws_endpoint.cloudformation.stacks[stacks.name].change_sets) == 1
        begun = [
            event
            for event in aws_endpoint.cloudformation.stacks[stacks.name].events
            if event["ResourceStatus"] == "CREATE_IN_PROGRESS"
        ]
        assert len(begun) == 2  # the stack and its one resource
    assert dies > 4


def test_a_change_set_that_aws_has_forgotten_is_known_by_its_events(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    job = stacks.job()
    report = stacks.apply(job)
    stacks.follow(job, report)
    aws_endpoint.cloudformation.stacks["Shop"].change_sets.clear()
    facts = {name: value for name, value in report.receipt.items() if name != "executed"}
    assert stacks.observe(job, Report(facts)).state in ("running", "done")
    again = stacks.apply(job, Report(facts))
    assert (again.intents, again.receipt["executed"]) == ([], True)


def test_many_stacks_that_are_watched_at_one_moment_are_one_call(
    stacks: Stacks, aws_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [
        aws_endpoint.cloudformation.stack(f"S{number}", "CREATE_COMPLETE").arn
        for number in range(8)
    ]
    values: list[Any] = []

    def watch(text: str) -> None:
        values.append((text, (cfn.watched_stack(stacks.aws, text) or {})["StackId"]))

    cfn.stack(stacks.aws, "S0")
    aws_endpoint.calls.clear()
    at_one_moment(monkeypatch, len(ids))
    threads = [threading.Thread(target=watch, args=(item,)) for item in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(values) == sorted((item, item) for item in ids)
    assert aws_endpoint.calls.count("DescribeStacks") == 1


# --- an older image


def test_a_stack_that_would_put_an_older_image_back_says_so_before_it_does(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    repository = aws_endpoint.ecr.repository("backend")
    old, new = (aws_endpoint.ecr.image("backend", tag) for tag in ("v1", "v2"))
    ecs, cloud = aws_endpoint.ecs, aws_endpoint.cloudformation
    service = ecs.service("backend", f"{repository.uri}:v1", cluster="main")
    stack = cloud.stack(
        "Shop",
        "UPDATE_COMPLETE",
        {"Service": "AWS::ECS::Service", "Task": "AWS::ECS::TaskDefinition"},
    )
    stack.resources["Service"].physical, stack.resources["Task"].physical = (
        service.arn,
        service.definition,
    )
    image = {"Fn::Sub": "${AWS::AccountId}.dkr.ecr.${AWS::Region}.amazonaws.com/backend:${Tag}"}
    stacks.write(
        template(
            {
                "Service": {
                    "Type": "AWS::ECS::Service",
                    "Properties": {"TaskDefinition": {"Ref": "Task"}},
                },
                "Task": {
                    "Type": "AWS::ECS::TaskDefinition",
                    "Properties": {"ContainerDefinitions": [{"Name": "app", "Image": image}]},
                },
            },
            Parameters={"Tag": {"Type": "String", "Default": "v1"}},
        )
    )
    assert stacks.preview(stacks.job()).warnings == ()

    tags = {"toolkit:run": "r", "toolkit:commit": "feedfacefeedfacefeed"}
    put = ecs.definition("backend", f"{repository.uri}@{new.digest}", tags=tags)
    ecs.foreign_update(service, put.arn)
    warning = (
        f"backend: this would put backend:v1 back instead of backend@{new.digest[7:19]} (commit"
        " feedfacefeed)"
    )
    assert stacks.preview(stacks.job()).warnings == (warning,)
    assert stacks.preview(stacks.job(parameters={"Tag": "v2"})).warnings == ()
    aws_endpoint.fault("DescribeServices", times=2, kind="denied")
    text = sentence(stacks.preview(stacks.job()).warnings[0])
    assert text.startswith("cannot tell whether this deploys an older image: ")

    cloud.next_change_set("complete", [cloud.change("Other", "AWS::SNS::Topic", "Add")])
    assert stacks.apply(stacks.job()).of("tell") == ["adds         Other  AWS::SNS::Topic"]
    assert stacks.apply(stacks.job()).of("tell")[0] == warning
    assert old.digest != new.digest


# --- other code of a function


FUNCTION = {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"S3Key": "one"}}}
CHANGED = {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"S3Key": "two"}}}
LIVE = {"FunctionName": {"Ref": "Mail"}, "Name": "live", "FunctionVersion": "1"}
ALIAS = {"Type": "AWS::Lambda::Alias", "Properties": LIVE}
MOVED = {"Type": "AWS::Lambda::Alias", "Properties": {**LIVE, "FunctionVersion": "2"}}
SAM = {
    "Type": "AWS::Serverless::Function",
    "Properties": {"CodeUri": "s3://b/one", "AutoPublishAlias": "live"},
}
SAM_CHANGED = {
    "Type": "AWS::Serverless::Function",
    "Properties": {"CodeUri": "s3://b/two", "AutoPublishAlias": "live"},
}
STAYS = "mail: this would change its code; alias live stays on version 1"
MOVES = "mail: this would move alias live away from version 1"


@pytest.mark.parametrize(
    ("before", "after", "warning"),
    [
        ({"Mail": FUNCTION}, {"Mail": FUNCTION, "Queue": queue("q")}, ""),
        ({"Mail": FUNCTION}, {"Mail": CHANGED}, STAYS),
        ({"Mail": FUNCTION, "Live": ALIAS}, {"Mail": CHANGED, "Live": ALIAS}, STAYS),
        ({"Mail": FUNCTION, "Live": ALIAS}, {"Mail": FUNCTION, "Live": MOVED}, MOVES),
        ({"Mail": FUNCTION, "Live": ALIAS}, {"Mail": CHANGED, "Live": MOVED}, MOVES),
        ({"Mail": SAM}, {"Mail": SAM_CHANGED}, MOVES),
    ],
)
@pytest.mark.parametrize("is_touched", [True, False])
def test_a_stack_that_would_replace_code_that_was_deployed_says_so_before_it_does(
    stacks: Stacks,
    aws_endpoint: Endpoint,
    before: Any,
    after: Any,
    warning: str,
    is_touched: bool,
) -> None:
    cloud = aws_endpoint.cloudformation
    types = {name: str(resource["Type"]) for name, resource in before.items()}
    stack = cloud.stack("Shop", "UPDATE_COMPLETE", types)
    stack.template = template(before)
    stack.resources["Mail"].physical = "mail"
    stacks.write(template(after))
    aws_endpoint.functions.function("mail")
    # somebody else's code is the stack's own affair
    assert stacks.preview(stacks.job()).warnings == ()

    description = f"toolkit v={'feedface' * 5} n=1 run=r1 t=t"
    aws_endpoint.functions.point("mail", "1", description=description)
    warnings = stacks.preview(stacks.job()).warnings
    if not warning:
        assert warnings == ()
        return
    expected = f"{warning} (commit feedfacefeed), which deploy-function deployed"
    assert warnings == (expected,)
    aws_endpoint.fault("lambda:ListAliases", kind="denied")
    text = sentence(stacks.preview(stacks.job()).warnings[0])
    assert text.startswith("cannot tell whether this replaces code that deploy-function deployed")

    # the change set has the last word
    names = after if is_touched else ()
    changes = [cloud.change(name, types.get(name, ""), "Modify") for name in names]
    cloud.next_change_set("complete", [*changes, cloud.change("Other", "AWS::SNS::Topic", "Add")])
    assert (expected in stacks.apply(stacks.job()).of("tell")) is is_touched


KEYED = {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"S3Key": {"Ref": "Key"}}}}
BUILT = {
    "Type": "AWS::Lambda::Function",
    "Properties": {"Code": {"S3Key": {"Fn::Sub": "${Build.Key}.zip"}}},
}
CHOSEN = {
    "Type": "AWS::Lambda::Function",
    "Properties": {"Code": {"S3Key": {"Fn::If": ["IsNew", "new", "old"]}}},
}
RESOLVED = {
    "Type": "AWS::Lambda::Function",
    "Properties": {"Code": {"S3Key": "{{resolve:ssm:/mail/key}}"}},
}
BY_VALUE = {
    "Type": "AWS::Lambda::Alias",
    "Properties": {**LIVE, "FunctionVersion": {"Ref": "Key"}},
}
KEY = {"Parameters": {"Key": {"Type": "String", "Default": "k0"}}}
HIDDEN = {"Parameters": {"Key": {"Type": "String", "NoEcho": True}}}
IN_SSM = {"Parameters": {"Key": {"Type": "AWS::SSM::Parameter::Value<String>"}}}
IF_NEW = {**KEY, "Conditions": {"IsNew": {"Fn::Equals": [{"Ref": "Key"}, "k2"]}}}
MAY_STAY = "mail: this may change its code; alias live stays on version 1"
MAY_MOVE = "mail: this may move alias live away from version 1"


def build(source: str) -> dict[str, Any]:
    """A resource of the team's own that makes the package."""
    return {"Type": "Custom::Build", "Properties": {"ServiceToken": "x", "Source": source}}


@pytest.mark.parametrize(
    ("before", "after", "more", "key", "warning"),
    [
        ({"Mail": KEYED}, {"Mail": KEYED}, KEY, "k1", ""),
        ({"Mail": KEYED}, {"Mail": KEYED}, KEY, "k2", MAY_STAY),
        ({"Mail": KEYED}, {"Mail": KEYED}, HIDDEN, "****", MAY_STAY),
        ({"Mail": KEYED}, {"Mail": KEYED}, IN_SSM, "k1", MAY_STAY),
        ({"Mail": CHOSEN}, {"Mail": CHOSEN}, IF_NEW, "k1", ""),
        ({"Mail": CHOSEN}, {"Mail": CHOSEN}, IF_NEW, "k2", MAY_STAY),
        ({"Mail": RESOLVED}, {"Mail": RESOLVED}, KEY, "k1", MAY_STAY),
        ({"Mail": FUNCTION}, {"Mail": FUNCTION}, KEY, "k2", ""),
        ({"Mail": BUILT, "Build": build("1")}, {"Mail": BUILT, "Build": build("1")}, KEY, "k1", ""),
        (
            {"Mail": BUILT, "Build": build("1")},
            {"Mail": BUILT, "Build": build("2")},
            KEY,
            "k1",
            MAY_STAY,
        ),
        (
            {"Mail": FUNCTION, "Live": BY_VALUE},
            {"Mail": FUNCTION, "Live": BY_VALUE},
            KEY,
            "k2",
            MAY_MOVE,
        ),
    ],
)
def test_code_that_changes_by_what_it_refers_to_is_told(
    stacks: Stacks,
    aws_endpoint: Endpoint,
    before: Any,
    after: Any,
    more: dict[str, Any],
    key: str,
    warning: str,
) -> None:
    types = {name: str(resource["Type"]) for name, resource in before.items()}
    stack = aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE", types)
    stack.template = template(before, **more)
    stack.parameters = {"Key": "****" if key == "****" else "k1"}
    stack.resources["Mail"].physical = "mail"
    stacks.write(template({**after, "Queue": queue("q")}, **more))
    aws_endpoint.functions.function("mail")
    aws_endpoint.functions.point("mail", "1", description="toolkit v=x n=1 run=r1 t=t")
    given = {} if key == "****" else {"Key": key}
    warnings = stacks.preview(stacks.job(parameters=given)).warnings
    expected = (f"{warning}, which deploy-function deployed",) if warning else ()
    assert tuple(line for line in warnings if "deploy-function" in str(line)) == expected


CANNOT_TELL = "cannot tell whether this replaces code that deploy-function deployed: "
LOOP = {"Fn::ForEach::All": ["Name", ["a", "b"], {"F${Name}": FUNCTION}]}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("Resources: [", template({"Mail": FUNCTION}), "the template cannot be read: "),
        (template({"Mail": FUNCTION}), "Resources: [", "the template cannot be read: "),
        (
            template({"Mail": FUNCTION}),
            template(LOOP),
            "only CloudFormation can tell the resources of its loops",
        ),
    ],
)
def test_a_template_that_cannot_be_compared_is_no_all_clear(
    aws_endpoint: Endpoint, before: str, after: str, words: str
) -> None:
    stack = aws_endpoint.cloudformation.stack("Shop", "UPDATE_COMPLETE")
    stack.template = before
    [line] = live_functions.warnings(Aws(None, "eu-west-1"), "Shop", after, ({}, {}), None)
    assert line.startswith(f"{CANNOT_TELL}{words}")


BY_TAG = {
    "Fn::Join": [
        "",
        [
            {"Ref": "AWS::AccountId"},
            ".dkr.ecr.",
            {"Ref": "AWS::Region"},
            ".amazonaws.com/backend:",
            {"Ref": "Tag"},
        ],
    ]
}


@pytest.mark.parametrize(
    ("image", "by_name", "expected"),
    [
        (BY_TAG, {}, "v2"),
        (
            {"Fn::Sub": "${AWS::AccountId}.dkr.ecr.${AWS::Region}.amazonaws.com/backend:${Tag}"},
            {},
            "v2",
        ),
        ({"Ref": "Tag"}, {}, "the image itself"),
        (BY_TAG, {"Tag": "v1"}, "v1"),
        ("x/backend:v1", {}, None),
        ({"Fn::Join": 5}, {}, None),
    ],
)
def test_a_parameter_that_names_the_image_gets_the_one_that_deploy_app_put_live(
    stacks: Stacks,
    aws_endpoint: Endpoint,
    image: Any,
    by_name: dict[str, str],
    expected: str | None,
) -> None:
    repository = aws_endpoint.ecr.repository("backend")
    _, new = (aws_endpoint.ecr.image("backend", tag) for tag in ("v1", "v2"))
    ecs, cloud = aws_endpoint.ecs, aws_endpoint.cloudformation
    service = ecs.service("backend", f"{repository.uri}:v1", cluster="main")
    stack = cloud.stack(
        "Shop",
        "UPDATE_COMPLETE",
        {"Service": "AWS::ECS::Service", "Task": "AWS::ECS::TaskDefinition"},
        parameters={"Tag": "v1"},
    )
    stack.resources["Service"].physical, stack.resources["Task"].physical = (
        service.arn,
        service.definition,
    )
    resources = {
        "Service": {"Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": {"Ref": "Task"}}},
        "Task": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {"ContainerDefinitions": [{"Name": "app", "Image": image}]},
        },
    }
    stacks.write(template(resources, Parameters={"Tag": {"Type": "String", "Default": "v1"}}))
    put = ecs.definition(
        "backend",
        f"{repository.uri}@{new.digest}",
        tags={"toolkit:run": "r", "toolkit:version": "v2"},
    )
    ecs.foreign_update(service, put.arn)
    warnings = stacks.preview(stacks.job(parameters=by_name)).warnings
    assert any("would put" in line for line in map(sentence, warnings)) is (
        expected not in ("v2", "the image itself")
    )
    stacks.apply(stacks.job(parameters=by_name))
    [sent] = aws_endpoint.calls.of("CreateChangeSet")[-1].params["Parameters"]
    value = f"{repository.uri}@{new.digest}" if expected == "the image itself" else expected
    assert sent == {
        "ParameterKey": "Tag",
        **({"ParameterValue": value} if expected else {"UsePreviousValue": True}),
    }


def test_a_revision_that_deploy_app_did_not_make_is_no_reason_to_warn(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    service = aws_endpoint.ecs.service("backend", "x/backend:v1", cluster="main")
    stack = aws_endpoint.cloudformation.stack(
        "Shop",
        "UPDATE_COMPLETE",
        {"Service": "AWS::ECS::Service", "Task": "AWS::ECS::TaskDefinition"},
    )
    stack.resources["Service"].physical = service.arn
    containers = [{"Name": "app", "Image": "x/backend:v0"}]
    stacks.write(
        template(
            {
                "Service": {
                    "Type": "AWS::ECS::Service",
                    "Properties": {"TaskDefinition": {"Ref": "Task"}},
                },
                "Task": {
                    "Type": "AWS::ECS::TaskDefinition",
                    "Properties": {"ContainerDefinitions": containers},
                },
            }
        )
    )
    assert stacks.preview(stacks.job()).warnings == ()


# --- calls


def test_a_create_change_set_says_what_is_needed_and_no_more(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r"}}
    stacks.write(template({"Role": role, "Flag": parameter("/a")}))
    job = stacks.job()
    report = stacks.apply(job)
    call = aws_endpoint.calls.of("CreateChangeSet")[0].params
    assert (call["Capabilities"], call["ChangeSetName"], call["ClientToken"]) == (
        ["CAPABILITY_NAMED_IAM"],
        f"tk-{job.token}",
        job.token,
    )
    assert aws_endpoint.calls.of("ExecuteChangeSet")[0].params["ClientRequestToken"] == job.token
    assert "RoleARN" not in call
    assert report.receipt["change_set"].startswith("arn:")


def test_live_says_nothing_while_nobody_can_know(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    stack = aws_endpoint.cloudformation.stack(
        "Shop", "UPDATE_IN_PROGRESS", tags={"toolkit:version": "v2"}
    )
    job = stacks.job()
    live = kind.live(job, stacks.ports)
    assert live is not None
    assert (live.version, live.detail["status"]) == (None, "UPDATE_IN_PROGRESS")
    stack.status = "UPDATE_COMPLETE"
    live = kind.live(job, stacks.ports)
    assert live is not None
    assert live.version == "v2"
    stack.status = "ROLLBACK_COMPLETE"
    assert kind.live(job, stacks.ports) is None


def test_a_look_is_quick(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudformation.next("never")
    job = stacks.job()
    report = stacks.apply(job)
    before = stacks.observe(job, report)
    aws_endpoint.calls.clear()
    began = time.monotonic()
    stacks.observe(job, report, before)
    assert time.monotonic() - began < 3
    assert aws_endpoint.calls.names() == ["cloudformation:DescribeStackEvents"]


# --- what took longest


def slowest(stacks: Stacks, endpoint: Endpoint) -> list[tuple[str, str, float]]:
    """What a deploy says took longest, where seven seconds go by between two looks."""
    endpoint.clock.stop()
    job = stacks.job()
    report, looks = stacks.apply(job), [Observation(StepState.RUNNING)]
    while looks[-1].state == StepState.RUNNING:
        endpoint.clock.advance(7)
        looks.append(stacks.observe(job, report, looks[-1]))
        assert len(looks) < 100
    return [(each.name, each.type, each.took_s) for each in looks[-1].slowest]


def test_the_five_slowest_resources_are_told(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    cloud = aws_endpoint.cloudformation
    changes = [cloud.change(f"Queue{number}", "AWS::SQS::Queue", "Add") for number in range(6)]
    cloud.next_change_set("complete", changes)
    cloud.next("success", looks=1)
    assert slowest(stacks, aws_endpoint) == [
        (f"Queue{number}", "AWS::SQS::Queue", 7.0) for number in range(5)
    ]


def test_resources_that_take_no_time_are_not_slow(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    assert slowest(stacks, aws_endpoint) == []


def test_a_nested_stack_is_slow_by_what_is_in_it(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    cloud = aws_endpoint.cloudformation
    nested = cloud.change("Nest", "AWS::CloudFormation::Stack", "Add")
    cloud.next_change_set("complete", [cloud.change("Queue", "AWS::SQS::Queue", "Add"), nested])
    cloud.next("rollback", failing="Nest", nested="Broker", reason="quota exceeded", looks=1)
    assert slowest(stacks, aws_endpoint) == [
        ("Nest/Broker", "AWS::ECS::Service", 7.0),
        ("Queue", "AWS::SQS::Queue", 7.0),
    ]
