"""`agent machine top`: this machine's GPUs as they are now, and which job has which."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from agent.cli.arguments import add_command, add_format
from agent.cli.terminal.progress import size_text
from agent.cli.terminal.tables import plain, print_table
from agent.config import Settings, load_settings
from agent.errors import AgentError, InterruptedByUserError
from agent.spec.figures import MIB

_EVERY_SECONDS = 1.0
_DRIVER_SECONDS = 10.0
_CLEAR = "\x1b[H\x1b[J"
_TITLES = ["gpu", "model", "job", "load", "memory", "temp", "power", "clock", "slowed by", "processes"]


def add_top(commands: Any) -> None:
    """Declare the command."""
    meaning = "this machine's GPUs as they are now, and who has which"
    parser = add_command(commands, "top", _top, meaning, "agent machine top --once")
    parser.add_argument("--once", action="store_true", help="one look, as in a pipe")
    add_format(parser)


def _top(arguments: argparse.Namespace) -> int:
    out, settings = sys.stdout, load_settings()
    watch = GpuTop(settings)
    try:
        while True:
            gpus = watch.look()
            if arguments.format == "json":
                out.write(json.dumps({"time": round(time.time(), 3), "gpus": gpus}) + "\n")
            else:
                is_live = out.isatty() and not arguments.once
                out.write(_CLEAR if is_live else "")
                print_gpus(gpus, out)
            out.flush()
            if arguments.once or arguments.format == "json" or not out.isatty():
                return 0
            time.sleep(_EVERY_SECONDS)
    except KeyboardInterrupt:
        raise InterruptedByUserError("") from None
    finally:
        watch.close()


class GpuTop:
    """One session with the driver. A driver that does not answer is an AgentError after ten seconds."""

    def __init__(self, settings: Settings) -> None:
        from agent.machine.probes.nvidia_load import GpuLoads

        self._settings = settings
        self._loads = GpuLoads()

    def look(self) -> list[dict[str, Any]]:
        """Each GPU or instance, by public names; what can't be had is null. Raises AgentError."""
        from agent.journal.load import name_figure, show_value
        from agent.machine.deadline import start_call
        from agent.spec.figures import OF_GPU

        try:
            loads = start_call(self._loads.read, name="top-nvidia").result(_DRIVER_SECONDS)
        except TimeoutError:
            raise AgentError(
                "the GPU driver does not answer", hint="`nvidia-smi` will hang, too; see `dmesg`"
            ) from None
        holders = find_holders(self._settings)
        return [
            {
                "uuid": gpu.uuid,
                "name": gpu.name,
                "job": holders.get(gpu.uuid),
                **{
                    name_figure(figure): show_value(figure, gpu.values.get(figure.number))
                    for figure in OF_GPU
                },
                "processes": None
                if gpu.processes is None
                else [
                    {"pid": pid, "name": _name_process(pid), "memory_bytes": memory}
                    for pid, memory in gpu.processes
                ],
            }
            for gpu in loads
        ]

    def close(self) -> None:
        """End the session."""
        self._loads.close()


def find_holders(settings: Settings) -> dict[str, str]:
    """The jobs of this machine's agent that run, by the UUIDs of their GPUs; none where it is somebody else's agent."""
    from agent.daemon.state import StateFolder
    from agent.job.launch.launcher import is_running, list_job_folders

    held: dict[str, str] = {}
    try:
        for folder in list_job_folders(StateFolder(settings.state_folder.absolute()).jobs):
            if is_running(folder):
                held |= dict.fromkeys(folder.read_settings().gpus, folder.job)
    except (OSError, AgentError):  # not ours to look at
        return held
    return held


def print_gpus(gpus: Sequence[Mapping[str, Any]], out: TextIO) -> None:
    """A GPU a line."""
    if not gpus:
        out.write("no NVIDIA GPU answers on this machine; `agent doctor` says why\n")
        return
    print_table(_TITLES, [_row(place, gpu) for place, gpu in enumerate(gpus)], out)


def _row(place: int, gpu: Mapping[str, Any]) -> list[str]:
    clock = gpu["clock_sm_hertz"]
    processes = gpu["processes"]
    return [
        f"{place} {plain(gpu['uuid'][:12])}",
        plain(gpu["name"]),
        plain(gpu["job"] or "-"),
        _show(gpu["utilization_percent"], " %"),
        "n/a" if gpu["memory_bytes"] is None else size_text(gpu["memory_bytes"]),
        _show(gpu["temperature_celsius"], " °C"),
        _show(gpu["power_watts"], " W"),
        "n/a" if clock is None else f"{clock / 1e6:.0f} MHz",
        "n/a" if gpu["throttled"] is None else ", ".join(gpu["throttled"]) or "-",
        "n/a" if processes is None else ", ".join(map(_show_process, processes)) or "-",
    ]


def _show_process(process: Mapping[str, Any]) -> str:
    memory = process["memory_bytes"]
    size = "" if memory is None else f" {memory / MIB:.0f} MiB"
    return f"{plain(process['name'] or '?')} {process['pid']}{size}"


def _show(value: float | None, unit: str) -> str:
    return "n/a" if value is None else f"{value:.0f}{unit}"


def _name_process(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:  # it has ended, or is in another machine's view
        return ""
