"""Zips: a queue a predecessor, and records that leave it side by side, first in, first out."""

from agent.job.stages.delivery.batches import Batch
from agent.job.stages.delivery.nodes import Edge, StageNode
from agent.job.stages.delivery.states import Passage, RecordEvent


def offer(edge: Edge, batch: Batch, now: float, wait: float) -> int:
    """Queue of `batch` what there is room for; the rest is refused, behind what was before. How many records were refused.

    Its sender brings what was refused again when there is room, and counts a failed attempt each time that it finds none.
    """
    if edge.refused:
        batch.advance(RecordEvent.REFUSE)
        edge.refused.append(batch)
        return len(batch.values)
    rest = _queue(edge, batch)
    if rest is None:
        return 0
    rest.advance(RecordEvent.REFUSE)
    edge.refused.append(rest)
    edge.attempts, edge.due = 1, now + wait
    return len(rest.values)


def bring_refused(edge: Edge) -> None:
    """Queue of what was refused all that there is room for."""
    while edge.refused:
        batch = edge.refused.popleft()
        rest = _queue(edge, batch)
        if rest is batch:
            edge.refused.appendleft(batch)
            return
        edge.attempts = 0
        if rest is not None:
            rest.advance(RecordEvent.REFUSE)
            edge.refused.appendleft(rest)
            return


def measure_join(node: StageNode) -> tuple[int, int] | None:
    """How many records a zip would give next, and about how many bytes; None while a predecessor has brought none."""
    heads = [edge.queue[0] for edge in node.queues if edge.queue]
    if len(heads) < len(node.queues):
        return None
    return min(len(head.values) for head in heads), sum(head.size_bytes for head in heads)


def join(node: StageNode, count: int) -> tuple[Batch, list[Batch]]:
    """The next records of a zip, each a list of one of every predecessor, and the batches that they were taken from.

    Those hold their origins still.
    """
    taken = [_shift(edge, count) for edge in node.queues]
    for edge in node.queues:
        bring_refused(edge)
    values = list(map(list, zip(*(batch.values for batch in taken), strict=True)))
    origins = tuple(dict.fromkeys(origin for batch in taken for origin in batch.origins))
    path: tuple[Passage, ...] = tuple(dict.fromkeys(step for batch in taken for step in batch.path))
    return Batch(values, origins, path, sum(batch.size_bytes for batch in taken), node.spec.name), taken


def _queue(edge: Edge, batch: Batch) -> Batch | None:
    """Queue what there is room for; gives what is left: the batch itself, a part of it, or nothing."""
    room = edge.zip.spec.event_limit - edge.count
    count = len(batch.values)
    if room <= 0:
        return batch
    rest = None
    if room < count:
        rest = batch.part(slice(room, count))
        batch.size_bytes -= rest.size_bytes
        batch.values = batch.values[:room]
    batch.advance(RecordEvent.KEEP)
    edge.queue.append(batch)
    edge.count += min(room, count)
    return rest


def _shift(edge: Edge, count: int) -> Batch:
    """The first records of a queue, a batch of their own."""
    batch = edge.queue[0]
    edge.count -= count
    if len(batch.values) == count:
        edge.queue.popleft()
        return batch
    part = batch.part(slice(count))
    batch.size_bytes -= part.size_bytes
    batch.values = batch.values[count:]
    return part
