"""A job in somebody's own folder (`agent flow run --in-place`): no action loses what is in it.

    a checkout over the folder        of the run's own code: it is there, nothing is done; of anything else: refused
    a checkout into another folder    goes on where nothing is lost, else it is refused
    git of an action                  refused what throws away files, edits or branches (agent.job.in_place.git_guard)
    flow-agent/download-artifact      asks what only the folder has (FLOW_BELONGINGS), and overwrites nothing of it
    any action                        fails, and its job with it, when what only the folder had is gone or overwritten afterwards;
                                      branches, tags and stashes are put back (agent.job.in_place.branches)

Actions of the folder itself are actions, too: they were written for a runner, whose folder is nobody's. What the flow's own
`run:` steps do is its author's word.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.job.in_place.belongings import Belonging, Losses, find_losses, look_at, share_belongings
from agent.job.in_place.branches import UnreadableError, describe, put_back
from agent.job.in_place.checkouts import (
    WantedCheckout,
    is_checkout,
    is_here,
    is_own_repository,
    is_replaceable,
    mark_checkout,
    read_wanted,
)
from agent.job.in_place.git_guard import set_up_guard, take_refusals
from agent.job.in_place.held import Held, hold_references
from agent.job.process.programs import find_executable
from agent.job.steps.steprun import BELONGINGS, Handler, RunSteps, StepFailure, StepRun, StepStage
from agent.spec.outcome import FailureKind

_WAY_OUT = "leave out --in-place to work in a copy, or allow it with --in-place=destructive"
_ANSWERED = "flow_answered"  # state of a checkout that was not run: it has nothing to tidy up
_MOST_NAMED = 5


@dataclass(slots=True)
class InPlace:
    """What stands between the actions of one job and the folder of its user."""

    workspace: Path
    belongings: Mapping[str, Belonging]
    made: set[Path] = field(default_factory=set)  # folders that checkouts of this job filled

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

    def keep_own(self, losses: Losses) -> Losses:
        """Without what lies in the folders that checkouts of this job fill: they were asked about before."""
        return Losses(
            losses.lost,
            [
                path
                for path in losses.overwritten
                if not any(Path(path).is_relative_to(made) for made in self.made)
            ],
        )


async def note_belongings(workspace: Path, file: Path) -> InPlace:
    """The guard of one job; `file`, where the belongings are noted, is one for all jobs of the run."""
    return InPlace(workspace, await asyncio.to_thread(share_belongings, workspace, file))


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
        before = await asyncio.to_thread(look_at, place.belongings)
        held = await asyncio.to_thread(hold_references, place.workspace)
        failure: StepFailure | None = None
        try:
            await self.handler.run(step, run_steps)
        except StepFailure as error:
            failure = error
        except asyncio.CancelledError:
            if taken := _put_back(place.workspace, held):
                step.log.say(f"The action {taken}")
            raise
        losses = place.keep_own(await asyncio.to_thread(find_losses, place.workspace, before))
        refused = take_refusals(front)
        taken = await asyncio.to_thread(_put_back, place.workspace, held)
        if losses.lost or losses.overwritten or taken:
            message = _describe(losses, taken, place.workspace)
            step.job.fail(FailureKind.ACTION, message)  # no `continue-on-error` makes that good
            raise StepFailure(message, FailureKind.ACTION)
        if refused:
            raise StepFailure(
                f"the action was ended: its '{refused[0]}' would throw away what is in '{place.workspace}'; {_WAY_OUT}",
                FailureKind.ACTION,
            )
        if failure is not None:
            raise failure


def _is_foreign(step: StepRun) -> bool:
    """Whether what runs is an action's doing: its program, or a script in one. A composite is made of such."""
    if step.action is not None:
        return type(step.action.manifest.runs).__name__ != "CompositeRuns"
    return step.scope.action is not None


def _put_back(workspace: Path, held: Held | None) -> str:
    """Put back branches, tags and stashes; what was done, after `the action`, or empty."""
    try:
        return describe(put_back(workspace, held)) if held else ""
    except UnreadableError:
        return (
            "left a repository that git can't read any more;"
            " what its branches, tags and stashes were is held in there, and put back once a run finds it readable"
        )


def _describe(losses: Losses, taken: str, workspace: Path) -> str:
    lost, overwritten = (_name_some(paths, workspace) for paths in losses)
    said = [
        f"lost what only this folder had: {lost}" if lost else "",
        f"overwrote what only this folder had: {overwritten}" if overwritten else "",
        taken,
    ]
    return f"the action {'; and '.join(filter(None, said))}" + (
        "" if lost else "; --in-place=destructive lets it"
    )


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


def _name_some(paths: list[str], workspace: Path) -> str:
    names = [path.removeprefix(f"{workspace}/").rstrip("/") for path in paths]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
