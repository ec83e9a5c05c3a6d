"""Dockerfiles as apps: what they are called, what they are made of, what is left out."""

import pytest

from tests.init.drafted import DraftedRepository

COPY_ALL = "FROM x\nCOPY . .\n"
FILES = "api/{Dockerfile,Dockerfile.dockerignore,.dockerignore}"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("backend/Dockerfile", "backend"),
        ("Dockerfile", "app"),
        ("Dockerfile.worker", "worker"),
        ("worker.Dockerfile", "worker"),
        ("services/Order_API/Dockerfile", "order-api"),
        ("api/docker/Dockerfile", "api"),
        ("docker/Dockerfile", "app"),
        ("api/Dockerfile.prod", "api"),
        ("Ünï/Dockerfile", "uni"),
        ("Straße/Dockerfile", "strasse"),
        ("web2/Dockerfile", "web2"),
        ("s3site/Dockerfile", "s3site"),
        ("EC2App/Dockerfile", "ec2-app"),
        ("ec2-app/Dockerfile", "ec2-app"),
        ("日本/Dockerfile", "app"),
    ],
)
def test_an_app_is_called_after_its_file_or_folder(path: str, name: str) -> None:
    assert DraftedRepository({path: COPY_ALL, "a.py": "", "api/a.py": ""}).targets == {name: "app"}


def test_images_for_development_are_left_out_where_there_are_others() -> None:
    drafted = DraftedRepository(
        {"api/Dockerfile": COPY_ALL, "api/Dockerfile.dev": COPY_ALL, "api/a": ""}
    )
    assert drafted.targets == {"api": "app"}
    assert "api/Dockerfile.dev: an image for development or tests, left out" in drafted.notes
    assert list(DraftedRepository({"api/Dockerfile.dev": COPY_ALL, "api/a": ""}).targets) == ["api"]


def test_names_are_given_once() -> None:
    drafted = DraftedRepository(
        {"a/api/Dockerfile": COPY_ALL, "b/api/Dockerfile": COPY_ALL, "a/api/x": "", "b/api/x": ""}
    )
    assert list(drafted.targets) == ["api", "api-2"]
    assert [rule.name for rule in drafted.survey.draft.rules] == [
        "App code (api)",
        "App code (api-2)",
    ]


def test_a_compose_file_tells_the_folder_of_the_build() -> None:
    compose = "services: {x: {build: {context: .., dockerfile: docker/Dockerfile}}}"
    drafted = DraftedRepository(
        {
            "docker/Dockerfile": "FROM x\nCOPY src .\n",
            "docker/compose.yml": compose,
            "src/a": "",
            "docker/src/b": "",
        }
    )
    assert drafted.setting("app", "build") == {"context": ".", "dockerfile": "docker/Dockerfile"}
    assert (drafted.due("src/a"), drafted.due("docker/src/b")) == (["app"], "unmatched")


TREE = {
    "api/Dockerfile": COPY_ALL,
    "api/.dockerignore": "node_modules\n*.log\ndocs\nDockerfile*\n",
    "api/src/a.ts": "",
    "api/src/a.test.ts": "",
    "api/docs/x.txt": "",
    "api/Dockerfile.old.txt": "",
    "api/tests/b.test.ts": "",
}


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("api/src/a.ts", ["api"]),
        ("api/new.ts", ["api"]),
        ("api/Dockerfile", ["api"]),
        ("api/.dockerignore", ["api"]),
        ("api/docs/x.txt", "unmatched"),
        ("api/src/a.test.ts", "ignored"),
        ("api/tests/b.test.ts", "ignored"),
    ],
)
def test_what_a_dockerignore_keeps_out_calls_for_nothing(path: str, due: object) -> None:
    assert DraftedRepository(TREE).due(path) == due


def test_only_what_takes_something_away_is_excluded() -> None:
    (rule,) = DraftedRepository(TREE).survey.draft.rules
    assert rule.paths == ("api/**", "!api/docs/**", "!api/tests/**", "!api/**/*.test.ts")


def test_a_list_of_what_is_let_in_narrows_the_rule() -> None:
    tree = {
        **TREE,
        "api/.dockerignore": "*\n!src\n!package.json\nsrc/gen",
        "api/package.json": "",
        "api/src/gen/a": "",
    }
    (rule,) = DraftedRepository(
        {path: text for path, text in tree.items() if "test" not in path}
    ).survey.draft.rules
    assert rule.paths == ("api/src/**", "api/package.json", FILES, "!api/src/gen/**")


def test_sources_are_written_as_they_are_in_git() -> None:
    dockerfile = (
        "FROM x\nCOPY package.json yarn.lock* ./\nCOPY src/ lib ./\nCOPY src/a.py /\nCOPY"
        " conf/*.ini /\n"
    )
    tree = {f"api/{path}": "" for path in ("package.json", "src/a.py", "lib/b.py", "conf/x.ini")}
    (rule,) = DraftedRepository({"api/Dockerfile": dockerfile, **tree}).survey.draft.rules
    assert rule.paths == (
        "api/package.json",
        "api/yarn.lock*",
        "api/yarn.lock*/**",
        "api/src/**",
        "api/lib/**",
        "api/conf/*.ini",
        FILES,
    )


@pytest.mark.parametrize(
    "source", ["target/*.jar", "target/app.jar", "dist", "dist/", "build/libs/x.jar"]
)
def test_a_source_that_is_built_first_stands_for_the_code_around_it(source: str) -> None:
    tree = {
        "api/Dockerfile": f"FROM x\nCOPY {source} /x\n",
        "api/src/main/java/A.java": "",
        "api/src/test/java/ATest.java": "",
    }
    drafted = DraftedRepository({**tree, "other/a": ""})
    assert drafted.due("api/src/main/java/A.java") == ["api"]
    assert drafted.due("api/src/test/java/ATest.java") == "ignored"
    assert drafted.due("other/a") == "unmatched"
    assert f"api/Dockerfile copies `{source}`, which is not in git" in drafted.questions


def test_an_image_of_the_whole_repository_is_said() -> None:
    drafted = DraftedRepository({"Dockerfile": COPY_ALL, "a.py": "", "e2e/x": ""})
    assert (
        "Dockerfile copies the whole repository, so nearly every change calls for `app`"
        in drafted.questions
    )
    assert drafted.due("any/thing") == ["app"]
    assert drafted.due("e2e/x") == "smoke-test"


def test_tests_are_known_by_what_is_in_them() -> None:
    tree = {
        "api/Dockerfile": COPY_ALL,
        "api/test_mail.py": "def send(): ...",
        "api/test/page.py": "",
        "api/tests.py": "",
    }
    drafted = DraftedRepository(tree)
    assert [drafted.due(path) for path in tree] == [["api"]] * 4
    assert (
        DraftedRepository({**tree, "api/test_mail.py": "def test_send(): ..."}).due(
            "api/test_mail.py"
        )
        == "ignored"
    )


def test_a_dockerfile_that_cannot_be_read_is_said() -> None:
    drafted = DraftedRepository({"a/Dockerfile": None, "b/Dockerfile": COPY_ALL, "b/x": ""})  # type: ignore[dict-item]
    assert drafted.targets == {"b": "app"}
    assert "a/Dockerfile: could not be read" in drafted.notes


def test_names_with_special_characters_are_taken_literally() -> None:
    tree = {"app/[id]/Dockerfile": COPY_ALL, "app/[id]/a*b.py": "", "app/i/a.py": ""}
    drafted = DraftedRepository(tree)
    assert drafted.due("app/[id]/a*b.py") == ["id"]
    assert drafted.due("app/i/a.py") == "unmatched"


@pytest.mark.parametrize(
    "path", ["api/.dockerignore", "api/Dockerfile.dockerignore", "api/Dockerfile"]
)
def test_a_dockerignore_that_is_made_later_calls_for_its_app(path: str) -> None:
    assert DraftedRepository({"api/Dockerfile": "FROM x\nCOPY src .\n", "api/src/a": ""}).due(
        path
    ) == ["api"]


@pytest.mark.parametrize(
    "path", [".dockerignore", "docker/api.Dockerfile.dockerignore", "docker/api.Dockerfile"]
)
def test_a_dockerignore_of_another_folder_calls_for_its_app(path: str) -> None:
    drafted = DraftedRepository(
        {"docker/api.Dockerfile": "FROM x\nCOPY src .\n", "src/a": "", "notes/a.md": ""}
    )
    assert drafted.due(path) == ["api"]
    assert drafted.due("notes/a.md") == "ignored"
    assert drafted.survey.draft.rules[0].paths == (
        "src/**",
        "{docker/api.Dockerfile,docker/api.Dockerfile.dockerignore,.dockerignore}",
    )


def test_an_odd_name_of_a_dockerfile_is_taken_literally() -> None:
    drafted = DraftedRepository({"a,[b]/Dockerfile.x,y": "FROM x\nCOPY src .\n", "a,[b]/src/a": ""})
    assert {
        str(drafted.due(f"a,[b]/{name}"))
        for name in ("Dockerfile.x,y", ".dockerignore", "Dockerfile.x,y.dockerignore")
    } == {"['x-y']"}
