"""The machine of a local run: what it can't be, and which of its cores, memory and GPUs each job has.

    find_refusal --- "" ---> grant --- None: wait, as `explain` says ---> grant --- Grant ---> release

The rules are the server's (`agent.spec.labels`, `request`, `room`). Its facts are looked up when the first job asks for
something: a run that asks for nothing never wakes the GPU driver.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from agent.flow.model import Flow
from agent.spec.job import JobSpec
from agent.spec.labels import LabelClaim, Platform, find_difference, find_misfit, read_label
from agent.spec.request import NOTHING, GpuRequest, describe, wanted_gpus
from agent.spec.resources import Gpu, GpuLink
from agent.spec.room import Room, describe_machine, explain_withheld, gpu_variables

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Grant:
    """What is one job's own: the UUIDs of its GPUs, their names for the journal, and the variables that hold it to them."""

    gpus: tuple[str, ...] = ()
    shown: tuple[Mapping[str, object], ...] = ()
    given: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to be granted, by whoever started us: their own settings of the agent are not for this."""

    cpus: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]  # those that whoever started us may use
    machine_gpus: tuple[Gpu, ...]  # all of them
    links: tuple[GpuLink, ...] = ()
    notes: tuple[str, ...] = ()  # what of it is not offered, and what is wrong with it


class LocalMachine:
    """Grants this machine's slots, cores, memory and GPUs to the jobs of one run.

    `mapped` are the labels that `--image LABEL=host` has run here: nothing is asked of these.
    """

    def __init__(self, flow: Flow, *, slots: int, mapped: Collection[str]) -> None:
        self._flow = flow
        self._slots = slots
        self._mapped = {label.lower() for label in mapped}
        self._held: dict[str, tuple[JobSpec, tuple[str, ...]]] = {}  # in the order of their starts
        self._away: dict[str, JobSpec] = {}  # those that have given back what they had

    def find_refusal(self, spec: JobSpec) -> str:
        """Why this machine can never run the job, in a sentence; empty when it can."""
        labels = self._labels(spec)
        misfit = find_misfit(labels, self._platform)
        if misfit:
            wrong = next(label for label in labels if find_misfit((label,), self._platform))
            return f"{misfit}; `--image {wrong}=host` runs it here all the same"
        if not self._asks(spec) or self._whole.has(spec.resources, self._wanted(spec)):
            return ""
        wanted = describe(spec.resources, self._wanted(spec))
        return f"this machine does not have {wanted}; it has {self._describe()}"

    def find_differences(self, spec: JobSpec) -> Iterator[str]:
        """How this machine differs from those of GitHub that the job's labels name. A container is what it says."""
        if spec.container is None:
            from agent.machine.platform import find_os_version

            for label in self._labels(spec):
                difference = find_difference(label, self._platform, find_os_version)
                if difference:
                    yield difference

    def wants_more(self, spec: JobSpec) -> bool:
        """Whether the job asks for more than a slot."""
        return spec.resources != NOTHING or (self._asks(spec) and self._wanted(spec).count > 0)

    def grant(self, spec: JobSpec) -> Grant | None:
        """What is the job's own until `release`; None when there is no room for it now."""
        if not self._asks(spec) and not self._shares_gpus:
            if len(self._held) >= self._slots:
                return None
            self._held[spec.job] = (spec, ())
            return Grant()
        room, wanted = self._room(), self._wanted(spec)
        if not room.holds(spec.resources, wanted):
            return None
        gpus = room.find_gpus(wanted)
        self._held[spec.job] = (spec, gpus)
        if spec.resources.gpus is None and not wanted.count and not self._shares_gpus:
            return Grant()  # it asks for cores only, in a run that has no use for GPUs of one's own
        all_gpus = self._facts.machine_gpus
        return Grant(gpus, _show(gpus, all_gpus), gpu_variables(gpus, all_gpus))

    def release(self, job: str) -> None:
        """The job has ended."""
        self._held.pop(job, None)
        self._away.pop(job, None)

    def set_aside(self, job: str) -> None:
        """The job waits for a person, and others may have what it had."""
        held = self._held.pop(job, None)
        if held is not None:
            self._away[job] = held[0]

    def take_back(self, job: str) -> Grant | None:
        """What is the job's own from now on; None when there is no room for it now."""
        grant = self.grant(self._away[job])
        if grant is not None:
            del self._away[job]
        return grant

    def explain(self, spec: JobSpec) -> str:
        """What of it that the job asks for is not free now, and when it will be; empty when it only waits for a slot."""
        if not self._asks(spec):
            return ""
        room, wanted = self._room(), self._wanted(spec)
        if room.has(spec.resources, wanted):
            return ""
        withheld = explain_withheld(self._facts.gpus) if wanted.count else ""
        lacking = f"this machine does not have {room.lacks(spec.resources, wanted)} now" + (
            f" ({withheld})" if withheld else ""
        )
        gpus = {gpu.uuid: gpu for gpu in self._facts.gpus}
        for held, given in self._held.values():
            room.give_back(held.resources, given, gpus)
            if room.holds(spec.resources, wanted):
                return f"{lacking}; it will have when job {held.key} ends"
        return lacking

    def _labels(self, spec: JobSpec) -> list[str]:
        return [label for label in spec.runs_on if label.lower() not in self._mapped]

    def _asks(self, spec: JobSpec) -> bool:
        """Whether the job asks for more than a slot, or a label may turn out to be that of a GPU."""
        return spec.resources != NOTHING or any(_is_name(label) for label in self._labels(spec))

    def _wanted(self, spec: JobSpec) -> GpuRequest:
        return wanted_gpus(spec.resources, self._labels(spec), self._facts.gpus)

    def _room(self) -> Room:
        """What is free now."""
        room = self._whole.copy()
        for held, gpus in self._held.values():
            room.take(held.resources, gpus)
        return room

    def _describe(self) -> str:
        facts = self._facts
        withheld = explain_withheld(facts.gpus)
        notes = [*([withheld] if withheld else []), *facts.notes]
        return describe_machine(facts.gpus, facts.cpus, facts.memory_bytes) + (
            f" ({'; '.join(notes)})" if notes else ""
        )

    @cached_property
    def _whole(self) -> Room:
        facts = self._facts
        slots = max(self._slots, len(facts.gpus))
        gpus = {gpu.uuid: gpu for gpu in facts.gpus}
        return Room(slots, facts.cpus, facts.memory_bytes, gpus, facts.links)

    @cached_property
    def _facts(self) -> Facts:
        from agent.machine.platform import is_container
        from agent.machine.probes.cpu import count_cpus
        from agent.machine.probes.memory import measure_memory_bytes
        from agent.machine.probes.nvidia import list_gpus
        from agent.machine.share import fix_share, read_wish

        listing = list_gpus()
        share = fix_share(read_wish("", "", os.environ, is_container=is_container()), listing.gpus)
        notes = (*filter(None, [share.describe(listing.gpus)]), *listing.problems)
        return Facts(
            *(count_cpus(), measure_memory_bytes(), share.select(listing.gpus), listing.gpus, listing.links),
            notes,
        )

    @cached_property
    def _platform(self) -> Platform:
        from agent.machine.platform import find_platform

        return find_platform()

    @cached_property
    def _shares_gpus(self) -> bool:
        """Whether a job of this run asks for GPUs: then those that ask for none have none, as on an agent with slots."""
        return any(self._may_ask_for_gpus(flow) for flow in _walk(self._flow))

    def _may_ask_for_gpus(self, flow: Flow) -> bool:
        for job in flow.jobs.values():
            asked = job.resources
            if isinstance(asked, str) or (
                isinstance(asked, Mapping) and asked.get("gpus", 0) not in (0, "0")
            ):
                return True
            labels = [label for label in _literal_labels(job.runs_on) if label.lower() not in self._mapped]
            if (
                any(_is_name(label) for label in labels)
                and wanted_gpus(NOTHING, labels, self._facts.gpus).count
            ):
                return True
        return False


def _walk(flow: Flow) -> Iterator[Flow]:
    yield flow
    for called in flow.called.values():
        yield from _walk(called)


def _literal_labels(runs_on: object) -> list[str]:
    """The labels that are written out; what an expression gives is known when its job is there."""
    if isinstance(runs_on, Mapping):
        runs_on = runs_on.get("labels")
    found = [runs_on] if isinstance(runs_on, str) else runs_on
    return [label for label in found if isinstance(label, str)] if isinstance(found, (list, tuple)) else []


def _is_name(label: str) -> bool:
    """Whether the label is neither `self-hosted` nor one that speaks of system and processor."""
    return label.lower() != "self-hosted" and read_label(label) == LabelClaim()


def _show(uuids: Collection[str], gpus: Collection[Gpu]) -> tuple[Mapping[str, object], ...]:
    return tuple(
        {"uuid": gpu.uuid, "name": gpu.name, "driver": gpu.driver, "cuda": gpu.cuda}
        for gpu in gpus
        if gpu.uuid in uuids
    )
