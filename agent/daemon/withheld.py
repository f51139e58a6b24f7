"""GPUs that this agent withholds from jobs, and who says so: of several reasons the first one's words are told (docs/decisions/021)."""

from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum

from agent.spec.resources import Gpu


class WithheldBy(IntEnum):
    """Who keeps GPUs from jobs, the one first whose word is told."""

    FAULT = 1  # the driver, or the GPU itself: `agent.machine.gpu_faults`
    RESERVATION = 2  # a person
    OUTSIDE = 3  # a process that is no job's
    LEFTOVERS = 4  # of a dead job, that could not be ended


class WithheldGpus:
    """The reasons by GPU. One for a whole GPU holds for its MIG instances."""

    def __init__(self) -> None:
        self._reasons: dict[WithheldBy, dict[str, str]] = {}

    def say(self, by: WithheldBy, reasons: Mapping[str, str]) -> bool:
        """From now on `by` withholds these, by UUID, and no others. Gives whether that is news."""
        before = self._reasons.get(by, {})
        self._reasons[by] = dict(reasons)
        return before != self._reasons[by]

    def has_said(self, by: WithheldBy) -> bool:
        """Whether `by` has said anything yet."""
        return by in self._reasons

    def is_fault(self, gpu: Gpu) -> bool:
        """Whether it is broken."""
        reasons = self._reasons.get(WithheldBy.FAULT, {})
        return gpu.uuid in reasons or (gpu.mig_parent or "") in reasons

    def find(self, gpu: Gpu) -> str:
        """Why no job is given `gpu`; empty: it is offered."""
        for by in WithheldBy:
            reasons = self._reasons.get(by, {})
            reason = reasons.get(gpu.uuid) or reasons.get(gpu.mig_parent or "")
            if reason:
                return reason
        return ""

    def mark(self, gpu: Gpu) -> Gpu:
        """`gpu` with its reason."""
        reason = self.find(gpu)
        return gpu if gpu.withheld == reason else replace(gpu, withheld=reason)
