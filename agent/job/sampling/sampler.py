"""The sampler of a job: a timer in its supervisor that reads, each second, what its processes use and what the board says of its GPUs."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.job.output.recorder import Recorder, now_ms
from agent.job.process.cgroup import JobGroup
from agent.job.sampling.series import Series
from agent.job.sampling.tree import TreeMeter, TreeUse, read_network
from agent.job.sampling.use import MachineUse, describe_use, to_json
from agent.job.sampling.waste import find_waste
from agent.journal.format import Annotation
from agent.spec.figures import (
    CPU,
    DISK_READ,
    DISK_WRITTEN,
    KIB,
    MEMORY,
    MIB,
    OF_GPU,
    PROCESSES,
    RECEIVED,
    SENT,
    SLOT,
    code_of,
)

if TYPE_CHECKING:
    from agent.machine.gpu_board import GpuBoard

log = logging.getLogger("agent.job")

_EVERY_SECONDS = 1.0
_MOST_PROCESSES = 32  # of a GPU that are named


class JobSampler:
    """Samples one job from `begin` to `end`. What goes wrong ends the samples, never the job."""

    def __init__(
        self,
        recorder: Recorder,
        group: JobGroup,
        board: "GpuBoard | None",
        list_gpus: Callable[[], tuple[str, ...]],
        list_containers: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        """`list_gpus`: the UUIDs of those that are the job's now, in the order of their slots. `list_containers`: see TreeMeter."""
        self._recorder = recorder
        self._board = board
        self._list_gpus = list_gpus
        self._tree = TreeMeter(group, os.getpid(), list_containers)
        self._series = Series()
        self._rates = _Rates()
        self._steps: dict[int, MachineUse] = {}
        self._job = MachineUse()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._memory_mib: dict[int, int] = {}
        self._process_names: dict[int, str] = {}

    def begin(self) -> None:
        """Take a sample each second from now on."""
        loop = asyncio.get_running_loop()
        self._recorder.describe_use = self._end_step
        self._due = loop.time() + _EVERY_SECONDS
        self._rates.begin(loop.time(), self._tree.read(), read_network())
        self._timer = loop.call_at(self._due, self._tick)

    def end(self, step: int) -> None:
        """No more samples; what the job wasted is said as a notice of `step`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._guard(lambda: self._finish(step))

    def _finish(self, step: int) -> None:
        last = self._series.finish()
        if last is not None:
            self._recorder.write_if_possible(last)
        for sentence in find_waste(self._job, self._memory_mib, len(os.sched_getaffinity(0))):
            self._recorder.annotate(Annotation(step, "notice", sentence, title="Unused"))

    def _tick(self) -> None:
        if not self._guard(self._sample):
            self._timer = None
            return
        loop = asyncio.get_running_loop()
        self._due = max(self._due + _EVERY_SECONDS, loop.time())  # a job that was stopped is not made up for
        self._timer = loop.call_at(self._due, self._tick)

    def _sample(self) -> None:
        values = self._rates.measure(asyncio.get_running_loop().time(), self._tree.read(), read_network())
        names: dict[str, Any] = {}
        if gpus := self._list_gpus():
            values |= self._read_gpus(gpus, names)
        self._note_use(values)
        sample = self._series.add(now_ms(), values, names)
        if sample is not None:
            self._recorder.write_if_possible(sample)

    def _read_gpus(self, gpus: tuple[str, ...], names: dict[str, Any]) -> dict[int, int | None]:
        said = self._board.read() if self._board is not None else None
        values: dict[int, int | None] = {}
        shown: list[dict[str, Any]] = []
        for slot, uuid in enumerate(gpus):
            gpu = (said or {}).get(uuid)
            figures: Mapping[str, int | None] = {} if gpu is None else gpu[2]
            for figure in OF_GPU:
                values[SLOT * (slot + 1) + figure.number] = figures.get(str(figure.number))
            if gpu is not None and gpu[4]:
                self._memory_mib[slot] = gpu[4] // MIB
            shown.append({"uuid": uuid, **({} if gpu is None else self._name_gpu(gpu))})
        names["gpus"] = shown
        return values

    def _name_gpu(self, gpu: list[Any]) -> dict[str, Any]:
        _uuid, name, _values, processes, memory_bytes = gpu
        mask, own = self._recorder.masker.mask_text, self._tree.list_processes()
        found = [
            {
                "pid": pid,
                "name": mask(self._find_name(pid)),
                "memory_bytes": None if memory is None else _coarse(memory),
            }
            for pid, memory in (processes or [])[:_MOST_PROCESSES]
            if pid in own  # what others run there is not for those who may see this job
        ]
        others = len(processes or []) - len(found)
        return {
            "name": name,
            "memory_total_bytes": memory_bytes,
            "processes": found,
            "other_processes": others,
        }

    def _find_name(self, pid: int) -> str:
        """Asked once of a process: names are to tell people which is which."""
        if pid not in self._process_names:
            if len(self._process_names) > 10 * _MOST_PROCESSES:
                self._process_names.clear()
            try:
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                    self._process_names[pid] = file.read().strip()
            except OSError:
                self._process_names[pid] = ""
        return self._process_names[pid]

    def _note_use(self, values: Mapping[int, int | None]) -> None:
        self._job.add(values)
        for step in self._recorder.list_open_steps():
            self._steps.setdefault(step, MachineUse()).add(values)

    def _end_step(self, step: int) -> tuple[dict[str, object] | None, str]:
        """What the step used, for its record, and as a line of its log."""
        use = self._steps.pop(step, None)
        said = None if use is None else to_json(use)
        return said, describe_use(said)

    def _guard(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except Exception:
            # Whatever is wrong with a figure, the job is not to hear of it; the crash log in its folder has it.
            log.exception("the job is not sampled any more")
            return False
        return True


class _Rates:
    """From counters to what a second had."""

    def __init__(self) -> None:
        self._tree: TreeUse | None = None
        self._tree_at = 0.0
        self._network: tuple[int, int] | None = None
        self._at = 0.0
        self._values: dict[int, int | None] = {}

    def begin(self, at: float, tree: TreeUse | None, network: tuple[int, int] | None) -> None:
        """The first look: from here on is counted."""
        self._tree, self._tree_at, self._network, self._at = tree, at, network, at

    def measure(
        self, at: float, tree: TreeUse | None, network: tuple[int, int] | None
    ) -> dict[int, int | None]:
        """The values now; those of processes stay as they were where it was not time to look at them."""
        if tree is not None:
            self._measure_tree(tree, at)
        before, seconds = self._network, max(at - self._at, 0.1)
        self._network, self._at = network, at
        for figure, place in ((RECEIVED, 0), (SENT, 1)):
            has = before is not None and network is not None
            self._values[figure.number] = (
                _per_second(before[place], network[place], seconds) if has and before and network else None
            )
        return dict(self._values)

    def _measure_tree(self, tree: TreeUse, at: float) -> None:
        before, seconds = self._tree, max(at - self._tree_at, 0.1)
        self._tree, self._tree_at = tree, at
        self._values[MEMORY.number] = None if tree.memory_bytes is None else _coarse(tree.memory_bytes) // MIB
        self._values[PROCESSES.number] = tree.processes
        if before is None:
            return
        if tree.cpu_seconds is not None and before.cpu_seconds is not None:
            used = max(tree.cpu_seconds - before.cpu_seconds, 0.0)
            self._values[code_of(CPU)] = round(100 * used / seconds)
        for figure, was, now in (
            (DISK_READ, before.disk_read_bytes, tree.disk_read_bytes),
            (DISK_WRITTEN, before.disk_written_bytes, tree.disk_written_bytes),
        ):
            known = was is not None and now is not None
            self._values[figure.number] = _per_second(was or 0, now or 0, seconds) if known else None


def _per_second(before: int, now: int, seconds: float) -> int:
    return _coarse(round(max(now - before, 0) / seconds / KIB))


def _coarse(number: int) -> int:
    """With three digits: what comes behind them is noise, and costs bytes."""
    digits = len(str(number)) - 3
    return round(number, -digits) if digits > 0 else number
