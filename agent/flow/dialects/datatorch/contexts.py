"""The contexts that DataTorch's language brings into a run: `pipeline` (`flow` in older files), `run`, `trigger`, `event`.

`github` has what actions of GitHub's look for around them, so that a flow of this language may use them. The machine adds
`agent`, `directory`, `machine`, `python`, `job`, `step`, `action`, and `variable` and `input`, which grow with each step.
Members: datatorch/documentation `docs/agents/variables.md`; datatorch/python `agent/pipelines/template.py`.
"""

import re
from collections.abc import Mapping
from typing import Final

from agent.flow.dialect import Contexts, RunFacts
from agent.flow.dialects.datatorch.table.triggers import OUTSIDE
from agent.flow.repository import split_repository

_GITHUB: Final = "https://github.com"


def start_contexts(run: RunFacts) -> Contexts:
    """Those of a run when it starts."""
    event = _unwrap(run)
    pipeline = {
        "id": run.flow_file,
        "name": run.flow_name,
        "creatorId": run.actor,
        "projectId": run.project,
        "lastRunNumber": run.number,
    }
    return {
        "pipeline": pipeline,
        "flow": pipeline,
        "run": {
            "id": str(run.run),
            "name": f"{run.flow_name} #{run.number}",
            "runNumber": run.number,
            "config": run.written,
        },
        "trigger": {"id": f"{run.run}-{run.event}", "type": run.event},
        "event": event,
        "github": _describe_source(run, event),
    }


def next_contexts(contexts: Contexts, attempt: int, actor: str) -> Contexts:
    """The contexts of the run's next attempt."""
    github = {**contexts["github"], "run_attempt": str(attempt)}
    if actor:
        github["triggering_actor"] = actor
    return {**contexts, "github": github}


def job_contexts(contexts: Contexts, job: str) -> Contexts:
    """The contexts as the job of that id has them."""
    return {**contexts, "github": {**contexts.get("github", {}), "job": job}}


def called_contexts(contexts: Contexts, _file: str) -> Contexts:
    """No flow of this language calls another."""
    return contexts


def _unwrap(run: RunFacts) -> Mapping[str, object]:
    """What happened, as its flow reads it: of an event from outside, what its sender wrote and not the cover around it."""
    inner = run.payload.get("client_payload")
    if run.event == OUTSIDE and isinstance(inner, Mapping):
        return inner
    return run.payload


def _describe_source(run: RunFacts, event: Mapping[str, object]) -> dict[str, object]:
    server, repository = split_repository(run.url)
    server = server or _GITHUB
    repository = repository or "local/" + (re.sub(r"[^\w.-]+", "-", run.flow_name).strip("-.") or "flow")
    ref = run.ref or "refs/heads/main"
    return {
        "event_name": run.event,
        "event": {**event},
        "repository": repository,
        "repository_owner": repository.split("/")[0],
        "ref": ref,
        "ref_name": re.sub(r"^refs/(heads|tags|pull|merge-requests)/", "", ref),
        "ref_type": "tag" if ref.startswith("refs/tags/") else "branch",
        "sha": run.commit,
        "actor": run.actor,
        "triggering_actor": run.actor,
        "workflow": run.flow_name,
        "run_id": str(run.run),
        "run_number": str(run.number),
        "run_attempt": str(run.attempt),
        "server_url": server,
    }
