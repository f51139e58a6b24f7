"""Visitors of an app: the cookie of the app's origin, checked again and again, and who sent the request.

A page of another origin may lead here, as any link may, and do nothing else: neither read, nor send, nor open a websocket.
"""

from dataclasses import dataclass
from time import monotonic

from starlette.requests import HTTPConnection
from starlette.responses import Response

from agent.errors import NotFoundError, RefusedError
from agent.server.agents.app_reading import KnownApp
from agent.server.agents.attach_permits import AttachableJob
from agent.server.http.connection_limits import prove
from agent.server.http.rooms import Rooms
from agent.server.people.app_visits import VISIT_SECONDS
from agent.server.people.auth.access import Caller
from agent.server.process.apps_origin import read_label

_KEPT_SECONDS = 5.0  # for which what was found out about a visit holds
_MOST_KEPT = 1000


@dataclass(frozen=True, slots=True)
class AppVisit:
    """Somebody, let in to an app of a job that runs."""

    app: KnownApp
    job: AttachableJob
    caller: Caller
    address: str
    origin: str  # of the app, in the browser


class KnownVisits:
    """The visits to apps, by their cookies."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[AppVisit, float]] = {}

    async def find(self, connection: HTTPConnection, rooms: Rooms, label: str) -> AppVisit | None:
        """Whose request this is; None when they have not been let in, or not to this app.

        Raises RefusedError for who may not any more; ConflictError when the job has ended.
        """
        token = connection.cookies.get(cookie_name(rooms), "")
        key, now = (token, label), monotonic()
        kept = self._kept.get(key)
        if kept is not None and kept[1] > now:
            prove(connection.scope)
            return kept[0]
        found = await self._look(connection, rooms, label, token)
        if found is not None:
            prove(connection.scope)
            self._forget_old(now)
            self._kept[key] = (found, now + _KEPT_SECONDS)
        return found

    async def _look(
        self, connection: HTTPConnection, rooms: Rooms, label: str, token: str
    ) -> AppVisit | None:
        visit = await rooms.people.app_visits.find(token) if token else None
        app = None if visit is None else await find_app(rooms, label)
        if visit is None or app is None or visit.app != app.key:
            return None
        job = await rooms.agents.permits.find(app.job, visit.caller, app.name)
        address = connection.client.host if connection.client else ""
        return AppVisit(app, job, visit.caller, address, own_origin(connection, rooms))

    def _forget_old(self, now: float) -> None:
        if len(self._kept) >= _MOST_KEPT:
            self._kept = {key: kept for key, kept in self._kept.items() if kept[1] > now}


async def find_app(rooms: Rooms, label: str) -> KnownApp | None:
    """The app with that label; None when there is none."""
    try:
        job, place = read_label(label)
        return await rooms.agents.apps.find(job, place=place)
    except (ValueError, NotFoundError):
        return None


def own_origin(connection: HTTPConnection, rooms: Rooms) -> str:
    """The origin that the request was sent to, as its browser sees it."""
    assert rooms.process.apps_origin is not None
    return f"{rooms.process.apps_origin.scheme}://{connection.headers.get('host', '').lower()}"


def check_sender(connection: HTTPConnection, rooms: Rooms) -> None:
    """Raises RefusedError for what a page of another origin has sent, unless it is a link that somebody follows."""
    headers = connection.headers
    origin = headers.get("origin")
    is_foreign = origin is not None and origin.lower() != own_origin(connection, rooms)
    is_link = (
        connection.scope.get("method") == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    is_from_elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if is_foreign or (is_from_elsewhere and not is_link):
        raise RefusedError("a page of another site may lead to this app, and do nothing else with it")


def cookie_name(rooms: Rooms) -> str:
    """Of the cookie by which a visit is known."""
    return "__Host-flow-app" if _is_secure(rooms) else "flow-app"


def write_cookie(response: Response, rooms: Rooms, token: str) -> None:
    """Let the browser keep the visit's token, for this origin alone and out of its scripts' reach."""
    response.set_cookie(
        cookie_name(rooms),
        token,
        max_age=int(VISIT_SECONDS),
        path="/",
        secure=_is_secure(rooms),
        httponly=True,
        samesite="lax",
    )


def _is_secure(rooms: Rooms) -> bool:
    return rooms.process.apps_origin is not None and rooms.process.apps_origin.scheme == "https"
