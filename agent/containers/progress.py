"""A pull's progress for a log: what happened to which layer, and now and then how far it is."""

import time
from collections.abc import Mapping
from typing import Any

from agent.containers.engine import Say

_SHOW_SECONDS = 10.0
_PASSED_OVER = (
    "Downloading",
    "Extracting",
    "Waiting",
    "Verifying Checksum",
    "Pulling fs layer",
    "Download complete",
)


class PullProgress:
    """Turns the engine's events, many a second for each layer, into a few lines."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._layers: dict[str, tuple[int, int]] = {}  # bytes that are here, bytes in all
        self._shown = time.monotonic()

    def take(self, event: Mapping[str, Any]) -> None:
        """One event of the stream that `POST /images/create` answers."""
        status, layer = str(event.get("status") or ""), str(event.get("id") or "")
        if status == "Downloading":
            progress = event.get("progressDetail") or {}
            self._layers[layer] = (int(progress.get("current") or 0), int(progress.get("total") or 0))
            self._show_sum()
        elif status and status not in _PASSED_OVER:
            self._say(f"{layer}: {status}" if layer else status)

    def _show_sum(self) -> None:
        now = time.monotonic()
        if now - self._shown < _SHOW_SECONDS:
            return
        self._shown = now
        here, total = (sum(column) / 1e6 for column in zip(*self._layers.values(), strict=True))
        self._say(f"Downloaded {here:,.0f} MB of {total:,.0f} MB")
