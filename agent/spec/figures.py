"""The figures that a job is sampled by: their numbers in the journal, names, units, and how fine they are. Pure.

A figure of the job's processes has a number below 32. One of its GPU in slot N (0, 1, ... in the order of its GPUs) has
32 * (N + 1) and the number of the GPU figure. Values in the journal are whole, in the unit `journal_unit` times the public one.
"""

from dataclasses import dataclass

SLOT = 32
MIB = 1 << 20
KIB = 1 << 10


@dataclass(frozen=True, slots=True)
class Figure:
    """`unit` is the public one; a value of the journal times `factor` is in it. `has_range`: its least and most are kept, too.

    `step`: a change that is smaller than this part of the value is none (0: each is one).
    """

    number: int
    name: str
    unit: str
    factor: int = 1
    step: float = 0.0
    has_range: bool = False
    is_set: bool = False  # bits: of a time they are gathered, not averaged


CPU = Figure(0, "cpu", "percent", has_range=True, step=0.02)  # of one core: 250 are two and a half
MEMORY = Figure(1, "memory", "bytes", MIB, step=0.01, has_range=True)
DISK_READ = Figure(2, "disk_read", "bytes_per_second", KIB, step=0.1)
DISK_WRITTEN = Figure(3, "disk_written", "bytes_per_second", KIB, step=0.1)
RECEIVED = Figure(4, "network_received", "bytes_per_second", KIB, step=0.1)
SENT = Figure(5, "network_sent", "bytes_per_second", KIB, step=0.1)
PROCESSES = Figure(6, "processes", "count")
OF_JOB = (CPU, MEMORY, DISK_READ, DISK_WRITTEN, RECEIVED, SENT, PROCESSES)

GPU_BUSY = Figure(0, "utilization", "percent", has_range=True)
GPU_MEMORY = Figure(1, "memory", "bytes", MIB, has_range=True)
GPU_POWER = Figure(2, "power", "watts", step=0.01, has_range=True)
GPU_TEMPERATURE = Figure(3, "temperature", "celsius")
GPU_CLOCK = Figure(4, "clock_sm", "hertz", 1_000_000)
GPU_MEMORY_CLOCK = Figure(5, "clock_memory", "hertz", 1_000_000)
GPU_PCIE_RECEIVED = Figure(6, "pcie_received", "bytes_per_second", MIB, step=0.1)
GPU_PCIE_SENT = Figure(7, "pcie_sent", "bytes_per_second", MIB, step=0.1)
GPU_THROTTLED = Figure(8, "throttled", "reasons", is_set=True)
GPU_MEMORY_BUSY = Figure(9, "memory_utilization", "percent")
OF_GPU = (
    GPU_BUSY,
    GPU_MEMORY,
    GPU_POWER,
    GPU_TEMPERATURE,
    GPU_CLOCK,
    GPU_MEMORY_CLOCK,
    GPU_PCIE_RECEIVED,
    GPU_PCIE_SENT,
    GPU_THROTTLED,
    GPU_MEMORY_BUSY,
)
_BY_NUMBER = {figure.number: figure for figure in OF_JOB}
_BY_GPU_NUMBER = {figure.number: figure for figure in OF_GPU}
MOST_CODES = SLOT * 129  # 128 GPUs or instances

# nvml.h, nvmlClocksEventReasons; idle, clocks that somebody set, and the display's are no slow-down.
SLOWDOWNS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
_ANY_SLOWDOWN = sum(SLOWDOWNS)


def code_of(figure: Figure, slot: int | None = None) -> int:
    """The number of `figure` in the journal: of the GPU in `slot`, or of the job."""
    return figure.number if slot is None else SLOT * (slot + 1) + figure.number


def find_figure(code: int) -> tuple[Figure, int | None] | None:
    """The figure and its slot (None: the job's); None for a number that is not known here."""
    slot, number = divmod(code, SLOT)
    figure = _BY_GPU_NUMBER.get(number) if slot else _BY_NUMBER.get(number)
    return None if figure is None else (figure, slot - 1 if slot else None)


def keep_slowdowns(reasons: int) -> int:
    """Of the driver's bits those that slow the GPU down."""
    return reasons & _ANY_SLOWDOWN


def name_slowdowns(reasons: int) -> list[str]:
    """What slows a GPU down, in words."""
    return [name for bit, name in SLOWDOWNS.items() if reasons & bit]


def differs(figure: Figure, before: int | None, now: int | None) -> bool:
    """Whether `now` is worth a record after `before`."""
    if before is None or now is None:
        return before is not now
    return now != before and abs(now - before) >= figure.step * max(abs(now), abs(before))
