"""GPUs while the agent works: what is broken is out of service, and its jobs fail as failed by the machine, within seconds.

the watch (`agent.machine.gpu_watch`, a thread) --> the book of faults --> withheld, jobs that end, a new inventory
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress

from agent.daemon.jobs import JobTable
from agent.daemon.machine import Machine
from agent.daemon.withheld import WithheldBy
from agent.machine.gpu_faults import DriverLook, FaultBook, GpuFault, XidEvent
from agent.machine.gpu_watch import GpuWatch

_SILENT_SECONDS = 30.0  # without a look, which comes every other second: the driver hangs

log = logging.getLogger("agent.daemon")


class GpuCare:
    """Looks after the GPUs of this machine and the jobs on them."""

    def __init__(self, machine: Machine, jobs: JobTable) -> None:
        self._machine = machine
        self._jobs = jobs
        self._book = FaultBook()
        self._faults: dict[str, GpuFault] = {}  # by unit
        self._units: frozenset[str] | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        news: asyncio.Queue[DriverLook | XidEvent] = asyncio.Queue()

        def report(seen: DriverLook | XidEvent) -> None:
            with suppress(RuntimeError):  # the loop is closed: we are leaving
                loop.call_soon_threadsafe(news.put_nowait, seen)

        watch = GpuWatch(report)
        watch.start()
        try:
            while True:
                try:
                    async with asyncio.timeout(_SILENT_SECONDS):
                        self._note(await news.get())
                except TimeoutError:
                    self._book.note_silence(_SILENT_SECONDS)
                try:
                    await self._apply()
                except (
                    Exception
                ):  # a bug in looking after GPUs ends neither the daemon nor jobs; the next look tries again
                    log.exception("a bug in the agent while it looked after its GPUs")
        finally:
            watch.stop()

    def _note(self, seen: DriverLook | XidEvent) -> None:
        match seen:
            case DriverLook():
                self._book.look(seen)
            case XidEvent():
                meaning = self._book.hear(seen)
                level = logging.WARNING if meaning else logging.INFO
                log.log(level, "GPU %s: Xid %d%s", seen.gpu, seen.number, f": {meaning}" if meaning else "")

    async def _apply(self) -> None:
        """What was seen has its consequences."""
        before, faults = self._faults, self._book.list_faults()
        self._faults = {unit: fault for fault in faults for unit in fault.units}
        self._machine.withhold(WithheldBy.FAULT, {unit: fault.words for unit, fault in self._faults.items()})
        self._tell_changes(before, faults)
        for fault in faults:
            if fault.ends_jobs:
                self._jobs.fail(fault.units, _describe(fault))
        units, self._units = self._units, self._book.units
        if units is not None:
            self._end_parted(units - self._units - set(self._faults))
        if units != self._units or before != self._faults:
            await self._machine.look_again()

    def _end_parted(self, gone: Iterable[str]) -> None:
        """What is gone though its GPU is well: MIG was turned on or off, or an instance taken away."""
        for unit in gone:
            self._jobs.fail((unit,), f"{unit} is gone: its GPU was partitioned anew")

    def _tell_changes(self, before: dict[str, GpuFault], faults: Iterable[GpuFault]) -> None:
        for fault in faults:
            old = before.get(fault.units[0])
            if old is None or old.words != fault.words:
                log.warning("%s", _describe(fault))
        now = {fault.gpu for fault in faults}
        for gpu, index in sorted({(fault.gpu, fault.index) for fault in before.values()}):
            if gpu not in now:
                log.info("GPU %d (%s) is back in service", index, gpu)


def _describe(fault: GpuFault) -> str:
    which = fault.gpu if fault.gpu in fault.units else ", ".join(fault.units)
    return f"GPU {fault.index} ({which}) is out of service: {fault.words}"
