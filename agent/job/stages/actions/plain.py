"""Stages that leave records as they are, and one that never does."""

from collections.abc import Sequence

from agent.job.stages.actions.pure import PureStage
from agent.job.stages.stage import Done, StageContext, StageError, Value


def make_noop(_context: StageContext) -> PureStage:
    """Hands records on as they came."""
    return PureStage(Done)


def make_error(_context: StageContext) -> PureStage:
    """Fails at each record, again and again: to see what a flow does then."""

    def work(batch: Sequence[Value]) -> Done:
        error = StageError("the stage 'error' fails at every record")
        return Done((), (), dict.fromkeys(range(len(batch)), error))

    return PureStage(work)
