"""Uses of steps, of the steps of composite actions, however deep, and the flows that a flow calls."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.errors import AgentError, NotFoundError
from agent.resolve.manifests.model import DEEPEST_COMPOSITE, CompositeRuns, nested_too_deep
from agent.resolve.pins import pin_key
from agent.resolve.reference import ImageReference, Reference, WorkspaceReference, parse_reference
from agent.resolve.resolver import RepositoryFile, ResolvedAction, Resolver

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
    """Each `uses:` of `lines` and of the composite actions behind them, once; what can't be resolved too.

    What a job refuses because composite actions lie too deep in each other is a use with that problem.
    """
    yield from _Walk(resolver).walk(lines, None, 0)


class _Walk:
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._found: dict[tuple[str, str], Use] = {}
        self._deepest: dict[tuple[str, str], int] = {}

    def walk(self, lines: Iterable[Line], within: ResolvedAction | None, depth: int) -> Iterator[Use]:
        """`depth` is how many composite actions are around the lines."""
        for text, place in lines:
            is_own = within is not None and text.startswith("$/")
            name = (text, str(within.root) if is_own and within is not None else "")
            use = self._found.get(name)
            if use is None:
                use = self._found[name] = _resolve(text, place, self._resolver, within)
                yield use
            if use.action is None or not isinstance(use.action.manifest.runs, CompositeRuns):
                continue
            if depth >= self._deepest.get(name, 0):  # unless it was looked into, as deep or deeper
                self._deepest[name] = depth + 1
                if depth + 1 > DEEPEST_COMPOSITE:
                    yield Use(text, place, problem=nested_too_deep())
                    continue
                inner = [(step.uses, step.place) for step in use.action.manifest.runs.steps if step.uses]
                yield from self.walk(inner, use.action, depth + 1)


def _resolve(text: str, place: str, resolver: Resolver, within: ResolvedAction | None) -> Use:
    reference: Reference | None = None
    try:
        reference = parse_reference(text)
        if isinstance(reference, ImageReference):
            return Use(text, place, reference)
        action = resolver.resolve(reference, within)
    except AgentError as error:
        return Use(text, place, reference, problem=error)
    return Use(text, place, reference, action)
