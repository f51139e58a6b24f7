"""What a step that brings or keeps has to do: the job's own lists, as the agent has written them down."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _toolkit.step import StepError

SUCCESS = "success"
LIVE_STEP = "__keep_live"  # as agent.spec.data has it


@dataclass(frozen=True, slots=True)
class Errand:
    """One job's data. `store` is where this machine holds up to `store_bytes` of what its jobs kept; empty: nowhere."""

    step: str
    texts: str  # the file for those that are kept as outputs
    run: int
    key: str
    attempt: int
    status: str
    brings: list[dict[str, Any]]
    keeps: list[dict[str, Any]]
    store: str
    store_bytes: int
    checkpoints: dict[str, Any] | None  # None: the job has none


def read_errand() -> Errand:
    """The errand of this step. Raises StepError outside of a job."""
    file = os.environ.get("FLOW_DATA", "")
    if not file:
        raise StepError("FLOW_DATA is not set", "this action is the agent's own: write `brings` or `keeps`")
    said = json.loads(Path(file).read_text(encoding="utf-8"))
    return Errand(**{name: said.get(name) for name in Errand.__slots__})


def check_reach(thing: Mapping[str, Any]) -> None:
    """Raise StepError for a place in the job's container that is not within reach."""
    if thing.get("is_out_of_reach"):
        raise StepError(
            f"'{thing['path']}' lies in the job's container, out of reach",
            "name a folder, with / at its end, or a path of the workspace",
        )


def name_thing(thing: Mapping[str, Any], what: str) -> str:
    """How messages call it: `'model' (train.yml:9:7)`."""
    place = thing.get("place")
    return f"{what}{f' ({place})' if place else ''}"


def read_signatures() -> dict[str, str]:
    """Of the caches that were brought, how each was: by where it is."""
    try:
        read: dict[str, str] = json.loads(_signatures().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return read


def write_signatures(signatures: Mapping[str, str]) -> None:
    """Note how the caches were that were brought."""
    _signatures().write_text(json.dumps(dict(signatures)), encoding="utf-8")


def _signatures() -> Path:
    return Path(os.environ["FLOW_DATA"]).with_name("_caches.json")
