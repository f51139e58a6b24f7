"""Records of a job, from a journal's bytes to rows: steps, annotations, summaries, and the job's end.

`jobs.journal_applied` says how far this has come; it moves in the transaction that writes the rows, so a crash
repeats at most what changes nothing.
"""

import logging
from enum import StrEnum

from agent import codec
from agent.errors import AgentError, DamagedError
from agent.journal.format import (
    Annotation,
    AppChanged,
    Closed,
    FormAsked,
    Log,
    Opened,
    Record,
    StepChanged,
    Summary,
)
from agent.journal.samples import JobSample
from agent.server.data.charts.live import Charts
from agent.server.data.journals import Journals, read_records
from agent.server.data.log_index import LogIndexes
from agent.server.data.record_bounds import read_bounds
from agent.server.events.changes import Change, Changes
from agent.server.events.live import job_topic
from agent.server.runs.forms import note_forms
from agent.server.runs.runs import Runs
from agent.server.store import apps, jobs, leases, records
from agent.server.store.apps import AppRow
from agent.server.store.failures import UnstorableError, translate_failures
from agent.server.store.jobs import JobRow
from agent.server.store.text import without_nul
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.spec.status import JobStatus
from agent.states import ImpossibleTransitionError
from agent.wire.lease import LeaseEvent, LeaseTerms, advance

log = logging.getLogger("agent.server")

_HOLD = (
    "__hold"  # the step of a job that failed and waits for somebody to look (agent.job.supervisor.holding)
)
_LONGEST_MESSAGE = 1000
_MOST_UNSTORED_BYTES = 8 << 20  # of output, to be read again after a restart


class Outcome(StrEnum):
    """What a journal has come to."""

    OPEN = "open"
    CLOSED = "closed"  # its last word is in
    DAMAGED = "damaged"  # it can't go on; the job has ended without its word


class JobRecords:
    """Applies journals."""

    def __init__(
        self,
        changes: Changes,
        journals: Journals,
        runs: Runs,
        terms: LeaseTerms,
        indexes: LogIndexes,
        charts: Charts,
    ) -> None:
        self._changes = changes
        self._journals = journals
        self._runs = runs
        self._terms = terms
        self._indexes = indexes
        self._charts = charts
        # Per journal: how far beyond `journal_applied` it was read and held nothing but output.
        self._seen: dict[tuple[str, int], int] = {}

    async def apply(self, job: str, lease: int, durable: int) -> Outcome:
        """Apply what is new in the journal of (job, lease), and say what that makes of the job.

        `durable` is how far the journal is synced: no row may say what a power cut could take back. A journal that
        breaks its format ends the job as a failure of the infrastructure: nothing that comes after could be trusted.
        A lease that is not the current one is left alone.
        """
        async with self._changes.database.read() as connection:
            row = await jobs.find_job(connection, job)
            if row is None or row.lease != lease:
                return Outcome.OPEN
            if row.status is JobStatus.COMPLETED:  # another server process may have read its last word
                is_whole = await leases.is_released(connection, job, lease)
                return Outcome.CLOSED if is_whole else Outcome.OPEN
        try:
            outcome = await self._apply_from(job, lease, row.journal_applied, durable)
        except (DamagedError, UnstorableError) as error:
            async with self._changes.begin() as change:
                row = await change.lock_job(job)
                if row is not None and row.lease == lease:
                    await self._close(change, row, LeaseEvent.REVOKE, _damaged(error))
            outcome = Outcome.DAMAGED
        if outcome is not Outcome.OPEN:
            self._seen.pop((job, lease), None)
            self._charts.forget(job, lease)
        return outcome

    async def settle(self, change: Change, job: str, lease: int) -> bool:
        """Apply within `change` whatever is stored of a journal whose lease is to end otherwise: True when its last
        word is there and has ended the job, though the server that took it in did not live to read it.

        A journal that breaks its format says nothing.
        """
        row = await change.lock_job(job)
        if row is None or row.lease != lease or row.status is JobStatus.COMPLETED:
            return False
        (durable,) = await self._journals.sync([(job, lease)])
        offset = row.journal_applied
        try:
            with translate_failures(str(self._changes.database.where)):
                async with change.connection.begin_nested():
                    while found := await read_records(self._journals, job, lease, offset, durable):
                        if await self._put_all(change, job, lease, found):
                            self._seen.pop((job, lease), None)
                            return True
                        offset = found[-1][0]
        except (DamagedError, UnstorableError) as error:
            log.warning("job %s: what is stored of its journal can't be read: %s", job, error)
        return False

    async def _apply_from(self, job: str, lease: int, applied: int, durable: int) -> Outcome:
        offset = max(applied, self._seen.get((job, lease), 0))
        while found := await read_records(self._journals, job, lease, offset, durable):
            self._indexes.add(job, lease, offset, found)
            await self._charts.add(job, lease, offset, found)
            offset = found[-1][0]
            is_output = all(isinstance(record, Log | JobSample) for _, record in found)
            is_output = is_output and not self._charts.is_due(job, lease)
            if is_output and offset - applied < _MOST_UNSTORED_BYTES:
                self._changes.wake(job_topic(job))
            elif await self._store(job, lease, found):
                return Outcome.CLOSED
            else:
                applied = offset
            self._seen[job, lease] = offset
        return Outcome.OPEN

    async def _store(self, job: str, lease: int, found: list[tuple[int, Record]]) -> bool:
        """Bring records into rows; True when the last word is among them."""
        async with self._changes.begin() as change:
            return await self._put_all(change, job, lease, found)

    async def _put_all(self, change: Change, job: str, lease: int, found: list[tuple[int, Record]]) -> bool:
        row = await change.lock_job(job)
        if row is None or row.lease != lease:
            return False  # given up meanwhile
        change.wake(job_topic(job))
        await self._charts.save(change.connection, job, lease, found)
        bounds = await read_bounds(change.connection, job, lease, [record for _, record in found])
        if row.waiting or any(isinstance(record, FormAsked) for _, record in found):
            new = [record for end, record in found if end > row.journal_applied]
            await note_forms(change, row, new)
        for end, record in found:
            if end <= row.journal_applied:
                continue  # another server process was quicker
            if isinstance(record, Closed):
                await jobs.set_applied(change.connection, job, lease, end)
                await self._close(change, row, LeaseEvent.COMPLETE, record.result)
                return True
            try:
                if await bounds.has_room(change.connection, record):
                    await _put(change, job, lease, end, record)
            except (ValueError, OverflowError) as error:  # text or numbers that no column can hold
                raise DamagedError(f"a record can't be stored: {error}", where=f"offset {end}") from None
        await jobs.set_applied(change.connection, job, lease, found[-1][0])
        return False

    async def _close(self, change: Change, row: JobRow, event: LeaseEvent, result: JobResult) -> None:
        if row.agent is None:
            return
        held = await leases.find_lease(change.connection, row.id, row.lease, row.agent)
        done = advance(held, event, now=change.now, terms=self._terms)
        await leases.save_lease(change.connection, done, change.now, result.message)
        await self._runs.finish_row(change, row, result)


async def _put(change: Change, job: str, lease: int, end: int, record: Record) -> None:
    match record:
        case Opened():
            await _note_opened(change, job, lease, record)
        case StepChanged():
            await records.put_step(change.connection, job, lease, record)
            if record.step == 0 and record.state == "running":
                await change.note_first_step(job)
            if record.id == _HOLD:
                await _note_held(change, job, lease, record)
        case Annotation():
            await records.put_annotation(change.connection, job, lease, end, record)
        case Summary():
            await records.put_summary(change.connection, job, lease, end, record)
        case AppChanged():
            await _note_app(change, job, lease, record)
        case Log() | FormAsked() | JobSample() | Closed():
            pass  # `note_forms` sees to what is asked, `Charts` to samples


async def _note_opened(change: Change, job: str, lease: int, record: Opened) -> None:
    if (record.job, record.lease) != (job, lease):
        raise DamagedError("the journal says that it is another job's", where=f"job {job}")
    if record.machine is not None:
        await jobs.set_machine(change.connection, job, lease, codec.dump(record.machine))
    await apps.reset_apps(change.connection, job, lease)


async def _note_app(change: Change, job: str, lease: int, record: AppChanged) -> None:
    now = AppRow(record.name, record.port, record.state, without_nul(record.message)[:_LONGEST_MESSAGE])
    try:
        await apps.set_app(change.connection, job, lease, record.place, now)
    except ImpossibleTransitionError as error:
        raise ValueError(str(error)) from None
    await change.tell_job(job)


async def _note_held(change: Change, job: str, lease: int, record: StepChanged) -> None:
    words = f"{record.name} after a failure; see its log" if record.state == "running" else ""
    row = await jobs.set_held(change.connection, job, lease, words)
    if row is not None:
        await change.tell_job(row)


def _damaged(error: AgentError) -> JobResult:
    message = f"the job's journal arrived damaged: {error}"
    return JobResult(Conclusion.FAILURE, failure_kind=FailureKind.INFRASTRUCTURE, message=message)
