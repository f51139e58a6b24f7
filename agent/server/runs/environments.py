"""Environments of a project: what each asks for before a job may enter it. Each call is one transaction."""

from typing import Annotated

import msgspec

from agent.errors import NotFoundError, UsageError
from agent.flow.filters import explain_pattern
from agent.server.events.changes import Changes
from agent.server.process.paging import Page, part
from agent.server.store import environments
from agent.server.store.environments import Environment

_LONGEST_WAIT_MINUTES = 30 * 24 * 60
_LONGEST_NAME = 255

_Name = Annotated[str, msgspec.Meta(max_length=_LONGEST_NAME)]


class EnvironmentBody(msgspec.Struct, forbid_unknown_fields=True):
    """What it asks for. No `reviewers`: every maintainer is one. No `branches`: jobs of all may enter."""

    approvals: Annotated[int, msgspec.Meta(ge=0, le=6)] = 0
    reviewers: Annotated[list[_Name], msgspec.Meta(max_length=100)] = []
    own_review: bool = True
    wait_minutes: Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_WAIT_MINUTES)] = 0
    branches: Annotated[list[_Name], msgspec.Meta(max_length=100)] = []


class EnvironmentView(EnvironmentBody, kw_only=True, forbid_unknown_fields=False):
    """An environment."""

    name: str


class Environments:
    """The environments of projects."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list_of(self, project: int, page: Page) -> tuple[list[EnvironmentView], str | None]:
        """The project's environments by name."""
        async with self._changes.database.read() as connection:
            found = await environments.list_environments(connection, project)
        shown, after = part(found, page, lambda environment: environment.name.casefold(), str)
        return [_view(environment) for environment in shown], after

    async def load(self, project: int, name: str) -> EnvironmentView:
        """What an environment asks for. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            found = await environments.find_environment(connection, project, name)
        if found is None:
            raise _nothing(name)
        return _view(found)

    async def put(self, project: int, name: str, wanted: EnvironmentBody) -> EnvironmentView:
        """Make an environment, or change what it asks for; jobs that wait already go by what they were told. Raises UsageError."""
        environment = _read(name.strip(), wanted)
        async with self._changes.begin() as change:
            await environments.put_environment(change.connection, project, environment, change.now)
        return _view(environment)

    async def remove(self, project: int, name: str) -> None:
        """Forget an environment: it asks for nothing any more. Raises NotFoundError."""
        async with self._changes.begin() as change:
            if not await environments.remove_environment(change.connection, project, name):
                raise _nothing(name)


def _read(name: str, wanted: EnvironmentBody) -> Environment:
    if not name or len(name) > _LONGEST_NAME:
        raise UsageError(f"an environment's name has 1 to {_LONGEST_NAME} characters", where=name[:80])
    for pattern in wanted.branches:
        complaint = explain_pattern(pattern)
        if complaint:
            raise UsageError(f"the pattern '{pattern}' {complaint}", where="branches")
    return Environment(
        name,
        wanted.approvals,
        tuple(wanted.reviewers),
        wanted.own_review,
        wanted.wait_minutes,
        tuple(wanted.branches),
    )


def _nothing(name: str) -> NotFoundError:
    return NotFoundError(f"there is no environment '{name}'")


def _view(environment: Environment) -> EnvironmentView:
    return EnvironmentView(
        name=environment.name,
        approvals=environment.approvals,
        reviewers=list(environment.reviewers),
        own_review=environment.is_own_review_allowed,
        wait_minutes=environment.wait_minutes,
        branches=list(environment.branches),
    )
