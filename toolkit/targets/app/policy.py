"""The IAM statements that a deploy needs: a service, a repository, and no more where IAM can tell
them apart.
"""

from msgspec.structs import replace

from toolkit.operations import Job, Statement
from toolkit.ports.aws import ecr
from toolkit.ports.aws.names import arn
from toolkit.targets import alarms
from toolkit.targets.app.settings import AppSettings

_READ_IMAGES = ("ecr:DescribeRepositories", "ecr:DescribeImages")
_MAKE = (
    "ecr:CreateRepository",
    "ecr:GetLifecyclePolicy",
    "ecr:ListTagsForResource",
    "ecr:PutLifecyclePolicy",
    "ecr:TagResource",
)
_PUSH = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)


def statements(job: Job) -> tuple[Statement, ...]:
    """For one target in one place. Pure: names of roles and log groups, which only the task
    definition knows, stay open.
    """
    settings: AppSettings = job.settings
    location, cluster, service = job.location, settings.cluster, settings.service
    named = ecr.named(settings.repository)
    registry = replace(
        location,
        account=named.account or location.account,
        region=named.region or location.region,
    )
    repository = arn(registry, "ecr", f"repository/{named.name}")
    service_path = f"{cluster}/{service}"
    in_cluster = {"ArnEquals": {"ecs:cluster": arn(location, "ecs", f"cluster/{cluster}")}}
    role_reason = "pass the task's roles on to ECS"
    if not settings.roles:
        role_reason += "; name them in `roles` of the target to narrow it"
    needed = [
        Statement("see which images there are", _READ_IMAGES, (repository,)),
        Statement(
            "see the service, move it, and follow its deployments",
            ("ecs:DescribeServices", "ecs:UpdateService", "ecs:ListServiceDeployments"),
            (arn(location, "ecs", f"service/{service_path}"),),
        ),
        Statement(
            "follow a deployment, and stop one that cannot succeed",
            ("ecs:DescribeServiceDeployments", "ecs:StopServiceDeployment"),
            (arn(location, "ecs", f"service-deployment/{service_path}/*"),),
        ),
        Statement(
            "see what a deployment deploys",
            ("ecs:DescribeServiceRevisions",),
            (arn(location, "ecs", f"service-revision/{service_path}/*"),),
        ),
        Statement(
            "find the tasks of the service; AWS has no narrower resource",
            ("ecs:ListTasks",),
            ("*",),
            in_cluster,
        ),
        Statement(
            "see why tasks stopped",
            ("ecs:DescribeTasks",),
            (arn(location, "ecs", f"task/{cluster}/*"),),
        ),
        Statement(
            "copy the task definition; AWS has no narrower resource",
            ("ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ecs:RegisterTaskDefinition"),
        ),
        Statement(
            "tag the task definition with what it deploys",
            ("ecs:TagResource",),
            (arn(location, "ecs", "task-definition/*:*"),),
            {"StringEquals": {"ecs:CreateAction": "RegisterTaskDefinition"}},
        ),
        Statement(
            role_reason,
            ("iam:PassRole",),
            tuple(arn(location, "iam", f"role/{role}") for role in settings.roles or ("*",)),
            {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
        Statement(
            "see whether new tasks answer; AWS has no narrower resource",
            ("elasticloadbalancing:DescribeTargetHealth",),
        ),
        Statement(
            "show the last lines of a task that failed, and follow logs (tail)",
            ("logs:GetLogEvents",),
            (arn(location, "logs", "log-group:*:log-stream:*"),),
        ),
        Statement(
            "run a command once (run-task); AWS chooses the task definition's number",
            ("ecs:RunTask",),
            (arn(location, "ecs", "task-definition/*:*"),),
            in_cluster,
        ),
        Statement(
            "stop such a task",
            ("ecs:StopTask",),
            (arn(location, "ecs", f"task/{cluster}/*"),),
        ),
        alarms.STATEMENT,
    ]
    if settings.build is not None:
        build = [
            Statement(
                "sign in to the registry; AWS has no narrower resource",
                ("ecr:GetAuthorizationToken",),
            ),
            Statement("push the image", _PUSH, (repository,)),
        ]
        if not named.account:  # a repository of another account is never created
            why = "create the repository if it does not exist (--create)"
            build.append(Statement(why, _MAKE, (repository,)))
        needed[1:1] = build
    return tuple(needed)
