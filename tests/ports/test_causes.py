"""The line that says why a program failed is found among those that do not: as the programs write
them.
"""

import pytest

from toolkit.ports.causes import LONGEST, cause

NODE = """/repo/app.js:10
if (m === 'ref') new DataStackk(app);
                 ^

ReferenceError: DataStackk is not defined
    at Object.<anonymous> (/repo/app.js:10:18)
    at node:internal/main/run_main_module:28:49

Node.js v20.20.2
node app.js: Subprocess exited with error 1"""

MODULE = """node:internal/modules/cjs/loader:1210
  throw err;
  ^

Error: Cannot find module 'aws-cdk-lib'
Require stack:
- /repo/app.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15) {
  code: 'MODULE_NOT_FOUND',
  requireStack: []
}

Node.js v20.20.2"""

VALIDATION = """/repo/node_modules/aws-cdk-lib/core/lib/private/synthesis.js:2
     ^

[\u00abValidationFailedWithErrors\u00bb Validation failed with the following errors:
  [Shop] bad one
  [Shop] bad two
    ...aws-cdk-lib, node internals...
    (no user code in 10 frames, use --stack-trace-limit to capture more)]

Node.js v20.20.2
node app.js: Subprocess exited with error 1"""

PYTHON = """jsii.errors.JavaScriptError:
  @jsii/kernel.RuntimeError: Error: first
      at new Stack (/x.js:1:1)

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/repo/app.py", line 7, in <module>
    cdk.Stack(app, "Shop")
RuntimeError: There is already a Construct with name 'Shop' in App
python3 app.py: Subprocess exited with error 1"""

TYPESCRIPT = """lib/shop.ts:3:9 - error TS2304: Cannot find name 'Bukket'.

3     new Bukket(this);
          ~~~~~~
bin/app.ts(4,1): error TS2305: Module has no exported member.
npx ts-node app.ts: Subprocess exited with error 2"""

TS_NODE = """/repo/node_modules/ts-node/src/index.ts:859
    return new TSError(diagnosticText, diagnosticCodes, diagnostics);
           ^
TSError: \u2a2f Unable to compile TypeScript:
lib/shop.ts:3:9 - error TS2304: Cannot find name 'Bukket'.

    at createTSError (/repo/node_modules/ts-node/src/index.ts:859:12)
Node.js v20.20.2"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NODE, "ReferenceError: DataStackk is not defined"),
        (MODULE, "Error: Cannot find module 'aws-cdk-lib'"),
        (
            VALIDATION,
            (
                "[\u00abValidationFailedWithErrors\u00bb Validation failed with the following"
                " errors: [Shop] bad one; [Shop] bad two; ...aws-cdk-lib, node internals..."
            ),
        ),
        (PYTHON, "RuntimeError: There is already a Construct with name 'Shop' in App"),
        (TYPESCRIPT, "lib/shop.ts:3:9 - error TS2304: Cannot find name 'Bukket'."),
        (
            TS_NODE,
            (
                "TSError: \u2a2f Unable to compile TypeScript: lib/shop.ts:3:9 - error TS2304:"
                " Cannot find name 'Bukket'."
            ),
        ),
        (
            (
                'Exception in thread "main" java.lang.IllegalStateException: no stage\n\tat'
                " Main.main(Main.java:5)"
            ),
            None,
        ),
        ("Unhandled exception. System.Exception: no stage\n   at Main() in /x.cs:line 1", None),
        ("panic: no stage\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:4\nexit status 2", None),
        (
            'Traceback (most recent call last):\n  File "app.py", line 1\nAssertionError',
            "AssertionError",
        ),
        (
            '  File "app.py", line 1\n    x =\n       ^\nSyntaxError: invalid syntax',
            "SyntaxError: invalid syntax",
        ),
        (
            "sh: 1: tsx: not found\nnpx tsx app.ts: Subprocess exited with error 127",
            "sh: 1: tsx: not found",
        ),
        (
            (
                "[Error at /Shop] must be encrypted\n[Warning at /Shop] old\n[Error at /Shop/Q]"
                " must be private\nFound errors"
            ),
            "/Shop: must be encrypted; /Shop/Q: must be private",
        ),
        (
            "\x1b[31mReferenceError: x is not defined\x1b[39m\n\x1b[1mNode.js v20.20.2\x1b[0m",
            "ReferenceError: x is not defined",
        ),
        (
            '\u2718 [ERROR] Could not resolve "./x"\n\n    app.ts:1:7:',
            '\u2718 [ERROR] Could not resolve "./x"',
        ),
        ("only a remark\n", "only a remark"),
        ("", "exit code 3"),
        ("Node.js v20.20.2\n^^^^\n", "exit code 3"),
    ],
)
def test_the_cause_is_the_line_that_says_why(text: str, expected: str | None) -> None:
    assert cause(text.splitlines(), 3) == (text.splitlines()[0] if expected is None else expected)


def test_a_cause_has_an_end() -> None:
    assert len(cause(["Error: " + "x" * 5000], 1)) == LONGEST + 3


@pytest.mark.parametrize(
    "line",
    [
        "{" * 2000,
        "A." * 1000,
        "(" * 2000 + "x",
        "error" * 400,
        "\x1b[" * 700,
        " " * 2000 + "x",
        "A1" * 900,
    ],
)
def test_a_hostile_line_takes_no_time(line: str) -> None:
    import time

    began = time.monotonic()
    cause([line] * 400, 1)
    assert time.monotonic() - began < 2
