"""One account and region of AWS: calls with bounded time and attempts, and errors in our own terms.

Reads and calls that carry a token of ours are tried up to five times. A write without a token is
tried once: whether a lost answer stood for an effect is for the kind's `observe` to find out, never
for a retry.
"""

import json
import os
import re
import shlex
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from threading import Condition, Lock, current_thread
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import urlsplit

from toolkit import __version__, errors
from toolkit.model import Location
from toolkit.ports import debug, process
from toolkit.ports.aws import answers, endpoint, sources
from toolkit.ports.background import BackgroundTask, DaemonThread, Timeout, carry_out

Found = TypeVar("Found")

CONNECT_S, READ_S = 5, 20
"""How long a connection may take to be made, and how long it may be silent."""
CALL_S = 60.0
"""How long a call may take with all its attempts: an answer that comes byte by byte is never
silent.
"""
LEAST_RATE = 50_000
"""Bytes a second that an upload or a download may take besides."""
ATTEMPTS = 5
POOL = 64
WINDOW_S, WINDOWS = 0.02, 8
"""Equal reads wait for each other, so that they become one call: as long as another one comes
within this time, but no longer than so many times that.
"""
COMING_S = 1.0
"""How long they wait at most while it is known that more are coming."""

_THROTTLING = frozenset(
    (
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
    )
)
_EXPIRED = frozenset(
    ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
)
_NO_KEY = "it does not know the access key or the session token"
_NOT_A_PAIR = "the secret access key does not belong to the access key"
_UNKNOWN = {
    "InvalidClientTokenId": _NO_KEY,
    "UnrecognizedClientException": _NO_KEY,
    "InvalidAccessKeyId": _NO_KEY,
    "SignatureDoesNotMatch": _NOT_A_PAIR,
    "InvalidSignatureException": _NOT_A_PAIR,
    "IncompleteSignature": _NOT_A_PAIR,
    "MissingAuthenticationToken": "they are missing",
    "MissingAuthenticationTokenException": "they are missing",
    "OptInRequired": "the account has not opted in to this service or region",
    "AuthFailure": "",
}
"""What is wrong with the credentials, in our words where AWS's do not help."""
_CLOCK = re.compile("Signature (expired|not yet current): ")
_DENIED = frozenset(
    (
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "UnauthorizedException",
        "Forbidden",
        "403",
    )
)
_OF_A_POLICY = re.compile(r"explicit deny in an? (?P<policy>[a-z -]+ policy)")
_ADDRESS = re.compile(r"(https?://[^\s?]+)\?\S*")
_BARE = r"\1"
"""An address without what follows the question mark: signatures."""
_WHO_WHAT = re.compile(
    r"not authorized to perform:? (?P<action>[\w-]+:\w+)(?: on resource:? (?P<resource>\S+))?"
)


class Aws:
    """The calls of one profile and region. Safe to use from several threads."""

    def __init__(
        self,
        profile: str | None = None,
        region: str | None = None,
        person: "MfaPrompt | None" = None,
    ) -> None:
        """`person`: whoever can be asked for an MFA code."""
        self.profile, self.region = profile, region
        self._person = person or MfaPrompt()
        self._session: Any = None
        self._signing_in: Future[None] | None = None
        self._clients: dict[tuple[str, bool], Any] = {}
        self._lock = Lock()
        self._gathered: dict[Hashable, _Gathering] = {}
        self._coming, self._counting = (
            0,
            Lock(),
        )  # not the other lock: it is held while a program gives credentials

    def read(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """An answer of AWS. Raises CloudError."""
        return self._call(service, operation, params, once=False)

    def write(
        self, service: str, operation: str, /, tokened: bool = False, **params: Any
    ) -> dict[str, Any]:
        """Change something. `tokened` says that the parameters make a repetition harmless. Raises
        CloudError.
        """
        return self._call(service, operation, params, once=not tokened)

    def streamed(
        self, service: str, operation: str, most: int, /, **params: Any
    ) -> tuple[dict[str, Any], bytes]:
        """An answer, and the first `most` bytes of its body. Raises CloudError."""
        answer = self._call(service, operation, params, once=False)
        body = answer["Body"]
        try:
            return answer, _within(CALL_S + most / LEAST_RATE, lambda: body.read(most))
        except Exception as problem:
            raise self._translated(problem, service, operation) from None
        finally:
            body.close()

    def pages(
        self, service: str, operation: str, key: str, /, **params: Any
    ) -> Iterator[dict[str, Any]]:
        """The items under `key` of all pages, fetched as they are asked for. Raises CloudError."""
        client = self._client(service, once=False)
        try:
            found = iter(client.get_paginator(operation).paginate(**params))
            while (page := _within(CALL_S, lambda: next(found, None))) is not None:
                page = _checked(page, service, operation)
                if key not in page and service != "s3":  # S3 leaves out what is empty
                    raise errors.Unexpected(
                        call=f"{service}:{_camel(operation)}", reason=f"{key} is missing"
                    )
                yield from page.get(key) or ()
        except GeneratorExit:
            raise
        except Exception as problem:
            raise self._translated(problem, service, operation) from None

    def gathered(
        self,
        group: Hashable,
        key: str,
        most: int,
        read: Callable[[Sequence[str]], Mapping[str, Any]],
        windows: int = 1,
    ) -> Any:
        """What `read` says of one key, None if it leaves it out: calls at the same moment are made
        as one, of at most `most` keys.

        Where they come after other answers, the moment is `windows` times as long.
        """
        return self.gathered_all(group, (key,), most, read, windows)[key]

    def gathered_all(
        self,
        group: Hashable,
        keys: Sequence[str],
        most: int,
        read: Callable[[Sequence[str]], Mapping[str, Any]],
        windows: int = 1,
    ) -> dict[str, Any]:
        """The same for several keys, which are asked for at one moment."""
        joined: list[tuple[str, _Gathering]] = []
        mine: list[_Gathering] = []
        with self._lock:
            for key in keys:
                gathering = self._gathered.get(group)
                if gathering is None or not gathering.add(key):
                    gathering = self._gathered[group] = _Gathering(key, most)
                    mine.append(gathering)
                joined.append((key, gathering))
        for gathering in mine:
            gathering.wait_for_more(windows * WINDOW_S, lambda: self._coming > 0)
            with self._lock:
                if self._gathered.get(group) is gathering:
                    del self._gathered[group]
            gathering.fetch(read)
        return {key: gathering.result(key) for key, gathering in joined}

    @contextmanager
    def more_coming(self) -> Iterator[None]:
        """While it lasts, reads that are gathered wait for those that are still to come: a slow
        machine starts them late.
        """
        with self._counting:
            self._coming += 1
        try:
            yield
        finally:
            with self._counting:
                self._coming -= 1

    def warm(self, *services: str) -> None:
        """Make clients before they are needed: reading a service's model takes longer than a
        call.
        """
        for service in services:
            self._client(service, once=False)

    def knows(self, service: str, operation: str) -> bool:
        """Whether the installed botocore has this operation (`DescribeServiceDeployments`)."""
        return operation in self._client(service, once=False).meta.service_model.operation_names

    def members(self, service: str, operation: str) -> frozenset[str]:
        """The parameters that an operation takes, by the installed model."""
        return frozenset(
            self._client(service, once=False)
            .meta.service_model.operation_model(operation)
            .input_shape.members
        )

    def endpoint(self, service: str) -> str:
        """The address that calls go to."""
        return str(self._client(service, once=False).meta.endpoint_url)

    @property
    def region_name(self) -> str:
        """The region that calls go to. Raises NoRegion, CloudError."""
        found = self.region or self._sessions().region_name
        if not found:
            raise errors.NoRegion
        return str(found)

    def account(self) -> str:
        """The twelve digits that the credentials belong to. Raises CloudError."""
        return str(self.read("sts", "get_caller_identity")["Account"])

    def sign_in(self) -> None:
        """Get credentials here and now, in this thread, so that whatever asks for a code can be
        answered; nothing where nobody is there.

        Raises CloudError.
        """
        if self._person.is_there:
            with self._person.asked():
                self._get_credentials()

    def expiry(self) -> float | None:
        """In how many seconds the credentials end, None if they do not or do not say. Raises
        CloudError.
        """
        self._sign_in()
        ends = getattr(self._sessions().get_credentials(), "_expiry_time", None)
        if ends is None:
            return None
        from datetime import UTC, datetime

        return float((ends - datetime.now(UTC)).total_seconds())

    def _sign_in(self) -> None:
        """Have credentials, if there are any. Whoever asks for them at one moment shares one
        attempt; a later one is a new attempt.

        The lock is not held meanwhile: a program that gives credentials may hang. Raises
        CloudError.
        """
        with self._lock:
            attempt, mine = self._signing_in, self._signing_in is None
            if attempt is None:
                attempt = self._signing_in = Future()
        if mine and isinstance(current_thread(), DaemonThread):
            carry_out(attempt, self._get_credentials)
        elif mine:
            DaemonThread(lambda: carry_out(attempt, self._get_credentials)).start()
        if not wait([attempt], sources.SIGN_IN_S + CALL_S).done:
            raise errors.Unreachable(call="credentials", reason="what gives them is silent")
        if attempt.exception() is not None:
            with self._lock:
                if self._signing_in is attempt:
                    self._signing_in = None
        attempt.result()

    def _get_credentials(self) -> None:
        session = self._sessions()
        try:
            found = session.get_credentials()
            if found is not None:
                found.get_frozen_credentials()  # a role is assumed now
        except Exception as problem:
            with self._lock:
                if self._session is session:
                    # its sources remember half of what they did: the next attempt begins with new
                    # ones
                    self._session = None
            raise self._unusable(problem) from None

    def _sessions(self) -> Any:
        with self._lock:
            return self._made_session()

    def _made_session(self) -> Any:
        """The one session; the lock is held."""
        if self._session is None:
            try:
                # boto3 knows AWS_DEFAULT_REGION only; the other SDKs and the AWS CLI know this one,
                # too
                self._session = _session(
                    self.profile, self.region or os.environ.get("AWS_REGION"), self._person
                )
            except Exception as problem:
                raise self._unusable(problem) from None
        return self._session

    def _client(self, service: str, once: bool) -> Any:
        found = self._clients.get((service, once))
        if found is not None:
            return found
        region = self.region_name
        self._sign_in()
        with self._lock:
            session = self._made_session()
            if (service, once) in self._clients:
                return self._clients[service, once]
            from botocore.config import Config  # type: ignore[import-untyped]

            config = Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                tcp_keepalive=True,
                max_pool_connections=POOL,
                retries={"mode": "standard", "total_max_attempts": 1 if once else ATTEMPTS},
                user_agent=_user_agent(session),
            )
            try:
                made = session.client(service, config=config, region_name=region)
            except Exception as problem:
                raise self._unusable(problem) from None
            if not _is_address(made.meta.endpoint_url):
                raise errors.BadConfig("AWS_ENDPOINT_URL is not an address")
            made.meta.events.register("before-parse", _whole)
            made.meta.events.register("before-parse", _modelled)
            self._clients[service, once] = made
            return made

    def _call(
        self, service: str, operation: str, params: dict[str, Any], once: bool
    ) -> dict[str, Any]:
        client = self._client(service, once)
        try:
            answer: dict[str, Any] = _within(
                CALL_S + _size(params) / LEAST_RATE, lambda: getattr(client, operation)(**params)
            )
            return _checked(answer, service, operation)
        except Exception as problem:
            raise self._translated(problem, service, operation) from None

    def _whose(self) -> dict[str, str]:
        """What an error says of the profile, and of the option for it."""
        if not self.profile:
            return {"profile": "", "option": ""}
        return {
            "profile": f" of profile {self.profile}",
            "option": f" --profile {shlex.quote(self.profile)}",
        }

    def _unusable(self, problem: Exception) -> Exception:
        """What AWS's files and variables on this machine, or a source of credentials, are wrong
        with: no call was made.
        """
        known = self._known(problem, "credentials")
        if known is not None:
            return known
        if isinstance(problem, OSError) and isinstance(problem.filename, str):
            return errors.BadConfig(f"{problem.filename}: {problem.strerror}")
        return errors.BadConfig(
            _ADDRESS.sub(_BARE, (str(problem).splitlines() or [type(problem).__name__])[0])
        )

    def _translated(self, problem: Exception, service: str, operation: str) -> Exception:
        """What a call ended with, in our terms. botocore reads each answer by its model, and trips
        over one of another form: that is no bug of ours.
        """
        call = f"{service}:{_camel(operation)}"
        known = self._known(problem, call)
        if known is not None:
            return known
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

        if isinstance(problem, BotoCoreError):
            return errors.CloudError(
                call=call, reason=_ADDRESS.sub(_BARE, str(problem).splitlines()[0])
            )
        return errors.Unexpected(call=call, reason=f"it cannot be read ({type(problem).__name__})")

    def _known(self, problem: Exception, call: str) -> Exception | None:
        """An error in our terms, None for one that tells nothing by itself."""
        from botocore import exceptions as boto  # type: ignore[import-untyped]
        from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

        whose = self._whose()
        if isinstance(problem, errors.ToolkitError):
            return problem
        if isinstance(problem, sources.SourceFailed):
            return sources.told(problem, boto, whose, self._known)
        if isinstance(problem, boto.ClientError):
            return self._refusal(problem.response, call, whose)
        if isinstance(problem, (boto.NoCredentialsError, boto.SSOTokenLoadError)):
            return errors.NoCredentials(**whose)
        if isinstance(problem, (boto.TokenRetrievalError, boto.UnauthorizedSSOTokenError)):
            return errors.Expired(**whose)
        if isinstance(problem, _TooSlow):
            return errors.Unreachable(
                call=call, reason=f"it took longer than {problem.seconds:g} s"
            )
        if isinstance(problem, boto.HTTPClientError) and "Invalid header value" in str(problem):
            return errors.BadConfig(
                "the keys have a line end or a character that no key has: they were not copied"
                " exactly"
            )
        if isinstance(
            problem,
            (
                boto.HTTPClientError,
                boto.EndpointConnectionError,
                boto.ConnectionError,
                boto.IncompleteReadError,
            ),
        ):
            return errors.Unreachable(call=call, reason=_why(problem))
        if isinstance(problem, ResponseParserError):
            return errors.Unexpected(call=call, reason="it cannot be read")
        if isinstance(problem, _WrongAnswer):
            return errors.Unexpected(call=call, reason=str(problem))
        if isinstance(problem, (boto.NoRegionError, boto.InvalidRegionError)):
            name = getattr(problem, "kwargs", {}).get("region_name", "")
            return errors.NoRegion(str(name))
        if wrong := _settings(problem, boto):
            return errors.BadConfig(
                wrong, "list-profiles" if isinstance(problem, boto.ProfileNotFound) else "list"
            )
        return None

    def _refusal(
        self, response: Mapping[str, Any], call: str, whose: Mapping[str, str]
    ) -> errors.CloudError:
        found = response.get("Error", {})
        code, message = str(found.get("Code", "")), " ".join(str(found.get("Message", "")).split())
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        problem: errors.CloudError
        if code in _EXPIRED:
            problem = errors.Expired(**whose)
        elif code in _THROTTLING or status == 429:
            problem = errors.Throttled(call=call)
        elif code in _DENIED:
            problem = _denied(message, call)
        elif code == "RequestTimeTooSkewed" or _CLOCK.search(message):
            problem = errors.WrongClock(off=_off(response), call=call)
        elif code in _UNKNOWN:
            problem = errors.CredentialsProblem(
                call=call, reason=f"{_UNKNOWN[code] or _ADDRESS.sub(_BARE, message)} ({code})"
            )
        elif status >= 500:
            reason = f"{status} {code}" if code != str(status) else code
            problem = errors.Unwell(call=call, reason=reason)
        else:
            message = _ADDRESS.sub(_BARE, message)
            problem = errors.CloudError(
                call=call, reason=f"{code}: {message}" if code not in message else message
            )
        problem.aws_code = code
        return problem


class MfaPrompt:
    """Whoever can be asked for the code of an MFA device, or nobody. `ask` shows a question and
    returns the answer.

    A question is only asked while somebody waits for it: never under a progress line, and never
    against a deadline of ours.
    """

    def __init__(self, ask: sources.Ask | None = None, asked: bool = False) -> None:
        self._ask = ask
        self._asked = asked
        self.roles: dict[str, Any] = {}
        """The roles that were assumed: for another region they are not asked for again."""

    @property
    def is_there(self) -> bool:
        """Whether there is somebody at all."""
        return self._ask is not None

    @property
    def seconds(self) -> float:
        """How long a program may take to give credentials."""
        return sources.PERSON_S if self.answers else sources.SIGN_IN_S

    @property
    def answers(self) -> bool:
        """Whether a question can be asked now."""
        return self._asked and self._ask is not None

    @contextmanager
    def asked(self) -> Iterator[None]:
        """While it lasts, questions may be asked."""
        self._asked = True
        try:
            yield
        finally:
            self._asked = False

    def code(self, profile: str | None, question: str) -> str:
        """The code. Raises NeedsCode where nobody is there, EOFError, KeyboardInterrupt."""
        if self._ask is None or not self._asked:
            whose = f"profile {profile}" if profile else "the role to assume"
            option = f" --profile {shlex.quote(profile)}" if profile else ""
            why = "this is not a terminal" if self._ask is None else "it was not given before"
            raise errors.NeedsCode(
                whose=whose,
                why=why,
                next=f"sign in first, in a terminal: aws sts get-caller-identity{option}",
            )
        return self._ask(question)


class _Roles:
    """Roles that were assumed, kept where the AWS CLI keeps them: one code signs in for both, until
    they expire. A disk that takes nothing only costs another code.
    """

    def __init__(self, here: dict[str, Any], shared: Any) -> None:
        self._here, self._shared = here, shared

    def __contains__(self, key: str) -> bool:
        return key in self._here or key in self._shared

    def __getitem__(self, key: str) -> Any:
        return self._here[key] if key in self._here else self._shared[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._here[key] = value
        with suppress(OSError, ValueError):
            self._shared[key] = value


def _session(profile: str | None, region: str | None, person: MfaPrompt | None = None) -> Any:
    """boto3's session of a profile. Raises what botocore raises."""
    import boto3  # type: ignore[import-untyped]
    import botocore.session  # type: ignore[import-untyped]
    from botocore.loaders import Loader  # type: ignore[import-untyped]

    class Models(Loader):  # type: ignore[misc]
        """Finds the models of services."""

        def list_available_services(self, type_name: str) -> list[str]:
            """The services that have a folder. botocore looks into each of 400 for a file of the
            type, and again for the next type; whether the one that is asked for has such a file
            shows when it is loaded.
            """
            return sorted(
                {
                    name
                    for path in self.search_paths
                    if os.path.isdir(path)
                    for name in os.listdir(path)
                }
            )

    core = botocore.session.Session()
    also = core.get_config_variable("data_path")
    core.register_component(
        "data_loader", Models(extra_search_paths=also.split(os.pathsep) if also else [])
    )
    session = boto3.Session(botocore_session=core, profile_name=profile, region_name=region)
    _watch_sources(core, profile, person or MfaPrompt())
    if debug.sink is not None:
        from toolkit.ports.aws import calls

        calls.watch(core, profile)
    return session


def _watch_sources(core: Any, profile: str | None, person: MfaPrompt) -> None:
    """Guard what gives credentials, and ask the person, not the terminal, for codes."""
    from botocore.utils import JSONFileCache  # type: ignore[import-untyped]

    resolver = core.get_component("credential_provider")

    def popen(argv: Sequence[str], **streams: int) -> process.BoundedProgram:
        return process.BoundedProgram(argv, person.seconds, person.answers)

    sources.guard(resolver, popen)
    role = next(
        (one for one in resolver.providers if getattr(one, "METHOD", "") == "assume-role"), None
    )
    if role is not None:
        shared: Any = {}
        if (
            "mfa_serial" in endpoint.settings_text() and endpoint.endpoint(profile) is None
        ):  # what an emulator gave is nothing for AWS
            shared = JSONFileCache(os.path.expanduser("~/.aws/cli/cache"))
        role.cache = _Roles(person.roles, shared)
        named = profile or os.environ.get("AWS_DEFAULT_PROFILE") or os.environ.get("AWS_PROFILE")
        role._prompter = lambda question: person.code(named, question)


def _user_agent(session: Any) -> str:
    """How AWS's logs name us. botocore would put it together anew for each call, which takes a
    tenth of the call's time.
    """
    return f"toolkit/{__version__} {session._session.user_agent()}"


def check_account(aws: Aws, location: Location) -> None:
    """Raises WrongAccount if the credentials are for another account than the place's,
    CloudError.
    """
    if location.account:
        same_account(aws.account(), location)


def same_account(found: str, location: Location) -> None:
    """The same where the account is known already. Raises WrongAccount."""
    if location.account and found != location.account:
        raise errors.WrongAccount(
            found=found, environment=location.environment or "", wanted=location.account
        )


class _TooSlow(Exception):
    """A call has not ended in its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def _within(seconds: float, do: Callable[[], Found]) -> Found:
    """What `do` gives, or raises. Raises _TooSlow if it takes longer: what became of a lost answer
    is found out like that of any other.
    """
    if isinstance(
        current_thread(), DaemonThread
    ):  # a thread more for each of a hundred calls would cost a tenth of their time
        return do()
    try:
        return BackgroundTask(do).within(seconds)
    except Timeout:
        debug.tell("aws", "given up", after_s=f"{seconds:g}")
        raise _TooSlow(seconds) from None


def _size(params: Mapping[str, Any]) -> int:
    """How many bytes a call sends, as far as that matters."""
    body = params.get("Body")
    return int(params.get("ContentLength") or (len(body) if isinstance(body, bytes) else 0))


def _denied(message: str, call: str) -> errors.NotAllowed:
    """Which action on which resource, as AWS's sentence has it; a deny is told, for no permission
    mends it.
    """
    who, policy = _WHO_WHAT.search(message), _OF_A_POLICY.search(message)
    action, resource = (who["action"], who["resource"] or "*") if who else (call, "*")
    return errors.NotAllowed(
        action, resource.strip("\"'"), f": a {policy['policy']} denies it" if policy else ""
    )


def _off(response: Mapping[str, Any]) -> str:
    """By how much our clock differs from AWS's."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        said = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, ValueError):
        return "wrong"
    seconds = (datetime.now(UTC) - said.astimezone(UTC)).total_seconds()
    return (
        f"{abs(seconds) / 60:.0f} min {'fast' if seconds > 0 else 'slow'}"
        if abs(seconds) >= 60
        else "wrong"
    )


def _settings(problem: Exception, boto: Any) -> str:
    """What is wrong with AWS's files and variables on this machine; empty if it is something else.
    What a credential process has said is not repeated: it may be a secret.
    """
    facts = getattr(problem, "kwargs", {})
    if isinstance(problem, boto.ProfileNotFound):
        return f"there is no profile {facts.get('profile')}"
    if isinstance(problem, boto.PartialCredentialsError):
        return (
            f"{facts.get('cred_var')} is missing in the credentials (found by:"
            f" {facts.get('provider')})"
        )
    if isinstance(problem, boto.CredentialRetrievalError):
        return (
            "no credentials come from"
            f" {str(facts.get('provider', '')).replace('custom-process', 'credential_process')}"
        )
    if isinstance(problem, boto.ConfigParseError):
        return f"{facts.get('path')} cannot be read"
    if isinstance(problem, ValueError) and str(problem).startswith("Invalid endpoint"):
        return "AWS_ENDPOINT_URL is not an address"
    known = (
        boto.ConfigNotFound,
        boto.InvalidConfigError,
        boto.SSOError,
        boto.UnknownCredentialError,
    )
    return _ADDRESS.sub(_BARE, str(problem).splitlines()[0]) if isinstance(problem, known) else ""


class _Gathering:
    """Reads of one kind that are made together."""

    def __init__(self, key: str, most: int) -> None:
        self._keys, self._most = {key}, most
        self._changed = Condition()
        self._open, self._done = True, False
        self._last = monotonic()
        self._found: Mapping[str, Any] = {}
        self._problem: Exception | None = None

    def add(self, key: str) -> bool:
        """Take part; False if it is too late or there are too many."""
        with self._changed:
            if not self._open or (len(self._keys) >= self._most and key not in self._keys):
                return False
            self._keys.add(key)
            self._last = monotonic()
            if len(self._keys) >= self._most:
                self._changed.notify_all()
            return True

    def wait_for_more(self, window_s: float, coming: Callable[[], bool]) -> None:
        """Give the others a moment: until none of them comes for a while and no more are `coming`,
        or no more find room.
        """
        began = monotonic()
        latest = began + WINDOWS * window_s
        with self._changed:
            while len(self._keys) < self._most:
                now = monotonic()
                if coming() and now < began + COMING_S:
                    # they begin to come when it is known of all: a window more for those that were
                    # not given time to run yet
                    self._last, latest = now + window_s, now + WINDOWS * window_s
                left = min(self._last + window_s, latest) - now
                if left <= 0:
                    break
                self._changed.wait(min(left, WINDOW_S))
            self._open = False

    def fetch(self, read: Callable[[Sequence[str]], Mapping[str, Any]]) -> None:
        """Make the one call. What it raises, everybody gets."""
        try:
            self._found = read(sorted(self._keys))
        except Exception as problem:
            self._problem = problem
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def result(self, key: str) -> Any:
        """Wait for the call, and take one's own part."""
        with self._changed:
            while not self._done:
                self._changed.wait()
        if self._problem is not None:
            raise self._problem
        return self._found.get(key)


def _whole(response_dict: Mapping[str, Any], operation_model: Any, **_: Any) -> None:
    """Raises botocore's IncompleteReadError for an answer that was cut off. botocore itself takes
    half a JSON object for an empty one: a service that was not described would look like one that
    is not there. HEAD tells the length of what it does not send.
    """
    body, length = response_dict["body"], response_dict["headers"].get("Content-Length")
    sent = operation_model.http.get("method") != "HEAD" and isinstance(body, bytes)
    if sent and length is not None and length.isdigit() and len(body) < int(length):
        from botocore.exceptions import IncompleteReadError

        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(length))


class _WrongAnswer(Exception):
    """An answer of another form than the model's: what is wrong with it."""


def _modelled(response_dict: Mapping[str, Any], operation_model: Any, **_: Any) -> None:
    """Raises _WrongAnswer for JSON that is not what the model says: botocore would make something
    else of it.
    """
    shape, body = operation_model.output_shape, response_dict["body"]
    model = operation_model.service_model
    protocol = getattr(model, "resolved_protocol", None) or model.protocol
    if (
        response_dict["status_code"] >= 300
        or shape is None
        or protocol not in ("json", "rest-json")
        or not isinstance(body, bytes)
    ):
        return
    if not body or getattr(shape, "serialization", {}).get("payload"):
        return
    try:
        found = json.loads(body)
    except ValueError:
        raise _WrongAnswer("it is not JSON") from None
    if wrong := answers.wrong(shape, found):
        raise _WrongAnswer(wrong)


def _checked(answer: Any, service: str, operation: str) -> dict[str, Any]:
    """An answer that says what it has to say. Raises Unexpected."""
    call = f"{service}:{_camel(operation)}"
    if not isinstance(answer, dict):
        raise errors.Unexpected(call=call, reason="it is not an object")
    if missing := answers.lacking(answer, call):
        raise errors.Unexpected(call=call, reason=f"{missing} is missing")
    if wrong := answers.impossible(answer):
        raise errors.Unexpected(call=call, reason=wrong)
    found: dict[str, Any] = answers.read(answer, call)
    return found


def _camel(operation: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in operation.split("_"))


def _why(problem: Exception) -> str:
    """The kind of network trouble, with the host's name only: paths and queries may hold
    signatures.
    """
    facts = getattr(problem, "kwargs", {})
    host = _host(str(facts.get("endpoint_url", "")))
    if type(problem).__name__ == "EndpointConnectionError":
        known = type(facts.get("error")).__name__ not in ("NameResolutionError", "gaierror")
        return f"nothing listens at {host}" if known else f"the name {host} is not known here"
    words = {
        "ConnectTimeoutError": f"no connection to {host} within {CONNECT_S} s",
        "ReadTimeoutError": f"{host} was silent for {READ_S} s",
        "ConnectionClosedError": f"{host} has closed the connection",
        "IncompleteReadError": "the answer was cut off",
        "SSLError": (
            f"no encrypted connection to {host} (its certificate, AWS_CA_BUNDLE, or a proxy)"
        ),
        "ProxyConnectionError": "the proxy does not let it through",
    }
    return words.get(type(problem).__name__, type(problem).__name__)


def _is_address(url: str) -> bool:
    """Whether an address can be called. botocore looks at some of it, and fails in its own way at
    the call.
    """
    try:
        split = urlsplit(url)
        return bool(split.hostname) and (split.port or 0) >= 0
    except ValueError:
        return False


def _host(url: str) -> str:
    """`127.0.0.1:4566` of an address."""
    try:
        split = urlsplit(url)
        return f"{split.hostname}:{split.port}" if split.port else split.hostname or "the endpoint"
    except ValueError:
        return "the endpoint"
