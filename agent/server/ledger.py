"""From a journal's bytes to rows: steps, annotations, summaries, and the job's end.

`jobs.journal_applied` says how far this has come; it moves in the transaction that writes the rows, so a crash
repeats at most what changes nothing.
"""

import asyncio

from agent.errors import DamagedError
from agent.journal.format import Annotation, Closed, Log, Opened, Record, StepChanged, Summary
from agent.server.changes import Change, Changes
from agent.server.journals import Journals
from agent.server.live import job_topic
from agent.server.runs import Runs
from agent.server.store import jobs, leases, records
from agent.spec import codec
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.wire.lease import LeaseEvent, LeaseTerms, advance

_MOST_UNSTORED_BYTES = 8 << 20  # of output, to be read again after a restart


class Ledger:
    """Applies journals."""

    def __init__(self, changes: Changes, journals: Journals, runs: Runs, terms: LeaseTerms) -> None:
        self._changes = changes
        self._journals = journals
        self._runs = runs
        self._terms = terms
        self._seen: dict[
            tuple[str, int], int
        ] = {}  # beyond `journal_applied` there was only output up to here

    async def apply(self, job: str, lease: int, durable: int) -> bool:
        """Apply what is new in the journal of (job, lease): whether the job has ended with it.

        `durable` is how far the journal is synced: no row may say what a power cut could take back. A journal that breaks its format ends the job as a failure of the infrastructure: nothing that comes after
        could be trusted. A lease that is not the current one is left alone.
        """
        async with self._changes.database.read() as connection:
            row = await jobs.find_job(connection, job)
        if row is None or row.lease != lease or row.status == "completed":
            return False
        try:
            has_ended = await self._apply_from(job, lease, row.journal_applied, durable)
        except (
            DamagedError,
            ValueError,
            OverflowError,
        ) as error:  # values that no column takes are damage too
            await self._end(job, lease, _damaged(error))
            has_ended = True
        if has_ended:
            self._seen.pop((job, lease), None)
        return has_ended

    async def _apply_from(self, job: str, lease: int, applied: int, durable: int) -> bool:
        offset = max(applied, self._seen.get((job, lease), 0))
        while found := await asyncio.to_thread(self._journals.records, job, lease, offset, durable):
            offset = found[-1][0]
            if offset - applied < _MOST_UNSTORED_BYTES and all(
                isinstance(record, Log) for _, record in found
            ):
                self._changes.wake(job_topic(job))
            elif await self._store(job, lease, found):
                return True
            else:
                applied = offset
            self._seen[job, lease] = offset
        return False

    async def _store(self, job: str, lease: int, found: list[tuple[int, Record]]) -> bool:
        async with self._changes.begin() as change:
            change.wake(job_topic(job))
            for end, record in found:
                if isinstance(record, Closed):
                    await jobs.set_applied(change.connection, job, lease, end)
                    await self._close(change, job, lease, record.result)
                    return True
                await _put(change, job, lease, end, record)
            await jobs.set_applied(change.connection, job, lease, found[-1][0])
        return False

    async def _end(self, job: str, lease: int, result: JobResult) -> None:
        async with self._changes.begin() as change:
            await self._close(change, job, lease, result)

    async def _close(self, change: Change, job: str, lease: int, result: JobResult) -> None:
        row = await jobs.find_job(change.connection, job)
        if row is None or row.lease != lease or row.agent is None:
            return
        held = await leases.find_lease(change.connection, job, lease, row.agent)
        done = advance(held, LeaseEvent.COMPLETE, now=change.now, terms=self._terms)
        await leases.save_lease(change.connection, done, change.now)
        await self._runs.finish_job(change, job, result)


async def _put(change: Change, job: str, lease: int, end: int, record: Record) -> None:
    match record:
        case Opened():
            if (record.job, record.lease) != (job, lease):
                raise DamagedError("the journal says that it is another job's", where=f"job {job}")
            if record.machine is not None:
                await jobs.set_machine(change.connection, job, lease, codec.dump(record.machine))
        case StepChanged():
            await records.put_step(change.connection, job, lease, record)
        case Annotation():
            await records.put_annotation(change.connection, job, lease, end, record)
        case Summary():
            await records.put_summary(change.connection, job, lease, end, record)
        case Log() | Closed():
            pass


def _damaged(error: Exception) -> JobResult:
    message = f"the job's journal arrived damaged: {error}"
    return JobResult(Conclusion.FAILURE, failure_kind=FailureKind.INFRASTRUCTURE, message=message)
