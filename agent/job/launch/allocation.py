"""The process inside an allocation (of Slurm): starts the job's supervisor, passes the agent's questions on, and sees to its end.

    python -m agent.job.launch.allocation FOLDER...     what the batch script of `agent.daemon.slurm` becomes; of several folders,
                                                        one a node, that of this task of `srun`

What it has to say is in the job folder (`agent.job.launch.lines`): that it has begun and where, and how it ended. The controller
forgets a job minutes after its end, and a cluster may have no accounting. It dies with nothing of the job alive: not every
cluster ends what a job leaves behind. No attempt runs twice: a second start finds the folder's lock held, or its journal begun.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Final

from agent.errors import AgentError
from agent.job.folder.attempt import JobFolder, open_job_folder, rewrite_settings
from agent.job.folder.settings import JobSettings
from agent.job.launch.asking import ask_here
from agent.job.launch.burial import bury, end_attempt, has_last_word, read_result
from agent.job.launch.interruptions import OUTPUT, TIME_IS_NEAR, explain_signal
from agent.job.launch.launcher import fork_supervisor
from agent.job.launch.lines import append_line, read_lines, read_output
from agent.job.process.proc import list_descendants, signal_all
from agent.spec.outcome import Conclusion, FailureKind
from agent.spec.room import NO_GPUS

# What Slurm's plugins say of the GPUs that are the job's: AMD's and Intel's have variables of their own. Each numbers them.
_DEVICES: Final = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "SLURM_JOB_GPUS")
_ALL_DEVICES: Final = (*_DEVICES, "GPU_DEVICE_ORDINAL")
_LOOK_SECONDS = 0.25
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the job whose folder is the first argument. The exit code is 0 when it succeeded, for whoever looks at Slurm alone."""
    paths = [Path(argument) for argument in sys.argv[1:]]
    path = paths[int(os.environ.get("SLURM_PROCID", "0")) if len(paths) > 1 else 0]
    folder = open_job_folder(path)
    if folder is None:
        sys.stderr.write(
            f"agent: there is no job folder on this machine (at {path}); share it with the nodes\n"
        )
        return 1
    try:
        return Allocation(folder, os.environ, paths[0] / OUTPUT).run()
    except AgentError as error:  # the lock is held: another start has the job
        sys.stderr.write(f"agent: {error}\n")
        return 1


class Allocation:
    """One start of one job. `environment` is what Slurm has given it, `output` where it says what it does to it."""

    def __init__(self, folder: JobFolder, environment: Mapping[str, str], output: Path) -> None:
        self._folder = folder
        self._output = output
        self._environment = environment
        self._received: list[int] = []
        self._heard = 0  # questions that were passed on

    def run(self) -> int:
        """From the supervisor's start to the end of all that it started. Raises AgentError when this job was started before."""
        ctypes.CDLL(None).prctl(
            _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0
        )  # what loses its parent stays ours to end
        settings = self._folder.read_settings()
        trouble = find_trouble(settings, self._environment)
        if trouble:
            bury(self._folder, FailureKind.INFRASTRUCTURE, trouble)
            self._say({"event": "ended"})
            return 1
        rewrite_settings(self._folder, describe_allocation(settings, self._environment))
        woken = self._listen()
        supervisor = fork_supervisor(self._folder)
        self._say({"event": "began"})
        status = self._watch(supervisor, woken)
        with contextlib.suppress(
            AgentError
        ):  # what waits for a device keeps nobody from knowing that the rest is over
            end_attempt(self._folder)
        signal_all(list_descendants(os.getpid()), signal.SIGKILL)
        self._say({"event": "ended", "status": os.waitstatus_to_exitcode(status)})
        result = read_result(self._folder.journal) if has_last_word(self._folder) else None
        return 0 if result is not None and result.conclusion is Conclusion.SUCCESS else 1

    def _listen(self) -> int:
        """Have signals wake us: what becomes readable then."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, TIME_IS_NEAR, signal.SIGCHLD):
            signal.signal(number, self._note)
        return reading

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._received.append(number)

    def _watch(self, supervisor: int, woken: int) -> int:
        while True:
            pid, status = os.waitpid(supervisor, os.WNOHANG)
            if pid:
                return status
            for number in self._take_signals():
                self._cancel(number)
            self._pass_on()
            if select.select([woken], [], [], _LOOK_SECONDS)[0]:
                os.read(woken, 1 << 12)

    def _take_signals(self) -> list[int]:
        received, self._received = self._received, []
        return [number for number in received if number != signal.SIGCHLD]

    def _cancel(self, number: int) -> None:
        """Slurm, or somebody by way of it, ends the job: it has as long as they give it."""
        kind, reason = explain_signal(number, read_output(self._output))
        with contextlib.suppress(OSError, ValueError):
            ask_here(self._folder, {"kind": "cancel", "reason": reason, "failure_kind": kind.value})

    def _pass_on(self) -> None:
        """Pass on what was asked since, also before we were here. What gets no answer now is asked again."""
        for line in read_lines(self._folder, "asked")[self._heard :]:
            number = line.pop("id", "")
            try:
                answer = ask_here(self._folder, line)
            except (OSError, ValueError):
                return
            append_line(self._folder, "answered", {"id": number, "answer": answer})
            self._heard += 1

    def _say(self, event: dict[str, object]) -> None:
        where = {
            "slurm_job": self._environment.get("SLURM_JOB_ID", ""),
            "host": os.uname().nodename,
            "pid": os.getpid(),
        }
        append_line(self._folder, "allocation", {**event, **where})


def find_trouble(settings: JobSettings, environment: Mapping[str, str]) -> str:
    """Why the job must not run here: it would run without the GPUs that it asked for, or on somebody else's. Else empty."""
    wanted = len(settings.gpus)
    given = _list_devices(environment)
    if len(given) >= wanted:
        return ""
    node = environment.get("SLURMD_NODENAME", "the node")
    has = f"{len(given)} of the {wanted} GPUs" if given else "no GPU"
    return (
        f"Slurm names {has} that the job asked for, on {node}: without CUDA_VISIBLE_DEVICES it would run on the CPU, or on "
        "GPUs of others (gres.conf of that node has to name the devices by File=)"
    )


def describe_allocation(settings: JobSettings, environment: Mapping[str, str]) -> JobSettings:
    """`settings` with what Slurm has given the job: its variables, which no flow overrides, and the GPUs of its containers."""
    given = {name: value for name, value in environment.items() if name.startswith(("SLURM", *_ALL_DEVICES))}
    devices = _list_devices(environment)
    if devices:
        names = ",".join(devices)
        given |= {"AGENT_GPUS": names, "NVIDIA_VISIBLE_DEVICES": names}
    else:
        given |= NO_GPUS
    if settings.node is not None:  # the first node of the allocation is where srun was started
        given["MASTER_ADDR"] = environment.get("SLURM_LAUNCH_NODE_IPADDR", "") or os.uname().nodename
    slurm = {name: environment.get(f"SLURM_{name.upper()}", "") for name in ("job_id", "job_nodelist")}
    on_machine = environment.get("SLURM_JOB_GPUS", "").split(",") if devices else []
    return replace(
        settings,
        given={**settings.given, **given},
        gpus=tuple(filter(None, on_machine)) or devices,
        machine={**settings.machine, "slurm": slurm},
        ends_with=os.getpid(),  # should we be killed: nobody else would see to its end
    )


def _list_devices(environment: Mapping[str, str]) -> tuple[str, ...]:
    for name in _DEVICES:
        if devices := tuple(
            part for part in environment.get(name, "").split(",") if part and part != "NoDevFiles"
        ):
            return devices
    return ()


if __name__ == "__main__":
    sys.exit(main())
