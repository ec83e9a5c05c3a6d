"""The endpoints that a profile's calls go to if they are not AWS's own: an emulator, a proxy,
another cloud's S3.

This follows botocore's rules for the same variables and files without loading it, which would be
too slow for `diff`.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from toolkit import errors

SERVICES = {
    "acm": "acm",
    "cloudformation": "cloudformation",
    "cloudfront": "cloudfront",
    "cloudwatch": "cloudwatch",
    "dynamodb": "dynamodb",
    "ecr": "ecr",
    "ecs": "ecs",
    "elbv2": "elastic_load_balancing_v2",
    "lambda": "lambda",
    "logs": "cloudwatch_logs",
    "s3": "s3",
    "secretsmanager": "secrets_manager",
    "sns": "sns",
    "sqs": "sqs",
    "ssm": "ssm",
    "sts": "sts",
}
"""Every service that is called, and its name in AWS's variables and files."""
DEPLOYED = ("cloudformation", "ecr", "ecs", "elbv2", "lambda", "s3", "sts")
"""Those that decide where a deploy lands. An emulated queue that a check reads changes nothing
about that.
"""

_IGNORE = "ignore_configured_endpoint_urls"
_SUFFIX = (
    r"(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|api\.aws|api\.amazonwebservices\.(?:com\.cn|eu)|c2s\.ic\.gov|sc2s\.sgov\.gov"
    r"|csp\.hci\.ic\.gov|cloud\.adc-e\.uk|api\.aws\.(?:ic\.gov|scloud|hci\.ic\.gov)|api\.cloud-aws\.adc-e\.uk)"
)
_OWN = re.compile(
    r"(?:vpce-[0-9a-z-]+\.)?(?:acm|cloudformation|cloudfront|monitoring|dynamodb|(?:api\.)?ecr|ecs|elasticloadbalancing|lambda|logs|s3"
    rf"|secretsmanager|sns|sqs|ssm|sts)(?:-fips)?(?:\.dualstack)?(?:\.[a-z]+(?:-[a-z]+)+-\d+(?:\.vpce)?|\.aws(?:-[a-z]+)*-global)?\.{_SUFFIX}"
)
"""The hosts of AWS's own services, VPC endpoints among them. What customers run there (`.elb.`,
`.compute.`) is none of them.
"""


def endpoint(profile: str | None, services: Iterable[str] = DEPLOYED) -> str | None:
    """Where calls to any of `services` go, None if to AWS itself: the same text for the same
    places, without a password.

    Where they go to several, the one for all comes first: `http://127.0.0.1:4566, s3 AWS`. Raises
    BadConfig if a file that sets an endpoint cannot be read.
    """
    general, special = addresses(profile, services)
    parts = []
    if general:
        parts.append(general)
    for service, address in special.items():
        if address != general:
            parts.append(f"{service} {address or 'AWS'}")
    return ", ".join(parts) or None


def addresses(
    profile: str | None, services: Iterable[str] = SERVICES
) -> tuple[str, dict[str, str]]:
    """The address that is set for all services, and that of each of `services`; empty for AWS's
    own. Raises BadConfig.
    """
    env = os.environ
    text = settings_text()
    in_files = "endpoint_url" in text
    if not in_files and not any(name.startswith("AWS_ENDPOINT_URL") for name in env):
        return "", {}
    files = _Files(profile, in_files)
    if env.get(f"AWS_{_IGNORE.upper()}", files.value(_IGNORE)).lower() == "true":
        return "", {}
    everything, filed = env.get("AWS_ENDPOINT_URL"), files.value("endpoint_url")
    special = {}
    for service in services:
        name = SERVICES[service]
        address = (
            env.get(f"AWS_ENDPOINT_URL_{name.upper()}")
            or everything
            or files.of_service(name)
            or filed
        )
        special[service] = _shown(address)
    return _shown(everything or filed), special


def everywhere(profile: str | None) -> str | None:
    """The same for all services that are called, including those that only checks read."""
    return endpoint(profile, SERVICES)


def region(profile: str | None) -> str | None:
    """The region that calls of a profile go to where rules.toml names none; None if nothing says
    it. Raises BadConfig.
    """
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or _Files(profile, "region" in settings_text()).value("region") or None


def profile_name() -> str | None:
    """The profile that AWS's variables name, None where they name none."""
    return os.environ.get("AWS_DEFAULT_PROFILE") or os.environ.get("AWS_PROFILE") or None


def is_special() -> bool:
    """Whether AWS's variables and files may set endpoints, or ask a person for credentials."""
    return (
        may_ask()
        or "endpoint_url" in settings_text()
        or any(name.startswith("AWS_ENDPOINT_URL") for name in os.environ)
    )


def may_ask() -> bool:
    """Whether a profile may need a person: a code, or a program that asks for something itself."""
    text = settings_text()
    return "mfa_serial" in text or "credential_process" in text


def _shown(address: str) -> str:
    """An address without user, password and query; empty if it is AWS's own."""
    try:
        split = urlsplit(address)
        host, port = split.hostname or "", split.port
    except ValueError:
        return address.rpartition("@")[2]
    if not host:
        return address.rpartition("@")[2]
    if _OWN.fullmatch(host) and port in (None, 443):
        return ""
    shown = f"[{host}]" if ":" in host else host
    if port:
        shown += f":{port}"
    return f"{split.scheme}://{shown}{split.path.rstrip('/')}"


def _paths() -> tuple[str, str]:
    """The shared config file and the credentials file."""
    paths = (
        os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"),
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    )
    config, credentials = (os.path.expanduser(os.path.expandvars(path)) for path in paths)
    return config, credentials


def settings_text() -> str:
    """Both files in small letters, to see whether they are worth being parsed: most set no
    endpoint.
    """
    texts = []
    for path in _paths():
        try:
            if os.path.isfile(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    texts.append(file.read().lower())
        except OSError:
            continue  # what uses the credentials says so
    return "\n".join(texts)


class _Files:
    """What both files say of one profile."""

    def __init__(self, profile: str | None, read: bool) -> None:
        self._profile: Mapping[str, str] = {}
        self._services: Mapping[str, Mapping[str, str]] = {}
        if read:
            self._read(profile or profile_name() or "default")

    def value(self, name: str) -> str:
        """A setting of the profile, empty if there is none."""
        return self._profile.get(name, "")

    def of_service(self, name: str) -> str:
        """The address that the profile's `services` section has for one service, empty if there is
        none.
        """
        section = self._services.get(self._profile.get("services", ""), {})
        for line in section.get(name, "").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "endpoint_url":
                return value.strip()
        return ""

    def _read(self, profile: str) -> None:
        config, credentials = _paths()
        profiles: dict[str, dict[str, str]] = {}
        services: dict[str, dict[str, str]] = {}
        for section, values in _parsed(config).items():
            words = _words(section)
            if section == "default":
                profiles["default"] = values
            elif len(words) == 2 and section.startswith("profile"):
                profiles[words[1]] = values
            elif len(words) == 2 and section.startswith("services"):
                services[words[1]] = values
        for section, values in _parsed(credentials).items():
            profiles.setdefault(section, {}).update(values)
        self._profile, self._services = profiles.get(profile, {}), services


def _parsed(path: str) -> dict[str, dict[str, str]]:
    """The sections of one of AWS's files; nothing if it does not exist. Raises BadConfig."""
    import configparser

    parser: Any = configparser.RawConfigParser()
    try:
        if os.path.isfile(path):
            parser.read([path])
    except (configparser.Error, UnicodeDecodeError, OSError):
        raise errors.BadConfig(f"{path} cannot be read") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _words(section: str) -> list[str]:
    import shlex

    try:
        return shlex.split(section)
    except ValueError:
        return []
