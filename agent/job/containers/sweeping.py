"""Leftovers of a job at the container engine, told by its labels, and their removal when the job itself no longer can.

The sweep is a process of its own, so that whoever asks for it (the daemon, a command) never loads the engine's client.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.errors import DamagedError
from agent.job.folder.attempt import JobFolder
from agent.job.folder.settings import JobSettings
from agent.plain_files import open_plain

_MARK = "containers"
_DEFAULT = "unix:///var/run/docker.sock"
_SWEEP_SECONDS = 60


def engine_address(settings: JobSettings | None = None) -> str:
    """Where the engine listens: as the settings say, or DOCKER_HOST, or Docker's usual socket."""
    return (settings.docker_host if settings else "") or os.environ.get("DOCKER_HOST") or _DEFAULT


def job_labels(folder: JobFolder) -> dict[str, str]:
    """What everything carries that this job attempt makes at the engine."""
    from agent.containers.engine import JOB_LABEL, ROOT_LABEL

    return {JOB_LABEL: folder.tracking_id, ROOT_LABEL: _name_root(folder.path.parent)}


def mark_engine_used(folder: JobFolder) -> None:
    """Leave word in the job folder that the job may have something at the engine."""
    os.close(open_plain(folder.path / _MARK, os.O_WRONLY | os.O_CREAT))


def uses_containers(folder: JobFolder) -> bool:
    """Whether the job may have something at the engine."""
    return os.path.lexists(folder.path / _MARK)


def unmark_engine_used(folder: JobFolder) -> None:
    """All that the job had at the engine is gone."""
    (folder.path / _MARK).unlink(missing_ok=True)


def sweep_job(folder: JobFolder) -> str:
    """Remove what the dead job made at the engine. Returns why that was not possible; empty when all is gone."""
    if not uses_containers(folder):
        return ""
    settings: JobSettings | None = None
    options: list[str] = []
    with contextlib.suppress(DamagedError):  # then the usual engine is asked
        settings = folder.read_settings()
        folders = [settings.work_folder / folder.name, *([settings.workspace] if settings.workspace else [])]
        options = _give_back(folders, settings)
    unswept = _sweep(engine_address(settings), folder.path.parent, [folder.tracking_id], options)
    if not unswept:
        unmark_engine_used(folder)
    return unswept


def sweep_spoiled(folder: JobFolder, settings: JobSettings) -> str:
    """The same, where the folder can't be asked what there was; `settings` are the daemon's own."""
    address = engine_address(settings)
    if _is_absent(address):
        return ""
    options = _give_back([settings.work_folder / folder.name], settings)
    return _sweep(address, folder.path.parent, [folder.tracking_id], options)


def sweep_others(root: Path, living: Sequence[JobFolder], address: str = "") -> str:
    """Remove what jobs under `root` made at the engine, but for those that live. Returns why that was not possible."""
    address = address or engine_address()
    if _is_absent(address):
        return ""
    return _sweep(address, root, [folder.tracking_id for folder in living], ["--spare"])


def _give_back(folders: Sequence[Path], settings: JobSettings) -> list[str]:
    """What tells the sweep whose the files in `folders` are to be: those of the user that the job ran as."""
    account = settings.account
    owner = [] if account is None else [f"--owner={account.uid}:{account.gid}"]
    inside = folders if account is None else [entry for folder in folders for entry in _list(folder)]
    return [*owner, *(f"--folder={item}" for item in inside)]


def _list(folder: Path) -> list[Path]:
    """A job's folders in the one that is ours and holds them."""
    with contextlib.suppress(OSError):
        return [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.is_symlink()]
    return []


def _is_absent(address: str) -> bool:
    return address.startswith("unix://") and not os.path.exists(address.removeprefix("unix://"))  # noqa: PTH110 - no error


def _name_root(root: Path) -> str:
    return os.path.realpath(root)


def _sweep(address: str, root: Path, jobs: Sequence[str], options: Sequence[str]) -> str:
    program = [sys.executable, "-P", "-X", "utf8", "-m", "agent.containers.sweep"]
    command = [*program, *options, address, _name_root(root), *jobs]
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SWEEP_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"containers of ended jobs could not be removed: {error}"
    if result.returncode == 0:
        return ""
    return (
        f"containers of ended jobs could not be removed: {result.stderr.decode('utf-8', 'replace').strip()}"
    )
