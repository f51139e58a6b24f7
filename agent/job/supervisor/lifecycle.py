"""A job's life, phase by phase. Whatever happens in the first half, the second half runs.

    set up            folders, the job's env, every `uses:` resolved      what fails here ends the first half
    started hook      the owner's script before each job
    images            those of container actions are pulled or built      what fails here ends the first half
    containers        the job's container and services start              what fails here ends the first half
    apps              the ports that it opens for people are watched      what fails here ends the first half
    open              people may attach to the job from now on
    pre               `pre` stages of all actions
    main              the steps, or the stages
    look at gpus      a job that failed looks whether one of its GPUs is broken
    hold              a job that failed waits for somebody to look, when that was asked for
    ------------------------------------------------------------------- the second half
    post              `post` stages, the last action's first
    detach            whoever is attached is told that it is over, and its apps are gone
    stop containers   containers, services and their network are removed
    completed hook    the owner's script after each job, when the one before was run
    complete          outputs, stray processes ended, temporary files gone

Source: actions/runner `JobRunner.cs`, `JobExtension.cs`; github-facts section 3.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from agent import codec
from agent.errors import AgentError, RefusedError, UsageError
from agent.flow.expressions import to_text, write_value
from agent.full_disks import is_full, name_place
from agent.job.attach.attachments import Attachments
from agent.job.folder.settings import JobSettings
from agent.job.output.recorder import StepLog
from agent.job.process.hosts import MachineHost
from agent.job.process.processes import end_descendants
from agent.job.sampling.sampler import JobSampler
from agent.job.steps.actions import Actions
from agent.job.steps.contexts import evaluate_mapping, evaluate_value
from agent.job.steps.deadlines import Deadline
from agent.job.steps.people import HeardAnswer
from agent.job.steps.places import make_places
from agent.job.steps.state import RunningJob
from agent.job.steps.steprun import write_event
from agent.job.steps.turns import settle
from agent.job.supervisor.engine import FolderGuard, StepLoop
from agent.job.supervisor.holding import Hold
from agent.job.supervisor.hooks import completed_hook, started_hook
from agent.job.supervisor.lost_gpus import find_lost_gpu
from agent.journal.format import Annotation
from agent.spec.job import StepSpec
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.spec.stages import StagesWork
from agent.trees import remove_tree

if TYPE_CHECKING:  # most jobs have none
    from agent.job.apps.apps import JobApps
    from agent.job.stages.shell.job import JobStages

_MAX_OUTPUT_CHARACTERS = 1_000_000
_MAX_MESSAGE = 4096


class LifePhase(NamedTuple):
    """One part of a job's life."""

    name: str
    run: Callable[["Lifecycle"], Awaitable[None]]
    is_second_half: bool


class Lifecycle:
    """Takes one job through its phases."""

    def __init__(self, job: RunningJob) -> None:
        self._hold = Hold(job)
        self.attachments = Attachments(job, on_left=self._hold.end, on_resume=self._hold.resume)
        self._job = job
        self._actions = Actions(job)
        self._engine = StepLoop(job, self._actions)
        self._apps: JobApps | None = None
        self._stages: JobStages | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._deadline: Deadline | None = None  # once the job's time runs
        self._end: asyncio.TimerHandle | None = None
        self._is_set_up = False
        self._has_started = False
        self._was_signalled = False  # and nobody has said why
        self._preparation: asyncio.Future[object] | None = None
        self._sampler = JobSampler(
            job.recorder,
            job.group,
            job.board,
            lambda: job.settings.gpus if job.held_settings is None else (),
            lambda: job.containers.pids,
        )
        self._may_be_interrupted = True

    async def run(self) -> JobResult:
        """The job from its first to its last phase, and how it ended."""
        job = self._job
        job.recorder.on_failure = self._stop_on_full_disk
        self._deadline = Deadline(job.spec.timeout_minutes * 60, self._move_end)
        job.scope.deadlines = (self._deadline,)
        self._sampler.begin()
        try:
            for phase in PHASES:
                if phase.is_second_half or self._is_set_up or phase is PHASES[0]:
                    self._may_be_interrupted = not phase.is_second_half and phase.name != "hold"
                    await phase.run(self)
        finally:
            self._move_end(None)
            for timer in self._timers:
                timer.cancel()
        return self._result()

    def cancel(self, reason: str, kind: FailureKind = FailureKind.CANCELLED) -> None:
        """Somebody asked for the job's end, or the machine can't go on with it. Asking again changes nothing, but that a mere signal
        gets its reason, and that a job on its way out for another one ends as this.
        """
        job, reason = self._job, reason or "the job was cancelled"
        if kind is FailureKind.GPU:
            job.log.recorder.annotate(Annotation(job.log.step, "error", reason))
        is_explained = self._was_signalled and job.status is Conclusion.CANCELLED
        if is_explained or job.failure_kind is FailureKind.INTERRUPTED:
            self._was_signalled = False
            job.failure_kind, job.message = kind, reason
            return
        self._end_early(kind, reason)

    def cancel_by_signal(self) -> None:
        """The same, by somebody who gives no reason: who knows it may still say it (Slurm's signals come to all processes)."""
        self._was_signalled |= self._job.status is not Conclusion.CANCELLED
        self._end_early(FailureKind.CANCELLED, "the supervisor was told to end")

    def interrupt(self, reason: str) -> None:
        """A job that comes before this one wants its place. One whose steps are done goes on to its end."""
        job = self._job
        if job.status is Conclusion.CANCELLED or not self._may_be_interrupted:
            return
        job.interruption.is_asked = True
        job.interruption.grace_seconds = job.spec.grace_seconds
        self._end_early(FailureKind.INTERRUPTED, reason or "a job that comes before it took its place")

    def answer(self, step: int, answer: HeardAnswer) -> None:
        """Somebody has answered what a step waits for. Raises AgentError when it does not, or not any more."""
        self._job.people.answer(step, answer)

    def describe_pause(self) -> dict[str, object]:
        """For how long the job's time has stood still, and whether it does."""
        deadline = self._deadline
        has_room = self._job.held_settings is None
        if deadline is None:
            return {"paused_seconds": 0.0, "is_paused": False, "has_room": has_room}
        paused = {"paused_seconds": deadline.paused_seconds, "is_paused": deadline.is_paused}
        return {**paused, "has_room": has_room}

    async def set_up(self) -> None:
        """Everything that has to be there before the first step."""
        job, log = self._job, self._job.log
        try:
            _greet(job, log)
            make_places(job.places)
            self._engine.folder_guard = await _guard_folder(job)
            write_event(job)
            self._choose_apps()
            for template in job.spec.env:
                values = job.environment.values
                values.update(evaluate_mapping(job, job.scope, values, template, "env"))
            await self._resolve_actions(log)
        except AgentError as error:
            self._fail(log, FailureKind.USER, str(error))
        except OSError as error:
            places = (job.places.root, job.places.temp, job.places.tools, job.places.actions)
            what = AgentError(
                f"the system says no: {error.strerror or error}",
                where=name_place(error, places),
                hint="make room there" if is_full(error) else "",
            )
            self._fail(log, FailureKind.INFRASTRUCTURE, str(what))
        self._is_set_up = job.status is not Conclusion.FAILURE
        outcome = Conclusion.SUCCESS if self._is_set_up else Conclusion.FAILURE
        log.end(outcome, outcome)

    async def bring_images(self) -> None:
        """The images of the container actions that are known by now."""
        found = self._actions.found()
        if not found:
            return
        from functools import partial

        from agent.job.containers.action_images import bring_for, describe_image, needs_image

        for uses, action in found.items():
            if self._is_set_up and needs_image(action):
                name = describe_image(action, uses)
                await self._prepare("__image", name, partial(bring_for, self._job, action))

    async def start_containers(self) -> None:
        """The job's container, services, and the network between them."""
        spec = self._job.spec
        if not spec.container and not spec.services:
            return
        from agent.job.containers.lifecycle import start_containers

        await self._prepare(
            "__containers", "Initialize containers", lambda log: start_containers(self._job, log)
        )

    async def stop_containers(self) -> None:
        """The end of all that the job has at the container engine."""
        if self._job.containers.engine is None:
            return
        from agent.job.containers.lifecycle import stop_containers

        log = self._job.recorder.begin_step("__stop_containers", "Stop containers")
        try:
            await stop_containers(self._job, log)
        except AgentError as error:  # the job has its result; what is left is swept when the daemon starts
            log.say(f"##[warning]{error}")
            log.recorder.annotate(Annotation(log.step, "warning", str(error)))
        log.end(Conclusion.SUCCESS, Conclusion.SUCCESS)

    async def _prepare(self, step: str, name: str, work: Callable[[StepLog], Awaitable[object]]) -> None:
        """A step of our own before the first of the job's. It may be cancelled; failing, it ends the first half."""
        if (
            self._job.status is not Conclusion.SUCCESS
        ):  # cancelled by now: steps without their container are none
            self._is_set_up = False
            return
        log = self._job.recorder.begin_step(step, name)
        task = self._preparation = asyncio.ensure_future(work(log))
        await settle(task)
        outcome = Conclusion.SUCCESS
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            outcome = Conclusion.CANCELLED
        elif isinstance(error, AgentError):
            outcome = Conclusion.FAILURE
            self._fail(log, _blame(error), str(error))
        elif error is not None:
            raise error
        self._is_set_up = outcome is Conclusion.SUCCESS
        log.end(outcome, outcome)

    async def run_started_hook(self) -> None:
        """The owner's script before the job."""
        self._has_started = True
        await self._guarded(lambda: self._run_hook(started_hook))

    async def run_completed_hook(self) -> None:
        """The owner's script after the job."""
        if self._has_started:
            await self._guarded(lambda: self._run_hook(completed_hook))

    async def open_apps(self) -> None:
        """Ports that people will use."""
        if self._apps is None:
            return
        try:
            self._apps.begin()
        except AgentError as error:
            self._is_set_up = False
            self._job.fail(FailureKind.INFRASTRUCTURE, str(error))
            self._job.recorder.annotate(Annotation(self._job.log.step, "error", str(error)))

    async def open_doors(self) -> None:
        """People may attach: there is something to attach to."""
        self.attachments.open()

    async def run_pre(self) -> None:
        """The `pre` stages."""
        await self._guarded(self._engine.run_pre)

    async def run_main(self) -> None:
        """The steps, or the stages."""
        work = self._job.spec.work
        if not isinstance(work, StagesWork):
            await self._guarded(self._engine.run_main)
            return
        from agent.job.stages.shell.job import JobStages  # most jobs have none

        stages = self._stages = JobStages(self._job, work, self._actions)
        if self._job.status is Conclusion.SUCCESS:
            await self._guarded(self._stages.run)
            await self._guarded(lambda: self._engine.run_steps(stages.list_steps(), self._job.scope))

    async def look_at_gpus(self) -> None:
        """A program that died of a broken GPU is no fault of who wrote it."""
        job = self._job
        if job.failure_kind is FailureKind.USER and (lost := await find_lost_gpu(job.settings.gpus)):
            job.log.recorder.annotate(Annotation(job.log.step, "error", lost))
            job.blame_gpu(lost)

    async def hold(self) -> None:
        """A failed job waits, when that was asked for."""
        await self._hold.wait()

    async def run_post(self) -> None:
        """The `post` stages."""
        await self._guarded(self._engine.run_post)

    async def detach(self) -> None:
        """Nobody stays attached to what is about to go."""
        await self.attachments.close()
        if self._apps is not None:
            await self._apps.close()

    async def complete(self) -> None:
        """Outputs, and the cleaning."""
        job = self._job
        log = job.recorder.begin_step("__complete", "Complete job")
        self._sampler.end(log.step)
        self._write_outputs(log)
        self._write_environment_url(log)
        if (guard := self._engine.folder_guard) is not None:
            await asyncio.to_thread(guard.close)
        strays = await end_descendants(job.graces)
        if strays:
            log.say(f"Terminated {strays} orphan process{'es' if strays > 1 else ''}")
        peak = job.group.peak_bytes()
        if peak:
            log.say(f"The job's processes had {peak / (1 << 20):,.0f} MiB of memory at most")
        job.command_folder.close()
        for folder in (job.places.temp, job.places.home):  # it may take long, and cancels are heard
            await asyncio.to_thread(remove_tree, folder)
        log.end(Conclusion.SUCCESS, Conclusion.SUCCESS)

    def _choose_apps(self) -> None:
        if self._job.spec.apps:
            from agent.job.apps.apps import JobApps

            self._apps = JobApps(self._job)
            self._apps.choose()

    async def _resolve_actions(self, log: StepLog) -> None:
        try:
            await self._actions.prepare(self._job.spec.steps, log.say)
        except AgentError as error:
            self._fail(log, FailureKind.ACTION, str(error))

    async def _guarded(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run a phase; an error that no step could be blamed for fails the job."""
        try:
            await run()
        except AgentError as error:
            self._job.fail(FailureKind.USER, str(error))
            self._job.recorder.annotate(Annotation(self._job.log.step, "error", str(error)))

    async def _run_hook(self, find: Callable[[JobSettings], tuple[StepSpec, ...]]) -> None:
        """The script runs on the machine, whatever the job's own steps run in."""
        job = self._job
        inside = job.host, job.containers.container
        job.host, job.containers.container = MachineHost(), {}
        try:
            await self._engine.run_steps(find(job.settings), job.scope)
        finally:
            job.host, job.containers.container = inside

    def _write_outputs(self, log: StepLog) -> None:
        job = self._job
        for name, text in job.texts.items():
            self._write_output(log, name, text)
        for name, template in job.spec.outputs.items():
            try:
                value = evaluate_value(job, job.scope, job.environment.values, template, f"outputs.{name}")
            except AgentError as error:
                self._fail(log, FailureKind.USER, str(error))
                continue
            self._write_output(log, name, value)
        if len(codec.dump(job.outputs)) > _MAX_OUTPUT_CHARACTERS:
            job.outputs.clear()
            self._fail(log, FailureKind.USER, "The outputs of the job are more than 1 MB together")

    def _write_output(self, log: StepLog, name: str, value: object) -> None:
        job = self._job
        has_values = job.conventions.has_values
        text = write_value(value) if has_values else to_text(value)
        if text and job.masker.holds_secret(text):
            log.say(f"##[warning]Skip output '{name}' since it may contain secret.")
        elif text:
            job.outputs[name] = job.recorder.mask_value(value) if has_values else job.masker.mask_text(text)

    def _write_environment_url(self, log: StepLog) -> None:
        job = self._job
        if job.spec.environment_url is None:
            return
        try:
            written = evaluate_value(
                job, job.scope, job.environment.values, job.spec.environment_url, "environment.url"
            )
        except AgentError as error:
            self._fail(log, FailureKind.USER, str(error))
            return
        url = to_text(written)
        if job.masker.holds_secret(url):
            log.say("##[warning]Skip the environment's url since it may contain secret.")
        else:
            job.environment_url = job.masker.mask_text(url)[:_MAX_MESSAGE]

    def _fail(self, log: StepLog, kind: FailureKind, message: str) -> None:
        log.say(f"##[error]{message}")
        log.recorder.annotate(Annotation(log.step, "error", message))
        self._job.fail(kind, message)

    def _time_out(self) -> None:
        minutes = to_text(self._job.spec.timeout_minutes)
        self._end_early(
            FailureKind.TIMEOUT, f"The job has exceeded the maximum execution time of {minutes} minutes."
        )

    def _stop_on_full_disk(self) -> None:
        self._end_early(FailureKind.INFRASTRUCTURE, str(self._job.recorder.failure))

    def _end_early(self, kind: FailureKind, message: str) -> None:
        if self._job.status is Conclusion.CANCELLED:
            return
        grace = self._job.interruption.grace_seconds
        self._start_timer(grace + self._job.spec.cancel_timeout_minutes * 60, self._give_up)
        self._engine.cancel(kind, message)
        if self._stages is not None:
            self._stages.drain()
        self._hold.end(message)
        if self._preparation is not None:
            self._preparation.cancel()

    def _give_up(self) -> None:
        self._engine.give_up()
        if self._stages is not None:
            self._stages.give_up()

    def _move_end(self, when: float | None) -> None:
        """The job's time is over then; None: its time stands still, or is over."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if when is not None:
            self._end = asyncio.get_running_loop().call_at(when, self._time_out)

    def _start_timer(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, action))

    def _result(self) -> JobResult:
        job = self._job
        failure = job.recorder.failure
        if failure is not None:  # what the log lacks, no success makes good
            return JobResult(
                Conclusion.FAILURE, failure_kind=FailureKind.INFRASTRUCTURE, message=str(failure)
            )
        if job.status is Conclusion.SUCCESS:
            return JobResult(job.status, job.outputs, environment_url=job.environment_url)
        message = "; ".join(filter(None, (job.message, *job.remarks)))
        return JobResult(
            self._conclude(),
            job.outputs,
            job.failure_kind or (FailureKind.ACTION if job.remarks else None),
            job.masker.mask_text(message)[:_MAX_MESSAGE],
            job.exit_code,
            job.environment_url,
        )

    def _conclude(self) -> Conclusion:
        """How it ended: what broke or was taken away (preempted) has failed, what made place was interrupted; nobody has cancelled either."""
        job = self._job
        if job.failure_kind in (FailureKind.INFRASTRUCTURE, FailureKind.GPU, FailureKind.LOST):
            return Conclusion.FAILURE
        is_interrupted = job.status is Conclusion.CANCELLED and job.failure_kind is FailureKind.INTERRUPTED
        return Conclusion.INTERRUPTED if is_interrupted else job.status


PHASES = (
    LifePhase("set up", Lifecycle.set_up, is_second_half=False),
    LifePhase("started hook", Lifecycle.run_started_hook, is_second_half=False),
    LifePhase("images", Lifecycle.bring_images, is_second_half=False),
    LifePhase("containers", Lifecycle.start_containers, is_second_half=False),
    LifePhase("apps", Lifecycle.open_apps, is_second_half=False),
    LifePhase("open", Lifecycle.open_doors, is_second_half=False),
    LifePhase("pre", Lifecycle.run_pre, is_second_half=False),
    LifePhase("main", Lifecycle.run_main, is_second_half=False),
    LifePhase("look at gpus", Lifecycle.look_at_gpus, is_second_half=False),
    LifePhase("hold", Lifecycle.hold, is_second_half=False),
    LifePhase("post", Lifecycle.run_post, is_second_half=True),
    LifePhase("detach", Lifecycle.detach, is_second_half=True),
    LifePhase("stop containers", Lifecycle.stop_containers, is_second_half=True),
    LifePhase("completed hook", Lifecycle.run_completed_hook, is_second_half=True),
    LifePhase("complete", Lifecycle.complete, is_second_half=True),
)


async def _guard_folder(job: RunningJob) -> FolderGuard | None:
    """In somebody's own folder: who sees to it that nothing is lost of what lies there before any step has run."""
    if job.settings.belongings is None:
        return None
    from agent.job.in_place.protection import note_belongings

    return await note_belongings(job.places.workspace, job.settings.belongings)


def _greet(job: RunningJob, log: StepLog) -> None:
    from agent import __version__

    machine = os.uname()
    log.say(f"Current agent version: '{__version__}'")
    log.say(f"Agent name: '{job.settings.agent_name}'")
    log.say(f"Machine: {machine.nodename}, {machine.sysname} {machine.release} {machine.machine}")
    gpus = job.settings.given.get("AGENT_GPUS")
    if gpus is not None:  # the machine has some
        log.say(f"GPUs: {gpus or 'none; `resources: {gpus: 1}` sets one aside for a job'}")
    log.say(f"Job: {job.spec.name}")
    for name in job.spec.unset_secrets:
        log.say(f"##[warning]Secret {name} is not set; it is empty.")
    if any(len(value.strip()) == 1 for value in job.secrets.values()):
        log.say("##[warning]A secret of one character hides that character everywhere in the log.")


def _blame(error: AgentError) -> FailureKind:
    """Whose fault it is that images or containers are not there."""
    from agent.containers.engine import ImageError

    if isinstance(error, UsageError | RefusedError):
        return FailureKind.USER
    return FailureKind.IMAGE if isinstance(error, ImageError) else FailureKind.INFRASTRUCTURE
