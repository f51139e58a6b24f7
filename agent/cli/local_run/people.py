"""People who are asked in a local run: whoever sits at the terminal, or a file of answers."""

import os
import select
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.cli.terminal.screen import Screen
from agent.errors import UnreachableError, UsageError
from agent.job.launch.launcher import JobFolder, answer_step
from agent.journal.format import FormAsked, Record, StepChanged

if TYPE_CHECKING:
    from agent.cli.terminal.form_dialogue import FormDialogue

_STANDARD_INPUT = 0
_READ_BYTES = 4096
Answers = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class _Question:
    job: str
    folder: JobFolder
    step: int
    step_id: str
    dialogue: "FormDialogue"
    form: Mapping[str, Any]


class LocalPeople:
    """Asks one question at a time; the run goes on meanwhile. `answers` are by the step's id, or `JOB.STEP`."""

    def __init__(self, screen: Screen, answers: Answers) -> None:
        self._screen = screen
        self._answers = answers
        self._waiting: deque[_Question] = deque()
        self._asked: _Question | None = None
        self._ids: dict[tuple[str, int], str] = {}
        self._typed = b""

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
            self._answer_or_wait(_Question(job, folder, record.step, step_id, dialogue, record.form))

    def tick(self) -> None:
        """Ask what is to be asked, and take in what was typed."""
        if self._asked is None and self._waiting:
            self._asked = self._waiting.popleft()
            self._say(*self._asked.dialogue.introduction, self._asked.dialogue.prompt)
        if self._asked is not None and select.select([_STANDARD_INPUT], [], [], 0)[0]:
            self._take(os.read(_STANDARD_INPUT, _READ_BYTES))

    def _answer_or_wait(self, question: _Question) -> None:
        names = (f"{question.job}.{question.step_id}", question.step_id)
        found = next((self._answers[name] for name in names if name in self._answers), None)
        if found is not None:
            self._answer_from_file(question, found)
        elif os.isatty(_STANDARD_INPUT):
            self._waiting.append(question)
        else:
            hint = f'--answers FILE answers it: {{"{question.step_id}": {{"NAME": VALUE}}}}'
            _send(question, {}, f"nobody can be asked, as standard input is no terminal; {hint}")

    def _answer_from_file(self, question: _Question, found: Mapping[str, object]) -> None:
        from agent.flow.forms import check_values

        try:
            _send(question, check_values(question.form, found, "--answers"))
        except UsageError as error:
            _send(question, {}, str(error))

    def _take(self, data: bytes) -> None:
        question = self._asked
        assert question is not None
        if not data:
            self._asked = None
            _send(question, {}, "nothing was answered")
            return
        *lines, self._typed = (self._typed + data).split(b"\n")
        for line in lines:
            self._say(*question.dialogue.feed(line.decode("utf-8", "replace")))
            if question.dialogue.values is not None:
                self._asked = None
                _send(question, question.dialogue.values)
                return
            self._say(question.dialogue.prompt)

    def _drop(self, job: str, step: int) -> None:
        """Its step has ended otherwise: it needs no answer any more."""
        self._waiting = deque(item for item in self._waiting if (item.job, item.step) != (job, step))
        if self._asked is not None and (self._asked.job, self._asked.step) == (job, step):
            self._asked = None

    def _say(self, *lines: str) -> None:
        for line in lines:
            self._screen.show({"kind": "question", "text": line})


def _send(question: _Question, values: Mapping[str, object], refusal: str = "") -> None:
    import getpass

    try:
        answer_step(question.folder, question.step, getpass.getuser(), values, refusal)
    except UnreachableError:  # it has ended meanwhile: its journal says how
        return
