"""A change of state: one transaction, the events that tell of it, and who is woken when it is committed."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agent.clock import Clock
from agent.server.events import audit
from agent.server.events.live import QUEUE, Bus, job_topic, project_topic, run_topic
from agent.server.events.views import json_text, view_job, view_run
from agent.server.process.metrics import FirstStep, Told
from agent.server.store import agents, events, jobs, locks, records, runs
from agent.server.store.database import Connection, Database
from agent.server.store.failures import UnavailableError
from agent.server.store.jobs import JobRow
from agent.server.store.upsert import is_sqlite

log = logging.getLogger("agent.server")


@dataclass(slots=True)
class Change:
    """An open transaction. All of it happens, or nothing."""

    connection: Connection
    now: float
    topics: set[str] = field(default_factory=set)
    locked: set[int] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)
    news: list[events.NewEvent] = field(default_factory=list)

    async def lock_run(self, run: int) -> None:
        """Before anything of a run or of its jobs is read that the change builds on: be the only one who changes it.

        Who needs several runs locks them in the order of their numbers, before anything else.
        """
        if run not in self.locked:
            await locks.lock_run(self.connection, run)
            self.locked.add(run)

    async def try_lock_run(self, run: int) -> bool:
        """As `lock_run`, without waiting; False when somebody else is at it, or there is no such run."""
        if run not in self.locked and await locks.lock_run(self.connection, run, waits=False):
            self.locked.add(run)
        return run in self.locked

    async def lock_job(self, job: str) -> JobRow | None:
        """Lock the job's run, and read the job."""
        row = await jobs.find_job(self.connection, job)
        if row is None or row.run in self.locked:
            return row
        await self.lock_run(row.run)
        return row if is_sqlite(self.connection) else await jobs.find_job(self.connection, job)

    def wake(self, topic: str) -> None:
        """Wake `topic` after the commit."""
        self.topics.add(topic)

    def wake_queue(self) -> None:
        """Let the dispatcher look after the commit."""
        self.wake(QUEUE)

    async def tell_run(self, run: int) -> None:
        """Note how the run stands now."""
        row = await runs.find_run(self.connection, run)
        if row is not None:
            self.told.append(row)
            await self._tell(row.project, run, "run", json_text(view_run(row)))

    async def tell_job(self, job: JobRow | str) -> None:
        """Note how the job stands now; its row saves a look at it."""
        row = await jobs.find_job(self.connection, job) if isinstance(job, str) else job
        if row is not None:
            self.told.append(row)
            names = await agents.names_of(self.connection, [row.agent])
            await self._tell(row.project, row.run, "job", json_text(view_job(row, names)))
            self.wake(job_topic(row.id))

    async def note_first_step(self, job: str) -> None:
        """A job's first step has begun; it counts when it is the first one of the run."""
        created_at = await records.find_first_step_of_run(self.connection, job)
        if created_at is not None:
            self.told.append(FirstStep(created_at))

    async def tell_waiting(self, project: int, run: int, key: str, reason: str) -> None:
        """Note why a job waits of which there is no row yet."""
        await self._tell(project, run, "waiting", json.dumps({"job": key, "reason": reason}))

    async def tell_dataset(self, project: int, run: int, data: str) -> None:
        """Note that the run has made a version of a dataset; `data` is JSON text."""
        await self._tell(project, run, "dataset", data)

    async def _tell(self, project: int, run: int, kind: str, data: str) -> None:
        """What is told of a run comes in the order in which it came to be only under the run's lock."""
        await self.lock_run(run)
        self.news.append(events.NewEvent(run, kind, data))
        self.wake(run_topic(run))
        self.wake(project_topic(project))


class Changes:
    """Where changes begin."""

    def __init__(self, database: Database, bus: Bus, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self._bus = bus
        self.on_told: Callable[[float, Sequence[Told]], None] = lambda _now, _told: None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Change]:
        """A change: committed at the end of the block, then the wake-ups go out; undone when the block raises.

        The first one of an audited call takes its row in the audit log along.
        """
        async with self.database.write() as connection:
            change = Change(connection, self.clock.now())
            yield change
            entry = audit.current()
            if entry is not None:
                await audit.write(connection, entry, change.now)
            await self._bus.announce(connection, change.topics)
            if change.news:
                await events.add_events(connection, change.news, change.now)
        if entry is not None:
            entry.is_written = True
        for topic in change.topics:
            self._bus.wake(topic)
        self.on_told(change.now, change.told)

    async def write_down(self, entry: audit.AuditedCall, outcome: audit.Outcome = "done") -> None:
        """The row of what changed nothing else. Without the database it stands in our own log that it is missing."""
        try:
            async with self.database.write() as connection:
                await audit.write(connection, entry, self.clock.now(), outcome)
        except UnavailableError as error:  # the caller is told of that already, or gets what was asked for
            log.warning("%s by %s is not in the audit log: %s", entry.action, entry.actor, error)
            return
        entry.is_written = True

    def wake(self, topic: str) -> None:
        """Wake `topic` without a change of rows: bytes have come."""
        self._bus.wake(topic)
