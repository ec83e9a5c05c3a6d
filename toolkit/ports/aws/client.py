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
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from threading import Condition, Lock, current_thread
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from toolkit import __version__, errors
from toolkit.advice import Advice, ShellCommand
from toolkit.operations import Location
from toolkit.ports import debug, process
from toolkit.ports.aws import answers, endpoint, in_flight, sources
from toolkit.ports.background import DaemonThread, carry_out, carry_out_counted

if TYPE_CHECKING:  # loaded with the first call: it takes longer than many a git call
    from concurrent.futures import Future

Result = TypeVar("Result")

CONNECT_S, READ_S = 5, 20
"""How long a connection may take to be made, and how long it may be silent."""
CALL_S = 60.0
"""How long a call may take with all its attempts: an answer that comes byte by byte is never
silent.
"""
LEAST_RATE = 50_000
"""Bytes a second that an upload or a download may take besides."""
_SANDBOX: Advice = (
    "if that is the sandbox, start it again:",
    ShellCommand('eval "$(toolkit sandbox up)"'),
    "; else check AWS_ENDPOINT_URL and AWS_CONFIG_FILE",
)
"""What to do where these variables lead to nothing on this machine: they may be a sandbox's."""
ATTEMPTS = 5
POOL = 64
WINDOW_S, WINDOWS = 0.02, 8
"""Equal reads wait for each other, so that they become one call: each new one extends the wait by
this time, up to that many times.
"""
COMING_S = 1.0
"""The longest wait while more reads are known to be coming."""

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
"""An address without its query, which may hold signatures."""
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
        # A lock of its own: the other one is held while a program gives credentials.
        self._coming, self._counting = 0, Lock()

    def read(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """An answer of AWS. Raises CloudError."""
        client = self._client(service, once=False)
        with _calling(service, operation), self._translating(service, operation):
            answer = _within(_limit_s(params), partial(getattr(client, operation), **params))
            return _checked(answer, service, operation)

    def write(
        self, service: str, operation: str, /, tokened: bool = False, **params: Any
    ) -> dict[str, Any]:
        """Change something. `tokened` says that the parameters make a repetition harmless. Raises
        CloudError.
        """
        client = self._client(service, once=not tokened)
        with _calling(service, operation), self._translating(service, operation):
            answer = _within(_limit_s(params), partial(getattr(client, operation), **params))
            return _checked(answer, service, operation)

    def streamed(
        self, service: str, operation: str, most: int, /, **params: Any
    ) -> tuple[dict[str, Any], bytes]:
        """An answer, and the first `most` bytes of its body. Raises CloudError."""
        answer = self.read(service, operation, **params)
        with closing(answer["Body"]) as body, self._translating(service, operation):
            return answer, _within(CALL_S + most / LEAST_RATE, partial(body.read, most))

    def pages(
        self, service: str, operation: str, key: str, /, **params: Any
    ) -> Iterator[dict[str, Any]]:
        """The items under `key` of all pages, fetched as they are asked for. Raises CloudError."""
        client = self._client(service, once=False)
        with self._translating(service, operation):
            pages = iter(client.get_paginator(operation).paginate(**params))
            while (page := self._next_page(service, operation, pages)) is not None:
                page = _checked(page, service, operation)
                if key not in page and service != "s3":  # S3 leaves out what is empty
                    raise errors.Unexpected(
                        call=f"{service}:{_camel(operation)}", reason=f"{key} is missing"
                    )
                yield from page.get(key) or ()

    def _next_page(self, service: str, operation: str, pages: Iterator[Any]) -> Any:
        with _calling(service, operation):
            return _within(CALL_S, partial(next, pages, None))

    def gathered(
        self,
        group: Hashable,
        key: str,
        most: int,
        read: Callable[[Sequence[str]], Mapping[str, Any]],
        windows: int = 1,
    ) -> Any:
        """The result of `read` for one key, None if it leaves it out. Calls of the same group at
        the same moment become one, for at most `most` keys.

        `windows` extends that moment, for calls that follow on other answers.
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
        """The same for several keys at once."""
        joined: list[tuple[str, _Gathering]] = []
        opened: list[_Gathering] = []
        with self._lock:
            for key in keys:
                gathering = self._gathered.get(group)
                if gathering is None or not gathering.add(key):
                    gathering = self._gathered[group] = _Gathering(key, most)
                    opened.append(gathering)
                joined.append((key, gathering))
        # Whoever opened a gathering makes its call; the others wait for the result.
        for gathering in opened:
            gathering.wait_for_more(windows * WINDOW_S, lambda: self._coming > 0)
            with self._lock:
                if self._gathered.get(group) is gathering:
                    del self._gathered[group]
            with in_flight.waiting(gathering.calls):
                gathering.fetch(read)
        results: dict[str, Any] = {}
        for key, gathering in joined:
            with in_flight.waiting(gathering.calls):
                results[key] = gathering.result(key)
        return results

    @contextmanager
    def more_coming(self) -> Iterator[None]:
        """While it lasts, gathered reads wait for those that are still to come: a slow machine
        starts them late.
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
        model = self._client(service, once=False).meta.service_model
        return frozenset(model.operation_model(operation).input_shape.members)

    def sender(self, bucket: str) -> "ObjectSender | None":
        """What sends thousands of requests about objects of a bucket; None where a bucket needs
        more than that, or calls are watched. Raises CloudError.
        """
        client = self._client("s3", once=False)
        http = getattr(getattr(client, "_endpoint", None), "http_session", None)
        credentials = self._locked_session().get_credentials()
        if http is None or credentials is None or debug.sink is not None:
            return None
        if bucket.endswith("--x-s3"):
            return None  # a directory bucket has credentials of its own
        params = {"Bucket": bucket, "Key": "k"}
        address = client.generate_presigned_url("put_object", Params=params).partition("?")[0]
        return ObjectSender(http, credentials, address[:-1], str(client.meta.region_name))

    def endpoint(self, service: str) -> str:
        """The address that calls go to."""
        return str(self._client(service, once=False).meta.endpoint_url)

    @property
    def region_name(self) -> str:
        """The region that calls go to. Raises NoRegion, CloudError."""
        name = self.region or self._locked_session().region_name
        if not name:
            raise errors.NoRegion
        return str(name)

    def account(self) -> str:
        """The twelve digits that the credentials belong to. Raises CloudError."""
        return self.caller()[0]

    def caller(self) -> tuple[str, str]:
        """The account of the credentials, and whose they are: `ada`, `Admin/ada@example.com` of a
        role. Raises CloudError.
        """
        identity = self.read("sts", "get_caller_identity")
        resource = str(identity.get("Arn") or "").split(":", 5)[-1]
        kind, _, name = resource.partition("/")
        return str(identity["Account"]), name or kind

    def sign_in(self) -> None:
        """Get credentials now, in this thread, so that a question for a code can be answered; does
        nothing if there is nobody to ask.

        Raises CloudError.
        """
        if self._person.is_there:
            with self._person.allow_questions():
                self._get_credentials()

    def expiry(self) -> float | None:
        """The seconds until the credentials expire, None if they do not, or that is not known.
        Raises CloudError.
        """
        self._sign_in()
        expires = getattr(self._locked_session().get_credentials(), "_expiry_time", None)
        if expires is None:
            return None
        from datetime import UTC, datetime

        return float((expires - datetime.now(UTC)).total_seconds())

    def _sign_in(self) -> None:
        """Get credentials, if there are any. Threads that need them at the same moment share one
        attempt; after a failure the next one tries again. Raises CloudError.
        """
        from concurrent.futures import Future, wait

        # The lock is not held during the attempt: a program that gives credentials may hang.
        with self._lock:
            attempt, is_first = self._signing_in, self._signing_in is None
            if attempt is None:
                attempt = self._signing_in = Future()
        if is_first and isinstance(current_thread(), DaemonThread):
            carry_out(attempt, self._get_credentials)
        elif is_first:
            DaemonThread(lambda: carry_out(attempt, self._get_credentials)).start()
        with in_flight.waiting("the source of the credentials"):
            is_over = wait([attempt], sources.SIGN_IN_S + CALL_S).done
        if not is_over:
            raise errors.Unreachable(call="credentials", reason="their source does not answer")
        # A failed attempt is forgotten, so that the next call tries again.
        if attempt.exception() is not None:
            with self._lock:
                if self._signing_in is attempt:
                    self._signing_in = None
        attempt.result()

    def _get_credentials(self) -> None:
        session = self._locked_session()
        try:
            credentials = session.get_credentials()
            if credentials is not None:
                credentials.get_frozen_credentials()  # a role is assumed now
        except Exception as problem:
            with self._lock:
                # The sources of a session remember half of what they did, so the next attempt
                # begins with new ones.
                if self._session is session:
                    self._session = None
            raise self._setup_problem(problem) from None

    def _locked_session(self) -> Any:
        with self._lock:
            return self._get_session()

    def _get_session(self) -> Any:
        """The session, made at the first call. The caller holds the lock."""
        if self._session is None:
            try:
                # boto3 reads AWS_DEFAULT_REGION only; the other SDKs and the AWS CLI AWS_REGION,
                # too.
                self._session = _session(
                    self.profile, self.region or os.environ.get("AWS_REGION"), self._person
                )
            except Exception as problem:
                raise self._setup_problem(problem) from None
        return self._session

    def _client(self, service: str, once: bool) -> Any:
        cached = self._clients.get((service, once))
        if cached is not None:
            return cached
        # Before the lock is taken: a source of credentials may hang.
        region = self.region_name
        self._sign_in()
        with self._lock:
            session = self._get_session()
            if (service, once) in self._clients:
                return self._clients[service, once]
            # Loading botocore takes longer than `diff` does, which needs no AWS.
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
                client = session.client(service, config=config, region_name=region)
            except Exception as problem:
                raise self._setup_problem(problem) from None
            if not _is_address(client.meta.endpoint_url):
                raise errors.BadConfig("AWS_ENDPOINT_URL is not an address")
            client.meta.events.register("before-parse", _refuse_cut_off)
            client.meta.events.register("before-parse", _refuse_unmodelled)
            self._clients[service, once] = client
            return client

    @contextmanager
    def _translating(self, service: str, operation: str) -> Iterator[None]:
        """Raises an error of ours for what a call raises."""
        try:
            yield
        except Exception as problem:
            raise self._translated(problem, service, operation) from None

    def _profile_facts(self) -> dict[str, str]:
        """The facts of an error about the profile and the option for it."""
        if not self.profile:
            return {"profile": "", "option": ""}
        return {
            "profile": f" of profile {self.profile}",
            "option": f" --profile {shlex.quote(self.profile)}",
        }

    def _setup_problem(self, problem: Exception) -> Exception:
        """The error for a failure before any call: AWS's files and variables on this machine, or a
        source of credentials.
        """
        explained = self._explain(problem, "credentials")
        if explained is not None:
            return explained
        if isinstance(problem, OSError) and isinstance(problem.filename, str):
            return errors.BadConfig(f"{problem.filename}: {problem.strerror}")
        lines = str(problem).splitlines() or [type(problem).__name__]
        return errors.BadConfig(_ADDRESS.sub(_BARE, lines[0]))

    def _translated(self, problem: Exception, service: str, operation: str) -> Exception:
        """The error of ours for what a call raised. botocore may raise anything for an answer of
        another form than its model's: that is not a bug of ours.
        """
        call = f"{service}:{_camel(operation)}"
        explained = self._explain(problem, call)
        if explained is not None:
            return explained
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

        if isinstance(problem, BotoCoreError):
            return errors.CloudError(
                call=call, reason=_ADDRESS.sub(_BARE, str(problem).splitlines()[0])
            )
        return errors.Unexpected(call=call, reason=f"it cannot be read ({type(problem).__name__})")

    def _explain(self, problem: Exception, call: str) -> Exception | None:
        """The error of ours for an exception, None for one that explains nothing by itself."""
        from botocore import exceptions as boto  # type: ignore[import-untyped]
        from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

        profile = self._profile_facts()
        if isinstance(problem, errors.ToolkitError):
            return problem
        if isinstance(problem, sources.SourceFailed):
            return sources.explain(problem, boto, profile, self._explain)
        if isinstance(problem, boto.ClientError):
            return self._refusal(problem.response, call, profile)
        if isinstance(problem, (boto.NoCredentialsError, boto.SSOTokenLoadError)):
            return errors.NoCredentials(**profile)
        if isinstance(problem, (boto.TokenRetrievalError, boto.UnauthorizedSSOTokenError)):
            return errors.Expired(**profile)
        if isinstance(problem, ResponseParserError):
            return errors.Unexpected(call=call, reason="it cannot be read")
        if isinstance(problem, _WrongAnswer):
            return errors.Unexpected(call=call, reason=str(problem))
        return _network_problem(problem, call, boto) or _settings_problem(problem, boto)

    def _refusal(
        self, response: Mapping[str, Any], call: str, profile: Mapping[str, str]
    ) -> errors.CloudError:
        error = response.get("Error", {})
        code, message = str(error.get("Code", "")), " ".join(str(error.get("Message", "")).split())
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        problem: errors.CloudError
        if code in _EXPIRED:
            problem = errors.Expired(**profile)
        elif code in _THROTTLING or status == 429:
            problem = errors.Throttled(call=call)
        elif code in _DENIED:
            problem = _denied(message, call)
        elif code == "RequestTimeTooSkewed" or _CLOCK.search(message):
            problem = errors.WrongClock(off=_clock_difference(response), call=call)
        elif code in _UNKNOWN:
            problem = errors.CredentialsProblem(
                call=call, reason=f"{_UNKNOWN[code] or _ADDRESS.sub(_BARE, message)} ({code})"
            )
        elif status >= 500:
            reason = f"{status} {code}" if code != str(status) else code
            problem = errors.Unwell(call=call, reason=reason)
        else:
            message = _ADDRESS.sub(_BARE, message)
            if code not in message:
                message = f"{code}: {message}"
            problem = errors.CloudError(call=call, reason=message)
        problem.aws_code = code
        return problem


class ObjectSender:
    """Sends requests about objects, each once, signed by botocore and over its connections, and
    without all else that it does for a call, which takes twice the processor time. Whatever is no
    plain success is for the ordinary call to find out.
    """

    def __init__(self, http: Any, credentials: Any, address: str, region: str) -> None:
        self._http, self._credentials = http, credentials
        self._address, self._region = address, region

    def put(self, key: str, headers: Mapping[str, str], body: bytes) -> tuple[str, bytes] | None:
        """Send a PUT: the etag in the answer's headers, empty if it has none, and the answer's
        body. None for anything but a success.
        """
        return self._send("PUT", quote(key, safe="/~"), headers, body)

    def listing(self, query: Mapping[str, str], headers: Mapping[str, str]) -> bytes | None:
        """Send a GET for a page of the bucket's list: the answer's body. None for anything but a
        success.
        """
        words = [f"{name}={quote(value, safe='~')}" for name, value in sorted(query.items())]
        answer = self._send("GET", f"?{'&'.join(words)}", headers, b"")
        return None if answer is None else answer[1]

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[str, bytes] | None:
        from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError

        request = AWSRequest(method, self._address + path, headers=headers, data=body)
        try:
            # New ones each time: those of a role are replaced before they expire.
            credentials = self._credentials.get_frozen_credentials()
            S3SigV4Auth(credentials, "s3", self._region).add_auth(request)
            answer = self._http.send(request.prepare())
            if answer.status_code != 200:
                return None
            return str(answer.headers.get("ETag", "")), bytes(answer.content)
        except BotoCoreError:
            return None


class MfaPrompt:
    """Asks for the code of an MFA device. `ask` shows a question and returns the answer; None if
    there is nobody to ask.

    Questions are asked only within `allow_questions`: never under a progress line, and never
    against a deadline of ours.
    """

    def __init__(self, ask: sources.Ask | None = None, allowed: bool = False) -> None:
        self._ask = ask
        self._allowed = allowed
        self.roles: dict[str, Any] = {}
        """The roles that were assumed, so that another region needs no second code."""

    @property
    def is_there(self) -> bool:
        """Whether there is somebody to ask."""
        return self._ask is not None

    @property
    def seconds(self) -> float:
        """How long a program may take to give credentials."""
        return sources.PERSON_S if self.answers else sources.SIGN_IN_S

    @property
    def answers(self) -> bool:
        """Whether a question can be asked now."""
        return self._allowed and self._ask is not None

    @contextmanager
    def allow_questions(self) -> Iterator[None]:
        """While it lasts, questions may be asked."""
        self._allowed = True
        try:
            yield
        finally:
            self._allowed = False

    def code(self, profile: str | None, question: str) -> str:
        """The code. Raises NeedsCode if nobody can be asked, EOFError, KeyboardInterrupt."""
        if self._ask is None or not self._allowed:
            whose = f"profile {profile}" if profile else "the role to assume"
            option = ("--profile", profile) if profile else ()
            why = "this is not a terminal" if self._ask is None else "it was not given before"
            raise errors.NeedsCode(
                whose=whose,
                why=why,
                next=(
                    "sign in first, in a terminal:",
                    ShellCommand("aws sts get-caller-identity", option),
                ),
            )
        return self._ask(question)


class _Roles:
    """Roles that were assumed, in memory and in the cache of the AWS CLI: one code signs in for
    both, until they expire.
    """

    def __init__(self, memory: dict[str, Any], shared: Any) -> None:
        self._memory, self._shared = memory, shared

    def __contains__(self, key: str) -> bool:
        return key in self._memory or key in self._shared

    def __getitem__(self, key: str) -> Any:
        return self._memory[key] if key in self._memory else self._shared[key]

    def __setitem__(self, key: str, role: Any) -> None:
        self._memory[key] = role
        with suppress(OSError, ValueError):  # a full disk only costs another code
            self._shared[key] = role


def _session(profile: str | None, region: str | None, person: MfaPrompt | None = None) -> Any:
    """boto3's session of a profile. Raises what botocore raises."""
    import boto3  # type: ignore[import-untyped]
    import botocore.session  # type: ignore[import-untyped]
    from botocore.loaders import Loader  # type: ignore[import-untyped]

    class Models(Loader):  # type: ignore[misc]
        """Finds the models of services."""

        def list_available_services(self, type_name: str) -> list[str]:
            """The services that have a folder. botocore itself looks into each of 400 for a file of
            the type, which is slow; a missing file shows when the service is loaded.
            """
            names: set[str] = set()
            for path in self.search_paths:
                if os.path.isdir(path):
                    names.update(os.listdir(path))
            return sorted(names)

    core = botocore.session.Session()
    data_path = core.get_config_variable("data_path")
    extra = data_path.split(os.pathsep) if data_path else []
    core.register_component("data_loader", Models(extra_search_paths=extra))
    session = boto3.Session(botocore_session=core, profile_name=profile, region_name=region)
    _watch_sources(core, profile, person or MfaPrompt())
    if debug.sink is not None:
        from toolkit.ports.aws import calls

        calls.watch(core, profile)
    return session


def _watch_sources(core: Any, profile: str | None, person: MfaPrompt) -> None:
    """Guard the sources of credentials, and have them ask the person, not the terminal, for
    codes.
    """
    from botocore.utils import JSONFileCache  # type: ignore[import-untyped]

    resolver = core.get_component("credential_provider")

    def popen(argv: Sequence[str], **streams: int) -> process.BoundedProgram:
        return process.BoundedProgram(argv, person.seconds, person.answers)

    sources.guard(resolver, popen)
    for provider in resolver.providers:
        if getattr(provider, "METHOD", "") == "assume-role":
            shared: Any = {}
            # An emulator's roles are of no use for AWS, so they stay out of the CLI's cache.
            if "mfa_serial" in endpoint.settings_text() and endpoint.endpoint(profile) is None:
                shared = JSONFileCache(os.path.expanduser("~/.aws/cli/cache"))
            provider.cache = _Roles(person.roles, shared)
            name = profile or os.environ.get("AWS_DEFAULT_PROFILE") or os.environ.get("AWS_PROFILE")
            provider._prompter = partial(person.code, name)
            break


def _user_agent(session: Any) -> str:
    """Our name in AWS's logs. botocore would build it again for each call, which takes a tenth of
    the call's time.
    """
    return f"toolkit/{__version__} {session._session.user_agent()}"


def check_account(aws: Aws, location: Location) -> None:
    """Raises WrongAccount if the credentials are for another account than the location's,
    CloudError.
    """
    if location.account:
        same_account(aws.account(), location)


def same_account(account: str, location: Location) -> None:
    """The same for an account that is known already. Raises WrongAccount."""
    if location.account and account != location.account:
        raise errors.WrongAccount(
            found=account, environment=location.environment or "", wanted=location.account
        )


class _TooSlow(Exception):
    """A call has not ended within its deadline."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def _calling(service: str, operation: str) -> AbstractContextManager[None]:
    """While it lasts, whoever watches this thread knows that the call is waited for."""
    return in_flight.waiting(f"{service}:{_camel(operation)}")


def _within(seconds: float, do: Callable[[], Result]) -> Result:
    """The result of `do`, with a deadline. Raises _TooSlow."""
    # An abandoned thread needs no deadline here, and another thread for each of a hundred calls
    # would cost a tenth of their time.
    if isinstance(current_thread(), DaemonThread):
        return do()
    from concurrent.futures import Future, wait

    future: Future[Result] = Future()
    DaemonThread(partial(carry_out_counted, future, do), counts_itself=True).start()
    if not wait([future], max(seconds, 0)).done:
        debug.tell("aws", "given up", after_s=f"{seconds:g}")
        raise _TooSlow(seconds)
    return future.result()


def _limit_s(params: Mapping[str, Any]) -> float:
    """How long a call with these parameters may take, with all its attempts."""
    return CALL_S + _size(params) / LEAST_RATE


def _size(params: Mapping[str, Any]) -> int:
    """The bytes of a call's body."""
    body = params.get("Body") or params.get("ZipFile")
    if params.get("ContentLength"):
        return int(params["ContentLength"])
    return len(body) if isinstance(body, bytes) else 0


def _denied(message: str, call: str) -> errors.NotAllowed:
    """The action and resource that AWS's message names. An explicit deny is mentioned, since adding
    permissions does not help then.
    """
    match, deny = _WHO_WHAT.search(message), _OF_A_POLICY.search(message)
    action, resource = call, "*"
    if match:
        action, resource = match["action"], match["resource"] or "*"
    reason = f": a {deny['policy']} denies it" if deny else ""
    return errors.NotAllowed(action, resource.strip("\"'"), reason)


def _clock_difference(response: Mapping[str, Any]) -> str:
    """By how much our clock differs from AWS's."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        theirs = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, ValueError):
        return "wrong"
    seconds = (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()
    if abs(seconds) < 60:
        return "wrong"
    return f"{abs(seconds) / 60:.0f} min {'fast' if seconds > 0 else 'slow'}"


def _network_problem(problem: Exception, call: str, boto: Any) -> Exception | None:
    if isinstance(problem, _TooSlow):
        return errors.Unreachable(call=call, reason=f"it took longer than {problem.seconds:g} s")
    if isinstance(problem, boto.HTTPClientError) and "Invalid header value" in str(problem):
        return errors.BadConfig(
            "the keys have a line end or a character that no key has: they were not copied exactly"
        )
    network_errors = (
        boto.HTTPClientError,
        boto.EndpointConnectionError,
        boto.ConnectionError,
        boto.IncompleteReadError,
    )
    if isinstance(problem, network_errors):
        return errors.Unreachable(
            _SANDBOX if _is_absent_here(problem) else "",
            call=call,
            reason=_network_reason(problem),
        )
    return None


def _is_absent_here(problem: Exception) -> bool:
    """Whether nothing listens at an address of this machine."""
    from toolkit.ports.registry import is_loopback  # only where something is wrong

    if type(problem).__name__ != "EndpointConnectionError":
        return False
    host = _host(str(getattr(problem, "kwargs", {}).get("endpoint_url", "")))
    return is_loopback(host.rpartition(":")[0] or host)


def _settings_problem(problem: Exception, boto: Any) -> Exception | None:
    """The error for AWS's files and variables on this machine."""
    if isinstance(problem, (boto.NoRegionError, boto.InvalidRegionError)):
        name = getattr(problem, "kwargs", {}).get("region_name", "")
        return errors.NoRegion(str(name))
    reason = _settings_reason(problem, boto)
    if not reason:
        return None
    if not isinstance(problem, boto.ProfileNotFound):
        return errors.BadConfig(reason)
    named = os.environ.get("AWS_CONFIG_FILE")
    if named is None or os.path.exists(named):
        return errors.BadConfig(reason, "list-profiles")
    lacking = errors.BadConfig(f"{reason}: AWS_CONFIG_FILE names a file that does not exist")
    lacking.next = _SANDBOX
    return lacking


def _settings_reason(problem: Exception, boto: Any) -> str:
    """What is wrong with AWS's files and variables; empty if it is something else. The output of a
    credential process is not repeated: it may be a secret.
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
        provider = str(facts.get("provider", "")).replace("custom-process", "credential_process")
        return f"no credentials come from {provider}"
    if isinstance(problem, boto.ConfigParseError):
        return f"{facts.get('path')} cannot be read"
    if isinstance(problem, ValueError) and str(problem).startswith("Invalid endpoint"):
        return "AWS_ENDPOINT_URL is not an address"
    self_explaining = (
        boto.ConfigNotFound,
        boto.InvalidConfigError,
        boto.SSOError,
        boto.UnknownCredentialError,
    )
    if isinstance(problem, self_explaining):
        return _ADDRESS.sub(_BARE, str(problem).splitlines()[0])
    return ""


class _Gathering:
    """Reads of one group that become one call."""

    def __init__(self, key: str, most: int) -> None:
        self._keys, self._most = {key}, most
        self._changed = Condition()
        self._open, self._done = True, False
        self._last = monotonic()
        self._found: Mapping[str, Any] = {}
        self._problem: Exception | None = None
        self.calls = in_flight.CallWatch()
        """What it waits for, for all who wait for it."""

    def add(self, key: str) -> bool:
        """Add a key; False if it is too late or there are too many."""
        with self._changed:
            if not self._open or (len(self._keys) >= self._most and key not in self._keys):
                return False
            self._keys.add(key)
            self._last = monotonic()
            if len(self._keys) >= self._most:
                self._changed.notify_all()
            return True

    def wait_for_more(self, window_s: float, coming: Callable[[], bool]) -> None:
        """Wait until no other key comes for a while and no more are `coming`, or it is full."""
        began = monotonic()
        latest = began + WINDOWS * window_s
        with self._changed:
            while len(self._keys) < self._most:
                now = monotonic()
                if coming() and now < began + COMING_S:
                    # One more window for the threads that have not had time to run yet.
                    self._last, latest = now + window_s, now + WINDOWS * window_s
                remaining = min(self._last + window_s, latest) - now
                if remaining <= 0:
                    break
                self._changed.wait(min(remaining, WINDOW_S))
            self._open = False

    def fetch(self, read: Callable[[Sequence[str]], Mapping[str, Any]]) -> None:
        """Make the call. What it raises is raised for every key."""
        try:
            with self.calls.active():
                self._found = read(sorted(self._keys))
        except Exception as problem:
            self._problem = problem
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def result(self, key: str) -> Any:
        """Wait for the call; its result for one key."""
        with self._changed:
            while not self._done:
                self._changed.wait()
        if self._problem is not None:
            raise self._problem
        return self._found.get(key)


def _refuse_cut_off(response_dict: Mapping[str, Any], operation_model: Any, **_: Any) -> None:
    """Raises botocore's IncompleteReadError for an answer that was cut off. botocore itself takes
    half a JSON object for an empty one, so an existing service would look like a missing one.
    """
    body, length = response_dict["body"], response_dict["headers"].get("Content-Length")
    # A HEAD has the length of a body that is not sent.
    has_body = operation_model.http.get("method") != "HEAD" and isinstance(body, bytes)
    if has_body and length is not None and length.isdigit() and len(body) < int(length):
        from botocore.exceptions import IncompleteReadError

        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(length))


class _WrongAnswer(Exception):
    """An answer that does not fit its model; the text says why."""


def _refuse_unmodelled(response_dict: Mapping[str, Any], operation_model: Any, **_: Any) -> None:
    """Raises _WrongAnswer for JSON that does not fit the model: botocore would convert it into
    something else.
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
        document = json.loads(body)
    except ValueError:
        raise _WrongAnswer("it is not JSON") from None
    if mismatch := answers.mismatch(shape, document):
        raise _WrongAnswer(mismatch)


def _checked(answer: Any, service: str, operation: str) -> dict[str, Any]:
    """An answer that has all that it must have. Raises Unexpected."""
    call = f"{service}:{_camel(operation)}"
    if not isinstance(answer, dict):
        raise errors.Unexpected(call=call, reason="it is not an object")
    if missing := answers.missing_member(answer, call):
        raise errors.Unexpected(call=call, reason=f"{missing} is missing")
    if problem := answers.negative_count(answer):
        raise errors.Unexpected(call=call, reason=problem)
    response: dict[str, Any] = answers.read(answer, call)
    return response


def _camel(operation: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in operation.split("_"))


def _network_reason(problem: Exception) -> str:
    """The kind of network problem, with the host's name only: paths and queries may hold
    signatures.
    """
    facts = getattr(problem, "kwargs", {})
    host = _host(str(facts.get("endpoint_url", "")))
    if type(problem).__name__ == "EndpointConnectionError":
        if type(facts.get("error")).__name__ in ("NameResolutionError", "gaierror"):
            return f"the name {host} is not known here"
        return f"nothing listens at {host}"
    reasons = {
        "ConnectTimeoutError": f"no connection to {host} within {CONNECT_S} s",
        "ReadTimeoutError": f"{host} was silent for {READ_S} s",
        "ConnectionClosedError": f"{host} has closed the connection",
        "IncompleteReadError": "the answer was cut off",
        "SSLError": (
            f"no encrypted connection to {host} (its certificate, AWS_CA_BUNDLE, or a proxy)"
        ),
        "ProxyConnectionError": "the proxy does not let it through",
    }
    return reasons.get(type(problem).__name__, type(problem).__name__)


def _is_address(url: str) -> bool:
    """Whether an address can be called. botocore checks only some of it, and fails at the call."""
    try:
        split = urlsplit(url)
        return bool(split.hostname) and (split.port or 0) >= 0
    except ValueError:
        return False


def _host(url: str) -> str:
    """`127.0.0.1:4566` of an address."""
    try:
        split = urlsplit(url)
        if split.port:
            return f"{split.hostname}:{split.port}"
        return split.hostname or "the endpoint"
    except ValueError:
        return "the endpoint"
