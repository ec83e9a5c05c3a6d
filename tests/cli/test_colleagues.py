"""The runs of colleagues, over a shared store: listed, shown, gone on with; and what somebody
hostile may have put into the bucket.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.aws import Endpoint, Remote
from tests.support.repo import Repo
from tests.support.run import ROOT, Result, Toolkit
from toolkit import flow
from toolkit.exits import Exit
from toolkit.flow.colleagues import is_ours, relocation
from toolkit.flow.deploy_gates import rollback_job
from toolkit.model import Version, named_image
from toolkit.operations import Job, JobAction, OutputSource
from toolkit.ports import processes
from toolkit.record import journal as journals
from toolkit.record.journal import EntryState, Journal
from toolkit.record.ledger import Record
from toolkit.record.mirror import unsent_runs
from toolkit.record.permissions import statements
from toolkit.record.shared_runs import JOURNAL_MOST
from toolkit.record.state import Store
from toolkit.run import jobs as run_jobs
from toolkit.targets.app.options import AppOptions, AppRestore, InProgress
from toolkit.targets.options import declared
from toolkit.targets.site.settings import SiteSettings
from toolkit.targets.stack.options import StackOptions

pytestmark = pytest.mark.slow("colleagues", keep=14, of="file")

RUN = "20261120-193742-aaaa"
RULES = """\
version = 1
project = "shared"
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
store = "s3://shared/team"
[targets.web]
kind = "app"
cluster = "main"
service = "web"
repository = "web"
[[rules]]
name = "All"
paths = ["**"]
deploy = ["web"]
"""


class SharedStore:
    """A repository with a store, and the runs of somebody at another machine."""

    def __init__(
        self, endpoint: Endpoint, toolkit: Toolkit, folder: Path, rules: str = RULES
    ) -> None:
        self.endpoint, self._toolkit, self.folder = endpoint, toolkit, folder
        self.repo = Repo.make(folder / "repo", {"a": "x"}, rules)
        endpoint.s3.bucket("shared")
        self.rules = flow.read_rules(rules.encode(), "rules.toml")

    def __call__(self, *args: str) -> Result:
        return self._toolkit(self.repo.path, *args)

    def job(self, run: str = RUN) -> Job:
        version = Version("c1", "c1", "f1")
        locations = run_jobs.locations(self.rules.environments["dev"], None, None)
        target = self.rules.targets["web"]
        [job] = run_jobs.make_jobs(
            run_jobs.JobRequest(
                run, [target], locations, {}, {"web": version}, known=self.rules.targets
            )
        )
        return job

    def put(
        self,
        run: str = RUN,
        *jobs: Job,
        lines: tuple[tuple[str, str | None, dict[str, Any]], ...] = (),
        **facts: Any,
    ) -> bytes:
        """A run of ada's at the machine `laptop`, in the bucket."""
        elsewhere = Path(self.folder / f"elsewhere-{len(list(self.folder.iterdir()))}")
        elsewhere.mkdir(mode=0o700)
        created = [run_jobs.pack(job) for job in jobs or (self.job(run),)]
        first = {
            "user": "ada",
            "host": "laptop",
            "pid": 1,
            "boot": "b",
            "started": "1",
            "command": ["toolkit", "deploy", "web"],
            "jobs": created,
        }
        journal = Journal.create(Store(str(elsewhere)), run, {**first, "commit": "c1", **facts})
        for state, step, more in lines:
            journal.append(EntryState(state), step, **more)
        journal.close()
        data = Path(journals.path_of(Store(str(elsewhere)), run)).read_bytes()
        self.endpoint.s3.put("shared", f"team/runs/{run}.jsonl", data)
        return data


@pytest.fixture
def team(aws_endpoint: Endpoint, toolkit: Toolkit, tmp_path: Path) -> SharedStore:
    return SharedStore(aws_endpoint, toolkit, tmp_path)


def test_statistics_count_the_runs_of_colleagues_and_say_what_was_read(team: SharedStore) -> None:
    today = f"{datetime.now(UTC):%Y%m%d}"
    lines = (
        ("outcome", "web", {"verdict": "succeeded", "took_s": 4.0, "phases": {"rollout": 3.0}}),
        ("end", None, {"exit": 0, "status": "succeeded"}),
    )
    team.put(f"{today}-193742-aaaa", lines=lines)
    team.endpoint.s3.put("shared", f"team/runs/{today}-193743-bbbb.jsonl", b"damaged\n")
    answer = team("history", "--stats")
    assert answer.code == 0, answer.err
    assert "the journals of this machine and s3://shared/team:" in answer.out
    assert "1 journal could not be read: not counted." in answer.out
    document = team("history", "--stats", "--json").json
    assert document["sources"] == ["this machine", "s3://shared/team"]
    good = {row["name"]: row["now"]["good"] for row in document["statistics"]}
    assert good == {"all runs": 1, "web deploy": 1, "web deploy: rollout": 1}
    team.endpoint.fault("ListObjectsV2", None, "denied")
    unread = team("history", "--stats", "--json")
    assert unread.json["sources"] == ["this machine"]
    assert "the runs in s3://shared/team could not be read" in unread.json["problems"][0]
    assert ": not counted" in unread.err


def test_history_lists_the_runs_of_colleagues_with_their_machines(team: SharedStore) -> None:
    team.put(
        lines=(
            ("outcome", "web", {"verdict": "succeeded", "took_s": 1.0}),
            ("end", None, {"exit": 0, "status": "succeeded"}),
        )
    )
    team.put("20261120-193743-bbbb")
    shared_store = team("history")
    assert shared_store.code == 0, shared_store.err
    assert [line.split()[:4] for line in shared_store.out.splitlines()[3:]] == [
        ["20261120-193743-bbbb", "interrupted", "dev", "ada@laptop"],
        [RUN, "succeeded", "dev", "ada@laptop"],
    ]
    assert [item["host"] for item in team("history", "--json").json["runs"]] == ["laptop", "laptop"]


def test_history_of_an_environment_leaves_out_the_runs_of_others(team: SharedStore) -> None:
    more = (
        '[environments.prod]\naccount = "111111111111"\nregions = ["eu-west-1"]\nstore ='
        ' "s3://shared/team"\n'
    )
    team.repo.write({"rules.toml": RULES.replace("[targets.web]", f"{more}[targets.web]")})
    team.put()
    job = team.job("20261120-193743-bbbb")
    team.put(
        "20261120-193743-bbbb", replace(job, location=replace(job.location, environment="prod"))
    )
    team.endpoint.s3.put("shared", "team/runs/20261120-193750-dddd.jsonl", b"noise\n")

    def listed(*words: str) -> list[str]:
        return [item["run"][-4:] for item in team("history", "--json", *words).json["runs"]]

    assert listed() == ["dddd", "bbbb", "aaaa"]
    assert listed("-e", "prod") == ["dddd", "bbbb"]  # whose the damaged one is, nobody knows
    assert listed("-e", "dev") == ["dddd", "aaaa"]
    assert listed("-e", "dev", "-n", "1") == ["dddd"]
    assert [item["run"][-4:] for item in team("-e", "prod", "history", "--json").json["runs"]] == [
        "dddd",
        "bbbb",
    ]


def test_a_colleagues_run_can_be_shown_with_its_logs(team: SharedStore) -> None:
    team.put(
        lines=(
            ("outcome", "web", {"verdict": "failed", "cause": "no \x1b[31mcluster", "took_s": 1.0}),
        )
    )
    team.endpoint.s3.put(
        "shared", f"team/logs/{RUN}/web.log", b"-- pushing \x1b]0;pwn\x07\nall of it\n"
    )
    shown = team("show", RUN)
    assert shown.code == 0, shown.err
    assert "by          ada@laptop" in shown.out
    assert "\x1b" not in shown.out
    logs = team("logs", RUN)
    assert (logs.code, "[web] all of it" in logs.out, "\x1b" in logs.out, "\x07" in logs.out) == (
        0,
        True,
        False,
        False,
    )


def test_a_run_that_nobody_has_is_none(team: SharedStore) -> None:
    assert "there is no run 20261120-000000-zzzz" in team("show", "20261120-000000-zzzz").err
    assert team("resume", "20261120-000000-zzzz", "--yes").code == 2


def test_a_damaged_run_costs_only_itself(team: SharedStore) -> None:
    team.put()
    team.endpoint.s3.put("shared", "team/runs/20261120-193750-dddd.jsonl", b"noise\n")
    team.endpoint.s3.put(
        "shared", "team/runs/20261120-193751-eeee.jsonl", b"x" * (JOURNAL_MOST + 10)
    )
    whole = team.put("20261120-193752-ffff")
    team.endpoint.s3.put("shared", "team/runs/20261120-193753-gggg.jsonl", whole)
    team.endpoint.s3.put("shared", "team/runs/../../etc/passwd.jsonl", b"")
    team.endpoint.s3.put("shared", "team/runs/a b.jsonl", b"")
    shared_store = team("history")
    assert shared_store.code == 0
    words = {line.split()[0]: line.split()[1] for line in shared_store.out.splitlines()[3:]}
    assert words == {
        "20261120-193753-gggg": "damaged",
        "20261120-193752-ffff": "interrupted",
        "20261120-193751-eeee": "damaged",
        "20261120-193750-dddd": "damaged",
        RUN: "interrupted",
    }
    assert team("show", "20261120-193751-eeee").code == 2


def test_a_run_is_running_as_long_as_its_lock_is_renewed(team: SharedStore) -> None:
    team.put()
    holder = {
        "who": "ada",
        "host": "laptop",
        "pid": 1,
        "run": RUN,
        "command": "c",
        "since": "s",
        "id": "i",
    }
    team.endpoint.s3.put(
        "shared",
        "team/locks/dev/eu-west-1/web.lock",
        json.dumps({"v": 1, **holder}).encode() + b"\n",
    )
    assert " running " in team("history").out
    shared_store = team("resume", RUN, "--yes")
    assert (shared_store.code, "is locked by ada@laptop" in shared_store.err) == (6, True), (
        shared_store.err
    )
    assert (
        not list(Path(os.environ["TOOLKIT_STATE_DIR"]).glob("*/runs/*"))
        if "TOOLKIT_STATE_DIR" in os.environ
        else True
    )


def test_resume_without_a_name_never_takes_a_colleagues_run(team: SharedStore) -> None:
    team.put()
    shared_store = team("resume", "--yes")
    assert (shared_store.code, "no run is open" in shared_store.err) == (2, True)


def test_a_colleagues_run_is_only_gone_on_with_if_that_is_agreed_to(team: SharedStore) -> None:
    team.put()
    shared_store = team("resume", RUN)
    assert shared_store.code != 0
    assert "was started by ada@laptop" in shared_store.err
    assert "add --yes" in shared_store.err


def test_what_a_colleagues_run_would_do_is_told_by_a_dry_run(team: SharedStore) -> None:
    team.put()
    shared_store = team("resume", RUN, "--dry-run")
    assert (shared_store.code, f"Run {RUN} is open" in shared_store.out) == (0, True), (
        shared_store.err
    )


def build_of(job: Job) -> Job:
    step = f"{job.step}:build"
    token = run_jobs.step_token(RUN, step, job.version.fingerprint)
    return replace(job, step=step, action=JobAction.BUILD, token=token)


READS = ("GetObject", "ListObjectsV2", "GetCallerIdentity")
FORGED: dict[str, Callable[[Job], Job]] = {
    "another service": lambda job: replace(job, settings=replace(job.settings, service="prod")),
    "a variable more": lambda job: replace(job, settings=replace(job.settings, env={"EVIL": "1"})),
    "another account": lambda job: replace(
        job, location=replace(job.location, account="999999999999")
    ),
    "another region": lambda job: replace(job, location=replace(job.location, region="us-east-1")),
    "another store": lambda job: replace(job, location=replace(job.location, store="s3://evil/x")),
    "another environment": lambda job: replace(
        job, location=replace(job.location, environment="prod")
    ),
    "no protection": lambda job: replace(job, location=replace(job.location, protected=True)),
    "another target": lambda job: replace(job, target="other"),
    "another token": lambda job: replace(job, token="0" * 24),
    "another run": lambda job: replace(job, run="20261120-193742-zzzz"),
    "a longer deadline": lambda job: replace(job, deadline_s=90_000),
    "a deploy that only builds": lambda job: replace(job, action=JobAction.BUILD),
    "a build that deploys": lambda job: replace(build_of(job), action=JobAction.DEPLOY),
    "another name of an image": lambda job: replace(
        job, options=AppOptions(image="evil"), version=replace(job.version, name="good")
    ),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_run_that_wants_more_than_rules_toml_says_is_refused_before_anything_is_done(
    team: SharedStore, case: str
) -> None:
    team.put(RUN, FORGED[case](team.job()))
    shared_store = team("resume", RUN, "--yes")
    assert shared_store.code == 2
    assert f"of run {RUN} is not what rules.toml here says" in shared_store.err
    assert not [call for call in team.endpoint.calls if call.operation not in READS]


SITE_RULES = RULES.replace(
    """kind = "app"
cluster = "main"
service = "web"
repository = "web"
""",
    """kind = "site"
source = "dist"
bucket = "www"
needs = ["api"]
build = { command = ["./build.sh"], env = { API_URL = "{outputs.api.Url}" } }
[targets.api]
kind = "stack"
stack = "Api"
template = "a"
""",
)


@pytest.fixture
def site_team(aws_endpoint: Endpoint, toolkit: Toolkit, tmp_path: Path) -> SharedStore:
    return SharedStore(aws_endpoint, toolkit, tmp_path, SITE_RULES)


def test_outputs_that_a_colleagues_run_takes_from_elsewhere_are_refused(
    site_team: SharedStore,
) -> None:
    job = site_team.job()
    evil = SiteSettings(source="x", bucket="b", url="https://evil.example")
    site_team.put(RUN, replace(job, consumed=(OutputSource("api", "site", evil),)))
    resumed = site_team("resume", RUN, "--dry-run")
    assert resumed.code == 2
    assert f"of run {RUN} is not what rules.toml here says" in resumed.err
    site_team.put(RUN, job)
    assert site_team("resume", RUN, "--dry-run").code == 0


def test_that_a_step_of_a_colleagues_run_may_be_left_out_is_not_believed(
    site_team: SharedStore,
) -> None:
    site_team.put(RUN, replace(site_team.job(), conditional=True))
    resumed = site_team("resume", RUN, "--dry-run")
    assert resumed.code == 0, resumed.err
    assert "only if outputs" not in resumed.out
    assert not relocation(site_team.rules, None, with_consents=False)(
        replace(site_team.job(), conditional=True)
    ).conditional


def test_what_puts_back_a_step_that_might_have_been_left_out_is_never_left_out(
    site_team: SharedStore,
) -> None:
    job = replace(site_team.job(), conditional=True)
    record = Record("web", "dev", "eu-west-1", "v0", "c0", "f0", RUN, "", "succeeded")
    back = rollback_job(job, record, site_team.rules)
    assert (back.undoes, back.conditional) == ("web", False)
    assert [source.target for source in back.consumed] == ["api"]


@pytest.mark.parametrize("environment", ["prod", None])
def test_where_a_run_acts_is_taken_from_its_steps_alone(
    team: SharedStore, environment: str | None
) -> None:
    team.put(environment=environment)
    resumed = team("resume", RUN, "--dry-run")
    assert (resumed.code, "web" in resumed.out) == (0, True), resumed.err


def test_the_profile_of_the_other_machine_is_not_used_here(team: SharedStore) -> None:
    job = team.job()
    team.put(RUN, replace(job, location=replace(job.location, profile="adas-own")))
    shared_store = team("resume", RUN, "--dry-run")
    assert shared_store.code == 0, shared_store.err


def test_a_run_is_continued_without_the_profile_of_the_other_machine(team: SharedStore) -> None:
    job = team.job()
    team.put(RUN, replace(job, location=replace(job.location, profile="adas-own")))
    resumed = team("resume", RUN, "--yes")
    assert "adas-own" not in resumed.err + resumed.out
    assert resumed.code != Exit.CREDENTIALS


def own_store(folder: Path) -> Store:
    folder.mkdir(mode=0o700)
    return Store(str(folder))


def test_a_run_that_was_copied_here_once_is_the_colleagues_still(
    team: SharedStore, tmp_path: Path
) -> None:
    data = team.put(**processes.facts())  # it names this machine, as a forged one would
    store = own_store(tmp_path / "mine")
    entries = journals.parse(data, RUN, "")[0]
    assert not is_ours(store, RUN, entries)
    Journal.copied(store, RUN, data).close()
    assert not is_ours(store, RUN, journals.read(store, RUN))


def test_a_run_is_ours_as_long_as_no_line_of_it_came_from_the_bucket(tmp_path: Path) -> None:
    store = own_store(tmp_path / "mine")
    journal = Journal.create(store, RUN, {**processes.facts(), "jobs": []})
    begun = journals.read(store, RUN)
    journal.append(EntryState.NOTE, **processes.facts())
    lines = journals.read(store, RUN)
    assert is_ours(store, RUN, lines)
    assert is_ours(store, RUN, begun)
    assert not is_ours(store, RUN, (*lines, replace(lines[-1], n=3)))
    first = len(journal.content(journal.size).splitlines(keepends=True)[0])
    journal.adopt(first, journal.content(journal.size)[first:])
    journal.close()
    assert not is_ours(store, RUN, journals.read(store, RUN))


def test_a_journal_that_another_machine_began_is_not_ours_without_a_mark(tmp_path: Path) -> None:
    store = own_store(tmp_path / "mine")
    facts = {**processes.facts(), "jobs": []}
    Journal.create(store, RUN, {**facts, "host": "laptop"}).close()
    journal = Journal.reopen(store, RUN)
    journal.append(EntryState.NOTE, **facts)
    journal.close()
    assert not is_ours(store, RUN, journals.read(store, RUN))


def test_a_run_in_the_bucket_that_names_this_machine_needs_consent(team: SharedStore) -> None:
    team.put(**processes.facts())
    resumed = team("resume", RUN)
    assert (resumed.code, "as its journal says" in resumed.err) == (2, True), resumed.err
    assert "(as its journal says)" in team("history").out
    assert "(as its journal says)" in team("show", RUN).out


def rollback_of(job: Job) -> Job:
    version = Version("v0", None, "f0")
    restored = AppRestore(image_digest="sha256:evil", task_definition="web:1")
    token = run_jobs.step_token(RUN, job.step, "f0")
    return replace(job, action=JobAction.ROLLBACK, version=version, restore=restored, token=token)


def image_of(job: Job) -> Job:
    version = Version("evil", None, named_image("evil"))
    token = run_jobs.step_token(RUN, job.step, version.fingerprint)
    options = AppOptions(no_build=True, image="evil")
    return replace(job, version=version, options=options, token=token)


CLAIMS = {
    "an image": (image_of, ["web:no_build", "web:image=evil"]),
    "a rollback": (
        rollback_of,
        ["web:rollback=v0", "web:image_digest=sha256:evil", "web:task_definition=web:1"],
    ),
    "a rollback of a commit": (
        lambda job: replace(
            rollback_of(job), version=Version("v0", "c9", "f0"), restore=AppRestore()
        ),
        ["web:rollback=v0", "web:commit=c9"],
    ),
    "the image of a rollback": (
        lambda job: replace(
            rollback_of(job), options=AppOptions(image="evil"), version=Version("evil", None, "f0")
        ),
        [
            "web:rollback=evil",
            "web:image=evil",
            "web:image_digest=sha256:evil",
            "web:task_definition=web:1",
        ],
    ),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_what_only_a_colleagues_journal_says_is_allowed_by_name(
    team: SharedStore, case: str
) -> None:
    forge, claims = CLAIMS[case]
    team.put(RUN, forge(team.job()))
    dry = team("resume", RUN, "--dry-run", "--json")
    assert dry.json["needs_allow"] == claims
    resumed = team("resume", RUN, "--yes", "--allow", "web:image=other")
    assert resumed.code == 2
    for claim in claims:
        assert f"step web: {claim.partition(':')[2]} (only its journal" in resumed.err
    [command] = [line for line in resumed.err.splitlines() if "  toolkit resume" in line]
    words = shlex.split(command)
    assert [word for word in words if "=" in word or ":" in word] == claims
    assert not [call for call in team.endpoint.calls if call.operation not in READS]
    allowed = team(*words[1:])
    assert "only its journal says so" not in allowed.err
    assert any(call.operation not in READS for call in team.endpoint.calls), allowed.err


def test_what_is_only_convenient_for_a_colleague_needs_no_name(team: SharedStore) -> None:
    options = AppOptions(
        force=True, create=True, take_over=True, in_progress=InProgress.REPLACE, builder="docker"
    )
    team.put(RUN, replace(team.job(), options=options))
    assert team("resume", RUN, "--dry-run", "--json").json["needs_allow"] == []


def test_a_build_of_a_colleagues_run_says_nothing_that_is_not_checked(team: SharedStore) -> None:
    job = team.job()
    team.put(RUN, build_of(job), replace(job, needs=("web:build",)))
    answer = team("resume", RUN, "--dry-run", "--json").json
    assert answer["needs_allow"] == []
    assert [step["step"] for step in answer["steps"]] == ["web:build", "web"]


def test_that_a_colleagues_run_was_not_to_be_checked_is_not_believed(
    team: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Any] = []

    def step_gates(*given: Any) -> dict[str, Any]:
        judged.append(given)
        return {}

    monkeypatch.setattr("toolkit.flow.deploy_gates.step_gates", step_gates)
    team.put(checked=False)
    team("resume", RUN, "--yes")
    assert judged
    team("resume", RUN, "--yes", "--no-checks")
    assert len(judged) == 1


def test_what_somebody_else_agreed_to_in_advance_is_asked_again(team: SharedStore) -> None:
    job = replace(team.job(), options=StackOptions(allow_delete=True, recreate=True, force=True))
    assert relocation(team.rules, "mine", with_consents=False)(job).options == StackOptions()
    assert relocation(team.rules, "mine")(job).options == job.options
    assert relocation(team.rules, "mine")(job).location.profile == "mine"


def test_only_options_that_decide_what_is_deployed_are_kept_of_a_colleague() -> None:
    plain = {
        kind: {option.field for option in declared(kind) if not option.consent}
        for kind in (StackOptions, AppOptions)
    }
    assert plain == {StackOptions: set(), AppOptions: {"no_build", "image"}}


def test_where_the_store_does_not_answer_the_runs_of_this_machine_are_told_with_a_note(
    team: SharedStore,
) -> None:
    del team.endpoint.s3.buckets["shared"]
    shared_store = team("history")
    assert shared_store.code == 0
    assert "note: the runs in s3://shared/team could not be read:" in shared_store.err
    assert "No runs are recorded here yet." in shared_store.out


def test_without_a_store_nothing_is_asked(team: SharedStore) -> None:
    team.repo.write({"rules.toml": RULES.replace('store = "s3://shared/team"\n', "")})
    assert team("history").code == 0
    assert not team.endpoint.calls


def test_the_permissions_of_a_store_cover_runs_and_logs(team: SharedStore) -> None:
    [objects, listing] = statements(team.job().location)
    assert {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"} <= set(objects.actions)
    assert objects.resources[0].endswith(":s3:::shared/team/*")
    assert "s3:ListBucket" in listing.actions


# Processes that are really killed, each on a machine of its own: its state, its clone


DEPLOY = ("deploy-app", "web", "--no-build", "--image", "v2", "--yes", "--no-checks")


class Colleague:
    """A clone and a state of its own."""

    def __init__(self, remote: Remote, repo: Repo, folder: Path) -> None:
        self.repo = repo.clone(folder)
        self.state = folder.parent / f"{folder.name}-state"
        self._env = {
            **os.environ,
            **remote.environment,
            "TOOLKIT_STATE_DIR": str(self.state),
            "PYTHONPATH": str(ROOT),
        }

    def begin(self, *args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "toolkit", *args]
        return subprocess.Popen(
            command,
            cwd=self.repo.path,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *args: str) -> tuple[int, str]:
        child = self.begin(*args)
        out, _ = child.communicate(timeout=120)
        return child.returncode, out

    def stores(self) -> list[Store]:
        return [Store(str(item)) for item in self.state.glob("*/")]


def test_a_colleague_goes_on_with_a_run_whose_process_was_killed(
    aws_process: Remote, tmp_path: Path
) -> None:
    remote = aws_process
    uri = remote.do("ecr", "repository", "web")["uri"]
    old = remote.do("ecr", "image", "web", "v1")["digest"]
    digest = remote.do("ecr", "image", "web", "v2")["digest"]
    remote.do("ecs", "service", "web", f"{uri}@{old}", cluster="main", desired=2)
    remote.do("ecs", "next", "success", "web", looks=8)
    remote.do("s3", "bucket", "shared")
    repo = Repo.make(tmp_path / "repo", {"a": "x"}, RULES)
    first, two = (Colleague(remote, repo, tmp_path / name) for name in ("one", "two"))
    child = first.begin(*DEPLOY)
    until = time.monotonic() + 90
    while time.monotonic() < until and not [
        call for call in remote.calls().of("UpdateService") if call.applied
    ]:
        time.sleep(0.05)
    child.kill()
    child.communicate()
    code, listed = two("history", "--json")
    assert code == 0, listed
    [run] = [result["run"] for result in json.loads(listed[listed.index("{") :])["runs"]]
    assert f"run         {run}" in two("show", run)[1]
    code, message = two("resume", run, "--yes", "--no-checks")
    assert (code, "--allow web:image=v2" in message) == (2, True), message
    allowed = ("--allow", "web:no_build", "--allow", "web:image=v2")
    code, message = two("resume", run, "--yes", "--no-checks", *allowed)
    assert code == 0, message
    calls = remote.calls()
    assert len([call for call in calls.of("RegisterTaskDefinition") if call.applied]) == 1
    assert len([call for call in calls.of("UpdateService") if call.applied]) == 1
    service = remote.get("ecs", "clusters", "main", "services", "web")
    body = remote.get("ecs", "definitions", service["definition"], "body")
    assert body["containerDefinitions"][0]["image"].endswith(digest)
    code, message = first("resume", run, "--yes")
    assert (code, "has ended" in message) == (2, True), message
    assert " succeeded " in first("history")[1]
    assert [unsent_runs(store) for store in first.stores()] == [[]]
    assert "[web] -- complete" in two("logs", run)[1]
    logs = first("logs", run)[1]
    assert "-> ecs:UpdateService" in logs
    assert "[web] -- complete" in logs
