"""Templates and positions: what is written in a flow's file, to be evaluated later, and where it stands."""

from dataclasses import dataclass

Template = object  # a JSON-like value in which any string may hold `${{ }}`


@dataclass(frozen=True, slots=True)
class Position:
    """Where something stands in its file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"
