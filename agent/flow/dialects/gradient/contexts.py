"""The contexts that Gradient's language brings into a run: `context`, with the event that started it.

Documented is one member, `context.event.github.url` (github.com/Paperspace/gradient-cli, issue 405: without an event it is
empty, and the checkout fails; here it is the run's own code then).
"""

import re
from typing import Final

from agent.flow.dialect import Contexts, RunFacts

BY_HAND: Final = "manual"
PUSH: Final = "push"


def start_contexts(run: RunFacts) -> Contexts:
    """`context.event`: its name, and under `github` where the code is and what came."""
    github = {
        "url": run.url,
        "ref": run.ref,
        "branch": re.sub(r"^refs/(heads|tags)/", "", run.ref),
        "sha": run.commit,
        "event": run.payload,
    }
    workflow = {"name": run.flow_name, "run": str(run.run), "number": str(run.number), "actor": run.actor}
    return {"context": {"event": {"name": run.event, "github": github}, "workflow": workflow}}


def next_contexts(contexts: Contexts, _attempt: int, actor: str) -> Contexts:
    """The contexts of the run's next attempt."""
    if not actor:
        return contexts
    context = contexts["context"]
    workflow = context.get("workflow")
    assert isinstance(workflow, dict)
    return {**contexts, "context": {**context, "workflow": {**workflow, "actor": actor}}}


def job_contexts(contexts: Contexts, job: str) -> Contexts:
    """The contexts as the job of that id has them."""
    return {**contexts, "context": {**contexts.get("context", {}), "job": job}}


def called_contexts(contexts: Contexts, _file: str) -> Contexts:
    """No flow of this language calls another."""
    return contexts
