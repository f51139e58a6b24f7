"""The budget of evaluation: one for all the expressions of one piece of work.

The runner bounds the memory of each expression (evaluate.py); a flow may have thousands of them over the same large event.
So whoever evaluates for others opens a budget, and all that is evaluated until it closes draws on it:

| what | costs |
| --- | --- |
| evaluating a node of an expression, an item that a filter or a search looks at, a matrix cell | a step |
| reading an expression | a step for every four characters; one that was read before costs nothing |
| a text that is compared, searched, put together or printed | its characters |
| JSON that is read or written | four times its characters; an object that was written before costs nothing |

Where none is open, nothing is counted. Pure: the open budget is a context variable, so it is the caller's own.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from agent.flow.expressions.errors import ExpressionError, ResultTooLargeError
from agent.flow.expressions.nodes import Expression


class Allowance(NamedTuple):
    """How many characters and steps there are."""

    characters: int
    steps: int


# For one event of a run (its submission, a job's end, ...), which plans everything that follows from it.
PLANNING: Final = Allowance(characters=32_000_000, steps=500_000)
# As much of that as nobody notices: some hundredths of a second.
QUICK_PLANNING: Final = Allowance(characters=1_000_000, steps=10_000)
# For one key of a job or a step (its `if`, `env`, `run`, ...), on the machine that the job runs on.
RUNNING: Final = Allowance(characters=512_000_000, steps=5_000_000)

_JSON_WEIGHT: Final = 4
_CHARACTERS_A_STEP: Final = 4


class CostError(ExpressionError):
    """Evaluating costs more than this piece of work may."""


class LongWorkError(Exception):
    """What was tried costs more than it may here, where others wait. No AgentError: nothing is wrong with it."""


class Budget:
    """What is left of an allowance; a trial's end is nobody's fault."""

    def __init__(self, allowance: Allowance, *, is_trial: bool = False) -> None:
        self._allowance = allowance
        self._is_trial = is_trial
        self._characters, self._steps = allowance
        self._parsed: dict[tuple[str, tuple[object, ...]], Expression] = {}
        self._written: dict[int, tuple[object, str]] = {}  # JSON by identity, with what keeps the identity

    def spend(self, *, characters: int = 0, steps: int = 0) -> None:
        """Draw on it. Raises CostError when there is less, and from then on always."""
        self._characters -= characters
        self._steps -= steps
        if self._characters < 0 or self._steps < 0:
            if self._is_trial:
                raise LongWorkError
            most = self._allowance
            raise CostError(
                "evaluation",
                "the expressions cost too much:"
                f" more than {most.characters:,} characters or {most.steps:,} steps of evaluation at once",
            )

    def read_json(self, text: str) -> None:
        """Pay for reading `text`."""
        self.spend(characters=_JSON_WEIGHT * len(text))

    def read_expression(
        self, text: str, names: tuple[object, ...], read: Callable[[], Expression]
    ) -> Expression:
        """`text` as `read` parses it where just `names` are known: a matrix has the same text in each of its cells."""
        known = self._parsed.get((text, names))
        if known is None:
            self.spend(steps=1 + len(text) // _CHARACTERS_A_STEP)
            known = self._parsed[text, names] = read()
        return known

    def write_json(self, value: object, most: int, write: Callable[[object, int], str]) -> str:
        """`value` as `write` writes it in at most so many characters; contexts don't change while a budget is open, so
        once is enough.
        """
        known = self._written.get(id(value))
        if known is not None:
            return known[1]
        self.spend()  # nothing is begun when there is nothing left
        left = self._characters // _JSON_WEIGHT
        try:
            text = write(value, min(most, left))
        except ResultTooLargeError:
            self.spend(characters=_JSON_WEIGHT * min(most, left + 1))
            raise
        self.spend(characters=_JSON_WEIGHT * len(text))
        if isinstance(value, (Mapping, list, tuple)):
            self._written[id(value)] = (value, text)
        return text


_OPEN: ContextVar[Budget | None] = ContextVar("expression_budget", default=None)


@contextmanager
def spending(allowance: Allowance) -> Iterator[None]:
    """Open a budget for the block; inside another one, that one goes on counting."""
    if _OPEN.get() is not None:
        yield
        return
    token = _OPEN.set(Budget(allowance))
    try:
        yield
    finally:
        _OPEN.reset(token)


@contextmanager
def trying(allowance: Allowance) -> Iterator[None]:
    """Open a budget for a block that is repeated elsewhere when it is too long. Raises LongWorkError."""
    token = _OPEN.set(Budget(allowance, is_trial=True))
    try:
        yield
    finally:
        _OPEN.reset(token)


def open_budget() -> Budget | None:
    """The budget that counts now."""
    return _OPEN.get()


def spend(*, characters: int = 0, steps: int = 0) -> None:
    """Draw on the open budget, if there is one. Raises CostError."""
    budget = _OPEN.get()
    if budget is not None:
        budget.spend(characters=characters, steps=steps)
