"""The builds of a run: a step for each artifact, which waits for nothing. Pure."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from toolkit.advice import NextCommand
from toolkit.errors import Refused
from toolkit.operations import Job, JobAction, PlannedCall, Preview
from toolkit.run.jobs import step_token

BUILD = ":build"
"""How the name of a step ends that builds. No target has a colon in its name."""


def with_builds(
    jobs: Sequence[Job], previews: Mapping[str, Preview]
) -> tuple[tuple[Job, ...], dict[str, Preview]]:
    """The jobs and their previews, with a step that builds what one or several of them need right
    before the first of these, and with what each of them waits for.

    A job without a preview builds for itself: what it lacks is created by an earlier step.
    """
    builds: dict[str, Job] = {}
    with_steps: list[Job] = []
    shown = dict(previews)
    for job in jobs:
        preview = previews.get(job.step)
        artifact = None if preview is None else preview.artifact
        if preview is None or artifact is None:
            with_steps.append(job)
            continue
        if artifact.key not in builds:
            build = _build_job(job)
            builds[artifact.key] = build
            with_steps.append(build)
            shown[build.step] = Preview(artifact.calls, artifact=artifact)
        build = builds[artifact.key]
        with_steps.append(replace(job, needs=tuple(sorted((*job.needs, build.step)))))
        if job.location == build.location:
            shown[job.step] = _without_build(preview, shown[build.step].calls)
    return tuple(with_steps), shown


def only_builds(
    jobs: Sequence[Job], previews: Mapping[str, Preview]
) -> tuple[tuple[Job, ...], dict[str, Preview]]:
    """The steps that build what these jobs need, each where its own job needs it, and their
    previews. What several need is built once and copied.
    """
    builds: list[Job] = []
    shown: dict[str, Preview] = {}
    for job in jobs:
        preview = previews.get(job.step)
        if preview is not None and preview.artifact is not None:
            build = _build_job(job)
            builds.append(build)
            shown[build.step] = Preview(preview.artifact.calls, artifact=preview.artifact)
    return tuple(builds), shown


def refuse_unbuilt(jobs: Sequence[Job], previews: Mapping[str, Preview]) -> None:
    """Raises Refused for a job whose artifact does not exist yet, or is built by its own step."""
    for job in jobs:
        preview = previews.get(job.step)
        if preview is not None and preview.builds:
            raise Refused(
                f"{job.step} is built by its own step, whenever it is deployed",
                f"leave out --skip-build, or add --without {job.target}",
            )
        artifact = None if preview is None else preview.artifact
        if artifact is not None:
            build = NextCommand("deploy", (job.target,), ("--only-build",))
            raise Refused(
                f"{artifact.what} {artifact.name} of {job.step} is not built yet",
                ("build it first:", build),
            )


def _build_job(job: Job) -> Job:
    """The step that builds the artifact of a job, and puts it where that job needs it. Its time is
    in the target's estimate.
    """
    step = f"{job.step}{BUILD}"
    return replace(
        job,
        step=step,
        action=JobAction.BUILD,
        token=step_token(job.run, step, job.version.fingerprint),
        needs=(),
        estimate_s=0,
        recorded=None,
    )


def _without_build(preview: Preview, made: Sequence[PlannedCall]) -> Preview:
    """The preview without the calls that its build step makes. What it needs elsewhere is copied
    there by its own step.
    """
    return replace(preview, calls=tuple(call for call in preview.calls if call not in made))
