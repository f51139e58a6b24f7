"""A stage without I/O: one function of a batch."""

from collections.abc import Callable, Sequence

from agent.job.stages.stage import Done, StageError, Value

Work = Callable[[Sequence[Value]], Done]


class PureStage:
    """`work` as a stage. It raises StageError for a batch when a record of it can't be done: the shell finds out which."""

    is_pure = True

    def __init__(self, work: Work) -> None:
        self.work = work

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """There is nothing to close."""


def each(change: Callable[[Value], Value]) -> PureStage:
    """A stage that makes one record of each."""
    return PureStage(lambda batch: Done([change(value) for value in batch]))


def need_object(value: Value) -> dict[str, object]:
    """`value`, a JSON object. Raises StageError."""
    if not isinstance(value, dict):
        raise StageError(f"the record is {describe(value)}, no object", is_final=True)
    return value


def describe(value: Value) -> str:
    """What JSON calls a value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case dict():
            return "an object"
        case _:
            return "a list"
