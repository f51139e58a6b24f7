"""GPUs of connected agents as `/metrics` tells them (Prometheus), by agent and UUID: what their heartbeats said last.

There is a bound: so many GPUs are told, and of the rest how many they are. A figure that an agent could not have has no sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MOST_GPUS = 2000
_LONGEST_UUID = 100
_GAUGES = (
    ("flow_agent_gpu_utilization_percent", "How busy a GPU is", "utilization_percent"),
    ("flow_agent_gpu_memory_used_bytes", "Memory of a GPU in use, by everybody", "memory_used_bytes"),
    ("flow_agent_gpu_memory_total_bytes", "Memory of a GPU", "memory_total_bytes"),
    ("flow_agent_gpu_temperature_celsius", "Temperature of a GPU", "temperature_celsius"),
    ("flow_agent_gpu_power_watts", "Power that a GPU draws", "power_watts"),
)

GpuFacts = tuple[str, Mapping[str, Any]]  # the agent's name, and one of its GPUs' figures


def render_gpus(figures: Mapping[str, Mapping[str, object]]) -> bytes:
    """The exposition; `figures` are those of the agents, by name, as they came."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Exposition(list(_list_gpus(figures))))
    return generate_latest(registry)


class _Exposition(Collector):
    def __init__(self, gpus: Sequence[GpuFacts]) -> None:
        self._gpus = gpus[:MOST_GPUS]
        self._left_out = len(gpus) - len(self._gpus)

    def collect(self) -> Iterator[Metric]:
        """All families."""
        for name, meaning, key in _GAUGES:
            family = GaugeMetricFamily(name, meaning, labels=("agent", "gpu"))
            for agent, gpu in self._gpus:
                value = gpu.get(key)
                if isinstance(value, int | float):
                    family.add_metric((agent, gpu["uuid"]), value)
            yield family
        yield GaugeMetricFamily(
            "flow_agent_gpus_untold", "GPUs beyond those that are told one by one", value=self._left_out
        )


def _list_gpus(figures: Mapping[str, Mapping[str, object]]) -> Iterator[GpuFacts]:
    for agent, said in sorted(figures.items()):
        gpus = said.get("gpus")
        uuids: set[str] = set()
        for gpu in gpus if isinstance(gpus, list | tuple) else ():
            uuid = gpu.get("uuid") if isinstance(gpu, Mapping) else None
            if isinstance(uuid, str) and 0 < len(uuid) <= _LONGEST_UUID and uuid not in uuids:
                uuids.add(uuid)  # twice the same labels would spoil the whole page
                yield agent, gpu
