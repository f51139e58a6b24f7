"""Lineage: what was made from what, in both directions, from a version of a dataset, and from a run."""

import msgspec
from starlette.responses import Response

from agent.server.api.datasets import VERSION, find_named
from agent.server.data.dataset_views import UseView, VersionView, view_use, view_version
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page, cut, next_cursor, part
from agent.server.store import datasets, lineage


class LineageView(msgspec.Struct):
    """A version; the versions that the job which made it had read; and, newest first, the jobs that have read it."""

    version: VersionView
    inputs: list[UseView]
    readers: list[UseView]
    next: Next


class RunDatasets(msgspec.Struct):
    """What a run has read and made, in the order of time."""

    datasets: list[UseView]
    next: Next


async def show_lineage(call: Call) -> Response:
    """Where a version comes from, and who has read it."""
    page = call.query(Page)
    before = page.after(tuple[int, str])
    async with call.rooms.database.read() as connection:
        dataset, row = await find_named(connection, call)
        tags = await datasets.tags_of(connection, [row.id])
        found = await lineage.list_readers(connection, row.id, before=before, limit=page.limit + 1)
        inputs = []
        if row.run is not None and row.committed_at is not None:
            inputs = await lineage.list_inputs(connection, row.run, row.job, row.committed_at)
    shown = cut(found, page.limit)
    after = next_cursor(found, page.limit, (shown[-1].run, shown[-1].job) if shown else None)
    version = view_version(dataset, row, tags.get(row.id, ()))
    return view_response(
        LineageView(version, [view_use(use) for use in inputs], [view_use(use) for use in shown], after)
    )


async def list_of_run(call: Call) -> Response:
    """The versions of datasets that a run has read and made."""
    async with call.rooms.database.read() as connection:
        rows = await lineage.list_of_run(connection, call.number("run"))
    shown, after = part(
        rows,
        call.query(Page),
        lambda row: (row.time, row.version, row.direction, row.job),
        tuple[float, int, str, str],
    )
    return view_response(RunDatasets([view_use(row) for row in shown], after))


OPERATIONS = (
    Operation(
        "GET",
        f"{VERSION}/lineage",
        Access.VIEWER_OR_JOB,
        show_lineage,
        query=Page,
        answers={200: LineageView},
    ),
    Operation(
        "GET",
        f"{V1}/runs/{{run:int}}/datasets",
        Access.VIEWER,
        list_of_run,
        query=Page,
        answers={200: RunDatasets},
    ),
)
