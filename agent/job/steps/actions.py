"""The actions of a job: every `uses:` is resolved before the first step runs, those within composite actions too.

A folder of the workspace (`./path`) is the exception: it is read when its step begins, because a step before it may be
the one that checks it out.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from agent.job.steps.parts import StepAction
from agent.job.steps.state import RunningJob
from agent.spec.job import SpecStepKind, StepSpec

if TYPE_CHECKING:
    from agent.resolve import ResolvedAction, Resolver
    from agent.resolve.fetching import Fetcher
    from agent.resolve.reference import Reference


@dataclass(slots=True)
class Instance:
    """An action at one place of the job: what its stages share."""

    action: StepAction
    state: dict[str, str] = field(default_factory=dict)
    post_is_due: bool = False


class Actions:
    """Finds the action behind a `uses:`; each reference is resolved once a job."""

    def __init__(self, job: RunningJob) -> None:
        self._job = job
        self._resolver: Resolver | None = None
        self._found: dict[str, StepAction] = {}
        self._instances: dict[tuple[str, ...], Instance] = {}
        self._deepest: dict[str, int] = {}  # of each composite action: how many are inside each other with it

    async def prepare(self, steps: Sequence[StepSpec], say: Callable[[str], None]) -> None:
        """Resolve all that `steps` use, however deep. `say` is told what was found.

        Raises AgentError when one cannot be resolved, or is none.
        """
        await self._prepare(steps, None, 0, say)

    def found(self) -> dict[str, StepAction]:
        """What was resolved so far, by what the steps say."""
        return {key.rpartition(":$/")[2] if ":$/" in key else key: item for key, item in self._found.items()}

    async def instance(self, path: tuple[str, ...], uses: str, origin: StepAction | None) -> Instance:
        """The action of the step at `path`; `origin` is the action that the step is part of."""
        known = self._instances.get(path)
        if known is None:
            known = self._instances[path] = Instance(await self._find(uses, origin))
        return known

    async def _prepare(
        self, steps: Sequence[StepSpec], origin: StepAction | None, depth: int, say: Callable[[str], None]
    ) -> None:
        """`depth` is how many composite actions are around the steps."""
        for step in steps:
            if step.kind is not SpecStepKind.USES or not step.uses or step.uses.startswith("./"):
                continue
            key = _key(step.uses, origin)
            is_new = key not in self._found
            action = await self._find(step.uses, origin)
            if is_new:
                _say_found(step.uses, action, say)
            inner = inner_steps(action)
            if inner and depth >= self._deepest.get(key, 0):  # unless it was looked into, as deep or deeper
                self._deepest[key] = depth + 1
                _refuse_too_deep(depth + 1, step)
                await self._prepare(inner, action, depth + 1, say)

    async def _find(self, uses: str, origin: StepAction | None) -> StepAction:
        key = _key(uses, origin)
        action = self._found.get(key)
        if action is None:
            action = await asyncio.to_thread(self._resolve, uses, origin)
            if not uses.startswith("./"):  # the workspace may change
                self._found[key] = action
        return action

    def _resolve(self, uses: str, origin: StepAction | None) -> StepAction:
        from agent.resolve import ActionStore, Pins, Resolver, load_policy, parse_reference

        if self._resolver is None:
            places, settings = self._job.places, self._job.settings
            self._resolver = Resolver(
                ActionStore(places.actions, settings.actions_limit_bytes),
                settings.actions_urls,
                places.workspace,
                copies=places.action_copies,
                source=self._job.spec.source,
                pins=Pins(self._job.spec.pins),
                policy=load_policy(settings.rules, must_exist=settings.policy_must_exist),
                fetcher=self._find_fetcher(),
            )
        reference: Reference = parse_reference(uses)
        within = cast("ResolvedAction | None", origin)  # all that a job has were resolved here
        return self._resolver.resolve(reference, within=within)

    def _find_fetcher(self) -> "Fetcher | None":
        if self._job.keeper is None:
            return None
        from agent.job.keeping.fetching import KeeperFetcher

        return KeeperFetcher(
            self._job.keeper, self._job.places.action_copies, self._job.settings.actions_urls
        )


def _say_found(uses: str, action: StepAction, say: Callable[[str], None]) -> None:
    commit = f" (SHA:{action.commit})" if action.commit else ""
    if not uses.startswith("docker://"):
        say(f"Download action repository '{uses}'{commit}")
    for warning in action.warnings:
        say(f"##[warning]{warning}")


def _refuse_too_deep(depth: int, step: StepSpec) -> None:
    from agent.resolve.manifests.model import DEEPEST_COMPOSITE, nested_too_deep

    if depth > DEEPEST_COMPOSITE:
        raise nested_too_deep(step.place)


def inner_steps(action: StepAction) -> Sequence[StepSpec]:
    """The steps of a composite action; none of any other."""
    from agent.resolve.manifests.model import CompositeRuns

    runs = action.manifest.runs
    return runs.steps if isinstance(runs, CompositeRuns) else ()


def _key(uses: str, origin: StepAction | None) -> str:
    """`$/path` means another thing in each repository."""
    return f"{origin.folder}:{uses}" if origin is not None and uses.startswith("$/") else uses
