"""A screen on which the secrets of a local run are not seen.

Journals are masked where they are written; what the planner makes by itself (names of runs and of matrix cells, why a job
was never started) comes by here.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from agent.cli.terminal.screen import Screen
from agent.journal.format import Closed, Record


class MaskedScreen:
    """A `Screen` before another one. `mask` gives a text without secrets."""

    def __init__(self, screen: Screen, mask: Callable[[str], str]) -> None:
        self._screen = screen
        self._mask = mask
        self._keys: dict[str, str] = {}  # of jobs -> as they are shown: two of them are never one

    def show(self, record: Mapping[str, Any]) -> None:
        """Show the record without secrets."""
        shown = {**{name: self._hide(value) for name, value in record.items()}, "kind": record["kind"]}
        if isinstance(record.get("job"), str):
            shown["job"] = self._show_key(record["job"])
        if isinstance(record.get("jobs"), Mapping):
            shown["jobs"] = {self._show_key(key): self._hide(value) for key, value in record["jobs"].items()}
        self._screen.show(shown)

    def show_record(self, job: str, record: Record) -> None:
        """Show the journal's record, masked by who wrote it, under the job's key; a last word may be ours."""
        if isinstance(record, Closed):
            record = replace(record, result=replace(record.result, message=self._mask(record.result.message)))
        self._screen.show_record(self._show_key(job), record)

    def tick(self) -> None:
        """Time has passed."""
        self._screen.tick()

    def _show_key(self, job: str) -> str:
        if job not in self._keys:
            masked = shown = self._mask(job)
            number = 1
            while shown in self._keys.values():
                number += 1
                shown = f"{masked} #{number}"
            self._keys[job] = shown
        return self._keys[job]

    def _hide(self, value: Any) -> Any:
        match value:
            case Enum():  # a word of ours, even where somebody's secret is the same
                return value
            case str():
                return self._mask(value)
            case Mapping():
                return {name: self._hide(item) for name, item in value.items()}
            case list() | tuple():
                return [self._hide(item) for item in value]
            case _:
                return value
