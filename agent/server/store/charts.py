"""Charts of jobs: what their samples were folded into, and how far their journals were read for that."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import charts
from agent.server.store.upsert import insert


@dataclass(frozen=True, slots=True)
class ChartRow:
    """`data` is `agent.server.data.charts.chart`'s; with it the journal was read up to `offset`."""

    lease: int
    offset: int
    data: bytes


async def find_chart(connection: AsyncConnection, job: str, lease: int) -> ChartRow | None:
    """The chart of the job under this lease."""
    columns = [charts.c[name] for name in ChartRow.__slots__]
    query = select(*columns).where(charts.c.job == job, charts.c.lease == lease)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else ChartRow(*row)


async def save_chart(connection: AsyncConnection, job: str, row: ChartRow) -> None:
    """The chart of the job from now on: one a job, its last lease's."""
    values = {"lease": row.lease, "offset": row.offset, "data": row.data}
    statement = insert(connection, charts).values(job=job, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=[charts.c.job], set_=values))
