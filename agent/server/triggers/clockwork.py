"""Schedules: each due time is taken by one server, and starts one run, or none when it is too late."""

import json
from dataclasses import dataclass

from agent.errors import UsageError
from agent.server.events.changes import Change, Changes
from agent.server.process.moments import time_text
from agent.server.runs.runs import Submission
from agent.server.store import flows
from agent.server.store.flows import FlowRow, ScheduleRow
from agent.server.triggers.from_platform import find_source, make_submission
from agent.server.triggers.starting import Starter
from agent.server.triggers.timetable import find_missed, next_time


@dataclass(frozen=True, slots=True)
class _Due:
    row: ScheduleRow
    submission: Submission
    at: float


class Clockwork:
    """Starts what is due. `late_seconds`: how late a start that was missed is still made up for."""

    def __init__(self, changes: Changes, starter: Starter, late_seconds: float) -> None:
        self._changes = changes
        self._starter = starter
        self._late_seconds = late_seconds

    async def work(self) -> None:
        """Take every time that has come."""
        async with self._changes.database.read() as connection:
            due = await flows.list_due(connection, self._changes.clock.now())
        for row in due:
            await self._take(row)

    async def _take(self, row: ScheduleRow) -> None:
        """Move the schedule to its next time, and start the run; a crash between the two loses one start at most.

        The other way round, one start could become two.
        """
        async with self._changes.begin() as change:
            taken = await self._claim(change, row)
        if taken is None:
            return
        result = await self._starter.start(taken.submission)
        outcome = f"run {result.run}" if result.run else "; ".join([result.why, *result.problems])
        async with self._changes.begin() as change:
            started_at = taken.at if result.run else None
            await flows.note_schedule(change.connection, row, outcome, started_at)

    async def _claim(self, change: Change, row: ScheduleRow) -> _Due | None:
        try:
            following = next_time(row.cron, row.zone, change.now)
        except UsageError as error:  # the time zones of this machine have changed
            await flows.remove_schedule(change.connection, row.flow, row.cron, row.zone)
            raise UsageError(f"a schedule was dropped: {error.what}", where=row.cron) from None
        if not await flows.move_schedule(change.connection, row, following):
            return None
        flow = await flows.find_flow(change.connection, row.flow)
        at = find_missed(row.cron, row.zone, row.due_at, change.now, self._late_seconds)
        why = _explain(flow, at, row)
        if flow is None or at is None or why:
            await flows.note_schedule(change.connection, row, why, None)
            return None
        source = await find_source(change.connection, flow)
        key = f"schedule/{flow.id}/{json.dumps([row.cron, row.zone])}/{at:.0f}"
        payload = {"schedule": row.cron, "timezone": row.zone, "time": time_text(at)}
        return _Due(
            row, make_submission(flow, source, "schedule", key, payload=payload, actor="schedule"), at
        )


def _explain(flow: FlowRow | None, at: float | None, row: ScheduleRow) -> str:
    """Why a time that has come starts nothing."""
    if flow is None:
        return "the flow is gone"
    if not flow.is_enabled:
        return "the flow is disabled"
    if at is None:
        return f"the start of {time_text(row.due_at)} was missed, and was too long ago to be made up for"
    return ""
