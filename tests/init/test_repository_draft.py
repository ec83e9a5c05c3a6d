"""Whole repositories: what `toolkit init` finds in them, and what `toolkit diff` says with its
draft.
"""

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.init.drafted import DraftedRepository
from tests.support.run import ROOT
from toolkit.formats.glob import alternatives
from toolkit.init.draft import draft_to_toml
from toolkit.init.repository_draft import draft_repository
from toolkit.init.tree import MOST_READ

CAR_RENTAL = ROOT / "examples" / "car-rental"

SHOP = {
    "README.md": "# Shop",
    "docs/a.md": "",
    "LICENSE": "",
    ".gitignore": "",
    ".github/workflows/ci.yml": "on: push\n",
    "backend/Dockerfile": "FROM python\nCOPY requirements.txt .\nCOPY src src\n",
    "backend/.dockerignore": "tests\n",
    "backend/requirements.txt": "",
    "backend/src/main.py": "",
    "backend/tests/test_main.py": "def test_main(): pass",
    "cdk/cdk.json": '{"app": "python3 app.py", "context": {"suffix": "-x"}}',
    "cdk/requirements.txt": "",
    "cdk/app.py": (
        """
import aws_cdk as cdk
from stacks.api import ApiStack
from stacks.service import ServiceStack
app = cdk.App()
suffix = app.node.try_get_context("suffix")
ApiStack(app, f"ShopApiStack{suffix}")
ServiceStack(app, f"ShopServiceStack{suffix}")
"""
    ),
    "cdk/stacks/api.py": (
        """
from aws_cdk import Stack, aws_lambda as _lambda
class ApiStack(Stack):
    def __init__(self, scope, id):
        super().__init__(scope, id)
        _lambda.Function(self, "F", code=_lambda.Code.from_asset("../lambda/login"))
"""
    ),
    "cdk/stacks/service.py": (
        """
from aws_cdk import Stack, aws_ecs as ecs
class ServiceStack(Stack):
    def __init__(self, scope, id):
        super().__init__(scope, id)
        cluster = ecs.Cluster(self, "C", cluster_name="shop-cluster")
        ecs.FargateService(self, "S", cluster=cluster, service_name="backend")
"""
    ),
    "lambda/login/handler.py": "",
    "frontend/package.json": (
        '{"name": "web", "scripts": {"build": "vite build"}, "devDependencies": {"vite": "5"}}'
    ),
    "frontend/index.html": "",
    "frontend/src/main.ts": "",
    "smoke/steps.toml": "",
}


def test_every_part_of_a_common_repository_is_found() -> None:
    assert DraftedRepository(SHOP).targets == {
        "backend": "app",
        "frontend": "site",
        "api": "stack",
        "service": "stack",
        "infra": "group",
    }


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("backend/src/main.py", ["backend"]),
        ("backend/src/new/file.py", ["backend"]),
        ("backend/Dockerfile", ["backend"]),
        ("backend/.dockerignore", ["backend"]),
        ("backend/tests/test_main.py", "ignored"),
        ("lambda/login/handler.py", ["api"]),
        ("cdk/stacks/api.py", ["api"]),
        ("cdk/stacks/service.py", ["service"]),
        ("cdk/app.py", ["infra"]),
        ("cdk/cdk.json", ["infra"]),
        ("frontend/src/main.ts", ["frontend"]),
        ("smoke/steps.toml", "smoke-test"),
        ("README.md", "ignored"),
        ("docs/a.md", "ignored"),
        (".github/workflows/ci.yml", "ignored"),
        ("elsewhere/x", "unmatched"),
    ],
)
def test_a_change_calls_for_its_own_part(path: str, due: object) -> None:
    assert DraftedRepository(SHOP).due(path) == due


def test_what_the_stacks_say_is_not_asked() -> None:
    shop = DraftedRepository(SHOP)
    assert (shop.setting("backend", "cluster"), shop.setting("backend", "service")) == (
        "shop-cluster",
        "backend",
    )
    assert shop.setting("backend", "needs") == ("service",)
    assert (
        "targets.backend.repository: the name of the ECR repository (drafted as `shop-backend`)"
        in shop.questions
    )
    assert "cluster" not in shop.questions
    assert shop.rules.environments["dev"].vars == {"suffix": "-x"}


def test_each_thing_found_is_a_line() -> None:
    assert DraftedRepository(SHOP).notes.splitlines() == [
        "backend/Dockerfile: an image; app `backend`",
        "frontend/package.json: a static site; site `frontend`",
        "cdk/cdk.json: a CDK app; stacks `api`, `service`",
        "cdk/stacks/api.py:6: deploys lambda/login with `api`",
        "smoke/: checks of the live system",
    ]


def test_the_draft_forgets_nothing_that_the_images_take() -> None:
    assert DraftedRepository(SHOP).forgotten() == ()


def test_ignored_is_only_what_is_there() -> None:
    ignore = DraftedRepository(SHOP).survey.draft.ignore
    assert ignore == (
        "*.md",
        "docs/**",
        ".github/**",
        "LICENSE*",
        "**/.gitignore",
        "backend/tests/**",
        "backend/**/test_*.py",
    )
    assert DraftedRepository({"a.py": ""}).survey.draft.ignore == ()
    assert DraftedRepository({"a.py": "", "x/a.md": ""}).survey.draft.ignore == ("**/*.md",)


def test_notes_that_are_part_of_the_code_are_not_ignored() -> None:
    notes = ["backend/src/prompts/system.md", "lambda/login/new.md", "frontend/src/page.md"]
    now, later = DraftedRepository({**SHOP, **dict.fromkeys(notes, "")}), DraftedRepository(SHOP)
    for path, target in zip(notes, ("backend", "api", "frontend"), strict=True):
        assert now.due(path) == later.due(path) == [target]


def test_notes_beside_the_code_are_ignored() -> None:
    shop = DraftedRepository(
        {**SHOP, "backend/README.md": "", "cdk/stacks/notes.md": "", "notes/a/b.md": ""}
    )
    assert {
        shop.due(path)
        for path in ("README.md", "backend/README.md", "cdk/stacks/notes.md", "notes/a/b.md")
    } == {"ignored"}
    assert shop.due("backend/src/README.md") == ["backend"]


def test_an_image_of_everything_leaves_out_what_is_ignored() -> None:
    whole = DraftedRepository(
        {
            "Dockerfile": "FROM x\nCOPY . .\n",
            "README.md": "",
            "docs/a.txt": "",
            "prompts/a.md": "",
            "src/README.md": "",
        }
    )
    assert [whole.due(path) for path in ("README.md", "docs/a.txt", "prompts/a.md")] == [
        "ignored",
        "ignored",
        ["app"],
    ]
    assert whole.survey.draft.rules[0].paths == ("**", "!*.md", "!src/README.md", "!docs/**")
    assert whole.forgotten() == ()


def test_what_a_dockerfile_names_is_not_ignored() -> None:
    drafted = DraftedRepository(
        {
            "Dockerfile": "FROM x\nCOPY README.md LICENSE src ./\n",
            "README.md": "",
            "LICENSE": "",
            "src/.gitignore": "",
            ".gitignore": "",
        }
    )
    assert {str(drafted.due(path)) for path in ("README.md", "LICENSE", "src/.gitignore")} == {
        "['app']"
    }
    assert drafted.due(".gitignore") == "ignored"


def test_docs_that_are_deployed_are_not_ignored() -> None:
    site = {
        "docs/package.json": '{"dependencies": {"@docusaurus/core": "3"}}',
        "docs/docs/intro.md": "",
    }
    assert DraftedRepository(site).due("docs/docs/intro.md") == ["docs"]


def test_an_empty_repository_gives_an_empty_draft() -> None:
    empty = draft_repository([], lambda path: None)
    assert (empty.draft.targets, empty.draft.rules, empty.notes, empty.questions) == (
        (),
        (),
        (),
        (),
    )
    assert 'project = "project"' in draft_to_toml(empty.draft)


@pytest.mark.parametrize(
    ("tree", "project"),
    [
        ({"package.json": '{"name": "@scope/My_Shop"}'}, "my-shop"),
        ({"pyproject.toml": '[project]\nname = "my-shop"'}, "my-shop"),
        ({"package.json": "{", "pyproject.toml": "["}, "project"),
        ({"package.json": "[]"}, "project"),
        ({"pyproject.toml": "a = " + "9" * 5000}, "project"),
    ],
)
def test_a_project_is_called_what_its_package_is_called(tree: dict[str, str], project: str) -> None:
    assert draft_repository(list(tree), tree.get).draft.project == project


def test_tests_and_examples_count_where_there_is_nothing_else() -> None:
    example = {"examples/api/Dockerfile": "FROM x\nCOPY . .\n", "examples/api/a.py": ""}
    assert DraftedRepository(example).targets == {"api": "app"}
    assert "examples" not in DraftedRepository({**SHOP, **example}).text


@pytest.mark.parametrize(
    "folder", ["node_modules/x", "vendor/x", ".devcontainer", "a/node_modules/b", "cdk.out/asset.1"]
)
def test_vendored_and_built_folders_never_count(folder: str) -> None:
    assert DraftedRepository({f"{folder}/Dockerfile": "FROM x\nCOPY . .\n"}).targets == {}


def test_the_templates_of_new_projects_are_no_projects() -> None:
    assert (
        DraftedRepository(
            {"{{name}}/Dockerfile": "FROM x\nCOPY . .\n", "{{name}}/cdk.json": "{}"}
        ).targets
        == {}
    )


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("infra/main.tf", "Terraform"),
        ("api/serverless.yml", "Serverless"),
        ("copilot/api/manifest.yml", "Copilot"),
        ("Pulumi.yaml", "Pulumi"),
    ],
)
def test_what_is_not_understood_is_said(path: str, word: str) -> None:
    notes = DraftedRepository({path: "x"}).notes
    assert notes.startswith(path)
    assert word in notes
    assert notes.endswith("found but not understood")


FILTERS = """
on: push
jobs:
  changes:
    steps:
      - uses: dorny/paths-filter@v3
        with:
          filters: |
            backend:
              - 'server/**'
"""


def test_path_filters_are_named_with_the_way_to_import_them() -> None:
    notes = DraftedRepository({**SHOP, ".github/workflows/ci.yml": FILTERS}).notes
    assert (
        ".github/workflows/ci.yml: 1 path filter; `toolkit rules import .github/workflows/ci.yml`"
        " drafts rules from them" in notes
    )


def test_path_filters_count_where_nothing_else_was_found() -> None:
    tree = {".github/workflows/ci.yml": FILTERS, "server/a.py": ""}
    assert DraftedRepository(tree).due("server/a.py") == ["backend"]
    assert "server/**" not in DraftedRepository({**SHOP, **tree}).text


def test_checks_are_found_in_parts_and_call_for_no_deploy_there() -> None:
    shop = DraftedRepository({**SHOP, "frontend/e2e/login.spec.ts": ""})
    assert shop.due("frontend/e2e/login.spec.ts") == "smoke-test"
    assert shop.due("frontend/src/a.spec.ts") == "ignored"


def test_no_more_than_a_cap_is_read() -> None:
    read: list[str] = []

    def reading(path: str) -> str:
        read.append(path)
        return "{}"

    notes = draft_repository(
        [f"{position}/package.json" for position in range(MOST_READ + 500)], reading
    ).notes
    assert len(read) == MOST_READ
    assert notes[-1] == f"only the first {MOST_READ} files that might say something were read"


def test_names_from_outside_stand_on_one_line() -> None:
    shop = DraftedRepository({"a\nb/Dockerfile": "FROM x\nCOPY . .\n", "a\nb/\x1b[31m.py": ""})
    assert all(line.isprintable() for line in (*shop.survey.notes, *shop.survey.questions))


def test_a_name_that_is_not_utf8_is_left_out() -> None:
    assert DraftedRepository({"\udcff/Dockerfile": "FROM x\nCOPY . .\n"}).targets == {}


@cache
def car_rental() -> DraftedRepository:
    left_out = {"rules.toml", "dist", "__pycache__", "cdk.out"}
    files = [
        path
        for path in CAR_RENTAL.rglob("*")
        if path.is_file() and not left_out & set(path.relative_to(CAR_RENTAL).parts)
    ]
    return DraftedRepository(
        {path.relative_to(CAR_RENTAL).as_posix(): _text(path) for path in files}, "car-rental"
    )


with_example = pytest.mark.skipif(
    not (CAR_RENTAL / "cdk" / "cdk.json").exists(), reason="the example is not there"
)


@with_example
def test_the_parts_of_the_example_are_those_of_its_own_rules() -> None:
    assert car_rental().targets == {
        "backend": "app",
        "frontend": "site",
        "network": "stack",
        "api": "stack",
        "fargate": "stack",
        "infra": "group",
    }


@with_example
def test_the_names_of_the_example_are_those_of_its_own_rules() -> None:
    draft = car_rental()
    app = [draft.setting("backend", key) for key in ("cluster", "service", "repository", "needs")]
    assert app == [
        "car-rental{suffix}",
        "backend{suffix}",
        "car-rental-backend{suffix}",
        ("fargate",),
    ]
    assert draft.setting("backend", "build") == {
        "context": "backend",
        "dockerfile": "backend/Dockerfile",
    }
    assert draft.setting("api", "stack") == "CarRentalApiStack{suffix}"
    assert draft.setting("api", "needs") == draft.setting("fargate", "needs") == ("network",)
    assert draft.setting("frontend", "source") == "frontend/dist"


@with_example
def test_the_draft_for_the_example_forgets_nothing() -> None:
    assert car_rental().forgotten() == ()


@with_example
@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("backend/src/car_rental/api.py", ["backend"]),
        ("backend/requirements.txt", ["backend"]),
        ("cdk/first_code/handler.py", ["api"]),
        ("lambda/login_handler/handler.py", "unmatched"),
        ("cdk/stacks/api_stack.py", ["api"]),
        ("cdk/stacks/fargate_stack.py", ["fargate"]),
        ("cdk/stacks/network_stack.py", ["infra"]),
        ("cdk/app.py", ["infra"]),
        ("frontend/src/app.js", ["frontend"]),
        ("frontend/build.py", ["frontend"]),
        ("smoke/smoke_test.py", "smoke-test"),
        ("backend/tests/test_rental_api.py", "ignored"),
        ("README.md", "ignored"),
    ],
)
def test_a_change_of_the_example_calls_for_its_own_part(path: str, due: object) -> None:
    assert car_rental().due(path) == due


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


NAMES = [
    "Dockerfile",
    "a/Dockerfile.dev",
    "a/.dockerignore",
    "compose.yml",
    "cdk.json",
    "cdk/cdk.json",
    "cdk/app.py",
    "cdk/lib/a.ts",
    "template.yaml",
    "x/template.json",
    "samconfig.toml",
    "package.json",
    "web/package.json",
    "web/index.html",
    "web/vite.config.ts",
    "pnpm-workspace.yaml",
    ".github/workflows/ci.yml",
    "a/test_x.py",
    "smoke/x",
    "pyproject.toml",
]
TEXTS = [
    '{"app": "x", "context": []}',
    '{"dependencies": 3, "scripts": [], "name": 7}',
    '{"Resources": {"A": {"Type": "AWS::S3::Bucket", "Properties": 5}}}',
    "AWSTemplateFormatVersion: x\nResources: [a]\n",
    (
        "Transform: {a: b}\nResources: {A: {Type: AWS::Serverless::Function, Properties: {CodeUri:"
        " ../../..}}}"
    ),
    "from aws_cdk import Stack\nclass A(Stack): pass\nA(app, 'x{y}'); A(app, f'{z}'); A(app)\n",
    (
        "class A(A, Stack): pass\nclass B(C): pass\nclass C(B): pass\nB(app, 'b')\nx = x +"
        " x\nCode.from_asset(x)\n"
    ),
    "import cdk; class A extends Stack { } new A(app, `x${y}`); new A(app, 'z'",
    "FROM x\nCOPY ${A:-.} /\nCOPY ../.. b\n",
    "services: {a: {build: {context: ../.., dockerfile: ${X}}}}",
    "*\n!**\n",
    "((((((",
    "\x00\ufeff\u2028",
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
        for name in ("Dockerfile", "cdk.json", "package.json", "template.yaml", "a.py")
        for text in TEXTS[:6]
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
IGNORED = [
    "*",
    "!src",
    "src",
    "**/*.md",
    "*.py",
    "!src/a.py",
    "Dockerfile*",
    ".*",
    "lib",
    "**/test_*",
    "!**",
]
FILES = [
    "a.py",
    "src/a.py",
    "src/b.txt",
    "src/deep/c.md",
    "src/test_x.py",
    "lib/d.py",
    "other/e.txt",
    "api/src/f.py",
    "tests/test_y.py",
    "x/a",
]


@given(
    st.sampled_from(["Dockerfile", "api/Dockerfile", "docker/Dockerfile", "src/Dockerfile.x"]),
    st.lists(st.sampled_from(LINES), min_size=1, max_size=3),
    st.lists(st.sampled_from(IGNORED), max_size=4),
    st.sets(st.sampled_from(FILES)),
)
def test_no_draft_forgets_what_an_image_takes(
    dockerfile: str, lines: list[str], ignored: list[str], files: set[str]
) -> None:
    tree = {dockerfile: "FROM x\n" + "\n".join(lines), **dict.fromkeys(sorted(files), "")}
    for folder in ("", "api/", "src/"):
        tree[f"{folder}.dockerignore"] = "\n".join(ignored)
    assert DraftedRepository(tree).forgotten() == ()


@pytest.mark.parametrize(
    "folder", ["test", "tests", "__tests__", "backend/test", "backend/__tests__", "lambda/tests"]
)
def test_tests_in_the_root_and_beside_the_code_are_ignored(folder: str) -> None:
    shop = DraftedRepository({**SHOP, f"{folder}/server.test.ts": "", f"{folder}/data.json": ""})
    assert shop.due(f"{folder}/data.json") == "ignored"


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("backend/src/a/test/a.json", ["backend"]),
        ("lambda/login/a/test/a.json", ["api"]),
        ("tools/test/a.json", "unmatched"),
    ],
)
def test_tests_inside_of_what_is_deployed_or_far_from_it_are_not_ignored(
    path: str, due: object
) -> None:
    assert DraftedRepository({**SHOP, path: "", f"{path}.test.ts": ""}).due(path) == due


def test_a_compose_file_that_nothing_takes_is_ignored() -> None:
    assert (
        DraftedRepository({**SHOP, "docker-compose.yml": ""}).due("docker-compose.yml") == "ignored"
    )
    assert DraftedRepository({**SHOP, "backend/src/compose.yml": ""}).due(
        "backend/src/compose.yml"
    ) == ["backend"]


def test_a_path_filter_that_only_excludes_counts() -> None:
    tree = {
        ".github/workflows/ci.yml": FILTERS.replace("server/**", "!server/**"),
        "server/a.py": "",
        "b.py": "",
    }
    drafted = DraftedRepository(tree)
    assert (drafted.due("b.py"), drafted.due("server/a.py")) == (["backend"], "unmatched")
