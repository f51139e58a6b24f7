"""Run a real job in a real supervisor, and read what its journal says."""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agent.ids import JobId, RunId
from agent.job.launch.launcher import JobFolder, JobSettings, create_job_folder, fork_supervisor
from agent.journal.file import JournalReader
from agent.journal.format import Annotation, Closed, Log, Record, StepChanged, Summary
from agent.spec.job import JobSpec, SpecStepKind, StepSpec, StepsWork
from agent.spec.outcome import Conclusion, JobResult

_numbers = itertools.count(1)


@dataclass(frozen=True)
class JobReport:
    """A journal, as a test wants to read it."""

    folder: JobFolder
    records: list[Record]

    @property
    def result(self) -> JobResult:
        last = self.records[-1]
        assert isinstance(last, Closed), self.records
        return last.result

    @property
    def conclusion(self) -> Conclusion:
        return self.result.conclusion

    def steps(self) -> dict[str, StepChanged]:
        """How each step ended, by id, in the order of beginning."""
        ended = [item for item in self.records if isinstance(item, StepChanged) and item.state == "completed"]
        return {item.id: item for item in sorted(ended, key=lambda item: item.step)}

    def own_steps(self) -> dict[str, str]:
        """The conclusions of the steps that the job itself did not add."""
        added = ("__set_up", "__complete")
        return {name: str(item.conclusion) for name, item in self.steps().items() if name not in added}

    def log(self, step: str | None = None) -> str:
        """The log of one step, or of all."""
        number = None if step is None else self.steps()[step].step
        chunks = (item for item in self.records if isinstance(item, Log) and number in (None, item.step))
        return b"".join(item.data for item in chunks).decode("utf-8", "replace")

    def output_of(self, step: str) -> list[str]:
        """The lines that a step printed, without the head that shows what was run."""
        return self.log(step).partition("##[endgroup]\n")[2].splitlines()

    def annotations(self) -> list[Annotation]:
        return [item for item in self.records if isinstance(item, Annotation)]

    def summaries(self) -> str:
        return "".join(item.text for item in self.records if isinstance(item, Summary))


def script(step_id: str, text: str, **fields: object) -> StepSpec:
    """A `run:` step."""
    return StepSpec(SpecStepKind.RUN, step_id, run=text, **fields)  # type: ignore[arg-type]


def uses(step_id: str, action: str, **fields: object) -> StepSpec:
    """A `uses:` step."""
    return StepSpec(SpecStepKind.USES, step_id, uses=action, **fields)  # type: ignore[arg-type]


def make_spec(*steps: StepSpec, **fields: object) -> JobSpec:
    """A job of `steps`; `github`, `inputs`, `needs`, `vars`, `matrix` and `strategy` are contexts, as are all of `brought`."""
    names = ("github", "inputs", "needs", "vars", "matrix", "strategy")
    contexts = {name: fields.pop(name) for name in names if name in fields}
    contexts |= fields.pop("brought", {})  # type: ignore[operator]
    job = JobId(f"job_{next(_numbers):020}")
    return JobSpec(RunId(1), job, "train", "train", StepsWork(steps), contexts=contexts, **fields)  # type: ignore[arg-type]


def make_settings(tmp_path: Path, **fields: object) -> JobSettings:
    """Settings with a work folder of the test's own, and no patience with processes that will not end."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    settings = JobSettings(
        tmp_path / "work", environment=environment, interrupt_seconds=0.5, terminate_seconds=0.3
    )
    return replace(settings, **fields)  # type: ignore[arg-type]


def start_job(
    tmp_path: Path,
    *steps: StepSpec,
    secrets: Mapping[str, str] | None = None,
    settings: Mapping[str, object] | None = None,
    **fields: object,
) -> tuple[JobFolder, int]:
    """Start a job; its folder, and the process id of its supervisor, whose parent the test is."""
    given = dict(secrets or {})
    spec = make_spec(*steps, **{"secrets": tuple(given), **fields})
    folder = create_job_folder(
        tmp_path / "jobs", spec, 1, make_settings(tmp_path, **dict(settings or {})), {}
    )
    return folder, fork_supervisor(folder, given)


def read_report(folder: JobFolder) -> JobReport:
    """What the journal in `folder` says so far."""
    return JobReport(folder, [record for _end, record in JournalReader(folder.journal)])


def finish_job(folder: JobFolder, pid: int) -> JobReport:
    """Wait until the supervisor has ended."""
    os.waitpid(pid, 0)
    assert folder.crash_log.read_text().strip() == ""
    return read_report(folder)


def run_job(tmp_path: Path, *steps: StepSpec, **options: object) -> JobReport:
    """Run a job from its beginning to its end."""
    return finish_job(*start_job(tmp_path, *steps, **options))  # type: ignore[arg-type]


def write_action(workspace: Path, name: str, manifest: str, **files: str) -> None:
    """An action in `workspace`/`name`; files by name, `_` for the dot (`main_js`)."""
    folder = workspace / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "action.yml").write_text(manifest)
    for file, text in files.items():
        (folder / file.replace("_", ".")).write_text(text)
