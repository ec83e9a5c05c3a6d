"""The backend: a Fargate service behind a load balancer."""

from aws_cdk import CfnParameter, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_ecs_patterns as patterns
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

PORT = 8080


class CarRentalFargateStack(Stack):
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        suffix: str,
        image_tag: str,
        vpc: ec2.IVpc,
        token_secret: secretsmanager.ISecret,
    ) -> None:
        super().__init__(scope, id)
        cluster = ecs.Cluster(self, "Cluster", cluster_name=f"car-rental{suffix}", vpc=vpc)
        task = self._task(suffix, image_tag, token_secret)
        service = self._service(suffix, cluster, task)
        service.target_group.configure_health_check(path="/health", interval=Duration.seconds(10))
        service.target_group.set_attribute("deregistration_delay.timeout_seconds", "10")

    def _task(self, suffix: str, image_tag: str, token_secret: secretsmanager.ISecret) -> ecs.FargateTaskDefinition:
        """The repository is older than this stack, because an image has to be there before the
        service can start.

        Version and commit are part of the image: a deploy of another image leaves the settings here
        as they are. And a deploy of this stack leaves the image as it is: `toolkit deploy-stack`
        gives the parameter the tag that `toolkit deploy-app` put live.
        """
        tag = CfnParameter(self, "ImageTag", default=image_tag, description="The tag of the backend's image")
        repository = ecr.Repository.from_repository_name(self, "Repository", f"car-rental-backend{suffix}")
        task = ecs.FargateTaskDefinition(
            self, "Task", family=f"car-rental-backend{suffix}", cpu=256, memory_limit_mib=512
        )
        log_group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/car-rental/backend{suffix}",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        task.add_container(
            "backend",
            image=ecs.ContainerImage.from_ecr_repository(repository, tag.value_as_string),
            port_mappings=[ecs.PortMapping(container_port=PORT)],
            secrets={"TOKEN_SECRET": ecs.Secret.from_secrets_manager(token_secret)},
            logging=ecs.LogDrivers.aws_logs(stream_prefix="backend", log_group=log_group),
        )
        return task

    def _service(
        self, suffix: str, cluster: ecs.Cluster, task: ecs.FargateTaskDefinition
    ) -> patterns.ApplicationLoadBalancedFargateService:
        """One task, because bookings live in its memory. The new one has to be healthy before the
        old one goes.
        """
        return patterns.ApplicationLoadBalancedFargateService(
            self,
            "Backend",
            service_name=f"backend{suffix}",
            cluster=cluster,
            task_definition=task,
            desired_count=1,
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            health_check_grace_period=Duration.seconds(30),
            assign_public_ip=True,
            public_load_balancer=True,
        )
