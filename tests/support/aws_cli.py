"""As much of the AWS CLI as next commands use, so that they can be run as they are printed: the
calls and waiters of botocore's models, and what else is needed of its own commands.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore import xform_name  # type: ignore[import-untyped]

SIGN_IN = "AWS_CLI_SIGN_IN"
"""The variable with the program that `aws sso login` runs."""


def run(command: str, folder: str = ".") -> dict[str, Any]:
    """Run a line of shell that begins with `aws`: what it shows, if that is the answer of a call.
    Raises what botocore raises.
    """
    program, *words = shlex.split(command)
    assert program == "aws", command
    return main(words, Path(folder))


def main(words: list[str], folder: Path = Path()) -> dict[str, Any]:
    """Run it, given its arguments."""
    words, options = _without_globals(words)
    service, operation, *rest = words
    if (service, operation) == ("sso", "login"):
        assert os.system(os.environ[SIGN_IN]) == 0  # noqa: S605 (the test's own program)
        return {}
    client = boto3.Session(
        profile_name=options.get("profile"), region_name=options.get("region")
    ).client(service)
    if service == "s3":
        _s3(client, operation, rest, folder)
    elif operation == "wait":
        # The models wait for many seconds between two looks.
        waiter = client.get_waiter(rest[0].replace("-", "_"))
        waiter.config.delay = 0.2
        waiter.wait(**_parameters(client, waiter.config.operation, rest[1:]))
    else:
        name = "".join(part.capitalize() for part in operation.split("-"))
        names = client.meta.service_model.operation_names
        name = next(each for each in names if each.lower() == name.lower())
        answer: dict[str, Any] = getattr(client, xform_name(name))(
            **_parameters(client, name, rest)
        )
        return answer
    return {}


def _without_globals(words: list[str]) -> tuple[list[str], dict[str, str]]:
    options: dict[str, str] = {}
    rest = list(words)
    for name in ("region", "profile"):
        if f"--{name}" in rest:
            index = rest.index(f"--{name}")
            options[name] = rest[index + 1]
            del rest[index : index + 2]
    return rest, options


def _parameters(client: Any, operation: str, words: list[str]) -> dict[str, Any]:
    """The parameters of a call from its options."""
    shape = client.meta.service_model.operation_model(operation).input_shape
    members = {f"--{xform_name(name, '-')}": name for name in shape.members}
    given: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            given[word] = []
            last = given[word]
        else:
            last.append(word)
    parameters: dict[str, Any] = {}
    for option, values in given.items():
        member = shape.members[members[option]]
        parameters[members[option]] = _value(member.type_name, values)
    return parameters


def _value(kind: str, values: list[str]) -> Any:
    if kind == "boolean":
        return True
    if kind in ("integer", "long"):
        return int(values[0])
    if kind == "list":
        return values
    if kind in ("structure", "map"):
        if values[0].startswith("{"):
            return json.loads(values[0])
        name, _, value = values[0].partition("=")  # the short form, with one member
        return {name: json.loads(value)}
    return values[0]


def _s3(client: Any, operation: str, words: list[str], folder: Path) -> None:
    bucket = words[-1].removeprefix("s3://")
    if operation == "mb":
        place = {"LocationConstraint": client.meta.region_name}
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
        return
    assert operation == "sync", operation
    source = folder / words[0]
    for path in source.rglob("*"):
        if path.is_file():
            key = str(path.relative_to(source))
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
