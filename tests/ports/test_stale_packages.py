"""Packages that are not those of the lock file: what they make is not what the files say."""

import json
import os
import sys
from pathlib import Path

import pytest

from toolkit.ports.stale_packages import stale

LOCK = {
    "": {"name": "app"},
    "node_modules/aws-cdk-lib": {"version": "2.276.0"},
    "node_modules/fsevents": {"version": "2.3.3", "optional": True},
    "node_modules/shared": {"resolved": "packages/shared", "link": True},
    "packages/shared": {"version": "1.0.0"},
}


def write(path: Path, packages: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"lockfileVersion": 3, "packages": packages}))


def test_what_npm_has_installed_is_compared_version_by_version(tmp_path: Path) -> None:
    write(tmp_path / "cdk/package-lock.json", LOCK)
    assert stale(str(tmp_path), "cdk") == "what is installed differs from cdk/package-lock.json"
    installed = {name: own for name, own in LOCK.items() if name != "node_modules/fsevents"}
    write(tmp_path / "cdk/node_modules/.package-lock.json", installed)
    assert stale(str(tmp_path), "cdk") == "", "an optional package may be for another machine"
    older = {**installed, "node_modules/aws-cdk-lib": {"version": "2.195.0"}}
    write(tmp_path / "cdk/node_modules/.package-lock.json", older)
    assert stale(str(tmp_path), "cdk")
    del older["node_modules/aws-cdk-lib"]
    write(tmp_path / "cdk/node_modules/.package-lock.json", older)
    assert stale(str(tmp_path), "cdk")


def test_the_lock_file_of_a_workspace_lies_above_the_app(tmp_path: Path) -> None:
    write(tmp_path / "package-lock.json", LOCK)
    assert stale(str(tmp_path), "apps/cdk") == "what is installed differs from package-lock.json"
    write(tmp_path / "node_modules/.package-lock.json", LOCK)
    assert stale(str(tmp_path), "apps/cdk") == ""


def test_pnpm_keeps_a_copy_of_what_it_has_installed(tmp_path: Path) -> None:
    (tmp_path / "pnpm-lock.yaml").write_text("lockfileVersion: '9.0'\n")
    assert stale(str(tmp_path), "")
    copy = tmp_path / "node_modules/.pnpm/lock.yaml"
    copy.parent.mkdir(parents=True)
    copy.write_text("lockfileVersion: '9.0'\n")
    assert stale(str(tmp_path), "") == ""


def test_yarn_has_to_have_installed_after_the_lock_file_was_written(tmp_path: Path) -> None:
    lock, note = tmp_path / "yarn.lock", tmp_path / "node_modules/.yarn-integrity"
    note.parent.mkdir()
    note.write_text("")
    lock.write_text("")
    os.utime(note, (1000, 1000))
    os.utime(lock, (2000, 2000))
    assert stale(str(tmp_path), ".")
    os.utime(note, (3000, 3000))
    assert stale(str(tmp_path), ".") == ""


def test_what_the_first_yarn_has_noted_counts_however_new_the_lock_file_is(tmp_path: Path) -> None:
    lock, note = tmp_path / "yarn.lock", tmp_path / "node_modules/.yarn-integrity"
    text = (
        '# yarn lockfile v1\n\n\n"@types/node@^1.0.0", "@types/node@>= 1, < 2":\n'
        '  version "1.0.0"\n'
        '  resolved "https://example.com/node.tgz#aa"\n  dependencies:\n    left-pad "1"\n\n'
        'left-pad@1, left-pad@^1:\n  version "1.3.0"\n  resolved "https://example.com/pad.tgz#bb"\n'
    )
    node, pad = "https://example.com/node.tgz#aa", "https://example.com/pad.tgz#bb"
    entries = {"@types/node@^1.0.0": node, "@types/node@>= 1, < 2": node}
    entries |= {"left-pad@1": pad, "left-pad@^1": pad}
    note.parent.mkdir()
    note.write_text(json.dumps({"lockfileEntries": entries}))
    lock.write_text(text)
    os.utime(note, (1000, 1000))
    assert stale(str(tmp_path), ".") == "", "yarn says `Already up-to-date`, and writes nothing"
    lock.write_text(text.replace("#bb", "#cc"))
    os.utime(lock, (500, 500))
    assert stale(str(tmp_path), ".") == "what is installed differs from yarn.lock"


@pytest.mark.parametrize("damaged", ["", "[]", "{", '{"packages": 1}'])
def test_a_lock_file_that_cannot_be_read_proves_nothing(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "package-lock.json").write_text(damaged)
    assert stale(str(tmp_path), ".")


def test_versions_that_requirements_pin_are_compared_with_the_venv(tmp_path: Path) -> None:
    (tmp_path / "cdk").mkdir()
    (tmp_path / "cdk/requirements.txt").write_text("aws-cdk-lib==2.275.0  # why\nconstructs>=10\n")
    assert stale(str(tmp_path), "cdk") == "", "without a .venv nobody can tell"
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = tmp_path / "cdk/.venv/lib" / python / "site-packages"
    (packages / "aws_cdk_lib-2.275.0.dist-info").mkdir(parents=True)
    assert stale(str(tmp_path), "cdk") == ""
    (packages / "aws_cdk_lib-2.275.0.dist-info").rename(packages / "aws_cdk_lib-2.1.0.dist-info")
    assert stale(str(tmp_path), "cdk") == (
        "aws-cdk-lib 2.1.0 is installed, and cdk/requirements.txt says 2.275.0"
    )


def test_an_app_without_a_lock_file_is_not_judged(tmp_path: Path) -> None:
    assert stale(str(tmp_path), "cdk") == ""


NESTED = "packages/api/node_modules/zod"


def test_packages_of_a_workspace_are_compared_too(tmp_path: Path) -> None:
    write(tmp_path / "package-lock.json", {**LOCK, NESTED: {"version": "3.2.0"}})
    installed = tmp_path / "node_modules/.package-lock.json"
    write(installed, {**LOCK, NESTED: {"version": "3.2.0"}})
    assert stale(str(tmp_path), "packages/api") == ""
    write(installed, {**LOCK, NESTED: {"version": "3.1.0"}})
    assert stale(str(tmp_path), "packages/api")


@pytest.mark.parametrize("key", ["resolved", "integrity"])
def test_the_same_version_of_something_else_is_another_package(tmp_path: Path, key: str) -> None:
    name = "node_modules/constructs"
    packages = [{name: {"version": "1.0.0", key: f"git+ssh://shop#{letter}"}} for letter in "ab"]
    write(tmp_path / "npm-shrinkwrap.json", packages[0])
    write(tmp_path / "node_modules/.package-lock.json", packages[0])
    assert stale(str(tmp_path), "") == ""
    write(tmp_path / "node_modules/.package-lock.json", packages[1])
    assert stale(str(tmp_path), "") == "what is installed differs from npm-shrinkwrap.json"


@pytest.mark.parametrize("lock", ["uv.lock", "poetry.lock", "pdm.lock"])
@pytest.mark.parametrize("venv", [".venv", "cdk/.venv"])
def test_versions_of_a_python_lock_file_are_compared_with_the_venv(
    tmp_path: Path, lock: str, venv: str
) -> None:
    (tmp_path / "cdk").mkdir()
    package = '[[package]]\nname = "aws_cdk.lib"\nversion = "2.275.0"\n'
    own = '[[package]]\nname = "shop"\nversion = "9"\nsource = { editable = "." }\n'
    (tmp_path / lock).write_text(package + own)
    packages = tmp_path / venv / "lib/python3.11/site-packages"
    (packages / "shop-1.dist-info").mkdir(parents=True)
    (packages / "aws_cdk_lib-2.275.0.dist-info").mkdir(parents=True)
    assert stale(str(tmp_path), "cdk") == ""
    (packages / "aws_cdk_lib-2.275.0.dist-info").rename(packages / "aws_cdk_lib-2.1.0.dist-info")
    assert stale(str(tmp_path), "cdk") == (
        f"aws-cdk-lib 2.1.0 is installed, and {lock} says 2.275.0"
    )
