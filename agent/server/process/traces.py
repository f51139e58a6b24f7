"""Traces of runs (OpenTelemetry): run, jobs, steps, made from the rows when a run has ended.

Enabled by OTEL_EXPORTER_OTLP_ENDPOINT (OTLP over HTTP) where the extra `telemetry` is installed. Spans are sent in batches
by a thread of the library; an endpoint that is away costs them, and nothing else.
"""

import logging
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from agent import __version__
from agent.server.store import agents, jobs, records
from agent.server.store.database import Connection
from agent.server.store.jobs import JobRow
from agent.server.store.records import StepRow
from agent.server.store.runs import RunRow

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = logging.getLogger("agent.server")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_FAILED = ("failure", "cancelled", "timed_out")
Value = str | int | float


def open_traces(environ: Mapping[str, str] = os.environ) -> "Traces | None":
    """Where traces go; None when no endpoint is set."""
    if not any(environ.get(name) for name in _ENDPOINTS):
        return None
    if find_spec("opentelemetry.exporter") is None or find_spec("opentelemetry.sdk") is None:
        log.warning("traces are not sent: opentelemetry is not installed (docs/operations.md, Traces)")
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = environ.get("OTEL_SERVICE_NAME", "flow-agent")
    provider = TracerProvider(
        resource=Resource.create({"service.name": name, "service.version": __version__}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


class Traces:
    """Sends runs as traces."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("agent.server", __version__)

    async def export_run(self, connection: Connection, run: RunRow, project: str) -> None:
        """Send the run that has ended."""
        facts: dict[str, Value] = {
            "flow.project": project,
            "flow.run": run.id,
            "flow.file": run.file,
            "flow.event": run.event,
            "flow.conclusion": run.conclusion or "",
        }
        end = run.finished_at or run.created_at
        span, inside = self._begin(f"run {run.file}", None, run.created_at, facts, run.conclusion)
        rows = await jobs.list_of_run(connection, run.id)
        names = await agents.names_of(connection, [row.agent for row in rows])
        for row in rows:
            steps = await records.list_steps(connection, row.id, row.lease)
            self._add_job(row, steps, names.get(row.agent or "", ""), inside)
        span.end(_nanoseconds(end))

    def close(self) -> None:
        """Send what waits, as far as that is quick, and stop. Blocks."""
        self._provider.shutdown()

    def _add_job(self, row: JobRow, steps: list[StepRow], agent: str, inside: "Context") -> None:
        start = row.started_at or row.queued_at or row.finished_at
        if start is None or row.finished_at is None:
            return
        facts: dict[str, Value] = {
            "flow.job": row.id,
            "flow.job.key": row.key,
            "flow.agent": agent,
            "flow.conclusion": row.conclusion or "",
            "flow.failure_kind": row.failure_kind or "",
        }
        if row.queued_at is not None:
            facts["flow.queue_seconds"] = max(start - row.queued_at, 0.0)
        span, own = self._begin(f"job {row.key}", inside, start, facts, row.conclusion)
        contexts: dict[int | None, Context] = {None: own}
        for step in steps:
            if step.started_at is None:
                continue
            facts = {"flow.step": step.id, "flow.conclusion": step.conclusion or ""}
            parent = contexts.get(step.parent, own)
            child, contexts[step.step] = self._begin(
                f"step {step.name}", parent, step.started_at, facts, step.conclusion
            )
            child.end(_nanoseconds(step.started_at + (step.seconds or 0.0)))
        span.end(_nanoseconds(max(row.finished_at, start)))

    def _begin(
        self,
        name: str,
        inside: "Context | None",
        start: float,
        facts: Mapping[str, Value],
        conclusion: str | None,
    ) -> "tuple[Span, Context]":
        from opentelemetry.context import Context
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        span = self._tracer.start_span(
            name, context=inside or Context(), start_time=_nanoseconds(start), attributes=dict(facts)
        )
        if conclusion in _FAILED:
            span.set_status(Status(StatusCode.ERROR, conclusion))
        return span, set_span_in_context(span, inside or Context())


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
