"""The jobs of a local run that may start: in their order, each as soon as the machine has room for it.

Who asks for cores, memory or GPUs never starts before another who has asked for some and waits: the one that wants all of
them would wait for as long as small ones come. Others go past.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.cli.local_run.machine import Grant, LocalMachine
from agent.spec.job import JobSpec


class LocalQueue:
    """Waits on behalf of jobs, and says why: `show` takes its records."""

    def __init__(self, machine: LocalMachine, show: Callable[[Mapping[str, Any]], None]) -> None:
        self._machine = machine
        self._show = show
        self._waiting: list[JobSpec] = []
        self._has_news = False
        self._away: set[str] = set()  # jobs that have given back what they had
        self._returning: set[str] = set()  # those of them that would go on
        self._said: dict[str, str] = {}
        self._differences: set[str] = set()

    def add(self, spec: JobSpec) -> None:
        """The job may start from now on."""
        self._waiting.append(spec)
        self._has_news = True

    def put_back(self, spec: JobSpec) -> None:
        """The job that was taken last has not started after all: it is the next again."""
        self._waiting.insert(0, spec)
        self._has_news = True

    def remove(self, job: str) -> JobSpec | None:
        """Take a job back; None when it does not wait."""
        spec = next((spec for spec in self._waiting if spec.job == job), None)
        if spec is not None:
            self._waiting.remove(spec)
        return spec

    def set_aside(self, job: str) -> None:
        """The job waits for a person: others may have what it had."""
        self._machine.set_aside(job)
        self._away.add(job)
        self._has_news = True

    def take_back(self, job: str) -> Grant | None:
        """What is the job's from now on; None when there is no room for it now: then nobody passes it."""
        grant = self._machine.take_back(job)
        if grant is None:
            self._returning.add(job)
        else:
            self.forget(job)
        return grant

    def forget(self, job: str) -> None:
        """The job has what it had, or has ended."""
        self._away.discard(job)
        self._returning.discard(job)
        self._has_news = True

    @property
    def has_away(self) -> bool:
        """Whether a job has given back what it had."""
        return bool(self._away)

    def take(self) -> Iterator[tuple[JobSpec, Grant]]:
        """The jobs that start now, each with what was granted to it. Without news there are none."""
        has_news, self._has_news = self._has_news, False
        is_passed = bool(self._returning)
        for spec in tuple(self._waiting) if has_news else ():
            if spec not in self._waiting:
                continue  # it was taken back when another one had started
            wants_more = self._machine.wants_more(spec)
            grant = None if is_passed and wants_more else self._machine.grant(spec)
            if grant is None:
                is_passed = is_passed or wants_more
                self._explain(spec)
                continue
            self._waiting.remove(spec)
            self._tell(spec)
            yield spec, grant

    def _tell(self, spec: JobSpec) -> None:
        """What the job will find other than it says."""
        if spec.nodes > 1:
            self._warn(f"{spec.key}: it asks for {spec.nodes} machines, and runs on this one alone")
        for difference in self._machine.find_differences(spec):
            if difference not in self._differences:
                self._differences.add(difference)
                self._warn(difference)

    def _explain(self, spec: JobSpec) -> None:
        reason = self._machine.explain(spec)
        if reason and self._said.get(spec.job) != reason:
            self._said[spec.job] = reason
            self._show({"kind": "waiting", "job": spec.key, "reason": reason})

    def _warn(self, message: str) -> None:
        self._show({"kind": "warning", "message": message})
