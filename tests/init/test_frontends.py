"""Static front ends: which folders are sites, and what they are built from."""

import json

import pytest

from tests.init.drafted import DraftedRepository


def package(*uses: str, name: str = "x", **more: object) -> str:
    return json.dumps({"name": name, "devDependencies": dict.fromkeys(uses, "1"), **more})


@pytest.mark.parametrize(
    ("uses", "more", "source"),
    [
        ("vite", {"index.html": ""}, "app/dist"),
        ("vite", {"index.html": "", "vite.config.ts": "build: { outDir: 'build' }"}, "app/build"),
        ("vite", {"index.html": "", "vite.config.ts": "build: { outDir: '../static' }"}, "static"),
        ("react-scripts", {"public/index.html": ""}, "app/build"),
        (
            "@angular/cli",
            {"src/index.html": "", "angular.json": '{"outputPath": "dist/shop"}'},
            "app/dist/shop",
        ),
        (
            "@angular/cli",
            {
                "angular.json": (
                    '{"builder": "@angular-devkit/build-angular:application", "outputPath":'
                    ' "dist/shop"}'
                )
            },
            "app/dist/shop/browser",
        ),
        ("astro", {}, "app/dist"),
        ("gatsby", {}, "app/public"),
        ("next", {"next.config.js": "module.exports = { output: 'export' }"}, "app/out"),
        ("@docusaurus/core", {}, "app/build"),
        ("parcel", {"src/index.html": ""}, "app/dist"),
    ],
)
def test_a_package_is_a_site_by_what_builds_it(
    uses: str, more: dict[str, str], source: str
) -> None:
    drafted = DraftedRepository(
        {"app/package.json": package(uses), **{f"app/{path}": text for path, text in more.items()}}
    )
    assert drafted.targets == {"app": "site"}
    assert drafted.setting("app", "source") == source


@pytest.mark.parametrize(
    "uses", [("vite",), ("next",), ("express", "react-scripts"), ("typescript",), ("vitest",)]
)
def test_libraries_and_servers_are_no_sites(uses: tuple[str, ...]) -> None:
    assert DraftedRepository({"app/package.json": package(*uses), "app/src/a.ts": ""}).targets == {}


@pytest.mark.parametrize("folder", ["frontend", "apps/web", "site", "ui", "www"])
def test_a_folder_is_a_site_by_its_name_and_a_build(folder: str) -> None:
    assert list(
        DraftedRepository(
            {f"{folder}/package.json": package(scripts={"build": "make"})}
        ).targets.values()
    ) == ["site"]
    assert list(
        DraftedRepository(
            {f"{folder}/build.py": "", f"{folder}/src/index.html": ""}
        ).targets.values()
    ) == ["site"]
    assert DraftedRepository({f"{folder}/a.py": ""}).targets == {}
    assert (
        DraftedRepository(
            {f"{folder}/package.json": package("express", scripts={"build": "make"})}
        ).targets
        == {}
    )


def test_pages_without_a_build_are_their_own_source() -> None:
    drafted = DraftedRepository({"site/index.html": "", "site/a.css": ""})
    assert drafted.setting("site", "source") == "site"
    assert (
        DraftedRepository({"site/public/index.html": ""}).setting("site", "source") == "site/public"
    )


MONOREPO = {
    "package.json": json.dumps({"workspaces": ["packages/*"]}),
    "package-lock.json": "{}",
    "pnpm-workspace.yaml": "packages: ['packages/*']",
    "packages/web/package.json": json.dumps(
        {"dependencies": {"vite": "5", "@shop/ui": "workspace:*"}}
    ),
    "packages/web/index.html": "",
    "packages/web/src/a.test.ts": "",
    "packages/ui/package.json": json.dumps(
        {"name": "@shop/ui", "dependencies": {"@shop/core": "*"}}
    ),
    "packages/core/package.json": json.dumps(
        {"name": "@shop/core", "dependencies": {"@shop/ui": "*"}}
    ),
    "packages/api/package.json": json.dumps({"name": "@shop/api"}),
}


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("packages/web/src/a.ts", ["web"]),
        ("packages/ui/src/a.ts", ["web"]),
        ("packages/core/src/a.ts", ["web"]),
        ("packages/api/src/a.ts", "unmatched"),
        ("package-lock.json", ["web"]),
        ("packages/web/src/a.test.ts", "ignored"),
    ],
)
def test_a_workspace_is_built_from_the_workspaces_that_it_uses(path: str, due: object) -> None:
    assert DraftedRepository(MONOREPO).due(path) == due


def test_a_site_in_the_root_is_made_of_its_usual_folders() -> None:
    drafted = DraftedRepository(
        {
            "package.json": package("vite"),
            "index.html": "",
            "src/a.ts": "",
            "vite.config.ts": "",
            "backend/a.py": "",
        }
    )
    assert drafted.targets == {"site": "site"}
    assert drafted.setting("site", "source") == "dist"
    for path in ("package.json", "index.html", "src/b/c.ts", "vite.config.ts"):
        assert drafted.due(path) == ["site"]
    assert drafted.due("backend/a.py") == "unmatched"


VITE = {"frontend/package.json": package("vite"), "frontend/index.html": "", "frontend/a.ts": ""}


@pytest.mark.parametrize(
    "dockerfile",
    [
        {"frontend/Dockerfile": "FROM x\nCOPY . .\n"},
        {"Dockerfile": "FROM x\nCOPY frontend/ .\n"},
        {"Dockerfile": "FROM x\nCOPY frontend/package.json .\nCOPY backend .\n", "backend/a": ""},
    ],
)
def test_a_front_end_that_an_image_takes_is_no_site(dockerfile: dict[str, str]) -> None:
    drafted = DraftedRepository({**VITE, **dockerfile})
    assert list(drafted.targets.values()) == ["app"]
    assert (
        "frontend/package.json: a front end that is deployed with something else" in drafted.notes
    )


def test_an_image_of_everything_takes_no_site_with_it() -> None:
    drafted = DraftedRepository(
        {**VITE, "Dockerfile": "FROM x\nCOPY . .\n", "tests/test_a.py": "def test(): pass"}
    )
    assert drafted.due("frontend/a.ts") == ["app", "frontend"]


def test_the_bucket_is_the_one_that_a_stack_names_for_it() -> None:
    cdk = {
        "cdk/cdk.json": "{}",
        "cdk/a.py": (
            "from aws_cdk import Stack\nclass A(Stack):\n    def f(self):\n        {}\nA(app,"
            " 'a')\n"
        ),
    }
    two = "Bucket(self, 'B', bucket_name='shop-web'); Bucket(self, 'U', bucket_name='shop-uploads')"
    drafted = DraftedRepository(
        {**VITE, "cdk/cdk.json": "{}", "cdk/a.py": cdk["cdk/a.py"].format(two)}
    )
    assert drafted.setting("frontend", "bucket") == "shop-web"
    assert "bucket" not in drafted.questions
    assert (
        "targets.frontend.bucket: the name of the S3 bucket (drafted as `shop-frontend`)"
        in DraftedRepository(VITE).questions
    )


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_a_package_that_cannot_be_read_is_said(text: str) -> None:
    assert (
        DraftedRepository({"app/package.json": text}).notes == "app/package.json: could not be read"
    )


OUTSIDE = {
    "web/package.json": package("vite", scripts={"build": "vite build"}),
    "web/vite.config.ts": 'export default { build: { outDir: "../public" } }',
    "web/src/main.ts": 'import x from "../../shared/types"\nimport { y } from "./near"',
    "web/src/App.vue": "<script>\nimport z from '../../z.js'\n</script>",
    "web/src/near.ts": "",
    "shared/types.ts": 'export * from "../base/b"',
    "base/b.ts": "",
    "z.js": "",
    "other/a.ts": "",
}


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("shared/types.ts", ["web"]),
        ("base/b.ts", ["web"]),
        ("z.js", ["web"]),
        ("web/src/near.ts", ["web"]),
        ("other/a.ts", "unmatched"),
    ],
)
def test_a_site_is_made_of_what_it_imports_from_outside(path: str, due: object) -> None:
    assert DraftedRepository(OUTSIDE).due(path) == due


def test_a_build_may_write_outside_of_the_site() -> None:
    assert DraftedRepository(OUTSIDE).setting("web", "source") == "public"
