"""Forms that steps of running jobs wait for people to fill in: asked in the journal, answered here, brought to the agent.

An answer is stored before it is acknowledged to who gives it, and is sent to the agent on each of its connections until the
journal tells that the step has ended (`agent.server.agents.connection`); the job goes on with the first that it hears.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agent.errors import NotFoundError, UsageError
from agent.flow.filled import check_answer
from agent.journal.format import FormAsked, Record, StepChanged
from agent.server.events import audit
from agent.server.events.changes import Change, Changes
from agent.server.events.live import agent_topic
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.process.problems import ConflictError, TooLargeError
from agent.server.store import forms, jobs
from agent.server.store.forms import AskedRow, FormRow
from agent.server.store.jobs import JobRow
from agent.spec.status import JobStatus

MOST_ANSWER_BYTES = 256 << 10


class FormView(msgspec.Struct):
    """A form that a step waits for: `form` is a JSON schema of what is filled in."""

    run: int
    job: str
    key: str
    step: int
    title: str
    form: dict[str, Any]
    asked: Moment | None


class GivenView(msgspec.Struct):
    """An answer that was given, and by whom."""

    job: str
    key: str
    step: int
    title: str
    answered_by: str
    answered: Moment | None


class AnswerView(msgspec.Struct):
    """The answer that is stored."""

    run: int
    job: str
    key: str
    step: int
    title: str
    values: dict[str, Any]


class Forms:
    """What people are asked for."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list_of(self, project: int, page: Page, run: int | None) -> tuple[list[FormView], str | None]:
        """The open forms of a project, or of one run, oldest first; and `next`."""
        async with self._changes.database.read() as connection:
            found = await forms.list_open(connection, project, run)
        shown, after = part(found, page, _place, tuple[float, str, int])
        return [_view(row) for row in shown], after

    async def given_of(self, project: int, run: int) -> list[GivenView]:
        """The answers that a run was given, oldest first."""
        async with self._changes.database.read() as connection:
            found = await forms.list_given(connection, project=project, run=run)
        return [_view_given(row) for row in found]

    async def answer(self, job: str, step: int | None, given: Mapping[str, object], by: str) -> AnswerView:
        """Answer what a job's step waits for; without `step` the only one that does.

        Raises NotFoundError; ConflictError when none waits, or was answered already; UsageError when the form does not
        take it, or several wait; TooLargeError.
        """
        if len(json.dumps(dict(given))) > MOST_ANSWER_BYTES:
            raise TooLargeError(f"an answer is at most {MOST_ANSWER_BYTES} bytes")
        async with self._changes.begin() as change:
            row = await change.lock_job(job)
            if row is None:
                raise NotFoundError(f"there is no job {job}")
            found = await _find(change, row, step)
            audit.note(run=row.run, job=row.key, step=found.step, title=found.title)
            values = check_answer(json.loads(found.form), given, where=found.title)
            if not await forms.put_answer(change.connection, found, json.dumps(values), by, change.now):
                raise _answered(found)
            if await jobs.want_room(change.connection, row.id, row.lease):
                change.wake_queue()
            await _say_waiting(change, row)
            change.wake(agent_topic(row.agent or ""))
        return AnswerView(row.run, row.id, row.key, found.step, found.title, values)


async def note_forms(change: Change, row: JobRow, found: Sequence[Record]) -> None:
    """What a job's journal says of its forms: that steps ask, and that those that did have ended."""
    has_changed = False
    for record in found:
        if isinstance(record, FormAsked):
            is_free = record.gives_back and row.nodes == 1
            gave_back = is_free and await jobs.give_room_back(change.connection, row.id, row.lease)
            await forms.add_form(change.connection, row.id, row.lease, record, gave_back=gave_back)
            if gave_back:
                change.wake_queue()
            has_changed = True
        elif isinstance(record, StepChanged) and record.state == "completed":
            step = record.step
            has_changed |= await forms.end_form(change.connection, row.id, row.lease, step, change.now)
    if has_changed:
        await _say_waiting(change, row)


async def _say_waiting(change: Change, row: JobRow) -> None:
    """Let the job be shown as waiting for whoever it waits for now."""
    found = await forms.list_of_job(change.connection, row.id)
    asked = [form for form in found if form.answered_at is None]
    if asked:
        words = f"waits for a person: {asked[0].title}; agent run answer {row.run} {row.key}"
    elif found:
        words = say_answered(found[-1].answered_by)
    else:
        words = ""
    changed = await jobs.set_held(change.connection, row.id, row.lease, words)
    if changed is not None:
        await change.tell_job(changed)


def say_answered(by: str | None, reason: str = "") -> str:
    """What a job waits for whose form is answered: its agent has to hear of it; before, there has to be room, which is not for the `reason`."""
    then = f"it waits for room on its agent: {reason}" if reason else "it goes on when its agent has heard"
    return f"answered by {by}; {then}" if by else f"answered; {then}"


async def _find(change: Change, row: JobRow, step: int | None) -> FormRow:
    """The form that is to be answered. Raises as `Forms.answer`; of one that waits no more says who has answered it."""
    found = await forms.list_of_job(change.connection, row.id)
    if not any(step in (None, form.step) for form in found):
        earlier = await forms.list_given(change.connection, job=row.id)
        given = [one.form for one in earlier if step in (None, one.form.step)]
        if given:
            raise _answered(given[-1])
    return _choose(row, found, step)


def _choose(row: JobRow, found: Sequence[FormRow], step: int | None) -> FormRow:
    if row.status is not JobStatus.RUNNING:
        state = "has ended" if row.status is JobStatus.COMPLETED else "has not begun"
        raise ConflictError(f"the job {row.key} {state}: it waits for no answer")
    wanted = [form for form in found if step in (None, form.step)]
    asked = [form for form in wanted if form.answered_at is None]
    if not wanted:
        which = "" if step is None else f" in step {step}"
        raise ConflictError(f"the job {row.key} waits for no answer{which}")
    if not asked:
        raise _answered(wanted[-1])
    if len(asked) > 1:
        shown = ", ".join(f"{form.step} ({form.title})" for form in asked)
        raise UsageError("several steps of the job wait for an answer", hint=f"name one of {shown}")
    return asked[0]


def _answered(form: FormRow) -> ConflictError:
    who = f", by {form.answered_by}" if form.answered_by else ""
    return ConflictError(
        f"'{form.title}' was answered already{who}", hint="the first answer is the one that counts"
    )


def _place(row: AskedRow) -> tuple[float, str, int]:
    return row.form.asked_at, row.form.job, row.form.step


def _view(row: AskedRow) -> FormView:
    form = row.form
    return FormView(
        row.run, form.job, row.key, form.step, form.title, json.loads(form.form), time_text(form.asked_at)
    )


def _view_given(row: AskedRow) -> GivenView:
    form = row.form
    return GivenView(
        form.job, row.key, form.step, form.title, form.answered_by or "", time_text(form.answered_at)
    )
