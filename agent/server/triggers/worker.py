"""The loop that works off what arrived, what is due, and what is to be reported. Each server has one; there is no leader.

Deliveries of one repository are worked off one after the other, those of different hosts beside each other (`lanes`). What is to be done is a row with a time (`due_at`). Who moves that time on owns the row until then, so that two servers
never do the same, and what a server that died had taken is taken again by another.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from agent.errors import AgentError, UnreachableError
from agent.flow.repository import split_repository
from agent.resolve.sources.git_command import BusyHostError
from agent.server.events.changes import Change, Changes
from agent.server.events.live import Bus
from agent.server.pools import OverloadedError, Pool
from agent.server.process.moments import time_text
from agent.server.runs.platform_events import TRIGGERS
from agent.server.store import deliveries, flows, repositories, status_reports
from agent.server.store.database import Connection
from agent.server.store.deliveries import DeliveryRow
from agent.server.store.failures import UnavailableError
from agent.server.store.outage import Outage
from agent.server.store.repositories import RepositoryRow
from agent.server.store.states import DeliveryStatus
from agent.server.triggers.clockwork import Clockwork
from agent.server.triggers.connected import Connected
from agent.server.triggers.delivery import Delivery, text
from agent.server.triggers.from_platform import start_from_platform
from agent.server.triggers.from_repository import Findings, start_from_repository
from agent.server.triggers.inbox import explain_stranger, run_long
from agent.server.triggers.lanes import Lanes
from agent.server.triggers.locating import NotYetError
from agent.server.triggers.providers import READERS, read_head
from agent.server.triggers.starting import Starter
from agent.server.triggers.statuses import Statuses

log = logging.getLogger("agent.server.triggers")

_CLAIM_SECONDS: Final = 90.0  # so long after a server's death another one takes over
_RENEW_SECONDS: Final = 20.0
_AT_A_TIME: Final = 12
_OF_ONE_HOST: Final = 3
_BLOCKED_SECONDS: Final = 1.0  # what is due waits for other work to end, which says so
_MOST_ATTEMPTS: Final = 8
_LONGEST_SLEEP_SECONDS: Final = 30.0
_SHORTEST_SLEEP_SECONDS: Final = 0.05


_LOOKED_AT: Final = 200  # repositories with something due, at a time
# Only these are about flows that may be new; else each comment would put yesterday's error on the default branch again.
_BRINGING_CODE: Final = ("push", "Push Hook", "Tag Push Hook", "pull_request", "Merge Request Hook")

NextDue = Callable[[Connection], Awaitable[float | None]]


class Worker:
    """Works off deliveries, schedules and reports."""

    def __init__(
        self,
        changes: Changes,
        bus: Bus,
        connected: Connected,
        starter: Starter,
        clockwork: Clockwork,
        statuses: Statuses,
        threads: Pool,
    ) -> None:
        self._changes = changes
        self._bus = bus
        self._connected = connected
        self._starter = starter
        self._clockwork = clockwork
        self._statuses = statuses
        self._threads = threads
        self._scopes: set[str] = set()  # whose deliveries are under way here
        self._is_blocked = False

    async def run(self) -> None:
        """Work until cancelled: deliveries, schedules and reports, none of which waits for another's slow host."""
        async with asyncio.TaskGroup() as group:
            self._lanes = Lanes(group, most=_AT_A_TIME, most_in_one=_OF_ONE_HOST)
            self._statuses.lanes = Lanes(group, most=_AT_A_TIME, most_in_one=1)
            for work, next_due in (
                (self._work_off, self._next_delivery),
                (self._clockwork.work, flows.next_due),
                (self._statuses.work, self._statuses.next_due),
            ):
                group.create_task(self._repeat(work, next_due))

    async def _repeat(self, work: Callable[[], Awaitable[None]], next_due: NextDue) -> None:
        outage = Outage(log, "the triggers")
        with self._bus.listen(TRIGGERS) as listener:
            while True:
                with outage:
                    await work()
                    outage.seconds = await self._until(next_due)
                await listener.wait(outage.seconds)

    async def _until(self, next_due: NextDue) -> float:
        async with self._changes.database.read() as connection:
            due = await next_due(connection)
        if due is None:
            return _LONGEST_SLEEP_SECONDS
        return min(max(due - self._changes.clock.now(), _SHORTEST_SLEEP_SECONDS), _LONGEST_SLEEP_SECONDS)

    async def _next_delivery(self, connection: Connection) -> float | None:
        if self._is_blocked:
            return self._changes.clock.now() + _BLOCKED_SECONDS
        return await deliveries.next_due(connection)

    async def _work_off(self) -> None:
        """Start on the oldest due delivery of each repository, as far as its host may be asked now."""
        self._is_blocked = False
        async with self._changes.database.read() as connection:
            due = await deliveries.list_first_due(connection, self._changes.clock.now(), _LOOKED_AT)
            hosts = {row.id: await _find_host(connection, row) for row in due}
        for row in due:
            host = hosts[row.id]
            until = self._lanes.closed_until(host, self._changes.clock.now())
            if until is not None:
                await self._let_wait(row, host, until)
            elif row.scope in self._scopes or not self._lanes.has_room(host):
                self._is_blocked = True
            else:
                await self._begin(row, host)

    async def _begin(self, row: DeliveryRow, host: str) -> None:
        async with self._changes.begin() as change:
            is_mine = await deliveries.claim_delivery(change.connection, row, change.now + _CLAIM_SECONDS)
        if is_mine:
            self._scopes.add(row.scope)
            self._lanes.start(host, self._take(replace(row, attempt=row.attempt + 1), host))

    async def _take(self, row: DeliveryRow, host: str) -> None:
        try:
            await self._process(row, host)
        except UnavailableError as error:  # its claim runs out, and it is taken again
            log.warning("delivery %d: %s", row.id, error)
        finally:
            self._scopes.discard(row.scope)

    async def _let_wait(self, row: DeliveryRow, host: str, until: float) -> None:
        """Its host does not answer: it is not asked for this one alone, and it costs no attempt."""
        why = f"{host} does not answer: it is asked again at {time_text(until)}"
        async with self._changes.begin() as change:
            await deliveries.let_wait(change.connection, row, until, why)

    async def _process(self, row: DeliveryRow, host: str) -> None:
        try:
            async with self._holding(row):
                findings = await self._find(row)
        except AgentError as error:
            if isinstance(error, UnreachableError) and not isinstance(error, NotYetError):
                self._lanes.note_failure(host, self._changes.clock.now())
            await self._put_off(row, error)
            return
        except Exception as error:  # a delivery that we stumble over is shown as failed; the log says more
            log.exception("delivery %d", row.id)
            await self._put_off(
                row, AgentError(f"the server has a bug: {type(error).__name__}"), is_final=True
            )
            return
        self._lanes.note_answer(host)
        async with self._changes.begin() as change:
            change.wake(TRIGGERS)
            is_settled = await deliveries.settle_delivery(
                change.connection,
                row,
                status=DeliveryStatus.HELD if findings.is_held else DeliveryStatus.DONE,
                outcome=findings.outcome,
                results=json.dumps([result.to_json() for result in findings.results]),
                now=change.now,
            )
            if is_settled:
                await self._report_problems(change, row, findings)

    @asynccontextmanager
    async def _holding(self, row: DeliveryRow) -> AsyncIterator[None]:
        """Keep the claim for as long as the block runs: git may take many minutes."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(_RENEW_SECONDS)
                with suppress(UnavailableError):
                    async with self._changes.begin() as change:
                        until = change.now + _CLAIM_SECONDS
                        await deliveries.renew_claim(change.connection, row, until)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def _report_problems(self, change: Change, row: DeliveryRow, findings: Findings) -> None:
        """Tell the commit that brought them of flows that can't run: there is no run that would."""
        if row.event not in _BRINGING_CODE:
            return
        repository = await repositories.find_repository(change.connection, row.scope)
        if repository is None or not repository.reports_status:
            return
        for result in findings.results:
            if result.problems and result.commit:
                await status_reports.add_report(
                    change.connection,
                    repository=repository.id,
                    run=None,
                    commit=result.commit,
                    context=f"{result.flow} ({result.event})",
                    state="error",
                    description=result.problems[0],
                    now=change.now,
                )

    async def _find(self, row: DeliveryRow) -> Findings:
        async with self._changes.database.read() as connection:
            repository = await repositories.find_repository(connection, row.scope)
        content = await self._load(row.id)
        if row.provider in READERS:
            if repository is None:
                return Findings((), "its repository is not connected any more")
            delivery = READERS[row.provider](row.event, content)
            if why := explain_stranger(repository, delivery):
                return Findings((), why)
            if await self._is_own_status(repository, delivery):
                return Findings((), "it is a status that this server has reported itself, and starts nothing")
            head = "" if delivery.pull is None else delivery.pull.head
            is_approved = row.is_approved or (bool(head) and await self._was_approved(row, head))
            return await start_from_repository(
                self._connected, self._starter, row, delivery, repository, is_approved=is_approved
            )
        results = await start_from_platform(self._changes.database, self._starter, row, content)
        started = sum(result.run is not None for result in results)
        waiting = (
            "no flow of the project waits for it" if not results else f"{started} of {len(results)} started"
        )
        return Findings(tuple(results), waiting)

    async def _load(self, delivery: int) -> Any:
        """What was sent."""
        async with self._changes.database.read() as connection:
            sent = await deliveries.load_payload(connection, delivery)
        return await run_long(self._threads, len(sent), partial(json.loads, sent))

    async def _is_own_status(self, repository: RepositoryRow, delivery: Delivery) -> bool:
        """Whether the host tells us of what we have told it: a run by that would be reported, and so on for ever."""
        if delivery.event != "status":
            return False
        commit, context = text(delivery.payload, "sha"), text(delivery.payload, "context")
        async with self._changes.database.read() as connection:
            return await status_reports.is_reported(connection, repository.id, commit, context)

    async def _was_approved(self, row: DeliveryRow, head: str) -> bool:
        """Whether somebody approved another delivery about the same request at that head."""
        async with self._changes.database.read() as connection:
            approved = await deliveries.list_approved(connection, row)
        for one in approved:
            if read_head(row.provider, await self._load(one)) == head:
                return True
        return False

    async def _put_off(self, row: DeliveryRow, error: AgentError, *, is_final: bool = False) -> None:
        """To be tried again, later and later; or given up."""
        may_pass = isinstance(error, UnreachableError | UnavailableError | OverloadedError) and not is_final
        is_over = not may_pass or row.attempt >= _MOST_ATTEMPTS
        first = 2.0 if isinstance(error, NotYetError) else 5.0
        least = error.seconds if isinstance(error, BusyHostError) else 0.0
        async with self._changes.begin() as change:
            change.wake(TRIGGERS)
            again = change.now + max(min(first * 2 ** (row.attempt - 1), 900.0), least)
            await deliveries.settle_delivery(
                change.connection,
                row,
                status=DeliveryStatus.FAILED if is_over else DeliveryStatus.WAITING,
                outcome=str(error),
                results="[]",
                now=change.now,
                due_at=None if is_over else again,
            )


async def _find_host(connection: Connection, row: DeliveryRow) -> str:
    """The host that working the delivery off asks; "" for events of this platform's own."""
    repository = (
        await repositories.find_repository(connection, row.scope) if row.provider in READERS else None
    )
    return "" if repository is None else split_repository(repository.url)[0]
