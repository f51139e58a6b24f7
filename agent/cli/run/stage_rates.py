"""The stages of a running job as they are watched: what each does a second follows from what it said before."""

from collections.abc import Mapping
from typing import Any, TextIO

from agent.cli.client import Client
from agent.cli.terminal.stages import count_records, draw_stages
from agent.cli.terminal.times import seconds_of
from agent.errors import NotFoundError

_SAID = (
    "name",
    "action",
    "out",
    "state",
    "accepted",
    "buffered",
    "done",
    "filtered",
    "failed",
    "retried",
    "dead",
)


class StageRates:
    """Makes public records of what a server says of a run's stages."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, dict[str, int]]] = {}

    def measure(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """The public record of an event `stages` (docs/cli.md, *Records*)."""
        at = seconds_of(said["at"]) or 0.0
        counts = {stage["name"]: count_records(stage) for stage in said["stages"]}
        before_at, before = self._before.get(said["job"], (at, counts))
        self._before[said["job"]] = (at, counts)
        stages = [
            {
                **{name: stage[name] for name in _SAID},
                "per_second": _rate(counts[stage["name"]] - before.get(stage["name"], 0), at - before_at),
            }
            for stage in said["stages"]
        ]
        return {"kind": "stages", "job": said["key"], "time": at, "stages": stages}


def show_stages(client: Client, run: int | str, out: TextIO) -> None:
    """Write how the stages of a run stand; nothing of a run without, or where the server does not know of them."""
    try:
        found = client.get(f"/api/v1/runs/{run}/stages")["jobs"]
    except NotFoundError:  # a server before this version
        return
    for job in found:
        out.write("\n")
        out.writelines(f"{line}\n" for line in draw_stages(StageRates().measure(job)["stages"], rates=False))


def _rate(records: int, seconds: float) -> float:
    return round(records / seconds, 1) if records > 0 and seconds > 0 else 0.0
