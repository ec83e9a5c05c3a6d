"""What runs in an account names what the repository leaves open, and proves what only its content
tells; what matches nothing is listed, and never drafted.
"""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from tests.init.drafted import DraftedRepository
from toolkit.init.account import (
    Account,
    LiveBucket,
    LiveFunction,
    LiveService,
    LiveStack,
    plain_template,
)
from toolkit.init.account_evidence import NOT_HERE
from toolkit.init.evidence import AssemblyStack, Place

NUMBER, REGION = "111111111111", "eu-west-1"
EMPTY = Account(NUMBER, REGION)
WHERE = f"the account {NUMBER} ({REGION})"
QUEUE = "Resources:\n  Jobs:\n    Type: AWS::SQS::Queue\n    Properties: {DelaySeconds: 3}\n"


def image(repository: str) -> str:
    return f"{NUMBER}.dkr.ecr.{REGION}.amazonaws.com/{repository}:1a2b"


def service(name: str, repository: str, cluster: str = "main") -> Account:
    live = LiveService(cluster, name, {"web": image(repository)})
    return replace(EMPTY, services=(live,))


def sole(drafted: DraftedRepository) -> tuple[str, str, dict[str, Any]]:
    (target,) = drafted.survey.draft.targets
    return target.name, target.kind, dict(target.settings)


# --- services


@pytest.mark.parametrize(
    ("tree", "repository", "context"),
    [
        ({"backend/Dockerfile": "FROM x\nCOPY a /a\n", "backend/a": ""}, "shop-backend", "backend"),
        ({"backend/Dockerfile": "FROM x\nCOPY backend/a /\n", "backend/a": ""}, "backend", "."),
        ({"Dockerfile.backend": "FROM x\n", "x": ""}, "team/shop-backend", "."),
        ({"backend/Dockerfile": "FROM x\n", "x/Dockerfile": "FROM x\n"}, "backend-prod", "backend"),
    ],
)
def test_a_service_whose_image_is_called_like_a_dockerfile_is_an_app(
    tree: dict[str, str], repository: str, context: str
) -> None:
    drafted = DraftedRepository(tree, account=service("api", repository))
    name, kind, settings = sole(drafted)
    assert (name, kind) == ("api", "app")
    assert (settings["cluster"], settings["service"]) == ("main", "api")
    assert settings["repository"] == repository
    assert settings["build"]["context"] == context
    line = f"service api in cluster main runs {repository.rpartition('/')[2]}:1a2b"
    assert drafted.comment("api") == f"seen in {WHERE}: {line}"
    (environment,) = drafted.rules.environments.values()
    assert (environment.account, environment.regions) == (NUMBER, (REGION,))


@pytest.mark.parametrize(
    ("tree", "account"),
    [
        ({"api/Dockerfile": "FROM x\n"}, service("api", "shop-worker")),
        ({"others/Dockerfile": "FROM x\n"}, service("worker", "api-of-others-worker2")),
        ({"a/api/Dockerfile": "FROM x\n", "b/api/Dockerfile": "FROM x\n"}, service("x", "api")),
        ({"cdk/Dockerfile": "FROM x\n"}, service("api", "cdk-x-container-assets-1-eu-west-1")),
        (
            {"nginx/Dockerfile": "FROM x\n"},
            replace(EMPTY, services=(LiveService("main", "api", {"web": "nginx:1"}),)),
        ),
    ],
)
def test_a_service_that_nothing_here_is_for_sure_is_listed(
    tree: dict[str, str], account: Account
) -> None:
    drafted = DraftedRepository(tree, account=account)
    assert drafted.targets == {}
    (live,) = account.services
    assert drafted.seen[f"service {live.name} in cluster main"] == NOT_HERE


@pytest.mark.parametrize(
    "line",
    [
        "aws ecs update-service --cluster $C --service $S --force-new-deployment",
        "aws ecs update-service --cluster $C --service shop-$S --force-new-deployment",
        "aws ecs update-service --cluster $C --service shop-api --force-new-deployment",
        "aws ecs update-service --cluster main --service $(name) --force-new-deployment",
    ],
)
def test_names_that_a_line_leaves_open_are_those_of_the_account(line: str) -> None:
    push = "docker build -t 1.dkr.ecr.x/shop:1 api && docker push 1.dkr.ecr.x/shop:1"
    tree = {"api/Dockerfile": "FROM x\n", "deploy.sh": f"{push}\n{line}\n"}
    assert any("{" in str(value) for value in sole(DraftedRepository(tree))[2].values()) or (
        "main" not in line and "shop-api" not in line
    )
    account = service("shop-api", "shop")
    stranger = LiveService("main", "other", {"web": image("other")})
    account = replace(account, services=(*account.services, stranger))
    name, kind, settings = sole(drafted := DraftedRepository(tree, account=account))
    assert (name, kind) == ("shop-api", "app")
    assert (settings["cluster"], settings["service"]) == ("main", "shop-api")
    assert settings["repository"] == "shop"
    assert drafted.comment("shop-api").startswith("deployed by deploy.sh:2: aws ecs")
    assert f"seen in {WHERE}: service shop-api in cluster main" in drafted.comment("shop-api")
    assert drafted.seen["service other in cluster main"] == NOT_HERE


@pytest.mark.parametrize(
    ("service", "live", "is_it"),
    [
        ("api-$A", "api-x", True),
        ("$A-api-$B-prod", "x-api-y", False),
        ("api$A-shop", "api-x", False),
        ("api-a$A-api", "api-api", False),
        ("ap$A-$B-c", "api-x-c", True),
        ("a$A-$B-c", "api-x-c", False),
        ("$A$B$C$D$E$F$G$H$I$J$K$L$M$N$O$P$Q$R-api-no", "-" * 200 + "-api-yes", False),
    ],
)
def test_a_name_with_variables_means_what_it_can_be(service: str, live: str, is_it: bool) -> None:
    line = f"aws ecs update-service --cluster main --service {service}"
    account = replace(EMPTY, services=(LiveService("main", live, {"web": image("shop")}),))
    settings = sole(DraftedRepository({"deploy.sh": line}, account=account))[2]
    assert (settings["service"] == live) == is_it


def test_names_of_lines_for_several_environments_stay_open() -> None:
    job = """
      {0}:
        environment: {0}
        steps:
          - run: docker build -t $R/shop:1 api && docker push $R/shop:1
          - run: aws ecs update-service --cluster ${{{{ vars.C }}}} --service shop-api
    """
    jobs = "jobs:\n" + "".join(map(job.format, ("dev", "prod")))
    tree = {"api/Dockerfile": "FROM x\n", ".github/workflows/d.yml": f"on: push\n{jobs}"}
    drafted = DraftedRepository(tree, account=service("shop-api", "shop"))
    assert drafted.targets == {"shop-api": "app"}
    assert drafted.setting("shop-api", "cluster").startswith("{")
    assert f"seen in {WHERE}" in drafted.comment("shop-api")


# --- stacks


@pytest.mark.parametrize(
    "live",
    [
        QUEUE,
        json.dumps(
            {"Resources": {"Jobs": {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 3}}}}
        ),
        f"Metadata: {{x: y}}\n{QUEUE}    Metadata: {{a: b}}\n",
    ],
)
def test_a_stack_is_known_by_the_content_of_its_template(live: str) -> None:
    stacks = (
        LiveStack("jobs-of-shop", plain_template(live)),
        LiveStack("x", plain_template("Resources: {}")),
    )
    tree = {"infra/queue.yaml": QUEUE, "infra/other.yaml": QUEUE.replace("3", "4")}
    drafted = DraftedRepository(tree, account=replace(EMPTY, stacks=stacks))
    assert sole(drafted)[:2] == ("jobs-of-shop", "stack")
    assert drafted.setting("jobs-of-shop", "template") == "infra/queue.yaml"
    assert "has the template infra/queue.yaml" in drafted.comment("jobs-of-shop")
    assert drafted.seen["stack x"] == NOT_HERE


def test_code_that_was_uploaded_is_no_other_template() -> None:
    function = (
        "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {{CodeUri: {}}}\n"
    )
    live = LiveStack("shop", plain_template(function.format("s3://b/k")))
    tree = {"template.yaml": function.format("./src"), "src/a.py": ""}
    drafted = DraftedRepository(tree, account=replace(EMPTY, stacks=(live,)))
    assert sole(drafted)[:2] == ("shop", "stack")


def test_a_line_that_leaves_the_stack_open_means_the_one_with_its_template() -> None:
    line = "aws cloudformation deploy --stack-name $STACK --template-file q.yaml"
    tree = {"q.yaml": QUEUE, "deploy.sh": line}
    stacks = (LiveStack("jobs", plain_template(QUEUE)), LiveStack("CDKToolkit", None))
    drafted = DraftedRepository(tree, account=replace(EMPTY, stacks=stacks))
    assert drafted.setting("jobs", "stack") == "jobs"
    assert "CDKToolkit" not in str(drafted.seen)


def test_a_template_of_several_files_says_nothing_for_sure() -> None:
    tree = {"a/q.yaml": QUEUE, "b/q.yaml": QUEUE}
    account = replace(EMPTY, stacks=(LiveStack("jobs", plain_template(QUEUE)),))
    drafted = DraftedRepository(tree, account=account)
    assert drafted.targets == {}
    assert (
        drafted.seen["stack jobs"]
        == "has the template of a/q.yaml and of b/q.yaml: which deploys it?"
    )


@pytest.mark.parametrize(
    ("live", "words"),
    [
        (QUEUE, "has what the app synthesizes"),
        (QUEUE.replace("3", "4"), "has another template than the app has now"),
        (None, "has a template that could not be compared"),
    ],
)
def test_a_stack_of_a_synthesized_app_is_known_by_its_name(live: str | None, words: str) -> None:
    synthesized = Place("cdk/cdk.json", 1, "synthesizes the stack Net")
    made = AssemblyStack(synthesized, "cdk", "Net", plain_template(QUEUE))
    account = replace(
        EMPTY, stacks=(LiveStack("Net", None if live is None else plain_template(live)),)
    )
    drafted = DraftedRepository({"cdk/cdk.json": "{}"}, more=[made], account=account)
    assert sole(drafted) == ("net", "stack", {"stack": "Net", "cdk": "cdk"})
    assert f"seen in {WHERE}: stack Net {words}" in drafted.comment("net")
    (environment,) = drafted.rules.environments.values()
    assert environment.account == NUMBER


def test_a_stack_that_only_a_synthesis_could_tell_says_so() -> None:
    account = replace(EMPTY, stacks=(LiveStack("Net", plain_template(QUEUE)),))
    drafted = DraftedRepository({"cdk/cdk.json": "{}"}, account=account)
    assert drafted.seen["stack Net"].endswith("--synth compares it with what the CDK app makes")
    made = AssemblyStack(Place("cdk/cdk.json", 1, "synthesizes the stack Api"), "cdk", "Api")
    drafted = DraftedRepository({"cdk/cdk.json": "{}"}, more=[made], account=account)
    assert drafted.seen["stack Net"] == NOT_HERE


# --- functions


@pytest.mark.parametrize(
    ("function", "folder"),
    [
        (LiveFunction("shop-login", "handler.main", apart=True), "lambda/login_handler"),
        (LiveFunction("shop-login-prod", "handler.main", apart=True), "lambda/login_handler"),
        (LiveFunction("login", "handler.main", stack="Api", apart=True), "lambda/login_handler"),
        (LiveFunction("mailer", "src/index.handle", apart=True), "mailer"),
    ],
)
def test_a_function_is_that_of_the_folder_with_its_handler_that_is_called_like_it(
    function: LiveFunction, folder: str
) -> None:
    tree = {
        "lambda/login_handler/handler.py": "",
        "cdk/first_code/handler.py": "",
        "mailer/src/index.ts": "",
    }
    drafted = DraftedRepository(tree, account=replace(EMPTY, functions=(function,)))
    name, kind, settings = sole(drafted)
    assert (name, kind) == (function.name.replace("_", "-"), "function")
    assert settings == {"function": function.name, "source": folder}
    assert drafted.due(f"{folder}/new.py") == [name]


@pytest.mark.parametrize(
    ("aliases", "alias"), [((), None), (("live",), "live"), (("blue", "green"), None)]
)
def test_the_only_alias_of_a_function_is_moved_and_of_several_a_person_says_which(
    aliases: tuple[str, ...], alias: str | None
) -> None:
    login = LiveFunction("shop-login", "handler.main", apart=True, aliases=aliases)
    account = replace(EMPTY, functions=(login,))
    drafted = DraftedRepository({"login/handler.py": ""}, account=account)
    assert sole(drafted)[2].get("alias") == alias
    asked = "targets.shop-login.alias: which of `blue`, `green` has to point to the new version?"
    assert (asked in drafted.questions) == (len(aliases) > 1)


@pytest.mark.parametrize(
    ("function", "is_listed"),
    [
        (LiveFunction("shop-login", "other.main", apart=True), True),
        (LiveFunction("shop-pay", "handler.main", apart=True), True),
        (LiveFunction("shop-login", "handler.main", stack="Api", apart=False), False),
        (LiveFunction("shop-login", "handler.main", stack="Api", apart=None), False),
        (LiveFunction("shop-login", image=image("nothing"), apart=True), True),
    ],
)
def test_a_function_that_a_stack_or_nothing_here_deploys_is_not_drafted(
    function: LiveFunction, is_listed: bool
) -> None:
    tree = {"lambda/login/handler.py": ""}
    drafted = DraftedRepository(tree, account=replace(EMPTY, functions=(function,)))
    assert drafted.targets == {}
    assert (f"function {function.name}" in drafted.seen) == is_listed


# --- buckets


def test_a_bucket_is_that_of_the_folder_whose_files_it_holds() -> None:
    keys = (
        "index.html",
        "assets/app.3fa8b2c1d0.js",
        "assets/style.00aa11bb22.css",
        "manifest.json",
    )
    tree = {f"frontend/src/{name}": "" for name in ("index.html", "app.js", "style.css")}
    tree |= {"frontend/build.py": "", "docs/index.html": "", "docs/other.html": ""}
    account = replace(EMPTY, buckets=(LiveBucket("shop-web", ("E1",), keys),))
    drafted = DraftedRepository(tree, account=account)
    name, kind, settings = sole(drafted)
    assert (name, kind) == ("shop-web", "site")
    assert settings == {
        "source": "{shop_web_source}",
        "bucket": "shop-web",
        "distribution": "E1",
    }
    assert "targets.shop-web.source: which folder is copied" in drafted.questions
    assert drafted.due("frontend/build.py") == ["shop-web"]


def test_a_bucket_with_just_the_files_of_a_folder_is_copied_from_it() -> None:
    tree = {"docs/index.html": "", "docs/a/b.css": "", "docs/c.js": ""}
    bucket = LiveBucket("pages", (), ("index.html", "a/b.css", "c.js"))
    drafted = DraftedRepository(tree, account=replace(EMPTY, buckets=(bucket,)))
    assert sole(drafted)[2] == {"source": "docs", "bucket": "pages"}


@pytest.mark.parametrize(
    ("bucket", "is_listed"),
    [
        (LiveBucket("logs", (), ("2026/a.gz",)), False),
        (LiveBucket("pages", ("E1",), ("a.html", "b.html")), True),
        (LiveBucket("pages", (), ("index.html",)), True),
    ],
)
def test_a_bucket_of_a_site_that_is_not_here_is_listed(bucket: LiveBucket, is_listed: bool) -> None:
    tree = {"web/index.html": "", "web/app.js": ""}
    drafted = DraftedRepository(tree, account=replace(EMPTY, buckets=(bucket,)))
    assert drafted.targets == {}
    assert (any(where.startswith("bucket") for where in drafted.seen)) == is_listed


def test_a_line_that_leaves_the_bucket_open_means_the_one_that_is_called_so() -> None:
    tree = {"web/index.html": "", "deploy.sh": "aws s3 sync web s3://shop-web-$SUFFIX"}
    buckets = (LiveBucket("shop-web-1", ("E1",), ("index.html",)), LiveBucket("x", (), ()))
    drafted = DraftedRepository(tree, account=replace(EMPTY, buckets=buckets))
    assert sole(drafted)[2] == {"source": "web", "bucket": "shop-web-1", "distribution": "E1"}


def test_what_could_not_be_read_is_said() -> None:
    account = replace(EMPTY, unknown=(("functions", "not allowed"),))
    seen = DraftedRepository({"a": ""}, account=account).seen
    assert seen["functions"] == "not known what of it runs in the account: not allowed"
