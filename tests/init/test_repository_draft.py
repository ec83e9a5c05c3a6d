"""What is drafted for whole repositories, and what a change of their files then calls for: the toys
of strangers' repositories among them.
"""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.init.drafted import DraftedRepository
from toolkit.formats.glob import alternatives
from toolkit.init.draft import draft_to_toml
from toolkit.init.repository_draft import draft_repository
from toolkit.init.tree import MOST_READ

STAGED = {"stage": "{stage}"}
NEVER_ASK = ("--require-approval", "never")
DEPLOY = """
on:
  push: {branches: [main]}
env:
  AWS_REGION: eu-west-1
jobs:
  backend:
    runs-on: ubuntu-latest
    strategy:
      matrix: {service: [api, worker]}
    steps:
      - uses: aws-actions/configure-aws-credentials@v4
        with: {aws-region: eu-west-1, role-to-assume: "arn:aws:iam::123456789012:role/deploy"}
      - id: login
        uses: aws-actions/amazon-ecr-login@v2
      - env:
          IMAGE: ${{ steps.login.outputs.registry }}/shop-${{ matrix.service }}:${{ github.sha }}
        run: |
          docker build -f services/${{ matrix.service }}/Dockerfile -t $IMAGE .
          docker push "$IMAGE"
      - run: aws ecs update-service --cluster shop --service shop-${{ matrix.service }}
  web:
    runs-on: ubuntu-latest
    defaults: {run: {working-directory: web}}
    steps:
      - run: npm ci && npm run build
      - run: |
          aws s3 sync dist s3://shop-web-pages --delete
          aws cloudfront create-invalidation --distribution-id E123 --paths '/*'
  infra:
    runs-on: ubuntu-latest
    steps:
      - run: npx cdk deploy --all --require-approval never
        working-directory: infra
"""
SHOP = {
    ".github/workflows/deploy.yml": DEPLOY,
    "services/api/Dockerfile": "FROM x\nCOPY services/api libs /app/\n",
    "services/api/main.py": "",
    "services/worker/Dockerfile": "FROM x\nCOPY services/worker /app/\n",
    "services/worker/main.py": "",
    "libs/money.py": "",
    "web/package.json": '{"scripts": {"build": "x"}, "dependencies": {"@shop/ui": "*"}}',
    "web/index.html": "",
    "packages/ui/package.json": '{"name": "@shop/ui"}',
    "packages/ui/button.ts": "import '../../tokens/colors'\n",
    "tokens/colors.ts": "",
    "infra/cdk.json": '{"app": "npx tsx bin/app.ts"}',
    "infra/bin/app.ts": "import { Net } from '../lib/net'\n",
    "infra/lib/net.ts": "",
    "package.json": '{"workspaces": ["web", "packages/*"]}',
    "package-lock.json": "{}",
    "tools/Dockerfile": "FROM x\n",
    "README.md": "",
}


def shop() -> DraftedRepository:
    return DraftedRepository(SHOP)


def test_each_thing_that_ci_deploys_is_a_target_called_after_it() -> None:
    assert shop().targets == {
        "shop-api": "app",
        "shop-worker": "app",
        "infra": "stack",
        "shop-web-pages": "site",
    }


def test_each_target_says_what_proves_that_it_is_deployed() -> None:
    lines = DEPLOY.split("\n")
    for name, words in (
        ("shop-api", "aws ecs update-service --cluster shop --service shop-api"),
        ("infra", "npx cdk deploy --all --require-approval never"),
        ("shop-web-pages", "aws s3 sync dist s3://shop-web-pages --delete"),
    ):
        line = next(at for at, row in enumerate(lines, 1) if words.split(" --service")[0] in row)
        first = shop().comment(name).split("\n")[0]
        assert first == f"deployed by .github/workflows/deploy.yml:{line}: {words}"


def test_names_account_and_region_are_those_of_the_steps() -> None:
    drafted = shop()
    assert drafted.setting("shop-api", "repository") == "shop-api"
    assert drafted.setting("shop-api", "build")["dockerfile"] == "services/api/Dockerfile"
    assert drafted.setting("shop-web-pages", "distribution") == "E123"
    assert drafted.setting("shop-web-pages", "build") == {
        "command": ["npm", "run", "build"],
        "folder": "web",
    }
    (environment,) = drafted.rules.environments.values()
    assert (environment.account, environment.regions) == ("123456789012", ("eu-west-1",))


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("services/api/main.py", ["shop-api"]),
        ("services/worker/new/file.py", ["shop-worker"]),
        ("libs/new.py", ["shop-api"]),
        ("web/src/new.ts", ["shop-web-pages"]),
        ("packages/ui/new.ts", ["shop-web-pages"]),
        ("tokens/new.ts", ["shop-web-pages"]),
        ("package-lock.json", ["infra", "shop-web-pages"]),
        ("infra/lib/new.ts", ["infra"]),
        ("new-folder/file", "everything"),
        ("tools/Dockerfile", "everything"),
        ("README.md", "ignored"),
    ],
)
def test_a_change_calls_for_all_that_may_be_made_of_it(path: str, due: object) -> None:
    assert shop().due(path) == due


def test_a_path_of_no_rule_calls_for_all_targets() -> None:
    rules = shop().rules
    assert rules.unmatched == "everything"
    assert set(rules.targets["everything"].members) == set(shop().targets)


def test_what_nothing_proves_is_seen_and_not_drafted() -> None:
    assert "nothing says that it is deployed" in shop().seen["tools/Dockerfile"]
    assert "tools" not in shop().targets


# --- The toys of faults.md, section I

TOY_APP = """
[Orders, Bills].forEach(One => ['test', 'live'].forEach(s => new One(app, s)))
new Net(app, 'net')
"""


@pytest.mark.parametrize(
    "app",
    [
        TOY_APP,
        "for (const [name, C] of Object.entries(stacks)) new C(app, name)\nnew Net(app, 'net')\n",
        "import { makeAll } from './all'\nmakeAll(new App())\nnew Net(app, 'net')\n",
    ],
)
def test_a_cdk_app_is_one_target_however_its_stacks_are_made(app: str) -> None:
    """I1: stacks that are made in a loop were forgotten, and the others called `all`."""
    tree = {
        "cdk/cdk.json": '{"app": "npx tsx bin/app.ts"}',
        "cdk/bin/app.ts": app,
        "cdk/lib/orders.ts": "export class Orders extends Stack {}\n",
    }
    drafted = DraftedRepository(tree)
    assert list(drafted.targets) == ["cdk"]
    assert drafted.setting("cdk", "deploy") == [
        "cdk",
        "deploy",
        "--all",
        "--require-approval",
        "never",
    ]
    assert drafted.due("cdk/lib/orders.ts") == ["cdk"]
    assert drafted.due("cdk/lib/new/file.ts") == ["cdk"]


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("cdk deploy --all", {}),
        ("npx cdk deploy '*' --require-approval never --concurrency 4", {}),
        ("cdk deploy", {}),
        ("cdk deploy --all -c stage=dev", {"context": {"stage": "dev"}}),
        ("cdk deploy --all -c stage=$STAGE", {"context": {"stage": "{stage}"}}),
    ],
)
def test_a_line_that_deploys_a_whole_app_is_a_target_of_all_its_stacks(
    line: str, settings: dict[str, object]
) -> None:
    drafted = DraftedRepository(
        {"cdk/cdk.json": "{}", "cdk/app.py": "", "deploy.sh": f"cd cdk; {line}"}
    )
    assert drafted.targets == {"cdk": "stack"}
    (target,) = drafted.survey.draft.targets
    assert target.settings == {"cdk": "cdk", "stacks": "*", **settings}
    assert drafted.due("cdk/new.py") == ["cdk"]


@pytest.mark.parametrize(
    ("line", "files", "more"),
    [
        ("cdk deploy --all -a 'node x.js'", {}, []),
        ("cdk deploy --all --parameters Api:Size=3", {}, ["--parameters", "Api:Size=3"]),
        ("cdk deploy --all -r arn:aws:iam::1:role/x", {}, ["-r", "arn:aws:iam::1:role/x"]),
        ("cdk deploy --all -c a=1; cdk deploy --all -c a=2", {}, []),
        ("cdk deploy --all", {"cdk/lib/a.ts": "ContainerImage.fromAsset('../api')"}, []),
        ("cdk deploy --all", {"cdk/a.py": "image=ecs.ContainerImage.from_asset('../api')"}, []),
        ("cdk deploy --all", {"cdk/a.py": "lambda_.DockerImageCode.from_image_asset('x')"}, []),
        ("cdk deploy --all", {"cdk/A.java": "DockerImageAsset.Builder.create(this, x)"}, []),
    ],
)
def test_what_the_kind_cannot_say_or_refuses_is_deployed_by_the_cdk(
    line: str, files: dict[str, str], more: list[str]
) -> None:
    drafted = DraftedRepository({"cdk/cdk.json": "{}", "deploy.sh": f"cd cdk; {line}", **files})
    assert drafted.targets == {"cdk": "command"}
    words = ["cdk", "deploy", "--all", "--require-approval", "never"]
    assert drafted.setting("cdk", "deploy") == [*words, *more]


@pytest.mark.parametrize(
    ("lines", "stacks"),
    [
        ("cdk deploy Net Api", ["Net", "Api"]),
        ("cdk deploy 'Prod/*'", ["Prod/*"]),
        ("cdk deploy Net --exclusively; cdk deploy Api Net", ["Net", "Api"]),
    ],
)
def test_lines_that_name_stacks_deploy_those_and_no_others(lines: str, stacks: list[str]) -> None:
    tree = {"cdk/cdk.json": "{}", "deploy.sh": f"cd cdk; {lines}"}
    drafted = DraftedRepository(tree)
    assert drafted.targets == {"cdk": "stack"}
    assert drafted.setting("cdk", "stacks") == stacks
    with_images = DraftedRepository({**tree, "cdk/a.ts": "ContainerImage.fromAsset('../api')"})
    words = ["cdk", "deploy", *stacks, "--require-approval", "never"]
    assert with_images.setting("cdk", "deploy") == words


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('cdk deploy "${STACKS[@]}" --exclusively', "…"),
        ("cdk deploy $(cat stacks.txt)", "…"),
        ("cdk deploy Net Api-$(git rev-parse HEAD)", "Net Api-…"),
    ],
)
def test_which_stacks_is_asked_where_only_a_run_would_tell(line: str, shown: str) -> None:
    drafted = DraftedRepository({"cdk/cdk.json": "{}", "deploy.sh": f"cd cdk; {line}"})
    question = f"targets.cdk.deploy: which stacks is `{shown}` there? `--all` is every one"
    assert question in drafted.questions


def in_jobs(lines: Mapping[str, str]) -> DraftedRepository:
    """The draft of an app that a job of each environment deploys with its line."""
    jobs = "".join(
        f"  {name}:\n    environment: {name}\n    steps: [{{run: 'cd cdk; {line}'}}]\n"
        for name, line in lines.items()
    )
    workflow = f"on: push\njobs:\n{jobs}"
    return DraftedRepository({"cdk/cdk.json": "{}", ".github/workflows/d.yml": workflow})


@pytest.mark.parametrize(
    ("dev", "prod", "settings"),
    [
        ("App-dev", "App-prod", {"stack": "App-{stage}"}),
        ("Net-dev App-dev", "Net-prod App-prod", {"stacks": ["Net-{stage}", "App-{stage}"]}),
        ("dev/*", "prod/*", {"stacks": ["{stage}/*"]}),
        ("App -c stage=dev", "App -c stage=prod", {"stack": "App", "context": STAGED}),
        ("--all -c stage=dev", "--all -c stage=prod", {"stacks": "*", "context": STAGED}),
    ],
)
def test_no_environment_deploys_the_stacks_of_another(
    dev: str, prod: str, settings: dict[str, object]
) -> None:
    drafted = in_jobs({"dev": f"cdk deploy {dev}", "prod": f"cdk deploy {prod}"})
    (target,) = drafted.survey.draft.targets
    assert (target.kind, target.settings) == ("stack", {"cdk": "cdk", **settings})
    environments = drafted.rules.environments
    assert {name: environment.vars["stage"] for name, environment in environments.items()} == {
        "dev": "dev",
        "prod": "prod",
    }


@pytest.mark.parametrize(
    ("dev", "prod", "stacks"),
    [
        ("AppDev", "AppProd", ["{cdk_stacks}"]),
        ("Net AppDev", "Net AppProd", ["Net", "{cdk_stacks}"]),
        ("Net", "Net Api", ["Net", "{cdk_stacks}"]),
    ],
)
def test_stacks_of_one_environment_alone_are_asked_for(
    dev: str, prod: str, stacks: list[str]
) -> None:
    drafted = in_jobs({"dev": f"cdk deploy {dev}", "prod": f"cdk deploy {prod}"})
    assert drafted.setting("cdk", "stacks") == stacks
    assert "environments.dev.vars.cdk_stacks: what targets.cdk.stacks is" in drafted.questions


@pytest.mark.parametrize(
    ("dev", "prod"), [("-c a=1", "-c a=2"), ("-c a=1", ""), ("-c a=dev", "-c a=prod-2")]
)
def test_context_that_lines_give_otherwise_is_asked_for(dev: str, prod: str) -> None:
    drafted = in_jobs({"dev": f"cdk deploy --all {dev}", "prod": f"cdk deploy --all {prod}"})
    assert drafted.targets == {"cdk": "command"}
    assert "targets.cdk.deploy: what is `-c a=…` there?" in drafted.questions


def test_context_of_other_environments_than_the_stacks_is_asked_for() -> None:
    dev, prod = "cdk deploy App-dev -c a=test", "cdk deploy App-prod -c a=live"
    drafted = in_jobs({"dev": dev, "prod": prod})
    assert drafted.setting("cdk", "deploy")[2] == "App-{stage}"
    assert set(drafted.rules.environments) == {"dev", "prod"}
    assert "targets.cdk.deploy: what is `-c a=…` there?" in drafted.questions


def test_a_line_that_names_the_stacks_of_two_environments_deploys_both() -> None:
    drafted = in_jobs({"all": "cdk deploy App-dev App-prod"})
    assert drafted.setting("cdk", "stacks") == ["App-dev", "App-prod"]


def test_a_stack_by_its_path_in_the_app_keeps_its_path() -> None:
    drafted = in_jobs({"prod": "cdk deploy Pipeline/Prod/App"})
    assert drafted.setting("cdk", "stacks") == ["Pipeline/Prod/App"]


def test_one_stack_with_images_is_deployed_by_the_cdk() -> None:
    tree = {"cdk/cdk.json": "{}", "cdk/a.ts": "ContainerImage.fromAsset('../api')"}
    drafted = DraftedRepository({**tree, "deploy.sh": "cd cdk; cdk deploy App"})
    assert drafted.setting("cdk", "deploy") == ["cdk", "deploy", "App", *NEVER_ASK]
    assert "those lines name" in drafted.comment("cdk")


@pytest.mark.parametrize("name", ["[a", "b{", "!a", "a/../b"])
def test_names_that_cannot_be_patterns_of_stacks_are_asked_for(name: str) -> None:
    drafted = DraftedRepository(
        {"cdk/cdk.json": "{}", "deploy.sh": f"cd cdk; cdk deploy '{name}' c"}
    )
    assert drafted.targets == {"cdk": "command"}
    assert f"which stacks is `{name} c` there?" in drafted.questions


@pytest.mark.parametrize("words", ["''", "--all -t ''"])
def test_empty_words_of_a_line_say_nothing(words: str) -> None:
    drafted = DraftedRepository({"cdk/cdk.json": "{}", "deploy.sh": f"cd cdk; cdk deploy {words}"})
    assert drafted.setting("cdk", "stacks") == "*"


@pytest.mark.parametrize(
    ("lines", "stacks"),
    [
        (("--all", "--all"), {"a": "*", "b": "*"}),
        (("Net Api", "Net Web"), {"a": ["{a_stacks}", "Api"], "b": ["{b_stacks}", "Web"]}),
        (("X/Net Api", "X-Net Web"), {"a": ["{a_stacks}", "Api"], "b": ["{b_stacks}", "Web"]}),
        (("'N*'", "'N*'"), {"a": ["N*"], "b": ["N*"]}),
    ],
)
def test_two_apps_have_their_own_stacks(lines: tuple[str, str], stacks: dict[str, object]) -> None:
    script = f"cd a; cdk deploy {lines[0]}; cd ../b; cdk deploy {lines[1]}"
    drafted = DraftedRepository({"a/cdk.json": "{}", "b/cdk.json": "{}", "deploy.sh": script})
    assert {name: drafted.setting(name, "stacks") for name in ("a", "b")} == stacks


def test_two_targets_for_a_stack_of_an_app_and_of_a_template_are_asked_for() -> None:
    script = "aws cloudformation deploy --stack-name Net --template-file t.yaml; cd a"
    tree = {"a/cdk.json": "{}", "t.yaml": "Resources: {A: {Type: AWS::SQS::Queue}}\n"}
    drafted = DraftedRepository({**tree, "deploy.sh": f"{script}; cdk deploy Net Api"})
    assert drafted.setting("net", "stack") == "{net_stack}"
    assert drafted.setting("a", "stacks") == ["{a_stacks}", "Api"]


def test_a_whole_app_whose_source_cannot_be_read_is_deployed_by_the_cdk() -> None:
    tree = {"cdk/cdk.json": "{}", "cdk/a.py": "", "deploy.sh": "cd cdk; cdk deploy --all"}
    unreadable = {**tree, "cdk/a.py": None}
    draft = draft_repository(list(tree), unreadable.get).draft
    assert [target.kind for target in draft.targets] == ["command"]


def test_an_option_that_only_a_run_would_tell_is_asked_for() -> None:
    tree = {"cdk/cdk.json": "{}", "deploy.sh": "cd cdk; cdk deploy --all -c a=$(date)"}
    drafted = DraftedRepository(tree)
    assert drafted.targets == {"cdk": "command"}
    assert "targets.cdk.deploy: what is `-c a=…` there?" in drafted.questions


@pytest.mark.parametrize(
    "stack",
    [
        "import { Source as S3Source } from 's3'\nS3Source.asset(join(here, '../../web/dist'))\n",
        "const parts = ['..', '..', 'web', 'dist']\nnew BucketDeployment(this, 'x', parts)\n",
        "Source.asset(path.resolve(root, 'web'))\n",
        "source = s3deploy.Source.asset('../web/dist')\n",
    ],
)
def test_a_front_end_that_a_stack_ships_is_no_site(stack: str) -> None:
    """I2: what only a stack ships was drafted as a site, and the stack was not due."""
    tree = {
        "cdk/cdk.json": "{}",
        "cdk/lib/web.ts": stack,
        "web/package.json": '{"scripts": {"build": "vite build"}}',
        "web/index.html": "",
        "tools/cdk.json": "{}",
    }
    drafted = DraftedRepository(tree)
    assert drafted.targets == {"cdk": "command", "tools": "command"}
    assert "cdk" in drafted.due("web/src/a.ts")


NESTING = (
    "Resources: {{A: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: {url}}}}}}}\n"
)
TEMPLATE = "AWSTemplateFormatVersion: x\nResources: {A: {Type: AWS::S3::Bucket}}\n"


@pytest.mark.parametrize(
    "url",
    [
        "https://s3.amazonaws.com/templates/nested/vpc.yaml",
        '"https://${Bucket}.s3.amazonaws.com/vpc.yaml"',
        "!Sub 'https://${Bucket}.s3.${AWS::Region}.amazonaws.com/vpc.yaml'",
        "{'Fn::Join': ['', ['https://x/', 'vpc.yaml']]}",
        "nested/vpc.yaml",
    ],
)
def test_a_nested_template_is_its_parents(url: str) -> None:
    """I4: a template that another one nests was a stack of its own."""
    tree = {
        "a.sh": "aws cloudformation deploy --stack-name top --template-file cfn/top.yaml\n",
        "cfn/top.yaml": NESTING.format(url=url),
        "cfn/nested/vpc.yaml" if url.startswith("nested") else "parts/vpc.yaml": TEMPLATE,
        "other/cdk.json": "{}",
    }
    drafted = DraftedRepository(tree)
    assert drafted.targets == {"top": "stack", "other": "command"}
    path = next(path for path in tree if path.endswith("vpc.yaml"))
    assert drafted.due(path) == ["top"]


@pytest.mark.parametrize(
    ("path", "text", "more"),
    [
        ("fn/Dockerfile", "FROM public.ecr.aws/lambda/python:3.12\n", {}),
        ("tests/Dockerfile", "FROM x\n", {}),
        ("db/Dockerfile", "FROM x\n", {"docker-compose.yml": "services: {db: {build: db}}\n"}),
        ("img/Dockerfile", "FROM x\n", {"cdk/a.py": "Code.from_docker_build('../img')\n"}),
        ("src/dockerfile.py", "print()\n", {}),
    ],
)
def test_a_dockerfile_alone_is_no_app(path: str, text: str, more: dict[str, str]) -> None:
    """I5 and I10: each Dockerfile became an ECS service."""
    drafted = DraftedRepository({"cdk/cdk.json": "{}", path: text, **more})
    assert drafted.targets == {"cdk": "command"}
    assert drafted.due(path) == "everything" or "cdk" in drafted.due(path)


@pytest.mark.parametrize("path", ["cdk/lib/shared/new.ts", "cdk/new.ts", "cdk/src/a/b/c.json"])
def test_a_new_file_of_an_app_calls_for_the_whole_app(path: str) -> None:
    """I6: a narrow pattern swallowed a file that nobody had seen."""
    tree = {
        "cdk/cdk.json": "{}",
        "cdk/lib/shared/names.ts": "export const x = 1\n",
        "cdk/lib/one.ts": "import { x } from './shared/names'\n",
        "web/serverless.yml": "service: a\nprovider: {name: aws}\n",
    }
    assert DraftedRepository(tree).due(path) == ["cdk"]


@pytest.mark.parametrize(
    "more",
    [
        {"other/Dockerfile": "FROM x\n"},
        {"a/api/Dockerfile": "FROM x\n", "web/index.html": ""},
        {"b/cfn.yaml": TEMPLATE, "bin/second.ts": "new Stack(app, 'x')\n"},
    ],
)
def test_a_new_file_renames_no_target(more: dict[str, str]) -> None:
    """I7: names such as app-2 changed when a Dockerfile was added."""
    assert list(DraftedRepository({**SHOP, **more}).targets) == list(shop().targets)


@pytest.mark.parametrize(
    ("dependency", "text"),
    [
        ("libs/shared", '{"name": "@shop/shared"}'),
        ("packages/shared", '{"name": "@shop/shared"}'),
        ("shared", '{"name": "shared"}'),
    ],
)
@pytest.mark.parametrize("how", ["workspace", "file", "import", "reference"])
def test_what_a_package_depends_on_is_a_part_of_it(dependency: str, text: str, how: str) -> None:
    """I8: imports by workspace name and `file:` dependencies matched no rule."""
    name = text.split('"')[3]
    own = {
        "workspace": {"api/package.json": f'{{"dependencies": {{"{name}": "workspace:*"}}}}'},
        "file": {"api/package.json": f'{{"dependencies": {{"x": "file:../{dependency}"}}}}'},
        "import": {"api/src/a.ts": f"import {{ x }} from '{name}/deep/inside'\n"},
        "reference": {"api/tsconfig.json": f'{{"references": [{{"path": "../{dependency}"}}]}}'},
    }[how]
    tree = {
        "api/serverless.yml": "service: a\nprovider: {name: aws}\n",
        "web/serverless.yml": "service: b\nprovider: {name: aws}\n",
        f"{dependency}/package.json": text,
        f"{dependency}/src/a.ts": "",
        "pnpm-lock.yaml": "",
        **own,
    }
    drafted = DraftedRepository(tree)
    assert drafted.due(f"{dependency}/src/new.ts") == ["api"]
    assert drafted.due("pnpm-lock.yaml") == ["api", "web"]


@pytest.mark.parametrize(
    "pyproject",
    [
        '[tool.uv.sources]\nshared = { path = "../libs/shared" }\n',
        '[tool.poetry.dependencies]\nshared = { path = "../libs/shared", develop = true }\n',
        '[project]\ndependencies = ["shop-shared>=1"]\n',
        "[project]\ndependencies = ['shop-shared']\n[tool.uv.sources]\nx = { workspace = true }\n",
    ],
)
def test_what_a_python_project_depends_on_is_a_part_of_it(pyproject: str) -> None:
    tree = {
        "api/serverless.yml": "service: a\nprovider: {name: aws}\n",
        "api/pyproject.toml": pyproject,
        "web/serverless.yml": "service: b\nprovider: {name: aws}\n",
        "libs/shared/pyproject.toml": '[project]\nname = "shop-shared"\n',
        "libs/shared/src/a.py": "",
        "uv.lock": "",
    }
    drafted = DraftedRepository(tree)
    assert drafted.due("libs/shared/src/new.py") == ["api"]
    assert drafted.due("uv.lock") == ["api", "web"]


@pytest.mark.parametrize(
    "code",
    ["from shared.money import x\n", "import shared.money as m\n", "from shared import money\n"],
)
def test_a_python_module_of_the_root_is_a_part_of_what_imports_it(code: str) -> None:
    tree = {
        "api/serverless.yml": "service: a\nprovider: {name: aws}\n",
        "api/handler.py": code,
        "web/serverless.yml": "service: b\nprovider: {name: aws}\n",
        "shared/money.py": "",
    }
    assert DraftedRepository(tree).due("shared/new.py") == ["api"]


@pytest.mark.parametrize("lock", ["package-lock.json", "yarn.lock", "requirements.txt"])
def test_the_root_lock_file_of_a_sam_application_calls_for_it(lock: str) -> None:
    """I8: the lock file in the root matched no rule."""
    tree = {
        "samconfig.toml": '[default.deploy.parameters]\nstack_name = "orders"\n',
        "template.yaml": (
            "Transform: AWS::Serverless-2016-10-31\n"
            "Resources: {A: {Type: AWS::Serverless::Function, Properties: {CodeUri: src/}}}\n"
        ),
        "src/app.py": "",
        lock: "",
    }
    drafted = DraftedRepository(tree)
    assert drafted.targets == {"orders": "stack"}
    assert drafted.rules.unmatched == "orders"
    assert drafted.due("src/new.py") == ["orders"]
    assert drafted.due(lock) in (["orders"], "everything")


@pytest.mark.parametrize(
    ("tree", "target"),
    [
        ({"render.yaml": "services: [{type: web, name: api}]\n"}, "api"),
        (
            {"Makefile": "up:\n\thelm upgrade --install shop ./chart\n", "chart/Chart.yaml": ""},
            "shop",
        ),
        ({"Makefile": "deploy:\n\tcd infra && terraform apply\n", "infra/main.tf": ""}, "infra"),
        ({"deploy.sh": "#!/bin/sh\ncd api && npx sls deploy\n", "api/x.js": ""}, "api"),
        ({"copilot/api/manifest.yml": "name: api\n"}, "api"),
        ({"infra/main.tf": 'terraform {\n  backend "s3" {}\n}\n'}, "infra"),
    ],
)
def test_other_tools_are_command_targets(tree: dict[str, str], target: str) -> None:
    """I11: render.yaml, Helm, Makefiles and deploy scripts were not even named as seen."""
    assert DraftedRepository(tree).targets == {target: "command"}


@pytest.mark.parametrize(
    "tree",
    [
        {"charts/api/Chart.yaml": "name: api\n"},
        {"Jenkinsfile": "pipeline {}\n"},
        {"cfn/vpc.yaml": TEMPLATE},
        {"docker-compose.yml": "services: {}\n"},
        {"infra/main.tf": 'provider "aws" {}\n'},
        {"infra/providers.tf": 'terraform {}\n  provider "google" {\n}\n'},
        {"deploy/appspec.yaml": "Resources:\n  - Api: {Type: AWS::ECS::Service}\n"},
        {"render/appspec.yml": "os: linux\n"},
    ],
)
def test_what_only_could_be_deployed_is_seen(tree: dict[str, str]) -> None:
    drafted = DraftedRepository(tree)
    (path,) = tree
    assert (drafted.targets, path in drafted.seen) == ({}, True)


@pytest.mark.parametrize("folder", ["..", "../..", "a/../../b"])
def test_a_service_of_a_folder_outside_is_seen(folder: str) -> None:
    text = f"services: [{{type: web, name: api, rootDir: {folder}}}]\n"
    drafted = DraftedRepository({"render.yaml": text})
    assert (drafted.targets, "api" in drafted.seen["render.yaml"]) == ({}, True)


def test_an_appspec_is_no_template() -> None:
    tree = {"appspec.yaml": "Resources:\n  - Api: {Type: AWS::ECS::Service}\n"}
    assert "CodeDeploy" in DraftedRepository(tree).seen["appspec.yaml"]


@pytest.mark.parametrize("backend", ['backend "s3" {}', "cloud {}", 'backend "gcs" {\n}'])
def test_terraform_that_is_applied_is_not_seen_besides(backend: str) -> None:
    tree = {"tf/a.tf": 'provider "aws" {}\n', "tf/b.tf": f"terraform {{\n  {backend}\n}}\n"}
    assert DraftedRepository(tree).seen == {}


@pytest.mark.parametrize("folder", ["", "cdk/", "packages/infra/"])
def test_an_app_that_another_service_deploys_is_no_target(folder: str) -> None:
    """Riff-Raff takes templates to CloudFormation and code to buckets: `cdk deploy` in its stead
    would leave the code old.
    """
    ci = "on: push\njobs: {a: {steps: [{uses: guardian/actions-riff-raff@v4}]}}\n"
    tree = {f"{folder}cdk.json": "{}", ".github/workflows/ci.yml": ci}
    drafted = DraftedRepository(tree)
    assert drafted.targets == {}
    assert "Riff-Raff" in drafted.seen[f"{folder}cdk.json"]


# --- Environments, duplicates, hostile repositories


def test_names_that_differ_by_the_environment_are_one_target() -> None:
    steps = "".join(
        f"  {stage}:\n    environment: {stage}\n    steps:\n"
        f"      - run: aws ecs update-service --cluster shop-{stage} --service api-{stage}\n"
        for stage in ("staging", "production")
    )
    drafted = DraftedRepository({".github/workflows/d.yml": f"on: push\njobs:\n{steps}"})
    assert drafted.targets == {"api": "app"}
    assert drafted.setting("api", "service") == "api-{stage}"
    environments = drafted.rules.environments
    assert {name: env.vars["stage"] for name, env in environments.items()} == {
        "staging": "staging",
        "production": "production",
    }
    assert (environments["production"].protected, environments["staging"].protected) == (
        True,
        False,
    )


def test_the_same_thing_from_two_files_is_one_target() -> None:
    tree = {
        "Makefile": "deploy:\n\tcd api && npx serverless deploy\n",
        ".github/workflows/d.yml": (
            "on: push\njobs: {a: {steps: [{run: npx serverless deploy, working-directory: api}]}}\n"
        ),
        "api/serverless.yml": "service: a\nprovider: {name: aws}\n",
        "api/package.json": '{"scripts": {"deploy": "serverless deploy"}}',
    }
    drafted = DraftedRepository(tree)
    assert drafted.targets == {"api": "command"}
    assert ".github/workflows/d.yml" in drafted.comment("api").split("\n")[0]


def test_two_things_whose_names_nobody_says_have_variables_of_their_own() -> None:
    steps = (
        "on: push\njobs: {{x: {{steps: [{{run: 'docker build -t r/{0} {0} && docker push r/{0}'}}, "
        "{{run: aws ecs update-service --cluster c --service $SERVICE}}]}}}}\n"
    )
    tree = {
        ".github/workflows/a.yml": steps.format("api"),
        ".github/workflows/b.yml": steps.format("worker"),
        "api/Dockerfile": "FROM x\n",
        "worker/Dockerfile": "FROM x\n",
    }
    drafted = DraftedRepository(tree)
    assert len(drafted.targets) == 2
    services = {drafted.setting(name, "service") for name in drafted.targets}
    assert len(services) == 2
    assert "worker" in drafted.questions


@pytest.mark.parametrize("service", ["$APP", "$APP-$STAGE", "x-$APP"])
def test_two_things_of_the_same_variable_share_no_setting_of_it(service: str) -> None:
    """Both workflows set APP otherwise: an answer for both gave both the repository of one."""
    steps = (
        "on: push\njobs: {{x: {{steps: [{{run: 'docker build -t $REG/$APP {0} && docker push $REG/"
        f"$APP'}}}}, {{{{run: aws ecs update-service --cluster c --service {service}}}}}]}}}}}}}}\n"
    )
    tree = {
        ".github/workflows/a.yml": steps.format("api"),
        ".github/workflows/b.yml": steps.format("worker"),
        "api/Dockerfile": "FROM x\n",
        "worker/Dockerfile": "FROM x\n",
    }
    drafted = DraftedRepository(tree)
    for key in ("service", "repository"):
        assert len({drafted.setting(name, key) for name in drafted.targets}) == 2


def test_what_is_deployed_for_pull_requests_alone_is_no_target() -> None:
    tree = {
        ".github/workflows/pr.yml": (
            "on: pull_request\n"
            "jobs: {a: {steps: [{run: npx cdk deploy -a x, working-directory: a}]}}\n"
        ),
        "a/x": "",
    }
    drafted = DraftedRepository(tree)
    assert drafted.targets == {}
    assert "pull request" in drafted.seen[".github/workflows/pr.yml:2"]


@pytest.mark.parametrize("folder", ["node_modules/x", "examples/one", "tests/fixtures", "vendor/y"])
def test_what_is_vendored_or_an_example_proves_nothing(folder: str) -> None:
    tree = {f"{folder}/cdk.json": "{}", f"{folder}/deploy.sh": "cdk deploy\n"}
    assert DraftedRepository(tree).targets == {}


def test_no_more_than_a_cap_is_read_and_what_is_beyond_widens() -> None:
    tree = {f"api/{number}.js": "" for number in range(MOST_READ)}
    tree["api/serverless.yml"] = "service: a\nprovider: {name: aws}\n"
    tree["web/serverless.yml"] = "service: b\nprovider: {name: aws}\n"
    tree["web/z.js"] = ""
    drafted = DraftedRepository(tree)
    assert f"{MOST_READ:,} files" in drafted.seen
    assert drafted.due("anything/else") == ["api", "web"]


@pytest.mark.parametrize("name", ["a b", 'a"b', "a:b/*", "a{b"])
def test_a_name_that_no_function_can_have_is_asked_for(name: str) -> None:
    update = f"aws lambda update-function-code --function-name '{name}' --zip-file fileb://x.zip"
    drafted = DraftedRepository({"deploy.sh": update})
    (target,) = drafted.targets
    variable = f"{target.replace('-', '_')}_function"
    assert drafted.setting(target, "function") == f"{{{variable}}}"
    assert f"vars.{variable}: what targets.{target}.function is there" in drafted.questions


def test_names_from_outside_stand_on_one_line() -> None:
    tree = {"a\nb/cdk.json": "{}", "deploy.sh": "cdk deploy 'x\u202ey'\n"}
    drafted = DraftedRepository(tree)
    assert "\n" not in "".join(drafted.survey.notes)
    assert "\u202e" not in drafted.text


def test_an_empty_repository_gives_an_empty_draft() -> None:
    drafted = DraftedRepository({"notes.txt": ""})
    assert (drafted.targets, drafted.survey.notes, drafted.rules.unmatched) == ({}, (), "warn")


NAMES = [
    "Dockerfile",
    "a/Dockerfile",
    "a/.dockerignore",
    "compose.yml",
    "cdk.json",
    "cdk/cdk.json",
    "template.yaml",
    "samconfig.toml",
    "package.json",
    "web/package.json",
    "tsconfig.json",
    ".github/workflows/ci.yml",
    ".gitlab-ci.yml",
    "buildspec.yml",
    "Makefile",
    "justfile",
    "deploy.sh",
    "render.yaml",
    "a/main.tf",
    "a/serverless.yml",
    "a/x.py",
    "pyproject.toml",
]
TEXTS = [
    '{"app": "x", "context": []}',
    '{"dependencies": 3, "scripts": {"deploy": "cdk deploy $(", "x": 5}, "name": 7}',
    '{"Resources": {"A": {"Type": "AWS::S3::Bucket", "Properties": 5}}}',
    "AWSTemplateFormatVersion: x\nResources: [a]\n",
    "Resources: {A: {Type: AWS::Serverless::Function, Properties: {CodeUri: ../..}}}",
    "on: a\njobs: {a: {steps: [{run: 'docker build -t r . && docker push r'}, {uses: ./.}, 5]}}\n",
    "jobs: {a: {strategy: {matrix: {x: [1, {y: 2}]}}, steps: [{run: 'cdk deploy ${{ env.x }}'}]}}",
    "deploy:\n\taws lambda update-function-code --function-name {f} --zip-file fileb://x.zip\n",
    "for s in $(ls); do aws ecs update-service --service $s; done\nsam deploy --stack-name {x}\n",
    "cd $(dirname $0) && terraform apply; cd ../..; cdk deploy A; helm upgrade a ../b\n",
    "aws cloudformation deploy --stack-name ${X:-{y}} --template-file template.yaml\n",
    "services: [{type: web, name: '{x}', rootDir: ../..}]\n",
    "services: {a: {image: 'r/${X}', build: {context: ../.., dockerfile: ${X}}}}",
    'terraform {\n backend "s3" {}\n}\nfrom a.b import c\nimport os.path\nx = "../../a"\n',
    "FROM x\nCOPY ${A:-.} /\nCOPY ../.. b\n",
    "*\n!**\n",
    "((((((\"'`$(${",
    "\x00\ufeff\u2028\ufffc\ufffb",
    "[tool.poetry]\nname = 'a'\n[default.deploy.parameters]\nstack_name = '{x}'\n",
]


@given(
    st.dictionaries(
        st.sampled_from(NAMES), st.one_of(st.sampled_from(TEXTS), st.text(), st.none()), max_size=12
    )
)
def test_any_texts_give_a_draft_that_loads(tree: dict[str, str | None]) -> None:
    DraftedRepository(tree)  # type: ignore[arg-type]


odd_path = st.lists(
    st.text(st.characters(exclude_characters="/"), min_size=1, max_size=6), min_size=1, max_size=3
).map("/".join)


@given(st.dictionaries(odd_path, st.sampled_from(TEXTS)), odd_path)
def test_any_paths_give_patterns_that_our_dialect_takes(tree: dict[str, str], folder: str) -> None:
    odd = {
        f"{folder}/{name}": text
        for name in ("Dockerfile", "cdk.json", "package.json", "template.yaml", "deploy.sh", "a.tf")
        for text in TEXTS
    }
    draft = draft_repository([*tree, *odd], {**tree, **odd}.get).draft
    draft_to_toml(draft)
    for pattern in (*draft.ignore, *(path for rule in draft.rules for path in rule.paths)):
        assert alternatives(pattern.removeprefix("!"))


LINES = [
    "COPY . .",
    "COPY src lib /",
    "COPY src/ /",
    "COPY *.py /",
    "COPY s* /",
    "COPY dist /",
    "COPY $X/a /",
    "COPY src/a.py other/*.txt /",
    "ADD api/src /",
    "COPY --exclude=**/*.md src /",
    "RUN --mount=type=bind,source=lib,target=/l ls",
]
IGNORED = ["*", "!src", "src", "**/*.md", "*.py", "!src/a.py", "Dockerfile*", ".*", "lib", "!**"]
FILES = [
    "a.py",
    "src/a.py",
    "src/b.txt",
    "src/deep/c.md",
    "src/test_x.py",
    "lib/d.py",
    "other/e.txt",
    "api/src/f.py",
    "x/a",
]


@given(
    st.sampled_from(["Dockerfile", "api/Dockerfile", "docker/Dockerfile", "src/Dockerfile.x"]),
    st.sampled_from([".", "api", "src"]),
    st.lists(st.sampled_from(LINES), min_size=1, max_size=3),
    st.lists(st.sampled_from(IGNORED), max_size=4),
    st.sets(st.sampled_from(FILES)),
)
def test_no_draft_forgets_what_an_image_takes(
    dockerfile: str, context: str, lines: list[str], ignored: list[str], files: set[str]
) -> None:
    tree = {
        dockerfile: "FROM x\n" + "\n".join(lines),
        "deploy.sh": (
            f"docker build -f {dockerfile} -t r/api {context}\ndocker push r/api\n"
            "aws ecs update-service --cluster c --service api\n"
        ),
        **dict.fromkeys(sorted(files), ""),
    }
    for folder in ("", "api/", "src/"):
        tree[f"{folder}.dockerignore"] = "\n".join(ignored)
    drafted = DraftedRepository(tree)
    assert drafted.targets == {"api": "app"}
    assert drafted.forgotten() == ()
