"""A program kept up, and what becomes of a batch whatever happens to it.

    asked for all --all answered--> done
    asked for all --it ended, or was late--> started again, asked for the next alone
    asked for one alone --answered--> asked for the next alone
    asked for one alone --it was late, or has ended (code: for the second time)--> that record has failed; asked for all that are left
    started so often without an answer --it ended, or was late--> it is the program's fault: all that are left have failed, for now

So a record that ends the program harms none of its neighbours, and who kills code from outside condemns no record. A command that ends
well after it answered some is only started again (`sed 100q`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from agent.errors import AgentError
from agent.job.stages.actions.programs.kept import KeptProgram, ProgramEnd
from agent.job.stages.actions.programs.speech import Answer
from agent.job.stages.stage import StageError, Value

_FIRST_SECONDS: Final = 0.1  # before the second start without an answer between; the first is at once
_MOST_SECONDS: Final = 30.0
_MOST_STARTS: Final = 6  # without an answer between
_MOST_ENDS: Final = 2  # of code, at a record that is alone in it
_MOST_SHOWN: Final = 500


class ProgramTerms(NamedTuple):
    """What is agreed about a kind of program."""

    noun: str  # `the code`
    seconds: float  # that an answer may take
    is_code: bool  # it is spoken to in frames; a record that ends it twice is a dead letter


class ProgramWorker:
    """One program at a time, and one batch."""

    def __init__(
        self, start: Callable[[], Awaitable[KeptProgram]], terms: ProgramTerms, say: Callable[[str], None]
    ) -> None:
        self._start = start
        self._terms = terms
        self._say = say
        self._program: KeptProgram | None = None
        self._starts = 0  # since the last answer
        self._not_before = 0.0  # of the loop's clock

    async def open(self) -> None:
        """Have the program up. Raises AgentError."""
        await self._have_program()

    async def work(self, batch: Sequence[Value]) -> list[Answer]:
        """What became of each record."""
        answers: list[Answer] = []
        is_careful = False
        alone = 0  # how often the program has ended at the next record, and no other can have been why
        while (begun := len(answers)) < len(batch):
            asked = batch[begun : begun + 1] if is_careful else batch[begun:]
            try:
                program = await self._have_program()
            except AgentError as error:
                failure = StageError(f"{self._terms.noun} can't be started: {error}")
                return [*answers, *[failure] * (len(batch) - begun)]
            end = await self._ask(program, asked, answers.append)
            if len(answers) > begun:
                alone = 0
            if end is None or (end.is_clean and program.answers and not self._terms.is_code):
                continue
            alone += len(asked) == 1
            is_judged = alone > 0 and (alone >= _MOST_ENDS or end.is_late or not self._terms.is_code)
            if is_judged:
                answers.append(self._explain(end, program))
                alone = 0
            is_careful = not is_judged
            if self._starts >= _MOST_STARTS:
                return [*answers, *[self._give_up(end, program)] * (len(batch) - len(answers))]
        return answers

    async def close(self) -> None:
        """No more records come."""
        if self._program is not None:
            program, self._program = self._program, None
            await program.close()

    async def _have_program(self) -> KeptProgram:
        if self._program is not None and self._program.is_up:
            return self._program
        if self._program is not None:
            await self._let_go(self._program, await self._program.find_end(), 0)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        pause = min(_MOST_SECONDS, _FIRST_SECONDS * 2**self._starts) if self._starts else 0.0
        self._starts += 1
        self._program = await self._start()
        self._not_before = loop.time() + pause
        return self._program

    async def _ask(
        self, program: KeptProgram, records: Sequence[Value], take: Callable[[Answer], None]
    ) -> ProgramEnd | None:
        before = program.answers
        try:
            end = await program.ask(records, take, self._terms.seconds)
        except asyncio.CancelledError:  # nobody will hear its answers
            self._program = None
            await program.kill()
            raise
        if program.answers > before:
            self._starts = 0
            self._not_before = 0.0
        if end is not None:
            await self._let_go(program, end, len(records) - program.answers + before)
        return end

    async def _let_go(self, program: KeptProgram, end: ProgramEnd, unanswered: int) -> None:
        self._program = None
        await program.kill()
        left = f", {unanswered} records unanswered" if unanswered else ""
        verb = "is ended" if end.is_late else "has ended"
        self._say(f"{self._terms.noun} {verb} ({end.how}{left}); it is started again")

    def _give_up(self, end: ProgramEnd, program: KeptProgram) -> StageError:
        """It is no record's fault."""
        last = _quote_last(program)
        return StageError(
            f"{self._terms.noun} was started {self._starts} times, and answered nothing ({end.how}){last}"
        )

    def _explain(self, end: ProgramEnd, program: KeptProgram) -> StageError:
        noun, last = self._terms.noun, _quote_last(program)
        if end.is_late:
            return StageError(f"{noun} gave {end.how} for this record")
        if self._terms.is_code:
            return StageError(f"{noun} ended twice at this record ({end.how}){last}", is_final=True)
        return StageError(f"{noun} ended before it answered this record ({end.how}){last}")


def _quote_last(program: KeptProgram) -> str:
    said = program.last_line[:_MOST_SHOWN]
    return f"; its last line was: {said}" if said else ""
