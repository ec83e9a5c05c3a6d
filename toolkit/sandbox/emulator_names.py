"""The emulator's (ministack's) internal names that engine.py uses or replaces: the path of a
module's attribute (`[KEY]`: a key of it), and why.

A new version of the emulator may drop any of them without notice. So a test looks for each of them
in the installed version, and another one checks that engine.py uses no others. This file runs in
the emulator's process, so it uses the standard library only.
"""

NAMES = {
    # requests
    "ministack.app.app": "stands behind our guard, which asks for a signature",
    "ministack.app._send_if_handled": "sends what a load balancer or a task has answered",
    "ministack.core.responses.request_scope": "acts in the account and region of a request",
    "ministack.core.responses.get_account_id": "the account that a request means",
    "ministack.core.responses.get_region": "the region that a request means",
    "ministack.core.responses.set_request_account_id": "the account of a load balancer's host",
    "ministack.core.responses.set_request_region": "the region of a load balancer's host",
    "ministack.core.responses.error_response_json": "answers of the calls that are added",
    "ministack.core.responses.json_response": "answers of the calls that are added",
    "ministack.core.iam_actions.extract_resource_arn": (
        "replaced: under enforcement a call of ECS is about a service and not about its cluster"
    ),
    # who may ask
    "ministack.services.iam._access_keys": "the secret that a request has to be signed with",
    "ministack.services.sts._sessions": "the secret of a role's session",
    "ministack.services.ecs_metadata._TOKEN_TO_TASK": "a path that is a secret needs no signature",
    "ministack.services.cloudformation.custom_resource._pending": "the same",
    "ministack.services.cloudformation.wait_conditions.SIGNAL_PATH": "the same",
    "ministack.services.cloudformation.wait_conditions.has_handle": "the same",
    # ECS
    "ministack.services.ecs._docker": "replaced: programs are run without an engine",
    "ministack.services.ecs._ImagePullError": "what a missing image has to raise",
    "ministack.services.ecs._ACTION_MAP": "the calls about service deployments are added",
    "ministack.services.ecs._create_service": "replaced: each deployment is remembered",
    "ministack.services.ecs._update_service": "replaced: each deployment is remembered",
    "ministack.services.ecs._run_task": "replaced: task definitions are refused as by ECS",
    "ministack.services.ecs._delete_service": "a provisional service gives way to a stack's",
    "ministack.services.ecs._make_deployment": "replaced: a first deployment takes its time, too",
    "ministack.services.ecs._reconcile_service_tasks": "a stopped deployment's tasks end",
    "ministack.services.ecs._schedule_service_deployment_completion": (
        "the deployment before a stopped one comes to its end"
    ),
    "ministack.services.ecs._circuit_breaker_threshold": "shown by DescribeServiceDeployments",
    "ministack.services.ecs._iso": "times in the emulator's own form",
    "ministack.services.ecs._services": "the services and their deployments",
    "ministack.services.ecs._tasks": "the tasks that run, for the address of their service",
    "ministack.services.ecs._task_defs": "their ports; what a stack's template says of them",
    "ministack.services.ecs._tags": "whether a service is provisional; a stack's tags",
    "ministack.services.ecs._resolve_td_key": "a task definition by any of its names",
    "ministack.services.ecs._resolve_cluster_name": "a cluster by any of its names",
    # images
    "ministack.services.ecr._resolve_manifest": "the image that a task runs",
    "ministack.services.ecr._layer_blobs": "its files",
    "ministack.services.ecr._get_authorization_token": "replaced: the password names the account",
    "ministack.services.ecr._describe_images": "replaced: missing images and sizes are as in AWS",
    "ministack.services.ecr._find_image": "whether an image is there, and its manifest",
    "ministack.services.ecr._repositories": "whether a repository is there",
    # functions
    "ministack.services.lambda_svc._functions": "which there are; weights, the code's digest",
    "ministack.services.lambda_svc._invoke": "replaced: weights of an alias route its calls",
    "ministack.services.lambda_svc._publish_version": (
        "replaced: other code than was asked for is refused, and so is an update in progress"
    ),
    "ministack.services.lambda_svc._qualifier_from_path_or_query": "the alias that is called",
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS[AWS::Lambda::Version]": (
        "replaced: a stack waits for an update in progress"
    ),
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS[AWS::Lambda::Function]": (
        "replaced: a stack does not take the name of a function that exists"
    ),
    # load balancers
    "ministack.services.alb._lbs": "the load balancers",
    "ministack.services.alb._tgs": "the load balancer that a service is behind",
    "ministack.services.alb.find_lb_for_host": "replaced: found in whichever account it is",
    "ministack.services.alb._find_lb_by_name": "replaced: found in whichever account it is",
    "ministack.services.alb.dispatch_request": "an open request goes to it and nowhere else",
    "ministack.services.alb._targets": "a request goes to a target that listens",
    "ministack.services.alb._proxy_http_target": (
        "replaced: a request goes to a target that listens; an open one to a task directly"
    ),
    # CloudFormation
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS": (
        "types that a CDK service has are added"
    ),
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS[AWS::ECS::Service]": (
        "replaced: a provisional service gives way"
    ),
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS[AWS::ECS::TaskDefinition]": (
        "replaced: a task definition has all that its template says"
    ),
    "ministack.services.s3._delete_bucket": "a stack's bucket that is not empty stays",
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS[AWS::S3::Bucket]": (
        "replaced: a bucket that is not empty is not deleted"
    ),
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS[AWS::SecretsManager::Secret]": (  # noqa: E501 (a path)
        "replaced: a secret's `Ref` is its ARN"
    ),
    "ministack.services.cloudformation.provisioners._ecs_task_def_create": "replaced: the same",
    "ministack.services.cloudformation.provisioners._normalize_container_defs": (
        "replaced: names of members as in the API of ECS"
    ),
    "ministack.services.cloudformation.provisioners._ec2_sg_permissions": (
        "rules of a security group that stand on their own"
    ),
    "ministack.services.ec2._security_groups": "the groups that such rules belong to",
    "ministack.services.secretsmanager._resolve": "a secret by its ARN",
}
