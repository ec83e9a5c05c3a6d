"""The sources of credentials, and explanations of their failures.

botocore asks files, variables, programs and addresses for credentials. Each of them can answer
anything, and botocore lets most failures through as they are: a KeyError, a JSONDecodeError, an
OSError. So each source is called behind a guard, and whatever it raises is a problem of that
source, never a bug.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from toolkit import errors
from toolkit.advice import Advice, ShellCommand, changed_advice
from toolkit.ports.process import ProgramTimeout

SIGN_IN_S = 60.0
"""How long a source may take to give credentials while nobody watches."""
PERSON_S = 300.0
"""How long one may take that a person may have to answer first."""

_WHERE = {
    "env": "the AWS_ variables",
    "custom-process": "credential_process",
    "sso": "SSO",
    "login": "aws login",
    "assume-role": "the role to assume",
    "assume-role-with-web-identity": "the web identity",
    "shared-credentials-file": "the credentials file",
    "config-file": "the config file",
    "container-role": "the container's credentials address",
    "iam-role": "the instance's metadata",
    "ec2-credentials-file": "AWS_CREDENTIAL_FILE",
    "boto-config": "boto's own config file",
}
"""What a source is called, by botocore's name for it."""
_NEXT: dict[str, Advice] = {
    "env": (
        "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if they are temporary, AWS_SESSION_TOKEN"
        " again"
    ),
    "sso": ("sign in:", ShellCommand("aws sso login{option}")),
    "login": ("sign in:", ShellCommand("aws login{option}")),
    "assume-role-with-web-identity": (
        "check AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the profile's lines of these names"
    ),
    "container-role": (
        "check AWS_CONTAINER_CREDENTIALS_FULL_URI or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, and"
        " the task's role"
    ),
    "iam-role": "check the instance's role; AWS_EC2_METADATA_DISABLED=true asks it no more",
    "shared-credentials-file": ("set the keys again:", ShellCommand("aws configure{option}")),
    "config-file": ("set the keys again:", ShellCommand("aws configure{option}")),
}
_ASK_THE_CLI: Advice = (
    "see what the AWS CLI says:",
    ShellCommand("aws sts get-caller-identity{option}"),
)
_NAME = re.compile(r"[\w.-]+")
_PARAMETER = re.compile(r"parameter:? \"?(\w+)")
_KEYS = (
    ("access_key", "access key"),
    ("secret_key", "secret access key"),
    ("token", "session token"),
)
_EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException", "RequestExpired"))

Explain = Callable[[Exception, str], Exception | None]
"""The error of ours for what can go wrong with any call; None for an exception that it does not
know.
"""
Ask = Callable[[str], str]
"""Asks a person a question whose answer is not shown. Raises EOFError, KeyboardInterrupt."""


class SourceFailed(Exception):
    """What a source raised."""

    def __init__(self, source: str, problem: Exception) -> None:
        super().__init__(source)
        self.source, self.problem = source, problem


class BadKeys(Exception):
    """Keys that cannot be sent: the reason."""


def guard(resolver: Any, popen: Callable[..., Any]) -> None:
    """Put each source of botocore's resolver behind the guard. `popen` starts the programs that
    give credentials, with a deadline.
    """
    for provider in resolver.providers:
        _guard(provider, popen)
        builder = getattr(provider, "_profile_provider_builder", None)
        if builder is not None:  # it makes the sources of the profile that a role is assumed from
            make = builder.providers
            builder.providers = lambda *args, make=make, **more: [
                _guard(inner, popen) for inner in make(*args, **more)
            ]
        sourcer = getattr(provider, "_credential_sourcer", None)
        for inner in getattr(sourcer, "_providers", ()):
            _guard(inner, popen)


def _guard(provider: Any, popen: Callable[..., Any]) -> Any:
    if hasattr(provider, "_popen"):
        provider._popen = popen
    if "load" not in vars(provider):  # one may stand in several places
        source = str(getattr(provider, "METHOD", "") or type(provider).__name__)
        load = _guarded(source, provider.load)
        provider.load = lambda: _guard_credentials(source, load())
    return provider


def _guard_credentials(source: str, credentials: Any) -> Any:
    """Credentials may be fetched, or fetched again, when they are used."""
    if credentials is not None and "get_frozen_credentials" not in vars(credentials):
        freeze = _guarded(source, credentials.get_frozen_credentials)
        credentials.get_frozen_credentials = lambda: _checked(source, freeze())
        credentials.get_deferred_property = _guarded(source, credentials.get_deferred_property)
    return credentials


def _guarded(source: str, do: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any, **more: Any) -> Any:
        try:
            return do(*args, **more)
        except (SourceFailed, errors.ToolkitError):
            raise
        except Exception as problem:
            raise SourceFailed(source, problem) from None

    return guarded


def _checked(source: str, keys: Any) -> Any:
    """The keys, if they can be sent. Raises SourceFailed: AWS would only say that a signature is
    wrong, or the network that a header is.
    """
    for name, words in _KEYS:
        value = getattr(keys, name, None)
        if not value and name == "token":
            continue
        if problem := _key_problem(value):
            raise SourceFailed(source, BadKeys(f"the {words} {problem}"))
    return keys


def _key_problem(value: Any) -> str:
    if value is None:
        return "is missing"
    if value == "":
        return "is empty"
    if not isinstance(value, str):
        return "is not a text"
    for letter in value:
        if not "!" <= letter <= "~":
            if letter in "\r\n":
                kind = "a line end"
            elif letter.isspace():
                kind = "a space"
            else:
                kind = "a character that no key has"
            where = "in it" if value.strip() == value else "before or after it"
            return f"has {kind} {where}: it was not copied exactly"
    return ""


def explain(
    failed: SourceFailed, boto: Any, profile: Mapping[str, str], explain_call: Explain
) -> Exception:
    """The error of ours for a source that failed. `boto` is botocore's exceptions, `profile` the
    facts of an error about the profile.
    """
    source, problem = failed.source, failed.problem
    where = _WHERE.get(source, "AWS credentials")
    option = profile["option"]
    next_ = changed_advice(
        _NEXT.get(source, _ASK_THE_CLI), lambda text: text.replace("{option}", option)
    )
    # botocore raises a RuntimeError if refreshed credentials have expired as well.
    if isinstance(problem, RuntimeError):
        return errors.Expired(**profile, next=next_)
    if isinstance(problem, boto.RefreshWithMFAUnsupportedError):
        return errors.Expired(
            **profile, next="run it again in a terminal: a new MFA code is asked for"
        )
    if isinstance(problem, boto.ClientError):
        return _refused(problem, source, profile, next_, explain_call)
    if isinstance(problem, (boto.SSOTokenLoadError, boto.NoCredentialsError)):
        return errors.NoCredentials(**profile)
    if isinstance(problem, boto.LoginRefreshRequired):
        return errors.Expired(**profile, next=next_)
    if isinstance(problem, boto.MetadataRetrievalError) or source not in _WHERE:
        return errors.SourceProblem(**profile, reason=f"{where}: no usable answer", next=next_)
    if not isinstance(problem, boto.CredentialRetrievalError):
        explained = explain_call(problem, where)
        if isinstance(explained, errors.CloudError):
            return explained
    return errors.SourceProblem(**profile, reason=_reason(where, problem, boto), next=next_)


def _refused(
    problem: Any, source: str, profile: Mapping[str, str], next_: Advice, explain_call: Explain
) -> Exception:
    """The error for a request for credentials that AWS refused."""
    error = problem.response.get("Error", {})
    code, message = str(error.get("Code", "")), " ".join(str(error.get("Message", "")).split())
    if code in _EXPIRED:
        return errors.Expired(**profile, next=next_)
    explained = explain_call(problem, "")
    if isinstance(explained, errors.Unreachable | errors.WrongClock):
        return explained
    if (
        source == "assume-role"
        and "MultiFactorAuthentication" in message
        and "one time pass code" in message
    ):
        return errors.SourceProblem(
            **profile,
            reason="the MFA code was not accepted",
            next="wait for the next code, and run it again",
        )
    call = f"{_WHERE.get(source, source)}: {problem.operation_name} was refused"
    return errors.SourceProblem(**profile, reason=f"{call}: {code}: {message}", next=next_)


def _reason(where: str, problem: Exception, boto: Any) -> str:
    """What is wrong with a source. Its own output is not repeated: it may be a secret."""
    if isinstance(problem, BadKeys):
        return f"{problem} ({where})"
    if isinstance(problem, ProgramTimeout):
        return f"{where} gave nothing within {problem.seconds:g} s"
    if isinstance(problem, EOFError):
        return f"{where}: the question was not answered"
    if isinstance(problem, boto.CredentialRetrievalError):
        return _retrieval(where, str(problem.kwargs.get("error_msg", "")))
    if isinstance(problem, boto.ParamValidationError):
        parameters = sorted(set(_PARAMETER.findall(str(problem)))) or ["a setting"]
        return f"{where}: {', '.join(parameters)} is not valid"
    if isinstance(problem, OSError):
        file = f"{problem.filename}: " if isinstance(problem.filename, str) else ""
        return f"{where} cannot be used: {file}{problem.strerror or type(problem).__name__}"
    return _content_reason(where, problem, boto)


def _content_reason(where: str, problem: Exception, boto: Any) -> str:
    """What is wrong with the answer of a source."""
    if isinstance(problem, UnicodeDecodeError) or type(problem).__name__ == "JSONDecodeError":
        return f"{where} gives something that is not JSON"
    if isinstance(problem, KeyError) and problem.args and _NAME.fullmatch(str(problem.args[0])):
        return f"{where}: {problem.args[0]} is missing"
    if type(problem).__name__ == "ParserError" or isinstance(problem, OverflowError):
        return f"{where}: its time of expiry is not a time"
    if isinstance(problem, TypeError) and "offset-naive" in str(problem):
        return f"{where}: its time of expiry has no time zone"
    if isinstance(problem, boto.BotoCoreError) and not isinstance(problem, boto.HTTPClientError):
        return f"{where}: {str(problem).splitlines()[0]}"
    return f"{where} gives something that cannot be used"


def _retrieval(where: str, message: str) -> str:
    """Only botocore's own messages are used: what the program wrote to stderr has the same place,
    and may be a secret.
    """
    if missing := re.fullmatch(r"Missing required key in response: '(\w+)'", message):
        return f"{where}: {missing[1]} is missing"
    if re.fullmatch(
        r"Unsupported version '.*' for credential process provider, supported versions: 1", message
    ):
        return f"{where}: Version is not 1"
    if missing := re.fullmatch(
        r"Credential refresh failed, response did not contain: ([\w, ]+)", message
    ):
        return f"{where}: {missing[1]} is missing"
    return f"{where} failed"
