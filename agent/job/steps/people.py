"""People whom steps of a job wait for: each step has asked, and goes on with the first answer.

asked --an answer--> answered       a second answer, and one that nobody asked for, is refused
--the step is ended--> gone
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from agent.errors import AgentError


@dataclass(frozen=True, slots=True)
class HeardAnswer:
    """What somebody has filled in. `refusal`: nobody will, for this reason, and the step fails.

    `gpus` and `given`: what is the job's from now on, where it has given its room back (`agent.job.steps.giving_back`), and the
    variables that say so; None: what it had.
    """

    by: str
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    refusal: str = ""
    gpus: tuple[str, ...] | None = None
    given: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class People:
    """The open questions of one job, by the numbers of their steps."""

    def __init__(self) -> None:
        self._asked: dict[int, asyncio.Future[HeardAnswer]] = {}
        self._answered: dict[int, str] = {}

    def ask(self, step: int) -> asyncio.Future[HeardAnswer]:
        """The step's question is open; what it is answered with."""
        future: asyncio.Future[HeardAnswer] = asyncio.get_running_loop().create_future()
        self._asked[step] = future
        future.add_done_callback(lambda _done: self._asked.pop(step))
        return future

    def answer(self, step: int, answer: HeardAnswer) -> None:
        """Let the step go on. Raises AgentError when it has its answer already, or waits for none."""
        if step in self._answered:
            raise AgentError(f"the step was answered already, by {self._answered[step]}")
        future = self._asked.get(step)
        if future is None or future.done():
            raise AgentError("the step waits for no answer")
        self._answered[step] = answer.by
        future.set_result(answer)
