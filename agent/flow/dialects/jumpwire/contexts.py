"""The context that JumpWire's language brings into a run: `github`, for the actions that are stages of it.

The language itself has no expressions: what a stage reads of its surroundings are its config and its records.
"""

import re
from typing import Final

from agent.flow.dialect import Contexts, RunFacts
from agent.flow.repository import split_repository

BY_HAND: Final = "manual"
_GITHUB: Final = "https://github.com"


def start_contexts(run: RunFacts) -> Contexts:
    """What actions look for around them."""
    server, repository = split_repository(run.url)
    repository = repository or "local/" + (re.sub(r"[^\w.-]+", "-", run.flow_name).strip("-.") or "flow")
    ref = run.ref or "refs/heads/main"
    return {
        "github": {
            "event_name": run.event,
            "event": {**run.payload},
            "repository": repository,
            "repository_owner": repository.partition("/")[0],
            "server_url": server or _GITHUB,
            "ref": ref,
            "ref_name": re.sub(r"^refs/(heads|tags|pull)/", "", ref),
            "sha": run.commit,
            "actor": run.actor,
            "workflow": run.flow_name,
            "run_id": str(run.run),
            "run_number": str(run.number),
            "run_attempt": str(run.attempt),
        }
    }


def next_contexts(contexts: Contexts, attempt: int, _actor: str) -> Contexts:
    """The contexts of the run's next attempt."""
    return {**contexts, "github": {**contexts["github"], "run_attempt": str(attempt)}}


def job_contexts(contexts: Contexts, _job: str) -> Contexts:
    """The same: a flow has one job."""
    return contexts


def called_contexts(contexts: Contexts, _file: str) -> Contexts:
    """No flow of this language is called."""
    return contexts
