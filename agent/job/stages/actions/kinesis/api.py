"""Kinesis Data Streams' API (2013-12-02): JSON over HTTP, signed.

botocore signs and finds credentials; httpx, which the agent has anyway, carries. A whole client of botocore would cost
each idle flow 14 MB more and a thread for each shard.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from agent.errors import AgentError, UnreachableError
from agent.job.stages.actions.connecting.libraries import load_library
from agent.job.stages.actions.connecting.waiting import Trouble
from agent.job.stages.asking import read_bounded
from agent.job.stages.clients import make_client
from agent.job.stages.stage import StageContext

THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
        "ThrottlingException",
        "RequestLimitExceeded",
    }
)
_VERSION = "Kinesis_20131202"
_SECONDS = 30.0
_MOST_BYTES = 32 << 20  # of an answer: GetRecords gives 10 MiB of data at most, in base64


class KinesisError(AgentError):
    """Kinesis said no; `code` is its exception's name, empty where nobody answered."""

    def __init__(self, code: str, message: str, *, status: int = 0) -> None:
        super().__init__(f"Kinesis: {message or code}" if not code else f"Kinesis: {code}: {message}")
        self.code = code
        self.status = status

    @property
    def is_passing(self) -> bool:
        """Whether it may go another time."""
        return not self.code or self.code in THROTTLED or self.status >= 500


class KinesisApi:
    """One stream's region, endpoint and credentials."""

    def __init__(self, context: StageContext) -> None:
        self._auth = load_library("botocore.auth", context.name)
        self._request = load_library("botocore.awsrequest", context.name)
        config = context.config
        self._credentials = _find_credentials(context)
        self._region = _find_region(context)
        suffix = ".cn" if self._region.startswith("cn-") else ""
        default = f"https://kinesis.{self._region}.amazonaws.com{suffix}"
        self._url = str(config.get("endpoint") or default).rstrip("/") + "/"
        self._client: httpx.AsyncClient | None = None

    async def call(self, action: str, body: Mapping[str, object]) -> dict[str, Any]:
        """One answer. Raises KinesisError."""
        return (await self.call_timed(action, body))[0]

    async def call_timed(self, action: str, body: Mapping[str, object]) -> tuple[dict[str, Any], str]:
        """One answer, and its Date: the service's own clock. Raises KinesisError."""
        content = json.dumps(body, separators=(",", ":")).encode()
        try:
            headers = await self._sign(action, content)
            async with self._http().stream("POST", self._url, content=content, headers=headers) as answer:
                said = await read_bounded(answer, _MOST_BYTES)
        except (httpx.TransportError, UnreachableError) as error:
            raise KinesisError(
                "", f"no answer from {self._url}: {str(error) or type(error).__name__}"
            ) from error
        if answer.status_code != 200:
            raise _read_error(answer.status_code, said)
        return (json.loads(said) if said else {}), answer.headers.get("date", "")

    async def insist(self, action: str, body: Mapping[str, object], trouble: Trouble) -> dict[str, Any]:
        """One answer, asked for again while it is throttled, broken or away. Raises KinesisError for what stays."""
        while True:
            try:
                answer = await self.call(action, body)
            except KinesisError as error:
                if not error.is_passing:
                    raise
                await trouble.meet(error.what)
            else:
                trouble.end()
                return answer

    @asynccontextmanager
    async def stream(self, action: str, body: Mapping[str, object]) -> AsyncIterator[AsyncIterator[bytes]]:
        """An answer that goes on, in pieces. Raises KinesisError."""
        content = json.dumps(body).encode()
        try:
            headers = await self._sign(action, content)
            async with self._http().stream("POST", self._url, content=content, headers=headers) as answer:
                if answer.status_code != 200:
                    raise _read_error(answer.status_code, await read_bounded(answer, _MOST_BYTES))
                yield answer.aiter_raw()
        except (httpx.TransportError, UnreachableError) as error:
            raise KinesisError(
                "", f"no answer from {self._url}: {str(error) or type(error).__name__}"
            ) from error

    async def close(self) -> None:
        """Its connections end."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)  # a shard may hold one
            self._client = make_client(timeout=_SECONDS, limits=limits)
        return self._client

    async def _sign(self, action: str, content: bytes) -> dict[str, str]:
        headers = {"X-Amz-Target": f"{_VERSION}.{action}", "Content-Type": "application/x-amz-json-1.1"}
        request = self._request.AWSRequest("POST", self._url, headers=headers, data=content)
        # Credentials of a role are fetched anew when they are old: over the network, and blocking.
        frozen = await asyncio.to_thread(self._credentials)
        self._auth.SigV4Auth(frozen, "kinesis", self._region).add_auth(request)
        return dict(request.headers.items())


def _read_error(status: int, content: bytes) -> KinesisError:
    try:
        said = json.loads(content)
        code = str(said.get("__type") or said.get("code") or "").rpartition("#")[2]
        message = str(said.get("message") or said.get("Message") or "")
    except (ValueError, AttributeError):
        code, message = "", content[:200].decode("utf-8", "replace")
    return KinesisError(code or f"HTTP {status}", message, status=status)


def _find_credentials(context: StageContext) -> Callable[[], Any]:
    """What gives the credentials of now: the stage's own, else those that AWS's programs would find on this machine."""
    found = load_library("botocore.credentials", context.name)
    access, secret = context.config.get("access_key"), context.config.get("secret_key")
    if access and secret:
        own = found.ReadOnlyCredentials(str(access), str(secret), None)
        return lambda: own
    if access or secret:
        raise AgentError(
            f"the stage '{context.name}' has one of access_key and secret_key",
            hint="give both, or none of them",
        )
    session = load_library("botocore.session", context.name).Session()

    def current() -> Any:
        credentials = session.get_credentials()
        if credentials is None:
            raise AgentError(
                f"the stage '{context.name}' has no AWS credentials",
                hint="give access_key and secret_key in its config, or the machine a role, a profile or AWS_ACCESS_KEY_ID",
            )
        return credentials.get_frozen_credentials()

    return current


def _find_region(context: StageContext) -> str:
    given = (
        context.config.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    )
    if not given and not context.config.get("access_key"):
        given = load_library("botocore.session", context.name).Session().get_config_variable("region")
    if not given and context.config.get("endpoint"):
        return "us-east-1"
    if not given:
        raise AgentError(f"the stage '{context.name}' has no region", hint="say `region` in its config")
    return str(given)
