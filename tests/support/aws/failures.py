"""How a task fails, in the words that ECS has for it."""

from tests.support.aws.wire import Misuse


def failure(
    cause: str, image: str, exit_code: int, group: str, region: str, account: str
) -> tuple[str, str, int | None, str]:
    """stopCode, stoppedReason, the container's exit code (None if it never ran) and its own
    reason.
    """
    retried = "service call has been retried 1 time(s): "
    secret = f"arn:aws:secretsmanager:{region}:{account}:secret:app-a1b2c3"
    pull = (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to"
        f" resolve ref {image}: "
    )
    killed = "OutOfMemoryError: Container killed due to memory usage"
    words = {
        "pull": ("TaskFailedToStart", f"{pull}{image}: not found", "", None),
        "pull_denied": (
            "TaskFailedToStart",
            f"{pull}pulling from host failed with status code [manifests]: 403 Forbidden",
            "",
            None,
        ),
        "exit": ("EssentialContainerExited", "Essential container in task exited", "", exit_code),
        "oom": ("EssentialContainerExited", "Essential container in task exited", killed, 137),
        "exec_format": ("EssentialContainerExited", "Essential container in task exited", "", 255),
        "secret": (
            "TaskFailedToStart",
            (
                "ResourceInitializationError: unable to pull secrets or registry auth: execution"
                f" resource retrieval failed: unable to retrieve secret from asm: {retried}failed"
                f" to fetch secret {secret} from secrets manager: ResourceNotFoundException:"
                " Secrets Manager can't find the specified secret."
            ),
            "",
            None,
        ),
        "log_group": (
            "TaskFailedToStart",
            (
                "ResourceInitializationError: failed to validate logger args: create stream has"
                " been retried 1 times: failed to create Cloudwatch log stream:"
                " ResourceNotFoundException: The specified log group does not exist. : exit"
                " status 1"
            ),
            "",
            None,
        ),
        "unhealthy": (
            "ServiceSchedulerInitiated",
            f"Task failed ELB health checks in (target-group {group})",
            "",
            143,
        ),
        "container_unhealthy": (
            "ServiceSchedulerInitiated",
            "Task failed container health checks",
            "",
            137,
        ),
        "spot": ("SpotInterruption", "Your Spot Task was interrupted.", "", 143),
    }
    if cause not in words:
        raise Misuse(f"no task fails by {cause}")
    code, reason, local, ended = words[cause]
    return code, reason, ended, local or (reason if code == "TaskFailedToStart" else "")
