"""Occupants of GPUs: the processes that compute on them, and whose they are.

    of a job that is here and has the GPU          what it was given it for
    of a job that has ended, or never had the GPU  leftovers: they are ended; those that do not end keep the GPU from others
    of nobody that we know                         a process from outside: it keeps the GPU from jobs as long as it computes

A job is known by the mark that all of its processes inherit (TRACKING_VARIABLE), by its control group, and by its descent from a
supervisor. Of a container only its group can be seen: it is taken for a container of a job that is on this very GPU and has
containers, where there is one. While a job has a GPU for itself nobody asks who computes there: nobody else is given it meanwhile.

Those that only draw (NVML's graphics processes: Xorg) are not asked for; a display server that computes as well, and the server of
MPS, which computes for others, do not count. NVML tells the process ids of this process's own PID namespace: a daemon in a container
of its own sees none of the machine's.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import AgentError
from agent.job.process.proc import is_alive
from agent.spec.conventions import TRACKING_VARIABLE
from agent.user_folders import user_name

_MOST_ANCESTORS = 64
_NOT_COUNTED = frozenset(
    {"Xorg", "X", "Xwayland", "gnome-shell", "kwin_x11", "kwin_wayland", "weston", "sway", "nvidia-cuda-mps"}
)
_MARK = f"{TRACKING_VARIABLE}=".encode()
_ATTEMPT = re.compile(r"flow_job_[a-z0-9]+-[0-9]+")  # JobFolder.tracking_id
_GROUP = re.compile(rf"^0::(?P<root>/.*)/(?P<attempt>{_ATTEMPT.pattern})(/.*)?$", re.MULTILINE)
_CONTAINER = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A job attempt that is here: what its processes are known by, and what it has. `gpus` are UUIDs."""

    tracking_id: str
    supervisor: str  # the name of its supervisor's process
    gpus: frozenset[str]
    is_sharing: bool = False
    has_containers: bool = False


@dataclass(frozen=True, slots=True)
class OccupantFindings:
    """Why GPUs can't be given to a job, by UUID."""

    outside: Mapping[str, str] = field(default_factory=dict)
    leftovers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobPlaces:
    """Where this agent's jobs are: by these a job of ours that is gone is told from another agent's."""

    work_folder: Path
    groups: Path | None = None  # the control group that has one for each job


def examine(
    occupants: Mapping[str, Sequence[int]],
    tenants: Sequence[Tenant],
    places: JobPlaces,
    end: Callable[[str], None],
) -> OccupantFindings:
    """Judge the processes on each GPU. `end` ends all processes of the attempt with this tracking id; it may raise AgentError."""
    outside: dict[str, str] = {}
    leftovers: dict[str, str] = {}
    for gpu, pids in occupants.items():
        here = [tenant for tenant in tenants if gpu in tenant.gpus]
        if any(not tenant.is_sharing for tenant in here):
            continue
        owned = [(pid, _find_owner(pid, tenants, here, places)) for pid in pids if _counts(pid)]
        strangers = [pid for pid, owner in owned if owner is None]
        stray = {pid: owner for pid, owner in owned if owner and not _is_of(owner, here)}
        if strangers:
            outside[gpu] = _describe(strangers)
        elif words := _end_stray(stray, tenants, end):
            leftovers[gpu] = words
    return OccupantFindings(outside, leftovers)


def _counts(pid: int) -> bool:
    return is_alive(pid) and _name(pid) not in _NOT_COUNTED


def _is_of(tracking_id: str, tenants: Collection[Tenant]) -> bool:
    return any(tenant.tracking_id == tracking_id for tenant in tenants)


def _end_stray(stray: Mapping[int, str], tenants: Sequence[Tenant], end: Callable[[str], None]) -> str:
    """Why the GPU can't be given all the same; empty: all of them are gone."""
    for owner in sorted(set(stray.values())):
        if not _is_of(owner, tenants):  # one that runs and was not given this GPU is told of, and left alone
            with suppress(AgentError):
                end(owner)
    left = [pid for pid in stray if is_alive(pid)]
    if not left:
        return ""
    job = stray[left[0]].removeprefix("flow_").rpartition("-")[0]
    if _is_of(stray[left[0]], tenants):
        return f"process {left[0]} ({_name(left[0])}) of job {job}, which was not given it, computes on it"
    return f"process {left[0]} ({_name(left[0])}) is left of job {job} and does not end"


def _find_owner(pid: int, tenants: Sequence[Tenant], here: Sequence[Tenant], places: JobPlaces) -> str | None:
    """The tracking id of the attempt of ours that `pid` is of; None: of nobody that we know."""
    environment = _read(pid, "environ").split(b"\0")
    mark = next(
        (
            entry.removeprefix(_MARK).decode("utf-8", "replace")
            for entry in environment
            if entry.startswith(_MARK)
        ),
        "",
    )
    if _is_of(mark, tenants) or (_ATTEMPT.fullmatch(mark) and _is_ours(environment, places.work_folder)):
        return mark
    group = _read(pid, "cgroup").decode("utf-8", "replace")
    found = _GROUP.search(group)
    if found and places.groups is not None and str(places.groups).endswith(found["root"]):
        return found["attempt"]  # nobody else may make groups there
    supervisors = {tenant.supervisor: tenant.tracking_id for tenant in tenants}
    for ancestor in _list_ancestors(pid):
        if _name(ancestor) in supervisors:
            return supervisors[_name(ancestor)]
    if _CONTAINER.search(group):
        return next((tenant.tracking_id for tenant in here if tenant.has_containers), None)
    return None


def _is_ours(environment: Sequence[bytes], work_folder: Path) -> bool:
    within = b"=" + os.fsencode(work_folder) + b"/"
    return any(within in entry for entry in environment)


def _describe(pids: Sequence[int]) -> str:
    first = f"process {pids[0]} ({_name(pids[0]) or 'unknown'}, of {_user(pids[0])})"
    if len(pids) == 1:
        return f"{first} computes on it"
    rest = "another" if len(pids) == 2 else f"{len(pids) - 1} others"
    return f"{first} and {rest} compute on it"


def _name(pid: int) -> str:
    return _read(pid, "comm").decode("utf-8", "replace").strip()


def _user(pid: int) -> str:
    try:
        return user_name(Path(f"/proc/{pid}").stat().st_uid)
    except OSError:
        return "somebody"


def _list_ancestors(pid: int) -> Iterator[int]:
    for _ in range(_MOST_ANCESTORS):
        stat = _read(pid, "stat")
        if not stat:
            return
        pid = int(stat[stat.rindex(b")") + 2 :].split()[1])
        if pid <= 1:
            return
        yield pid


def _read(pid: int, what: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except OSError:
        return b""
