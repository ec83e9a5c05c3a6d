"""Where credentials come from, and what is wrong with it.

botocore asks files, variables, programs and addresses for credentials. Each of them can answer
anything, and botocore lets most of what is wrong through as it is: a KeyError, a JSONDecodeError,
an OSError. So each source is asked behind a guard, and whatever comes through it is a problem of
that source, never a bug.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from toolkit import errors
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
_NEXT = {
    "env": (
        "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if they are temporary, AWS_SESSION_TOKEN"
        " again"
    ),
    "sso": "sign in: aws sso login{option}",
    "login": "sign in: aws login{option}",
    "assume-role-with-web-identity": (
        "check AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the profile's lines of these names"
    ),
    "container-role": (
        "check AWS_CONTAINER_CREDENTIALS_FULL_URI or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, and"
        " the task's role"
    ),
    "iam-role": "check the instance's role; AWS_EC2_METADATA_DISABLED=true asks it no more",
    "shared-credentials-file": "set the keys again: aws configure{option}",
    "config-file": "set the keys again: aws configure{option}",
}
_ASK_THE_CLI = "see what the AWS CLI says: aws sts get-caller-identity{option}"
_NAME = re.compile(r"[\w.-]+")
_PARAMETER = re.compile(r"parameter:? \"?(\w+)")
_KEYS = (
    ("access_key", "access key"),
    ("secret_key", "secret access key"),
    ("token", "session token"),
)
_EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException", "RequestExpired"))

Known = Callable[[Exception, str], Exception | None]
"""The words for what can go wrong with any call; None for what is told by nobody else."""
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
                _guard(one, popen) for one in make(*args, **more)
            ]
        sourcer = getattr(provider, "_credential_sourcer", None)
        for other in getattr(sourcer, "_providers", ()):
            _guard(other, popen)


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
        if not isinstance(value, str) or not value:
            wrong = "missing" if value is None else "empty" if value == "" else "not a text"
            raise SourceFailed(source, BadKeys(f"the {words} is {wrong}"))
        if bad := next((letter for letter in value if not "!" <= letter <= "~"), None):
            kind = (
                "a line end"
                if bad in "\r\n"
                else "a space"
                if bad.isspace()
                else "a character that no key has"
            )
            where = "in it" if value.strip() == value else "before or after it"
            raise SourceFailed(
                source, BadKeys(f"the {words} has {kind} {where}: it was not copied exactly")
            )
    return keys


def told(failed: SourceFailed, boto: Any, whose: Mapping[str, str], known: Known) -> Exception:
    """The error that tells it. `boto`: botocore's exceptions."""
    source, problem = failed.source, failed.problem
    where = _WHERE.get(source, "AWS credentials")
    next_ = _NEXT.get(source, _ASK_THE_CLI).format(option=whose["option"])
    if isinstance(problem, RuntimeError):  # new ones were fetched, which had expired as well
        return errors.Expired(**whose, next=next_)
    if isinstance(problem, boto.RefreshWithMFAUnsupportedError):
        return errors.Expired(
            **whose, next="run it again in a terminal: a new MFA code is asked for"
        )
    if isinstance(problem, boto.ClientError):
        return _refused(problem, source, whose, next_, known)
    if isinstance(problem, (boto.SSOTokenLoadError, boto.NoCredentialsError)):
        return errors.NoCredentials(**whose)
    if isinstance(problem, boto.LoginRefreshRequired):
        return errors.Expired(**whose, next=next_)
    if isinstance(problem, boto.MetadataRetrievalError) or source not in _WHERE:
        return errors.SourceProblem(**whose, reason=f"{where}: no usable answer", next=next_)
    foreseen = None if isinstance(problem, boto.CredentialRetrievalError) else known(problem, where)
    if isinstance(foreseen, errors.CloudError):
        return foreseen
    return errors.SourceProblem(**whose, reason=_reason(where, problem, boto), next=next_)


def _refused(
    problem: Any, source: str, whose: Mapping[str, str], next_: str, known: Known
) -> Exception:
    """AWS answered a question for credentials with an error."""
    error = problem.response.get("Error", {})
    code, message = str(error.get("Code", "")), " ".join(str(error.get("Message", "")).split())
    if code in _EXPIRED:
        return errors.Expired(
            **whose,
            next=_ASK_THE_CLI.format(option=whose["option"]) if source not in _NEXT else next_,
        )
    told_so = known(problem, "")
    if isinstance(told_so, errors.Unreachable | errors.WrongClock):
        return told_so
    if (
        source == "assume-role"
        and "MultiFactorAuthentication" in message
        and "one time pass code" in message
    ):
        return errors.SourceProblem(
            **whose,
            reason="the MFA code was not accepted",
            next="wait for the next code, and run it again",
        )
    call = f"{_WHERE.get(source, source)}: {problem.operation_name} was refused"
    return errors.SourceProblem(**whose, reason=f"{call}: {code}: {message}", next=next_)


def _reason(where: str, problem: Exception, boto: Any) -> str:
    """What is wrong with a source. What it said itself is not repeated: it may be a secret."""
    if isinstance(problem, BadKeys):
        return f"{problem} ({where})"
    if isinstance(problem, ProgramTimeout):
        return f"{where} gave nothing within {problem.seconds:g} s"
    if isinstance(problem, EOFError):
        return f"{where}: the question was not answered"
    if isinstance(problem, boto.CredentialRetrievalError):
        return _retrieval(where, str(problem.kwargs.get("error_msg", "")))
    if isinstance(problem, boto.ParamValidationError):
        wrong = sorted(set(_PARAMETER.findall(str(problem)))) or ["a setting"]
        return f"{where}: {', '.join(wrong)} is not valid"
    if isinstance(problem, OSError):
        file = f"{problem.filename}: " if isinstance(problem.filename, str) else ""
        return f"{where} cannot be used: {file}{problem.strerror or type(problem).__name__}"
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


def _retrieval(where: str, said: str) -> str:
    """botocore puts what the program wrote to stderr in the same place as its own words."""
    if missing := re.fullmatch(r"Missing required key in response: '(\w+)'", said):
        return f"{where}: {missing[1]} is missing"
    if re.fullmatch(
        r"Unsupported version '.*' for credential process provider, supported versions: 1", said
    ):
        return f"{where}: Version is not 1"
    if missing := re.fullmatch(
        r"Credential refresh failed, response did not contain: ([\w, ]+)", said
    ):
        return f"{where}: {missing[1]} is missing"
    return f"{where} failed"
