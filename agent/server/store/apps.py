"""Apps of a job, as they stand: JSON in its row, a list of name, port, state, and what is wrong, each at its place."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent import codec
from agent.server.store.hot import Hot
from agent.server.store.schema import jobs
from agent.spec.apps import APPS, AppState
from agent.spec.job import AppSpec


@dataclass(frozen=True, slots=True)
class AppRow:
    """One app. `port` 0: its agent has not picked one yet."""

    name: str
    port: int
    state: AppState = AppState.WAITING
    message: str = ""


def describe_apps(apps: Sequence[AppSpec]) -> str:
    """The apps of a job that nobody has begun with."""
    return codec.dump([AppRow(app.name, app.port) for app in apps])


def read_apps(text: str) -> tuple[AppRow, ...]:
    """The apps that a row's text says."""
    return tuple(codec.from_json(AppRow, app) for app in json.loads(text))


async def set_app(connection: AsyncConnection, job: str, lease: int, place: int, now: AppRow) -> None:
    """The app at `place` stands so. Raises ImpossibleTransitionError, ValueError for a place that the job has not."""
    apps = list(await _load(connection, job, lease))
    if not 0 <= place < len(apps):
        raise ValueError(f"the job has no app {place}")
    old = apps[place]
    if old.state is not now.state:
        APPS.check(old.state, now.state)
    apps[place] = replace(now, name=old.name)
    await _SET_APPS.count(connection, wanted=job, under=lease, new=codec.dump(apps))


async def reset_apps(connection: AsyncConnection, job: str, lease: int) -> None:
    """Another attempt at the job begins: all its apps are waited for."""
    apps = await _load(connection, job, lease)
    if apps:
        fresh = [replace(app, state=AppState.WAITING, message="") for app in apps]
        await _SET_APPS.count(connection, wanted=job, under=lease, new=codec.dump(fresh))


async def _load(connection: AsyncConnection, job: str, lease: int) -> tuple[AppRow, ...]:
    row = await _APPS.row(connection, wanted=job, under=lease)
    return () if row is None else read_apps(row[0])


_HELD = (jobs.c.id == bindparam("wanted"), jobs.c.lease == bindparam("under"))
_APPS = Hot(select(jobs.c.apps).where(*_HELD))
_SET_APPS = Hot(update(jobs).where(*_HELD).values(apps=bindparam("new")))
