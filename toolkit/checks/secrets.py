"""The values of secrets: from the environment, SSM or Secrets Manager. They go into requests, and
nowhere else.
"""

import json
import os
from collections.abc import Mapping

from toolkit.errors import CloudError, Refused
from toolkit.formats.variables import fill_check
from toolkit.model import Secret
from toolkit.operations import Location, Statement
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.names import arn


def value(secret: Secret, aws: Aws, variables: Mapping[str, str]) -> str:
    """One value. Raises Refused where there is none, CloudError."""
    if secret.ssm is not None:
        return _parameter(secret, aws, variables)
    if secret.env is None:
        return _stored(secret, aws, variables)
    name = fill_check(secret.env, variables)
    text = os.environ.get(name)
    if not text:
        raise Refused(
            f"the variable {name} of secret {secret.name!r} is not set",
            f"set {name}, or leave out the checks that use it",
        )
    return text


def _parameter(secret: Secret, aws: Aws, variables: Mapping[str, str]) -> str:
    name = fill_check(secret.ssm, variables)
    try:
        return str(
            aws.read("ssm", "get_parameter", Name=name, WithDecryption=True)["Parameter"]["Value"]
        )
    except CloudError as problem:
        if problem.aws_code == "ParameterNotFound":
            raise Refused(
                f"there is no parameter {name} in {aws.region_name} for secret {secret.name!r}",
                "correct `ssm` in rules.toml",
            ) from None
        raise


def _stored(secret: Secret, aws: Aws, variables: Mapping[str, str]) -> str:
    name = fill_check(secret.secret, variables)
    try:
        text = aws.read("secretsmanager", "get_secret_value", SecretId=name).get("SecretString")
    except CloudError as problem:
        if problem.aws_code == "ResourceNotFoundException":
            raise Refused(
                f"there is no secret {name} in {aws.region_name} for secret {secret.name!r}",
                "correct `secret` in rules.toml",
            ) from None
        raise
    if text is None:
        raise Refused(
            f"{name} has no text for secret {secret.name!r}", "use a secret with a SecretString"
        )
    return str(text) if secret.key is None else _value_of_key(secret, name, str(text))


def _value_of_key(secret: Secret, name: str, text: str) -> str:
    """One value of a JSON object. The error says what is wrong without quoting any of it."""
    try:
        content = json.loads(text)
        inner = content[secret.key]
    except (ValueError, RecursionError, KeyError, TypeError, IndexError):
        raise Refused(
            f"{name} has no key {secret.key} for secret {secret.name!r}",
            "correct `key` in rules.toml",
        ) from None
    return inner if isinstance(inner, str) else json.dumps(inner)


def permissions(
    secret: Secret, location: Location, variables: Mapping[str, str]
) -> tuple[Statement, ...]:
    """What IAM has to allow to read it. Pure."""
    if secret.ssm is not None:
        name = fill_check(secret.ssm, variables).lstrip("/")
        return (
            Statement(
                f"read secret {secret.name}",
                ("ssm:GetParameter",),
                (arn(location, "ssm", f"parameter/{name}"),),
            ),
        )
    if secret.secret is not None:
        name = fill_check(secret.secret, variables)
        return (
            Statement(
                f"read secret {secret.name}",
                ("secretsmanager:GetSecretValue",),
                (arn(location, "secretsmanager", f"secret:{name}-*"),),
            ),
        )
    return ()
