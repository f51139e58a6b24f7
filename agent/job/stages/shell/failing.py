"""Failures of stages: whatever they raise, as failures of records."""

from collections.abc import Awaitable

from agent.errors import AgentError
from agent.job.stages.delivery.batches import Batch
from agent.job.stages.stage import Done, Stage, StageError, Value


def isolate(stage: Stage, batch: Batch, error: Exception) -> Done | Awaitable[Done]:
    """The records of a batch that failed as a whole, each by itself, so that one fails no other; where that may be done again."""
    if len(batch.values) == 1 or not stage.is_pure:
        return fail_all(batch, as_stage_error(error))
    values: list[Value] = []
    sources: list[int] = []
    failed: dict[int, StageError] = {}
    for place, value in enumerate(batch.values):
        try:
            done = stage.work([value])
            assert isinstance(done, Done)
        except Exception as own:  # noqa: BLE001 - as above
            failed[place] = as_stage_error(own)
            continue
        if done.failed:
            failed[place] = done.failed[0]
        values += done.values
        sources += [place] * len(done.values)
    return Done(values, sources, failed)


def fail_all(batch: Batch, error: StageError) -> Done:
    """Each record of the batch has failed, for the same reason."""
    return Done((), (), dict.fromkeys(range(len(batch.values)), error))


def as_stage_error(error: Exception) -> StageError:
    """Whatever a stage has raised, as what its records failed with."""
    if isinstance(error, StageError):
        return error
    if isinstance(error, AgentError):
        return StageError(str(error))
    return StageError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
