"""Uses of steps, of the steps of composite actions, however deep, and the flows that a flow calls."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.errors import AgentError, NotFoundError
from agent.resolve.manifests.model import CompositeRuns
from agent.resolve.pins import pin_key
from agent.resolve.reference import ImageReference, Reference, WorkspaceReference, parse_reference
from agent.resolve.resolver import RepositoryFile, ResolvedAction, Resolver

DEEPEST = 10  # composite actions inside each other; as in a job

Line = tuple[str, str]  # the text behind a `uses:`, and its place as file:line:column


@dataclass(frozen=True, slots=True)
class Use:
    """One `uses:`: what it names, and the action or flow that it is, or why there is none."""

    text: str
    place: str
    reference: Reference | None = None
    action: ResolvedAction | None = None
    file: RepositoryFile | None = None  # of a flow that is called
    problem: AgentError | None = None

    @property
    def key(self) -> str:
        """What it is pinned by; "" when there is nothing to pin."""
        return "" if self.reference is None else pin_key(self.reference)

    @property
    def found(self) -> ResolvedAction | RepositoryFile | None:
        """What is here of it: `commit`, `origin` and `warnings` are to be had from either."""
        return self.action or self.file

    @property
    def is_later(self) -> bool:
        """Whether it is a folder of the workspace that isn't there yet: a step may check it out."""
        return isinstance(self.reference, WorkspaceReference) and isinstance(self.problem, NotFoundError)


def walk_uses(lines: Iterable[Line], resolver: Resolver) -> Iterator[Use]:
    """Each `uses:` of `lines` and of the composite actions behind them, once; what can't be resolved too."""
    yield from _walk(lines, resolver, None, 1, set())


def _walk(
    lines: Iterable[Line],
    resolver: Resolver,
    within: ResolvedAction | None,
    depth: int,
    seen: set[tuple[str, str]],
) -> Iterator[Use]:
    for text, place in lines:
        is_own = within is not None and text.startswith("$/")
        name = (text, str(within.root) if is_own and within is not None else "")
        if name in seen:
            continue
        seen.add(name)
        use = _resolve(text, place, resolver, within, depth)
        yield use
        if use.action is not None and isinstance(use.action.manifest.runs, CompositeRuns):
            inner = [(step.uses, step.place) for step in use.action.manifest.runs.steps if step.uses]
            yield from _walk(inner, resolver, use.action, depth + 1, seen)


def _resolve(text: str, place: str, resolver: Resolver, within: ResolvedAction | None, depth: int) -> Use:
    if depth > DEEPEST:
        return Use(text, place, problem=AgentError(f"composite actions are nested more than {DEEPEST} deep"))
    reference: Reference | None = None
    try:
        reference = parse_reference(text)
        if isinstance(reference, ImageReference):
            return Use(text, place, reference)
        action = resolver.resolve(reference, within)
    except AgentError as error:
        return Use(text, place, reference, problem=error)
    return Use(text, place, reference, action)
