"""CDK apps: which stacks, from which code, with what beside them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.init.drafted import DraftedRepository
from toolkit.init.stacks.python_code import read_python
from toolkit.init.stacks.script_code import read_script

PYTHON = "from aws_cdk import App, Stack\n"
SCRIPT = "import * as cdk from 'aws-cdk-lib';\n"


def python(
    app: str, stacks: str = "class ApiStack(Stack):\n    pass\n", **more: str
) -> DraftedRepository:
    """A CDK app in Python: its app.py, one file of stacks, and other files by path."""
    files = {
        "cdk/cdk.json": '{"app": "python3 app.py"}',
        "cdk/app.py": PYTHON + app,
        "cdk/stacks.py": PYTHON + stacks,
    }
    return DraftedRepository({**files, **more})


def script(
    app: str, stacks: str = "export class ApiStack extends cdk.Stack { }", **more: str
) -> DraftedRepository:
    """The same in TypeScript."""
    files = {
        "cdk/cdk.json": "{}",
        "cdk/bin/app.ts": SCRIPT + app,
        "cdk/lib/stacks.ts": SCRIPT + stacks,
    }
    return DraftedRepository({**files, **more})


def names(drafted: DraftedRepository) -> list[str]:
    return [
        str(target.settings["stack"])
        for target in drafted.survey.draft.targets
        if target.kind == "stack"
    ]


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("ApiStack(app, 'Shop')", "Shop"),
        ("ApiStack(app, id='Shop')", "Shop"),
        ("ApiStack(scope=app, id='Shop')", "Shop"),
        ("ApiStack(app, construct_id='Shop')", "Shop"),
        ("ApiStack(app, 'Id', stack_name='Shop')", "Shop"),
        ("NAME = 'Shop'\nApiStack(app, NAME)", "Shop"),
        ("name = 'Other'\nname = 'Shop'\nApiStack(app, name)", "{name}"),
        ("ApiStack(app, 'Shop' + '-' + region)", "Shop-{region}"),
        ("ApiStack(app, f'Shop{suffix}')", "Shop{suffix}"),
        ("ApiStack(app, f'Shop-{config.stage}')", "Shop-{stage}"),
        (
            "stage = app.node.try_get_context('env') or 'dev'\nApiStack(app, f'Shop-{stage}')",
            "Shop-{env}",
        ),
        ("ApiStack(app, f'Shop-{os.environ[\"STAGE\"]}')", "Shop-{stage}"),
        ("for x in 'ab':\n    ApiStack(app, f'Shop-{x}')", "Shop-{x}"),
        ("ApiStack(app, name())", "ApiStack"),
        ("cdk.Stack(app, 'Shop')", "Shop"),
    ],
)
def test_a_stack_in_python_is_called_what_the_code_says(app: str, name: str) -> None:
    assert names(python(app)) == [name]


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("new ApiStack(app, 'Shop');", "Shop"),
        ('new stacks.ApiStack(app, "Shop", { env });', "Shop"),
        ("new ApiStack(app, 'Id', { stackName: 'Shop' })", "Shop"),
        (
            "new ApiStack(app, 'Id', { env: { region: 'x' }, stackName: `Shop-${stage}` })",
            "Shop-{stage}",
        ),
        ("const NAME = 'Shop';\nnew ApiStack(app, NAME)", "Shop"),
        ("let name = 'Shop';\nif (x) { let name = 'b' }\nnew ApiStack(app, name)", "{name}"),
        ("new ApiStack(app, /* id, */ 'Shop' /* , */, {})", "Shop"),
        ("new ApiStack(\n  app,\n  `Shop${props.suffix}`,\n)", "Shop{suffix}"),
        ("new ApiStack(app, `Shop-${process.env.STAGE}`)", "Shop-{stage}"),
        (
            (
                "const stage = app.node.tryGetContext('env') ?? 'dev';\nnew ApiStack(app,"
                " `Shop-${stage}`)"
            ),
            "Shop-{env}",
        ),
        ("const stage = x.y || 'dev';\nnew ApiStack(app, 'Shop-' + stage)", "Shop-{y}"),
        ("new ApiStack(app, name())", "ApiStack"),
        ("new cdk.Stack(app, 'Shop')", "Shop"),
    ],
)
def test_a_stack_in_typescript_is_called_what_the_code_says(app: str, name: str) -> None:
    assert names(script(app)) == [name]


def test_a_computed_name_is_asked_for() -> None:
    assert (
        "targets.api.stack: the stack's name, which cdk/app.py computes (drafted as `ApiStack`)"
        in python("ApiStack(app, name())").questions
    )


@pytest.mark.parametrize(
    "stacks",
    [
        "class ApiStack(cdk.Stack): pass",
        "class ApiStack(core.Stack, Mixin): pass",
        "class Base(Stack): pass\nclass ApiStack(Base): pass",
        "class ApiStack(CompanyStack): pass",
    ],
)
def test_a_class_is_a_stack_by_what_it_extends(stacks: str) -> None:
    assert names(python("ApiStack(app, 'Shop')", stacks)) == ["Shop"]


@pytest.mark.parametrize(
    "stacks",
    [
        "class ApiStack(NestedStack): pass",
        "class ApiStack(Construct): pass",
        "class ApiStack(ApiStack): pass",
        "class ApiStack: pass",
    ],
)
def test_other_classes_are_no_stacks(stacks: str) -> None:
    assert names(python("ApiStack(app, 'Shop')", stacks)) == []


def test_code_in_comments_and_strings_is_no_code() -> None:
    app = (
        "// new ApiStack(app, 'A')\n/* new ApiStack(app, 'B') */\nconst x = \"new ApiStack(app,"
        " 'C')\";\nnew ApiStack(app, 'D') // '\n"
    )
    assert names(script(app)) == ["D"]


def test_tests_and_compiled_files_are_left_out() -> None:
    more = {
        "cdk/test/app.test.ts": SCRIPT + "new ApiStack(app, 'Test')",
        "cdk/bin/app.js": SCRIPT + "new ApiStack(app, 'Compiled')",
        "cdk/lib/stacks.d.ts": SCRIPT + "export class ApiStack extends Construct { }",
    }
    assert names(script("new ApiStack(app, 'Shop')", **more)) == ["Shop"]


def test_python_of_another_time_is_read_by_how_it_looks() -> None:
    drafted = python(
        "print 'old'\nApiStack(app, 'Shop-dev')\n",
        "class ApiStack(Stack):\n    pass\nprint 'old'\n",
    )
    assert names(drafted) == ["Shop-dev"]
    assert "cdk/app.py: could not be read" in drafted.notes


@pytest.mark.parametrize(
    ("app", "needs"),
    [
        ("net = NetStack(app, 'net')\nApiStack(app, 'api', vpc=net.vpc)", ("net",)),
        ("self.net = NetStack(app, 'net')\nApiStack(app, 'api', self.net.vpc)", ("net",)),
        (
            "net = NetStack(app, 'net')\napi = ApiStack(app, 'api')\napi.add_dependency(net)",
            ("net",),
        ),
        ("net = NetStack(app, 'net')\nApiStack(app, 'api')", ()),
        ("NetStack(app, 'net')\nApiStack(app, 'api', vpc=net.vpc)", ()),
    ],
)
def test_a_stack_in_python_needs_what_it_is_given(app: str, needs: tuple[str, ...]) -> None:
    assert (
        python(app, "class NetStack(Stack): pass\nclass ApiStack(Stack): pass\n").setting(
            "api", "needs"
        )
        == needs
    )


@pytest.mark.parametrize(
    "app",
    [
        "const net = new NetStack(app, 'net'); new ApiStack(app, 'api', { vpc: net.vpc });",
        "this.net = new NetStack(app, 'net'); new ApiStack(app, 'api', { vpc: this.net.vpc });",
        (
            "let net;\nif (x) { net = new NetStack(app, 'net') }\nconst api = new ApiStack(app,"
            " 'api'); if (net) { api.addDependency(net) }"
        ),
        (
            "const net: NetStack = new NetStack(app, 'net');\nconst api = new ApiStack(app,"
            " 'api');\napi.addDependency(net);"
        ),
    ],
)
def test_a_stack_in_typescript_needs_what_it_is_given(app: str) -> None:
    drafted = script(
        app,
        "export class NetStack extends cdk.Stack { }\nexport class ApiStack extends cdk.Stack { }",
    )
    assert drafted.setting("api", "needs") == ("net",)


def test_stacks_that_come_after_each_other_make_no_circle() -> None:
    app = "a = AStack(app, 'a')\nb = BStack(app, 'b')\na.add_dependency(b)\nb.add_dependency(a)\n"
    drafted = python(app, "class AStack(Stack): pass\nclass BStack(Stack): pass\n")
    assert (drafted.setting("a", "needs"), drafted.setting("b", "needs")) == (("b",), ())


def test_the_same_stack_for_each_environment_is_one_target() -> None:
    drafted = python(
        "ApiStack(app, 'Shop-dev')\nApiStack(app, 'Shop-staging')\nApiStack(app, 'Shop-prod')\n"
    )
    assert names(drafted) == ["Shop-{stage}"]
    environments = drafted.rules.environments
    assert {name: item.vars for name, item in environments.items()} == {
        name: {"stage": name} for name in ("dev", "prod", "staging")
    }
    assert environments["prod"].protected
    assert not environments["dev"].protected


def test_the_environment_that_is_meant_by_default_is_not_a_protected_one() -> None:
    assert (
        python("ApiStack(app, 'Shop-live')\nApiStack(app, 'Shop-qa')\n").rules.environment == "qa"
    )


def test_environments_in_capitals_keep_their_spelling() -> None:
    drafted = python("ApiStack(app, 'ShopDev')\nApiStack(app, 'ShopProd')\n")
    assert names(drafted) == ["Shop{stage}"]
    assert drafted.rules.environments["dev"].vars == {"stage": "Dev"}


def test_environments_in_two_spellings_stay_apart() -> None:
    drafted = script(
        "new AStack(app, 'a-dev'); new AStack(app, 'a-prod'); new BStack(app, 'WebDev'); new"
        " BStack(app, 'WebProd');",
        "export class AStack extends cdk.Stack { } export class BStack extends cdk.Stack { }",
    )
    assert names(drafted) == ["a-dev", "a-prod", "WebDev", "WebProd"]


def test_stacks_of_one_class_that_are_no_environments_stay_apart() -> None:
    assert names(python("ApiStack(app, 'orders')\nApiStack(app, 'users')\n")) == ["orders", "users"]
    assert names(python("ApiStack(app, 'a-dev')\nApiStack(app, 'b-Prod')\n")) == ["a-dev", "b-Prod"]


def test_a_stack_in_a_stage_is_called_after_the_stage() -> None:
    app = "Deploy(app, 'Beta')\nDeploy(app, 'Gamma')\n"
    stacks = (
        "class ApiStack(Stack): pass\nclass Deploy(Stage):\n    def __init__(self):\n       "
        " ApiStack(self, 'Shop')\n"
    )
    assert names(python(app, stacks)) == ["Beta-Shop", "Gamma-Shop"]


SPLIT = {
    "cdk/cdk.json": "{}",
    "cdk/app.py": (
        PYTHON + "from net import NetStack\nfrom api import ApiStack\nfrom web import WebStack\n"
        "net = NetStack(app, 'net')\nApiStack(app, 'api', net=net)\nWebStack(app, 'web')\n"
    ),
    "cdk/net.py": PYTHON + "class NetStack(Stack): pass\n",
    "cdk/api.py": PYTHON + "class ApiStack(Stack): pass\n",
    "cdk/web.py": PYTHON + "class WebStack(Stack): pass\n",
    "cdk/tests/test_api.py": "def test(): pass",
}


def test_a_file_calls_for_its_stack_and_those_that_need_it() -> None:
    drafted = DraftedRepository(SPLIT)
    assert drafted.due("cdk/api.py") == ["api"]
    assert drafted.due("cdk/net.py") == ["api", "net"]
    assert drafted.due("cdk/app.py") == drafted.due("cdk/new/file.py") == ["infra"]
    assert drafted.due("cdk/tests/test_api.py") == "ignored"


def test_a_file_that_another_stack_imports_calls_for_both() -> None:
    drafted = DraftedRepository(
        {**SPLIT, "cdk/web.py": PYTHON + "from api import LIMIT\nclass WebStack(Stack): pass\n"}
    )
    assert drafted.due("cdk/api.py") == ["api", "web"]


def test_a_file_that_something_else_imports_calls_for_all() -> None:
    drafted = DraftedRepository(
        {**SPLIT, "cdk/helper.py": PYTHON + "from api import LIMIT\ndef f(): g()\n"}
    )
    assert drafted.due("cdk/api.py") == ["infra"]


def test_a_file_that_makes_the_stacks_calls_for_all() -> None:
    app = SPLIT["cdk/app.py"].replace("from web import WebStack\n", "class WebStack(Stack): pass\n")
    tree = {**SPLIT, "cdk/app.py": app}
    del tree["cdk/web.py"]
    assert DraftedRepository(tree).due("cdk/app.py") == ["infra"]


def test_one_stack_needs_no_group() -> None:
    drafted = python("ApiStack(app, 'Shop')")
    assert drafted.targets == {"shop": "stack"}
    assert drafted.due("cdk/app.py") == drafted.due("cdk/package.json") == ["shop"]


def test_an_app_in_the_root_owns_its_code_and_not_the_rest() -> None:
    tree = {
        "cdk.json": "{}",
        "package.json": "{}",
        "bin/app.ts": SCRIPT + "new ApiStack(app, 'Shop')",
        "lib/api.ts": SCRIPT + "export class ApiStack extends cdk.Stack { }",
        "src/a.ts": "export class Stack { }",
    }
    drafted = DraftedRepository(tree)
    assert (
        drafted.due("lib/api.ts")
        == drafted.due("bin/app.ts")
        == drafted.due("cdk.json")
        == drafted.due("package.json")
        == ["shop"]
    )
    assert drafted.due("src/a.ts") == "unmatched"


@pytest.mark.parametrize(
    ("stacks", "targets"),
    [
        (("AcmeApiStack", "AcmeWebStack"), ["api", "web"]),
        (("AcmeStack", "AcmeWebStack"), ["acme", "web"]),
        (("ShopApiStack", "OtherStack"), ["api", "other"]),
        (("AcmeShopApi{x}", "AcmeShopWeb{x}"), ["api", "web"]),
        (("a-b", "a_b"), ["a-b", "a-b-2"]),
        (("AcmeApiDb", "AcmeWebDb"), ["api-db", "web-db"]),
        (("Stack", "{x}"), ["stack", "stack-2"]),
    ],
)
def test_a_target_is_called_what_tells_its_stack_from_the_others(
    stacks: tuple[str, str], targets: list[str]
) -> None:
    drafted = python("".join(f"ApiStack(app, f'{name}')\n" for name in stacks))
    assert [name for name, kind in drafted.targets.items() if kind == "stack"] == targets


def test_two_apps_are_two_groups() -> None:
    document = {path.replace("cdk/", "more/", 1): text for path, text in SPLIT.items()}
    drafted = DraftedRepository({**SPLIT, **document})
    assert [name for name, kind in drafted.targets.items() if kind == "group"] == [
        "infra",
        "infra-2",
    ]
    assert drafted.due("more/app.py") == ["infra-2"]


@pytest.mark.parametrize(
    ("path", "language"), [("cdk/src/A.java", "Java"), ("cdk/A.cs", "C#"), ("cdk/main.go", "Go")]
)
def test_an_app_in_another_language_is_for_a_person(path: str, language: str) -> None:
    drafted = DraftedRepository({"cdk/cdk.json": "{}", path: "x"})
    assert drafted.targets == {"infra": "manual"}
    assert drafted.due(path) == ["infra"]
    assert f"a CDK app in {language}, which is not read" in drafted.questions


@pytest.mark.parametrize("text", ["{", "[]", '{"context": 5}'])
def test_a_config_that_cannot_be_read_is_said(text: str) -> None:
    drafted = DraftedRepository({**SPLIT, "cdk/cdk.json": text})
    assert "cdk/cdk.json: could not be read" in drafted.notes
    assert drafted.due("cdk/api.py") == ["api"]


def test_account_and_region_are_taken_where_there_is_one() -> None:
    drafted = script(
        "const env = { account: '111111111111', region: 'eu-west-1' }; new ApiStack(app, 'Shop', {"
        " env });"
    )
    assert drafted.rules.environments["dev"].account == "111111111111"
    assert drafted.rules.environments["dev"].regions == ("eu-west-1",)
    assert "account" not in drafted.questions


def test_a_region_that_only_some_stacks_are_given_is_asked_for() -> None:
    drafted = script(
        "new ApiStack(app, 'a', { env: { region: 'us-east-1' } }); new ApiStack(app, 'b', { env: {"
        " region: process.env.REGION } });"
    )
    assert drafted.rules.environments["dev"].regions == ()
    assert "account and regions" in drafted.questions


@pytest.mark.parametrize(
    "drafted",
    [
        python("name = os.getenv('NAME') or 'shop'\nApiStack(app, f'{name}-api')"),
        python("name = os.environ.get('NAME', 'shop')\nApiStack(app, f'{name}-api')"),
        python("name = app.node.try_get_context('name') or 'shop'\nApiStack(app, f'{name}-api')"),
        script("const name = process.env.NAME || 'shop'; new ApiStack(app, `${name}-api`)"),
        script(
            "const name = app.node.tryGetContext('name') ?? 'shop'; new ApiStack(app,"
            " `${name}-api`)"
        ),
        script("new ApiStack(app, `${props.name ?? other.name ?? 'shop'}-api`)"),
    ],
    ids=range(6),
)
def test_a_variable_is_what_the_code_falls_back_to(drafted: DraftedRepository) -> None:
    assert names(drafted) == ["{name}-api"]
    assert drafted.rules.environments["dev"].vars == {"name": "shop"}
    assert "vars" not in drafted.questions


def test_the_context_goes_before_what_the_code_falls_back_to() -> None:
    more = {"cdk/cdk.json": '{"context": {"name": "other"}}'}
    drafted = python(
        "name = app.node.try_get_context('name') or 'shop'\nApiStack(app, f'{name}-api')", **more
    )
    assert drafted.rules.environments["dev"].vars == {"name": "other"}


# --- what stacks deploy themselves

LAMBDA = {"lambda/x/handler.py": "", "lambda/y/handler.py": ""}


@pytest.mark.parametrize(
    "path",
    [
        "'../lambda/x'",
        "'../lambda/x/dist'",
        "os.path.join(os.path.dirname(__file__), '..', 'lambda', 'x')",
        "os.path.abspath(os.path.join(os.path.dirname(__file__), '../lambda/x'))",
        "str(Path(__file__).parent.parent / 'lambda' / 'x')",
        "str(Path(__file__).resolve().parents[1] / 'lambda/x')",
        "Path(__file__).parent.joinpath('..', 'lambda', 'x').as_posix()",
        "f'{HERE}/../lambda/x'",
        "HERE + '/../lambda/x'",
        "os.path.join(os.getcwd(), '..', 'lambda', 'x')",
        "path='../lambda/x'",
    ],
)
def test_a_folder_in_python_is_found_however_it_is_written(path: str) -> None:
    stacks = (
        "HERE = os.path.dirname(__file__)\nclass ApiStack(Stack):\n    def __init__(self):\n      "
        f"  Code.from_asset({path})\n"
    )
    drafted = python("ApiStack(app, 'Shop')", stacks, **LAMBDA)
    assert drafted.due("lambda/x/handler.py") == ["shop"]
    assert drafted.due("lambda/y/handler.py") == "unmatched"


@pytest.mark.parametrize(
    "path",
    [
        "'../lambda/x'",
        "`../lambda/x`",
        "path.join(__dirname, '../../lambda/x')",
        "path.join(__dirname, '..', '..', 'lambda', 'x')",
        "path.resolve(__dirname, `../../lambda/x`)",
        "join(__dirname, '../../lambda/x')",
        "__dirname + '/../../lambda/x'",
        "`${__dirname}/../../lambda/x`",
        "path.join(process.cwd(), '../lambda/x')",
        "`${ROOT}/lambda/x`",
        "path.join(ROOT, 'lambda', 'x', 'dist')",
    ],
)
def test_a_folder_in_typescript_is_found_however_it_is_written(path: str) -> None:
    root = "const ROOT = path.join(__dirname, '..', '..');\n"
    stacks = (
        root
        + f"class ApiStack extends cdk.Stack {{ f() {{ lambda.Code.fromAsset({path}, {{}}) }} }}"
    )
    drafted = script("new ApiStack(app, 'Shop')", stacks, **LAMBDA)
    assert drafted.due("lambda/x/handler.py") == ["shop"]
    assert drafted.due("lambda/y/handler.py") == "unmatched"


@pytest.mark.parametrize(
    "path", ["sys.argv[1]", "'../' + name()", "'../../outside'", "'dist'", "X"]
)
def test_a_folder_that_cannot_be_known_is_asked_for(path: str) -> None:
    stacks = f"class ApiStack(Stack):\n    def __init__(self):\n        Code.from_asset({path})\n"
    assert (
        "which rule should name its source?"
        in python("ApiStack(app, 'Shop')", stacks, **LAMBDA).questions
    )


def test_a_folder_belongs_to_the_stack_whose_construct_deploys_it() -> None:
    drafted = DraftedRepository(
        {
            **SPLIT,
            **LAMBDA,
            "cdk/parts.py": (
                PYTHON
                + "class Login(Construct):\n    def f(self): Code.from_asset('../lambda/x')\n"
            ),
            "cdk/api.py": (
                PYTHON
                + "from parts import Login\nclass ApiStack(Stack):\n    def f(self): Login(self,"
                " 'L')\n"
            ),
        }
    )
    assert drafted.due("lambda/x/handler.py") == ["api"]


def test_what_stands_below_a_class_is_no_part_of_it() -> None:
    stacks = (
        "class AStack extends cdk.Stack { f() { lambda.Code.fromAsset('../lambda/x') } }\nclass"
        " BStack extends cdk.Stack { }\nnew AStack(app, 'a'); new BStack(app, 'b');\n"
    )
    assert DraftedRepository({"cdk/cdk.json": "{}", "cdk/app.ts": SCRIPT + stacks, **LAMBDA}).due(
        "lambda/x/handler.py"
    ) == ["a"]


def test_a_folder_of_nobody_in_particular_calls_for_all() -> None:
    drafted = DraftedRepository(
        {**SPLIT, **LAMBDA, "cdk/parts.py": PYTHON + "CODE = Code.from_asset('../lambda/x')\n"}
    )
    assert drafted.due("lambda/x/handler.py") == ["api", "net", "web"]


def test_a_function_is_bundled_with_what_it_imports() -> None:
    tree = {
        "functions/login/index.ts": "import { a } from '../shared/a';\nimport x from 'lodash';",
        "functions/shared/a.ts": (
            "export * from '../../base/b.js';\nconst c = require('../../libs/c');"
        ),
        "base/b.ts": "",
        "libs/c/index.ts": "",
        "functions/other/index.ts": "",
        "package-lock.json": "{}",
    }
    stacks = (
        "class ApiStack extends cdk.Stack { f() { new NodejsFunction(this, 'F', { entry:"
        " '../functions/login/index.ts' }) } }"
    )
    drafted = script("new ApiStack(app, 'Shop')", stacks, **tree)
    called = {path: drafted.due(path) for path in tree}
    assert called.pop("functions/other/index.ts") == "unmatched"
    assert set(map(str, called.values())) == {"['shop']"}


IMAGE = {
    "api/Dockerfile": "FROM x\nCOPY src .\n",
    "api/src/a.py": "",
    "api/notes.txt": "",
    "api/other.Dockerfile": "FROM x\nCOPY notes.txt .\n",
}


@pytest.mark.parametrize(
    "call",
    [
        "ecs.ContainerImage.from_asset('../api')",
        "_lambda.DockerImageCode.from_image_asset('../api')",
        "DockerImageAsset(self, 'I', directory='../api')",
    ],
)
def test_an_image_that_a_stack_builds_is_no_app(call: str) -> None:
    stacks = f"class ApiStack(Stack):\n    def f(self):\n        {call}\n"
    drafted = python(
        "ApiStack(app, 'Shop')",
        stacks,
        **{path: text for path, text in IMAGE.items() if "other" not in path},
    )
    assert drafted.targets == {"shop": "stack"}
    assert drafted.due("api/src/a.py") == drafted.due("api/Dockerfile") == ["shop"]
    assert drafted.due("api/notes.txt") == "unmatched"


def test_an_image_may_have_another_dockerfile() -> None:
    stacks = (
        "class ApiStack extends cdk.Stack { f() { ecs.ContainerImage.fromAsset('../api', { file:"
        " 'other.Dockerfile' }) } }"
    )
    drafted = script("new ApiStack(app, 'Shop')", stacks, **IMAGE)
    assert drafted.due("api/notes.txt") == ["shop"]
    assert drafted.targets == {"api": "app", "shop": "stack"}


def test_an_image_of_the_whole_repository_takes_no_site_with_it() -> None:
    stacks = (
        "class ApiStack extends cdk.Stack { f() { ecs.ContainerImage.fromAsset('../', { file:"
        " 'api/Dockerfile' }) } }"
    )
    tree = {
        "api/Dockerfile": "FROM x\nCOPY api/src .\n",
        "api/src/a.ts": "",
        "web/build.py": "",
        "web/index.html": "",
    }
    drafted = script("new ApiStack(app, 'Shop')", stacks, **tree)
    assert drafted.targets == {"web": "site", "shop": "stack"}
    assert (drafted.due("api/src/a.ts"), drafted.due("web/a")) == (["shop"], ["web"])


def test_a_site_that_a_stack_uploads_is_its_own() -> None:
    stacks = (
        "class ApiStack(Stack):\n    def f(self):\n        s3deploy.Source.asset('../web/dist')\n"
    )
    site = {
        "web/package.json": '{"devDependencies": {"vite": "5"}}',
        "web/index.html": "",
        "web/src/a.ts": "",
    }
    drafted = python("ApiStack(app, 'Shop')", stacks, **site)
    assert drafted.targets == {"shop": "stack"}
    assert drafted.due("web/src/a.ts") == ["shop"]


@pytest.mark.parametrize(
    ("service", "needs"),
    [
        ("ecs.FargateService(self, 'S')", ("web",)),
        ("patterns.ApplicationLoadBalancedFargateService(self, 'S')", ("web",)),
        ("ecs.Ec2Service(self, 'S')", ("web",)),
        ("Other(self, 'S')", ()),
    ],
)
def test_an_app_needs_the_stack_that_runs_containers(service: str, needs: tuple[str, ...]) -> None:
    web = PYTHON + f"class WebStack(Stack):\n    def f(self):\n        {service}\n"
    drafted = DraftedRepository(
        {**SPLIT, "cdk/web.py": web, "backend/Dockerfile": "FROM x\nCOPY a .\n", "backend/a": ""}
    )
    assert drafted.setting("backend", "needs") == needs


def test_the_names_of_another_stack_are_not_the_apps() -> None:
    named = (
        "class {0}(Stack):\n    def f(self):\n        {1}(self, 'S', service_name='{2}',"
        " cluster_name=f'{{x}}{{{{y}}}}')\n"
    )
    web = PYTHON + named.format("WebStack", "ecs.FargateService", "mine")
    drafted = DraftedRepository(
        {
            **SPLIT,
            "cdk/web.py": web,
            "cdk/api.py": PYTHON + named.format("ApiStack", "apprunner.Service", "other"),
            "backend/Dockerfile": "FROM x\nCOPY a .\n",
            "backend/a": "",
        }
    )
    assert (drafted.setting("backend", "service"), drafted.setting("backend", "cluster")) == (
        "mine",
        "shop",
    )


def test_an_app_needs_the_stack_that_is_called_for_it_where_no_code_tells() -> None:
    tree = {path: text.replace("'web'", "'shop-ecs'") for path, text in SPLIT.items()}
    drafted = DraftedRepository(
        {**tree, "backend/Dockerfile": "FROM x\nCOPY a .\n", "backend/a": ""}
    )
    assert drafted.setting("backend", "needs") == ("ecs",)


# --- the readers, with texts of all kinds

codeish = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "class A extends Stack {",
                "new A(app, 'x'",
                "`${",
                "}",
                ")",
                "(",
                "'",
                '"',
                "/*",
                "*/",
                "//",
                "\n",
                "[",
                "]",
                ",",
            ]
        ),
        st.sampled_from(
            [
                "class A(Stack):\n ",
                "A(app, f'{x}')",
                "x = x + x",
                "Code.from_asset(x)",
                "const x = ",
                "path.join(",
                "entry:",
            ]
        ),
        st.text(max_size=5),
    ),
    max_size=40,
).map("".join)


@given(st.one_of(st.text(), codeish))
def test_any_text_can_be_read(text: str) -> None:
    read_script("a/b.ts", text, "a")
    with suppress(ValueError):
        read_python("a/b.py", text, "a")


@pytest.mark.parametrize(
    "text",
    [
        "/*" * 200_000,
        "`" + "\\`" * 100_000,
        "new A(" * 50_000,
        "class " * 100_000,
        "class A" + " " * 200_000,
        "import{" * 50_000,
        "const x = " * 40_000,
        "a." * 100_000,
        "x.fromAsset(" * 30_000,
        "entry: path.join(" * 20_000,
        "const a0 = b + b;"
        + "".join(f"const a{position + 1} = a{position} + a{position};" for position in range(500))
        + "X.fromAsset(a500)",
    ],
    ids=range(11),
)
def test_hostile_scripts_take_no_time(text: str) -> None:
    read_script("a/b.ts", text, "a")


@pytest.mark.parametrize(
    "text",
    [
        "a0 = '../x'\n"
        + "".join(f"a{position + 1} = a{position} + a{position}\n" for position in range(500))
        + "Code.from_asset(a500)",
        "(" * 10_000,
        "-" * 100_000 + "1",
        "a = b\nb = a\nCode.from_asset(a)",
        "x = " + " + ".join(["'a'"] * 5_000) + "\nCode.from_asset(x)",
        "A(" * 80 + ")" * 80,
    ],
    ids=range(6),
)
def test_hostile_python_takes_no_time(text: str) -> None:
    with suppress(ValueError):
        read_python("a/b.py", text, "a")


TWO = "new ApiStack(app, 'Api'); new WebStack(app, 'Web');"
BUNDLED = """
import { tag } from './tags';
export class WebStack extends cdk.Stack { }
export class ApiStack extends cdk.Stack {
  f() { new NodejsFunction(this, 'F', { entry: 'lambda/login/index.ts' }) }
}
"""
LOGIN = {"cdk/lambda/login/index.ts": "import { tag } from '../../lib/tags'", "cdk/lib/tags.ts": ""}


@pytest.mark.parametrize("folder", ["cdk/", ""])
def test_the_libraries_of_the_whole_app_call_for_every_stack(folder: str) -> None:
    drafted = script(
        TWO, BUNDLED, **LOGIN, **{f"{folder}package.json": "{}", f"{folder}package-lock.json": "{}"}
    )
    assert (
        drafted.due(f"{folder}package-lock.json")
        == drafted.due(f"{folder}package.json")
        == ["infra"]
    )
    assert drafted.due("cdk/lambda/login/new.ts") == ["api"]


def test_what_the_code_of_the_stacks_imports_is_not_one_functions_own() -> None:
    drafted = script(TWO, BUNDLED, **LOGIN)
    assert drafted.due("cdk/lib/tags.ts") == drafted.due("cdk/lib/stacks.ts") == ["infra"]


def test_an_image_of_everything_does_not_take_the_app_for_one_stack() -> None:
    stacks = (
        "class WebStack extends cdk.Stack { }\nclass ApiStack extends cdk.Stack { f() {"
        " ContainerImage.fromAsset('..') } }"
    )
    drafted = script(
        TWO,
        stacks,
        Dockerfile="FROM x\nCOPY . .\n",
        **{"src/a.ts": "", "cdk/package-lock.json": "{}"},
    )
    assert drafted.due("src/a.ts") == ["api"]
    assert (
        drafted.due("cdk/bin/app.ts")
        == drafted.due("cdk/package-lock.json")
        == drafted.due("cdk/lib/new.ts")
        == ["infra"]
    )


def test_an_app_in_the_root_shares_what_its_stacks_import() -> None:
    first = (
        "import * as cdk from 'aws-cdk-lib';\nimport { a } from '../common/a';\nexport class"
        " OneStack extends cdk.Stack { }"
    )
    two = (
        SCRIPT
        + "export class TwoStack extends cdk.Stack { f() { new NodejsFunction(this, 'F', { entry:"
        " 'lambda/i.ts' }) } }"
    )
    app = SCRIPT + "new OneStack(app, 'One'); new TwoStack(app, 'Two')"
    tree = {
        "cdk.json": "{}",
        "package-lock.json": "{}",
        "bin/app.ts": app,
        "lib/one.ts": first,
        "lib/two.ts": two,
        "common/a.ts": "",
    }
    drafted = DraftedRepository(
        {**tree, "lambda/i.ts": "import { a } from '../common/a'", "lambda/package.json": "{}"}
    )
    assert drafted.due("common/a.ts") == drafted.due("package-lock.json") == ["infra"]
    assert drafted.due("lambda/package.json") == drafted.due("lambda/i.ts") == ["two"]


def test_code_that_only_speaks_of_stacks_is_still_its_functions_own() -> None:
    drafted = script(
        TWO, BUNDLED, **{**LOGIN, "cdk/lambda/login/index.ts": "const cdk = new StackTrace()"}
    )
    assert drafted.due("cdk/lambda/login/index.ts") == ["api"]
