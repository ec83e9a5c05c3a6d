"""Every way in which rules.toml can be wrong, and what is said of it."""

HEAD = "version = 1\n"
STACK = '[targets.api]\nkind = "stack"\nstack = "Api"\ncdk = "cdk"\n'
APP = '[targets.app]\nkind = "app"\ncluster = "c"\nservice = "s"\nrepository = "r"\n'
FUNCTION = '[targets.mail]\nkind = "function"\nfunction = "mail"\nsource = "mail"\n'
RULE = '[[rules]]\nname = "one"\npaths = ["a/**"]\ndeploy = ["api"]\n'
MANUAL = 'kind = "manual"\ninstructions = "x"\n'

WRONG: dict[str, tuple[str, ...]] = {
    "an input of an unknown source": (
        f'{HEAD}{APP}inputs = ["smm:/base"]\n',
        ":7: targets.app.inputs[0]: 'smm:/base' is not an input; did you mean 'ssm'?",
    ),
    "an input without a source": (
        f'{HEAD}{APP}inputs = ["NODE_VERSION"]\n',
        (
            ":7: targets.app.inputs[0]: 'NODE_VERSION' is not an input; it begins with `ssm:`,"
            " `secret:` or `env:`"
        ),
    ),
    "an input without a name": (
        f'{HEAD}{APP}inputs = ["ssm:"]\n',
        ":7: targets.app.inputs[0]: 'ssm:' has no name",
    ),
    "an input at a pinned version": (
        f'{HEAD}{APP}inputs = ["ssm:/base:3"]\n',
        ":7: targets.app.inputs[0]: '/base:3' is not the name of a parameter",
    ),
    "a variable that looks like a secret": (
        f'{HEAD}{APP}inputs = ["env:NPM_TOKEN"]\n',
        (
            ":7: targets.app.inputs[0]: the name of 'env:NPM_TOKEN' looks like that of a secret,"
            " and what `env:` names is recorded and shown; keep it in Secrets Manager, and declare"
            " `secret:NAME`"
        ),
    ),
    "an input twice": (
        f'{HEAD}{APP}inputs = ["env:A", "env:A"]\n',
        ":7: targets.app.inputs[1]: 'env:A' stands there twice",
    ),
    "inputs of what a person deploys": (
        f'{HEAD}[targets.m]\n{MANUAL}inputs = ["env:A"]\n',
        ":5: targets.m.inputs: toolkit does not deploy it, so nothing records its inputs",
    ),
    "no version": (
        'project = "x"\n',
        ": `version` is missing",
    ),
    "another version": (
        "version = 2\n",
        ":1: version: expected a number <= 1",
    ),
    "a version that is text": (
        'version = "1"\n',
        ":1: version: expected a number, got text",
    ),
    "an unknown key at the top": (
        "version = 1\nignored = []\n",
        ":2: ignored: unknown key; did you mean 'ignore'?",
    ),
    "a key that is near nothing": (
        "version = 1\nxyzzy = []\n",
        (
            ":2: xyzzy: unknown key; there are version, project, environment, ignore, unmatched,"
            " templates, environments, targets and 5 more"
        ),
    ),
    "ignore is text": (
        'version = 1\nignore = "*.md"\n',
        ":2: ignore: expected an array, got text",
    ),
    "ignore holds a number": (
        'version = 1\nignore = [\n  "*.md",\n  5,\n]\n',
        ":4: ignore[1]: expected text, got a number",
    ),
    "an empty pattern": (
        'version = 1\nignore = [\n"a",\n""\n]\n',
        ":4: ignore[1]: expected text of length >= 1",
    ),
    "rules is a table": (
        'version = 1\n[rules]\nname = "x"\n',
        ":2: rules: expected an array, got a table",
    ),
    "a rule is text": (
        'version = 1\nrules = ["x"]\n',
        ":2: rules[0]: expected a table, got text",
    ),
    "not TOML": (
        "version = 1\nignore = [\n",
        ":3: Invalid value, in the list that opens on line 2: is its ] missing?",
    ),
    "no such policy": (
        HEAD + 'unmatched = "wran"\n',
        ":2: unmatched: unknown policy or target 'wran'; did you mean 'warn'?",
    ),
    "no such environment": (
        HEAD + 'environment = "pord"\n[environments.prod]\n',
        ":2: environment: unknown environment 'pord'; did you mean 'prod'?",
    ),
    "no environment at all": (
        HEAD + 'environment = "prod"\n',
        ":2: environment: unknown environment 'prod'; there is none",
    ),
    "an account that is a number": (
        HEAD + "[environments.dev]\naccount = 111111111111\n",
        ":3: environments.dev.account: expected text, got a number",
    ),
    "an account with a line break at its end": (
        HEAD + '[environments.dev]\nregions = []\naccount = "111111111111\\n"\n',
        ":4: environments.dev.account: expected the twelve digits of an AWS account, in quotes",
    ),
    "an account with too few digits": (
        HEAD + '[environments.dev]\nregions = []\naccount = "11111111111"\n',
        ":4: environments.dev.account: expected the twelve digits of an AWS account, in quotes",
    ),
    "an unknown key of an environment": (
        HEAD + '[environments.dev]\nregion = "eu-west-1"\n',
        ":3: environments.dev.region: unknown key; did you mean 'regions'?",
    ),
    "a variable that is a number": (
        HEAD + "[environments.dev]\nvars = { a = 1 }\n",
        ":3: environments.dev.vars: expected text, got a number",
    ),
    "a name that is none": (
        HEAD + '[environments."a b"]\n',
        (
            ":2: environments.a b: a name is made of letters, digits, `_`, `-` and `.`, with `/`"
            " between parts"
        ),
    ),
    "an environment that is none": (
        HEAD + "environments.dev = 1\n",
        ":2: environments.dev: expected a table, got a number",
    ),
    "a target that is none": (
        HEAD + '[targets]\napi = "stack"\n',
        ":3: targets.api: expected a table, got text",
    ),
    "a target without a kind": (
        HEAD + '[targets.api]\nstack = "Api"\n',
        (
            ":2: targets.api: its `kind` is missing; there are app, stack, function, site, command,"
            " group, manual"
        ),
    ),
    "a kind that is none": (
        HEAD + '[targets.api]\nkind = "stak"\n',
        ":3: targets.api.kind: unknown kind 'stak'; did you mean 'stack'?",
    ),
    "a kind that is near none": (
        HEAD + '[targets.api]\nkind = "terraform"\n',
        (
            ":3: targets.api.kind: unknown kind 'terraform'; there are app, stack, function, site,"
            " command, group, manual"
        ),
    ),
    "a kind that is a number": (
        HEAD + "[targets.api]\nkind = 7\n",
        ":3: targets.api.kind: unknown kind 7; there are app, stack, function, site, command,"
        " group, manual",
    ),
    "a target's name that is none": (
        HEAD + '[targets."a b"]\n' + MANUAL,
        (
            ":2: targets.a b: a name is made of letters, digits, `_`, `-` and `.`, with `/` between"
            " parts"
        ),
    ),
    "a target's name like an option": (
        HEAD + "[targets.-x]\n" + MANUAL,
        (
            ":2: targets.-x: a name is made of letters, digits, `_`, `-` and `.`, with `/` between"
            " parts"
        ),
    ),
    "a setting that is missing": (
        HEAD + '[targets.api]\nkind = "stack"\ncdk = "cdk"\n',
        ":2: targets.api: `stack` is missing: the name of one, or `stacks`, patterns for several",
    ),
    "a setting that is empty": (
        HEAD + '[targets.api]\nkind = "stack"\nstack = ""\ncdk = "cdk"\n',
        ":4: targets.api.stack: expected text of length >= 1",
    ),
    "an unknown setting": (
        HEAD + '[targets.api]\nkind = "stack"\nstak = "Api"\n',
        ":4: targets.api.stak: unknown key; did you mean 'stack'?",
    ),
    "an unknown setting that is common to all": (
        HEAD + '[targets.api]\nkind = "stack"\nstack = "Api"\ncdk = "cdk"\nestimates = "1m"\n',
        ":6: targets.api.estimates: unknown key; did you mean 'estimate'?",
    ),
    "an unknown setting inside": (
        HEAD + APP + '[targets.app.build]\ncontxt = "."\n',
        ":8: targets.app.build.contxt: unknown key; did you mean 'context'?",
    ),
    "a folder above the repository": (
        HEAD + '[targets.web]\nkind = "site"\nbucket = "b"\nsource = "../web"\n',
        ":5: targets.web.source: expected a path from the repository's root",
    ),
    "an output of what it does not need": (
        HEAD
        + '[targets.web]\nkind = "site"\nbucket = "b"\nsource = "web/dist"\n'
        + 'build = { command = ["make"], env = { API = "{outputs.api.Url}" } }\n',
        ":2: targets.web: it uses an output of 'api', which is not among its `needs`",
    ),
    "a variable without a name for a build": (
        HEAD
        + '[targets.web]\nkind = "site"\nbucket = "b"\nsource = "web/dist"\n'
        + '[targets.web.build]\ncommand = ["make"]\nenv = { "" = "x" }\n',
        ":8: targets.web.build.env: expected the name of a variable, without `=`",
    ),
    "a variable with an equals sign for a build": (
        HEAD
        + '[targets.web]\nkind = "site"\nbucket = "b"\nsource = "web/dist"\n'
        + '[targets.web.build]\ncommand = ["make"]\nenv = { "A=B" = "x" }\n',
        ":8: targets.web.build.env: expected the name of a variable, without `=`",
    ),
    "a variable with a NUL character for a build": (
        HEAD
        + '[targets.web]\nkind = "site"\nbucket = "b"\nsource = "web/dist"\n'
        + '[targets.web.build]\ncommand = ["make"]\nenv = { "A\\u0000" = "x" }\n',
        ":8: targets.web.build.env: expected the name of a variable, without `=`",
    ),
    "a pattern for headers that never matches": (
        HEAD
        + '[targets.web]\nkind = "site"\nbucket = "b"\nsource = "web"\n'
        + 'headers = [{ match = "/x" }]\n',
        ":2: targets.web: `match = '/x'` of `headers`: it can never match: paths start at the"
        " repository's root without a slash; write `x`",
    ),
    "a build that writes where it runs": (
        HEAD
        + '[targets.web]\nkind = "site"\nbucket = "b"\nsource = "web"\n'
        + 'build = { command = ["make"], folder = "web" }\n',
        ":2: targets.web: `source` has to be a folder of its own, which `build` writes",
    ),
    "an address without a scheme": (
        HEAD + APP + 'health = [\n"http://a/health",\n"example.com"]\n',
        ":9: targets.app.health[1]: expected an http or https address, without a user name",
    ),
    "neither cdk nor template": (
        HEAD + '[targets.api]\nkind = "stack"\nstack = "Api"\n',
        (
            ":2: targets.api: needs either `cdk` (the folder with cdk.json) or `template` (a file),"
            " and not both"
        ),
    ),
    "both cdk and template": (
        HEAD + STACK + 'template = "t.yaml"\n',
        (
            ":2: targets.api: needs either `cdk` (the folder with cdk.json) or `template` (a file),"
            " and not both"
        ),
    ),
    "a group of nothing": (
        HEAD + '[targets.all]\nkind = "group"\nmembers = []\n',
        ":4: targets.all.members: expected an array of length >= 1",
    ),
    "a duration that is a number": (
        HEAD + STACK + "estimate = 90\n",
        ':6: targets.api.estimate: expected a duration such as "2m30s"',
    ),
    "a duration that is none": (
        HEAD + STACK + 'estimate = "90"\n',
        ':6: targets.api.estimate: expected a duration such as "2m30s"',
    ),
    "needs that are text": (
        HEAD + STACK + 'needs = "app"\n',
        ":6: targets.api.needs: expected an array, got text",
    ),
    "a need that is not a target": (
        HEAD + STACK + 'needs = [\n"api",\n"apo"]\n',
        ":8: targets.api.needs[1]: unknown target 'apo'; did you mean 'api'?",
    ),
    "a member that is not a target": (
        HEAD + STACK + '[targets.all]\nkind = "group"\nmembers = ["web"]\n',
        ":8: targets.all.members[0]: unknown target 'web'; there are api, all",
    ),
    "a rule without a name": (
        HEAD + STACK + '[[rules]]\npaths = ["a"]\ndeploy = ["api"]\n',
        ":6: rules[0]: `name` is missing",
    ),
    "a rule without paths": (
        HEAD + STACK + '[[rules]]\nname = "one"\ndeploy = ["api"]\n',
        ":6: rules[0]: `paths` is missing",
    ),
    "a rule with no paths": (
        HEAD + STACK + '[[rules]]\nname = "one"\npaths = []\ndeploy = ["api"]\n',
        ":8: rules[0].paths: expected an array of length >= 1",
    ),
    "a rule that calls for nothing": (
        HEAD + STACK + '[[rules]]\nname = "one"\npaths = ["a"]\n',
        (
            ":6: rules[0]: it calls for nothing; give it `deploy` or `run`, or move its paths to"
            " `ignore`"
        ),
    ),
    "a rule with an unknown key": (
        HEAD + STACK + RULE + 'runs = ["smoke-test"]\n',
        ":10: rules[0].runs: unknown key; did you mean 'run'?",
    ),
    "two rules of one name": (
        HEAD + STACK + RULE + RULE,
        ":11: rules[1].name: there is another rule named 'one'",
    ),
    "a rule for no target": (
        HEAD + STACK + RULE.replace('["api"]', '["api", "app"]'),
        ":9: rules[0].deploy[1]: unknown target 'app'; did you mean 'api'?",
    ),
    "a rule for a target where there is none": (
        HEAD + RULE,
        ":5: rules[0].deploy[0]: unknown target 'api'; there is none",
    ),
    "a rule for no check": (
        HEAD + STACK + RULE + 'run = ["smoketest"]\n',
        ":10: rules[0].run[0]: unknown check 'smoketest'; did you mean 'smoke-test'?",
    ),
    "a rule for no status": (
        HEAD + STACK + RULE + 'changes = ["added", "renamed"]\n',
        (
            ":10: rules[0].changes[1]: unknown status 'renamed'; there are added, modified,"
            " deleted, type-changed"
        ),
    ),
    "a rule for a group and its member": (
        HEAD + STACK + '[targets.all]\nkind = "group"\nmembers = ["api"]\n[targets.world]\nkind ='
        ' "group"\nmembers = ["all"]\n' + RULE.replace('["api"]', '[\n"api",\n"world"]'),
        ":17: rules[0].deploy[1]: 'world' covers 'api' already; name only one of them",
    ),
    "a pattern that never matches": (
        HEAD
        + STACK
        + '[[rules]]\nname = "one"\npaths = [\n  "a/**",\n  "!./b",\n]\ndeploy = ["api"]\n',
        (
            ":10: rules[0].paths[1]: the pattern '!./b' cannot be used: it can never match: no path"
            " has an empty or `.` folder; write `b`"
        ),
    ),
    "an accepted path that never matches": (
        HEAD + '[[accept]]\nreason = "none"\npath = "/a"\n',
        (
            ":4: accept[0].path: the pattern '/a' cannot be used: "
            "it can never match: paths start at the repository's root without a slash; write `a`"
        ),
    ),
    "an accepted path without a reason": (
        HEAD + '[[accept]]\npath = "a"\n',
        ":2: accept[0]: `reason` is missing",
    ),
    "a circle": (
        HEAD + STACK + 'needs = ["web"]\n[targets.web]\n' + MANUAL + 'needs = ["api"]\n',
        ":2: targets.api: the targets need each other in a cycle: api -> web -> api",
    ),
    "a circle through a group": (
        HEAD
        + STACK
        + 'needs = ["all"]\n[targets.all]\nkind = "group"\nmembers = ["web"]\n[targets.web]\n'
        + MANUAL
        + 'needs = ["api"]\n',
        ":2: targets.api: the targets need each other in a cycle: api -> all -> web -> api",
    ),
    "a need in a region that no environment has": (
        HEAD
        + '[environments.dev]\nregions = ["eu-west-1"]\n'
        + STACK
        + 'needs = ["web@eu-west-2"]\n[targets.web]\n'
        + MANUAL,
        ":8: targets.api.needs[0]: unknown region 'eu-west-2'; did you mean 'eu-west-1'?",
    ),
    "a need in a region where there are none": (
        HEAD + STACK + 'needs = ["web@eu-west-1"]\n[targets.web]\n' + MANUAL,
        ":6: targets.api.needs[0]: unknown region 'eu-west-1'; there is none",
    ),
    "a target that needs itself": (
        HEAD + STACK + 'needs = ["api"]\n',
        ":2: targets.api: the targets need each other in a cycle: api -> api",
    ),
    "a group in itself": (
        HEAD + '[targets.all]\nkind = "group"\nmembers = ["all"]\n',
        ":2: targets.all: the targets need each other in a cycle: all -> all",
    ),
    "a group that needs its member": (
        HEAD + STACK + '[targets.all]\nkind = "group"\nmembers = ["api"]\nneeds = ["api"]\n',
        ":2: targets.api: the targets need each other in a cycle: api -> all -> api",
    ),
    "a member that needs its group": (
        HEAD + STACK + 'needs = ["all"]\n[targets.all]\nkind = "group"\nmembers = ["api"]\n',
        ":2: targets.api: the targets need each other in a cycle: api -> all -> api",
    ),
    "a variable of no environment": (
        HEAD
        + '[environments.dev]\nvars = { suffix = "" }\n[environments.prod]\n'
        + STACK.replace('"Api"', '"Api{sufix}"'),
        ":5: targets.api: `{sufix}` is not a variable of environment 'dev'; did you mean 'suffix'?",
        (
            ":5: targets.api: `{sufix}` is not a variable of environment 'prod'; add it to"
            " [environments.prod] vars"
        ),
    ),
    "a container test of an image that is not built here": (
        HEAD + APP + "container_test = { port = 80 }\n",
        (
            ":2: targets.app: `container_test` needs `build`: only an image that is built here is"
            " tested"
        ),
    ),
    "a container test of a folder": (
        HEAD + FUNCTION + "container_test = { port = 80 }\n",
        ":2: targets.mail: `container_test` needs `image`: only a container can be tested",
    ),
    "a container test that asks at no port": (
        HEAD + APP + 'build = {}\ncontainer_test = { path = "/health" }\n',
        ":2: targets.app: `path` and `status` of `container_test` need a `port`",
    ),
    "a container test at no possible port": (
        HEAD + APP + "build = {}\ncontainer_test = { port = 65536 }\n",
        ":8: targets.app.container_test.port: expected a number <= 65535",
    ),
    "a container test that may take no time": (
        HEAD + APP + 'build = {}\ncontainer_test = { port = 80, deadline = "0s" }\n',
        (":2: targets.app: `deadline` of `container_test` is 0s, and has to be at least 1s"),
    ),
    "an AWS key": (
        HEAD + STACK + 'parameters = { key = "AKIAABCDEFGHIJKLMNOP" }\n',
        ":6: this looks like a credential; keep it in the environment or in a secret store",
    ),
    "a Slack hook": (
        HEAD + "# https://hooks.slack.com/services/T0/B0/x\n",
        ":2: this looks like a credential; keep it in the environment or in a secret store",
    ),
    "a private key": (
        HEAD + 'project = """\n-----BEGIN RSA PRIVATE KEY-----\n"""\n',
        ":3: this looks like a credential; keep it in the environment or in a secret store",
    ),
    "a Render hook": (
        HEAD + 'project = "https://api.render.com/deploy/srv-1?key=x"\n',
        ":2: this looks like a credential; keep it in the environment or in a secret store",
    ),
    "too many rules": (
        HEAD + "[[rules]]\n" * 10_001,
        ": rules: expected an array of length <= 10000",
    ),
    "too many targets": (
        HEAD + "".join(f"[targets.t{i}]\n" for i in range(10_001)),
        ": targets: expected a table of length <= 10000",
    ),
    "too much in braces": (
        HEAD + "ignore = [\n" + "".join(f'"{i}{"{a,b}" * 10}",\n' for i in range(30)) + "]\n",
        (
            ":21: ignore[18]: up to here all patterns, with their braces written out, have more"
            " than 1,000,000 characters"
        ),
    ),
}
"""What is wrong -> the text, and each message without the file's name."""
