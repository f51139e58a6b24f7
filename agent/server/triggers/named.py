"""Webhooks by name: each starts one flow, with inputs from the body, for whoever knows its secret."""

import re
import secrets
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from agent.errors import NotFoundError, UsageError
from agent.flow.load import load_flow
from agent.flow.model import TriggerKind
from agent.seal.tokens import new_token
from agent.server.events.changes import Change, Changes
from agent.server.people.vault import Vault
from agent.server.pools import Pool
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.process.problems import ConflictError, MalformedError
from agent.server.store import deliveries, flows, webhooks
from agent.server.store.flows import FlowRow
from agent.server.store.webhooks import WebhookRow
from agent.server.triggers.dispatching import dispatch, tell
from agent.server.triggers.from_platform import find_source
from agent.server.triggers.inbox import read_payload, run_long
from agent.server.triggers.known_flows import find_flow
from agent.server.triggers.signatures import BadSignatureError, check_signature
from agent.server.triggers.starting import Starter, new_key

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_TAKEN: Final = ("github", "gitea", "gitlab")


class WebhookView(msgspec.Struct, kw_only=True):
    """A webhook; its secret is shown when it is made, and never again."""

    name: str
    url: str
    flow: int
    created: Moment | None


class NewWebhook(WebhookView, kw_only=True):
    """A webhook with its secret."""

    secret: str


class NamedWebhooks:
    """The webhooks of this server."""

    def __init__(self, changes: Changes, vault: Vault, starter: Starter, threads: Pool) -> None:
        self._changes = changes
        self._threads = threads
        self._vault = vault
        self._starter = starter

    async def list_of(self, project: int, page: Page, base_url: str) -> tuple[list[WebhookView], str | None]:
        """The project's webhooks by name, as they are reached at `base_url`."""
        async with self._changes.database.read() as connection:
            found = await webhooks.list_webhooks(connection, project)
        rows, after = part(found, page, lambda row: row.name, str)
        return [WebhookView(**_fields(row, base_url)) for row in rows], after

    async def make(self, project: int, name: str, flow: int | str, base_url: str) -> NewWebhook:
        """Make a webhook that starts a flow of the project, by its number or, when it is stored here, its name.

        Raises NotFoundError for the flow, UsageError for the name, ConflictError when it is taken.
        """
        async with self._changes.begin() as change:
            started = await find_flow(change.connection, project, flow)
            row, secret = await self._add(change, project, name, started.id)
        return NewWebhook(**_fields(row, base_url), secret=secret)

    async def remove(self, name: str) -> None:
        """Forget a webhook."""
        async with self._changes.begin() as change:
            await webhooks.remove_webhook(change.connection, name)

    async def _add(self, change: Change, project: int, name: str, flow: int) -> tuple[WebhookRow, str]:
        """The row, and the secret in clear."""
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise UsageError(
                f"'{name[:80]}' is no name for a webhook", hint="lower-case letters, digits, - . _"
            )
        if await webhooks.find_webhook(change.connection, name) is not None:
            raise ConflictError(
                f"there is a webhook '{name}' already", hint="its name is one over all projects"
            )
        secret = new_token("fa_hook", secrets.token_bytes(32))
        row = WebhookRow(name, project, flow, self._vault.lock(secret, make_scope(name)), change.now)
        await webhooks.add_webhook(change.connection, row)
        return row, secret

    async def check(self, name: str, headers: Mapping[str, str], body: bytes | None) -> WebhookRow:
        """Which webhook this is. `body` None: asked before it is read. Raises BadSignatureError."""
        async with self._changes.database.read() as connection:
            row = await webhooks.find_webhook(connection, name)
        if row is None:
            raise BadSignatureError("there is no such webhook, or its secret is not right", where="/hooks")
        secret = self._vault.unlock(row.secret, make_scope(name))
        check_signature("webhook", secret, headers, body, self._changes.clock.now())
        return row

    async def receive(self, name: str, headers: Mapping[str, str], body: bytes) -> int | None:
        """Start the webhook's flow: its run, or None for a delivery that was here before.

        Raises BadSignatureError, also when there is no such webhook; MalformedError; UsageError for inputs that the
        flow does not take.
        """
        row = await self.check(name, headers, body)
        async with self._changes.database.read() as connection:
            flow = await flows.find_flow(connection, row.flow)
            if flow is None:
                raise NotFoundError("the webhook's flow is gone", where=name)
            source = await find_source(connection, flow)
        kind = headers.get("content-type", "")
        asked = await run_long(self._threads, len(body), partial(read_asked, flow, body, kind))
        identifier = headers.get("webhook-id", "")[:200] if "webhook-signature" in headers else ""
        key = await self._write_down(row, identifier or new_key(), asked.event)
        if key is None:
            return None
        actor = f"webhook {name}"
        if asked.payload is None:
            return await dispatch(self._starter, flow, source, asked.inputs, actor=actor, key=key)
        return await tell(self._starter, flow, source, asked.event, asked.payload, actor=actor, key=key)

    async def _write_down(self, row: WebhookRow, identifier: str, event: str) -> str | None:
        """Note the delivery; None for a replay of one. The key of its start."""
        async with self._changes.begin() as change:
            number = await deliveries.add_delivery(
                change.connection,
                project=row.project,
                scope=f"webhook/{row.name}",
                identifier=identifier,
                replay_key=identifier,
                provider="webhook",
                event=event,
                action="",
                subject=row.name,
                payload="{}",
                depth=0,
                now=change.now,
                outcome="it starts its flow at once; the answer says with which run, or why not",
            )
        return None if number is None else f"delivery/{number}/webhook"


def _fields(row: WebhookRow, base_url: str) -> dict[str, Any]:
    return {
        "name": row.name,
        "url": f"{base_url}/hooks/{row.name}",
        "flow": row.flow,
        "created": time_text(row.created_at),
    }


class Asked(NamedTuple):
    """What a body asks for: a start by hand with inputs, or, with a payload, that the flow is told of an event."""

    event: str
    inputs: Mapping[str, object] = MappingProxyType({})
    payload: Mapping[str, object] | None = None


def read_asked(flow: FlowRow, body: bytes, content_type: str) -> Asked:
    """What the body of a delivery is to the flow. Raises MalformedError, InvalidFlowError."""
    read = load_flow(flow.text, flow.name, dialect=flow.dialect).flow
    trigger = read.trigger_of(TriggerKind.NAMED)
    if trigger is None:
        return Asked(read.dialect.by_hand, inputs=read_inputs(body, content_type))
    return Asked(trigger.event, payload=read_payload(body, content_type) if body.strip() else {})


def read_inputs(body: bytes, content_type: str) -> dict[str, object]:
    """The inputs in a body: a JSON object of texts, numbers, booleans and `{value: ...}` or `{id: ...}`. Raises MalformedError."""
    payload = read_payload(body, content_type) if body.strip() else {}
    inputs: dict[str, object] = {}
    for name, value in payload.items():
        if not isinstance(value, str | bool | int | float | dict):
            raise MalformedError(f"the input '{name[:80]}' is neither text nor number nor true or false")
        inputs[name] = value
    return inputs


def make_scope(name: str) -> str:
    """What the encryption of a webhook's secret is bound to."""
    return f"webhooks/{name}/secret"
