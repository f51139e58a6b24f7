"""PostgreSQL's LISTEN and NOTIFY: wake-ups between server processes, sent with the commit of what they tell of."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.engines import Where, connect_raw
from agent.server.store.failures import translate_failures
from agent.server.store.outage import Outage

log = logging.getLogger("agent.server.store")

_CHANNEL = "flow_agent"
_MOST_BYTES = 7000  # PostgreSQL takes up to 8000 in one notification
_PROBE_SECONDS = 10.0  # a connection that died without a word is found out so
_RETRY_SECONDS = 0.5
_LONGEST_SECONDS = 2.0  # longer, and wake-ups would be missed for no reason


async def notify(connection: AsyncConnection, sender: str, topics: Collection[str]) -> None:
    """Tell the other processes of `topics` when this transaction is committed."""
    for text in _pack(topics):
        await connection.execute(select(func.pg_notify(_CHANNEL, f"{sender}\n{text}")))


def _pack(topics: Collection[str]) -> Iterator[str]:
    text = ""
    for topic in sorted(topics):
        if text and len(text) + len(topic) > _MOST_BYTES:
            yield text
            text = ""
        text = f"{text}\n{topic}" if text else topic
    if text:
        yield text


async def hear_notifications(
    where: Where, on_heard: Callable[[str, list[str]], None], on_back: Callable[[], None]
) -> None:
    """Listen until cancelled: `on_heard(sender, topics)` for each notification.

    The connection comes back by itself; what was told meanwhile is lost, and `on_back` says so.
    """
    outage = Outage(log, "the wake-ups of other servers")

    def back() -> None:
        outage.went_well()
        on_back()

    while True:
        outage.seconds = _RETRY_SECONDS
        with outage, translate_failures(str(where), connecting=True):
            await _hear(str(where.place), on_heard, back)
        await asyncio.sleep(min(outage.seconds, _LONGEST_SECONDS))


async def _hear(url: str, on_heard: Callable[[str, list[str]], None], on_back: Callable[[], None]) -> None:
    def hear(_connection: object, _process: int, _channel: str, payload: str) -> None:
        sender, *topics = payload.split("\n")
        on_heard(sender, topics)

    lost = asyncio.Event()
    connection = await connect_raw(url)
    try:
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(_CHANNEL, hear)
        on_back()
        while not lost.is_set():
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    await lost.wait()
            except TimeoutError:
                await connection.execute("SELECT 1", timeout=_PROBE_SECONDS)
    finally:
        connection.terminate()
