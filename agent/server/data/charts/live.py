"""The charts of the jobs whose journals this server takes in, and all charts for whoever wants to see one.

A chart is stored now and then, with the offset up to which its journal is in it; what came since is read from the journal, by whoever looks or,
after a restart, goes on. So nothing is lost with a server, and a row is written every two minutes at most but for the first and the last.
"""

from collections import OrderedDict
from dataclasses import dataclass

from agent.errors import DamagedError
from agent.journal.format import Closed, Record
from agent.journal.samples import JobSample
from agent.server.data.charts.chart import Chart, dump_chart, load_chart
from agent.server.data.charts.view import ChartView, view_chart
from agent.server.data.job_logs import JobLogs
from agent.server.store import charts
from agent.server.store.charts import ChartRow
from agent.server.store.database import Connection, Database

_STORE_SECONDS = 120  # of samples
_MOST_BEHIND_BYTES = 1 << 20  # of journal
_LEAST_SECONDS = 10
_MOST_OPEN = 256

Key = tuple[str, int]
Found = list[tuple[int, Record]]


@dataclass(slots=True)
class _Open:
    chart: Chart
    offset: int
    stored_offset: int = -1
    stored_second: int = 0


class Charts:
    """Folds, stores and shows charts."""

    def __init__(self, database: Database, logs: JobLogs) -> None:
        self._database = database
        self._logs = logs
        self._open: OrderedDict[Key, _Open] = OrderedDict()

    async def add(self, job: str, lease: int, start: int, found: Found) -> None:
        """Records that were read from `start` on."""
        key = (job, lease)
        if key not in self._open and not any(isinstance(record, JobSample) for _end, record in found):
            return
        known = self._open.get(key) or await self._load(job, lease)
        self._open[key] = known
        self._open.move_to_end(key)
        if known.offset < start:
            await self._catch_up(job, lease, known, start)
        _fold(known, found)
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)

    def is_due(self, job: str, lease: int) -> bool:
        """Whether it is time to store the chart."""
        known = self._open.get((job, lease))
        if known is None or known.chart.first is None:
            return False
        seconds = known.chart.last - known.stored_second
        is_far = known.offset - known.stored_offset >= _MOST_BEHIND_BYTES and seconds >= _LEAST_SECONDS
        return known.stored_offset < 0 or seconds >= _STORE_SECONDS or is_far

    async def save(self, connection: Connection, job: str, lease: int, found: Found) -> None:
        """Store the chart, when it is time to or `found` ends it."""
        known = self._open.get((job, lease))
        is_over = any(isinstance(record, Closed) for _end, record in found)
        if known is None or not (is_over or self.is_due(job, lease)):
            return
        await charts.save_chart(connection, job, ChartRow(lease, known.offset, dump_chart(known.chart)))
        known.stored_offset, known.stored_second = known.offset, known.chart.last

    def forget(self, job: str, lease: int) -> None:
        """The journal is over."""
        self._open.pop((job, lease), None)

    async def view(self, job: str, lease: int, start: int | None, end: int | None, points: int) -> ChartView:
        """The job's chart up to now."""
        known = await self._load(job, lease)
        await self._catch_up(job, lease, known, None)
        return view_chart(known.chart, job, lease, start, end, points)

    async def _load(self, job: str, lease: int) -> _Open:
        async with self._database.read() as connection:
            row = await charts.find_chart(connection, job, lease)
        if row is None:
            return _Open(Chart(), 0)
        try:
            chart = load_chart(row.data)
        except DamagedError:  # it is made of the journal anew, as far as there is one
            return _Open(Chart(), 0)
        return _Open(chart, row.offset, row.offset, chart.last)

    async def _catch_up(self, job: str, lease: int, known: _Open, end: int | None) -> None:
        async for found in self._logs.read(job, lease, known.offset):
            _fold(known, found if end is None else [one for one in found if one[0] <= end])
            if end is not None and found[-1][0] >= end:
                return


def _fold(known: _Open, found: Found) -> None:
    for end, record in found:
        if end > known.offset:
            known.offset = end
            if isinstance(record, JobSample):
                known.chart.add(record)
