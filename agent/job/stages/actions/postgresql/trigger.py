"""The trigger `postgresql`: one copy reads a slot; the server is told only of what settled.

waiting for the bookmark -> setting up -> streaming --line broke--> setting up
                                          streaming --slot gone--> AgentError
"""

import asyncio
from contextlib import suppress

from agent.errors import AgentError
from agent.job.stages.actions.connecting.addresses import read_address
from agent.job.stages.actions.connecting.bodies import MOST_BYTES
from agent.job.stages.actions.connecting.handing import hand_on
from agent.job.stages.actions.connecting.holding import HeldBookmark, Holder, Pace
from agent.job.stages.actions.connecting.waiting import Trouble, honour_cancel
from agent.job.stages.actions.postgresql.changes import RowChanges
from agent.job.stages.actions.postgresql.database import SourceDatabase
from agent.job.stages.actions.postgresql.messages import Relation, format_lsn, read_message
from agent.job.stages.actions.postgresql.replication import KeepAlive, Replication, ServerError
from agent.job.stages.actions.postgresql.setting_up import (
    CaptureSettings,
    check_server,
    find_begin,
    make_mark,
    prepare_publication,
    prepare_slot,
)
from agent.job.stages.stage import Intake, StageContext, StreamPosition

_WATCH_SECONDS = 30.0
_REPLY_SECONDS = 10.0
_PASSING = ("08", "57", "53", "58")  # classes of SQLSTATE: the line, shutting down, resources, system
_IN_USE = "55006"


def make(context: StageContext) -> "PostgresqlTrigger":
    """The trigger."""
    return PostgresqlTrigger(context)


class PostgresqlTrigger:
    """See TriggerStage."""

    def __init__(self, context: StageContext, pace: Pace | None = None) -> None:
        self._context = context
        self._pace = pace or Pace()
        self._url = read_address(context, "url", {"postgresql", "postgres"})
        self._wanted = CaptureSettings.of(context.config)
        self._database = SourceDatabase(context.name, self._url)
        self._most_bytes = int(str(context.config.get("most_bytes", MOST_BYTES)))
        self._trouble = Trouble(context.say)
        self._holder = Holder(context.bookmarks, self._pace)
        self._held: HeldBookmark | None = None
        self._mark: dict[str, object] = {}
        self._stream: Replication | None = None
        self._replying: asyncio.Task[None] | None = None
        self._handed = 0  # the end of the last commit that was handed on
        self._after = 0  # nothing for us lies between that and here
        self._settled = 0
        self._told_lag = 0
        self._running: asyncio.Task[None] | None = None

    async def run(self, intake: Intake) -> None:
        """See TriggerStage."""
        await self._hold()
        self._running = asyncio.ensure_future(self._bring(intake))
        try:
            await self._running
        except asyncio.CancelledError:
            honour_cancel()
            await self._disconnect()  # for the other copy
            raise AgentError("another copy of this flow reads the slot by now, or may") from None

    async def settle(self, position: StreamPosition) -> None:
        """See TriggerStage. The bookmark follows within a second, and the slot with it."""
        at = int(str(position.at))
        self._advance(max(at, self._after) if at >= self._handed else at)

    async def close(self) -> None:
        """See TriggerStage."""
        if self._stream is not None:
            with suppress(ServerError):
                await self._stream.acknowledge(self._settled)
        await self._disconnect()
        await self._holder.close()

    async def _hold(self) -> None:
        while self._held is None:
            self._held = await self._holder.take(f"postgresql/{self._context.name}", self._lose)
            if self._held is None:
                await self._trouble.meet("another copy of this flow reads the slot", quiet=0)
        self._trouble.end()

    def _lose(self) -> None:
        self._held = None
        if self._running is not None:
            self._running.cancel()

    async def _bring(self, intake: Intake) -> None:
        await self._disconnect()
        while True:
            try:
                begin = await self._set_up()
                await self._connect(begin)
                await self._read(intake, begin)
            except ServerError as error:
                await self._judge(error)
            finally:
                if self._trouble.tries:
                    await self._disconnect()

    async def _judge(self, error: ServerError) -> None:
        """Wait for what passes."""
        slot = self._mark.get("slot")
        await self._disconnect()
        if error.state == _IN_USE:
            await self._trouble.meet(f"the slot '{slot}' is being read by another connection ({error.what})")
        elif not error.state or error.state.startswith(_PASSING):
            await self._trouble.meet(error.what)
        else:
            hint = (
                "docs/streams-sources.md lists the rights that the trigger needs"
                if error.state == "42501"
                else ""
            )
            raise AgentError(error.what, where=f"the slot '{slot}'" if slot else "", hint=hint) from error

    async def _set_up(self) -> int:
        """There is a publication and a slot; where reading begins."""
        held = self._held
        assert held is not None
        self._mark = make_mark(self._context, self._wanted, held.value)
        system = await check_server(self._context, self._database)
        slot = await self._database.read_slot(str(self._mark["slot"]))
        has_slot = slot is not None and slot.status != "lost"
        if not self._mark.get("made"):  # else a slot that is gone is told first
            await self._holder.put(held, dict(self._mark))
        else:
            await prepare_slot(self._context, self._database, self._mark)
        publication = str(self._mark["publication"])
        await prepare_publication(self._database, self._wanted, publication, has_slot=has_slot)
        if not self._mark.get("made"):
            await prepare_slot(self._context, self._database, self._mark)
        begin = await find_begin(self._context, self._database, self._mark, system)
        self._mark |= {"made": True, "system": system}
        if begin == 0:
            self._mark.pop("lsn", None)
            self._settled = self._handed = self._after = 0
        await self._holder.put(held, dict(self._mark))
        return max(begin, self._handed)

    async def _connect(self, begin: int) -> None:
        self._stream = await Replication.open(
            self._context.name, self._url, str(self._mark["slot"]), str(self._mark["publication"]), begin
        )
        honour_cancel()
        self._trouble.end()
        self._replying = asyncio.create_task(self._reply(self._stream))

    async def _read(self, intake: Intake, begin: int) -> None:
        stream = self._stream
        assert stream is not None
        keys: dict[tuple[str, str], list[str]] = {}
        changes = RowChanges(self._wanted.is_wanted, self._most_bytes, begin, keys)
        while True:
            frame = await stream.read()
            if isinstance(frame, KeepAlive):
                if changes.is_between:
                    self._pass(frame.end_lsn)
                if frame.wants_reply:
                    await stream.acknowledge(self._settled)
                continue
            message = read_message(frame.data)
            if message is None:
                continue
            if isinstance(message, Relation) and message.identity == "f":
                table = (message.schema, message.name)
                keys[table] = await self._database.find_key(table)
            come = changes.read(message)
            if come:
                await hand_on(intake, come)
                self._handed = max(self._handed, int(str(come[-1].position.at)))
            elif changes.is_between:
                self._pass(changes.at)

    def _pass(self, lsn: int) -> None:
        """Up to there nothing more is for us."""
        self._after = max(self._after, lsn)
        if self._settled >= self._handed:
            self._advance(self._after)

    def _advance(self, lsn: int) -> None:
        if lsn > self._settled and self._held is not None:
            self._settled = lsn
            self._held.value = {**self._mark, "lsn": format_lsn(lsn)}

    async def _reply(self, stream: Replication) -> None:
        """Tell the server what settled, also while the flow has no room; and watch its log."""
        loop = asyncio.get_running_loop()
        told, told_at, watched_at = 0, 0.0, 0.0
        while True:
            now = loop.time()
            with suppress(ServerError):  # who reads it sees that, too
                if self._settled != told or now - told_at >= _REPLY_SECONDS:
                    told, told_at = self._settled, now
                    await stream.acknowledge(told)
                if now - watched_at >= _WATCH_SECONDS:
                    watched_at = now
                    await self._watch()
            await asyncio.sleep(self._pace.checkpoint)

    async def _watch(self) -> None:
        slot = await self._database.read_slot(str(self._mark["slot"]))
        if slot is None or slot.lag < self._wanted.most_lag or slot.lag < 2 * self._told_lag:
            return
        self._told_lag = slot.lag
        self._context.warn(
            f"the server keeps {slot.lag >> 20:,} MiB of log for the slot '{self._mark['slot']}', more than most_lag "
            f"({self._wanted.most_lag >> 20:,} MiB): the flow is behind, or a transaction is open for long; "
            "max_slot_wal_keep_size bounds what it keeps (and then loses)"
        )

    async def _disconnect(self) -> None:
        if self._replying is not None:
            self._replying.cancel()
            await asyncio.gather(self._replying, return_exceptions=True)
        if self._stream is not None:
            await self._stream.close()
        self._stream = self._replying = None
