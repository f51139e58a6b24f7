"""The code that the run is about: a repository at a commit, or the caller's working tree."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from _toolkit import repository, snapshot
from _toolkit.step import StepError
from _toolkit.step import workspace as find_workspace


def read_source() -> dict[str, str]:
    """Where the run's code is, as the job says."""
    try:
        source = json.loads(os.environ.get("FLOW_SOURCE") or "{}")
    except ValueError:
        source = None
    if not isinstance(source, dict):
        raise StepError("FLOW_SOURCE is not a JSON object")
    return {str(key): str(value) for key, value in source.items() if value is not None}


def check_out_run(
    source: Mapping[str, str], target: Path, wishes: repository.Wishes, instead: str
) -> tuple[str, str]:
    """Have that code in `target`; gives its commit and full ref, empty where it has none. `instead`: what to do for a run without code."""
    kind = source.get("kind", "none")
    if kind == "git":
        wanted = source.get("ref", ""), source.get("commit", "")
        return repository.check_out(source.get("url", ""), *wanted, target, wishes)
    if kind == "snapshot":
        snapshot.unpack(source.get("digest", ""), target, clean=wishes.clean)
    elif kind == "folder":
        snapshot.copy_workspace(find_workspace(), target)
    else:
        raise StepError(
            "this run has no code", f"submit it with --source git or --source snapshot, or {instead}"
        )
    return source.get("commit", ""), source.get("ref", "")
