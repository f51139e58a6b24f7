"""Figures of stages as `/metrics` tells them (Prometheus): by project, flow and stage, from the store, so that all servers say the same.

Names of flows and stages come from users, so there is a bound: after so many, the rest is one, called `other`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.server.store import projects, stage_figures, stream_queues
from agent.server.store.database import Database
from agent.server.store.stage_figures import TotalRow
from agent.server.streams.figures import BOUNDS

MOST_STAGES = 500
_LABELS = ("project", "flow", "stage")
_OTHER = ("other", "other", "other")
_COUNTED = (
    ("flow_agent_stage_records", "Records that a stage has done", "done"),
    ("flow_agent_stage_filtered", "Records that ended at a stage by its own word", "filtered"),
    ("flow_agent_stage_errors", "Times that a record failed at a stage", "failed"),
    ("flow_agent_stage_retries", "Times that a record was tried again at a stage", "retried"),
    ("flow_agent_stage_dead_letters", "Records that ended at a stage as dead letters", "dead"),
)


class StageMetrics:
    """Tells the figures of all stages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def render(self) -> bytes:
        """The exposition of now."""
        async with self._database.read() as connection:
            totals = await stage_figures.list_totals(connection)
            names = await projects.names(connection)
            queues = [
                (names[project], queue.flow, queue.path, queue.records)
                for project in names
                for queue in await stream_queues.list_queues(connection, project)
            ]
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Exposition(totals, queues[:MOST_STAGES]))
        return generate_latest(registry)


class _Exposition(Collector):
    def __init__(self, totals: Sequence[TotalRow], queues: Sequence[tuple[str, str, str, int]]) -> None:
        self._stages = _gather(totals)
        self._queues = queues

    def collect(self) -> Iterator[Metric]:
        """All families."""
        brought = CounterMetricFamily(
            "flow_agent_trigger_records", "Records that a trigger has brought", labels=_LABELS
        )
        for labels, figures in self._stages.items():
            if figures.get("is_trigger"):
                brought.add_metric(labels, figures["accepted"])
        yield brought
        for name, meaning, key in _COUNTED:
            family = CounterMetricFamily(name, meaning, labels=_LABELS)
            for labels, figures in self._stages.items():
                family.add_metric(labels, figures[key])
            yield family
        yield self._durations()
        waiting = GaugeMetricFamily(
            "flow_agent_queue_records", "Records in a queue", labels=("project", "flow", "path")
        )
        for project, flow, path, records in self._queues:
            waiting.add_metric((project, flow, path), records)
        yield waiting

    def _durations(self) -> Metric:
        family = HistogramMetricFamily("flow_agent_stage_seconds", "A record at a stage", labels=_LABELS)
        for labels, figures in self._stages.items():
            buckets = [(bound, figures["seconds"][bound]) for bound in BOUNDS]
            family.add_metric(labels, buckets, figures["seconds_sum"])
        return family


def _gather(totals: Sequence[TotalRow]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The figures by labels; those beyond the bound are added up."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in totals:
        labels = (row.project, row.flow, row.stage) if len(found) < MOST_STAGES else _OTHER
        figures = json.loads(row.figures)
        found[labels] = _sum(found[labels], figures) if labels in found else figures
    return found


def _sum(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    total: dict[str, Any] = {
        key: value + two[key] for key, value in one.items() if key not in ("seconds", "is_trigger")
    }
    total["seconds"] = {bound: one["seconds"][bound] + two["seconds"][bound] for bound in BOUNDS}
    return {**total, "is_trigger": one["is_trigger"] or two["is_trigger"]}
