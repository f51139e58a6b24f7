"""The daemon: its loops, and how it begins and ends.

    lock the state -> adopt jobs -> { connection, watching over jobs, control socket } until told to leave

To leave is not to stop: the daemon goes, its jobs go on, and the next daemon takes them over.
"""

import asyncio
import logging
import os
import random
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from agent.clock import SystemClock
from agent.config import Settings
from agent.daemon.attachments import OpenSessions
from agent.daemon.causes import read_boot_id
from agent.daemon.connection import Connection, Link
from agent.daemon.control import Control
from agent.daemon.drain import Draining
from agent.daemon.executors import choose_workplace
from agent.daemon.generation import Generation
from agent.daemon.gpu_share import allows_strangers, read_share_wish, settle_share, without_shares
from agent.daemon.gpus import GpuCare
from agent.daemon.health import Health
from agent.daemon.jobs import JobTable
from agent.daemon.leases import HeldLeases
from agent.daemon.machine import Machine
from agent.daemon.occupancy import Occupancy
from agent.daemon.place import claim_place, describe_boot
from agent.daemon.reservation_desk import ReservationDesk
from agent.daemon.reservations import Reservations
from agent.daemon.rules import OwnerRules
from agent.daemon.run_as import prepare_run_as
from agent.daemon.shipping import Shipper
from agent.daemon.signing import make_signer, sign_apart
from agent.daemon.state import Registration, StateFolder, choose_work_folder
from agent.daemon.state_access import accessible
from agent.errors import InterruptedByUserError
from agent.job.folder.settings import owner_settings
from agent.job.launch.launcher import ForkServer, JobSettings, NewRoom, remove_leftovers, sweep_containers
from agent.job.process.cgroup import find_job_groups
from agent.job.process.inheritance import GIT_CEILING, scrub_environment
from agent.machine.gpu_board import BoardWriter
from agent.machine.share import CUDA_VARIABLE, NVIDIA_VARIABLE
from agent.resolve.sources.owners_config import read_git_config, seclude_git
from agent.user_folders import find_home
from agent.wire import messages as m

log = logging.getLogger("agent.daemon")

# Secrets of whoever started us: they are not the daemon's business, and its children would inherit them.
_FOREIGN_SECRETS = ("AGENT_TOKEN", "AGENT_REGISTRATION_TOKEN", "AGENT_MASTER_KEY")


def run_daemon(settings: Settings, *, is_moved: bool = False) -> None:
    """Be this machine's agent until told to leave (SIGTERM), or until its registration ends.

    `is_moved`: the owner says that the state was moved here, and the original is gone. Raises ForeignStateError for a copy that
    nobody said that of, NotFoundError when the machine is not registered, RefusedError when an agent runs already or the server has
    said no for good or jobs can't run as the user of `run_as`, AgentError when the state can't be used, InterruptedByUserError
    after ctrl-C.
    """
    state = StateFolder(settings.state_folder)
    with accessible(state):
        _run_daemon(state, settings, is_moved=is_moved)


def _run_daemon(state: StateFolder, settings: Settings, *, is_moved: bool) -> None:
    registration = state.load_registration()
    wish = read_share_wish(settings)
    share = settle_share(wish)
    allows_strangers(settings)
    environment = scrub_environment(os.environ)
    for name in (*_FOREIGN_SECRETS, CUDA_VARIABLE, NVIDIA_VARIABLE):
        os.environ.pop(name, None)
    _seclude_git(settings)
    with state.hold_lock():
        claim_place(state, is_moved=is_moved)
        if settings["run_as"]:
            prepare_run_as(state, choose_work_folder(registration, settings).absolute(), settings["run_as"])
        machine = Machine(
            choose_work_folder(registration, settings).absolute(),
            runs_one_job=registration.max_jobs == 1,
            wish=wish,
            share=share,
        )
        asyncio.run(Daemon(state, registration, settings, environment, machine).run())


def _seclude_git(settings: Settings) -> None:
    """From now on git has the owner's file alone, as it is now. Raises UsageError when one is named and can't be read."""
    file = settings.git_config.absolute()
    is_needed = bool(settings["git_config"]) or file.exists()
    home = find_home()
    if not is_needed and home is not None and os.access(home / ".gitconfig", os.F_OK):
        log.warning(
            "%s is not read for jobs, who could have written it; what it says of git hosts belongs into %s",
            home / ".gitconfig",
            file,
        )
    seclude_git(os.environ, read_git_config(file) if is_needed else ())


class Daemon:
    """One agent at work."""

    def __init__(
        self,
        state: StateFolder,
        registration: Registration,
        settings: Settings,
        environment: Mapping[str, str],
        machine: Machine,
    ) -> None:
        self._state = state
        self._registration = registration
        self._forks = ForkServer()
        self._drain = Draining(state)
        self._started_at = SystemClock().now()
        rules = OwnerRules.load(state, settings)
        workplace = choose_workplace(
            settings,
            make_job_settings(state, registration, settings, environment, rules),
            self._forks,
            machine,
        )
        job_settings, offered = workplace.job_settings, workplace.machine
        self._executor = workplace.executor
        self._work_folder = job_settings.work_folder
        self._account = job_settings.account
        job_settings.work_folder.mkdir(mode=0o700, parents=True, exist_ok=True)

        async def equip(common: JobSettings, assign: m.Assign) -> JobSettings:
            rules.require_presence()
            await self._look_for_strangers()
            return await offered.equip(common, assign)

        async def find_room(gpus: Sequence[str]) -> NewRoom:
            await self._look_for_strangers()
            return await offered.find_room(gpus)

        self._jobs = JobTable(state.jobs, job_settings, workplace.executor, equip, find_room)
        self._machine = machine
        self._reservations = Reservations(state)
        self._occupancy = Occupancy(
            machine,
            self._jobs,
            self._reservations,
            job_settings,
            allows_strangers=allows_strangers(settings),
        )
        leases = HeldLeases(
            self._jobs,
            max_jobs=registration.max_jobs,
            is_closed=lambda: self._drain.is_draining or self._is_spent,
            on_release=self._end_ephemeral,
        )
        attachments = OpenSessions(self._jobs.find_running)

        async def obey(message: m.ServerMessage, connection: Connection) -> None:
            await leases.obey(message, connection)
            attachments.obey(message, connection)

        self._boot = describe_boot(read_boot_id())
        self._health = health = Health(registration, self._jobs, self._drain, offered, self._boot)
        self._gpu_care = GpuCare(machine, self._jobs)
        self._has_adopted = False
        self._board = BoardWriter(state.gpu_board, lambda: self._jobs.count_active() > 0)
        self._link = Link(
            registration,
            make_signer(registration, partial(sign_apart, state.identity)),
            make_ready=self._make_ready,
            boot=self._boot,
            obey=obey,
            generation=Generation(state.generation),
            crew=(
                leases.take_offers,
                leases.bring_events,
                Shipper(self._jobs).run,
                health.beat,
                self._drain.tell,
                health.tell_changes,
                attachments.run,
            ),
            random=random.SystemRandom().random,
        )

    async def run(self) -> None:
        """Work until SIGTERM, ctrl-C, or the end of the registration."""
        await asyncio.to_thread(self._clear_up)
        # After a start of the machine no job can run: nothing is lost by asking the server first whether this is a copy.
        if not self._state.has_rebooted(read_boot_id()):
            self._adopt()
        if not self._executor.has_queue:
            await self._forks.start()
        unswept = await asyncio.to_thread(sweep_containers, self._state.jobs)  # before there can be a new job
        if unswept:
            log.warning("%s", unswept)
        log.info("agent %s runs here (process %d)", self._registration.name, os.getpid())
        self._board.start()
        received = await self._work_until_told()
        self._board.stop()
        living = self._jobs.count_active()
        if living:
            log.info("leaving; %d job%s without us", living, " goes on" if living == 1 else "s go on")
        else:
            log.info("leaving")
        if received is signal.SIGINT:
            raise InterruptedByUserError(
                "the agent was interrupted", hint="its jobs go on; `agent start` takes them over"
            )

    async def _make_ready(self) -> m.Ready:
        if not self._has_adopted:
            self._adopt()
        await self._machine.take_inventory()  # before it there are no GPUs to look at
        await self._look_for_strangers()
        return await self._health.make_ready()

    async def _look_for_strangers(self) -> None:
        if not self._executor.has_queue:  # there the GPUs of jobs are not this machine's
            await self._occupancy.look()

    def _adopt(self) -> None:
        boot = read_boot_id()
        self._jobs.adopt(has_rebooted=self._state.has_rebooted(boot))
        try:
            self._state.note_boot(boot)
        except OSError as error:  # a full disk ends no daemon: its next start takes the machine for one that was started anew
            log.warning(
                "this start of the machine can't be noted in %s: %s", self._state.boot, error.strerror
            )
        self._has_adopted = True

    def _clear_up(self) -> None:
        """What of jobs that are gone could not be removed: once more, now that somebody may have seen to it."""
        left = remove_leftovers(self._state.jobs, self._work_folder, self._account)
        if left:
            log.warning(
                "%d things that jobs left can't be removed: sudo rm -rf %s",
                len(left),
                shlex.join(map(str, left[:3])),
            )

    async def _work_until_told(self) -> signal.Signals | None:
        """The signal that ended the work; None when the registration ended."""
        told: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
        _leave_on_signals(told)
        desk = ReservationDesk(self._reservations, self._machine, self._occupancy, self._jobs)
        control = Control(self._state, self._drain, self._describe, desk.answer)
        gpus = () if self._executor.has_queue else (self._gpu_care.run(), self._occupancy.run())
        loops = (self._connect(), self._jobs.watch(), control.serve(), *gpus)
        work: list[asyncio.Future[None]] = [asyncio.ensure_future(loop) for loop in loops]
        try:
            ends: list[asyncio.Future[Any]] = [told, *work]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in work:
                if task.done():
                    task.result()
            return told.result() if told.done() else None
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self._forks.close()

    async def _connect(self) -> None:
        """Returns after the goodbye of an ephemeral agent."""
        await self._link.run()
        await self._jobs.wait_until_removed()
        self._state.forget_registration()
        log.info("this agent is unregistered")

    @property
    def _is_spent(self) -> bool:
        """Whether this is an ephemeral agent that has its job."""
        return self._registration.is_ephemeral and any(True for _ in self._jobs)

    def _end_ephemeral(self) -> None:
        if self._registration.is_ephemeral:
            self._link.leave()

    def _describe(self) -> Mapping[str, object]:
        """What `agent status` shows."""
        return {
            "pid": os.getpid(),
            "started": self._started_at,
            "connection": self._link.state.value,
            "problem": self._link.problem,
            "is_draining": self._drain.is_draining,
            "gpus": [
                {"index": gpu.index, "uuid": gpu.uuid, "name": gpu.name, "withheld": gpu.withheld}
                for gpu in (() if self._executor.has_queue else self._machine.gpus)
            ],
            "jobs": [
                {"job": job.folder.job, "lease": job.folder.lease, "state": job.state.value}
                for job in self._jobs
            ],
        }


def make_job_settings(
    state: StateFolder,
    registration: Registration,
    settings: Settings,
    environment: Mapping[str, str],
    owner: OwnerRules,
) -> JobSettings:
    """How jobs are run on this machine."""
    work_folder = choose_work_folder(registration, settings).absolute()
    return replace(
        owner_settings(settings, work_folder),
        policy_file=Path(owner.rules.file),
        policy=owner.rules.tables,
        has_own_home=True,
        run_as=settings["run_as"],
        agent_name=registration.name,
        agent_id=registration.agent,
        labels=registration.labels,
        server_url=registration.url,
        identity_folder=state.identity.absolute(),
        gpu_board=state.gpu_board.absolute(),
        environment=without_shares({GIT_CEILING: str(work_folder), **environment, **owner.environment}),
        job_groups=find_job_groups(),
        kept_folder=None if settings["run_as"] else work_folder / "_kept",  # who can write there is every job
        kept_limit_bytes=settings.kept_limit_bytes,
    )


def log_to_stderr() -> None:
    """One line an event, with its time, for people."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("agent")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _leave_on_signals(told: "asyncio.Future[signal.Signals]") -> None:
    """Have the first SIGTERM or SIGINT resolve `told`; a second ctrl-C ends the process at once, as usual."""
    loop = asyncio.get_running_loop()

    def leave(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        if not told.done():
            told.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave, number)
