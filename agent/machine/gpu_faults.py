"""Faults of GPUs: which of what the driver shows keeps a GPU from jobs, and which ends the jobs that have it. Pure.

    well --a look, or an Xid, shows a fault--> faulty --it is over--> well

Over is what a look shows (lost, asks for a reset, uncorrected errors, rows that wait for a reset, no answer) with the first
look that does not show it. An Xid is no state but an event: it counts until the driver was loaded anew, the GPU was away and
is back, or the driver, having asked for a recovery, asks for none any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

# nvmlReturn_t of nvml.h.
TIMEOUT, IRQ_ISSUE, LOST, RESET_REQUIRED, NOT_THERE, UNKNOWN = 10, 11, 15, 16, 28, 999
_NO_ANSWER: Final = {TIMEOUT: "Timeout", IRQ_ISSUE: "IRQ issue", UNKNOWN: "Unknown Error"}
_LOOKS_WITHOUT_ANSWER = 2  # one alone may be a driver that is busy

# nvmlDeviceGpuRecoveryAction_t of nvml.h, 0 being none.
_RECOVERIES: Final = {
    1: "a reset",
    2: "a reboot of the machine",
    3: "the end of all work over NVLink, then a reset",
    4: "the end of all work on it, then a reset",
    5: "a recovery of its IMEX domain",
    6: "a reset of its bus",
    7: "a reboot of the machine",
}


@dataclass(frozen=True, slots=True)
class XidMeaning:
    """What an Xid says, in words, and whether the work on the GPU is lost with it."""

    words: str
    ends_jobs: bool


# The Xids after which a GPU is not to be given to anybody: NVIDIA, *XID Errors* (docs.nvidia.com/deploy/xid-errors). All
# others are told of in the log only: 13, 31, 43, 45, 68 and 109 are errors of programs, and the GPU is well.
XIDS: Final[Mapping[int, XidMeaning]] = MappingProxyType(
    {
        46: XidMeaning("it stopped processing", ends_jobs=True),
        48: XidMeaning("a memory error that can't be corrected", ends_jobs=True),
        54: XidMeaning("its power cable is not connected", ends_jobs=True),
        62: XidMeaning("its microcontroller has halted", ends_jobs=True),
        63: XidMeaning("broken memory waits for a reset to be replaced", ends_jobs=False),
        64: XidMeaning("broken memory can't be replaced", ends_jobs=False),
        74: XidMeaning("an error of an NVLink", ends_jobs=False),
        79: XidMeaning("it fell off the bus", ends_jobs=True),
        94: XidMeaning("a memory error that can't be corrected, contained to one program", ends_jobs=True),
        95: XidMeaning("a memory error that can't be corrected or contained", ends_jobs=True),
        119: XidMeaning("its system processor does not answer", ends_jobs=True),
        120: XidMeaning("its system processor has failed", ends_jobs=True),
        140: XidMeaning("memory errors that the driver can't recover from", ends_jobs=True),
        143: XidMeaning("it can't be initialised", ends_jobs=True),
    }
)


@dataclass(frozen=True, slots=True)
class GpuUnit:
    """What of a GPU a job can be given: itself, or one of its MIG instances with the driver's number of it."""

    uuid: str
    gpu_instance: int | None = None


@dataclass(frozen=True, slots=True)
class GpuHealth:
    """One whole GPU at one look. `error` is nvmlReturn_t's number of what a question to the GPU itself failed with."""

    index: int
    uuid: str
    units: tuple[GpuUnit, ...]
    error: int = 0
    uncorrected: int | None = None
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    retire_pending: bool | None = None
    recovery: int | None = None


@dataclass(frozen=True, slots=True)
class DriverLook:
    """What the driver shows at one moment. `unreachable`: so many GPUs it knows of and can't reach; `away`: why nothing is known."""

    gpus: tuple[GpuHealth, ...] = ()
    unreachable: int = 0
    away: str = ""
    is_reloaded: bool = False  # since the look before


@dataclass(frozen=True, slots=True)
class XidEvent:
    """The driver has reported an error of a GPU, or of one of its instances."""

    gpu: str
    number: int
    gpu_instance: int | None = None


@dataclass(frozen=True, slots=True)
class GpuFault:
    """Why a GPU, or some of its instances, are out of service. `units` are UUIDs, the whole GPU's among them where all of it is."""

    index: int
    gpu: str
    units: tuple[str, ...]
    words: str
    ends_jobs: bool = False


@dataclass(slots=True)
class _Record:
    """What is known of one GPU."""

    health: GpuHealth
    lost: str = ""
    looks_without_answer: int = 0
    has_new_errors: bool = False
    has_asked: bool = False  # the driver, for a recovery since an Xid
    xids: dict[int | None, int] = field(default_factory=dict)  # the last one, by instance


class FaultBook:
    """All that was seen of this machine's GPUs."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}
        self._away = ""
        self._silence = ""

    @property
    def units(self) -> frozenset[str]:
        """What the driver offers now, or did when it was there last."""
        return frozenset(
            unit.uuid for record in self._records.values() if not record.lost for unit in record.health.units
        )

    def look(self, look: DriverLook) -> None:
        """Note what the driver shows."""
        was_away, self._away, self._silence = self._away, look.away, ""
        if look.away:
            return
        if was_away or look.is_reloaded:
            for record in self._records.values():
                record.xids.clear()
                record.has_new_errors = False
        seen = {gpu.uuid: gpu for gpu in look.gpus}
        for uuid, gpu in seen.items():
            record = self._records.setdefault(uuid, _Record(gpu))
            _note(record, gpu)
        for uuid, record in self._records.items():
            if uuid not in seen:
                record.lost = "it fell off the bus" if look.unreachable else "it is gone from this machine"

    def hear(self, xid: XidEvent) -> str:
        """Note an Xid; gives its meaning where it is a fault, and nothing where it is a program's or harmless."""
        record = self._records.get(xid.gpu)
        if record is None or xid.number not in XIDS:
            return ""
        instances = {unit.gpu_instance for unit in record.health.units}
        record.xids[xid.gpu_instance if xid.gpu_instance in instances else None] = xid.number
        record.has_asked = bool(record.health.recovery)
        return XIDS[xid.number].words

    def note_silence(self, seconds: float) -> None:
        """Nothing was heard of the driver for so long."""
        self._silence = f"the NVIDIA driver has not answered for {seconds:g} seconds"

    def list_faults(self) -> list[GpuFault]:
        """What is out of service now, by the number of the GPU."""
        faults = [fault for record in self._records.values() for fault in self._judge(record)]
        return sorted(faults, key=lambda fault: (fault.index, fault.units))

    def _judge(self, record: _Record) -> list[GpuFault]:
        health = record.health
        everything = (health.uuid, *(unit.uuid for unit in health.units if unit.uuid != health.uuid))
        words, ends_jobs = _judge_whole(record)
        words = words or self._away or self._silence
        if words:
            return [GpuFault(health.index, health.uuid, everything, words, ends_jobs)]
        return [
            GpuFault(health.index, health.uuid, (unit.uuid,), *_word_xid(record.xids[unit.gpu_instance]))
            for unit in health.units
            if unit.gpu_instance in record.xids
        ]


def _note(record: _Record, now: GpuHealth) -> None:
    before, record.health = record.health, now
    if record.lost or before.error == LOST != now.error:
        record.xids.clear()
    record.lost = ""
    record.looks_without_answer = record.looks_without_answer + 1 if now.error in _NO_ANSWER else 0
    if now.uncorrected is not None and before.uncorrected is not None:
        record.has_new_errors = now.uncorrected > before.uncorrected or (
            record.has_new_errors and now.uncorrected == before.uncorrected
        )
    record.has_asked = record.has_asked or bool(now.recovery)
    if record.has_asked and now.recovery == 0:
        record.xids.clear()
        record.has_asked = False


def _judge_whole(record: _Record) -> tuple[str, bool]:
    """Why all of the GPU is out of service, and whether jobs that have it end; the first that holds."""
    health = record.health
    is_cut = any(unit.gpu_instance is not None for unit in health.units)
    errors = health.uncorrected or 0
    judgements: Sequence[tuple[object, str, bool]] = (
        (record.lost, record.lost, True),
        (health.error in (LOST, NOT_THERE), "it fell off the bus", True),
        (None in record.xids, *_word_xid(record.xids.get(None, 0))),
        (health.error == RESET_REQUIRED, "it has to be reset", True),
        # Which instance has met them only an Xid tells.
        (
            errors,
            f"{errors} memory error{'' if errors == 1 else 's'} that can't be corrected",
            record.has_new_errors and not is_cut,
        ),
        (health.remap_failed, "broken memory can't be replaced", False),
        (health.remap_pending, "broken memory waits for a reset to be replaced", False),
        (health.retire_pending, "broken memory waits for a reset to be taken out of use", False),
        (
            health.recovery,
            f"its driver asks for {_RECOVERIES.get(health.recovery or 0, 'a recovery')}",
            False,
        ),
        (
            record.looks_without_answer >= _LOOKS_WITHOUT_ANSWER,
            f"it does not answer ({_NO_ANSWER.get(health.error, '')})",
            False,
        ),
    )
    return next(((words, ends_jobs) for holds, words, ends_jobs in judgements if holds), ("", False))


def _word_xid(number: int) -> tuple[str, bool]:
    meaning = XIDS.get(number)
    return (f"{meaning.words} (Xid {number})", meaning.ends_jobs) if meaning else ("", False)
