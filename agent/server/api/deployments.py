"""`/api/v1/deployments`: flows of stages that are kept alive."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent import codec
from agent.server.api.runs import FlowBody
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next
from agent.server.streams.deployment_reading import DeploymentView
from agent.server.streams.deployments import MOST_REPLICAS, DeploymentRequest
from agent.spec.job import Source

_PATH = f"{V1}/deployments/{{name}}"

Label = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class DeploymentBody(msgspec.Struct, forbid_unknown_fields=True):
    """A flow that is to be kept alive, `replicas` times, on agents that have all of `labels`, with the code that goes along."""

    flow: FlowBody
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""  # empty: the flow's own
    replicas: Annotated[int, msgspec.Meta(ge=1, le=MOST_REPLICAS)] = 1
    labels: Annotated[list[Label], msgspec.Meta(max_length=20)] = []
    source: dict[str, object] = {}
    lock: str | None = None  # the text of the flow.lock beside the flow


class DeploymentAnswer(msgspec.Struct):
    """The deployment, and what the person who asked for it should be told."""

    deployment: DeploymentView
    warnings: list[str]


class DeploymentList(msgspec.Struct):
    """The project's deployments."""

    deployments: list[DeploymentView]
    next: Next


async def list_deployments(call: Call) -> Response:
    """The project's deployments."""
    reading = call.rooms.streams.reading
    return view_response(DeploymentList(*await reading.list_of(call.project.id, call.query(LongPage))))


async def show_deployment(call: Call) -> Response:
    """One deployment."""
    return view_response(await call.rooms.streams.reading.load(call.project.id, call.text("name")))


async def deploy_flow(call: Call) -> Response:
    """Keep a flow alive; of a name that is deployed already: the new text, with no record lost."""
    body = await call.body(DeploymentBody)
    asked = DeploymentRequest(
        body.name,
        body.flow.file,
        body.flow.text,
        body.flow.dialect,
        body.flow.called,
        codec.from_json(Source, body.source, where="source"),
        body.lock,
        body.labels,
        body.replicas,
    )
    streams, project = call.rooms.streams, call.project.id
    done = await streams.deployments.deploy(project, asked, call.caller)
    view = await streams.reading.load(project, done.name)
    return view_response(DeploymentAnswer(view, list(done.warnings)), 201 if done.is_new else 200)


async def undeploy_flow(call: Call) -> Response:
    """Let a deployment end: nothing is received any more, and what is on its way comes to its end."""
    await call.rooms.streams.deployments.undeploy(call.project.id, call.text("name"))
    return empty_response()


OPERATIONS = (
    Operation(
        "GET",
        f"{V1}/deployments",
        Access.VIEWER,
        list_deployments,
        query=LongPage,
        answers={200: DeploymentList},
    ),
    Operation(
        "POST",
        f"{V1}/deployments",
        Access.MAINTAINER,
        deploy_flow,
        body=DeploymentBody,
        answers={200: DeploymentAnswer, 201: DeploymentAnswer},
        problems=(409, 422),
    ),
    Operation("GET", _PATH, Access.VIEWER, show_deployment, answers={200: DeploymentView}),
    Operation("DELETE", _PATH, Access.MAINTAINER, undeploy_flow),
)
