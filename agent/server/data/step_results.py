"""Results of steps, as jobs find and keep them: in the scopes of their caches, and not at all for a stranger's code."""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from agent.errors import NotFoundError, RefusedError
from agent.server.data.run_scopes import find_scopes
from agent.server.events.changes import Changes
from agent.server.people.auth.runtime import JobIdentity
from agent.server.process.problems import MalformedError, TooLargeError
from agent.server.store import deliveries, jobs, runs, step_results
from agent.server.store.database import Connection
from agent.server.store.jobs import JobRow
from agent.server.store.runs import RunRow
from agent.server.store.step_results import ResultRow

MOST_RESULT_BYTES = 256 << 10
_KEY = re.compile(r"[0-9a-f]{64}")


class StepResultView(msgspec.Struct):
    """What an equal step gave, and which that was."""

    outputs: dict[str, Any]
    run: int
    step: str


class StepResults:
    """The results of a project's steps."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def find(self, job: JobIdentity, key: str) -> StepResultView:
        """What is kept under the key, where the job may see it. Raises NotFoundError, RefusedError, MalformedError."""
        _check_key(key)
        async with self._changes.begin() as change:
            row, run = await _find_trusted(change.connection, job)
            scopes = (await find_scopes(change.connection, run)).read
            found = await step_results.find_result(change.connection, row.project, scopes, key)
            if found is None:
                raise NotFoundError("there is no such result")
            await step_results.note_use(change.connection, row.project, found, change.now)
        return StepResultView(json.loads(found.outputs), found.run, found.step)

    async def keep(self, job: JobIdentity, key: str, outputs: Mapping[str, Any], step: str) -> None:
        """Keep what a step of the job gave; where there is one, that stays. Raises RefusedError, MalformedError, TooLargeError."""
        _check_key(key)
        text = json.dumps(dict(outputs))
        if len(text) > MOST_RESULT_BYTES:
            raise TooLargeError(f"a result is at most {MOST_RESULT_BYTES} bytes")
        async with self._changes.begin() as change:
            row, run = await _find_trusted(change.connection, job)
            scope = (await find_scopes(change.connection, run)).write
            if scope is None:
                raise RefusedError("this run may keep no results")
            result = ResultRow(scope, key, text, row.run, step)
            await step_results.keep_result(change.connection, row.project, result, change.now)


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise MalformedError("a result is named by 64 hexadecimal digits")


async def _find_trusted(connection: Connection, job: JobIdentity) -> tuple[JobRow, RunRow]:
    row, run = await jobs.find_job(connection, job.job), await runs.find_run(connection, job.run)
    if row is None or run is None:
        raise NotFoundError("the job is gone")
    origin = await deliveries.find_origin(connection, run.id)
    if origin is not None and not origin.is_trusted:
        raise RefusedError("the run is of code from outside: it has no part in what others keep")
    return row, run
