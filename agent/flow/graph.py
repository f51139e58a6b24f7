"""The graph of a flow's jobs: unknown names, cycles, no place to begin.

Rules and words from actions/runner `WorkflowTemplateConverter.ConvertToJobs`; names are compared without case.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

Place = TypeVar("Place")


def find_needs_problems(
    needs: Mapping[str, Sequence[tuple[str, Place]]],
) -> Iterator[tuple[Place | None, str]]:
    """What is wrong with the jobs' needs, each with the place of the need at fault (None: the jobs as a whole).

    `needs` gives for each job id the ids that it names, each with the place where it does.
    """
    if all(needs.values()):
        yield None, "The workflow must contain at least one job with no dependencies."
        yield from _find_unknown(needs)
        return
    names = {job.lower(): job for job in needs}
    reachable = _find_reachable(needs)
    for job, wanted in needs.items():
        if job in reachable:
            continue
        for need, place in wanted:
            known = names.get(need.lower())
            if known is None:
                yield place, f"Job '{job}' depends on unknown job '{need}'."
            elif known not in reachable:
                yield (
                    place,
                    f"Job '{job}' depends on job '{need}' which creates a cycle in the dependency graph.",
                )


def _find_unknown(needs: Mapping[str, Sequence[tuple[str, Place]]]) -> Iterator[tuple[Place, str]]:
    """The needs of no job. (GitHub stops at the first sentence above; whoever mends that one wants these too.)"""
    names = {job.lower() for job in needs}
    for job, wanted in needs.items():
        for need, place in wanted:
            if need.lower() not in names:
                yield place, f"Job '{job}' depends on unknown job '{need}'."


def _find_reachable(needs: Mapping[str, Sequence[tuple[str, Place]]]) -> set[str]:
    """The jobs that will get their turn: all that they need will."""
    names = {job.lower(): job for job in needs}
    waiting = {job: {need.lower() for need, _ in wanted} for job, wanted in needs.items()}
    dependants: dict[str, list[str]] = {}
    for job, wanted_names in waiting.items():
        for need in wanted_names:
            dependants.setdefault(need, []).append(job)
    ready = [job for job, wanted_names in waiting.items() if not wanted_names]
    reachable: set[str] = set()
    while ready:
        job = ready.pop()
        reachable.add(job)
        for dependant in dependants.get(job.lower(), []):
            waiting[dependant].discard(job.lower())
            if not waiting[dependant]:
                ready.append(dependant)
    return reachable & set(names.values())
