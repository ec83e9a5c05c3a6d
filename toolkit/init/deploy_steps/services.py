"""ECS services that get a new task definition."""

from toolkit.init.command_words import Options
from toolkit.init.deploy_steps.context import JobContext, StepReader, arn_name, image_repository
from toolkit.init.evidence import ServiceDeploy
from toolkit.init.steps import Step


class ServiceSteps(StepReader):
    """`aws ecs update-service`, `ecs-deploy`, `ecs deploy` and the ECS deploy action."""

    def __init__(self, context: JobContext) -> None:
        super().__init__(context)
        self._rendered: list[tuple[str, str]] = []
        self.programs = {"ecs-deploy": self._read_ecs_deploy, "ecs": self._read_ecs}
        self.operations = {("ecs", "update-service"): self._read_update_service}
        self.actions = {
            "aws-actions/amazon-ecs-render-task-definition": self._read_render_action,
            "aws-actions/amazon-ecs-deploy-task-definition": self._read_ecs_action,
        }

    def _read_update_service(self, options: Options) -> None:
        service = options.first("--service")
        cluster = options.first("--cluster") or "default"
        # The AWS CLI takes the beginning of an option's name, too.
        deploys = any(name.startswith(("--task", "--force")) for name in options.values)
        if service and (deploys or not options.has("--desired-count")):
            self.job.add(ServiceDeploy(self.job.place(), arn_name(cluster), arn_name(service)))

    def _read_ecs_deploy(self, words: tuple[str, ...]) -> None:
        options = Options(words)
        cluster = options.first("-c", "--cluster")
        service = options.first("-n", "--service-name")
        image = options.first("-i", "--image")
        if cluster and service:
            images = (image_repository(image),) if image else ()
            self.job.add(ServiceDeploy(self.job.place(), cluster, service, images=images))

    def _read_ecs(self, words: tuple[str, ...]) -> None:
        """`ecs deploy CLUSTER SERVICE`, of the Python package ecs-deploy."""
        options = Options(words)
        if options.plain[:1] == ["deploy"] and len(options.plain) > 2:
            self.job.add(ServiceDeploy(self.job.place(), options.plain[1], options.plain[2]))

    def _read_render_action(self, step: Step) -> None:
        container, image = step.inputs.get("container-name", ""), step.inputs.get("image", "")
        self._rendered.append((container, image))

    def _read_ecs_action(self, step: Step) -> None:
        given = step.inputs
        service = given.get("service", "")
        if not service:
            return
        container = ""
        images: list[str] = []
        for name, image in self._rendered[-1:]:
            container = name
            # `steps.build.outputs.image` says nothing; the job's own pushes do.
            if "/" in image or ":" in image:
                images.append(image_repository(image))
        cluster = given.get("cluster", "") or "default"
        self.job.add(
            ServiceDeploy(
                self.job.place(), cluster, service, container, tuple(filter(None, images))
            )
        )
