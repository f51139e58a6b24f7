"""Words for fleets and queues in the scheduler's tests."""

from collections.abc import Iterable
from typing import Any

from agent.server.agents.scheduler import Holding, ReadyAgent, WaitingJob
from agent.server.agents.scheduler.model import FOREVER, JobShape
from agent.spec.request import GpuRequest, ResourceRequest
from agent.spec.resources import Gpu

GB = 10**9


def gpu(index: int, name: str = "NVIDIA A100-SXM4-80GB", memory: int = 85, box: str = "box") -> Gpu:
    return Gpu(index, f"GPU-{box}-{index}", name, memory_bytes=memory * GB)


def agent(
    name: str, *labels: str, slots: int = 1, gpus: int | tuple[Gpu, ...] = 0, **more: Any
) -> ReadyAgent:
    shown = labels or ("linux",)
    if isinstance(gpus, int):
        gpus = tuple(gpu(index, box=name) for index in range(gpus))
    more.setdefault("cpus", 16.0)
    more.setdefault("memory_bytes", 64 * GB)
    return ReadyAgent(name, name, frozenset(shown), shown, slots, gpus=gpus, **more)


def job(
    name: str,
    *labels: str,
    gpus: GpuRequest | int | None = None,
    cpus: float = 0,
    memory: int = 0,
    project: int = 1,
    nodes: int = 1,
    limit: float = FOREVER,
    protocol: int = 0,
    **more: Any,
) -> WaitingJob:
    wanted = GpuRequest(gpus) if isinstance(gpus, int) else gpus
    shape = JobShape(
        labels=frozenset(label.lower() for label in labels),
        group=more.pop("group", ""),
        project=project,
        request=ResourceRequest(cpus, memory * GB, wanted, protocol),
        nodes=nodes,
        limit_seconds=limit,
    )
    return WaitingJob(name, shape, labels, title=f"job {name} of run 1", **more)


def holding(name: str, agent: str, **more: Any) -> Holding:
    request = ResourceRequest(more.pop("cpus", 0.0), more.pop("memory", 0) * GB)
    return Holding(name, agent, f"job {name} of run 12", request=request, **more)


def names(boxes: Iterable[int], box: str) -> tuple[str, ...]:
    return tuple(f"GPU-{box}-{index}" for index in boxes)
