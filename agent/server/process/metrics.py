"""Metrics (Prometheus): counted here as it happens, and read from the store when `/metrics` is asked for.

Names of projects and flows come from users, so there is a bound: after so many, the rest is called `other`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from agent import __version__
from agent.server.pools import Figures
from agent.server.process.pool_metrics import PoolCollector
from agent.server.store.jobs import JobRow
from agent.server.store.runs import RunRow
from agent.spec.status import JobStatus, RunStatus

MOST_FLOWS = 200
_WAITS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 6 * 3600, 86400)
_RUNS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400, 7 * 86400)
_REQUESTS = (0.005, 0.02, 0.1, 0.5, 2, 10)
MEDIA_TYPE = "text/plain; version=0.0.4"


@dataclass(frozen=True, slots=True)
class FirstStep:
    """The first step of a run has begun."""

    created_at: float


Told = RunRow | JobRow | FirstStep


class Metrics:
    """The figures of one server process, in a registry of its own."""

    def __init__(self, pools: Callable[[], Mapping[str, Figures]] = dict) -> None:
        self._registry = registry = CollectorRegistry()
        registry.register(PoolCollector(pools))
        self._flows: set[tuple[str, str]] = set()
        Gauge("flow_agent_info", "What runs here", ["version"], registry=registry).labels(__version__).set(1)
        self._submitted = Counter("flow_agent_runs_submitted", "Runs", ["project", "flow"], registry=registry)
        self._finished = Counter(
            "flow_agent_runs_finished",
            "Runs that ended",
            ["project", "flow", "conclusion"],
            registry=registry,
        )
        self._jobs_finished = Counter(
            "flow_agent_jobs_finished",
            "Jobs that ended",
            ["project", "conclusion", "failure_kind"],
            registry=registry,
        )
        self._queue = Histogram(
            "flow_agent_job_queue_seconds",
            "From queued to taken by an agent",
            ["project"],
            registry=registry,
            buckets=_WAITS,
        )
        self._first_step = Histogram(
            "flow_agent_run_first_step_seconds",
            "From submission to the first step of the first job",
            registry=registry,
            buckets=_WAITS,
        )
        self._run = Histogram(
            "flow_agent_run_seconds",
            "From submission to the end",
            ["project", "conclusion"],
            registry=registry,
            buckets=_RUNS,
        )
        self._journal = Counter(
            "flow_agent_journal_bytes", "Bytes that agents shipped here", registry=registry
        )
        self._requests = Histogram(
            "flow_agent_http_request_seconds",
            "Requests by route; of streams, until their end",
            ["method", "route", "status"],
            registry=registry,
            buckets=_REQUESTS,
        )
        self._jobs = Gauge("flow_agent_jobs", "Jobs that have not ended", ["status"], registry=registry)
        self._agents = Gauge("flow_agent_agents", "Registered agents", ["state"], registry=registry)

    def note_changes(self, now: float, told: Sequence[Told], projects: Mapping[int, str]) -> None:
        """What a committed change at `now` has made of runs and jobs; `projects` are names by id."""
        for row in told:
            if isinstance(row, RunRow):
                self._note_run(now, row, projects.get(row.project, "other"))
            elif isinstance(row, JobRow):
                self._note_job(now, row, projects.get(row.project, "other"))
            else:
                self._first_step.observe(max(now - row.created_at, 0.0))

    def note_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is a template, never a path."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).observe(seconds)

    def note_journal(self, size_bytes: int) -> None:
        """An agent has shipped so much."""
        self._journal.inc(size_bytes)

    def render(self, jobs: Mapping[JobStatus, int], agents: Mapping[str, int]) -> bytes:
        """The exposition; `jobs` by status and `agents` by state are as the store has them now."""
        for gauge, values in ((self._jobs, jobs), (self._agents, agents)):
            gauge.clear()
            for name, value in values.items():
                gauge.labels(name).set(value)
        return generate_latest(self._registry)

    def _note_run(self, now: float, row: RunRow, project: str) -> None:
        labels = self._bounded(project, row.file)
        if row.created_at == now and row.status is not RunStatus.COMPLETED:
            self._submitted.labels(*labels).inc()
        if row.finished_at == now:
            conclusion = row.conclusion or "none"
            self._finished.labels(*labels, conclusion).inc()
            self._run.labels(labels[0], conclusion).observe(max(now - row.created_at, 0.0))

    def _note_job(self, now: float, row: JobRow, project: str) -> None:
        project, _ = self._bounded(project, "")
        if row.started_at == now and row.queued_at is not None and row.status is JobStatus.RUNNING:
            self._queue.labels(project).observe(max(now - row.queued_at, 0.0))
        if row.finished_at == now:
            self._jobs_finished.labels(project, row.conclusion or "none", row.failure_kind or "none").inc()

    def _bounded(self, project: str, flow: str) -> tuple[str, str]:
        """The labels, or `other` when there are too many already."""
        key = (project, flow)
        if key in self._flows:
            return key
        if len(self._flows) >= MOST_FLOWS:
            return "other", "other"
        self._flows.add(key)
        return key


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
