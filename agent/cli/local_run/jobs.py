"""The jobs of a run on this machine: each in a folder of its own, under a supervisor that is this process's child."""

import contextlib
import hashlib
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.local_files.checkout import Inquiry
from agent.cli.local_files.code import is_own
from agent.cli.local_run.copy_plan import Tick, copy_planned
from agent.cli.local_run.gpu_board import LocalBoard
from agent.cli.local_run.kept import OpenRun
from agent.cli.local_run.machine import Grant
from agent.cli.local_run.nodes import stand_in
from agent.cli.local_run.workspace_copy import plan_copy
from agent.cli.terminal.progress import Progress
from agent.config import Settings
from agent.errors import AgentError, DamagedError, UsageError
from agent.flow.repository import split_repository
from agent.full_disks import is_full
from agent.job.folder.settings import owner_settings
from agent.job.launch.launcher import (
    EarlySupervisor,
    JobFolder,
    JobSettings,
    create_job_folder,
    fork_supervisor,
    is_running,
    remove_job_folder,
    request_cancel,
)
from agent.job.process.inheritance import GIT_CEILING, scrub_environment
from agent.spec.conventions import JOB_TOKEN, RUNTIME_TOKEN
from agent.spec.job import JobSpec
from agent.spec.outcome import FailureKind, JobResult
from agent.spec.stages import StagesWork
from agent.trees import remove_tree

if (
    TYPE_CHECKING
):  # what a job's end needs is there once it has begun; services, once an action may ask for them
    from agent.cli.local_run.code import ServedCode
    from agent.cli.local_run.services import LocalServices
    from agent.journal.file import JournalReader
    from agent.journal.format import Record

_UNLOCK_SECONDS = 5.0
_PATIENCE_SECONDS = 0.5  # a copy that takes longer is shown
_POLL_MS = 20  # how soon new output is shown while a job runs; its end is noticed at once


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """What the command line said about a local run."""

    workspace: Path
    inquiry: Inquiry  # what git says about it
    in_place: bool = False
    with_ignored: bool = False  # copies hold what git ignores, too
    is_destructive: bool = False  # actions may check out over the workspace
    keep: bool = False
    event: str = ""  # its name
    payload: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()
    cells: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    actions_url: str | None = None
    tag: str = ""  # for what the run keeps
    answers: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # to what steps ask people
    records: tuple[str, ...] = ()  # of a flow of stages: what --event-file said


@dataclass(slots=True)
class _Running:
    """A supervisor that this run started."""

    spec: JobSpec
    folder: JobFolder
    pid: int
    pidfd: int
    journal: "JournalReader"
    result: JobResult | None = None


class LocalJobs:
    """Starts jobs below `folder` and tells what becomes of them. `show` is given each record, with its job's key, and so is `note`.

    `warn` is told once what a copy of the workspace lacks; `early` is the supervisor of the first; `is_unwanted` says whether jobs are begun no more.
    """

    def __init__(
        self,
        folder: Path,
        options: LocalOptions,
        settings: Settings,
        early: EarlySupervisor,
        show: "Callable[[str, Record], None]",
        note: "Callable[[str, JobFolder, Record], None]",
        warn: Callable[[str], None],
        is_unwanted: Callable[[], bool],
        kept: OpenRun,
        served: "ServedCode | None" = None,
    ) -> None:
        self._folder = folder
        self._kept = kept
        self._served = served
        self._options = options
        self._settings = settings
        self._early = early
        self._show = show
        self._note = note
        self._warn = warn
        self._warned: set[str] = set()
        self._is_unwanted = is_unwanted
        self.left_out: set[str] = set()  # of the workspace, because git ignores it
        self._running: dict[str, _Running] = {}
        self._services: LocalServices | None = None  # once a job has somebody's actions
        self._board = LocalBoard(folder / "gpus")

    def __len__(self) -> int:
        return len(self._running)

    def start(self, spec: JobSpec, grant: Grant) -> None:
        """Start a job with what it was granted.

        Raises UsageError when its workspace can't be made, and InterruptedByUserError when it is wanted no more before it is.
        """
        workspace = self._make_workspace(spec)
        self._warn_of_id_tokens(spec)
        added = {name: _literal(value) for name, value in self._options.environment.items()}
        spec = replace(spec, env=(added, *spec.env)) if added else spec
        services_url, tokens = self._offer_services(spec)
        settings = replace(
            self._job_settings(workspace, spec),
            **self._stage_settings(spec),
            services_url=services_url,
            given={**stand_in(spec), **grant.given},
            gpus=grant.gpus,
            gpu_board=self._board.start() if grant.gpus else None,
            machine={"gpus": list(grant.shown)} if grant.shown else {},
            code_url=self._served.url if self._served else "",
            is_upstreams_token=self._served is not None and self._served.is_upstreams_token,
        )
        folder = create_job_folder(self._folder / "jobs", spec, 1, settings, {})
        pid = fork_supervisor(folder, {**self._choose_secrets(spec), **tokens}, self._early)
        from agent.journal.file import JournalReader

        journal = JournalReader(folder.journal)
        self._running[spec.job] = _Running(spec, folder, pid, os.pidfd_open(pid), journal)

    def cancel(self, job: str, reason: str) -> bool:
        """Ask a job's supervisor to end it; False when it does not run."""
        running = self._running.get(job)
        if running is None:
            return False
        request_cancel(running.folder, reason)
        return True

    def wait(self) -> Iterator[tuple[JobSpec, JobResult]]:
        """Show what is new, after a moment at most; the jobs that have ended, as they are taken care of."""
        poll = select.poll()
        for running in self._running.values():
            poll.register(running.pidfd, select.POLLIN)
        asked = None if self._services is None else self._services.waiting
        if asked is not None:
            poll.register(asked, select.POLLIN)
        ended = {descriptor for descriptor, _event in poll.poll(_POLL_MS)}
        if self._services is not None and asked is not None and asked.fileno() in ended:
            self._services.start()
        for running in list(self._running.values()):
            self._show_news(running)
            if running.pidfd in ended:
                yield running.spec, self._finish(running)

    def kill(self) -> None:
        """End all that still run, what they have started, and what they have left; services, too."""
        if self._running:
            self._kill_running()
        if self._services is not None:
            self._services.close()
        self._board.close()

    def _kill_running(self) -> None:
        from agent.job.launch.burial import bury, end_attempt

        for running in self._running.values():
            os.kill(running.pid, signal.SIGKILL)
            _reap(running)
            try:
                _wait_until_unlocked(running.folder)
                bury(running.folder, FailureKind.CANCELLED, "killed")  # with all that it had started
            except DamagedError:  # the job did something to its folder
                end_attempt(running.folder)
            if not self._options.keep:
                with contextlib.suppress(AgentError):  # the run's own folder goes too, and this one with it
                    remove_job_folder(running.folder, self._settings.work_folder)

    def _offer_services(self, spec: JobSpec) -> tuple[str, dict[str, str]]:
        """Where the job's actions find services, and the token for them; a job without others' actions needs none."""
        if all(is_own(uses) for uses in spec.list_uses()):
            return "", {}
        from agent.cli.local_run.services import FOLDER, LocalServices

        if self._services is None:
            owner = f"local:{self._options.workspace.resolve()}"
            self._services = LocalServices(
                self._settings.state_folder / FOLDER, owner, self._folder / "artifacts", self._warn
            )
        url, token = self._services.offer(spec, time.time())
        return url, {RUNTIME_TOKEN: token}

    def _choose_secrets(self, spec: JobSpec) -> dict[str, str]:
        """All of them, so that all are masked; those that the job does not name go by a name that none can have."""
        wanted = {*spec.secrets, JOB_TOKEN}  # actions ask for the token by themselves, as `github.token`
        given = self._options.secrets.items()
        chosen = {name if name in wanted else f"({name})": value for name, value in given}
        if self._served is not None:
            chosen[JOB_TOKEN] = self._served.begin(spec.job, chosen.get(JOB_TOKEN, ""))
        return chosen

    def _finish(self, running: _Running) -> JobResult:
        del self._running[running.spec.job]
        if self._services is not None:
            self._services.end(running.spec.job)
        _reap(running)
        if self._served is not None:
            self._served.end(running.spec.job)
        self._show_news(running)
        if running.result is None:
            from agent.job.launch.burial import bury

            bury(running.folder, FailureKind.LOST, "its supervisor died (killed, or out of memory)")
            self._show_news(running)
        assert running.result is not None
        if isinstance(running.spec.work, StagesWork):
            from agent.cli.local_run.records import note_letters

            note_letters(self._kept, running.spec)
        if not self._options.keep:
            remove_job_folder(running.folder)
        return running.result

    def _show_news(self, running: _Running) -> None:
        from agent.journal.format import Closed

        for _end, record in running.journal:
            if isinstance(record, Closed):
                running.result = record.result
            self._show(running.spec.key, record)
            self._note(running.spec.key, running.folder, record)

    def _make_workspace(self, spec: JobSpec) -> Path:
        if self._options.in_place:
            return self._options.workspace.resolve()
        source = self._options.workspace.resolve()
        name = self._name_workspace(spec, source)
        workspace = self._folder / "work" / spec.job / name / name
        try:
            own = (self._folder, self._settings.state_folder, self._settings.work_folder)
            without = [folder.resolve() for folder in own]
            plan = plan_copy(source, with_ignored=self._options.with_ignored, without=without)
            self.left_out.update(plan.left_out)
            self._warn_once(plan.warnings)
            shown = Progress(
                "copy", plan.size_bytes, sys.stderr, time.monotonic, patience_seconds=_PATIENCE_SECONDS
            )
            with shown, _removed_unless_whole(workspace):
                copy_planned(plan, workspace, self._make_tick(shown))
        except OSError as error:
            if is_full(error):  # the copy's disk: the workspace is only read
                raise AgentError(
                    f"the workspace can't be copied: {error.strerror}",
                    where=str(self._folder.parent),
                    hint="make room there, name another folder with TMPDIR, or work --in-place",
                ) from None
            raise UsageError(
                f"the workspace can't be copied: {error.strerror}",
                where=str(error.filename or self._options.workspace),
                hint="name another one with --workspace, or work --in-place",
            ) from None
        return workspace

    def _name_workspace(self, spec: JobSpec, source: Path) -> str:
        """The repository's name, as at GitHub; without a remote that is made up of the flow's, and the folder's own name says more."""
        checkout = self._options.inquiry.read()
        has_remote = checkout is not None and split_repository(checkout.url)[1]
        repository = str(spec.context("github").get("repository", "")) if has_remote else ""
        name = repository.rpartition("/")[2] or source.name
        return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "work"

    def _warn_of_id_tokens(self, spec: JobSpec) -> None:
        if not spec.permissions:
            return
        from agent.spec.services import asks_for_id_tokens

        if asks_for_id_tokens(spec.permissions):
            self._warn_once(
                [
                    "a local run issues no OpenID Connect tokens (`id-token: write`): steps that ask for one fail; run it on a server"
                ]
            )

    def _warn_once(self, warnings: list[str]) -> None:
        for warning in warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self._warn(warning)

    def _make_tick(self, shown: Progress) -> Tick:
        """Counts what is copied. Raises InterruptedByUserError when nobody wants the copy any more."""

        def tick(size_bytes: int) -> None:
            if self._is_unwanted():
                shown.stopping.set()
            shown.add(size_bytes)

        return tick

    def _stage_settings(self, spec: JobSpec) -> dict[str, Any]:
        """What a job of stages is told besides."""
        if not isinstance(spec.work, StagesWork):
            return {}
        from agent.cli.local_run.records import choose_files, describe_idle, place_letters

        records = choose_files(spec.work, self._options.records)
        idle = describe_idle(spec.work, records) if records else ""
        self._warn_once([idle] if idle else [])
        flow = hashlib.sha256(f"{self._kept.project}\0{spec.work.flow}".encode()).hexdigest()[:16]
        return {
            "records": records,
            "bookmark_folder": self._settings.state_folder / "bookmarks" / flow,
            "letter_file": place_letters(self._kept),
        }

    @property
    def _guards_workspace(self) -> bool:
        return self._options.in_place and not self._options.is_destructive

    def _job_settings(self, workspace: Path, spec: JobSpec) -> JobSettings:
        return replace(
            owner_settings(self._settings, self._settings.work_folder),
            policy_file=self._settings.policy_file.absolute(),
            policy_must_exist=bool(self._settings["policy"]),
            agent_name=os.uname().nodename,
            labels=("self-hosted",),
            workspace=workspace,
            ends_with=os.getpid(),
            belongings=self._folder / "belongings" if self._guards_workspace else None,
            environment={
                **scrub_environment(os.environ),
                "FLOW_ARTIFACTS": str(self._folder / "artifacts"),
                "FLOW_ATTEMPT": f"{spec.attempt} {spec.key}",  # whose artifacts they are
                **self._kept.describe(spec, is_in_place=self._options.in_place),
                **({} if self._options.in_place else {GIT_CEILING: str(self._folder)}),
            },
        )


@contextlib.contextmanager
def _removed_unless_whole(folder: Path) -> Iterator[None]:
    """Leave no half of a copy: the job may be begun again."""
    try:
        yield
    except BaseException:
        remove_tree(folder)
        raise


def _reap(running: _Running) -> None:
    os.waitpid(running.pid, 0)
    os.close(running.pidfd)


def _wait_until_unlocked(folder: JobFolder) -> None:
    """A process that the supervisor was just starting shares its lock for a moment, until it is the new program."""
    deadline = time.monotonic() + _UNLOCK_SECONDS
    while is_running(folder) and time.monotonic() < deadline:
        time.sleep(_POLL_MS / 1000)


def _literal(text: str) -> str:
    """`text` as a template that gives `text`, whatever is in it."""
    quoted = text.replace("'", "''")
    return f"${{{{ '{quoted}' }}}}" if "${{" in text else text
