"""Steps in the background: they have their turn beside the others, and count when somebody has waited for them.

Source: actions/runner `BackgroundStepCoordinator.cs`.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

from agent.job.output.recorder import StepLog
from agent.job.steps.turns import CANCELLED, FAILED, SUCCESS, StepEnd, Turn, settle
from agent.spec.checkpoints import CHECKPOINT_STEP
from agent.spec.data import LIVE_STEP
from agent.spec.job import SpecStepKind, StepSpec
from agent.spec.outcome import Conclusion

_ENDLESS = (LIVE_STEP, CHECKPOINT_STEP)  # they go on until the planner's own step ends them
MAX_RUNNING = 10  # more than these wait for one of them to end


@dataclass(slots=True)
class Item:
    """One step in the background. `end` is set when it has been waited for, and so been counted."""

    turn: Turn
    task: "asyncio.Task[StepEnd]"
    end: StepEnd | None = None


class Background:
    """The background steps of one job, by id."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._slots = asyncio.Semaphore(MAX_RUNNING)

    @property
    def has_uncounted(self) -> bool:
        """Whether there are steps that nobody has waited for."""
        return any(item.end is None for item in self._items.values())

    def start(self, turn: Turn, work: Coroutine[object, object, StepEnd]) -> None:
        """Let `work`, the turn of a step, begin as soon as there is room."""
        self._items[turn.spec.id] = Item(turn, asyncio.ensure_future(self._run(work)))

    def select(self, spec: StepSpec) -> list[Item]:
        """The steps that a control step is about, less those that have been counted."""
        every = tuple(name for name in self._items if name not in _ENDLESS)
        names = every if spec.kind is SpecStepKind.WAIT_ALL else spec.targets
        items = (self._items[name] for name in names if name in self._items)
        return [item for item in items if item.end is None]

    def cancel(self, items: Sequence[Item]) -> None:
        """End the steps."""
        for item in items:
            item.task.cancel()

    async def wait(self, item: Item, log: StepLog) -> StepEnd:
        """How the step ended, once it has."""
        log.say(f"Waiting for background step '{item.turn.name}'")
        await settle(item.task)
        item.end = StepEnd(*CANCELLED) if item.task.cancelled() else item.task.result()
        log.say(f"  {item.turn.name}: {item.end.conclusion.value}")
        return item.end

    def conclude(self, items: Sequence[Item]) -> tuple[Conclusion, Conclusion]:
        """How a control step ends: a failure of one of its steps is its own; one that was cancelled does no harm."""
        has_failed = any(item.end is not None and item.end.conclusion is Conclusion.FAILURE for item in items)
        return FAILED if has_failed else SUCCESS

    async def _run(self, work: Coroutine[object, object, StepEnd]) -> StepEnd:
        try:
            async with self._slots:
                return await work
        finally:
            work.close()  # it never began, when its cancellation came first
