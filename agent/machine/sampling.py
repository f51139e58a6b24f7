"""Samples of how busy this machine is: what the timeline beside a run's steps is drawn from.

A figure that can't be had is None, and printed 'n/a'. It is never 0, which would be a statement.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from agent.clock import Clock
from agent.machine.probes.cpu import CpuTime, compute_cpu_percent, read_cpu_time
from agent.machine.probes.disk import measure_free_bytes
from agent.machine.probes.memory import measure_memory_used_bytes
from agent.machine.probes.nvidia import TIMEOUT_SECONDS, GpuFigures, GpuMeter

Figure = TypeVar("Figure")


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at `time` (seconds since the epoch). `cpu_percent` is over all cores since the sample before."""

    time: float
    cpu_percent: float | None
    memory_used_bytes: int | None
    disk_free_bytes: int | None
    gpus: tuple[GpuFigures, ...]


class Sampler:
    """Takes samples of the machine; a context manager, as it holds a session with the GPU driver.

    `take` blocks for as long as the driver needs, at most `timeout_seconds`: call it in a thread of its own.
    """

    def __init__(self, clock: Clock, work_folder: Path, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._clock = clock
        self._work_folder = work_folder
        self._timeout_seconds = timeout_seconds
        self._meter = GpuMeter()
        self._cpu_time = _attempt(read_cpu_time)

    def take(self) -> Sample:
        """The figures now. Raises nothing."""
        return Sample(
            time=self._clock.now(),
            cpu_percent=self._measure_cpu_percent(),
            memory_used_bytes=_attempt(measure_memory_used_bytes),
            disk_free_bytes=_attempt(lambda: measure_free_bytes(self._work_folder)),
            gpus=self._meter.read(timeout_seconds=self._timeout_seconds),
        )

    def close(self) -> None:
        """Let go of the GPU driver."""
        self._meter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _measure_cpu_percent(self) -> float | None:
        # psutil.cpu_percent would do this too, but it remembers the last reading per thread, and ours may change.
        before, self._cpu_time = self._cpu_time, _attempt(read_cpu_time)
        return _compute(before, self._cpu_time)


def sample_to_json(sample: Sample) -> dict[str, object]:
    """`sample` as plain JSON data; a figure that can't be had is null."""
    return asdict(sample)


def _compute(before: CpuTime | None, after: CpuTime | None) -> float | None:
    return compute_cpu_percent(before, after) if before and after else None


def _attempt(measure: Callable[[], Figure]) -> Figure | None:
    with suppress(
        OSError, ValueError, RuntimeError
    ):  # what psutil and the file system raise: a figure that can't be had
        return measure()
    return None
