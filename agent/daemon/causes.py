"""Causes of a supervisor's end when it is gone without a last word: as far as the machine can tell.

'Lost communication' with no cause is what people hate most (users.md), so each clue that there is becomes a sentence.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from agent.job.launch.launcher import JobFolder
from agent.job.process.cgroup import group_of
from agent.plain_files import open_plain
from agent.spec.outcome import FailureKind

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_VMSTAT = Path("/proc/vmstat")
_LONGEST = 300
_TAIL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Clues:
    """What was seen around the death: a reboot since the daemon ran last, kernel OOM kills since the last look."""

    has_rebooted: bool = False
    oom_kills: int = 0


def explain_death(folder: JobFolder, clues: Clues) -> tuple[FailureKind, str]:
    """The failure's kind and a sentence for the person whose job it was."""
    crash = _read_last_line(folder.crash_log)  # a SpoiledError is the caller's to explain
    if crash:
        return FailureKind.INFRASTRUCTURE, f"the job's supervisor crashed: {crash}"
    if clues.has_rebooted:
        return FailureKind.LOST, "the machine was restarted while the job ran"
    if group_of(folder).count_oom_kills():
        return (
            FailureKind.OOM,
            "the memory was used up: the kernel killed processes of the job, its supervisor among them",
        )
    if clues.oom_kills:
        return (
            FailureKind.LOST,
            "the job's supervisor was killed while the machine was out of memory (the kernel's OOM killer was at work)",
        )
    return FailureKind.LOST, "the job's supervisor was killed from outside"


def read_boot_id() -> str:
    """The kernel's identifier of this boot; empty where it has none."""
    return _read(_BOOT_ID).strip()


def count_oom_kills() -> int:
    """How many processes the kernel has killed for memory since it booted; 0 where it does not say."""
    for line in _read(_VMSTAT).splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0


def _read_last_line(file: Path) -> str:
    try:
        handle = open_plain(file, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        tail = os.pread(handle, _TAIL_BYTES, max(0, os.fstat(handle).st_size - _TAIL_BYTES))
    finally:
        os.close(handle)
    lines = [line.strip() for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:_LONGEST] if lines else ""


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
