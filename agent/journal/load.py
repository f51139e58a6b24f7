"""The load of a job now, from the samples of its journal, as public JSON (docs/metrics.md). Pure."""

from collections.abc import Mapping
from typing import Any

from agent.journal.samples import JobSample
from agent.spec.figures import Figure, find_figure, name_slowdowns

PublicLoad = dict[str, Any]


class Load:
    """The values of a job as they stand, sample by sample."""

    def __init__(self) -> None:
        self._values: dict[int, int | None] = {}
        self._gpus: list[Mapping[str, Any]] = []
        self._time_ms = 0
        self._is_new = False

    def add(self, sample: JobSample) -> None:
        """The next sample."""
        self._values.update(sample.values)
        gpus = sample.names.get("gpus")
        if isinstance(gpus, list):
            self._gpus = [gpu for gpu in gpus if isinstance(gpu, dict)]
        self._time_ms, self._is_new = sample.time_ms, True

    def take_news(self) -> PublicLoad | None:
        """How it stands, when that was not asked since the last sample."""
        if not self._is_new:
            return None
        self._is_new = False
        job: PublicLoad = {}
        gpus: dict[int, PublicLoad] = {}
        for code, value in self._values.items():
            found = find_figure(code)
            if found is not None:
                figure, slot = found
                kept = job if slot is None else gpus.setdefault(slot, {})
                kept[name_figure(figure)] = show_value(figure, value)
        named = [{**self._describe(slot), **gpus[slot]} for slot in sorted(gpus)]
        return {"time": self._time_ms / 1000, **job, "gpus": named}

    def _describe(self, slot: int) -> Mapping[str, Any]:
        return self._gpus[slot] if slot < len(self._gpus) else {}


def name_figure(figure: Figure) -> str:
    """The public name, with its unit."""
    return figure.name if figure.unit in ("count", "reasons") else f"{figure.name}_{figure.unit}"


def show_value(figure: Figure, value: float | None) -> Any:
    """The public value; None where it can't be had."""
    if value is None:
        return None
    return name_slowdowns(int(value)) if figure.is_set else value * figure.factor
