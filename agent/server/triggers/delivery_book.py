"""Deliveries as people look at them: what arrived, what became of it, and what may go on or again."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from agent.errors import NotFoundError
from agent.server.events.changes import Change, Changes
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, RowId, cut, next_cursor
from agent.server.process.problems import ConflictError
from agent.server.runs.platform_events import TRIGGERS
from agent.server.store import deliveries
from agent.server.store.database import Connection
from agent.server.store.deliveries import DeliveryRow
from agent.server.store.states import DeliveryStatus
from agent.server.triggers.from_platform import dump_content
from agent.server.triggers.starting import new_key

# After one of these an approval is stale: the request to merge is about other commits, or over.
_MOVES: Final = ("synchronize", "synchronized", "update", "closed", "close", "merge")


class ShownStatus(StrEnum):
    """A delivery's status, of those that are shown: all but what is gone."""

    WAITING = DeliveryStatus.WAITING.value
    HELD = DeliveryStatus.HELD.value
    DONE = DeliveryStatus.DONE.value
    FAILED = DeliveryStatus.FAILED.value


class ResultView(msgspec.Struct):
    """One flow: the run that it started, or why it did not."""

    flow: str
    event: str
    run: int | None
    why: str
    problems: list[str]


class DeliveryView(msgspec.Struct, kw_only=True):
    """A delivery and what became of it."""

    id: int
    source: str
    provider: str
    identifier: str
    event: str
    action: str
    subject: str
    status: ShownStatus
    outcome: str
    results: list[ResultView]
    attempts: int
    again: Moment | None
    received: Moment | None
    finished: Moment | None


class DeliveryBook:
    """The deliveries of projects. Each call is one transaction; those about one delivery raise NotFoundError."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list_of(
        self, project: int, page: Page, *, repository: str | None, status: ShownStatus | None
    ) -> tuple[list[DeliveryView], str | None]:
        """The project's deliveries, newest first."""
        async with self._changes.database.read() as connection:
            found = await deliveries.list_deliveries(
                connection,
                project,
                limit=page.limit + 1,
                before=page.after(RowId),
                scope=repository,
                status=None if status is None else DeliveryStatus(status),
            )
        shown = cut(found, page.limit)
        return [_view(row) for row in shown], next_cursor(found, page.limit, shown[-1].id if shown else 0)

    async def load(self, delivery: int) -> DeliveryView:
        """One delivery."""
        async with self._changes.database.read() as connection:
            return _view(await _find(connection, delivery))

    async def approve(self, delivery: int) -> DeliveryView:
        """Let what a stranger's request to merge wants to run go on, for exactly the commits that it was about.

        Raises ConflictError when it waits for nobody, or the request has moved on.
        """
        async with self._changes.begin() as change:
            row = await _find(change.connection, delivery)
            newer = await deliveries.find_newer(change.connection, row, _MOVES)
            if row.status is not DeliveryStatus.HELD:
                raise ConflictError(f"the delivery is {row.status}: there is nothing to approve")
            if newer is not None:
                raise ConflictError(
                    "the request to merge has moved on since", hint=f"look at delivery {newer} instead"
                )
            await _wake(change, row, is_approved=True)
            return _view(await _find(change.connection, delivery))

    async def repeat(self, delivery: int) -> DeliveryView:
        """Work a delivery off again; what it has started is not started twice. Raises ConflictError for one that is not over."""
        async with self._changes.begin() as change:
            row = await _find(change.connection, delivery)
            if row.status not in (DeliveryStatus.DONE, DeliveryStatus.FAILED) or row.provider == "webhook":
                raise ConflictError(f"the delivery is {row.status}: it can't be repeated")
            await _wake(change, row, is_approved=row.is_approved)
            return _view(await _find(change.connection, delivery))

    async def add_dispatch(
        self, project: int, scope: str, event_type: str, payload: Mapping[str, object], actor: str
    ) -> int | None:
        """Take in a `repository_dispatch` for the flows of `scope` (a repository, or `project/NUMBER`): its delivery."""
        content = {"action": event_type, "client_payload": dict(payload), "sender": {"login": actor}}
        async with self._changes.begin() as change:
            identifier = new_key()
            number = await deliveries.add_delivery(
                change.connection,
                project=project,
                scope=scope,
                identifier=identifier,
                replay_key=identifier,
                provider="api",
                event="repository_dispatch",
                action=event_type,
                subject="",
                payload=dump_content(content, actor),
                depth=0,
                now=change.now,
            )
            change.wake(TRIGGERS)
        return number


async def _wake(change: Change, row: DeliveryRow, *, is_approved: bool) -> None:
    if not await deliveries.wake_delivery(change.connection, row, change.now, is_approved=is_approved):
        raise ConflictError("the delivery is being worked on again already")
    change.wake(TRIGGERS)


async def _find(connection: Connection, delivery: int) -> DeliveryRow:
    row = await deliveries.find_delivery(connection, delivery)
    if row is None:
        raise NotFoundError("there is no such delivery")
    return row


def _view(row: DeliveryRow) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        source=row.scope,
        provider=row.provider,
        identifier=row.identifier,
        event=row.event,
        action=row.action,
        subject=row.subject,
        status=ShownStatus(row.status),
        outcome=row.outcome,
        results=[ResultView(**result) for result in json.loads(row.results)],
        attempts=row.attempt,
        again=time_text(row.due_at),
        received=time_text(row.received_at),
        finished=time_text(row.finished_at),
    )
