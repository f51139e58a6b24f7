"""Run a flow of stages in a real supervisor, with records from a file."""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agent.ids import JobId, RunId
from agent.job.launch.launcher import JobFolder, create_job_folder, fork_supervisor
from agent.spec.job import JobSpec
from agent.spec.stages import StageSpec, StagesWork
from support.jobs import JobReport, finish_job, make_settings

_numbers = itertools.count(1)


def stage(
    name: str, action: str, out: str | Sequence[str] = (), uses: str = "", **config: object
) -> StageSpec:
    """A stage; `out` may be one name."""
    outs = (out,) if isinstance(out, str) else tuple(out)
    return StageSpec(name, action, config, outs, uses)


def make_stages_spec(*stages: StageSpec, flow: str = "flow", **fields: object) -> JobSpec:
    """A job of stages."""
    job = JobId(f"job_s{next(_numbers):019}")
    return JobSpec(RunId(1), job, "flow", "flow", StagesWork(stages, flow), **fields)  # type: ignore[arg-type]


def start_stages(
    tmp_path: Path,
    *stages: StageSpec,
    records: Mapping[str, Path] | None = None,
    secrets: Mapping[str, str] | None = None,
    settings: Mapping[str, object] | None = None,
    letter_file: Path | None = None,
    **fields: object,
) -> tuple[JobFolder, int]:
    """Start a flow; its folder, and the process id of its supervisor, whose parent the test is."""
    given = dict(secrets or {})
    spec = make_stages_spec(*stages, **{"secrets": tuple(given), **fields})  # type: ignore[arg-type]
    made = replace(
        make_settings(tmp_path, **dict(settings or {})),
        records=dict(records or {}),
        bookmark_folder=tmp_path / "bookmarks",
        letter_file=letter_file or tmp_path / "dead-letters.jsonl",
    )
    folder = create_job_folder(tmp_path / "jobs", spec, 1, made, {})
    return folder, fork_supervisor(folder, given)


def run_stages(tmp_path: Path, *stages: StageSpec, **options: object) -> JobReport:
    """Run a flow from its beginning to its end."""
    return finish_job(*start_stages(tmp_path, *stages, **options))  # type: ignore[arg-type]


def write_records(file: Path, values: Sequence[object]) -> Path:
    """A file of records."""
    file.write_text("".join(json.dumps(value) + "\n" for value in values))
    return file


def read_letters(tmp_path: Path) -> list[dict[str, object]]:
    """The dead letters of a flow."""
    file = tmp_path / "dead-letters.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def is_alive(pid: int) -> bool:
    """Whether the supervisor has not ended."""
    return os.waitpid(pid, os.WNOHANG) == (0, 0)
