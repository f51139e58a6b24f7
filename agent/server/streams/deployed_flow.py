"""Flows that may be deployed: those whose one job is stages. What the server has to know of them it reads here. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import UsageError
from agent.flow.model import Flow
from agent.flow.stages import FlowStage
from agent.server.process.problems import ConflictError
from agent.server.store.deployments import PathRow
from agent.spec.stages import ALONE, TRIGGERS, receive_path

_DEFAULT_METHODS = ("POST",)


@dataclass(frozen=True, slots=True)
class DeployedFlow:
    """A flow of stages: its name, and where it receives (the project's number is 0 in these)."""

    name: str
    paths: tuple[PathRow, ...]
    alone: tuple[str, ...]  # its triggers that no two jobs may have at the same time


def read_deployed(flow: Flow) -> DeployedFlow:
    """What there is to know. Raises UsageError for a flow that is not of stages, ConflictError for a path that stands twice."""
    jobs = list(flow.jobs.values())
    if len(jobs) != 1 or not jobs[0].stages:
        raise UsageError(
            "only a flow of stages is deployed: this one's jobs are steps, which have an end",
            where=flow.file,
            hint="`agent flow submit` runs it once, `agent flow store` keeps it for its triggers",
        )
    stages = jobs[0].stages
    if {stage.action for stage in stages} & TRIGGERS == {"manual"}:
        raise UsageError(
            "the flow's only trigger is `manual`, which brings the records of a file: deployed, it would have none",
            where=flow.file,
            hint="`agent flow run FILE --event-file RECORDS` runs it; a `webhook` trigger with a `path` receives records",
        )
    paths = tuple(_read_path(flow.title, stage) for stage in stages if stage.action == "receive")
    _refuse_twins(paths, flow.file)
    alone = tuple(dict.fromkeys(stage.action for stage in stages if stage.action in ALONE))
    return DeployedFlow(flow.title, paths, alone)


def _read_path(flow: str, stage: FlowStage) -> PathRow:
    config = stage.config
    methods = config.get("methods") or _DEFAULT_METHODS
    written = [methods] if isinstance(methods, str) else methods
    assert isinstance(written, Sequence)
    return PathRow(
        project=0,
        path=receive_path(str(config["path"])),
        flow=flow,
        methods=tuple(str(method).upper() for method in written),
        secret=str(config.get("secret") or ""),
        token=str(config.get("token") or ""),
    )


def _refuse_twins(paths: Sequence[PathRow], file: str) -> None:
    seen = set()
    for row in paths:
        if row.path in seen:
            raise ConflictError(f"two triggers of the flow receive at {row.path}", where=file)
        seen.add(row.path)
