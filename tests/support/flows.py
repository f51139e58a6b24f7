"""Flows and runs for tests of the planner, in few words."""

from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

from agent import codec
from agent.flow.called import link_flow
from agent.flow.load import inspect_flow, load_flow
from agent.flow.model import Flow
from agent.flow.problems import Problem
from agent.ids import JobId, RunId
from agent.plan import (
    Decision,
    EndRun,
    Event,
    JobFinished,
    JobStarted,
    QueueJob,
    RunCancelled,
    RunStart,
    RunState,
    TimePassed,
    advance,
    begin,
)
from agent.plan.rerun import Again, rerun
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, FailureKind, JobResult


def check_flow(text: str, file: str, dialect: str | None = None) -> list[Problem]:
    """All problems of a flow's text, in the file's order; none where it is fine."""
    return inspect_flow(text, file, dialect).problems


def flow_of(jobs: str) -> Flow:
    """A flow whose `jobs:` are the YAML in `jobs`; a job without steps gets one."""
    text = "on: push\njobs:\n" + "\n".join(f"  {line}" for line in dedent(jobs).strip().splitlines())
    return load_flow(text + "\n", "test.yml").flow


def calling(text: str, **called: str) -> Flow:
    """The flow `text` with the flows that it calls as `./NAME.yml` joined to it."""
    flow = load_flow(dedent(text), "test.yml").flow
    return link_flow(flow, {f"./{name}.yml": dedent(called_text) for name, called_text in called.items()})


def request(**more: Any) -> RunStart:
    """A run number 1 of everything; `github` is that context."""
    contexts = {"github": more.pop("github", {})}
    return RunStart(RunId(1), number=1, seed=b"0123456789abc", contexts=contexts, **more)


@dataclass
class Run:
    """A run driven by hand; the state goes through its JSON form after every event, as in a real store."""

    flow: Flow
    request: RunStart = field(default_factory=request)
    decisions: list[Decision] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.state, decisions = begin(self.flow, self.request, now=self.now)
        self.decisions.extend(decisions)

    def handle(self, event: Event) -> tuple[Decision, ...]:
        """What the planner decides on `event`."""
        stored = codec.parse(RunState, codec.dump(self.state))
        self.state, decisions = advance(self.flow, stored, event, now=self.now)
        self.decisions.extend(decisions)
        return decisions

    def finish(self, key: str, conclusion: str = "success", **outputs: str) -> tuple[Decision, ...]:
        """The job starts and ends."""
        job = self.id(key)
        self.handle(JobStarted(job))
        kind = FailureKind.USER if conclusion == "failure" else None
        return self.handle(JobFinished(job, JobResult(Conclusion(conclusion), outputs, kind)))

    def fail(self, key: str, kind: str = "user", exit_code: int | None = None) -> tuple[Decision, ...]:
        """The job starts and fails."""
        job = self.id(key)
        self.handle(JobStarted(job))
        result = JobResult(Conclusion.FAILURE, {}, FailureKind(kind), exit_code=exit_code)
        return self.handle(JobFinished(job, result))

    def pass_time(self, seconds: float) -> tuple[Decision, ...]:
        """Time passes, and the run is woken."""
        self.now += seconds
        return self.handle(TimePassed())

    def again(self, **what: Any) -> tuple[Decision, ...]:
        """The run's next attempt; what was decided before is forgotten."""
        stored = codec.parse(RunState, codec.dump(self.state))
        self.state, decisions = rerun(self.flow, stored, Again(**what), now=self.now)
        self.decisions = list(decisions)
        return decisions

    def phases(self) -> dict[str, str]:
        """How each job stands, by key."""
        return {job.key: job.phase.value for job in self.state.jobs.values()}

    def results(self) -> dict[str, str]:
        """How each job that has ended did, by key."""
        return {job.key: job.result.conclusion.value for job in self.state.jobs.values() if job.result}

    def cancel(self) -> tuple[Decision, ...]:
        """A person cancels the run."""
        return self.handle(RunCancelled("enough"))

    def id(self, key: str) -> JobId:
        """The identifier of a job."""
        return self.state.jobs[key].id

    def queued(self) -> list[str]:
        """The keys of all jobs that were queued so far, in order."""
        return [spec.key for spec in self.specs()]

    def specs(self) -> list[JobSpec]:
        """What was queued so far."""
        return [decision.spec for decision in self.decisions if isinstance(decision, QueueJob)]

    def spec(self, key: str) -> JobSpec:
        """What was queued under `key`."""
        (spec,) = (spec for spec in self.specs() if spec.key == key)
        return spec

    def conclusion(self) -> str | None:
        """How the run ended, when it was announced exactly once."""
        ends = [decision.conclusion for decision in self.decisions if isinstance(decision, EndRun)]
        assert len(ends) < 2, "a run ends once"
        return ends[0].value if ends else None
