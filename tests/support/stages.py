"""Stages by themselves, with what a job gives them: real processes, a real job's environment, and nobody who drives them but the test."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.job.commands.problem_matchers import ProblemMatchers
from agent.job.launch.launcher import create_job_folder
from agent.job.output.masking import Masker
from agent.job.output.recorder import Recorder
from agent.job.process.environment import JobEnvironment
from agent.job.stages.job_programs import JobPrograms
from agent.job.stages.stage import (
    Bookmark,
    Done,
    MakeStage,
    Stage,
    StageContext,
    StageError,
    StreamPosition,
    Value,
)
from agent.job.steps.actions import Actions
from agent.job.steps.places import choose_places, make_places
from agent.job.steps.state import RunningJob, StepScope
from agent.spec.conventions import find_conventions
from support.jobs import make_settings, make_spec


def make_running_job(tmp_path: Path, **fields: object) -> RunningJob:
    """A job whose steps have not begun, in this process; `fields` are settings."""
    spec, settings = make_spec(), make_settings(tmp_path, **fields)
    folder = create_job_folder(tmp_path / "jobs", spec, 1, settings, {})
    conventions = find_conventions(spec.conventions)
    assert conventions is not None
    places = choose_places(folder, spec, settings)
    make_places(places)
    recorder = Recorder(folder.journal, Masker())
    return RunningJob(
        folder=folder,
        spec=spec,
        conventions=conventions,
        settings=settings,
        secrets={},
        runtime_token="",
        id_token="",
        app_tokens={},
        places=places,
        masker=recorder.masker,
        recorder=recorder,
        environment=JobEnvironment(settings.environment, conventions),
        scope=StepScope(),
        log=recorder.begin_step("__set_up", "Set up job"),
        matchers=ProblemMatchers(places.workspace),
    )


class KeptBookmarks:
    """Bookmarks of one test; `lost` are those that somebody else has taken."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.held: dict[str, int] = {}
        self.lost: set[str] = set()
        self._fences = 0

    async def take(self, name: str, seconds: float) -> Bookmark | None:
        if name in self.held:
            return None
        self._fences += 1
        self.held[name] = self._fences
        return Bookmark(name, self.values.get(name), self._fences)

    async def keep(self, bookmark: Bookmark, seconds: float) -> bool:
        return self.held.get(bookmark.name) == bookmark.fence and bookmark.name not in self.lost

    async def put(self, bookmark: Bookmark, value: object) -> bool:
        if not await self.keep(bookmark, 0):
            return False
        self.values[bookmark.name] = value
        return True

    async def free(self, bookmark: Bookmark) -> None:
        if self.held.get(bookmark.name) == bookmark.fence:
            del self.held[bookmark.name]

    async def names(self, prefix: str) -> Sequence[tuple[str, bool]]:
        return [(name, name in self.held) for name in self.values if name.startswith(prefix)]


@dataclass
class Bench:
    """A stage's surroundings, and what it said there."""

    tmp_path: Path
    job: RunningJob
    said: list[str] = field(default_factory=list)
    bookmarks: KeptBookmarks = field(default_factory=KeptBookmarks)
    now: float | None = None

    @property
    def workspace(self) -> Path:
        return self.job.places.workspace

    @property
    def log(self) -> str:
        return "\n".join(self.said)

    def context(self, config: Mapping[str, object], *, name: str = "work", uses: str = "") -> StageContext:
        return StageContext(
            name=name,
            config=config,
            uses=uses,
            bookmarks=self.bookmarks,
            server=None,
            workspace=self.workspace,
            scratch=self.tmp_path / "scratch" / name,
            say=self.said.append,
            warn=self.said.append,
            now=lambda: time.time() if self.now is None else self.now,
            programs=JobPrograms(self.job, Actions(self.job)),
        )

    async def open(self, make: MakeStage, config: Mapping[str, object], *, uses: str = "") -> Stage:
        """A stage that is ready for its first batch."""
        stage: Stage = make(self.context(config, uses=uses))  # type: ignore[assignment]
        await stage.open()
        return stage


def make_bench(tmp_path: Path, **fields: object) -> Bench:
    """Surroundings of a test's own; `fields` are settings of its job."""
    return Bench(tmp_path, make_running_job(tmp_path, **fields))


async def work(stage: Stage, *batch: Value) -> Done:
    """What becomes of a batch."""
    done = stage.work(batch)
    return done if isinstance(done, Done) else await done


@dataclass
class Received:
    """An intake that takes all there is; see Intake."""

    batches: list[tuple[list[Value], StreamPosition]] = field(default_factory=list)
    failed: list[tuple[object, StreamPosition, StageError]] = field(default_factory=list)

    @property
    def values(self) -> list[Value]:
        return [value for values, _position in self.batches for value in values]

    async def emit(self, values: Sequence[Value], position: StreamPosition) -> None:
        self.batches.append((list(values), position))

    def fail(self, raw: object, position: StreamPosition, error: StageError) -> None:
        self.failed.append((raw, position, error))
