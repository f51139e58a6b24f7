"""The disks: file systems on which a job could keep something."""

import os
import shutil
from pathlib import Path

from agent.spec.resources import Disk

# Always full and never written to: images of snap packages, CDs, initial RAM disks.
_READ_ONLY_KINDS = frozenset({"squashfs", "iso9660", "cramfs", "erofs"})


def list_disks(work_folder: Path | None = None) -> tuple[Disk, ...]:
    """Local file systems, each once, by its shortest mount point; the one that holds `work_folder` is always there.

    Network mounts are left out: asking a dead one for its size can block for ever.
    """
    found: dict[int, Disk] = {}
    for path in _list_mount_points(work_folder):
        disk = _measure(path)
        if disk is not None:
            found.setdefault(disk[0], disk[1])
    return tuple(found.values())


def measure_free_bytes(path: Path) -> int:
    """Bytes that an ordinary user can still write where `path` lies. Raises OSError when it can't be had."""
    return shutil.disk_usage(_nearest_existing(path)).free


def _list_mount_points(work_folder: Path | None) -> list[Path]:
    import psutil

    try:
        partitions = psutil.disk_partitions(all=False)
    except OSError:
        partitions = []  # no /proc/mounts in this container: `/` and the work folder remain
    points = [Path(part.mountpoint) for part in partitions if part.fstype not in _READ_ONLY_KINDS]
    points.sort(key=lambda point: (len(point.parts), str(point)))
    ours = [_nearest_existing(work_folder)] if work_folder is not None else []
    # A container sees single files of the host's disk as mounts (/etc/hosts): no place for a job's data.
    return [Path("/"), *(point for point in points if os.path.isdir(point)), *ours]  # noqa: PTH112 - never raises


def _measure(path: Path) -> tuple[int, Disk] | None:
    try:
        usage = shutil.disk_usage(path)
        return path.stat().st_dev, Disk(str(path), usage.total, usage.free)
    except OSError:
        return None  # not ours to look at, or unmounted a moment ago


def _nearest_existing(path: Path) -> Path:
    for place in (path, *path.absolute().parents):
        if place.exists():
            return place
    return Path("/")
