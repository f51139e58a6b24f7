"""Random flows, a world in which runs happen to them, and a slow obvious model of how they must end.

The world does what a driver does: it holds the jobs that are out, the gates and the groups, and lets things happen in any
order, doubled and late ones included. `expect` knows nothing of events: it reads the flow from its first job to its last.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st
from support.flows import Run, calling

from agent.cli.local_run.groups import LocalGroups
from agent.flow.model import Flow
from agent.plan import (
    AskGate,
    CancelJob,
    EndJob,
    Event,
    GateSet,
    JobApproved,
    JobFinished,
    JobPhase,
    JobStarted,
    JoinGroup,
    LeaveGroup,
    QueueJob,
    RunCancelled,
    TimePassed,
    advance,
)
from agent.plan.scopes import join_key, scope_of, written_job
from agent.spec.outcome import Conclusion, FailureKind, JobResult

CONDITIONS = ("", "always()", "failure()", "'!cancelled()'", "false")
CALLED = ("one.yml", "two.yml")


@dataclass(frozen=True)
class JobPlan:
    """One job of a random flow, as the model sees it."""

    name: str
    needs: tuple[str, ...]
    condition: str
    cells: int  # 0: no matrix
    max_parallel: int
    fail_fast: bool
    tolerates: bool
    retries: int
    call: str
    environment: bool
    group: str

    def text(self) -> str:
        """The job in YAML."""
        parts = [f"needs: [{', '.join(self.needs)}]"] if self.needs else []
        parts += [f"if: {self.condition}"] if self.condition else []
        if self.cells:
            limit = f"max-parallel: {self.max_parallel}, " if self.max_parallel else ""
            values = ", ".join(str(number) for number in range(self.cells))
            fail_fast = str(self.fail_fast).lower()
            parts.append(f"strategy: {{fail-fast: {fail_fast}, {limit}matrix: {{v: [{values}]}}}}")
        parts += [f"concurrency: {{group: {self.group}, queue: max}}"] if self.group else []
        if self.call:
            return f"  {self.name}: {{{', '.join([*parts, f'uses: ./{self.call}'])}}}\n"
        parts += ["continue-on-error: true"] if self.tolerates else []
        parts += ["environment: prod"] if self.environment else []
        if self.retries:
            parts.append(f"retry: {{max: {self.retries}, backoff: {{seconds: 5}}}}")
        return f"  {self.name}: {{{', '.join([*parts, 'runs-on: x', 'steps: [{run: x}]'])}}}\n"


Plans = tuple[JobPlan, ...]


@dataclass(frozen=True)
class Sketch:
    """A random flow, the flows that it calls, and whether the order of events can change how it ends."""

    jobs: Plans
    called: Mapping[str, Plans]
    group: str = ""

    def flow(self) -> Flow:
        """The flow itself."""
        head = f"concurrency: {self.group}\n" if self.group else ""
        texts = {
            name.removesuffix(".yml"): "on: workflow_call\njobs:\n" + "".join(job.text() for job in jobs)
            for name, jobs in self.called.items()
        }
        return calling(f"on: push\n{head}jobs:\n" + "".join(job.text() for job in self.jobs), **texts)


@st.composite
def plans(draw: st.DrawFn, callable_: tuple[str, ...], most: int, *, is_wild: bool) -> Plans:
    """Up to `most` jobs; each needs some of those before it and may call one of `callable_`."""
    jobs: list[JobPlan] = []
    for index in range(draw(st.integers(1, most))):
        before = [job.name for job in jobs]
        needs = draw(st.lists(st.sampled_from(before), unique=True, max_size=2)) if before else []
        jobs.append(
            JobPlan(
                name=f"j{index}",
                needs=tuple(needs),
                condition=draw(st.sampled_from(CONDITIONS)),
                cells=draw(st.sampled_from((0, 0, 2, 3) if most > 2 else (0, 0, 0, 2))),
                max_parallel=draw(st.sampled_from((0, 1, 2))),
                fail_fast=is_wild and draw(st.booleans()),
                tolerates=draw(st.booleans()),
                retries=draw(st.sampled_from((0, 0, 1, 2))),
                call=draw(st.sampled_from(("", "", "", *callable_))),
                environment=draw(st.booleans()),
                group=draw(st.sampled_from(("", "", "g", "h"))) if is_wild else "",
            )
        )
    return tuple(jobs)


@st.composite
def sketches(draw: st.DrawFn, *, is_wild: bool) -> Sketch:
    """A flow of up to four jobs and two that it may call, one of which may call the other."""
    called = {
        "two.yml": draw(plans((), 1, is_wild=is_wild)),
        "one.yml": draw(plans(("two.yml",), 2, is_wild=is_wild)),
    }
    jobs = draw(plans(CALLED, 4, is_wild=is_wild))
    return Sketch(jobs, called, draw(st.sampled_from(("", "", "g"))) if is_wild else "")


# The model


def expect(sketch: Sketch, outcome: Callable[[str], Conclusion]) -> dict[str, Conclusion]:
    """How every node of a run must end when nobody cancels it; `outcome` says how a job ends at last."""
    results: dict[str, Conclusion] = {}
    _expect_flow(sketch, sketch.jobs, "", outcome, results)
    return results


def _expect_flow(
    sketch: Sketch,
    jobs: Plans,
    scope: str,
    outcome: Callable[[str], Conclusion],
    results: dict[str, Conclusion],
) -> Conclusion:
    before: dict[str, set[str]] = {}
    for job in jobs:
        before[job.name] = set(job.needs).union(*(before[need] for need in job.needs))
        seen = [results[join_key(scope, name)] for name in before[job.name]]
        results[join_key(scope, job.name)] = (
            _expect_job(sketch, job, scope, outcome, results) if _wants(job, seen) else Conclusion.SKIPPED
        )
    return _worst([results[join_key(scope, job.name)] for job in jobs])


def _expect_job(
    sketch: Sketch,
    job: JobPlan,
    scope: str,
    outcome: Callable[[str], Conclusion],
    results: dict[str, Conclusion],
) -> Conclusion:
    node = join_key(scope, job.name)
    ends = []
    for key in [node] if not job.cells else [f"{node} ({cell})" for cell in range(job.cells)]:
        if job.call:
            ends.append(_expect_flow(sketch, sketch.called[job.call], key, outcome, results))
        else:
            end = outcome(key)
            ends.append(Conclusion.SUCCESS if job.tolerates and end is Conclusion.FAILURE else end)
    return _worst(ends)


def _wants(job: JobPlan, before: list[Conclusion]) -> bool:
    match job.condition:
        case "":
            return all(end is Conclusion.SUCCESS for end in before)
        case "failure()":
            return Conclusion.FAILURE in before
        case "false":
            return False
        case _:
            return True


def _worst(ends: list[Conclusion]) -> Conclusion:
    for end in (Conclusion.FAILURE, Conclusion.CANCELLED, Conclusion.SUCCESS):
        if end in ends:
            return end
    return Conclusion.SKIPPED


# The world


@dataclass
class World:
    """A run and all that drives it. `pending`: words of gates and groups that have not arrived yet."""

    run: Run
    approvals: int = 1
    groups: LocalGroups = field(default_factory=LocalGroups)
    pending: list[Event] = field(default_factory=list)
    past: list[Event] = field(default_factory=list)
    inside: set[tuple[str, str]] = field(default_factory=set)
    ends: dict[str, JobResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._carry_out(0)

    def happen(self, event: Event) -> None:
        """Something happens; the invariants hold afterwards, and planning it again gives the same."""
        known, state = len(self.run.decisions), self.run.state
        self.run.handle(event)
        self.past.append(event)
        again = advance(self.run.flow, state, event, now=self.run.now)
        assert again == (self.run.state, tuple(self.run.decisions[known:])), "the same again"
        self._carry_out(known)
        self.check()

    def out(self) -> list[str]:
        """The keys of the jobs that agents have or could have."""
        return [
            job.key
            for job in self.run.state.jobs.values()
            if job.phase in (JobPhase.QUEUED, JobPhase.RUNNING)
        ]

    def gated(self) -> list[str]:
        """The keys of the jobs that wait for people."""
        return [
            job.key
            for job in self.run.state.jobs.values()
            if job.phase is JobPhase.GATED
            and job.gate is not None
            and job.gate.is_known
            and len(job.gate.approved_by) < job.gate.approvals
        ]

    def finish(self, key: str, conclusion: Conclusion) -> None:
        """A job that is out ends."""
        kind = FailureKind.USER if conclusion is Conclusion.FAILURE else None
        self.happen(JobFinished(self.run.id(key), JobResult(conclusion, {}, kind)))

    def drain(self, outcome: Callable[[str], Conclusion]) -> None:
        """Whatever can come does: nothing may be held for ever."""
        while self.run.state.conclusion is None:
            due = self.run.state.due_at
            if self.pending:
                self.happen(self.pending.pop(0))
            elif self.out():
                key = self.out()[0]
                is_cancelled = self.run.state.jobs[key].cancel_requested
                self.finish(key, Conclusion.CANCELLED if is_cancelled else outcome(key))
            elif self.gated():
                job = self.run.state.jobs[self.gated()[0]]
                assert job.gate is not None
                self.happen(JobApproved(job.id, f"p{len(job.gate.approved_by)}"))
            else:
                assert due is not None, "what has not ended waits for somebody, or for some time"
                self.run.now = max(self.run.now, due)
                self.happen(TimePassed())
        while self.pending:
            self.happen(self.pending.pop(0))
        assert not self.inside, "every group is left"
        assert not list(self.groups._members()), "and nobody waits"

    def check(self) -> None:
        """What holds at every moment."""
        state, decisions = self.run.state, self.run.decisions
        queued = Counter(each.spec.job for each in decisions if isinstance(each, QueueJob))
        ended = Counter(each.job for each in decisions if isinstance(each, EndJob))
        cancelled = Counter(
            each.job for each in decisions if isinstance(each, CancelJob) and not each.is_forced
        )
        assert all(count == 1 for counts in (queued, ended, cancelled) for count in counts.values()), "once"
        assert not queued.keys() & ended.keys(), "what was queued ends by its own word"
        assert cancelled.keys() <= queued.keys(), "only what is out is cancelled"
        names = Counter(group for group, _ in self.inside)
        assert all(count == 1 for count in names.values()), "never two in a group"
        for key, node in state.nodes.items():
            self._check_node(key, [state.jobs[job].phase for job in node.jobs])
        for job in state.jobs.values():
            if job.result is not None:
                assert self.ends.setdefault(job.id, job.result) == job.result, "a terminal state wins"
            if job.phase in (JobPhase.QUEUED, JobPhase.RUNNING, JobPhase.CALLING, JobPhase.RESTING):
                places = {(place.group.casefold(), job.key) for place in job.places}
                assert places <= self.inside, "who runs is in its groups"

    def _check_node(self, key: str, phases: list[JobPhase]) -> None:
        node = self.run.state.nodes[key]
        if node.is_expanded:
            needs = written_job(self.run.flow, self.run.state, key).needs
            results = [self.run.state.nodes[join_key(scope_of(key), need)].result for need in needs]
            assert None not in results, "needs come first"
        busy = [phase for phase in phases if phase not in (JobPhase.HELD, JobPhase.ENDED)]
        assert not node.max_parallel or len(busy) <= node.max_parallel

    def _carry_out(self, known: int) -> None:
        for decision in self.run.decisions[known:]:
            match decision:
                case AskGate(job):
                    self.pending.append(GateSet(job, self.approvals, 7.0))
                case JoinGroup(member, place):
                    self._tell(self.groups.join(member, place))
                case LeaveGroup(member, group):
                    self.inside.discard((group.casefold(), member))
                    self._tell(self.groups.leave(member, group))
                case _:
                    pass

    def _tell(self, events: list[Event]) -> None:
        """What the groups say is true from now on, and arrives some time."""
        self.pending += events
        self.inside = {
            (name, group.inside) for name, group in self.groups._groups.items() if group.inside is not None
        }


@st.composite
def happenings(draw: st.DrawFn, world: World, *, may_cancel: bool) -> Event | None:
    """Something that may happen now, doubled and late things among it; None: only time passes."""
    jobs = [job.id for job in world.run.state.jobs.values()] + ["job_of_nobody"]
    kind = draw(
        st.sampled_from(("pending", "pending", "start", "finish", "finish", "approve", "old", "time"))
    )
    if may_cancel and draw(st.integers(0, 15)) == 0:
        return RunCancelled("enough", is_forced=draw(st.booleans()))
    match kind:
        case "pending" if world.pending:
            return world.pending.pop(draw(st.integers(0, len(world.pending) - 1)))
        case "old" if world.past:
            return draw(st.sampled_from(world.past))
        case "start":
            return JobStarted(draw(st.sampled_from(jobs)))
        case "approve":
            return JobApproved(draw(st.sampled_from(jobs)), draw(st.sampled_from(("ada", "ben"))))
        case "finish" if may_cancel:
            conclusion = draw(st.sampled_from(("success", "failure", "cancelled")))
            return JobFinished(draw(st.sampled_from(jobs)), JobResult(Conclusion(conclusion)))
        case _:
            world.run.now += draw(st.sampled_from((0, 1, 10)))
            return TimePassed()
