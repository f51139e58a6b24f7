"""The errand of the steps that bring and keep a job's data: the lists of its specification, each path as the machine has it."""

import os
from pathlib import Path
from typing import Any

from agent import codec
from agent.job.steps.state import RunningJob
from agent.spec.data import Bring, Keep

_FILE = "_data.json"


def write_errand(job: RunningJob) -> Path:
    """The file that says it, made anew: how the job stands decides what is kept.

    It may be longer than the environment of a process: a text to bring is in it.
    """
    keeps = [_describe(job, keep) for keep in job.spec.keeps]
    for keep, said in zip(job.spec.keeps, keeps, strict=True):
        said |= {"label": keep.label, "is_made": keep.is_made, "outlives_failure": keep.outlives_failure}
    errand = {
        "run": job.spec.run,
        "key": job.spec.key,
        "attempt": job.spec.attempt,
        "status": job.status.value,
        "brings": [_describe(job, bring) for bring in job.spec.brings],
        "keeps": keeps,
        "store": "" if job.settings.kept_folder is None else str(job.settings.kept_folder),
        "store_bytes": job.settings.kept_limit_bytes,
    }
    file = job.places.temp / _FILE
    making = file.with_name(f"{_FILE}.{os.urandom(6).hex()}")
    making.write_text(codec.dump(errand), encoding="utf-8")
    making.replace(file)
    return file


def _describe(job: RunningJob, thing: Bring | Keep) -> dict[str, Any]:
    """Its fields, and beside them `root`, the folder that it is to stay in (empty: none), and `place_on_disk`."""
    said: dict[str, Any] = dict(codec.to_json(thing))
    root = _root_of(job, thing)
    path = job.host.paths.to_host(thing.path) if thing.path.startswith("/") else thing.path
    said["root"] = "" if path.startswith(("/", "~")) else str(root)
    said["target"] = path
    return said


def _root_of(job: RunningJob, thing: Bring | Keep) -> Path:
    if not thing.in_data:
        return job.places.workspace
    assert job.places.data is not None
    return job.places.data
