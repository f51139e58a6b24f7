"""Deployments, as people make, change and end them; `deployment_keeper` keeps them alive."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agent import codec
from agent.errors import NotFoundError, UsageError
from agent.flow.model import Flow
from agent.flow.stages import list_named
from agent.plan.request import RunRequest, explain_all_unset
from agent.server.events import audit
from agent.server.events.changes import Change, Changes
from agent.server.events.live import DEPLOYMENTS
from agent.server.people.auth.access import Caller
from agent.server.people.levels import nearest
from agent.server.pools import Pool
from agent.server.process.problems import ConflictError
from agent.server.runs.flow_cache import FlowCache
from agent.server.runs.runs import check_snapshot
from agent.server.runs.starters import check_starter
from agent.server.store import deployments, settings
from agent.server.store.database import Connection
from agent.server.store.deployments import DeploymentRow, PathRow
from agent.server.streams.deployed_flow import DeployedFlow, read_deployed
from agent.spec.job import Source
from agent.visible import check_visible

MOST_REPLICAS = 100
_LONGEST_NAME = 200
_SAME = ("file", "text", "dialect", "called", "source", "lock", "labels")  # else it is a new generation


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    """A flow that is to be kept alive. `name` empty: the flow's own."""

    name: str
    file: str
    text: str
    dialect: str | None
    called: Mapping[str, str]
    source: Source
    lock: str | None
    labels: Sequence[str]
    replicas: int


@dataclass(frozen=True, slots=True)
class Deployed:
    """What came of it: the deployment's name, whether it is new, and what the person who asked should be told."""

    name: str
    is_new: bool
    generation: int
    warnings: tuple[str, ...]


class Deployments:
    """The deployments of this installation. Each call is one transaction; the keeper is woken by it."""

    def __init__(self, changes: Changes, flows: FlowCache, plans: Pool) -> None:
        self._changes = changes
        self._flows = flows
        self._plans = plans

    async def deploy(self, project: int, asked: DeploymentRequest, caller: Caller) -> Deployed:
        """Keep a flow alive, or another text of it, or more or fewer of it.

        Raises InvalidFlowError, UsageError, ConflictError for a path or a flow that another deployment has, RefusedError for who may
        not start the flow.
        """
        called = json.dumps(dict(asked.called), sort_keys=True)
        flow = await self._flows.read(asked.file, asked.text, asked.dialect, called, self._plans)
        read = read_deployed(flow)
        name = asked.name or read.name
        _check(name, asked, read)
        async with self._changes.begin() as change:
            await check_starter(change.connection, flow, project, caller)
            await check_snapshot(change.connection, project, asked.source)
            warnings = await _check_secrets(change.connection, project, flow, read)
            before = await deployments.find_by_name(change.connection, project, name)
            await _check_free(change.connection, project, read, 0 if before is None else before.id)
            values = {
                "flow": read.name,
                "file": asked.file,
                "text": asked.text,
                "dialect": asked.dialect,
                "called": called,
                "source": codec.dump(asked.source),
                "lock": asked.lock,
                "labels": json.dumps(list(asked.labels)),
                "replicas": asked.replicas,
                "is_alone": int(bool(read.alone)),
                "actor": caller.name,
                "changed_at": change.now,
                "due_at": change.now,
            }
            generation = await _put(change, project, name, before, values, read)
            change.wake(DEPLOYMENTS)
            audit.note(deployment=name, generation=generation, replicas=asked.replicas)
        return Deployed(name, before is None, generation, warnings)

    async def undeploy(self, project: int, name: str) -> None:
        """Let a deployment end: nothing is received any more, and its runs drain. Raises NotFoundError."""
        async with self._changes.begin() as change:
            row = await deployments.find_by_name(change.connection, project, name)
            if row is None:
                raise NotFoundError(
                    f"there is no deployment '{name[:80]}'", hint="`agent flow deployments` lists them"
                )
            await deployments.put_paths(change.connection, row.id, ())
            ends = {"replicas": 0, "changed_at": change.now, "due_at": change.now}
            await deployments.change_deployment(change.connection, row.id, ends)
            change.wake(DEPLOYMENTS)
            audit.note(deployment=name)


def _check(name: str, asked: DeploymentRequest, read: DeployedFlow) -> None:
    if not 0 < len(check_visible(name, "a deployment")) <= _LONGEST_NAME or "/" in name:
        raise UsageError(f"a deployment's name has 1 to {_LONGEST_NAME} characters, no / among them")
    if read.alone and asked.replicas > 1:
        raise UsageError(
            f"no two jobs may have the trigger {read.alone[0]} at the same time: it can't have {asked.replicas} replicas",
            where=asked.file,
            hint="deploy it with one; it is started again wherever it can",
        )


async def _check_secrets(
    connection: Connection, project: int, flow: Flow, read: DeployedFlow
) -> tuple[str, ...]:
    """Warnings about secrets that nobody has set. Raises UsageError for one that senders are to show."""
    known = nearest(await settings.list_secrets(connection, project))
    for path in read.paths:
        for name in list_named([path.secret, path.token]):
            if name.upper() not in known:
                raise UsageError(
                    f"secret {name} is not set, and who sends to {path.path} is to show it",
                    where=flow.file,
                    hint=f"`agent secret set {name}` gives it a value",
                )
    return explain_all_unset(flow, RunRequest(), tuple(known))


async def _check_free(connection: Connection, project: int, read: DeployedFlow, own: int) -> None:
    other = await deployments.find_by_flow(connection, project, read.name)
    if other is not None and other.id != own:
        raise ConflictError(
            f"the flow '{read.name}' is deployed already, as '{other.name}'",
            hint=f"deploy it under that name, or `agent flow undeploy '{other.name}'` first; flows have names of their own",
        )
    taken = await deployments.find_taken(connection, project, [row.path for row in read.paths], own)
    for path, holder in taken:
        raise ConflictError(
            f"the deployment '{holder}' receives at {path} already", hint="a path is one flow's in a project"
        )


async def _put(
    change: Change,
    project: int,
    name: str,
    before: DeploymentRow | None,
    values: Mapping[str, object],
    read: DeployedFlow,
) -> int:
    """Write the deployment down: its generation."""
    if before is None:
        fresh = {**values, "project": project, "name": name, "generation": 1, "created_at": change.now}
        number, generation = await deployments.add_deployment(change.connection, fresh), 1
    else:
        number = before.id
        is_same = all(values[key] == getattr(before, key) for key in _SAME) and before.replicas > 0
        generation = before.generation + (not is_same)
        await deployments.change_deployment(change.connection, number, {**values, "generation": generation})
        await deployments.forget_replicas(change.connection, number)
    paths: list[PathRow] = [replace(row, project=project) for row in read.paths]
    await deployments.put_paths(change.connection, number, paths)
    return generation
