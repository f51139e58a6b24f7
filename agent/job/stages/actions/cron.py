"""`cron`: a record at each time of a schedule (docs/streams-code.md).

The trigger's bookmark remembers the last time whose record has ended. After a standstill the last time that was missed is made up for, and
those before it are let go. Only one job has the bookmark; so only one brings records.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from agent.errors import AgentError
from agent.flow.cron import is_cron, last_time, next_time
from agent.job.stages.actions.alone import HOLD_SECONDS, name_bookmark, run_alone
from agent.job.stages.actions.settings import read_mapping
from agent.job.stages.stage import Bookmark, Intake, StageContext, StreamPosition

_LONGEST_SECONDS: Final = 20.0  # of a sleep: the machine's clock may be put right in the meantime


class CronTrigger:
    """See TriggerStage."""

    def __init__(self, context: StageContext) -> None:
        """Raises AgentError: what is wrong in the configuration."""
        self._context = context
        self._schedules = _read_schedules(context)
        self._zone = _read_zone(context)
        self._data = read_mapping(context, "data")
        self._bookmark: Bookmark | None = None  # while it is held
        self._brought = 0.0  # the last time that this job has brought: what has not ended of it is on its way

    async def run(self, intake: Intake) -> None:
        """See TriggerStage."""

        async def bring(bookmark: Bookmark) -> None:
            self._bookmark = bookmark
            try:
                await self._bring(bookmark, intake)
            finally:
                self._bookmark = None

        await run_alone(self._context, bring)

    async def settle(self, position: StreamPosition) -> None:
        """See TriggerStage. Also what ends after the trigger has: its bookmark is taken for it once more, unless another job has it."""
        bookmarks = self._context.bookmarks
        held = self._bookmark or await bookmarks.take(name_bookmark(self._context), HOLD_SECONDS)
        if held is None:
            return
        await bookmarks.put(held, position.at)
        if held is not self._bookmark:
            await bookmarks.free(held)

    async def close(self) -> None:
        """See TriggerStage."""

    async def _bring(self, bookmark: Bookmark, intake: Intake) -> None:
        before = bookmark.value
        if not isinstance(before, int | float):  # the flow's first day: it begins now
            before = self._context.now()
            await self._context.bookmarks.put(bookmark, before)
        before = max(before, self._brought)
        missed = self._find_missed(before)
        if missed is not None:
            self._context.say(f"{self._show(missed)} was missed, and is made up for")
        while (moment := missed or self._find_next(before)) is not None:
            await self._wait_until(moment)
            await self._emit(intake, moment)
            before = self._brought = moment
            missed = self._find_missed(before)  # while the flow was full

    async def _wait_until(self, moment: float) -> None:
        while True:
            left = moment - self._context.now()
            if left <= 0:
                return
            await asyncio.sleep(min(left, _LONGEST_SECONDS))

    def _find_next(self, after: float) -> float | None:
        times = [next_time(text, self._zone, after) for text in self._schedules]
        return min((time for time in times if time is not None), default=None)

    def _find_missed(self, after: float) -> float | None:
        """The last time that has come and gone; those before it are let go."""
        now = self._context.now()
        times = [last_time(text, self._zone, after, now) for text in self._schedules]
        return max((time for time in times if time is not None), default=None)

    async def _emit(self, intake: Intake, moment: float) -> None:
        record = {"time": self._show(moment), **self._data}
        await intake.emit([record], StreamPosition("", moment))

    def _show(self, moment: float) -> str:
        return datetime.fromtimestamp(moment, self._zone).isoformat()


def make(context: StageContext) -> CronTrigger:
    """The trigger. Raises AgentError."""
    return CronTrigger(context)


def _read_schedules(context: StageContext) -> list[str]:
    written = context.config.get("schedule")
    texts = [str(text) for text in (written if isinstance(written, list | tuple) else [written])]
    for text in texts:
        if not is_cron(text):
            raise AgentError(
                f"'{text}' is no cron expression",
                where=context.name,
                hint="`schedule` is five fields, or a list of such: minute hour day month weekday",
            )
        if next_time(text, UTC, context.now()) is None:
            raise AgentError(
                f"'{text}' never comes", where=context.name, hint="is there such a day in that month?"
            )
    return texts


def _read_zone(context: StageContext) -> ZoneInfo:
    name = str(context.config.get("time_zone") or "UTC")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise AgentError(
            f"there is no time zone '{name}'", where=context.name, hint="write it as Europe/Berlin"
        ) from None
