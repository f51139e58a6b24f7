"""A run on this machine: the planner and the supervisors, no server between them.

planner decision -> job folder -> forked supervisor -> journal -> screen
^------------- the journal's last record <------'
"""

import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.cli.checkout import Inquiry
from agent.cli.interrupts import Interrupts
from agent.cli.local_groups import LocalGroups
from agent.cli.screen import Screen
from agent.clock import Clock
from agent.config import Settings
from agent.errors import InterruptedByUserError, UsageError
from agent.flow.model import Flow
from agent.ids import JobId
from agent.job.inheritance import scrub_environment
from agent.job.launch import (
    JobFolder,
    JobSettings,
    bury,
    create_job_folder,
    fork_supervisor,
    is_running,
    remove_job_folder,
    request_cancel,
)
from agent.journal.file import JournalReader
from agent.journal.format import Closed, Record
from agent.plan import (
    AskGate,
    CancelJob,
    Decision,
    EndJob,
    EndRun,
    Event,
    GateSet,
    JobFinished,
    JobStarted,
    JoinGroup,
    LeaveGroup,
    QueueJob,
    RunCancelled,
    RunRequest,
    RunState,
    TimePassed,
    advance,
    begin,
    cancelled,
    name_run,
)
from agent.plan.request import JOB_TOKEN
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, FailureKind, JobResult

_UNLOCK_SECONDS = 5.0
_POLL_MS = 20  # how soon new output is shown while a job runs; its end is noticed at once


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """What the command line said about a local run."""

    workspace: Path
    inquiry: Inquiry  # what git says about it
    in_place: bool = False
    keep: bool = False
    event_name: str = ""
    event: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()
    cells: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    actions_url: str | None = None


@dataclass(slots=True)
class _Running:
    """A supervisor that this run started."""

    spec: JobSpec
    folder: JobFolder
    pid: int
    pidfd: int
    journal: JournalReader
    result: JobResult | None = None


class LocalRun:
    """One run from its first decision to its last."""

    def __init__(
        self,
        flow: Flow,
        request: RunRequest,
        options: LocalOptions,
        settings: Settings,
        folder: Path,
        screen: Screen,
        clock: Clock,
        interrupts: Interrupts,
    ) -> None:
        self._flow = flow
        self._options = options
        self._settings = settings
        self._folder = folder
        self._screen = screen
        self._clock = clock
        self._interrupts = interrupts
        self._is_cancelling = False
        self._queue: deque[JobSpec] = deque()
        self._running: dict[str, _Running] = {}
        self._groups = LocalGroups()
        self._name = name_run(flow, request)
        self._slots = os.cpu_count() or 1
        self._began = clock.monotonic()
        self._state: RunState
        self._state, self._first = begin(flow, request, now=clock.now())

    def drive(self) -> Conclusion:
        """Run to the end. The first ctrl-C cancels the jobs, a second one kills them."""
        try:
            self._carry_out(self._first)
            while self._state.conclusion is None:
                self._turn()
                self._heed_interrupts()
        finally:
            for running in self._running.values():
                os.kill(running.pid, signal.SIGKILL)
                self._reap(running)
                _wait_until_unlocked(running.folder)
                bury(running.folder, FailureKind.CANCELLED, "killed")  # with all that it had started
        return self._state.conclusion

    def _turn(self) -> None:
        while self._queue and len(self._running) < self._slots:
            self._start(self._queue.popleft())
        ended = self._wait()
        for running in list(self._running.values()):
            self._show_news(running)
            if running.pidfd in ended:
                self._finish(running)
        due = self._state.due_at
        if due is not None and self._clock.now() >= due:
            self._advance(TimePassed())
        self._screen.tick()

    def _wait(self) -> set[int]:
        poll = select.poll()
        for running in self._running.values():
            poll.register(running.pidfd, select.POLLIN)
        return {descriptor for descriptor, _event in poll.poll(_POLL_MS)}

    def _start(self, spec: JobSpec) -> None:
        workspace = self._make_workspace(spec)
        added = {name: _literal(value) for name, value in self._options.environment.items()}
        spec = replace(spec, env=(added, *spec.env)) if added else spec
        folder = create_job_folder(self._folder / "jobs", spec, 1, self._job_settings(workspace), {})
        wanted = {*spec.secrets, JOB_TOKEN}  # actions ask for the token by themselves, as `github.token`
        secrets = {name: value for name, value in self._options.secrets.items() if name in wanted}
        pid = fork_supervisor(folder, secrets)
        running = _Running(spec, folder, pid, os.pidfd_open(pid), JournalReader(folder.journal))
        self._running[spec.job] = running
        self._advance(JobStarted(spec.job))

    def _make_workspace(self, spec: JobSpec) -> Path:
        if self._options.in_place:
            return self._options.workspace.resolve()
        name = str(spec.contexts.github["repository"]).rpartition("/")[2]
        workspace = self._folder / "work" / spec.job / name / name
        workspace.parent.mkdir(parents=True)
        copy = ["cp", "-a", "--reflink=auto", f"{self._options.workspace.resolve()}/.", str(workspace)]
        done = subprocess.run(copy, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            last = done.stderr.strip().rpartition("\n")[2]
            raise UsageError(
                f"the workspace can't be copied: {last}",
                where=str(self._options.workspace),
                hint="name another one with --workspace, or work --in-place",
            )
        return workspace

    def _job_settings(self, workspace: Path) -> JobSettings:
        return JobSettings(
            work_folder=self._settings.work_folder,
            actions_urls=self._settings.actions_urls,
            actions_limit_bytes=self._settings.actions_limit_bytes,
            policy_file=self._settings.policy_file.absolute(),
            policy_must_exist=bool(self._settings["policy"]),
            node20=self._settings["node20"],
            node24=self._settings["node24"],
            hook_job_started=self._settings["hook_job_started"],
            hook_job_completed=self._settings["hook_job_completed"],
            container_allow=self._settings.container_allow,
            agent_name=os.uname().nodename,
            labels=("self-hosted",),
            workspace=workspace,
            environment={**scrub_environment(os.environ), "FLOW_ARTIFACTS": str(self._folder / "artifacts")},
        )

    def _show_news(self, running: _Running) -> None:
        for _end, record in running.journal:
            self._show(running, record)

    def _show(self, running: _Running, record: Record) -> None:
        if isinstance(record, Closed):
            running.result = record.result
        self._screen.show_record(running.spec.key, record)

    def _finish(self, running: _Running) -> None:
        del self._running[running.spec.job]
        self._reap(running)
        self._show_news(running)
        if running.result is None:
            bury(running.folder, FailureKind.LOST, "its supervisor died (killed, or out of memory)")
            self._show_news(running)
        assert running.result is not None
        if not self._options.keep:
            remove_job_folder(running.folder)
        self._advance(JobFinished(running.spec.job, running.result))

    def _reap(self, running: _Running) -> None:
        os.waitpid(running.pid, 0)
        os.close(running.pidfd)

    def _heed_interrupts(self) -> None:
        if self._interrupts.count > 1:
            raise InterruptedByUserError("interrupted twice; the jobs were killed")
        if self._interrupts.count and not self._is_cancelling:
            self._is_cancelling = True
            self._screen.show(
                {"kind": "warning", "message": "cancelling; press ctrl-C again to kill the jobs"}
            )
            self._advance(RunCancelled("interrupted"))

    def _advance(self, event: Event) -> None:
        self._state, decisions = advance(self._flow, self._state, event, now=self._clock.now())
        self._carry_out(decisions)

    def _carry_out(self, decisions: tuple[Decision, ...]) -> None:
        for decision in decisions:
            match decision:
                case QueueJob(spec):
                    self._queue.append(spec)
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

    def _advance_all(self, events: list[Event]) -> None:
        for event in events:
            self._advance(event)

    def _pass_gate(self, job: JobId, key: str, environment: str) -> None:
        """Who asks for approval is the server; here the person who started the run is the one who would be asked."""
        message = f"{key}: what the environment '{environment}' asks for on the server is not asked for here"
        self._screen.show({"kind": "warning", "message": message})
        self._advance(GateSet(job))

    def _cancel(self, job: str, reason: str) -> None:
        if job in self._running:
            request_cancel(self._running[job].folder, reason)
            return
        for spec in [spec for spec in self._queue if spec.job == job]:
            self._queue.remove(spec)
            result = cancelled(reason)
            self._show_unstarted(spec.key, result)
            self._advance(JobFinished(spec.job, result))

    def _show_unstarted(self, key: str, result: JobResult) -> None:
        self._screen.show_record(key, Closed(int(self._clock.now() * 1000), result))

    def _show_end(self, conclusion: Conclusion) -> None:
        jobs = {
            job.key: {"conclusion": job.result.conclusion, "outputs": dict(job.result.outputs)}
            for job in self._state.jobs.values()
            if job.result is not None and job.key not in self._state.scopes
        }
        seconds = round(self._clock.monotonic() - self._began, 3)
        self._screen.show(
            {"kind": "run", "name": self._name, "conclusion": conclusion, "jobs": jobs, "seconds": seconds}
        )


def _wait_until_unlocked(folder: JobFolder) -> None:
    """A process that the supervisor was just starting shares its lock for a moment, until it is the new program."""
    deadline = time.monotonic() + _UNLOCK_SECONDS
    while is_running(folder) and time.monotonic() < deadline:
        time.sleep(_POLL_MS / 1000)


def _literal(text: str) -> str:
    """`text` as a template that gives `text`, whatever is in it."""
    quoted = text.replace("'", "''")
    return f"${{{{ '{quoted}' }}}}" if "${{" in text else text
