"""A scripted AWS on one port of this machine, for what no emulator has: deployments that go wrong,
and connections that do.

    def test_a_breaker_is_a_failure(aws_endpoint):            # the fixture: AWS_ENDPOINT_URL and
      credentials are set
        repository = aws_endpoint.ecr.repository("backend")
        image = aws_endpoint.ecr.image("backend", "abc123")                     # .digest, .tags; or
          push to repository.uri for real
        service = aws_endpoint.ecs.service("api", f"{repository.uri}:abc123", cluster="main",
        desired=2, group="api-tg")
        aws_endpoint.ecs.next("breaker", cause="pull", looks=1)                 # what becomes of
          the next UpdateService
        …                                                                       # the code under
          test, through boto3
        assert aws_endpoint.calls.count("UpdateService") == 1

Without the fixture: `with Endpoint(account="1"*12, region="eu-west-1") as endpoint: … endpoint.url
…`; `control.environment(url)` is what a child process needs. The fixture `aws_process` is the same
as a process of its own; its `Remote` drives it (see control.py).

**Calls**: `endpoint.calls` is a list of `Call(service, operation, params, at, key, region, fault,
outcome, applied)` of all that arrived; `.count("ecs:UpdateService")`, `.of(…)`, `.names()`,
`.applied(…)` (how often they had their effect). Operations may be written `UpdateService`,
`update_service`, `ecs:UpdateService`, `ecs:*`, `*`.

**Faults**: `endpoint.fault(operation, times=1, kind="500", when="before", skip=0, …)`; `times=None`
is for ever, `skip` lets some pass, `when="after"` applies the effect first. Returned: `.hits`,
`.seen`. Kinds: throttle, 500, 502, 503, 504, expired, denied (`resource=` in its sentence, else the
first ARN of the parameters), error (`code=, message=, status=`), duplicate (applied twice), reset
(no answer, connection reset), silent (never answers, until `endpoint.release()` or the end), drip
(a byte each `seconds=0.2`), truncated (half of the body); with the last two the effect has
happened. `endpoint.latency(0.5, "ecs:*")`. `endpoint.faults.clear()`.

**Time**: `endpoint.clock.now()`, `.stop()`, `.advance(30)`. It is in the Date header, in all
timestamps, and drives the scripts.

**Account**: set `endpoint.account`. **Regions**: `endpoint.at("us-east-1", "ecs")` is the state of
another one (S3 is the same in all).

**ECS**: `ecs.cluster(name)`, `ecs.definition(family, image, container="app", tags={},
**RegisterTaskDefinition)` (.arn, .body, .tags), `ecs.service(name, image, cluster="main",
desired=1, breaker=True, group="", definition="", strategy="", tags={}, **CreateService)` (steady
from the start; `.arn`, `.definition`, `.latest` = its newest Rollout with `.id`, `.arn`,
`.revision`, `.status`, `.images`), `ecs.find(name)`, `ecs.foreign_update(service, definition="")`,
`ecs.history = "on" | "unsupported" | "denied"` (without service deployments only `deployments[]` is
left). `ecs.next(kind, service="", seconds=0, looks=0, …)` for the next deployment:
  success (in all `seconds` and `looks`; by the service's own strategy and PAUSE hooks) · breaker
  (tasks fail, rolled back; `cause`, `exit_code=3`, `failures`, `log=[…]`, `rollback="failed"`,
  `reason`) · fail (the same as far as the service's own breaker does it, else it fails without end)
  · alarm · stopped · superseded (`foreign=` a task definition) · pause (`stage`, `timeout_minutes`,
  `timeout_action`) · blue_green · canary · linear · never. With each: `hidden=K`, the deployment
  cannot be seen in the first K reads. Causes: pull, pull_denied, exit, oom, exec_format, secret,
  log_group, unhealthy, container_unhealthy, spot, place (no task at all). With desired=0 all of the
  failing ones succeed. A look is one DescribeServices, DescribeServiceDeployments or
  ListServiceDeployments of the service: who calls two of them in turn looks twice.
  `seconds`/`looks` are between two steps, except for success.
`ecs.next_task(exit_code=0, seconds=0, cause="", log=(), refused="")` for the next RunTask.

**ECR**: `ecr.repository(name, immutable=False)` (`.uri`), `ecr.image(repository, *tags,
content="")`, `.repositories[name].images[digest]`; /v2/ takes real pushes (Basic auth with
GetAuthorizationToken's password), recorded and spoilt as `registry:PutUpload`,
`registry:PutManifest` …. **ELBv2**: `elbv2.group(name)`, `elbv2.health(group, address, state,
reason)`; tasks of services register by themselves. **Logs**: `logs.put(group, stream, *lines)`.
**S3**: `s3.bucket(name, owner=None)`, `s3.put(bucket, key, body)`, `s3.conflicts = 1` (409).
**CloudFormation**: see cloudformation.py. **Anything else**: `endpoint.on("ssm", "GetParameter",
{…} | AwsError(code, message, status) | function of the parameters)`: for any operation of the
services above, and of iam, ssm, secretsmanager, cloudwatch, lambda, cloudfront, acm, rds,
codebuild.

What a handler answers is checked with botocore's model; a mistake of the endpoint, or an operation
that it does not offer, is a 501 to the client and raises Misuse when the endpoint is left.
"""

from tests.support.aws.clock import Clock
from tests.support.aws.control import Remote, apart
from tests.support.aws.faults import Call, Calls, Fault
from tests.support.aws.rollout import Outcome
from tests.support.aws.server import Endpoint
from tests.support.aws.wire import AwsError, Misuse

__all__ = [
    "AwsError",
    "Call",
    "Calls",
    "Clock",
    "Endpoint",
    "Fault",
    "Misuse",
    "Outcome",
    "Remote",
    "apart",
]
