"""`/api/v1/webhooks`: webhooks by name; and `/hooks/...`, where deliveries arrive."""

from typing import Any

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.events.views import Moment, time_text
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import ANY, V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next, part
from agent.server.store import flows, webhooks

_PATH = f"{V1}/webhooks/{{webhook}}"


class WebhookBody(msgspec.Struct, forbid_unknown_fields=True):
    """A webhook's name, and the flow that it starts: a stored one's name, or any one's number."""

    name: str
    flow: str | int


class WebhookView(msgspec.Struct, kw_only=True):
    """A webhook; its secret is shown when it is made, and never again."""

    name: str
    url: str
    flow: int
    created: Moment | None


class NewWebhook(WebhookView, kw_only=True):
    """A webhook with its secret."""

    secret: str


class WebhookList(msgspec.Struct):
    """The project's webhooks."""

    webhooks: list[WebhookView]
    next: Next


class Received(msgspec.Struct):
    """What became of a delivery so far: its number (null: it was here before), and a word about it."""

    delivery: int | None
    outcome: str


class StartedRun(msgspec.Struct):
    """The run that a webhook started; null for a delivery that was here before."""

    run: int | None


async def list_webhooks(call: Call) -> Response:
    """The project's webhooks."""
    async with call.rooms.database.read() as connection:
        found = await webhooks.list_webhooks(connection, call.project.id)
    rows, after = part(found, call.query(LongPage), lambda row: row.name, str)
    return view_response(WebhookList([WebhookView(**_facts(call, row)) for row in rows], after))


async def add_webhook(call: Call) -> Response:
    """Make a webhook; the answer is the only place that shows its secret."""
    body = await call.body(WebhookBody)
    async with call.rooms.changes.begin() as change:
        if isinstance(body.flow, int):
            flow = await flows.find_flow(change.connection, body.flow)
        else:
            flow = await flows.find_named(change.connection, call.project.id, None, body.flow)
        if flow is None or flow.project != call.project.id:
            raise NotFoundError(
                f"there is no flow '{body.flow}' in this project", hint="see: agent flow list"
            )
        named = call.rooms.triggers.named
        secret = await named.add(change, call.project.id, body.name, flow.id)
        row = await webhooks.find_webhook(change.connection, body.name)
    assert row is not None
    return view_response(NewWebhook(**_facts(call, row), secret=secret), 201)


async def remove_webhook(call: Call) -> Response:
    """Forget a webhook."""
    async with call.rooms.changes.begin() as change:
        await webhooks.remove_webhook(change.connection, call.text("webhook"))
    return empty_response()


async def receive_from_github(call: Call) -> Response:
    """Where GitHub's webhooks arrive."""
    return await _receive(call, "github")


async def receive_from_gitea(call: Call) -> Response:
    """Where Gitea's and Forgejo's webhooks arrive."""
    return await _receive(call, "gitea")


async def receive_from_gitlab(call: Call) -> Response:
    """Where GitLab's webhooks arrive."""
    return await _receive(call, "gitlab")


async def receive_named(call: Call) -> Response:
    """Start the flow of a named webhook."""
    named, name, headers = call.rooms.triggers.named, call.text("hook"), call.request.headers
    await named.check(name, headers, None)
    body = await call.raw_body(call.rooms.process.limits.hook_bytes)
    run = await named.receive(name, headers, body)
    return view_response(StartedRun(run), 202)


async def _receive(call: Call, provider: str) -> Response:
    inbox, name, headers = call.rooms.triggers.inbox, call.text("hook"), call.request.headers
    await inbox.check(provider, name, headers, None)
    body = await call.raw_body(call.rooms.process.limits.hook_bytes)
    number, outcome = await inbox.receive(provider, name, headers, body)
    return view_response(Received(number, outcome), 202)


def _facts(call: Call, row: webhooks.WebhookRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "url": f"{call.base_url}/hooks/{row.name}",
        "flow": row.flow,
        "created": time_text(row.created_at),
    }


OPERATIONS = (
    Operation(
        "GET", f"{V1}/webhooks", Access.MAINTAINER, list_webhooks, query=LongPage, answers={200: WebhookList}
    ),
    Operation(
        "POST",
        f"{V1}/webhooks",
        Access.MAINTAINER,
        add_webhook,
        body=WebhookBody,
        answers={201: NewWebhook},
        problems=(404, 409),
    ),
    Operation("DELETE", _PATH, Access.MAINTAINER, remove_webhook),
    *(
        Operation(
            "POST",
            f"/hooks/{provider}/{{hook}}",
            Access.HOOK,
            handler,
            query=None,
            body=ANY,
            answers={202: Received},
            problems=(403,),
        )
        for provider, handler in (
            ("github", receive_from_github),
            ("gitea", receive_from_gitea),
            ("gitlab", receive_from_gitlab),
        )
    ),
    Operation(
        "POST",
        "/hooks/{hook}",
        Access.HOOK,
        receive_named,
        query=None,
        body=ANY,
        answers={202: StartedRun},
        problems=(403, 409, 422),
    ),
)
