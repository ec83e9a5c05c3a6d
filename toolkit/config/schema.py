"""What rules.toml and the files that it includes may hold: the types that check it, and that the
schema for editors is drawn from.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

MOST_RULES = 10_000
MOST_TARGETS = 10_000

Account = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{12}$(?!\n)", description="The twelve digits of an AWS account, in quotes."
    ),
]
Store = Annotated[
    str,
    Meta(
        pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9_.-]+)*/?$(?!\n)",
        description="A bucket, as `s3://bucket/prefix`.",
    ),
]
Pattern = Annotated[str, Meta(min_length=1, max_length=1024)]
Host = Annotated[
    str,
    Meta(
        pattern=r"^(?:\*\.)?[A-Za-z0-9_{][A-Za-z0-9_.:{}-]*$(?!\n)",
        description="A host's name, or `*.` and the end of names.",
    ),
]
Included = Annotated[
    str,
    Meta(
        pattern=r"^(?!/)(?!.*(?:^|/)\.\.(?:/|$))[^\x00-\x1f]+\.toml$(?!\n)",
        description="A `.toml` file, as a path from the folder of this one.",
    ),
]
Text = Annotated[str, Meta(min_length=1)]
Word = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$(?!\n)",
        description="A word of letters, digits, `_`, `-` and `.`.",
    ),
]


class EnvironmentTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Where targets live."""

    account: Annotated[Account | None, Meta(description="The AWS account.")] = None
    regions: Annotated[tuple[str, ...], Meta(description="The AWS regions, in order.")] = ()
    profile: Annotated[str | None, Meta(description="The AWS profile to use.")] = None
    protected: Annotated[
        bool, Meta(description="Ask for the environment's name before anything is changed.")
    ] = False
    store: Annotated[
        Store | None,
        Meta(
            description=(
                "`s3://bucket/prefix` where locks and the record of what is live are shared; "
                "by default they are local."
            )
        ),
    ] = None
    vars: Annotated[
        dict[str, str],
        Meta(description="The values of `{name}` in the settings of targets and checks."),
    ] = {}
    urls: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "The base addresses of the system, without `?` and `#`: a check of a path "
                "asks each of them."
            )
        ),
    ] = ()
    hosts: Annotated[
        tuple[Host, ...],
        Meta(
            description=(
                "The hosts that probes may ask, such as `*.example.com`; by default those in "
                "rules.toml."
            )
        ),
    ] = ()
    private: Annotated[
        bool, Meta(description="Allow probes to ask this machine and private networks.")
    ] = False
    rollback: Annotated[
        Literal["never", "on-failure"],
        Meta(
            description=(
                "`on-failure`: if a version does not pass its checks after a deploy, restore "
                "the last good version."
            )
        ),
    ] = "never"
    backwards: Annotated[
        Literal["ask", "allow"],
        Meta(description="`allow`: a deploy that removes live commits needs no separate consent."),
    ] = "ask"
    budget: Annotated[
        str | None,
        Meta(
            description="How long a run may take, such as `5m`: a slower one ends with a warning."
        ),
    ] = None


class HooksTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Programs of your own that run on this machine around a deploy, without a shell."""

    before: Annotated[
        tuple[Annotated[tuple[Text, ...], Meta(min_length=1)], ...],
        Meta(
            description=(
                'The commands to run before it is deployed, in order: `[["npm", "test"]]`. They '
                "run in the repository's root. Unless all of them end with exit code 0, nothing "
                "is deployed."
            )
        ),
    ] = ()
    env: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)")], ...],
        Meta(description="The variables of your environment that they get, besides the usual."),
    ] = ()
    deadline: Annotated[
        str | None, Meta(description="How long each of them may take; by default `10m`.")
    ] = None


class RuleTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of path patterns, and what a match calls for."""

    name: Annotated[
        str, Meta(min_length=1, max_length=100, description="Shown as the reason of a deploy.")
    ]
    paths: Annotated[
        tuple[Pattern, ...],
        Meta(
            min_length=1, description="Patterns relative to the root; `!` excludes, in any order."
        ),
    ]
    deploy: Annotated[tuple[str, ...], Meta(description="The targets that a match makes due.")] = ()
    run: Annotated[
        tuple[str, ...], Meta(description="The commands to recommend if nothing is due.")
    ] = ()
    changes: Annotated[
        tuple[str, ...], Meta(description="Count only changes with these statuses.")
    ] = ()


class AcceptTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Paths that `toolkit doctor` does not warn about."""

    path: Annotated[Pattern, Meta(description="A pattern for paths that need no rule.")]
    reason: Annotated[str, Meta(min_length=1, description="Why they need none.")]


class RulesFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What rules.toml holds at its top."""

    version: Annotated[int, Meta(ge=1, le=1, description="The version of this format.")]
    project: Annotated[
        str | None,
        Meta(
            description=(
                "The project's name. Projects that share a bucket need separate `store` prefixes."
            )
        ),
    ] = None
    environment: Annotated[
        str | None,
        Meta(description="The environment to use when none is named; a single one by default."),
    ] = None
    ignore: Annotated[
        tuple[Pattern, ...], Meta(description="Patterns of paths whose changes call for nothing.")
    ] = ()
    unmatched: Annotated[
        str,
        Meta(
            description=(
                "What to do about a path that no rule matches: `warn`, `fail`, or the name of "
                "a target to deploy."
            )
        ),
    ] = "warn"
    templates: Annotated[
        Literal["ask", "never"],
        Meta(
            description=(
                "Whether the question after `diff` offers to compare templates, which runs the"
                " repository's CDK apps: `ask`, or `never`. `diff --templates` always does it."
            )
        ),
    ] = "ask"
    environments: Annotated[dict[str, Any], Meta(description="Where targets live, by name.")] = {}
    targets: Annotated[
        dict[str, Any], Meta(max_length=MOST_TARGETS, description="What is deployed, by name.")
    ] = {}
    rules: Annotated[
        tuple[Any, ...], Meta(max_length=MOST_RULES, description="Which paths call for what.")
    ] = ()
    include: Annotated[
        tuple[Included, ...],
        Meta(
            max_length=20,
            description="Files with more `checks` and `secrets`, relative to the folder of this"
            " file.",
        ),
    ] = ()
    checks: Annotated[
        dict[str, Any],
        Meta(description="The checks that smoke-test runs against the live system, by name."),
    ] = {}
    secrets: Annotated[
        dict[str, Any], Meta(description="Where the secrets of checks come from, by name.")
    ] = {}
    accept: Annotated[
        tuple[AcceptTable, ...], Meta(description="Ignore list for `toolkit doctor`.")
    ] = ()


class LoadTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A small load test with this request (`smoke-test --load`)."""

    users: Annotated[
        int, Meta(ge=1, le=200, description="How many users send requests at the same time.")
    ] = 5
    time: Annotated[str, Meta(description="How long, such as `20s`.")] = "20s"
    worse: Annotated[
        float,
        Meta(
            gt=1,
            description=(
                "The factor by which p50, p95 and p99 may exceed those of the last good run."
            ),
        ),
    ] = 1.5
    errors: Annotated[
        float, Meta(ge=0, le=1, description="The share of requests that may fail.")
    ] = 0.0


class CommonTable(Struct, frozen=True):
    """What every check may have."""

    tags: Annotated[
        tuple[Word, ...],
        Meta(description="Words to select the check by, with `--tag` and in `checks` of a target."),
    ] = ()
    needs: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "Checks that have to pass first. Dependencies through captured values are "
                "added automatically."
            )
        ),
    ] = ()
    always: Annotated[
        bool,
        Meta(
            description=(
                "The check cleans up: it runs as soon as its values are known, even if its "
                "`needs` failed."
            )
        ),
    ] = False
    environments: Annotated[
        tuple[str, ...], Meta(description="Run the check only in these environments.")
    ] = ()
    timeout: Annotated[
        str | None,
        Meta(description="How long one attempt may take; by default `10s`, for a command `5m`."),
    ] = None
    retry: Annotated[
        str | None, Meta(description="How long to keep trying until the check passes.")
    ] = None
    load: Annotated[
        LoadTable | None, Meta(description="A small load test with this request, for `--load`.")
    ] = None
    rows: Annotated[
        # Without a pattern: msgspec 0.22 frees one twice that is in a union with an array.
        tuple[dict[str, Any], ...] | str | None,
        Meta(
            description=(
                "Run the check once per row, with the row's values as `{name}`: a list of tables,"
                " or a `.csv` or `.json` file."
            )
        ),
    ] = None


class SecretTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret comes from. Its value is never shown; checks use it as `{name}`."""

    env: Annotated[Text | None, Meta(description="A variable of the environment.")] = None
    ssm: Annotated[Text | None, Meta(description="A parameter of the Parameter Store.")] = None
    secret: Annotated[Text | None, Meta(description="A secret of Secrets Manager.")] = None
    key: Annotated[Text | None, Meta(description="The key in the secret's JSON.")] = None


class ChecksFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What an included file may hold."""

    checks: dict[str, Any] = {}
    secrets: dict[str, Any] = {}
