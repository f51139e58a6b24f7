"""Answers `agent reserve` for the daemon: keeps and frees GPUs, and says which jobs are still on them."""

import time
from collections.abc import Mapping
from typing import Any

from agent.daemon.jobs import JobTable
from agent.daemon.machine import Machine
from agent.daemon.occupancy import Occupancy
from agent.daemon.reservations import GpuReservation, Reservations, obey
from agent.errors import AgentError
from agent.spec.resources import Gpu


class ReservationDesk:
    """The daemon's answers about reservations. A wish that can't be met is an answer with `error` and `hint`."""

    def __init__(
        self, reservations: Reservations, machine: Machine, occupancy: Occupancy, jobs: JobTable
    ) -> None:
        self._reservations = reservations
        self._machine = machine
        self._occupancy = occupancy
        self._jobs = jobs

    async def answer(self, request: Mapping[str, Any]) -> Mapping[str, object]:
        """The answer to a line of the control socket (`agent.daemon.local`)."""
        gpus = (await self._machine.take_inventory()).gpus
        now = time.time()
        try:
            found = obey(self._reservations, request, gpus, now)
        except AgentError as error:
            return {"error": error.what, "hint": error.hint}
        except (OSError, KeyError, TypeError, ValueError) as error:
            return {"error": f"the agent can't do that: {error}", "hint": ""}
        await self._occupancy.look()
        busy = {} if request["verb"] == "free" else {one.gpu: self._list_jobs(one, gpus) for one in found}
        return describe_reservations(found, gpus, now, busy)

    def _list_jobs(self, reservation: GpuReservation, gpus: tuple[Gpu, ...]) -> list[str]:
        """The jobs that are on the GPU, or on an instance of it."""
        meant = {gpu.uuid for gpu in gpus if reservation.gpu in (gpu.uuid, gpu.mig_parent)}
        return [job.folder.job for job in self._jobs if job.is_alive and not job.gpus.isdisjoint(meant)]


def describe_reservations(
    found: tuple[GpuReservation, ...],
    gpus: tuple[Gpu, ...],
    now: float,
    busy: Mapping[str, list[str]] | None = None,
) -> dict[str, object]:
    """Reservations as the command shows them; `busy`: the jobs on each GPU that runs some."""
    index = {uuid: gpu.index for gpu in gpus for uuid in (gpu.uuid, gpu.mig_parent) if uuid}
    return {
        "reservations": [
            {
                "gpu": one.gpu,
                "index": index.get(one.gpu),
                "holder": one.holder,
                "until": one.until,
                "why": one.why,
                "words": one.describe(now),
                "jobs": (busy or {}).get(one.gpu, []),
            }
            for one in found
        ]
    }
