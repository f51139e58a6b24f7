"""The step loop: whose turn it is, with which environment, for how long, and what its end means.

    step's turn:  env -> if (false: skipped) -> begin -> timeout -> handler -> files and commands -> continue-on-error -> end

A step's *outcome* is how it ended, its *conclusion* what counts after `continue-on-error`. A step in the background has its
turn beside the others; its effects and conclusion count when it is waited for.

Source: actions/runner `StepsRunner.cs`, `ActionRunner.cs`, `BackgroundStepCoordinator.cs`; github-facts section 3.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from agent.errors import AgentError, UnreachableError
from agent.flow.expressions import is_truthy, to_number, to_text, write_value
from agent.flow.model import MOST_MINUTES
from agent.job.commands.effects import Effects
from agent.job.output.recorder import StepLog
from agent.job.process.interruption import Interruptible
from agent.job.steps.actions import Actions, Instance, inner_steps
from agent.job.steps.background import Background
from agent.job.steps.contexts import evaluate_condition, evaluate_mapping, evaluate_value
from agent.job.steps.data import read_texts
from agent.job.steps.deadlines import Deadline, of_block
from agent.job.steps.inputs import read_inputs
from agent.job.steps.noting import note_environment, note_step
from agent.job.steps.parts import StepAction
from agent.job.steps.state import RunningJob, StepScope
from agent.job.steps.steprun import Handler, StepFailure, StepRun, StepStage
from agent.job.steps.turns import CANCELLED, FAILED, SUCCESS, StepEnd, Turn, name_step, report
from agent.job.supervisor.handling import find_handler, is_cached, stage_condition
from agent.journal.format import Annotation
from agent.spec.data import KEEP_STEP
from agent.spec.job import SpecStepKind, StepSpec
from agent.spec.outcome import Conclusion, FailureKind

_KILLED_IN_CONTAINER = "The kernel killed a process of its container: the memory was used up."


class FolderGuard(Protocol):
    """What stands between a job's actions and the folder of its user (agent.job.in_place.protection.InPlace)."""

    def guard(self, handler: Handler) -> Handler:
        """`handler`, with an eye on it."""
        ...

    def close(self) -> None:
        """No action of the job comes any more: nothing is held for it."""
        ...


class StepLoop:
    """Runs the steps of one job. `cancel` may be called at any time, from the same loop."""

    def __init__(self, job: RunningJob, actions: Actions) -> None:
        self._job = job
        self._actions = actions
        self._posts: list[Turn] = []
        self._active: dict[Interruptible, Callable[[], bool]] = {}  # work of handlers: may it go on?
        self._background = Background()
        job.has_background = lambda: self._background.has_uncounted
        self._has_given_up = False
        self.folder_guard: FolderGuard | None = None  # while the workspace is somebody's own folder

    async def run_pre(self) -> None:
        """The `pre` stages of all actions, those within composite actions too."""
        await self._run_pre(self._job.spec.steps, self._job.scope, None)

    async def run_main(self) -> None:
        """The steps themselves, and at last those in the background that nobody waited for."""
        await self.run_steps(self._job.spec.steps, self._job.scope)
        if self._background.has_uncounted:
            spec = StepSpec(
                SpecStepKind.WAIT_ALL, "__wait_for_background", name="Wait for all background steps"
            )
            await self._run_control(spec, self._job.scope)

    async def run_post(self) -> None:
        """The `post` stages of all actions that had a turn, the last one first."""
        while self._posts:
            turn = self._posts.pop()
            self._count(turn, await self._take_turn(turn))

    async def run_steps(self, steps: Sequence[StepSpec], scope: StepScope) -> None:
        """The steps of `scope`, one after the other."""
        for spec in steps:
            if spec.kind not in (SpecStepKind.RUN, SpecStepKind.USES):
                await self._run_control(spec, scope)
                continue
            turn = Turn(spec, scope, StepStage.MAIN, name_step(self._job, spec, scope), spec.condition)
            if spec.background:
                self._background.start(turn, self._take_turn(turn))
            else:
                self._count(turn, await self._take_turn(turn))

    def cancel(self, kind: FailureKind, message: str) -> None:
        """The job is cancelled: what runs is ended unless its `if` still holds; what follows is asked the same.

        A composite action is not ended itself: its steps are, one by one, so that those with `always()` have their turn.
        """
        self._job.cancel(kind, message)
        for work, may_go_on in list(self._active.items()):
            if not may_go_on():
                work.end()

    def give_up(self) -> None:
        """No time is left for anybody: everything is ended, and no step has a turn any more."""
        self._has_given_up = True
        for work in list(self._active):
            work.end()

    async def _run_pre(self, steps: Sequence[StepSpec], scope: StepScope, origin: StepAction | None) -> None:
        for spec in steps:
            if spec.kind is not SpecStepKind.USES or not spec.uses or spec.uses.startswith("./"):
                continue
            instance = await self._actions.instance((*scope.path, spec.id), spec.uses, origin)
            condition = stage_condition(instance.action, StepStage.PRE)
            inner = inner_steps(instance.action)
            if condition:
                turn = Turn(
                    spec,
                    scope,
                    StepStage.PRE,
                    f"Pre {name_step(self._job, spec, scope)}",
                    condition,
                    instance,
                )
                self._count(turn, await self._take_turn(turn))
            elif inner and (entered := self._enter(spec, scope, instance)) is not None:
                await self._run_pre(inner, entered, instance.action)

    def _enter(self, spec: StepSpec, scope: StepScope, instance: Instance) -> StepScope | None:
        """The scope of a composite action's steps before its own turn has come.

        None when its inputs can't be evaluated yet (they hang on what a step will give): when they never can, its own turn
        says so.
        """
        from agent.job.handlers.composite import enter_scope

        turn = Turn(spec, scope, StepStage.PRE, spec.id, "", instance)
        try:
            own_env = self._own_env(turn)
            env = {**self._job.environment.values, **own_env}
            return enter_scope(self._make_step(turn, self._job.log, env, own_env, Effects()), None)
        except AgentError:
            return None

    async def _take_turn(self, turn: Turn) -> StepEnd:
        """One turn, from the question whether to the last record. Raises CancelledError when all around it is ended."""
        recorder = self._job.recorder
        if self._has_given_up:
            return self._skip(turn)
        try:
            own_env = self._own_env(turn)
            env = {**self._job.environment.values, **own_env}
            if not self._may_run(turn, env):
                return self._skip(turn)
        except AgentError as error:
            log = recorder.begin_step(turn.step_id, turn.name, turn.scope.parent)
            return self._finish(turn, log, {}, StepEnd(*FAILED, message=str(error)))
        log = recorder.begin_step(turn.step_id, turn.name, turn.scope.parent)
        end = StepEnd(*FAILED, message="a bug in the agent ended this step")
        try:
            end = await self._run_handler(turn, log, env, own_env)
        except asyncio.CancelledError:
            end = StepEnd(*CANCELLED)
            raise
        finally:
            end = self._finish(turn, log, env, end)
        return end

    def _may_run(self, turn: Turn, env: Mapping[str, str]) -> bool:
        judged = turn.scope if turn.stage is StepStage.MAIN else self._job.scope
        return evaluate_condition(
            self._job, turn.scope, env, turn.condition, turn.spec.place, judged, turn.own
        )

    def _own_env(self, turn: Turn) -> dict[str, str]:
        outer = {**self._job.environment.values, **turn.scope.env}
        written = evaluate_mapping(self._job, turn.scope, outer, turn.spec.env, turn.spec.place, turn.own)
        return {**turn.scope.env, **written}

    async def _run_handler(
        self, turn: Turn, log: StepLog, env: Mapping[str, str], own_env: Mapping[str, str]
    ) -> StepEnd:
        """How the handler's work ended. It alone can be ended, and the steps after it go on."""
        effects, work = Effects(), Interruptible()
        try:
            with self._watched(work, turn, env), work:
                await self._handle(turn, log, env, own_env, effects)
        except StepFailure as error:
            kind, message = self._explain(error, effects)
            return StepEnd(*FAILED, effects, kind, message, error.is_said, error.exit_code)
        except (OSError, UnreachableError) as error:  # of the container engine
            return StepEnd(*FAILED, effects, FailureKind.INFRASTRUCTURE, str(error))
        except AgentError as error:
            return StepEnd(*FAILED, effects=effects, message=str(error))
        if work.was_ended:
            is_said = effects.was_cancelled_within
            return StepEnd(
                *CANCELLED, effects=effects, message="The operation was canceled.", is_said=is_said
            )
        if effects.errors:
            return StepEnd(*FAILED, effects=effects, message=effects.errors[-1])
        if effects.memory_kills:
            # The one that it was a child of lived on: the exit code says nothing of it.
            log.say(f"##[warning]{_KILLED_IN_CONTAINER}")
            log.recorder.annotate(Annotation(log.step, "warning", _KILLED_IN_CONTAINER))
        return StepEnd(*SUCCESS, effects=effects)

    def _explain(self, error: StepFailure, effects: Effects) -> tuple[FailureKind, str]:
        """Why a step failed: who was killed for memory did not fail by itself."""
        kills = self._job.group.count_oom_kills()
        if error.kind is not FailureKind.USER or error.is_said:
            return error.kind, str(error)
        if effects.memory_kills:
            return FailureKind.OOM, f"{error} {_KILLED_IN_CONTAINER}"
        if kills <= self._job.oom_kills:
            return error.kind, str(error)
        self._job.oom_kills = kills
        return FailureKind.OOM, f"{error} The kernel killed a process of it: the memory was used up."

    async def _handle(
        self, turn: Turn, log: StepLog, env: Mapping[str, str], own_env: Mapping[str, str], effects: Effects
    ) -> None:
        minutes = self._timeout_minutes(turn, env)
        try:
            async with asyncio.timeout(None) as timeout:
                deadline = Deadline(minutes * 60, of_block(timeout))
                if turn.spec.uses and turn.instance is None:
                    turn.instance = await self._find_action(turn)
                step = self._make_step(turn, log, env, own_env, effects)
                step.deadlines = (*turn.scope.deadlines, deadline)
                handler = self._find_handler(step)
                if turn.instance is not None and turn.stage is not StepStage.POST:
                    self._note_post(turn, turn.instance)
                try:
                    await handler.run(step, self.run_steps)
                finally:
                    step.close()
        except TimeoutError:
            message = f"The action '{turn.name}' has timed out after {to_text(minutes)} minutes."
            raise StepFailure(message, FailureKind.TIMEOUT) from None

    def _find_handler(self, step: StepRun) -> Handler:
        handler = find_handler(step.action)
        if step.stage is StepStage.MAIN and is_cached(step.action, step.spec):
            from agent.job.results.handler import CachedHandler

            handler = CachedHandler(handler)
        return handler if self.folder_guard is None else self.folder_guard.guard(handler)

    async def _find_action(self, turn: Turn) -> Instance:
        origin = turn.scope.action
        try:
            return await self._actions.instance(turn.path, turn.spec.uses or "", origin)
        except AgentError as error:
            raise StepFailure(str(error), FailureKind.ACTION) from None

    def _make_step(
        self,
        turn: Turn,
        log: StepLog,
        env: Mapping[str, str],
        own_env: Mapping[str, str],
        effects: Effects,
    ) -> StepRun:
        instance = turn.instance
        step = StepRun(
            job=self._job,
            scope=turn.scope,
            spec=turn.spec,
            stage=turn.stage,
            log=log,
            env=env,
            own_env=own_env,
            effects=effects,
        )
        if instance is not None:
            step.action, step.state = instance.action, instance.state
            step.values = effects.inputs = read_inputs(step, instance.action)
            step.inputs = {name: write_value(value) for name, value in step.values.items()}
        return step

    def _note_post(self, turn: Turn, instance: Instance) -> None:
        """An action whose pre or main began has its post to come, once."""
        condition = stage_condition(instance.action, StepStage.POST)
        if condition and not instance.post_is_due:
            instance.post_is_due = True
            name = turn.name.removeprefix("Pre ") if turn.stage is StepStage.PRE else turn.name
            self._posts.append(
                Turn(turn.spec, turn.scope, StepStage.POST, f"Post {name}", condition, instance)
            )

    def _skip(self, turn: Turn) -> StepEnd:
        end = StepEnd(Conclusion.SKIPPED, Conclusion.SKIPPED)
        log = self._job.recorder.number_step(turn.step_id, turn.name, turn.scope.parent)
        log.end(end.outcome, end.conclusion)
        return end

    def _finish(self, turn: Turn, log: StepLog, env: Mapping[str, str], end: StepEnd) -> StepEnd:
        """Say what went wrong, weigh `continue-on-error`, and write the last record of the step."""
        for error in end.effects.errors:
            report(log, error)
        if end.outcome is Conclusion.SUCCESS and end.effects.errors:
            end.outcome = end.conclusion = Conclusion.FAILURE
        if end.message and not end.is_said and end.message not in end.effects.errors:
            report(log, end.message)
        if end.outcome is Conclusion.FAILURE and self._continues(turn, log, env):
            end.conclusion = Conclusion.SUCCESS
        if turn.instance is not None:
            turn.instance.state.update(end.effects.state)
        log.end(end.outcome, end.conclusion, end.effects.outputs)
        return end

    def _continues(self, turn: Turn, log: StepLog, env: Mapping[str, str]) -> bool:
        try:
            written, place = turn.spec.continue_on_error, turn.spec.place
            value = evaluate_value(self._job, turn.scope, env, written, place, turn.own)
        except AgentError as error:
            report(log, str(error))
            return False
        return is_truthy(value) and value != "false"

    def _timeout_minutes(self, turn: Turn, env: Mapping[str, str]) -> float:
        written, place = turn.spec.timeout_minutes, turn.spec.place
        value = evaluate_value(self._job, turn.scope, env, written, place, turn.own)
        minutes = to_number(value)
        if minutes != minutes or minutes > MOST_MINUTES:  # noqa: PLR0124 - not a number
            raise AgentError(
                f"timeout-minutes is not a number up to {MOST_MINUTES}: '{to_text(value)[:80]}'",
                where=turn.spec.place,
            )
        return minutes

    def _count(self, turn: Turn, end: StepEnd) -> None:
        """Let what the step did take effect on the steps that follow."""
        scope = turn.scope
        note_environment(self._job, scope, end.effects)
        if turn.spec.id == KEEP_STEP and not scope.is_composite:
            self._job.texts.update(read_texts(self._job))
        if turn.stage is StepStage.MAIN:
            note_step(self._job, turn, end)
        if end.conclusion is Conclusion.CANCELLED and scope.is_composite and turn.stage is StepStage.MAIN:
            scope.status = Conclusion.CANCELLED
        if end.conclusion is Conclusion.FAILURE:
            if scope.is_composite and turn.stage is StepStage.MAIN:
                scope.status = Conclusion.FAILURE
                scope.failure = scope.failure or (end.kind, end.message, end.exit_code)
            else:
                message = end.message or f"the step '{turn.name}' failed"
                self._job.fail(end.kind, message, end.exit_code)

    async def _run_control(self, spec: StepSpec, scope: StepScope) -> None:
        """`wait`, `wait-all` and `cancel`: always have their turn."""
        turn = Turn(spec, scope, StepStage.MAIN, name_step(self._job, spec, scope), "always()")
        items = self._background.select(spec)
        log = self._job.recorder.begin_step(spec.id, turn.name, scope.parent)
        end = StepEnd(*CANCELLED)
        try:
            if spec.kind is SpecStepKind.CANCEL:
                self._background.cancel(items)
            for item, ended in [(item, await self._background.wait(item, log)) for item in items]:
                self._count(item.turn, ended)
            end = StepEnd(*self._background.conclude(items))
        finally:
            end = self._finish(turn, log, {}, end)
        self._count(turn, end)

    @contextlib.contextmanager
    def _watched(self, work: Interruptible, turn: Turn, env: Mapping[str, str]) -> Iterator[None]:
        """While the handler works, a cancellation of the job asks the step's `if` again."""

        def may_go_on() -> bool:
            if turn.instance is not None and inner_steps(turn.instance.action):
                return True
            with contextlib.suppress(AgentError):
                return self._may_run(turn, env)
            return False

        self._active[work] = may_go_on
        try:
            yield
        finally:
            del self._active[work]
