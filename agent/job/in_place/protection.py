"""A job in somebody's own folder (`agent flow run --in-place`): no action loses what is in it.

    a checkout over the folder        of the run's own code: it is there, nothing is done; of anything else: refused
    a checkout into another folder    goes on where nothing is lost, else it is refused
    git of an action                  refused what throws away files, edits or branches (agent.job.in_place.git_guard)
    flow-agent/download-artifact      asks what only the folder has (FLOW_BELONGINGS), and overwrites nothing of it
    any action                        what only the folder had is held meanwhile (agent.job.in_place.files), and given back or kept aside
                                      (agent.job.in_place.losses); so are branches, tags, stashes and what is staged
                                      (agent.job.in_place.branches), also those of repositories within the folder

Actions of the folder itself are actions, too: they were written for a runner, whose folder is nobody's. What the flow's own
`run:` steps do is its author's word.
"""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from agent.job.in_place.belongings import Belonging, share_belongings
from agent.job.in_place.checkouts import (
    WantedCheckout,
    is_checkout,
    is_here,
    is_own_repository,
    is_replaceable,
    mark_checkout,
    read_wanted,
)
from agent.job.in_place.files import HeldFiles
from agent.job.in_place.git_guard import set_up_guard, take_refusals
from agent.job.in_place.watch import Toll, begin_watch
from agent.job.process.programs import find_executable
from agent.job.steps.steprun import BELONGINGS, Handler, RunSteps, StepFailure, StepRun, StepStage
from agent.job.steps.turns import report
from agent.journal.format import Annotation
from agent.spec.outcome import FailureKind

_T = TypeVar("_T")
_WAY_OUT = "leave out --in-place to work in a copy, or allow it with --in-place=destructive"
_ANSWERED = "flow_answered"  # state of a checkout that was not run: it has nothing to tidy up


@dataclass(slots=True)
class InPlace:
    """What stands between the actions of one job and the folder of its user."""

    workspace: Path
    belongings: Mapping[str, Belonging]
    file: Path  # where the belongings are noted
    made: set[Path] = field(default_factory=set)  # folders that checkouts of this job filled
    files: HeldFiles | None = None  # what is held, from action to action

    def guard(self, handler: Handler) -> Handler:
        """`handler`, with an eye on it."""
        return _GuardedHandler(self, handler)

    def note_for_actions(self, file: Path) -> None:
        """Write the belongings where an action finds them, by their paths in the workspace: it may see that elsewhere."""
        if file.exists():
            return
        inside = [path for path in self.belongings if Path(path).is_relative_to(self.workspace)]
        file.write_text(
            json.dumps([os.path.relpath(path, self.workspace) for path in inside]), encoding="utf-8"
        )

    def close(self) -> None:
        """Hold nothing any more."""
        if self.files is not None:
            self.files.let_go()
            self.files = None


async def note_belongings(workspace: Path, file: Path) -> InPlace:
    """The guard of one job; `file`, where the belongings are noted, is one for all jobs of the run."""
    return InPlace(workspace, await asyncio.to_thread(share_belongings, workspace, file), file)


@dataclass(frozen=True, slots=True)
class _GuardedHandler:
    place: InPlace
    handler: Handler

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """See Handler."""
        if step.state.get(_ANSWERED):
            step.log.say("Nothing was checked out: there is nothing to tidy up.")
        elif is_checkout(step.action) and step.stage is not StepStage.POST:
            await self._check_out(step, run_steps)
        elif _is_foreign(step):
            await self._watch(step, run_steps)
        else:
            if step.action is None:  # what the flow's own steps remove is to be gone
                await asyncio.to_thread(self.place.close)
            await self.handler.run(step, run_steps)

    async def _check_out(self, step: StepRun, run_steps: RunSteps) -> None:
        wanted = read_wanted(step)
        if self.place.workspace.is_relative_to(wanted.target):
            step.effects.state[_ANSWERED] = "true"
            if step.stage is StepStage.MAIN:
                step.show_action()
                _answer(step, wanted)
            return
        if wanted.target not in self.place.made:
            if not await asyncio.to_thread(is_replaceable, wanted.target):
                step.effects.state[_ANSWERED] = "true"
                raise StepFailure(
                    f"'{wanted.target}' holds what is nowhere else, and a checkout would replace it;"
                    f" move it away or give another `path:`, or {_WAY_OUT}",
                    FailureKind.ACTION,
                )
            self.place.made.add(wanted.target)
        await self._watch(step, run_steps)
        if step.stage is StepStage.MAIN:
            await asyncio.to_thread(mark_checkout, wanted.target)

    async def _watch(self, step: StepRun, run_steps: RunSteps) -> None:
        """Run the step, and fail when it lost something, whatever it says of itself."""
        place = self.place
        front = step.job.places.temp / "_guard"
        has_git = step.job.is_in_container or find_executable(
            "git", step.job.environment.search_path(step.env)
        )
        set_up_guard(front, step.job.conventions.context_variable("workspace"), with_git=bool(has_git))
        place.note_for_actions(front / BELONGINGS)
        step.front = front
        watch, ended = await _finish(begin_watch, place)
        if ended is None:
            try:
                await self.handler.run(step, run_steps)
            except BaseException as error:  # noqa: BLE001 - it is raised below, whatever it is
                ended = error
        toll, cancelled = await _finish(watch.end, place)
        self._settle(step, toll, take_refusals(front), cancelled or ended)

    def _settle(self, step: StepRun, toll: Toll, refused: list[str], ended: BaseException | None) -> None:
        """Say what the action did, and raise what the step ends with: `ended` is what its handler ended with."""
        self._say(step, toll, ended)
        reason = f"its '{refused[0]}' would throw away what is in '{self.place.workspace}'" if refused else ""
        if toll.failing:
            message = f"the action {toll.failing}" + (f"; it was ended: {reason}" if reason else "")
            message += "" if toll.is_final else "; --in-place=destructive lets it"
            if ended is not None and not isinstance(ended, Exception):  # a cancel, a time-out: it stays one
                report(step.log, message)
                step.job.add_remark(message)
                raise ended
            step.job.fail(FailureKind.ACTION, message)  # no `continue-on-error` makes that good
            raise StepFailure(message, FailureKind.ACTION)
        if ended is not None and not isinstance(ended, Exception):
            raise ended
        if refused:
            raise StepFailure(f"the action was ended: {reason}; {_WAY_OUT}", FailureKind.ACTION)
        if ended is not None:
            raise ended

    def _say(self, step: StepRun, toll: Toll, ended: BaseException | None) -> None:
        """What the final message does not tell."""
        if toll.said:
            step.log.say(f"##[warning]The action {toll.said}")
            step.log.recorder.annotate(Annotation(step.log.step, "warning", f"The action {toll.said}"))
        is_said = isinstance(ended, StepFailure) and ended.is_said
        if toll.failing and isinstance(ended, Exception) and not is_said:
            step.log.say(f"The action itself failed: {ended}")


async def _finish(work: Callable[[InPlace], _T], place: InPlace) -> tuple[_T, BaseException | None]:
    """What `work` gives, done in a thread, and the cancel that came meanwhile: it leaves nothing half done."""
    task = asyncio.ensure_future(asyncio.to_thread(work, place))
    cancelled: BaseException | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    return task.result(), cancelled


def _is_foreign(step: StepRun) -> bool:
    """Whether what runs is an action's doing: its program, or a script in one. A composite is made of such."""
    if step.action is not None:
        return type(step.action.manifest.runs).__name__ != "CompositeRuns"
    return step.scope.action is not None


def _answer(step: StepRun, wanted: WantedCheckout) -> None:
    """What the checkout gives for the folder as it is. Raises StepFailure when something else is asked for."""
    workspace = step.job.places.workspace
    if not is_own_repository(step, wanted.repository):
        raise StepFailure(
            f"'{wanted.repository}' would be checked out over '{workspace}', which this run works in;"
            f" give it a `path:` of its own, or {_WAY_OUT}",
            FailureKind.ACTION,
        )
    if not is_here(step, wanted.ref):
        raise StepFailure(
            f"'{wanted.ref}' is not what lies in '{workspace}', and would be checked out over it; {_WAY_OUT}",
            FailureKind.ACTION,
        )
    source = step.job.spec.source
    step.effects.outputs |= {"ref": wanted.ref or source.ref or "", "commit": source.commit or ""}
    step.log.say(
        f"The run works in {workspace} itself (--in-place): its code is there already, nothing is checked out."
    )
