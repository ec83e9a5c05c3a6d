"""The regular expressions that strangers' text meets."""

import re
from pathlib import Path
from time import process_time

import pytest

from tests.support.run import ROOT
from toolkit.init.images.sources import copy_sources
from toolkit.init.stacks.script_code import read_script

POSSESSIVE = re.compile(r"(?:[)\]]|\\\w)(?:[*+?]|\{[\d,]*\})\+|\(\?>")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "toolkit" / "init").rglob("*.py")), ids=lambda path: path.stem
)
def test_no_expression_is_possessive(path: Path) -> None:
    """Python 3.11.0 to 3.11.3 match groups with such a quantifier wrongly."""
    assert POSSESSIVE.findall(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "'\\",
        "'a\\'" * 100_000 + "\\",
        "`\\`" * 100_000,
        '"' * 100_001,
        "'" + "\\n" * 100_000 + "\\",
        "a." * 9_000 + "-",
    ],
)
def test_any_run_of_quotes_in_a_script_is_read_in_linear_time(text: str) -> None:
    began = process_time()
    read_script("a.ts", f"import * as cdk from 'aws-cdk-lib';\nnew A(app, {text});\n{text}", "")
    assert process_time() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        '"\\',
        '"a\\" b',
        '--a="x" ' * 50_000 + '--b="',
        'a="\\"' * 50_000,
        "--a=" + "x'y'" * 50_000 + '" b c',
    ],
)
def test_any_run_of_quotes_in_a_dockerfile_is_read_in_linear_time(text: str) -> None:
    began = process_time()
    copy_sources(f"FROM x\nARG {text}\nCOPY {text}\n{text}\n")
    assert process_time() - began < 5
