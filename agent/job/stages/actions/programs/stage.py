"""A stage whose work a program does: one for each batch that is at work at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from agent.job.stages.actions.programs.kept import KeptProgram
from agent.job.stages.actions.programs.speech import Answer
from agent.job.stages.actions.programs.worker import ProgramTerms, ProgramWorker
from agent.job.stages.stage import Done, StageContext, StageError, Value

if TYPE_CHECKING:
    from agent.job.attach.program import Program

Open = Callable[[], Awaitable["Program"]]


class ProgramStage:
    """See Stage. `prepare` gives how the program is opened, once; it raises AgentError."""

    is_pure = False  # who knows what the program does
    keeps_time = True  # `timeout` is an answer's: a program that has to be started first is not late

    def __init__(
        self, context: StageContext, terms: ProgramTerms, prepare: Callable[[], Awaitable[Open]]
    ) -> None:
        self._context = context
        self._terms = terms
        self._prepare = prepare
        self._open: Open | None = None
        self._workers: list[ProgramWorker] = []
        self._idle: list[ProgramWorker] = []
        self._has_complained = False

    async def open(self) -> None:
        """See Stage: the first program is up then."""
        self._open = await self._prepare()
        worker = self._add()
        await worker.open()
        self._idle.append(worker)

    async def work(self, batch: Sequence[Value]) -> Done:
        """See Stage."""
        worker = self._idle.pop() if self._idle else self._add()
        try:
            return _sum_up(await worker.work(batch))
        finally:
            self._idle.append(worker)

    async def close(self) -> None:
        """See Stage."""
        await asyncio.gather(*(worker.close() for worker in self._workers))

    def _complain(self, text: str) -> None:
        """Something that the flow's author has to mend: an annotation, once."""
        (self._context.say if self._has_complained else self._context.warn)(text)
        self._has_complained = True

    def _add(self) -> ProgramWorker:
        worker = ProgramWorker(self._start, self._terms, self._context.say)
        self._workers.append(worker)
        return worker

    async def _start(self) -> KeptProgram:
        assert self._open is not None
        program = KeptProgram(
            await self._open(), self._context.say, self._complain, is_code=self._terms.is_code
        )
        try:
            await program.wait_until_ready()
        except BaseException:
            await program.kill()
            raise
        return program


def _sum_up(answers: Sequence[Answer]) -> Done:
    values: list[Value] = []
    sources: list[int] = []
    failed: dict[int, StageError] = {}
    for place, answer in enumerate(answers):
        if isinstance(answer, StageError):
            failed[place] = answer
        else:
            values += answer
            sources += [place] * len(answer)
    is_one_each = not failed and sources == list(range(len(answers)))
    return Done(values, None if is_one_each else sources, failed)
