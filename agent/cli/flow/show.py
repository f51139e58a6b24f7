"""`agent flow show`: the plan as far as the file alone decides it, as text, JSON or a Mermaid graph."""

from collections.abc import Iterator
from typing import Any, TextIO

from agent.cli.flow.stage_graph import draw_mermaid, print_stages
from agent.cli.terminal.tables import plain, print_json, print_table
from agent.errors import AgentError
from agent.flow.expressions import evaluate_template, to_text
from agent.flow.model import Flow, Job
from agent.flow.stages import FlowStage
from agent.plan.matrix import Cell, expand_matrix


def show_flow(flow: Flow, output_format: str, out: TextIO) -> int:
    """Print the jobs after matrix expansion, with needs and labels. What only a run can decide is shown as written."""
    jobs = list(_list_jobs(flow, ""))
    if output_format == "json":
        triggers = [trigger.event for trigger in flow.triggers]
        head = {"file": flow.file, "name": flow.title, "dialect": flow.dialect.name, "on": triggers}
        print_json({**head, "jobs": jobs}, out)
    elif output_format == "mermaid":
        out.write("\n".join(_mermaid(jobs, list(_list_stages(flow)))) + "\n")
    elif any(True for _ in _list_stages(flow)):
        _print_head(flow, out)
        print_stages(list(_list_stages(flow)), out)
    else:
        _print_head(flow, out)
        rows = [
            [job["key"], ", ".join(job["needs"]), ", ".join(job["runs_on"]), len(job["steps"])]
            for job in jobs
        ]
        print_table(["job", "needs", "runs on", "steps"], rows, out)
    return 0


def _print_head(flow: Flow, out: TextIO) -> None:
    events = ", ".join(trigger.event for trigger in flow.triggers)
    out.write(f"{plain(flow.title)}  ({flow.dialect.name}, on: {events})\n\n")


def _list_stages(flow: Flow) -> Iterator[FlowStage]:
    for job in flow.jobs.values():
        yield from job.stages


def _list_jobs(flow: Flow, caller: str) -> Iterator[dict[str, Any]]:
    """The flow's jobs, each followed by those of the flow that it calls."""
    for job in flow.jobs.values():
        for cell in _cells(job):
            described = _describe(job, cell, caller)
            yield described
            if job.call is not None and job.call.uses in flow.called:
                yield from _list_jobs(flow.called[job.call.uses], described["key"])


def _cells(job: Job) -> list[Cell]:
    """The job's matrix cells; one without values when there is no matrix or only a run can expand it."""
    try:
        matrix = evaluate_template(job.strategy.matrix, {})
        return [Cell({}, "")] if matrix is None else expand_matrix(matrix)
    except AgentError:
        return [Cell({}, "…")]


def _describe(job: Job, cell: Cell, caller: str) -> dict[str, Any]:
    before = f"{caller} / " if caller else ""
    contexts: dict[str, object] = {"matrix": cell.values}
    return {
        "id": f"{before}{job.id}",
        "key": f"{before}{job.id} ({cell.label})" if cell.label else f"{before}{job.id}",
        "name": _known(job.name, contexts) or job.id,
        "needs": [f"{before}{need}" for need in job.needs],
        "if": job.condition,
        "runs_on": list(job.place) or _labels(_known(job.runs_on, contexts)),
        "matrix": dict(cell.values),
        "uses": job.call.uses if job.call else None,
        "steps": [
            {"id": step.id, "kind": step.kind.value, "name": step.name, "uses": step.uses}
            for step in job.steps
        ],
        **({"stages": [_describe_stage(stage) for stage in job.stages]} if job.stages else {}),
    }


def _describe_stage(stage: FlowStage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "action": stage.written,
        "kind": stage.action,
        "out": list(stage.out),
        "uses": stage.uses or None,
    }


def _known(template: object, contexts: dict[str, object]) -> object:
    """The template's value, or the template itself when it needs more than the matrix."""
    try:
        return evaluate_template(template, contexts)
    except AgentError:
        return template


def _labels(runs_on: object) -> list[str]:
    if isinstance(runs_on, dict):
        runs_on = runs_on.get("labels", runs_on.get("group"))
    labels = runs_on if isinstance(runs_on, (list, tuple)) else [runs_on]
    return [to_text(label) for label in labels if label is not None]


def _mermaid(jobs: list[dict[str, Any]], stages: list[FlowStage]) -> Iterator[str]:
    if stages:  # of a flow of one job
        yield "graph LR"
        yield from draw_mermaid(stages, "stage")
        return
    numbers = {job["key"]: f"job{index}" for index, job in enumerate(jobs)}
    yield "graph LR"
    for job in jobs:
        label = job["key"].replace('"', "'")
        yield f'  {numbers[job["key"]]}["{label}"]'
    for job in jobs:
        for need in job["needs"]:
            for before in jobs:
                if before["id"] == need:
                    yield f"  {numbers[before['key']]} --> {numbers[job['key']]}"
