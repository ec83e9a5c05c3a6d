"""The versions of parameters and secrets, by one call each, which reads no secret value."""

import re

from toolkit.errors import CloudError, Missing, Unexpected
from toolkit.ports.aws.client import Aws

CURRENT = "AWSCURRENT"
_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


def parameter_version(aws: Aws, name: str) -> str:
    """The number of a parameter's version. Its value is not decrypted, and not kept. Raises
    Missing, CloudError.
    """
    try:
        answer = aws.read("ssm", "get_parameter", Name=name, WithDecryption=False)
    except CloudError as problem:
        if problem.aws_code == "ParameterNotFound":
            raise _missing(aws, "parameter", name) from None
        raise
    version = (answer.get("Parameter") or {}).get("Version")
    if not isinstance(version, int) or version < 1:
        raise Unexpected(call="ssm:GetParameter", reason=f"it has no version of {name}")
    return str(version)


def secret_version(aws: Aws, name: str) -> str:
    """The id of a secret's current version. Raises Missing, also where it is to be deleted;
    CloudError.
    """
    try:
        answer = aws.read("secretsmanager", "describe_secret", SecretId=name)
    except CloudError as problem:
        if problem.aws_code == "ResourceNotFoundException":
            raise _missing(aws, "secret", name) from None
        raise
    if answer.get("DeletedDate"):
        raise _missing(aws, "secret", name)
    versions = answer.get("VersionIdsToStages") or {}
    current = [version for version, stages in versions.items() if CURRENT in (stages or ())]
    if len(current) != 1 or not _ID.fullmatch(str(current[0])):
        reason = f"it has no current version of {name}"
        raise Unexpected(call="secretsmanager:DescribeSecret", reason=reason)
    return str(current[0])


def _missing(aws: Aws, what: str, name: str) -> Missing:
    return Missing(what=what, name=name, where=f" in {aws.region_name}")
