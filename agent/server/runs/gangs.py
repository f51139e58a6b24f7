"""Jobs that several agents run together: what becomes of all when something becomes of one.

    offered      all nodes in one transaction, each with a lease of its own
    accepted     the others wait; when the last one has accepted, all begin in one transaction
    taken back   refused, expired, or its agent gone before that: all go back to the queue together
    ended        the first node that does not succeed ends the others; the job ends when all have

The planner knows the first node only, under the job's own name: its outputs are the job's, and the job's end is the
worst of the nodes'.
"""

import json
import secrets
from dataclasses import replace

from agent.ids import ENTROPY_BYTES, JobId, make_id
from agent.server.events.changes import Change
from agent.server.store import gangs, jobs
from agent.server.store.gangs import NodeRow
from agent.server.store.jobs import JobRow
from agent.spec.job import GangNode, JobSpec
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.spec.status import JobStatus
from agent.wire.lease import LeaseState

_FIRST_PORT, _PORTS = 20_000, 10_000


async def list_ids(change: Change, gang: str, count: int) -> list[str]:
    """The jobs that are the nodes of `gang`, by rank; rows that are not there yet are made. Raises DamagedError."""
    known = await gangs.list_nodes(change.connection, gang)
    if not known:
        spec = await jobs.load_spec(change.connection, gang)
        await gangs.form_gang(change.connection, gang)
        for rank in range(1, count):
            identifier = JobId(make_id("job", secrets.token_bytes(ENTROPY_BYTES)))
            node = describe_node(spec, identifier, rank, count)
            await gangs.add_node(change.connection, node, gang=gang, rank=rank, now=change.now)
        known = await gangs.list_nodes(change.connection, gang)
    return [node.job.id for node in known]


def describe_node(spec: JobSpec, identifier: JobId, rank: int, count: int) -> JobSpec:
    """The job's specification as that of its node `rank`."""
    return replace(
        spec,
        job=identifier,
        key=f"{spec.key} [node {rank + 1} of {count}]",
        name=f"{spec.name} (node {rank + 1} of {count})",
        outputs={},
    )


def place_node(row: JobRow, address: str) -> GangNode | None:
    """What a node is told of its place; `address` is the first one's."""
    if row.gang is None:
        return None
    port = _FIRST_PORT + int.from_bytes(row.gang.encode()[-4:], "big") % _PORTS
    return GangNode(row.node_rank, row.nodes, address, port, row.gang)


def is_complete(nodes: list[NodeRow]) -> bool:
    """Whether every node has been accepted, so that all may begin."""
    return all(node.lease_state == LeaseState.ACCEPTED for node in nodes)


def has_ended(node: JobRow) -> bool:
    """Whether this node is over; the first one keeps its own end until the others are."""
    return node.status is JobStatus.COMPLETED or node.conclusion is not None


def explain_failure(node: JobRow, result: JobResult) -> str:
    """Why the other nodes are ended."""
    how = "was cancelled" if result.conclusion is Conclusion.CANCELLED else "failed"
    return f"node {node.node_rank + 1} of {node.nodes} {how}"


def judge(nodes: list[JobRow]) -> JobResult:
    """How the job has ended, all of whose nodes have: as the worst of them; the outputs are the first one's.

    A node that failed by itself goes before those that were ended because of it.
    """
    order = (Conclusion.FAILURE, Conclusion.CANCELLED)
    worst = next(
        (node for bad in order for node in nodes if node.conclusion == bad.value),
        nodes[0],
    )
    result = read_result(worst)
    if worst.node_rank and result.conclusion is not Conclusion.SUCCESS:
        result = replace(
            result, message=f"node {worst.node_rank + 1} of {worst.nodes}: {result.message or 'failed'}"
        )
    return replace(result, outputs=read_result(nodes[0]).outputs)


def read_result(node: JobRow) -> JobResult:
    """How a node has ended, from its row."""
    return JobResult(
        Conclusion(node.conclusion or Conclusion.SUCCESS.value),
        outputs=json.loads(node.outputs),
        failure_kind=FailureKind(node.failure_kind) if node.failure_kind else None,
        message=node.message,
    )
