"""Problems of a flow file: values that say where, what, and what to do; never exceptions one at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from agent.errors import UsageError
from agent.flow.model import Position
from agent.redaction import redact


class Severity(StrEnum):
    """An error makes the file invalid; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong at one place. Credentials of a URL in its words are redacted."""

    position: Position
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", redact(self.message))
        object.__setattr__(self, "hint", redact(self.hint))

    def __str__(self) -> str:
        advice = f"; {self.hint}" if self.hint else ""
        return f"{self.position}: {self.message}{advice}"


class InvalidFlowError(UsageError):
    """A flow file has errors; `problems` holds all of them, in the file's order."""

    exit_code: ClassVar[int] = 2

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        count = len(problems)
        noun = "problem" if count == 1 else "problems"
        super().__init__(f"the flow has {count} {noun}", where=file)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  {problem}" for problem in self.problems)])
