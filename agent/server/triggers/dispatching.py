"""Flows that a person or a program starts by name, with typed inputs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.errors import NotFoundError, UsageError
from agent.flow.load import load_flow
from agent.flow.model import TriggerKind
from agent.server.people.auth.access import Caller
from agent.server.process.problems import ConflictError
from agent.server.store.flows import FlowRow
from agent.server.store.repositories import RepositoryRow
from agent.server.triggers.called import ReadOthers, read_beside, read_called
from agent.server.triggers.connected import Connected
from agent.server.triggers.from_platform import make_submission
from agent.server.triggers.known import read_known
from agent.server.triggers.mirror import Mirror
from agent.server.triggers.starting import Starter, new_key, pins_of
from agent.spec.job import Source, SourceKind


async def dispatch(
    starter: Starter,
    flow: FlowRow,
    source: Source,
    inputs: Mapping[str, object],
    *,
    actor: str,
    by: Caller | None = None,
    key: str = "",
    lock: str | None = None,
    jobs: Sequence[str] = (),
) -> int:
    """Start a flow that the server knows; gives the run. `by` is the person who asks, when it is one.

    Raises ConflictError for a flow that is disabled, UsageError for one that nobody may start by hand or that
    does not take such inputs, RefusedError for who has not the role that it asks for, InvalidFlowError.
    """
    _expect_enabled(flow)
    read = read_known(flow)
    trigger = read.trigger_of(TriggerKind.BY_HAND)
    if trigger is None:
        raise UsageError("the flow can't be started by hand", where=flow.name, hint=read.dialect.by_hand_hint)
    key = key or f"dispatch/{new_key()}"
    submission = make_submission(flow, source, trigger.event, key, payload={}, actor=actor)
    asked = replace(
        submission.request, inputs=inputs, jobs=tuple(jobs), is_by_itself=False, pins=pins_of(lock)
    )
    return await starter.begin(replace(submission, request=asked, by=by))


async def tell(
    starter: Starter,
    flow: FlowRow,
    source: Source,
    event: str,
    payload: Mapping[str, object],
    *,
    actor: str,
    key: str,
) -> int:
    """Tell a flow that the server knows of an event, and of nobody else's flows; gives the run. Raises ConflictError, InvalidFlowError."""
    _expect_enabled(flow)
    return await starter.begin(make_submission(flow, source, event, key, payload=payload, actor=actor))


def _expect_enabled(flow: FlowRow) -> None:
    if not flow.is_enabled:
        raise ConflictError("the flow is disabled", where=flow.name, hint=f"agent flow enable {flow.name}")


async def dispatch_at(
    connected: Connected,
    starter: Starter,
    repository: RepositoryRow,
    flow: FlowRow,
    ref: str,
    inputs: Mapping[str, object],
    by: Caller,
    *,
    jobs: Sequence[str] = (),
) -> int:
    """Start a repository's flow as it is at `ref`: a branch or a tag, short or in full. Raises as `dispatch` does."""
    async with connected.open(repository) as mirror:
        await connected.learn(repository, mirror)
        others = await connected.open_others(repository)
        at, source, lock = await connected.ask(
            repository.url, _read_at, mirror, repository, flow, ref, others
        )
    return await dispatch(starter, at, source, inputs, actor=by.name, by=by, lock=lock, jobs=jobs)


def _read_at(
    mirror: Mirror, repository: RepositoryRow, flow: FlowRow, ref: str, others: ReadOthers
) -> tuple[FlowRow, Source, str | None]:
    """The flow as it is at `ref`, the code there, and the lock beside it."""
    names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    found = next(((name, commit) for name in names if (commit := mirror.find(name))), None)
    if found is None:
        raise NotFoundError(f"the repository has no branch or tag '{ref[:80]}'", where=repository.name)
    full, commit = found
    file = mirror.find_file(commit, flow.name)
    if file is None:
        raise NotFoundError(f"there is no {flow.name} at {ref[:80]}", where=repository.name)
    text = mirror.read(file)
    lock = read_beside(mirror, commit, flow.name, "flow.lock")
    read = load_flow(text, flow.name, companions=mirror.open_companions(commit, flow.name)).flow
    called = read_called(mirror, commit, read, lock, others)
    source = Source(SourceKind.GIT, url=repository.url, ref=full, commit=commit)
    at = replace(flow, text=text, called=json.dumps(dict(called)))
    return at, source, lock
