"""`Idempotency-Key` on POSTs: the same request, sent again because its answer was lost, happens once.

    claimed --the handler answered--> answered       later ones with the same body get that answer
       |----the handler refused-----> free           it did nothing; the key may be used again

The claim is a row that only one can insert, so it holds over several servers. A server that is killed between the
handler's commit and the answer leaves a claim that never ends: whoever repeats it is told that nobody knows.
"""

import hmac
import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from agent.clock import Clock
from agent.errors import UsageError
from agent.seal.envelope import MasterKey, decrypt, encrypt
from agent.server.process.problems import ConflictError, MalformedError
from agent.server.store import idempotency
from agent.server.store.database import Database

HEADER = "Idempotency-Key"
_KEPT_SECONDS = 24 * 3600.0
_LONGEST_REQUEST_SECONDS = 60.0
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """The right to carry out a request."""

    owner: str
    key: str

    @property
    def scope(self) -> str:
        """What the stored answer is bound to."""
        return f"idempotency/{self.owner}/{self.key}"


class Idempotency:
    """The keys of this installation."""

    def __init__(self, database: Database, clock: Clock, master: MasterKey, key: bytes) -> None:
        self._database = database
        self._clock = clock
        self._master = master
        self._key = key  # so that no digest tells a guess at what a body held (a secret, say) from a miss

    async def claim(self, key: str, request: Request, owner: str, body: bytes) -> KeyClaim | Response:
        """The right to carry out the request of `owner`, or the answer that it had before.

        Raises MalformedError for a key of the wrong form, UsageError when the key was used for something else,
        ConflictError while the first request is still being answered.
        """
        if not _KEY.fullmatch(key):
            raise MalformedError(f"{HEADER} is 1 to 255 visible ASCII characters")
        claim = KeyClaim(owner, key)
        digest = self._digest(request, body)
        now = self._clock.now()
        async with self._database.write() as connection:
            await idempotency.forget_keys(connection, now - _KEPT_SECONDS)
            if await idempotency.claim_key(connection, claim.owner, key, digest, now):
                return claim
            row = await idempotency.find_key(connection, claim.owner, key)
        if row is None:
            raise ConflictError(f"the {HEADER} was given back just now", hint="send the request again")
        return self._answer(claim, row, digest, now)

    async def keep(self, claim: KeyClaim, response: Response) -> None:
        """The request was answered so."""
        sealed = encrypt(self._master, bytes(response.body), scope=claim.scope)
        async with self._database.write() as connection:
            await idempotency.save_answer(connection, claim.owner, claim.key, response.status_code, sealed)

    async def release(self, claim: KeyClaim) -> None:
        """The request was refused, and did nothing."""
        async with self._database.write() as connection:
            await idempotency.release_key(connection, claim.owner, claim.key)

    def _digest(self, request: Request, body: bytes) -> str:
        address = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
        return hmac.digest(self._key, b"idempotency\0" + address + body, "sha256").hex()

    def _answer(self, claim: KeyClaim, row: idempotency.KeyRow, digest: str, now: float) -> Response:
        if row.digest != digest:
            raise UsageError(f"the {HEADER} was used for another request", hint="a new request has a new key")
        if row.status is None or row.answer is None:
            raise _unfinished(now - row.created_at)
        body = decrypt(self._master, row.answer, scope=claim.scope)
        headers = {"Cache-Control": "no-store", "Idempotency-Replayed": "true"}
        return Response(body, row.status, headers, "application/json")


def _unfinished(age_seconds: float) -> ConflictError:
    if age_seconds < _LONGEST_REQUEST_SECONDS:
        return ConflictError(f"a request with this {HEADER} is being answered", hint="ask again in a moment")
    return ConflictError(
        f"a request with this {HEADER} began, and how it ended was never noted: the server was stopped",
        hint="look whether it took effect; if not, send it with a new key",
    )
