"""Sends requests: over connections that are kept between them, and some at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from agent.job.stages.actions.http.answers import explain, judge, let_by, read_body, read_value
from agent.job.stages.actions.http.keys import Keys
from agent.job.stages.actions.http.requests import RequestForm
from agent.job.stages.clients import make_client
from agent.job.stages.stage import Done, StageContext, StageError, Value

if TYPE_CHECKING:
    import httpx

CONNECTIONS: Final = 16
_KEEP_SECONDS: Final = 30.0  # a connection that nobody uses: most receivers keep one for at least so long
_UNSAFE: Final = frozenset({"POST", "PATCH", "PUT", "DELETE"})


class Sender:
    """Clients, from `open` to `close`: one for each request that is on its way at the same time, each with its connection.

    (One client for all would look through all of its connections at each request, and cost three times as much.)
    """

    def __init__(self, context: StageContext, seconds: float) -> None:
        self._context = context
        self._seconds = seconds
        self._make: Callable[[], httpx.AsyncClient] | None = None
        self._clients: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []
        self._keys = Keys()

    async def open(self) -> None:
        """Be ready to send."""
        import httpx

        from agent import __version__

        self._make = partial(
            make_client,
            timeout=httpx.Timeout(self._seconds),
            limits=httpx.Limits(keepalive_expiry=_KEEP_SECONDS),
            headers={"User-Agent": f"agent/{__version__}"},
        )

    async def close(self) -> None:
        """Let go of the connections."""
        for client in self._clients:
            await client.aclose()

    async def send(
        self, form: RequestForm, record: Value, body: bytes | None, *, wants_answer: bool = False
    ) -> Value:
        """Send a request for a record; what was answered, where somebody wants it. Raises StageError."""
        client = self._take_client()
        try:
            return await self._send(client, form, record, body, wants_answer=wants_answer)
        finally:
            self._idle.append(client)

    def _take_client(self) -> "httpx.AsyncClient":
        if self._idle:
            return self._idle.pop()
        assert self._make is not None
        self._clients.append(self._make())
        return self._clients[-1]

    async def _send(
        self,
        client: "httpx.AsyncClient",
        form: RequestForm,
        record: Value,
        body: bytes | None,
        *,
        wants_answer: bool,
    ) -> Value:
        import httpx

        url = httpx.URL(form.url)
        made = client.build_request(
            form.method,
            url.copy_merge_params(list(form.params)) if form.params else url,
            headers=form.headers,
            content=body,
        )
        key = self._keys.key_of(record)
        if made.method in _UNSAFE:
            made.headers.setdefault("Idempotency-Key", f'"{key}"')
        try:
            answered = await self._ask(client, made, wants_answer=wants_answer)
        except StageError as error:
            if error.is_final:
                self._keys.forget(record)
            else:
                self._keys.keep(record, key)
            raise
        self._keys.forget(record)
        return answered

    async def _ask(
        self, client: "httpx.AsyncClient", request: "httpx.Request", *, wants_answer: bool
    ) -> Value:
        import httpx

        url = str(request.url)
        try:
            async with asyncio.timeout(self._seconds):  # of all of it: an answer may come byte by byte
                answer = await client.send(request, stream=True)
                try:
                    if failure := await judge(answer, self._context.now):
                        raise failure
                    if wants_answer:
                        return read_value(await read_body(answer))
                    await let_by(answer)
                finally:
                    await answer.aclose()
        except TimeoutError:
            raise explain(TimeoutError(f"no answer within {self._seconds:g} s"), url) from None
        except httpx.DecodingError as error:
            raise StageError(f"the answer can't be read: {error}", is_final=True) from None
        except (httpx.HTTPError, OSError) as error:
            raise explain(error, url) from None
        return None


async def send_all(
    records: Sequence[Value], send: Callable[[Value], Awaitable[Value]], at_once: int = CONNECTIONS
) -> Done:
    """What came of each record, in their order, however many are sent at the same time."""
    room = asyncio.Semaphore(at_once)

    async def send_one(record: Value) -> Value:
        async with room:
            return await send(record)

    ended = await asyncio.gather(*map(send_one, records), return_exceptions=True)
    done = Done(values := [], sources := [], failed := {})
    for place, value in enumerate(ended):
        if isinstance(value, StageError):
            failed[place] = value
        elif isinstance(value, BaseException):
            raise value
        else:
            values.append(value)
            sources.append(place)
    return done
