"""Which lines of workflows, scripts and Makefiles are evidence, and of what."""

from collections.abc import Mapping
from typing import TypeVar

import pytest

from toolkit.init.evidence import (
    CdkDeploy,
    CommandDeploy,
    Evidence,
    FunctionDeploy,
    ImagePush,
    ServiceDeploy,
    Sighting,
    SiteDeploy,
    StackDeploy,
)
from toolkit.init.repository_draft import gather_evidence
from toolkit.init.tree import TrackedFiles

Entry = TypeVar("Entry", bound=Evidence)

FILES = {
    "api/Dockerfile": "FROM x\n",
    "infra/cdk.json": "{}",
    "sam/template.yaml": "Resources: {A: {Type: AWS::S3::Bucket}}\n",
    "cfn/net.yaml": "Resources: {A: {Type: AWS::S3::Bucket}}\n",
    "site/index.html": "",
    "fn/main.py": "",
    "tf/main.tf": "",
}


def evidence(kind: type[Entry], tree: Mapping[str, str]) -> list[Entry]:
    whole = {**FILES, **tree}
    listed, _ = gather_evidence(TrackedFiles(whole, whole.get))
    return [entry for entry in listed if isinstance(entry, kind) and entry.place.words]


def script(kind: type[Entry], text: str) -> Entry:
    (entry,) = evidence(kind, {"deploy.sh": text})
    return entry


@pytest.mark.parametrize(
    "text",
    [
        "docker build -t r.dkr.ecr.x/shop:1 api && docker push r.dkr.ecr.x/shop:1",
        "docker buildx build --push -t r.dkr.ecr.x/shop:1 api",
        "cd api; docker build -t shop . ; docker tag shop $R/shop:$V; aws ecr get-login-password;"
        " docker push $R/shop:$V",
        "aws ecr get-login\npodman build -f api/Dockerfile -t $R/shop api; podman push $R/shop",
    ],
)
def test_an_image_is_what_is_built_and_pushed(text: str) -> None:
    image = script(ImagePush, text)
    assert (image.repository, image.context, image.dockerfile, image.ecr) == (
        "shop",
        "api",
        "api/Dockerfile",
        True,
    )


def test_an_image_that_is_only_built_is_no_evidence() -> None:
    assert evidence(ImagePush, {"deploy.sh": "docker build -t shop api\n"}) == []


@pytest.mark.parametrize(
    "text",
    [
        "aws ecs update-service --cluster main --service api --force-new-deployment",
        "aws --region eu-west-1 ecs update-service --service=api --cluster=main",
        "aws ecs update-service --cluster arn:aws:ecs:eu-west-1:1:cluster/main --service api",
        "aws ecs update-service --cluster main --service api --desired-count 2"
        " --force-new-deployment",
        "aws ecs update-service --service api --cluster main --task-definition api:3"
        " --desired-count=1",
        "aws ecs update-service --cluster main --service api --desired-count 1 --task-def api:3",
        "ecs-deploy -c main -n api -i r/api:1",
        "ecs deploy main api --tag 1",
    ],
)
def test_a_service_is_what_gets_a_new_definition(text: str) -> None:
    service = script(ServiceDeploy, text)
    assert (service.cluster, service.service) == ("main", "api")


@pytest.mark.parametrize(
    ("text", "stacks"),
    [
        ("cd infra && npx cdk deploy --all", ()),
        ("cd infra; pnpm exec cdk deploy Api Web", ("Api", "Web")),
        ("npm --prefix infra run cdk -- deploy Api", ("Api",)),
        ("cdk deploy '*' -c stage=dev", ()),
        ("cd infra && cdk deploy --all 'Prod/*'", ()),
        ("cd infra && cdk deploy 'Prod/*'", ("Prod/*",)),
        ("yarn cdk deploy --require-approval never Api", ("Api",)),
    ],
)
def test_a_cdk_app_is_deployed_with_the_stacks_that_the_line_names(
    text: str, stacks: tuple[str, ...]
) -> None:
    entry = script(CdkDeploy, text)
    assert (entry.folder, entry.stacks) == ("infra", stacks)


@pytest.mark.parametrize(
    ("text", "template", "stack"),
    [
        ("cd sam; sam build; sam deploy --stack-name a", "sam/template.yaml", "a"),
        ("sam build -t cfn/net.yaml && sam deploy --stack-name a", "cfn/net.yaml", "a"),
        (
            "aws cloudformation deploy --stack-name $S --template-file cfn/net.yaml",
            "cfn/net.yaml",
            "{s}",
        ),
        (
            "aws cloudformation package --template-file cfn/net.yaml"
            " --output-template-file o.yaml\n"
            "aws cloudformation deploy --template-file o.yaml --stack-name a",
            "cfn/net.yaml",
            "a",
        ),
        (
            "aws cloudformation create-stack --stack-name a --template-body file://cfn/net.yaml",
            "cfn/net.yaml",
            "a",
        ),
    ],
)
def test_a_stack_is_deployed_from_its_source(text: str, template: str, stack: str) -> None:
    entry = script(StackDeploy, text)
    assert (entry.template, entry.stack) == (template, stack)


@pytest.mark.parametrize(
    ("text", "source", "build"),
    [
        ("cd fn && zip -r ../f.zip . && cd ..\n", "fn", ()),
        (
            "cd fn; pip install -t . x; zip -r ../f.zip .; cd ..\n",
            "fn",
            ("pip", "install", "-t", ".", "x"),
        ),
        ("zip -r f.zip fn other\n", "", ()),
        ("", "", ()),
    ],
)
def test_a_function_is_made_of_what_was_packed(
    text: str, source: str, build: tuple[str, ...]
) -> None:
    line = "aws lambda update-function-code --function-name f --zip-file fileb://f.zip"
    entry = script(FunctionDeploy, text + line)
    assert (entry.function, entry.source, entry.build) == ("f", source, build)


def test_a_package_that_goes_through_a_bucket_is_followed() -> None:
    entry = script(
        FunctionDeploy,
        "(cd fn && zip -qr ../f.zip .)\naws s3 cp f.zip s3://b/k/f.zip\n"
        "aws lambda update-function-code --function-name f --s3-bucket b --s3-key k/f.zip\n",
    )
    assert entry.source == "fn"


@pytest.mark.parametrize(
    ("text", "source", "build"),
    [
        ("aws s3 sync site s3://pages/docs", "site", ()),
        (
            "cd web; npm run build; aws s3 sync dist s3://pages/docs",
            "web/dist",
            ("npm", "run", "build"),
        ),
        ("hugo && aws s3 cp public s3://pages/docs --recursive", "public", ("hugo",)),
    ],
)
def test_a_site_is_a_folder_that_is_copied(text: str, source: str, build: tuple[str, ...]) -> None:
    entry = evidence(SiteDeploy, {"deploy.sh": text, "web/package.json": "{}"})[0]
    assert (entry.source, entry.build, entry.bucket, entry.prefix) == (
        source,
        build,
        "pages",
        "docs",
    )


@pytest.mark.parametrize(
    "text",
    [
        "aws s3 sync s3://backup ./data",
        "aws s3 sync fn s3://data",
        "aws s3 cp a.txt s3://data/",
        "aws s3 sync site s3://pages --dryrun",
        "aws --endpoint-url http://localhost:4566 s3 sync site s3://pages",
        "echo aws s3 sync site s3://pages",
        "# aws s3 sync site s3://pages",
    ],
)
def test_other_copies_are_no_sites(text: str) -> None:
    assert evidence(SiteDeploy, {"deploy.sh": text}) == []


@pytest.mark.parametrize(
    ("text", "tool", "folder", "words"),
    [
        (
            "terraform -chdir=tf apply -auto-approve plan.out",
            "terraform",
            "tf",
            ("terraform", "apply", "-auto-approve", "-input=false"),
        ),
        (
            "cd api; sls deploy --stage dev",
            "serverless",
            "api",
            ("npx", "sls", "deploy", "--stage", "dev"),
        ),
        (
            "copilot svc deploy --name api",
            "copilot",
            "",
            ("copilot", "svc", "deploy", "--name", "api"),
        ),
        (
            "helm upgrade shop api --set image.tag=$(git rev-parse HEAD)",
            "helm",
            "",
            ("helm", "upgrade", "shop", "api", "--set", "image.tag={commit}"),
        ),
    ],
)
def test_other_tools_are_run_as_they_are(
    text: str, tool: str, folder: str, words: tuple[str, ...]
) -> None:
    entry = script(CommandDeploy, text)
    assert (entry.tool, entry.folder, entry.words) == (tool, folder, words)


@pytest.mark.parametrize(
    "text",
    [
        "terraform plan",
        "terraform destroy",
        "sls deploy function -f a",
        "helm lint x",
        "helm upgrade shop fn --dry-run",
        "kubectl apply --dry-run=client -f fn",
        "cdk synth",
        "aws ecs update-service --cluster main --service api --desired-count 0",
        "aws ecs update-service --cluster main --service api --desired-count 0 --region eu-west-1"
        " --output json --profile ops",
    ],
)
def test_what_changes_nothing_is_no_evidence(text: str) -> None:
    assert evidence(CommandDeploy, {"deploy.sh": text}) == []
    assert evidence(ServiceDeploy, {"deploy.sh": text}) == []


def test_a_dry_run_that_is_turned_off_deploys() -> None:
    entry = script(CommandDeploy, "kubectl apply --dry-run=none -f fn")
    assert entry.words == ("kubectl", "apply", "--dry-run=none", "-f", "fn")


CALLED = """
on: {workflow_call: {inputs: {service: {required: true, type: string}, cluster: {default: main}}}}
jobs:
  go:
    steps:
      - run: aws ecs update-service --cluster ${{ inputs.cluster }} --service ${{ inputs.service }}
"""
CALLER = """
on: push
jobs:
  all:
    strategy: {matrix: {include: [{name: api}, {name: worker}]}}
    uses: ./.github/workflows/called.yml
    with: {service: "${{ matrix.name }}"}
"""


def test_a_called_workflow_is_read_once_for_each_call() -> None:
    tree = {".github/workflows/called.yml": CALLED, ".github/workflows/main.yml": CALLER}
    found = [(entry.cluster, entry.service) for entry in evidence(ServiceDeploy, tree)]
    assert found == [("main", "api"), ("main", "worker")]


def test_a_local_action_is_told_by_the_line_that_uses_it() -> None:
    action = (
        "inputs: {service: {default: api}}\nruns:\n  using: composite\n  steps:\n"
        "    - run: aws ecs update-service --cluster c --service ${{ inputs.service }}\n"
    )
    tree = {
        ".github/actions/deploy/action.yml": action,
        ".github/workflows/a.yml": (
            "on: push\njobs:\n  a:\n    steps:\n      - uses: ./.github/actions/deploy\n"
            "        with: {service: web}\n"
        ),
    }
    (entry,) = evidence(ServiceDeploy, tree)
    assert (entry.service, entry.place.file, entry.place.line) == (
        "web",
        ".github/workflows/a.yml",
        5,
    )


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        (".gitlab-ci.yml", "deploy:\n  script:\n    - cd infra\n    - cdk deploy\n", 4),
        ("buildspec.yml", "phases:\n  build:\n    commands:\n      - cd infra && cdk deploy\n", 4),
        (
            ".circleci/config.yml",
            "jobs:\n  d:\n    steps:\n      - run: cd infra && cdk deploy\n",
            4,
        ),
        (
            "bitbucket-pipelines.yml",
            "pipelines:\n  default:\n    - step:\n        script:\n          - cdk deploy -a x\n",
            5,
        ),
        ("Makefile", "X = infra\ndeploy: build\n\t@cd $(X) && cdk deploy\n", 3),
        ("justfile", "deploy:\n    cd infra && cdk deploy\n", 2),
        ("infra/package.json", '{\n  "scripts": {\n    "deploy": "cdk deploy"\n  }\n}\n', 3),
        ("bin/deploy", "#!/usr/bin/env bash\ncdk deploy\n", 2),
        ("Taskfile.yml", "tasks:\n  d:\n    dir: infra\n    cmds:\n      - cdk deploy\n", 5),
    ],
)
def test_each_place_that_runs_commands_is_read(path: str, text: str, line: int) -> None:
    (entry,) = evidence(CdkDeploy, {path: text})
    assert (entry.folder, entry.place.file, entry.place.line) == ("infra", path, line)


def test_what_toolkit_has_no_target_for_is_seen() -> None:
    entry = script(Sighting, "aws elasticbeanstalk update-environment --environment-name x")
    assert "Elastic Beanstalk" in entry.what


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("uv run fastapi deploy", "deploys with fastapi, which"),
        ("cargo lambda deploy --binary-name api", "deploys with cargo lambda, which"),
        ("cd fn && npx our-deployer deploy", "deploys with our-deployer, which"),
        ("gsutil -q -m cp -r out gs://bucket/main", "Cloud Storage"),
        ("gcloud storage rsync out gs://bucket", "Cloud Storage"),
        ("npm publish --access public", "a package registry"),
        ("git push --force --set-upstream origin gh-pages", "GitHub Pages"),
        ("oc process -f x.yml | oc -n shop apply -f -", "OpenShift"),
        ("docker compose -f compose.yml -f compose.deploy.yml up -d", "containers of compose.yml"),
    ],
)
def test_a_deploy_that_no_target_stands_for_is_seen(text: str, words: str) -> None:
    tree = {"compose.yml": "services: {}\n", "compose.deploy.yml": "services: {}\n"}
    (entry,) = evidence(Sighting, {**tree, "deploy.sh": text})
    assert words in entry.what


@pytest.mark.parametrize(
    "text",
    ["mkdir -p deploy && cd deploy", "tar -xf deploy", "make deploy", "gsutil ls gs://bucket"],
)
def test_a_folder_or_a_text_of_that_name_is_no_deploy(text: str) -> None:
    assert evidence(Sighting, {"deploy.sh": text}) == []


def test_containers_that_a_test_starts_are_no_deploy() -> None:
    text = "on: push\njobs: {e: {steps: [{run: docker compose up -d}]}}\n"
    tree = {"compose.yml": "services: {}\n", ".github/workflows/checks.yml": text}
    assert evidence(Sighting, tree) == []


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("steps: [{uses: our/action-deployer-openshift@v4}]", "our/action-deployer-openshift"),
        ("steps: [{uses: our/ecs/deploy@v1}]", "our/ecs/deploy"),
        ("steps: [{uses: guardian/actions-riff-raff@v4}]", "Riff-Raff"),
        ("uses: our/flows/.github/workflows/standard-deploy.yml@main", "standard-deploy.yml"),
    ],
)
def test_an_action_or_a_workflow_of_others_that_deploys_is_seen(job: str, name: str) -> None:
    tree = {".github/workflows/x.yml": f"on: push\njobs: {{a: {{{job}}}}}\n"}
    (entry,) = evidence(Sighting, tree)
    assert name in entry.what


@pytest.mark.parametrize(
    "uses",
    ["actions/checkout@v4", "our/flows/.github/workflows/pre-deploy.yml@main", "our/undeployed@v1"],
)
def test_other_actions_deploy_nothing(uses: str) -> None:
    tree = {".github/workflows/x.yml": f"on: push\njobs: {{a: {{uses: '{uses}'}}}}\n"}
    assert evidence(Sighting, tree) == []


@pytest.mark.parametrize(
    "text",
    [
        "npx vercel deploy --prod --token=$VERCEL_TOKEN",
        "helm upgrade shop chart --set db.pass=$DB_PASSWORD",
        "cd tf && terraform apply -var key=$STRIPE_API_KEY",
    ],
)
def test_no_secret_becomes_a_variable_of_the_rules(text: str) -> None:
    """A draft asked for NEXTAUTH_SECRET, to be written into rules.toml."""
    (entry,) = evidence(Sighting, {"deploy.sh": text})
    assert "secrets" in entry.what
    assert evidence(CommandDeploy, {"deploy.sh": text}) == []
