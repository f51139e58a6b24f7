"""Operations that the server answers, one row each. Routes, checks and the OpenAPI document are made from the same rows.

OPERATIONS = (
    Operation("GET", f"{V1}/things", Access.ADMIN, list_things, query=ThingQuery, answers={200: ThingList}),
    Operation("PUT", f"{V1}/things/{{name}}", Access.ADMIN, put_thing, body=ThingBody, answers={200: Thing}),
)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from agent.server.http.call import Handler
from agent.server.people.auth.access import Access

V1 = "/api/v1"


@dataclass(frozen=True, slots=True)
class Media:
    """A body that is not JSON of a Struct, by its media type."""

    type: str


TEXT = Media("text/plain")
EVENTS = Media("text/event-stream")
BYTES = Media("application/octet-stream")
ANY = Media("*/*")


class NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    """No query parameter is known."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One verb on one path.

    The first line of the handler's docstring is its summary. `query` None: the handler reads its own. `answers` names
    what comes back when all is well; errors are problem details, and `problems` names those that do not follow from
    the row itself (a path with a parameter may be 404, a body may be 413, ...). An operation that is not `documented`
    speaks somebody else's protocol, or is for browsers. An operation that `is_page` says its errors as a page, and sends
    who is not signed in to do so. One that is a `part` belongs to a later call, and leaves that one the row in the audit log.
    One that `is_link` may be led to by pages of other sites, whose links people follow.
    """

    verb: str
    path: str
    access: Access
    handler: Handler
    query: type[msgspec.Struct] | None = NoQuery
    body: type[msgspec.Struct] | Media | None = None
    answers: Mapping[int, type[msgspec.Struct] | Media | None] = field(default_factory=lambda: {204: None})
    problems: tuple[int, ...] = ()
    documented: bool = True
    is_page: bool = False
    is_part: bool = False
    is_link: bool = False

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0].rstrip(".")

    @property
    def is_audited(self) -> bool:
        """Whether a call leaves a row in the audit log."""
        return self.access.is_audited(self.verb) and not self.is_part

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again under its `Idempotency-Key` without happening twice."""
        return self.verb == "POST" and self.documented and self.access.admits_people

    @property
    def name(self) -> str:
        """Its name in the document: unique, and stable."""
        room = self.handler.__module__.removeprefix("agent.server.").removeprefix("api.")
        return f"{room}.{self.handler.__name__}"
