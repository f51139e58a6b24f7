"""The errand of the steps that bring and keep a job's data: the lists of its specification, each path as the machine has it."""

import json
import os
from pathlib import Path
from typing import Any

from agent import codec
from agent.errors import AgentError
from agent.job.steps.state import RunningJob
from agent.plain_files import read_plain
from agent.spec.checkpoints import Checkpoints
from agent.spec.data import Bring, Keep, KeepKind

_TEXTS = "_texts.json"
_MOST_BYTES = 16 << 20


def write_errand(job: RunningJob, step: str) -> Path:
    """The file that says it, made anew: how the job stands decides what is kept.

    It may be longer than the environment of a process: a text to bring is in it. What the step says goes by files, too: a
    language may have no words for inputs and outputs of steps.
    """
    keeps = [_describe(job, keep) for keep in job.spec.keeps]
    for keep, said in zip(job.spec.keeps, keeps, strict=True):
        said |= {"label": keep.label, "is_made": keep.is_made, "outlives_failure": keep.outlives_failure}
    errand = {
        "step": step,
        "texts": str(job.places.temp / _TEXTS),
        "run": job.spec.run,
        "key": job.spec.key,
        "attempt": job.spec.attempt,
        "status": job.status.value,
        "brings": [_describe(job, bring) for bring in job.spec.brings],
        "keeps": keeps,
        "store": "" if job.settings.kept_folder is None else str(job.settings.kept_folder),
        "store_bytes": job.settings.kept_limit_bytes,
    }
    if job.spec.checkpoints is not None:
        errand["checkpoints"] = _describe_checkpoints(job, job.spec.checkpoints)
    file = job.places.temp / f"_data{step}.json"
    making = file.with_name(f"{file.name}.{os.urandom(6).hex()}")
    making.write_text(codec.dump(errand), encoding="utf-8")
    making.replace(file)
    return file


def read_texts(job: RunningJob) -> dict[str, str]:
    """The texts that were kept, by the names of the outputs that they are. What the job has put there instead is none."""
    try:
        read = json.loads(read_plain(job.places.temp / _TEXTS, _MOST_BYTES))
    except (OSError, ValueError, AgentError):
        return {}
    return {str(name): str(text) for name, text in read.items()} if isinstance(read, dict) else {}


def _describe_checkpoints(job: RunningJob, checkpoints: Checkpoints) -> dict[str, Any]:
    said: dict[str, Any] = dict(codec.to_json(checkpoints))
    said["paths"] = [_describe(job, Keep(KeepKind.ARTIFACT, path)) for path in checkpoints.paths]
    said["is_in_container"] = job.is_in_container
    said["is_interrupted"] = job.interruption.is_asked
    said["torn"] = sorted(job.interruption.torn)
    return said


def _describe(job: RunningJob, thing: Bring | Keep) -> dict[str, Any]:
    """Its fields, and beside them `root`, the folder that it is to stay in (empty: none), and `target`, where it lies from there."""
    said: dict[str, Any] = dict(codec.to_json(thing))
    path = _find_on_machine(job, thing.path)
    said["root"] = "" if path.startswith(("/", "~")) else str(_root_of(job, thing))
    said["target"] = path
    said["is_out_of_reach"] = job.is_in_container and path == thing.path and path.startswith("/")
    return said


def _find_on_machine(job: RunningJob, path: str) -> str:
    """A path of the job's steps, which may be those of its container, as the machine has it."""
    if not job.is_in_container:
        return path
    home = job.conventions.folders.home
    return job.host.paths.to_host(f"{home}{path[1:]}" if path == "~" or path.startswith("~/") else path)


def _root_of(job: RunningJob, thing: Bring | Keep) -> Path:
    if not thing.in_data:
        return job.places.workspace
    assert job.places.data is not None
    return job.places.data
