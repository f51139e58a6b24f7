"""Lineage: what was made from what, in both directions, from a version of a dataset, and from a run."""

import msgspec
from starlette.responses import Response

from agent.server.api.datasets import VERSION, version_of
from agent.server.data.dataset_views import UseView, VersionView
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page


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
    datasets = call.rooms.data.datasets
    return view_response(LineageView(*await datasets.load_lineage(version_of(call), call.query(Page))))


async def list_of_run(call: Call) -> Response:
    """The versions of datasets that a run has read and made."""
    datasets = call.rooms.data.datasets
    return view_response(RunDatasets(*await datasets.list_of_run(call.number("run"), call.query(Page))))


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
        f"{V1}/runs/{{run:run}}/datasets",
        Access.VIEWER,
        list_of_run,
        query=Page,
        answers={200: RunDatasets},
    ),
)
