"""Records of readings: what has changed since the last record, and how long nothing did. Pure."""

from collections.abc import Mapping
from typing import Any

from agent.journal.samples import JobSample
from agent.spec.figures import differs, find_figure

KEY_SECONDS = 60  # so often all values are said again: who comes in the middle knows them by then


class Series:
    """The samples of one job, in the order of time."""

    def __init__(self) -> None:
        self.values: dict[int, int | None] = {}  # as they were last measured
        self._said: dict[int, int | None] = {}
        self._names: Mapping[str, Any] = {}
        self._held = 0
        self._last_ms = 0
        self._since_key = 0

    def add(
        self, time_ms: int, values: Mapping[int, int | None], names: Mapping[str, Any]
    ) -> JobSample | None:
        """A second that ends at `time_ms`: what is to be written of it."""
        self.values = dict(values)
        is_late = time_ms - self._last_ms > 1999 if self._last_ms else False
        changed = {code: value for code, value in values.items() if self._is_new(code, value)}
        changed |= {
            code: None for code, value in self._said.items() if code not in values and value is not None
        }
        self._since_key += 1
        if self._since_key >= KEY_SECONDS or not self._said or names != self._names:
            changed |= values
        self._last_ms = time_ms
        if not changed and not is_late:
            self._held += 1
            return None
        return self._write(time_ms, changed, names)

    def finish(self) -> JobSample | None:
        """The last record, where seconds have gone by in which nothing changed."""
        if not self._held:
            return None
        self._held -= 1  # the last of them is the record's own second
        return self._write(self._last_ms, {}, self._names)

    def _is_new(self, code: int, value: int | None) -> bool:
        found = find_figure(code)
        return found is not None and (code not in self._said or differs(found[0], self._said[code], value))

    def _write(self, time_ms: int, changed: dict[int, int | None], names: Mapping[str, Any]) -> JobSample:
        shown = names if names != self._names or len(changed) == len(self.values) else {}
        if len(changed) >= len(self.values):
            self._since_key = 0
        sample = JobSample(time_ms, changed, self._held, shown)
        self._said |= changed
        self._names, self._held = names, 0
        return sample
