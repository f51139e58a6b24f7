"""The context that dstack's language brings into a run: `run`, of which files read `run.name`."""

from typing import Final

from agent.flow.dialect import Contexts, RunFacts

BY_HAND: Final = "run"  # as in `dstack run`
ARGS: Final = "run.args"  # the input that `${{ run.args }}` is


def start_contexts(run: RunFacts) -> Contexts:
    """What is known of the run; `workflow` are the workflows that were asked for."""
    return {
        "run": {
            "id": str(run.run),
            "name": run.name,
            "number": str(run.number),
            "attempt": str(run.attempt),
            "workflow": ", ".join(run.jobs),
            "user": run.actor,
        }
    }


def next_contexts(contexts: Contexts, attempt: int, _actor: str) -> Contexts:
    """The contexts of the run's next attempt; the run keeps its name."""
    return {**contexts, "run": {**contexts["run"], "attempt": str(attempt)}}


def job_contexts(contexts: Contexts, _job: str) -> Contexts:
    """The same for all jobs."""
    return contexts


def same_contexts(contexts: Contexts, _file: str) -> Contexts:
    """No flow of this language is called."""
    return contexts
