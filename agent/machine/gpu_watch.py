"""A watch over the GPUs, in a thread that a driver which hangs can keep: it reports a look every other second, and each Xid at once.

no library --> a minute --> again        no driver: reported --> again        driver: look, reported --> events, 2 s --> look
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.machine.deadline import start_call
from agent.machine.gpu_faults import DriverLook, XidEvent
from agent.machine.probes.nvidia_health import XidStream, look_at_gpus
from agent.machine.probes.nvidia_session import import_pynvml

LOOK_SECONDS = 2.0
_NO_LIBRARY_SECONDS = 60.0
_LIBRARY_NOT_FOUND = 12
_KERNELS_LIST = Path(
    "/proc/driver/nvidia/gpus"
)  # one that was plugged in stands here before a session knows of it

log = logging.getLogger("agent.machine")

Report = Callable[[DriverLook | XidEvent], None]


class GpuWatch:
    """Begins with `start`. `report` is called in its thread."""

    def __init__(self, report: Report, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._report = report
        self._look_seconds = look_seconds
        self._ended = threading.Event()

    def start(self) -> None:
        """Watch from now on."""
        start_call(self._run, name="watch-gpus")

    def stop(self) -> None:
        """Report nothing any more; the thread ends when the driver lets it."""
        self._ended.set()

    def _run(self) -> None:
        nvml = import_pynvml()
        is_reloaded = False
        while not self._ended.is_set():
            try:
                nvml.nvmlInit()
            except nvml.NVMLError as error:
                is_known = error.value != _LIBRARY_NOT_FOUND
                if is_known:
                    self._tell(DriverLook(away=f"the NVIDIA driver is away ({error})"))
                self._ended.wait(self._look_seconds if is_known else _NO_LIBRARY_SECONDS)
                continue
            try:
                is_reloaded = self._watch(nvml, is_reloaded=is_reloaded)
            except (
                Exception
            ):  # a bug of ours, or of the library, must not end the watch: it is told, and begun anew
                log.exception("the watch over the GPUs failed; it begins anew")
                self._ended.wait(self._look_seconds)
            finally:
                with suppress(nvml.NVMLError):
                    nvml.nvmlShutdown()

    def _watch(self, nvml: Any, *, is_reloaded: bool) -> bool:
        """Watch over one session; whether it ended because the driver went away (or else the session is to be a new one)."""
        stream = XidStream(nvml, frozenset())
        in_kernel = _list_kernels()
        try:
            while not self._ended.is_set():
                look = look_at_gpus(nvml)
                if look.away:
                    if is_reloaded:  # so soon again: it is no reload that is over
                        self._tell(look)
                        self._ended.wait(self._look_seconds)
                    return True
                uuids = frozenset(gpu.uuid for gpu in look.gpus)
                if stream.uuids != uuids:  # before the look is told: from then on no Xid is missed
                    stream.close()
                    stream = XidStream(nvml, uuids)
                self._tell(replace(look, is_reloaded=is_reloaded))
                is_reloaded = False
                if _list_kernels() != in_kernel:
                    return False
                self._follow(nvml, stream)
        finally:
            stream.close()
        return False

    def _follow(self, nvml: Any, stream: XidStream) -> None:
        """Hear events until the next look is due; an Xid makes it due at once."""
        due = time.monotonic() + self._look_seconds
        try:
            xid = stream.wait(self._look_seconds)
        except (
            nvml.NVMLError
        ):  # there are no events, or none any more: until the GPUs change there are looks only
            stream.close()
            self._ended.wait(max(0.0, due - time.monotonic()))
            return
        if xid is not None:
            self._tell(xid)

    def _tell(self, seen: DriverLook | XidEvent) -> None:
        if not self._ended.is_set():
            self._report(seen)


def _list_kernels() -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in _KERNELS_LIST.iterdir())
    except OSError:
        return frozenset()
