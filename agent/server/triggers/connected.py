"""Connected repositories: made, changed, forgotten; their mirrors on this server; the flows of their default branches."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from agent.errors import AgentError, NotFoundError, UnreachableError, UsageError
from agent.flow.folders import FLOW_FOLDERS
from agent.flow.model import Flow
from agent.flow.problems import InvalidFlowError
from agent.ids import ENTROPY_BYTES, make_id
from agent.resolve.reference import check_ref, check_segments
from agent.seal.tokens import new_token
from agent.server.events.changes import Changes
from agent.server.people.vault import Vault
from agent.server.pools import OverloadedError, Pools
from agent.server.process.problems import ConflictError
from agent.server.store import deliveries, projects, repositories
from agent.server.store.database import Connection
from agent.server.store.repositories import RepositoryRow
from agent.server.triggers.called import (
    CallingRepository,
    OtherRepositories,
    ReadOthers,
    is_same_host,
    plain_url,
    read_beside,
    read_called,
)
from agent.server.triggers.known import FoundFlow, read_found, store_repository_flows
from agent.server.triggers.mirror import Mirror
from agent.server.triggers.outside import OutsideRule, check_api_url, check_url, host_of
from agent.trees import remove_tree

P = ParamSpec("P")
T = TypeVar("T")

PROVIDERS: Final = ("github", "gitea", "gitlab", "git")
FORKS: Final = ("approve", "run", "never")
DEFAULT_FOLDERS: Final = tuple(folder.path for folder in FLOW_FOLDERS)
_FRESH_SECONDS: Final = 15.0  # a copy that is served is not asked of its host again
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_HOSTS: Final = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "codeberg.org": "gitea",
    "gitea.com": "gitea",
}


@dataclass(frozen=True, slots=True)
class Connecting:
    """What is said of a repository; None: as it is, or the default."""

    name: str | None = None
    provider: str | None = None
    url: str | None = None
    api_url: str | None = None
    default_branch: str | None = None
    folders: tuple[str, ...] | None = None
    forks: str | None = None
    reports_status: bool | None = None
    credentials: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    flows: Mapping[str, FoundFlow] = field(default_factory=dict)
    called: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


class Connected:
    """The repositories of this server."""

    def __init__(
        self,
        changes: Changes,
        vault: Vault,
        outside: OutsideRule,
        pools: Pools,
        folder: Path,
        limit_bytes: int,
    ) -> None:
        self._changes = changes
        self._vault = vault
        self._outside = outside
        self._pools = pools
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._locks: dict[str, asyncio.Lock] = {}
        self._others = OtherRepositories(outside, folder / "called", limit_bytes, pools.outside)

    async def connect(self, project: int, wanted: Connecting) -> tuple[RepositoryRow, str]:
        """Connect a repository: its row, and the secret of its webhook, which nobody can show a second time.

        With a `default_branch` it need not answer now: what goes wrong is the row's `problem`. Raises UsageError,
        ConflictError; RefusedError for one that the server may not speak to; NotFoundError.
        """
        identifier = make_id("repo", secrets.token_bytes(ENTROPY_BYTES))
        secret = wanted.secret or new_token("fa_hook", secrets.token_bytes(32))
        row = self._make_row(identifier, project, replace(wanted, secret=secret))
        if not wanted.default_branch:
            row = replace(row, default_branch=await self._find_default_branch(row))
        await self._check_place(row.url)
        async with self._changes.begin() as change:
            if await repositories.find_by_name(change.connection, project, row.name) is not None:
                raise ConflictError(f"there is a repository '{row.name}' already")
            row = replace(row, created_at=change.now)
            await repositories.add_repository(change.connection, row)
        await self.sync(identifier)
        return await self.load(identifier), secret

    async def change(self, row: RepositoryRow, wanted: Connecting) -> RepositoryRow:
        """Change what `wanted` names. Raises UsageError."""
        values: dict[str, object] = dict(_checked(wanted))
        for url in (values.get("url"), values.get("api_url")):
            if url:
                await self._check_place(str(url))
        if wanted.credentials is not None:
            values["credentials"] = self._lock(row.id, "credentials", wanted.credentials)
        if wanted.secret:
            values["secret"] = self._lock(row.id, "secret", wanted.secret)
        async with self._changes.begin() as change:
            if values and not await repositories.change_repository(change.connection, row.id, **values):
                raise NotFoundError("there is no such repository")
        return await self.load(row.id)

    async def remove(self, row: RepositoryRow) -> None:
        """Forget a repository; its runs stay."""
        async with self._changes.begin() as change:
            await repositories.remove_repository(change.connection, row.id)
        async with self._turn(row.id):
            await self._pools.files.run(remove_tree, self._folder / row.id)
            await self._pools.files.run(remove_tree, self._folder / f"{row.id}.whole")

    async def load(self, repository: str) -> RepositoryRow:
        """The repository. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            row = await repositories.find_repository(connection, repository)
        if row is None:
            raise NotFoundError("there is no such repository")
        return row

    async def sync(self, repository: str) -> None:
        """Fetch, and learn the flows of the default branch. What goes wrong becomes the row's `problem`."""
        row = await self.load(repository)
        try:
            async with self.open(row) as mirror:
                await self.learn(row, mirror, is_afresh=True)
        except AgentError as error:
            async with self._changes.begin() as change:
                values = {"problem": str(error), "synced_at": change.now}
                await repositories.change_repository(change.connection, repository, **values)

    @contextlib.asynccontextmanager
    async def open(self, row: RepositoryRow) -> AsyncIterator[Mirror]:
        """The repository's mirror, fresh, for as long as the block runs; one at a time."""
        async with self._turn(row.id):
            yield await self.ask(row.url, self._refresh_mirror, row)

    async def find_whole(self, row: RepositoryRow, commit: str, ref: str) -> Path:
        """A whole copy of the repository on this server's disk, `commit` in it, where that is asked for.

        It is asked of the host again when it is older than some seconds, or has not the commit. Raises as `open` does.
        """
        folder = self._folder / f"{row.id}.whole"

        def bring() -> None:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place = self._outside.check(row.url)
            mirror = Mirror(folder, place, self.read_credentials(row), self._limit_bytes, is_whole=True)
            is_fresh = (folder / "HEAD").exists() and time.time() - folder.stat().st_mtime < _FRESH_SECONDS
            if not is_fresh or (commit and not mirror.has(commit)):
                mirror.refresh()
                mirror.set_head(row.default_branch)
                if commit:
                    mirror.fetch(commit, *([ref] if ref else []))
                os.utime(folder)

        async with self._turn(f"{row.id}.whole"):
            await self.ask(row.url, bring)
        return folder

    async def ask(self, url: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` on a mirror gives: it may wait for the host of `url`. Raises OverloadedError."""
        return await self._pools.outside.run_for(host_of(url), work, *args, **kwargs)

    async def learn(self, row: RepositoryRow, mirror: Mirror, *, is_afresh: bool = False) -> None:
        """Write down the flows of the default branch, when it has moved since this was done last; or in any case."""
        head = await self.ask(row.url, mirror.find, f"refs/heads/{row.default_branch}")
        problem = "" if head else f"it has no branch '{row.default_branch}'"
        if head and head == row.head and not row.problem and not is_afresh:
            return
        others = await self.open_others(row)
        found = _Found() if not head else await self.ask(row.url, _read_all, mirror, head, row, others)
        async with self._changes.begin() as change:
            await store_repository_flows(
                change, row.project, row.id, found.flows, found.called, found.problems
            )
            values = {"head": head, "problem": problem, "synced_at": change.now}
            await repositories.change_repository(change.connection, row.id, **values)

    async def open_others(self, row: RepositoryRow, *, is_trusted: bool = True) -> ReadOthers:
        """Reads the flows of other repositories that flows of this one call; with tokens, when it `is_trusted`."""
        async with self._changes.database.read() as connection:
            known = await repositories.list_repositories(connection, row.project) if is_trusted else []
        tokens = {plain_url(one.url): one for one in known if one.credentials is not None}

        def find_token(url: str) -> str:
            own = row if is_trusted and is_same_host(row.url, url) else None
            one = tokens.get(plain_url(url), own)
            return "" if one is None else self.read_credentials(one)

        return self._others.reader(CallingRepository(row.project, row.url, find_token))

    async def find_secret(self, repository: str) -> tuple[RepositoryRow, str] | None:
        """A repository with the secret of its webhook."""
        async with self._changes.database.read() as connection:
            row = await repositories.find_repository(connection, repository)
        if row is None or row.secret is None:
            return None
        return row, self._vault.unlock(row.secret, make_scope(row.id, "secret"))

    def read_credentials(self, row: RepositoryRow) -> str:
        """What opens the repository: `USER:TOKEN`, a token, or nothing."""
        if row.credentials is None:
            return ""
        return self._vault.unlock(row.credentials, make_scope(row.id, "credentials"))

    async def find_job_token(self, connection: Connection, run: int) -> str:
        """The token that jobs of the run have as `GITHUB_TOKEN`: the repository's own, of a run that is trusted."""
        origin = await deliveries.find_origin(connection, run)
        if origin is None or origin.repository is None or not origin.is_trusted:
            return ""
        row = await repositories.find_repository(connection, origin.repository)
        project = None if row is None else await projects.find_project(connection, row.project)
        if row is None or project is None or project.settings.serve_repositories:
            return ""  # the job's own token opens the copy that is served
        return self.read_credentials(row).rpartition(":")[2]

    def _make_row(self, identifier: str, project: int, wanted: Connecting) -> RepositoryRow:
        values = _checked(wanted)
        url = str(values.get("url", ""))
        if not url:
            raise UsageError("a repository needs its url")
        return RepositoryRow(
            id=identifier,
            project=project,
            name=str(values.get("name") or _name_of(url)),
            provider=str(values.get("provider") or _guess_provider(url)),
            url=url,
            api_url=str(values.get("api_url", "")),
            default_branch=str(values.get("default_branch") or "main"),
            folders=str(values.get("folders") or json.dumps(DEFAULT_FOLDERS)),
            forks=str(values.get("forks") or FORKS[0]),
            reports_status=bool(values.get("reports_status", bool(wanted.credentials))),
            credentials=self._lock(identifier, "credentials", wanted.credentials or ""),
            secret=self._lock(identifier, "secret", wanted.secret or ""),
            head="",
            problem="",
            synced_at=None,
            created_at=0.0,
        )

    async def _check_place(self, url: str) -> None:
        """Raise RefusedError for what the server may not speak to; that it does not answer now is another matter."""
        with contextlib.suppress(UnreachableError):
            await self.ask(url, self._outside.check, url)

    async def _find_default_branch(self, row: RepositoryRow) -> str:
        try:
            branch = await self.ask(row.url, lambda: self._make_mirror(row).find_default_branch())
        except UnreachableError as error:
            hint = "say its default branch to connect it all the same"
            raise UsageError(error.what, where=error.where, hint=hint) from None
        return _check_branch(branch)

    def _refresh_mirror(self, row: RepositoryRow) -> Mirror:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mirror = self._make_mirror(row)
        mirror.refresh()
        return mirror

    def _make_mirror(self, row: RepositoryRow) -> Mirror:
        place = self._outside.check(row.url)
        return Mirror(self._folder / row.id, place, self.read_credentials(row), self._limit_bytes)

    def _lock(self, repository: str, what: str, value: str) -> bytes | None:
        return self._vault.lock(value, make_scope(repository, what)) if value else None

    def _turn(self, repository: str) -> asyncio.Lock:
        return self._locks.setdefault(repository, asyncio.Lock())


def read_flows(mirror: Mirror, commit: str, row: RepositoryRow) -> tuple[dict[str, str], dict[str, str]]:
    """The flows of a commit: text by path, and the problem by path of those that can't be read. Blocks."""
    texts: dict[str, str] = {}
    problems: dict[str, str] = {}
    for file in mirror.list_flows(commit, json.loads(row.folders)):
        try:
            texts[file.path] = mirror.read(file)
        except AgentError as error:
            problems[file.path] = str(error)
    return texts, problems


def _read_all(mirror: Mirror, commit: str, row: RepositoryRow, others: ReadOthers) -> "_Found":
    texts, problems = read_flows(mirror, commit, row)
    called: dict[str, Mapping[str, str]] = {}
    flows: dict[str, FoundFlow] = {}
    for path, text in texts.items():
        try:
            flow = flows[path] = read_found(path, text, mirror.open_companions(commit, path))
            if isinstance(flow.read, Flow):
                lock = read_beside(mirror, commit, path, "flow.lock")
                called[path] = read_called(mirror, commit, flow.read, lock, others)
        except InvalidFlowError:  # one that it calls: told when it is to start
            continue
        except OverloadedError:
            raise
        except AgentError as error:
            problems[path] = str(error)
            del flows[path]
    return _Found(flows, called, problems)


def _checked(wanted: Connecting) -> dict[str, object]:
    """The columns that `wanted` sets, but for secrets. Raises UsageError."""
    return {
        name: check(value) for name, check in _CHECKS.items() if (value := getattr(wanted, name)) is not None
    }


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name[:80]}' is no name for a repository", hint="such as acme/lab")
    return name


def _check_choice(value: str, what: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UsageError(f"'{value[:80]}' is no {what}", hint=f"one of {', '.join(choices)}")
    return value


def _check_branch(name: str) -> str:
    complaint = check_ref(name)
    if complaint:
        raise UsageError(f"'{name[:80]}' is no branch", hint=complaint)
    return name


def _check_folder(folder: str) -> str:
    folder = folder.strip("/")
    complaint = check_segments(folder) if folder else "name a folder"
    if complaint or not folder.isprintable():
        raise UsageError(f"'{folder[:80]}' is no folder of a repository", hint=complaint)
    return folder


_CHECKS: Final[Mapping[str, Callable[[Any], object]]] = {
    "name": _check_name,
    "provider": lambda value: _check_choice(value, "provider", PROVIDERS),
    "url": check_url,
    "api_url": lambda value: check_api_url(value) if value else "",
    "default_branch": _check_branch,
    "folders": lambda value: json.dumps([_check_folder(folder) for folder in value]),
    "forks": lambda value: _check_choice(value, "rule for forks", FORKS),
    "reports_status": bool,
}


def _name_of(url: str) -> str:
    parts = [part for part in url.removesuffix(".git").partition("://")[2].split("/")[1:] if part]
    name = "/".join(parts[-2:])
    if not _NAME.fullmatch(name):
        raise UsageError("the URL gives no name", hint="give the repository a name")
    return name


def _guess_provider(url: str) -> str:
    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0].lower()
    if host not in _HOSTS:
        raise UsageError(
            f"what kind of host {host or 'this'} is can't be told from its name",
            hint=f"say the provider: {', '.join(PROVIDERS)}",
        )
    return _HOSTS[host]


def make_scope(repository: str, what: str) -> str:
    """What the encryption of a repository's `credentials` or `secret` is bound to."""
    return f"repositories/{repository}/{what}"
