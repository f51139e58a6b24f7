"""Metrics of the pools of threads."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.server.pools import Figures

_Value = Callable[[Figures], float]
_GAUGES: Mapping[str, tuple[str, _Value]] = {
    "flow_agent_pool_threads": ("Threads that a pool may have", lambda pool: pool.threads),
    "flow_agent_pool_busy_threads": ("Threads that are at work", lambda pool: pool.busy),
    "flow_agent_pool_queue_length": ("Calls that wait for a thread", lambda pool: pool.queued),
}
_COUNTERS: Mapping[str, tuple[str, _Value]] = {
    "flow_agent_pool_calls": ("Calls that got a thread", lambda pool: pool.begun),
    "flow_agent_pool_wait_seconds": (
        "What they waited for one, together",
        lambda pool: pool.waited_seconds,
    ),
    "flow_agent_pool_refused": (
        "Calls that were refused: the queue was full, or they waited too long",
        lambda pool: pool.refused,
    ),
}


class PoolCollector(Collector):
    """Reads the figures when they are asked for."""

    def __init__(self, pools: Callable[[], Mapping[str, Figures]]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[Metric]:
        """Prometheus' protocol."""
        pools = self._pools()
        for kind, table in ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS)):
            for name, (about, value) in table.items():
                family = kind(name, about, labels=["pool"])
                for pool, figures in pools.items():
                    family.add_metric([pool], value(figures))
                yield family
