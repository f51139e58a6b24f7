"""Who gets which job: a pure choice, and for each job that nobody gets the reason in words.

An agent fits a job when it has all of its labels (letters' case aside) and is of its group, if one is named. Of the
agents that fit and have a free slot the one with the smallest share of its slots in use is taken. Jobs are served in
the order given, oldest first; one that must wait does not hold up those behind it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A queued job; `refused` maps agents that said no a moment ago to their reasons."""

    id: str
    labels: tuple[str, ...]
    group: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadyAgent:
    """A connected agent; labels in lower case."""

    id: str
    name: str
    labels: frozenset[str]
    shown_labels: tuple[str, ...]
    slots: int
    group: str = ""
    is_draining: bool = False
    is_ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """`picks`: (job, agent) to assign now. `waits`: why each of the other jobs waits."""

    picks: tuple[tuple[str, str], ...]
    waits: Mapping[str, str]


def choose(jobs: Sequence[WaitingJob], agents: Sequence[ReadyAgent], in_use: Mapping[str, int]) -> Choice:
    """Spread `jobs` over `agents`, of which `in_use` slots each are taken already."""
    used = dict(in_use)
    picks: list[tuple[str, str]] = []
    waits: dict[str, str] = {}
    for job in jobs:
        fitting = [agent for agent in agents if _fits(job, agent)]
        free = [agent for agent in fitting if _is_free(job, agent, used)]
        if free:
            best = min(free, key=lambda agent: (used.get(agent.id, 0) / agent.slots, agent.name))
            used[best.id] = used.get(best.id, 0) + 1
            picks.append((job.id, best.id))
        else:
            waits[job.id] = _explain(job, agents, fitting)
    return Choice(tuple(picks), waits)


def _fits(job: WaitingJob, agent: ReadyAgent) -> bool:
    if job.group and job.group.lower() != agent.group.lower():
        return False
    return all(label.lower() in agent.labels for label in job.labels)


def _is_free(job: WaitingJob, agent: ReadyAgent, used: Mapping[str, int]) -> bool:
    return not agent.is_draining and agent.id not in job.refused and used.get(agent.id, 0) < agent.slots


def _explain(job: WaitingJob, agents: Sequence[ReadyAgent], fitting: Sequence[ReadyAgent]) -> str:
    if not agents:
        return "no agent is connected"
    if not fitting:
        return f"no agent has {_wanted(job)}; {_introduce(agents)}"
    refusals = [
        f"{agent.name} refused: {job.refused[agent.id]}" for agent in fitting if agent.id in job.refused
    ]
    draining = sum(agent.is_draining and agent.id not in job.refused for agent in fitting)
    busy = len(fitting) - draining - len(refusals)
    reasons = [_explain_busy(busy, len(fitting))] if busy else []
    if draining:
        reasons.append(f"{_count(draining, 'matching agent')} {_is_or_are(draining)} draining")
    return "; ".join([*reasons, *refusals])


def _explain_busy(busy: int, fitting: int) -> str:
    if busy == fitting:
        return "the only matching agent is busy" if busy == 1 else f"all {busy} matching agents are busy"
    return f"the other {busy} matching agents are busy" if busy > 1 else "the other matching agent is busy"


def _wanted(job: WaitingJob) -> str:
    noun = "the label" if len(job.labels) == 1 else "the labels"
    labels = f"{noun} [{', '.join(job.labels)}]"
    return f"{labels} in the group '{job.group}'" if job.group else labels


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
