"""Webhooks come in: proven to be from whom they say, written down once, answered at once; the worker does the rest."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

from agent.server.events.changes import Changes
from agent.server.pools import Pool
from agent.server.process.problems import MalformedError
from agent.server.runs.platform_events import TRIGGERS
from agent.server.store import deliveries
from agent.server.store.repositories import RepositoryRow
from agent.server.store.retention import SIGNED_ALONE
from agent.server.triggers.connected import Connected
from agent.server.triggers.delivery import Delivery, Payload, UnknownEventError
from agent.server.triggers.providers import EVENT_HEADERS, ID_HEADERS, READERS
from agent.server.triggers.signatures import BadSignatureError, check_signature

_DEEPEST = 50  # of a payload's JSON; it travels to agents within a message (`agent.wire.codec.MAX_DEPTH`)
_LONGEST = 200  # characters of what is shown of it
_QUICK_BYTES = 64 << 10  # of JSON, that are read in a millisecond
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")


T = TypeVar("T")


class Inbox:
    """Where webhooks of repositories arrive."""

    def __init__(self, changes: Changes, connected: Connected, threads: Pool) -> None:
        self._changes = changes
        self._threads = threads
        self._connected = connected

    async def check(
        self, provider: str, repository: str, headers: Mapping[str, str], body: bytes | None
    ) -> RepositoryRow:
        """Whose webhook this is. `body` None: asked before it is read. Raises BadSignatureError."""
        found = await self._connected.find_secret(repository)
        if found is None or found[0].provider != provider:
            raise BadSignatureError(
                "there is no such webhook, or its signature is not right", where=f"/hooks/{provider}"
            )
        row, secret = found
        check_signature(provider, secret, headers, body, self._changes.clock.now())
        return row

    async def receive(
        self, provider: str, repository: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int | None, str]:
        """Take a delivery in that `check` let pass: its number (None: it was here already), and what is to be said of it.

        `headers` have lower-case names. Raises BadSignatureError, also when there is no such repository: who does not
        know the secret learns nothing; MalformedError.
        """
        row = await self.check(provider, repository, headers, body)
        event = _header(headers, EVENT_HEADERS[provider])
        letter = await run_long(self._threads, len(body), partial(_read_letter, row, event, headers, body))
        return await self._write_down(row, letter, headers, body)

    async def _write_down(
        self, row: RepositoryRow, letter: "_Letter", headers: Mapping[str, str], body: bytes
    ) -> tuple[int | None, str]:
        digest = hashlib.sha256(body).hexdigest()
        identifier = _header(headers, ID_HEADERS[row.provider]) or digest
        # GitHub and Gitea sign the body alone, so that a replay may bear a new id, but not another body.
        is_signed_alone = row.provider in SIGNED_ALONE and not letter.outcome
        async with self._changes.begin() as change:
            number = await deliveries.add_delivery(
                change.connection,
                project=row.project,
                scope=row.id,
                identifier=_plain(identifier),
                replay_key=digest if is_signed_alone else _plain(identifier),
                provider=row.provider,
                event=_plain(_header(headers, EVENT_HEADERS[row.provider])),
                action=_plain(letter.action),
                subject=_plain(letter.subject),
                payload=letter.payload,
                depth=0,
                now=change.now,
                outcome=letter.outcome or None,
            )
            change.wake(TRIGGERS)
        return number, letter.outcome or ("" if number is not None else "this delivery was here before")


class _Letter(NamedTuple):
    """What is written down of a delivery."""

    action: str
    subject: str
    payload: str  # of one that our own settings refuse too: they may be mended
    outcome: str  # "": it is to be worked off


def _read_letter(row: RepositoryRow, event: str, headers: Mapping[str, str], body: bytes) -> _Letter:
    """Raises MalformedError."""
    payload = dict(read_payload(body, headers.get("content-type", "")))
    payload.pop("secret", None)  # old versions of Gitea send it along
    try:
        delivery = READERS[row.provider](event, payload)
        if not delivery.repository:
            raise MalformedError("the delivery names no repository")
        outcome = explain_stranger(row, delivery)
    except UnknownEventError as error:
        delivery, outcome, payload = Delivery(row.provider, event), error.what, {}
    subject = f"pull/{delivery.pull.number}" if delivery.pull else delivery.ref
    return _Letter(delivery.action, subject, json.dumps(payload), outcome)


async def run_long(threads: Pool, size: int, work: Callable[[], T]) -> T:
    """What `work` gives, which reads `size` bytes: where they are many in a thread, for others wait for this one."""
    return work() if size < _QUICK_BYTES else await threads.run(work)


def read_payload(body: bytes, content_type: str = "") -> Payload:
    """The JSON object in `body`; GitHub also sends it as the form field `payload`. Raises MalformedError."""
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        from urllib.parse import parse_qs

        try:
            body = parse_qs(body.decode(), max_num_fields=10)["payload"][0].encode()
        except (ValueError, KeyError):
            raise MalformedError("the form has no field 'payload'") from None
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"the delivery is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise MalformedError("the delivery is not a JSON object")
    check_payload(payload)
    return payload


def check_payload(payload: object, what: str = "the delivery", where: str = "") -> None:
    """Raise MalformedError when `payload`, called `what`, is nested deeper than anybody needs, or holds what no text may have."""
    level = [payload]
    for _ in range(_DEEPEST):
        if not level:
            return
        for text in level:
            if isinstance(text, str) and _NO_TEXT.search(text):
                raise MalformedError(f"{what} holds characters that no text may have", where=where)
            if isinstance(text, float) and not math.isfinite(text):
                raise MalformedError(f"{what} holds a number that is none", where=where)
        level = [inner for outer in level for inner in _parts(outer)]
    raise MalformedError(f"{what} is nested more than {_DEEPEST} deep", where=where)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else ()


def explain_stranger(row: RepositoryRow, delivery: Delivery) -> str:
    """Why nothing comes of a delivery whose repository is not the webhook's; "" where it is."""
    path = row.url.removesuffix(".git").lower()
    if path.endswith(f"/{delivery.repository.lower()}"):
        return ""
    return (
        f"it is about {delivery.repository}, and this webhook is of {row.url}; if that has another address now, "
        f"PATCH /api/v1/repositories/{row.id} and repeat the delivery"
    )


def _header(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((headers[name] for name in names if headers.get(name)), "")


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:_LONGEST])
