"""`/api/v1/webhooks`: webhooks by name; and `/hooks/...`, where deliveries arrive."""

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import ANY, V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next
from agent.server.triggers.named import NewWebhook, WebhookView

_PATH = f"{V1}/webhooks/{{webhook}}"


class WebhookBody(msgspec.Struct, forbid_unknown_fields=True):
    """A webhook's name, and the flow that it starts: a stored one's name, or any one's number."""

    name: str
    flow: str | int


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
    named = call.rooms.triggers.named
    return view_response(
        WebhookList(*await named.list_of(call.project.id, call.query(LongPage), call.base_url))
    )


async def add_webhook(call: Call) -> Response:
    """Make a webhook; the answer is the only place that shows its secret."""
    body = await call.body(WebhookBody)
    made = await call.rooms.triggers.named.make(call.project.id, body.name, body.flow, call.base_url)
    return view_response(made, 201)


async def remove_webhook(call: Call) -> Response:
    """Forget a webhook."""
    await call.rooms.triggers.named.remove(call.text("webhook"))
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
