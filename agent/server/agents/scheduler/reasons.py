"""Reasons why a job waits, in words for the person whose job it is: what is missing, and what it waits for."""

from collections.abc import Iterable, Sequence

from agent.server.agents.scheduler.lending import explain_lending
from agent.server.agents.scheduler.machines import Candidate
from agent.server.agents.scheduler.model import FOREVER, ReadyAgent, WaitingJob
from agent.spec.request import describe, join_words, list_wanted, matches
from agent.spec.room import describe_machine, explain_withheld


class Explainer:
    """Explains over the machines of one round."""

    def __init__(self, machines: Sequence[Candidate], now: float) -> None:
        self._machines = machines
        self._now = now

    def explain(self, job: WaitingJob, fitting: Sequence[Candidate], usable: Sequence[Candidate]) -> str:
        """`fitting` could run it when free; `usable` of these neither drain nor have refused it."""
        agents = [machine.agent for machine in self._machines]
        if not agents:
            return "no agent is connected"
        if not fitting:
            return self._explain_unfitting(job, agents)
        parts = [self._explain_gang(job, fitting)]
        busy = [machine for machine in usable if not machine.has_room(job.shape)]
        kept = [
            machine
            for machine in usable
            if machine not in busy and machine.kept is not None and machine.kept.job.id != job.id
        ]
        if busy:
            parts.append(self._explain_busy(job, busy, len(fitting)))
        parts += [_explain_kept(machine) for machine in kept[:3]]
        draining = sum(
            machine.agent.is_draining and machine.agent.id not in job.refused for machine in fitting
        )
        if draining:
            parts.append(f"{_count(draining, 'matching agent')} {_is_or_are(draining)} draining")
        parts += [
            f"{machine.agent.name} refused: {job.refused[machine.agent.id]}"
            for machine in fitting
            if machine.agent.id in job.refused
        ]
        return "; ".join(part for part in parts if part)

    def _explain_unfitting(self, job: WaitingJob, agents: Sequence[ReadyAgent]) -> str:
        shape = job.shape
        grouped = [machine for machine in self._machines if shape.group in ("", machine.agent.group)]
        named = [machine for machine in grouped if shape.labels <= machine.agent.labels]
        if not named:
            lending = explain_lending(job, [machine.agent for machine in grouped])
            return f"no agent has {_wanted(job)}; {_introduce(agents)}{lending}"
        known = [machine for machine in named if machine.agent.protocol >= shape.request.protocol]
        if not known:
            return f"every agent with {_wanted(job)} is too old for work of this job's form; upgrade one"
        allowed = [
            machine
            for machine in known
            if machine.agent.projects is None or shape.project in machine.agent.projects
        ]
        if not allowed:
            which = f"the {_count(len(known), 'agent')}" if len(known) > 1 else "the only agent"
            return f"{which} with {_wanted(job)} {_works_or_work(len(known))} for other projects only"
        best = max(allowed, key=lambda machine: _size_for(job, machine))
        wanted = describe(shape.request, best.wanted(shape))
        agent = best.agent
        has = describe_machine(agent.gpus, agent.cpus, agent.memory_bytes)
        notes = [agent.share if best.wanted(shape).count else "", explain_withheld(agent.gpus)]
        about = "".join(f"; {note}" for note in notes if note)
        return f"no agent has {wanted}; the biggest that matches, {agent.name}, has {has}{about}"

    def _explain_gang(self, job: WaitingJob, fitting: Sequence[Candidate]) -> str:
        """What its nodes lack: machines, or slots of a cluster that would run all of them."""
        if job.shape.nodes == 1:
            return ""
        clusters = [machine for machine in fitting if machine.agent.has_queue]
        if clusters:
            best = max(clusters, key=lambda machine: machine.room.slots)
            return f"the job wants {_count(job.shape.nodes, 'slot')} at once, and {best.agent.name} has {best.room.slots} now"
        if len(fitting) >= job.shape.nodes:
            return ""
        return f"the job wants {job.shape.nodes} machines at once, and {len(fitting)} match"

    def _explain_busy(self, job: WaitingJob, busy: Sequence[Candidate], fitting: int) -> str:
        shape = job.shape
        if shape.nodes == 1 and not any(describe(shape.request, machine.wanted(shape)) for machine in busy):
            return _explain_slots(len(busy), fitting)
        times = [(*machine.free_at(shape, self._now), machine) for machine in busy]
        _, holding, soonest = min(times, key=lambda entry: (entry[0], entry[2].agent.name))
        lacking = (
            f"no agent has {_lacking(job, busy)} now"
            if shape.nodes == 1
            else (f"{fitting - len(busy)} of {shape.nodes} machines are free")
        )
        withheld = _explain_withheld(job, busy)
        if holding is None:
            return lacking + withheld
        when = f"{soonest.agent.name}{_used_slots(soonest)} will have when {holding.title} ends"
        return f"{lacking}; {when}{withheld}"


def _lacking(job: WaitingJob, busy: Sequence[Candidate]) -> str:
    """What none of the busy has: only slots where that is all that each lacks, both where some lack this, some that."""
    shape = job.shape
    short = [machine for machine in busy if not machine.room.has(shape.request, machine.wanted(shape))]
    parts = list_wanted(shape.request, short[0].wanted(shape), adjective="free") if short else []
    if any(machine.room.slots < 1 for machine in busy):
        parts.append("a free slot")
    return join_words(parts)


def _explain_withheld(job: WaitingJob, busy: Sequence[Candidate]) -> str:
    """The end of the sentence, where the job wants GPUs and machines that could run it hold some back."""
    notes = [
        f"; on {machine.agent.name} {note}"
        for machine in busy
        if machine.wanted(job.shape).count and (note := explain_withheld(machine.agent.gpus))
    ]
    return "".join(notes[:3])


def _used_slots(machine: Candidate) -> str:
    """Named where they are what is missing: its GPUs may well be idle."""
    if machine.room.slots >= 1:
        return ""
    return f" ({machine.agent.slots} of {_count(machine.agent.slots, 'slot')} taken)"


def _explain_kept(machine: Candidate) -> str:
    assert machine.kept is not None
    when = "" if machine.kept.at < FOREVER else " as soon as there is room for it"
    return f"{machine.agent.name} is kept for {machine.kept.job.title}, which is first{when}"


def _explain_slots(busy: int, fitting: int) -> str:
    if busy == fitting:
        return "the only matching agent is busy" if busy == 1 else f"all {busy} matching agents are busy"
    return f"the other {busy} matching agents are busy" if busy > 1 else "the other matching agent is busy"


def _size_for(job: WaitingJob, machine: Candidate) -> tuple[float, ...]:
    gpus = sum(matches(machine.wanted(job.shape), gpu) for gpu in machine.agent.gpus)
    return (gpus, machine.agent.cpus, machine.agent.memory_bytes)


def _wanted(job: WaitingJob) -> str:
    noun = "the label" if len(job.shown_labels) == 1 else "the labels"
    labels = f"{noun} [{', '.join(job.shown_labels)}]"
    return f"{labels} in the group '{job.shape.group}'" if job.shape.group else labels


def _introduce(agents: Sequence[ReadyAgent]) -> str:
    shown = "; ".join(f"{agent.name}: {', '.join(agent.shown_labels)}" for agent in _first(agents, 3))
    more = f"; and {len(agents) - 3} more" if len(agents) > 3 else ""
    return f"{_count(len(agents), 'agent')} {_is_or_are(len(agents))} connected ({shown}{more})"


def _first(agents: Iterable[ReadyAgent], count: int) -> list[ReadyAgent]:
    return sorted(agents, key=lambda agent: agent.name)[:count]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _is_or_are(number: int) -> str:
    return "is" if number == 1 else "are"


def _works_or_work(number: int) -> str:
    return "works" if number == 1 else "work"
