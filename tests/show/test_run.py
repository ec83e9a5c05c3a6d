"""What is told of a run before it begins, and of one that was left open."""

from msgspec.structs import replace

from toolkit.model import Version
from toolkit.operations import (
    ArtifactSize,
    Job,
    JobAction,
    Location,
    Outcome,
    PlannedCall,
    Preview,
    Verdict,
)
from toolkit.show.run import calls, dry_run, intention, open_steps, size_words

JOB = Job(
    "app",
    "app",
    "app",
    JobAction.DEPLOY,
    Location("dev"),
    None,
    Version("v2", None, "f2"),
    "run",
    "t",
)
BACK = replace(JOB, step="app:rollback", undoes="app", version=Version("v1", None, "f1"))
GOES_BACK = "  app is rolled back to v1 if it does not pass its checks"


def test_what_a_step_goes_back_to_is_said_where_it_does_anything() -> None:
    assert GOES_BACK in intention((JOB,), {"app": Preview(())}, 80, (BACK,))
    assert GOES_BACK not in intention((JOB,), {"app": Preview((), unchanged=True)}, 80, (BACK,))
    assert GOES_BACK in dry_run((JOB,), {"app": Preview(())}, 80, (BACK,)).splitlines()


def test_what_is_only_done_if_checks_fail_is_not_said_to_be_done() -> None:
    def next_of(outcome: Outcome | None) -> str:
        done = {} if outcome is None else {"app": outcome}
        return str(open_steps((JOB, BACK), done, {})[1]["next"])

    assert next_of(None) == "nothing, unless app does not pass its checks"
    assert next_of(Outcome("app", "app", Verdict.SUCCEEDED)) == "nothing"
    assert next_of(Outcome("app", "app", Verdict.UNHEALTHY, untouched=True)) == "nothing"
    assert next_of(Outcome("app", "app", Verdict.UNHEALTHY)) == "do it"


def test_a_call_that_one_step_makes_for_several_names_the_others() -> None:
    push = PlannedCall("ecr:PutImage", {"image": "web:1"}, once=True)
    second = replace(JOB, step="worker", target="worker")
    previews = {
        "app": Preview((push, PlannedCall("x:Do"))),
        "worker": Preview((push, PlannedCall("x:Do"))),
    }
    lines = dry_run((JOB, second), previews, 80).splitlines()
    assert lines.count("  x:Do") == 2
    assert "  ecr:PutImage image=web:1 (once, also for worker)" in lines
    assert "  ecr:PutImage image=web:1 (once, also for app)" in lines
    assert [step["calls"][0]["for"] for step in calls((JOB, second), previews)] == [
        ["app", "worker"]
    ] * 2
    assert "for" not in calls((JOB,), {"app": previews["app"]})[0]["calls"][0]


def test_a_step_that_has_nothing_to_do_shares_no_call() -> None:
    push = PlannedCall("ecr:PutImage", {"image": "web:1"}, once=True)
    second = replace(JOB, step="worker", target="worker")
    previews = {"app": Preview((push,)), "worker": Preview((push,), unchanged=True)}
    assert "  ecr:PutImage image=web:1" in dry_run((JOB, second), previews, 80).splitlines()


def test_a_size_that_is_unknown_is_no_zero() -> None:
    words = [
        size_words(ArtifactSize("image", *sizes))
        for sizes in ((None, None), (None, 5), (142_000_000, None), (5_000, 5_000), (1_500, 3_000))
    ]
    assert words == [
        "image: its size is unknown",
        "image: its size is unknown",
        "image: 142.0 MB; the size before is unknown",
        "image: 5.0 kB, as large as before",
        "image: 1.5 kB, -1.5 kB",
    ]
