"""Statuses of runs, told to the host of their commit: GitHub's, Gitea's or GitLab's.

Reports of a run go out in their order; one that can't be sent is tried again, later and later, and given up in the end.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from agent.errors import AgentError, RefusedError, UnreachableError
from agent.flow.repository import split_repository
from agent.server.events.changes import Changes
from agent.server.pools import Pool
from agent.server.process.asking import ask
from agent.server.runs.platform_events import TRIGGERS
from agent.server.store import repositories, status_reports
from agent.server.store.database import Connection
from agent.server.store.repositories import RepositoryRow
from agent.server.store.status_reports import LONGEST_CONTEXT, StatusReportRow
from agent.server.triggers.connected import Connected
from agent.server.triggers.lanes import Lanes
from agent.server.triggers.outside import AllowedUrl, OutsideRule, host_of

_SECONDS: Final = 20.0
_CLAIM_SECONDS: Final = 120.0
_MOST_ATTEMPTS: Final = 10
_LOOKED_AT: Final = 50
_BLOCKED_SECONDS: Final = 1.0  # what is due waits for what is being sent, whose end says so
_GITLAB_STATES: Final = {"failure": "failed", "error": "canceled"}
_LONGEST_DESCRIPTION: Final = 140  # GitHub's


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """One call of a host's API."""

    url: str
    headers: Mapping[str, str]
    body: Mapping[str, str]


def make_start(
    repository: RepositoryRow, report: StatusReportRow, token: str, target_url: str
) -> StatusRequest:
    """The call that tells of `report`. Pure."""
    description = report.description[:_LONGEST_DESCRIPTION]
    context = report.context[:LONGEST_CONTEXT]
    api = repository.api_url or default_api_url(repository)
    if repository.provider == "gitlab":
        path = quote(urlsplit(repository.url).path.strip("/").removesuffix(".git"), safe="")
        return StatusRequest(
            f"{api}/projects/{path}/statuses/{report.commit}",
            {"PRIVATE-TOKEN": token},
            {
                "state": _GITLAB_STATES.get(report.state, report.state),
                "name": context,
                "description": description,
                "target_url": target_url,
            },
        )
    _, name = split_repository(repository.url)
    scheme = "Bearer" if repository.provider == "github" else "token"
    return StatusRequest(
        f"{api}/repos/{name}/statuses/{report.commit}",
        {"Authorization": f"{scheme} {token}", "Accept": "application/json"},
        {"state": report.state, "context": context, "description": description, "target_url": target_url},
    )


def default_api_url(repository: RepositoryRow) -> str:
    """Where the API of the repository's host is, unless it was said."""
    server = split_repository(repository.url)[0] or "https://github.com"
    if repository.provider == "gitlab":
        return f"{server}/api/v4"
    if repository.provider == "gitea":
        return f"{server}/api/v1"
    return "https://api.github.com" if server == "https://github.com" else f"{server}/api/v3"


class Statuses:
    """Sends reports."""

    def __init__(
        self,
        changes: Changes,
        connected: Connected,
        outside: OutsideRule,
        threads: Pool,
        public_url: Callable[[], str],
    ) -> None:
        self._changes = changes
        self._connected = connected
        self._outside = outside
        self._threads = threads
        self._public_url = public_url
        self.lanes: Lanes | None = None  # while somebody works; a lane is a repository
        self._is_blocked = False

    async def next_due(self, connection: Connection) -> float | None:
        """When there is something to send."""
        if self._is_blocked:
            return self._changes.clock.now() + _BLOCKED_SECONDS
        return await status_reports.next_due(connection)

    async def work(self) -> None:
        """Begin to send every report that is due, a repository's one after the other."""
        assert self.lanes is not None, "somebody works"
        self._is_blocked = False
        async with self._changes.database.read() as connection:
            due = await status_reports.list_due(connection, self._changes.clock.now(), _LOOKED_AT)
        for row in due:
            if not self.lanes.has_room(row.repository):
                self._is_blocked = True
                continue
            async with self._changes.begin() as change:
                until = change.now + _CLAIM_SECONDS
                is_mine = await status_reports.claim_report(change.connection, row, until)
            if is_mine:
                self.lanes.start(row.repository, self._deliver(row))

    async def _deliver(self, row: StatusReportRow) -> None:
        problem = ""
        is_final = True
        try:
            await self._send(row)
        except AgentError as error:
            problem, is_final = str(error), isinstance(error, RefusedError)
        async with self._changes.begin() as change:
            change.wake(TRIGGERS)
            attempt = row.attempt + 1
            again = change.now + min(5.0 * 2**attempt, 3600.0)
            is_over = not problem or is_final or attempt >= _MOST_ATTEMPTS
            await status_reports.settle_report(
                change.connection,
                row.id,
                due_at=None if is_over else again,
                sent_at=None if problem else change.now,
                problem=problem,
            )

    async def _send(self, row: StatusReportRow) -> None:
        async with self._changes.database.read() as connection:
            repository = await repositories.find_repository(connection, row.repository)
        if repository is None:
            raise RefusedError("the repository is not connected any more")
        token = self._connected.read_credentials(repository).rpartition(":")[2]
        base = self._public_url()
        target = f"{base}/status/runs/{row.run}" if base and row.run else base
        request = make_start(repository, row, token, target)
        url = request.url
        await post(request, await self._threads.run_for(host_of(url), self._outside.check, url))


async def post(request: StatusRequest, place: AllowedUrl) -> None:
    """Send it to `place`, which its URL was found to be. Raises UnreachableError when it may work later, RefusedError when it will not."""
    url, host, extensions = place.pin(request.url)
    headers = {"Content-Type": "application/json", "User-Agent": "flow-agent", **request.headers, **host}
    content = json.dumps({name: value for name, value in request.body.items() if value})
    answer = await ask(
        *("POST", url),
        seconds=_SECONDS,
        where=request.url,
        trust_env=False,
        headers=headers,
        content=content,
        extensions=extensions,
    )
    if answer.is_success:
        return
    said = f"the host answered {answer.status}"
    if answer.status == 429 or answer.status >= 500:
        raise UnreachableError(said, where=request.url)
    hint = "may its token set commit statuses?" if answer.status in (401, 403, 404) else ""
    raise RefusedError(said, where=request.url, hint=hint)
