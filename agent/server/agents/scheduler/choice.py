"""The choice of one round: each waiting job in its turn is placed, or told why not.

The first job that can't be placed has the machine kept that will have room for it soonest; a job behind it begins there
only if it ends before then, or leaves enough. (Lifka's EASY backfill; a job's longest time is its `timeout-minutes`.)
A machine is kept for one job, and a job whose machines compete with one that is kept waits for its turn to have one.
A gang gets all of its seats in one round or none, so two of them never hold what the other waits for.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from agent.server.agents.scheduler.interrupting import choose_victims
from agent.server.agents.scheduler.machines import Candidate, Reservation
from agent.server.agents.scheduler.model import (
    FOREVER,
    Choice,
    Holding,
    Interruption,
    JobShape,
    Pick,
    Project,
    ReadyAgent,
    ReturningJob,
    Seat,
    WaitingJob,
)
from agent.server.agents.scheduler.order import Order
from agent.server.agents.scheduler.reasons import Explainer
from agent.server.agents.scheduler.usage import Capacity, Usage
from agent.spec.request import join_words


def choose(
    jobs: Sequence[WaitingJob],
    agents: Sequence[ReadyAgent],
    holdings: Sequence[Holding] = (),
    *,
    returning: Sequence[ReturningJob] = (),
    projects: Mapping[int, Project] | None = None,
    usage: Usage | None = None,
    now: float = 0.0,
) -> Choice:
    """Spread `jobs` over `agents`, on which `holdings` are held already; those that are `returning` have their turn before."""
    return _Round(jobs, agents, holdings, projects or {}, usage or Usage(now), now).play(returning)


class _Round:
    def __init__(
        self,
        jobs: Sequence[WaitingJob],
        agents: Sequence[ReadyAgent],
        holdings: Sequence[Holding],
        projects: Mapping[int, Project],
        usage: Usage,
        now: float,
    ) -> None:
        held: dict[str, list[Holding]] = defaultdict(list)
        for holding in holdings:
            held[holding.agent].append(holding)
        self._machines = [
            Candidate(agent, held[agent.id]) for agent in sorted(agents, key=lambda agent: agent.name)
        ]
        capacity = Capacity.of(agents)
        self._order = Order(jobs, projects, holdings=holdings, usage=usage, capacity=capacity, now=now)
        self._explainer = Explainer(self._machines, now)
        self._now = now
        self._fitting: dict[JobShape, list[Candidate]] = {}
        self._stuck: dict[JobShape, str] = {}
        self._picks: list[Pick] = []
        self._waits: dict[str, str] = {}
        self._interruptions: list[Interruption] = []
        self._projects = projects

    def play(self, returning: Sequence[ReturningJob]) -> Choice:
        returns = [pick for one in returning if (pick := self._let_return(one)) is not None]
        for job in self._order:
            # Room only shrinks during a round: what could not be placed once can't be later.
            reason = None if job.refused else self._stuck.get(job.shape)
            if reason is None:
                reason = self._place(job)
                if reason and not job.refused:
                    self._stuck[job.shape] = reason
            if reason:
                self._waits[job.id] = reason
        kept = {machine.agent.id: machine.kept.job.id for machine in self._machines if machine.kept}
        return Choice(tuple(self._picks), self._waits, kept, tuple(returns), tuple(self._interruptions))

    def _let_return(self, returning: ReturningJob) -> Pick | None:
        """Give a job room again where it runs, drained or not; else keep that machine for it, and say what it waits for."""
        job = returning.job
        machine = next((each for each in self._machines if each.agent.id == returning.agent), None)
        if machine is None:
            self._waits[job.id] = "its agent is not connected"
            return None
        limit = self._find_limit(job.shape, self._order.project(job.shape.project))
        if not limit and machine.has_room(job.shape):
            gpus = machine.choose_gpus(job.shape)
            machine.seat(job, gpus, self._now)
            self._order.note_return(job, len(gpus))
            return Pick(job.id, (Seat(machine.agent.id, gpus),))
        if not limit and machine.kept is None:
            machine.kept = Reservation(job, machine.free_at(job.shape, self._now)[0])
        lacking = machine.room.lacks(job.shape.request, machine.wanted(job.shape))
        self._waits[job.id] = limit or f"{machine.agent.name} does not have {lacking} now"
        return None

    def _place(self, job: WaitingJob) -> str:
        """Give `job` its seats; or give the reason why it waits."""
        project = self._order.project(job.shape.project)
        limit = self._find_limit(job.shape, project)
        if limit:
            return limit
        fitting = self._list_fitting(job.shape)
        usable = [
            machine
            for machine in fitting
            if not machine.agent.is_draining and machine.agent.id not in job.refused
        ]
        open_now = [
            machine
            for machine in usable
            if machine.has_room(job.shape) and machine.keeps_promise(job.shape, self._now)
        ]
        seats = _choose_seats(open_now, job.shape)
        if seats:
            self._seat(job, seats)
            return ""
        if interrupted := self._interrupt_others(job, usable):
            return interrupted
        self._keep_machines(job, usable)
        return self._explainer.explain(job, fitting, usable)

    def _find_limit(self, shape: JobShape, project: Project) -> str:
        """Which limit of its project the job would break; empty: none."""
        running, gpus = self._order.running(project.id), self._order.gpus(project.id)
        wanted = self._count_gpus(shape) * shape.nodes
        if project.most_running is not None and running + shape.nodes > project.most_running:
            return (
                f"the project '{project.name}' has {running} of at most {project.most_running} jobs running"
            )
        if wanted and project.most_gpus is not None and gpus + wanted > project.most_gpus:
            return f"the project '{project.name}' has {gpus} of at most {project.most_gpus} GPUs"
        return ""

    def _count_gpus(self, shape: JobShape) -> int:
        """How many GPUs a job of this shape asks for on one machine, at the most."""
        if shape.request.gpus is not None:
            return shape.request.gpus.count
        return max((machine.wanted(shape).count for machine in self._list_fitting(shape)), default=0)

    def _list_fitting(self, shape: JobShape) -> list[Candidate]:
        """The machines that could run a job of this shape if they were free."""
        if shape not in self._fitting:
            self._fitting[shape] = [
                machine
                for machine in self._machines
                if may_work(shape, machine.agent) and machine.is_big_enough(shape)
            ]
        return self._fitting[shape]

    def _seat(self, job: WaitingJob, machines: Sequence[Candidate]) -> None:
        seats = []
        for machine in machines:
            gpus = machine.choose_gpus(job.shape)
            machine.seat(job, gpus, self._now)
            seats.append(Seat(machine.agent.id, gpus))
        self._order.note_start(job, sum(len(seat.gpus) for seat in seats))
        self._picks.append(Pick(job.id, tuple(seats)))

    def _interrupt_others(self, job: WaitingJob, usable: Sequence[Candidate]) -> str:
        """Have jobs that come after this one make place for it on one machine, which is kept for it; why it waits then, else nothing.

        A machine is emptied for one job at a time, and no job has several emptied.
        """
        if job.shape.nodes > 1:
            return ""
        own = [machine for machine in usable if machine.kept is None]
        victims = choose_victims(job, own, self._projects, self._now)
        if victims is None:
            return ""
        victims.machine.kept = Reservation(job, self._now)
        reason = f"makes place for {job.title}, which comes before it"
        self._interruptions += [Interruption(held.job, reason) for held in victims.holdings]
        leaving = victims.holdings or victims.machine.leaving
        names = join_words([held.title for held in leaving])
        return (
            f"{names} on {victims.machine.agent.name} {'makes' if len(leaving) == 1 else 'make'} place for it"
        )

    def _keep_machines(self, job: WaitingJob, usable: Sequence[Candidate]) -> None:
        """Keep those that will have room soonest, unless one that comes before has one of them."""
        if len(usable) < job.shape.nodes or any(machine.kept for machine in usable):
            return
        times = {machine.agent.id: machine.free_at(job.shape, self._now)[0] for machine in usable}
        soonest = sorted(usable, key=lambda machine: (times[machine.agent.id], machine.agent.name))
        chosen = soonest[: job.shape.nodes]
        at = max(times[machine.agent.id] for machine in chosen)
        for machine in chosen:
            machine.kept = Reservation(job, at)


def may_work(shape: JobShape, agent: ReadyAgent) -> bool:
    """Whether the agent is of the job's group, has its labels, knows work of its form, and works for its project."""
    if (shape.group and shape.group != agent.group) or agent.protocol < shape.request.protocol:
        return False
    return shape.labels <= agent.labels and (agent.projects is None or shape.project in agent.projects)


def _choose_seats(open_now: Sequence[Candidate], shape: JobShape) -> list[Candidate]:
    """The machines that a job of this shape gets, a seat each: as many as it has nodes, or one cluster for all; none: not now."""
    ranked = sorted(open_now, key=lambda machine: _rank(machine, shape))
    if shape.nodes > 1:
        for machine in ranked:
            if machine.agent.has_queue and machine.room.slots >= shape.nodes:
                return [machine] * shape.nodes
        ranked = [machine for machine in ranked if not machine.agent.has_queue]
    return ranked[: shape.nodes] if len(ranked) >= shape.nodes else []


def _rank(machine: Candidate, shape: JobShape) -> tuple[object, ...]:
    """The best is the smallest: who needs no GPU stays off the machines that have them, who needs some goes where the
    fewest are left over; work without a request is spread, work with one is packed.
    """
    agent, room = machine.agent, machine.room
    in_use = 1 - room.slots / agent.slots
    wanted = machine.wanted(shape)
    if wanted.count:
        left_over = len(room.gpus) - wanted.count
        return (left_over, len(agent.gpus), _left_over(machine, shape), in_use, agent.name)
    if shape.request.cpus or shape.request.memory_bytes:
        return (len(agent.gpus), _left_over(machine, shape), in_use, agent.name)
    return (len(agent.gpus), in_use, agent.name)


def _left_over(machine: Candidate, shape: JobShape) -> float:
    """How much of its cores and memory the machine has left, as the smaller of the two parts."""
    parts = (
        (machine.room.cpus - shape.request.cpus, machine.agent.cpus),
        (machine.room.memory_bytes - shape.request.memory_bytes, machine.agent.memory_bytes),
    )
    return min((part / whole for part, whole in parts if whole), default=FOREVER)
