"""People who are asked in a local run: whoever sits at the terminal, or a file of answers."""

import os
import select
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agent.cli.local_run.machine import Grant
from agent.cli.terminal.screen import Screen
from agent.errors import UnreachableError, UsageError
from agent.job.launch.launcher import JobFolder, NewRoom, answer_step
from agent.journal.format import FormAsked, Record, StepChanged

if TYPE_CHECKING:
    from agent.cli.terminal.form_dialogue import FormDialogue

_STANDARD_INPUT = 0
_READ_BYTES = 4096
_MOST_NAMED = 10
Answers = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class _Question:
    job: str
    folder: JobFolder
    step: int
    step_id: str
    dialogue: "FormDialogue"
    form: Mapping[str, Any]
    gave_back: bool  # its job has given back what it had of this machine


@dataclass(frozen=True, slots=True)
class _Answered:
    question: _Question
    values: Mapping[str, object]
    refusal: str


class Lender(Protocol):
    """Where jobs that wait for an answer give back what they have, and have it again (`agent.cli.local_run.machine`)."""

    def set_aside(self, job: str) -> None:
        """Others may have what the job had."""
        ...

    def take_back(self, job: str) -> Grant | None:
        """What is the job's from now on; None: there is no room for it now."""
        ...


class LocalPeople:
    """Asks one question at a time; the run goes on meanwhile. `answers` are by the step's id, or `JOB.STEP`."""

    def __init__(self, screen: Screen, answers: Answers, room: Lender) -> None:
        self._screen = screen
        self._room = room
        self._answered: list[_Answered] = []  # in their order: whose jobs wait for room
        self._answers = answers
        self._waiting: deque[_Question] = deque()
        self._asked: _Question | None = None
        self._ids: dict[tuple[str, int], str] = {}
        self._typed = b""

    @property
    def is_returning(self) -> bool:
        """Whether a job whose answer is there waits for room."""
        return bool(self._answered)

    @property
    def is_asking(self) -> bool:
        """Whether somebody is typing: nothing that moves is to be drawn over it."""
        return self._asked is not None

    def note(self, job: str, folder: JobFolder, record: Record) -> None:
        """A record of the job's journal: that a step asks, or that one has ended."""
        if isinstance(record, StepChanged):
            self._ids[job, record.step] = record.id
            if record.state == "completed":
                self._drop(job, record.step)
        elif isinstance(record, FormAsked) and isinstance(record.form, dict):
            from agent.cli.terminal.form_dialogue import FormDialogue  # most runs ask nobody anything

            dialogue = FormDialogue(record.title, record.form)
            step_id = self._ids.get((job, record.step), "")
            if record.gives_back:
                self._room.set_aside(folder.job)
            asked = _Question(
                job, folder, record.step, step_id, dialogue, record.form, gave_back=record.gives_back
            )
            self._answer_or_wait(asked)

    def let_return(self) -> None:
        """Let jobs go on whose answers are there and that have room now, those first that were answered first."""
        while self._answered:
            first = self._answered[0]
            grant = self._room.take_back(first.question.folder.job)
            if grant is None:
                return
            del self._answered[0]
            _tell(first, NewRoom(grant.gpus, grant.given))

    def tick(self) -> None:
        """Ask what is to be asked, and take in what was typed."""
        if self._asked is None and self._waiting:
            self._asked = self._waiting.popleft()
            self._say(*self._asked.dialogue.introduction)
            self._prompt(self._asked)
        if self._asked is not None and select.select([_STANDARD_INPUT], [], [], 0)[0]:
            self._take(os.read(_STANDARD_INPUT, _READ_BYTES))

    def _answer_or_wait(self, question: _Question) -> None:
        names = (f"{question.job}.{question.step_id}", question.step_id)
        found = next((self._answers[name] for name in names if name in self._answers), None)
        if found is not None:
            self._answer_from_file(question, found)
        elif os.isatty(_STANDARD_INPUT):
            self._waiting.append(question)
            if doubt := self._doubt_answers(question):
                self._screen.show({"kind": "warning", "message": f"{question.job}: {doubt}"})
        else:
            why = "nobody can be asked, as standard input is no terminal"
            example = f'{{"{question.step_id}": {{"NAME": VALUE}}}}'
            doubt = self._doubt_answers(question)
            hint = f"{doubt}; write {example}" if doubt else f"--answers FILE answers it: {example}"
            self._send(question, {}, f"{why}; {hint}")

    def _doubt_answers(self, question: _Question) -> str:
        """What is odd about the file of answers when it has none to a question; nothing where there is no file."""
        if not self._answers:
            return ""
        from agent.flow.members import find_close

        known = {name for (job, _), step in self._ids.items() for name in (step, f"{job}.{step}")}
        strange = [name for name in self._answers if name not in known]
        names = (question.step_id, f"{question.job}.{question.step_id}")
        close = next((found for name in names if (found := find_close(name, strange))), "")
        if close:
            meant = names["." in close]
            return f"--answers has no answer to '{names[0]}': its '{close}' fits no step; did you mean `{meant}`?"
        shown = ", ".join(f"'{name}'" for name in strange[:_MOST_NAMED])
        fits = f": {shown} fit{'s' if len(strange) == 1 else ''} no step that has begun" if strange else ""
        return f"--answers has no answer to '{names[0]}'{fits}"

    def _answer_from_file(self, question: _Question, found: Mapping[str, object]) -> None:
        from agent.flow.filled import check_answer

        try:
            self._send(question, check_answer(question.form, found, "--answers"))
        except UsageError as error:
            self._send(question, {}, str(error))

    def _take(self, data: bytes) -> None:
        question = self._asked
        assert question is not None
        if not data:
            self._end_asking()
            self._send(question, {}, "nothing was answered")
            return
        *lines, self._typed = (self._typed + data).split(b"\n")
        for line in lines:
            self._say(*question.dialogue.feed(line.decode("utf-8", "replace")))
            if question.dialogue.values is not None:
                self._end_asking()
                self._send(question, question.dialogue.values)
                return
            self._prompt(question)

    def _drop(self, job: str, step: int) -> None:
        """Its step has ended otherwise: it needs no answer any more."""
        self._waiting = deque(item for item in self._waiting if (item.job, item.step) != (job, step))
        if self._asked is not None and (self._asked.job, self._asked.step) == (job, step):
            self._end_asking()
        self._answered = [
            item for item in self._answered if (item.question.job, item.question.step) != (job, step)
        ]

    def _send(self, question: _Question, values: Mapping[str, object], refusal: str = "") -> None:
        """Let the step have its answer, as soon as its job has room."""
        answered = _Answered(question, values, refusal)
        if not question.gave_back:
            _tell(answered, None)
            return
        self._answered.append(answered)
        self.let_return()
        if answered in self._answered:
            self._say(
                f"{question.job} is answered, and goes on when what it had of this machine is free again"
            )

    def _prompt(self, question: _Question) -> None:
        self._screen.show({"kind": "question", "text": question.dialogue.prompt, "is_prompt": True})

    def _end_asking(self) -> None:
        self._asked = None
        self._screen.show({"kind": "answered"})

    def _say(self, *lines: str) -> None:
        for line in lines:
            self._screen.show({"kind": "question", "text": line})


def _tell(answered: _Answered, room: NewRoom | None) -> None:
    import getpass

    question = answered.question
    try:
        answer_step(
            question.folder, question.step, getpass.getuser(), answered.values, answered.refusal, room
        )
    except UnreachableError:  # it has ended meanwhile: its journal says how
        return
