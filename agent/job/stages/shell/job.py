"""The stages of a job: made from its specification, run, and said in its journal, where each stage is a step."""

import gc
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from agent.errors import AgentError
from agent.job.output.recorder import StepLog
from agent.job.stages.actions.manual import FILE
from agent.job.stages.actions.table import find_make
from agent.job.stages.asking import ServerPlace, StageServer
from agent.job.stages.bookmarks.folder import FolderBookmarks
from agent.job.stages.bookmarks.server import ServerBookmarks
from agent.job.stages.job_programs import JobPrograms
from agent.job.stages.kept.letters import LetterFile
from agent.job.stages.kept.reporting import Reporter
from agent.job.stages.shell.configs import read_config, read_nodes
from agent.job.stages.shell.shell import FlowShell
from agent.job.stages.stage import Bookmarks, Stage, StageContext, TriggerStage
from agent.job.steps.actions import Actions
from agent.job.steps.state import RunningJob
from agent.journal.format import Annotation
from agent.spec.job import SpecStepKind, StepSpec
from agent.spec.outcome import Conclusion, FailureKind
from agent.spec.stages import StageSpec, StagesWork

LETTERS = "dead-letters"  # the artifact
FOLDER = "_stages"  # in the job's folder for temporary files


class StageLog:
    """A stage's step in the journal."""

    def __init__(self, log: StepLog) -> None:
        self._log = log
        self.has_failed = False

    def say(self, line: str) -> None:
        """A line of its log."""
        self._log.say(line)

    def warn(self, line: str) -> None:
        """The same, and an annotation."""
        self._log.say(f"##[warning]{line}")
        self._log.recorder.annotate(Annotation(self._log.step, "warning", line))

    def fail(self, line: str) -> None:
        """The stage has failed, and the job with it."""
        self.has_failed = True
        self._log.say(f"##[error]{line}")
        self._log.recorder.annotate(Annotation(self._log.step, "error", line))

    def end(self, *, is_cancelled: bool) -> None:
        """Nothing comes any more."""
        end = Conclusion.CANCELLED if is_cancelled else Conclusion.SUCCESS
        end = Conclusion.FAILURE if self.has_failed else end
        self._log.end(end, end)


class JobStages:
    """Runs the stages of one job. `drain` and `give_up` may be called at any time, from the same loop."""

    def __init__(self, job: RunningJob, work: StagesWork, actions: Actions) -> None:
        self._job = job
        self._programs = JobPrograms(job, actions)
        self._work = work
        self._shell: FlowShell | None = None
        self._is_drained = False
        self._wall_offset = time.time() - time.monotonic()
        self._folder = job.places.temp / FOLDER
        self._letters = LetterFile(self._letter_file(), job.recorder.mask_value, self._wall)
        self._logs: dict[str, StageLog] = {}
        url, token = job.settings.server_url, job.runtime_token
        self._server = StageServer(ServerPlace(url, token)) if url and token else None
        self._bookmarks = self._choose_bookmarks()
        self._reporter = self._make_reporter()

    async def run(self) -> None:
        """The flow, to its end."""
        job = self._job
        for number, spec in enumerate(self._work.stages):
            self._logs[spec.name] = StageLog(job.recorder.begin_step(f"stage-{number}", _title(spec)))
        _collect_rarely()
        try:
            self._shell = self._make()
            if self._is_drained:
                return
            self._reporter.on_safe = self._shell.pump_soon
            self._reporter.figures = partial(self._shell.describe, self._wall)
            self._reporter.start()
            try:
                await self._shell.run()
            finally:
                await self._reporter.close()
        except AgentError as error:
            has_begun = self._shell is not None and self._shell.has_begun
            job.fail(FailureKind.INFRASTRUCTURE if has_begun else FailureKind.USER, str(error))
            next(iter(self._logs.values())).fail(str(error))
        finally:
            self._sum_up()
            for log in self._logs.values():
                log.end(is_cancelled=job.status is Conclusion.CANCELLED)

    def list_steps(self) -> tuple[StepSpec, ...]:
        """What is done when the flow has ended: on a server its dead letters become an artifact, where there are some."""
        if self._server is None or not self._letters.count:
            return ()
        told = {"name": LETTERS, "path": str(self._letters.file), "overwrite": "true"}
        return (
            StepSpec(
                SpecStepKind.USES,
                "__dead_letters",
                name="Keep dead letters",
                condition="always()",
                uses="flow-agent/upload-artifact@v1",
                with_=told,
                continue_on_error=True,
            ),
        )

    def drain(self) -> None:
        """Bring nothing any more; what is on its way goes to its end."""
        self._is_drained = True
        if self._shell is not None:
            self._shell.drain()

    def give_up(self) -> None:
        """No time is left."""
        self._is_drained = True
        if self._shell is not None:
            self._shell.give_up()

    def _make(self) -> FlowShell:
        stages: dict[str, Stage] = {}
        triggers: dict[str, TriggerStage] = {}
        chosen = self._choose_files()
        for spec in self._work.stages:
            if spec.is_trigger and chosen is not None and spec.name not in chosen:
                continue
            try:
                made = self._make_stage(spec, (chosen or {}).get(spec.name))
            except AgentError as error:
                self._logs[spec.name].has_failed = True
                raise AgentError(
                    f"stage '{spec.name}' can't be made: {error.what}",
                    where=error.where or spec.place,
                    hint=error.hint,
                ) from None
            if spec.is_trigger:
                triggers[spec.name] = made  # type: ignore[assignment]
            else:
                stages[spec.name] = made  # type: ignore[assignment]
        nodes = read_nodes(self._work.stages)
        return FlowShell(nodes, stages, triggers, self._logs, self._reporter)

    def _make_stage(self, spec: StageSpec, file: Path | None) -> Stage | TriggerStage:
        config = read_config(spec, self._job.secrets)
        action = spec.action
        if file is not None:
            action, config = "manual", {FILE: str(file)}
        log = self._logs[spec.name]
        job = self._job
        context = StageContext(
            name=spec.name,
            config=config,
            uses=spec.uses,
            bookmarks=self._bookmarks,
            server=self._server,
            workspace=job.places.workspace,
            scratch=self._make_scratch(spec),
            say=log.say,
            warn=log.warn,
            now=time.time,
            programs=self._programs,
        )
        return find_make(action)(context)

    def _choose_files(self) -> Mapping[str, Path] | None:
        """The triggers that bring a file's records, in a run that was given some; None: triggers are what they are."""
        return self._job.settings.records or None

    def _choose_bookmarks(self) -> Bookmarks:
        if self._server is not None:
            return ServerBookmarks(self._server)
        return FolderBookmarks(self._job.settings.bookmark_folder or self._folder / "bookmarks")

    def _make_reporter(self) -> Reporter:
        return Reporter(
            server=self._server,
            letters=self._letters,
            folder=self._folder,
            mask=self._job.recorder.mask_value,
            wall=self._wall,
            say=lambda line: next(iter(self._logs.values())).say(line),
        )

    def _make_scratch(self, spec: StageSpec) -> Path:
        folder = self._folder / "scratch" / str(self._work.stages.index(spec))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _letter_file(self) -> Path:
        return self._job.settings.letter_file or self._folder / "dead-letters.jsonl"

    def _wall(self, seconds: float) -> float:
        return seconds + self._wall_offset

    def _sum_up(self) -> None:
        """What became of all records, a line a stage; dead letters fail a run that was given its records."""
        if self._shell is None:
            return
        for spec in self._work.stages:
            counts = self._shell.delivery.counts(spec.name)
            said = {
                "in": counts.accepted,
                "done": counts.done,
                "filtered": counts.filtered,
                "retried": counts.retried,
                "dead": counts.dead,
            }
            self._logs[spec.name].say(
                ", ".join(f"{count:,} {what}" for what, count in said.items() if count or what == "in")
            )
        count = self._letters.count
        if count and self._job.settings.records:
            which = (
                "1 record ended as a dead letter; it is"
                if count == 1
                else f"{count:,} records ended as dead letters; they are"
            )
            self._job.fail(FailureKind.USER, f"{which} in {self._letters.file}")


def _collect_rarely() -> None:
    """Records are no cycles, and come by the thousand: looking through all of them for some, every 700, would be a quarter of the work."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def _title(spec: StageSpec) -> str:
    return f"{spec.name} ({spec.uses or spec.action})"
