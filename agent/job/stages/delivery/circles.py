"""Stages that can still move, and those that wait in a circle.

A stage can move when it is at work, when its time will come (a delay, a further attempt), or when what it waits for can move:
those that have no room for it, and those that it gets its records from. A zip needs something from each of its predecessors.
What is not found by going on from there waits for itself: a trigger for room at a stage that a full zip holds up, which waits for
the record that this trigger would bring next.
"""

from collections.abc import Sequence

from agent.job.stages.delivery.joining import measure_join
from agent.job.stages.delivery.nodes import StageNode


def find_live(nodes: Sequence[StageNode], now: float) -> set[StageNode]:
    """The stages that can move, now or when others have."""
    live: set[StageNode] = set()
    grows = True
    while grows:
        found = [node for node in nodes if node not in live and _can_move(node, live, now)]
        live.update(found)
        grows = bool(found)
    return live


def _can_move(node: StageNode, live: set[StageNode], now: float) -> bool:
    if node.active or node.waiting:
        return True
    if node.spec.is_trigger:
        return not node.ended and (node.wants is None or live.issuperset(node.full_outs(*node.wants)))
    head = node.buffer[0] if node.buffer else None
    if head is not None:
        return head.due > now or live.issuperset(node.full_outs(len(head.values), head.size_bytes))
    wants = (measure_join(node) if node.queues else None) or (1, 1)
    if not live.issuperset(node.full_outs(*wants)):
        return False
    if node.queues:
        return all(edge.queue or edge.sender in live for edge in node.queues)
    return any(sender in live for sender in node.senders)
