"""The planner, driven so that no flow holds up the server.

Most plans take a millisecond and are made where they are asked for, within a small budget. One that needs more is begun
again in a thread, with all that a plan may cost: the planner is pure, so what was begun leaves nothing behind. What comes
of it is stored in the same transaction, under the run's lock: who reads goes on meanwhile, who writes to an embedded store
waits as long as the budget lasts.
"""

from collections.abc import Callable
from typing import TypeVar

from agent.flow.expressions import QUICK_PLANNING, LongWorkError, trying
from agent.flow.model import Flow
from agent.plan import Event, RunStart, RunState, advance, begin, name_run
from agent.plan.planner import Step
from agent.plan.rerun import Again, rerun
from agent.server.pools import Pool

T = TypeVar("T")


class Planner:
    """`agent.plan`'s functions for a loop that others wait for too. All raise what those raise, and OverloadedError."""

    def __init__(self, threads: Pool) -> None:
        self._threads = threads

    async def begin(self, flow: Flow, request: RunStart, *, now: float) -> Step:
        """See `agent.plan.begin`."""
        return await self._plan(lambda: begin(flow, request, now=now))

    async def advance(self, flow: Flow, state: RunState, event: Event, *, now: float) -> Step:
        """See `agent.plan.advance`."""
        return await self._plan(lambda: advance(flow, state, event, now=now))

    async def rerun(self, flow: Flow, state: RunState, again: Again, *, now: float) -> Step:
        """See `agent.plan.rerun`."""
        return await self._plan(lambda: rerun(flow, state, again, now=now))

    async def name_run(self, flow: Flow, request: RunStart) -> str:
        """See `agent.plan.name_run`."""
        return await self._plan(lambda: name_run(flow, request))

    async def _plan(self, work: Callable[[], T]) -> T:
        try:
            with trying(QUICK_PLANNING):
                return work()
        except LongWorkError:
            return await self._threads.run(work)
