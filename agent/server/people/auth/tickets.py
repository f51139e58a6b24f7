"""Tickets to attach to a job: whoever was let in by the API has one for a websocket, at any server of the installation.

A ticket says who, in which attempt of which job, and what is run there. It is good for a minute, and once; one for an app
of the job for as many connections as come in that minute, since browsers open dozens.
"""

from dataclasses import asdict, dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from agent.clock import Clock
from agent.errors import RefusedError
from agent.server.people.auth.keys import derive_key

TICKET_SECONDS = 60

_ALGORITHM = "HS256"
_AUDIENCE = "attach"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One session: `user` (its id, with the `token` that was shown) runs `command` in the attempt `lease` of `job`."""

    session: str
    job: str
    lease: int
    run: int
    project: int
    agent: str  # its id
    agent_name: str
    name: str
    user: int | None
    token: str
    address: str
    command: list[str]
    terminal: dict[str, Any] | None  # rows, columns, kind
    is_resume: bool = False  # nothing is run: a held job goes on
    app: str = ""  # nothing is run: it is a connection to this app's port


class Tickets:
    """Makes tickets and takes them."""

    def __init__(self, signing_key: bytes, server_id: str, clock: Clock) -> None:
        self._key = OctKey.import_key(derive_key(signing_key, "attach-ticket/1"))
        self._server_id = server_id
        self._clock = clock
        self._spent: dict[
            str, float
        ] = {}  # sessions whose tickets were taken here, and until when that matters

    def make(self, ticket: Ticket) -> str:
        """`ticket` as text."""
        claims = {
            "iss": self._server_id,
            "aud": _AUDIENCE,
            "exp": int(self._clock.now()) + TICKET_SECONDS,
            "ticket": asdict(ticket),
        }
        return jwt.encode({"alg": _ALGORITHM, "typ": "JWT"}, claims, self._key)

    def read(self, text: str) -> Ticket:
        """The ticket in `text`. Raises RefusedError for one that is not ours, or is over."""
        rules = jwt.JWTClaimsRegistry(
            now=int(self._clock.now()),
            iss={"essential": True, "value": self._server_id},
            aud={"essential": True, "value": _AUDIENCE},
            exp={"essential": True},
        )
        try:
            claims = jwt.decode(text, self._key, algorithms=[_ALGORITHM]).claims
            rules.validate(claims)
            return Ticket(**claims["ticket"])
        except (JoseError, ValueError, KeyError, TypeError):
            raise RefusedError("the ticket is not valid, or is over", hint="attach again") from None

    def spend(self, ticket: Ticket) -> None:
        """Take the ticket. Raises RefusedError when it was taken before."""
        if ticket.app:
            return
        now = self._clock.now()
        for session in [session for session, until in self._spent.items() if until < now]:
            del self._spent[session]
        if ticket.session in self._spent:
            raise RefusedError("the ticket was used before", hint="attach again")
        self._spent[ticket.session] = now + 2 * TICKET_SECONDS
