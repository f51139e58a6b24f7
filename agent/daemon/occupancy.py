"""Occupancy of GPUs: every few seconds, and before each job, who else has them: people who reserved them, processes from outside.

What it finds is said to `Machine.withhold`, which tells the server what has changed.
"""

import asyncio
import logging
import time

from agent.daemon.gpu_claims import GpuClaims
from agent.daemon.job import DaemonJob, DaemonJobState
from agent.daemon.jobs import JobTable
from agent.daemon.machine import Machine
from agent.daemon.occupants import JobPlaces, OccupantFindings, Tenant, examine
from agent.daemon.reservations import Reservations
from agent.daemon.withheld import WithheldBy
from agent.job.launch.burial import end_attempt, name_supervisor
from agent.job.launch.launcher import JobFolder, JobSettings, uses_containers
from agent.job.process.cgroup import JobGroup
from agent.machine.platform import sees_all_processes

log = logging.getLogger("agent.daemon")

_BLIND = "in a PID namespace of its own (a container without --pid=host) the agent can't see who else computes on its GPUs"
_LOOK_SECONDS = 2.0
_IDLE_SECONDS = 60.0  # the same, where there are no GPUs
_END_SECONDS = 5.0  # for leftovers to be gone; the next look finds what is left


class Occupancy:
    """Who has the GPUs of this agent beside its jobs. `allows_strangers`: the owner lets jobs beside processes from outside."""

    def __init__(
        self,
        machine: Machine,
        jobs: JobTable,
        reservations: Reservations,
        settings: JobSettings,
        *,
        allows_strangers: bool,
    ) -> None:
        from agent.machine.probes.nvidia import GpuMeter

        self._machine = machine
        self._jobs = jobs
        self._reservations = reservations
        self._settings = settings
        self._allows_strangers = allows_strangers
        self._meter = GpuMeter()
        self._looking = asyncio.Lock()
        self._claims = GpuClaims()
        self._others: dict[str, str] = {}

    async def run(self) -> None:
        """Look again and again; never returns."""
        await (
            self._machine.take_inventory()
        )  # before it there are no GPUs to look at, and the next look would be late
        if not sees_all_processes() and self._machine.gpus:
            log.warning(_BLIND)
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS if self._machine.gpus else _IDLE_SECONDS)

    async def look(self) -> None:
        """Whoever asks the machine next hears what is so now. A driver that does not answer changes nothing."""
        try:
            await self._look()
        except (
            Exception
        ):  # a bug here, or an odd process, ends neither the daemon nor jobs; the next look tries again
            log.exception("a bug in the agent while it looked who has its GPUs")

    async def _look(self) -> None:
        async with self._looking:
            self._machine.withhold(WithheldBy.RESERVATION, self._reservations.explain(time.time()))
            gpus = {gpu.uuid for gpu in self._machine.gpus}
            self._warn_of_others(self._claims.claim(gpus))
            tenants = [_describe_tenant(job) for job in self._jobs if _is_here(job)]
            found = await asyncio.to_thread(self._examine, gpus, tenants) if gpus else None
            if found is not None:
                outside = {} if self._allows_strangers else found.outside
                self._machine.withhold(WithheldBy.OUTSIDE, outside)
                self._machine.withhold(WithheldBy.LEFTOVERS, found.leftovers)

    def _warn_of_others(self, others: dict[str, str]) -> None:
        if others != self._others:
            for uuid, who in others.items():
                log.warning(
                    "GPU %s is offered by another agent here too (%s): give each its --gpus", uuid, who
                )
        self._others = others

    def _examine(self, gpus: set[str], tenants: list[Tenant]) -> OccupantFindings | None:
        read = self._meter.read()
        if not read:
            return None
        occupants = {one.uuid: one.process_ids for one in read if one.uuid in gpus and one.process_ids}
        places = JobPlaces(self._settings.work_folder, self._settings.job_groups)
        return examine(occupants, tenants, places, self._end)

    def _end(self, tracking_id: str) -> None:
        """End what is left of an attempt whose folder may be gone. Raises AgentError."""
        name = tracking_id.removeprefix("flow_")
        job, _, lease = name.rpartition("-")
        settings = self._settings
        end_attempt(
            JobFolder(self._jobs.root / name, job, int(lease)),
            group=JobGroup(settings.job_groups, tracking_id),
            account=settings.account,
            patience_seconds=_END_SECONDS,
        )


def _is_here(job: DaemonJob) -> bool:
    """Whether it may have processes that are its own: it has not ended, or was taken from here and is being ended."""
    return job.state is not DaemonJobState.ENDED and not job.is_complete


def _describe_tenant(job: DaemonJob) -> Tenant:
    folder = job.folder
    return Tenant(
        folder.tracking_id, name_supervisor(folder), job.gpus, job.shares_gpus, uses_containers(folder)
    )
