"""A run on this machine: the planner and the supervisors, no server between them.

planner decision -> job folder -> forked supervisor -> journal -> screen
^------------- the journal's last record <------'
"""

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.local_run.interrupts import Interrupts
from agent.cli.local_run.jobs import LocalJobs, LocalOptions
from agent.cli.local_run.kept import KEPT, KeptStore
from agent.cli.local_run.machine import LocalMachine
from agent.cli.local_run.queue import LocalQueue
from agent.cli.local_run.sources import LocalSources
from agent.cli.local_run.workspace_copy import name_some
from agent.clock import Clock
from agent.config import Settings
from agent.errors import AgentError, InterruptedByUserError
from agent.flow.model import Flow
from agent.ids import JobId
from agent.job.launch.launcher import EarlySupervisor, JobFolder
from agent.plan import (
    AskGate,
    CancelJob,
    Decision,
    EndJob,
    EndRun,
    Event,
    ExplainEnd,
    GateSet,
    JobFinished,
    JobStarted,
    JoinGroup,
    LeaveGroup,
    QueueJob,
    RunCancelled,
    RunStart,
    RunState,
    TimePassed,
    advance,
    begin,
    cancelled,
    explain_waiting,
    failed,
    name_run,
    refused,
)
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, JobResult

if TYPE_CHECKING:  # they are there once the first job runs: it waits for nothing that it doesn't need
    from agent.cli.local_run.code import ServedCode
    from agent.cli.local_run.groups import LocalGroups
    from agent.cli.local_run.people import LocalPeople
    from agent.cli.terminal.screen import Screen
    from agent.journal.format import Record


class LocalRun:
    """One run from its first decision to its last. The screen is opened when there is something to show."""

    def __init__(
        self,
        flow: Flow,
        request: RunStart,
        options: LocalOptions,
        settings: Settings,
        folder: Path,
        open_screen: "Callable[[], Screen]",
        clock: Clock,
        interrupts: Interrupts,
        early: EarlySupervisor,
        served: "ServedCode | None" = None,
    ) -> None:
        self._flow = flow
        store = KeptStore(settings.state_folder / KEPT)
        self._kept, self._tag = store.begin_run(flow, request.run), options.tag
        self._sources = LocalSources(store, self._kept)
        self._open_screen, self._answers = open_screen, options.answers
        self._jobs = LocalJobs(
            folder,
            options,
            settings,
            early,
            self._show_record,
            self._note_people,
            self._warn,
            self._is_unwanted,
            self._kept,
            served,
        )
        self._clock = clock
        self._interrupts = interrupts
        self._is_cancelling = False
        self._machine = LocalMachine(flow, slots=os.cpu_count() or 1, mapped=options.images)
        self._queue = LocalQueue(self._machine, self._show)
        self._name = name_run(flow, request)
        self._began = clock.monotonic()
        self._state: RunState
        self._state, self._first = begin(flow, request, now=clock.now())
        self._sources.check(flow, self._state)

    def drive(self) -> Conclusion:
        """Run to the end. The first ctrl-C cancels the jobs, a second one kills them."""
        try:
            self._carry_out(self._first)
            while self._state.conclusion is None:
                self._turn()
                self._heed_interrupts()
        except InterruptedByUserError:
            self._show({"kind": "abandoned"})  # nothing moves on the screen any more
            raise
        finally:
            self._jobs.kill()
        return self._state.conclusion

    @cached_property
    def _screen(self) -> "Screen":
        return self._open_screen()

    @cached_property
    def _people(self) -> "LocalPeople":
        from agent.cli.local_run.people import LocalPeople

        return LocalPeople(self._screen, self._answers, self._queue)

    @cached_property
    def _groups(self) -> "LocalGroups":
        from agent.cli.local_run.groups import LocalGroups

        return LocalGroups()

    def _show(self, record: Mapping[str, Any]) -> None:
        self._screen.show(record)

    def _show_record(self, job: str, record: "Record") -> None:
        self._screen.show_record(job, record)

    def _note_people(self, job: str, folder: JobFolder, record: "Record") -> None:
        self._people.note(job, folder, record)

    def _is_unwanted(self) -> bool:
        """Whether there was a ctrl-C that nobody has heeded yet; jobs for `always()` begin after the first."""
        return self._interrupts.count > int(self._is_cancelling)

    def _turn(self) -> None:
        if self._queue.has_away:
            self._people.let_return()
        for spec, grant in self._queue.take():
            try:
                self._jobs.start(spec, grant)
            except InterruptedByUserError:  # while its workspace was copied
                self._machine.release(spec.job)
                self._queue.put_back(spec)
                break
            if spec.attempt > 1:
                self._show({"kind": "attempt", "job": spec.key, "attempt": spec.attempt})
            self._advance(JobStarted(spec.job))
        self._people.tick()  # the screen is made now, while the first job works
        if not self._people.is_asking:
            self._screen.tick()
        for spec, result in self._jobs.wait():
            self._machine.release(spec.job)
            self._queue.forget(spec.job)
            self._advance(JobFinished(spec.job, result))
            self._tell_retry(spec.key)
        due = self._state.due_at
        if due is not None and self._clock.now() >= due:
            self._advance(TimePassed())

    def _tell_retry(self, key: str) -> None:
        job = self._state.jobs.get(key)
        if job is not None and job.retry_at is not None:
            reason = explain_waiting(self._flow, self._state, now=self._clock.now())[key]
            self._show({"kind": "waiting", "job": key, "reason": reason, "attempt": job.attempt})

    def _heed_interrupts(self) -> None:
        if self._interrupts.count > 1:
            raise InterruptedByUserError("interrupted twice; the jobs were killed")
        if self._interrupts.count and not self._is_cancelling:
            self._is_cancelling = True
            self._show({"kind": "warning", "message": "cancelling; press ctrl-C again to kill the jobs"})
            self._advance(RunCancelled("interrupted"))

    def _advance(self, event: Event) -> None:
        self._state, decisions = advance(self._flow, self._state, event, now=self._clock.now())
        self._carry_out(decisions)

    def _carry_out(self, decisions: tuple[Decision, ...]) -> None:
        for decision in decisions:
            match decision:
                case QueueJob(spec):
                    self._enqueue(spec)
                case ExplainEnd(_job, result):
                    self._warn(result.message)
                case CancelJob(job, reason):
                    self._cancel(job, reason)
                case EndJob(_job, key, result):
                    self._show_unstarted(key, result)
                case AskGate(job, key, environment):
                    self._pass_gate(JobId(job), key, environment)
                case JoinGroup(member, place):
                    self._advance_all(self._groups.join(member, place))
                case LeaveGroup(member, group):
                    self._advance_all(self._groups.leave(member, group))
                case EndRun(conclusion):
                    self._show_end(conclusion)

    def _enqueue(self, spec: JobSpec) -> None:
        refusal = self._machine.find_refusal(spec)
        if refusal:
            self._end_unstarted(spec, refused(refusal))
            return
        try:
            self._queue.add(self._sources.fill_in(spec) if spec.brings or spec.checkpoints else spec)
        except AgentError as error:  # it was there when the run began, or came from a job of this run
            self._end_unstarted(spec, failed(str(error)))

    def _advance_all(self, events: list[Event]) -> None:
        for event in events:
            self._advance(event)

    def _pass_gate(self, job: JobId, key: str, environment: str) -> None:
        """Who asks for approval is the server; here the person who started the run is the one who would be asked."""
        message = f"{key}: what the environment '{environment}' asks for on the server is not asked for here"
        self._show({"kind": "warning", "message": message})
        self._advance(GateSet(job))

    def _cancel(self, job: str, reason: str) -> None:
        if self._jobs.cancel(job, reason):
            return
        spec = self._queue.remove(job)
        if spec is not None:
            self._end_unstarted(spec, cancelled(reason))

    def _end_unstarted(self, spec: JobSpec, result: JobResult) -> None:
        self._show_unstarted(spec.key, result)
        self._advance(JobFinished(spec.job, result))

    def _show_unstarted(self, key: str, result: JobResult) -> None:
        from agent.journal.format import Closed

        self._screen.show_record(key, Closed(int(self._clock.now() * 1000), result))

    def _show_end(self, conclusion: Conclusion) -> None:
        self._warn_of_refused(conclusion)
        self._warn_of_left_out(conclusion)
        for place in self._kept.end(self._state, self._tag):
            self._show({"kind": "kept", "path": str(place)})
        jobs = {
            job.key: {"conclusion": job.result.conclusion, "outputs": dict(job.result.outputs)}
            for job in self._state.jobs.values()
            if job.result is not None and job.key not in self._state.scopes
        }
        seconds = round(self._clock.monotonic() - self._began, 3)
        self._show(
            {"kind": "run", "name": self._name, "conclusion": conclusion, "jobs": jobs, "seconds": seconds}
        )

    def _warn(self, message: str) -> None:
        self._show({"kind": "warning", "message": message})

    def _warn_of_refused(self, conclusion: Conclusion) -> None:
        refused_jobs = [
            job.key
            for job in self._state.jobs.values()
            if job.result is not None and job.result.was_refused and job.key not in self._state.scopes
        ]
        if refused_jobs and conclusion is Conclusion.FAILURE:
            message = f"the run is not green: this machine can't run {', '.join(refused_jobs)}"
            hint = "choose what it can with --job or --matrix"
            self._show({"kind": "warning", "message": f"{message}; {hint}"})

    def _warn_of_left_out(self, conclusion: Conclusion) -> None:
        if conclusion is Conclusion.FAILURE and self._jobs.left_out:
            names = name_some(sorted(self._jobs.left_out))
            message = f"the jobs' copies lack what git ignores ({names}); --with-ignored copies it, too"
            self._show({"kind": "warning", "message": message})
