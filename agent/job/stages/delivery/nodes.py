"""The stages of a graph, and what each holds: a buffer of its own, or a queue a predecessor where it is a zip."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.errors import AgentError
from agent.job.stages.delivery.batches import Batch
from agent.spec.stages import StageRetry

BUFFER_RECORDS = (
    4000  # that a stage holds at most, those at work and those that wait to be tried again included
)
BUFFER_BYTES = 8 << 20  # the same, about; a flow of many stages gives each less
BATCH_RECORDS = 1000  # what moves together at most


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A stage as its delivery sees it."""

    name: str
    out: tuple[str, ...] = ()
    is_trigger: bool = False
    retry: StageRetry = field(default_factory=StageRetry)
    concurrency: int = 1  # batches at work at once
    buffer_records: int = BUFFER_RECORDS
    buffer_bytes: int = BUFFER_BYTES
    most_records: int = BATCH_RECORDS  # of a batch that it is given
    timeout_seconds: float | None = (
        None  # that a record may take; the stage sees to it, and the shell to a stage that does not
    )
    delay_seconds: float = 0.0  # that a record waits before it
    event_limit: int = 0  # of a zip: records that it keeps of each predecessor; 0: it is none


@dataclass(slots=True)
class Counts:
    """What happened to the records of a stage since it began."""

    accepted: int = 0
    started: int = 0
    done: int = 0
    filtered: int = 0
    failed: int = 0
    retried: int = 0
    dead: int = 0


class Edge:
    """The way from a stage to a zip: a queue, and behind it what was refused, which is its sender's to bring again."""

    __slots__ = ("attempts", "count", "due", "queue", "refused", "sender", "zip")

    def __init__(self, sender: "StageNode", to: "StageNode") -> None:
        self.sender = sender
        self.zip = to
        self.queue: deque[Batch] = deque()
        self.count = 0  # of records in the queue
        self.refused: deque[Batch] = deque()
        self.attempts = 0
        self.due = 0.0  # of the next attempt


class StageNode:
    """A stage and what it holds."""

    __slots__ = (
        "active",
        "buffer",
        "counts",
        "edges",
        "ended",
        "held",
        "held_bytes",
        "most",
        "outs",
        "queues",
        "senders",
        "spec",
        "waiting",
        "wants",
    )

    def __init__(self, spec: NodeSpec) -> None:
        self.spec = spec
        self.buffer: deque[Batch] = deque()
        self.held = 0  # records: in the buffer, at work, tried again later, and those for which room is kept
        self.held_bytes = 0
        self.active = 0  # batches at work
        self.most = spec.most_records  # that it is given at once
        self.waiting = 0  # batches that are tried again later
        self.wants: tuple[int, int] | None = (
            None  # a trigger that waits for room: for so many records, and bytes
        )
        self.ended = False  # a trigger that brings no more
        self.counts = Counts()
        self.outs: list[StageNode] = []  # but for zips
        self.edges: list[Edge] = []  # to zips
        self.queues: list[Edge] = []  # of a zip, from its predecessors
        self.senders: list[StageNode] = []

    def full_outs(self, count: int, size_bytes: int) -> list["StageNode"]:
        """The successors that have no room for so much. One that holds nothing has room for anything."""
        full = [
            out
            for out in self.outs
            if out.held
            and (
                out.held + count > out.spec.buffer_records
                or out.held_bytes + size_bytes > out.spec.buffer_bytes
            )
        ]
        full += [edge.zip for edge in self.edges if edge.refused]
        return full

    def reserve(self, count: int, size_bytes: int) -> None:
        """Keep room at all successors; a negative count gives it back."""
        for out in self.outs:
            out.held += count
            out.held_bytes += size_bytes


def build_nodes(specs: Sequence[NodeSpec]) -> dict[str, StageNode]:
    """The graph. `specs` are in an order in which each comes after its predecessors. Raises AgentError where they are not."""
    nodes = {spec.name: StageNode(spec) for spec in specs}
    order = {spec.name: place for place, spec in enumerate(specs)}
    for spec in specs:
        node = nodes[spec.name]
        for name in dict.fromkeys(spec.out):
            if order.get(name, -1) <= order[spec.name]:
                raise AgentError(f"stage '{name}' can't follow on '{spec.name}'")
            to = nodes[name]
            to.senders.append(node)
            if to.spec.event_limit:
                edge = Edge(node, to)
                node.edges.append(edge)
                to.queues.append(edge)
            else:
                node.outs.append(to)
    return nodes
