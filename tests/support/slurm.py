"""A real Slurm for tests: munge, a controller and nodes on this machine, in a folder and on ports of their own, gone at the end.

Its GPUs are character devices of our own that do what /dev/null does: Slurm hands them out by number, as it does real ones.
A machine without Slurm, or without root, skips what needs it and says so; in CI that is a failure.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from support.lab import PATIENCE_SECONDS, wait_for

GPUS = 2  # of the first node
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
_NULL = os.makedev(1, 3)
_CONFIG = """\
ClusterName=flowtest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
KillWait=5
SlurmdTimeout={node_timeout}
MessageTimeout=3
DefMemPerCPU=100
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=1-00:00:00 State=UP PriorityTier=1
PartitionName=short Nodes=n1 MaxTime=2 State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=60 State=UP PriorityTier=10
"""


@dataclass
class Slurm:
    """A running cluster: nodes n1 (with GPUs) and n2. `is_gpu_real` False: gres.conf names plain files in place of devices."""

    folder: Path
    is_gpu_real: bool = True
    cpus: int = 16
    node_timeout: int = 300
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """What SLURM_CONF names."""
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of an agent that uses it."""
        return {
            "SLURM_CONF": str(self.config),
            "AGENT_EXECUTOR": "slurm",
            "AGENT_SLURM_PARTITIONS": "main short urgent",
        }

    def start(self) -> None:
        """Start all of it, and wait until the nodes can be used."""
        self._write()
        munge = ("--socket", "--pid-file", "--log-file", "--seed-file")
        names = [
            f"{option}={self.folder}/munge.{option.removeprefix('--').partition('-')[0]}" for option in munge
        ]
        self._start("munged", "--foreground", "--force", f"--key-file={self.folder}/key", *names)
        wait_for((self.folder / "munge.socket").exists, "munge")
        self.start_controller()
        for node in ("n1", "n2"):
            self.start_node(node)
        wait_for(
            lambda: self.ask("sinfo", "-h", "-N", "-p", "main", "-o", "%t").split() == ["idle", "idle"],
            "two idle nodes",
        )

    def start_controller(self) -> None:
        """Start the controller, and wait until it answers."""
        self._start("slurmctld", "-D", "-f", str(self.config))
        wait_for(lambda: self.try_asking("sinfo", "-h")[0] == 0, "the controller")

    def kill_controller(self) -> None:
        """SIGKILL: what it has not saved yet, up to five seconds of what it has said yes to, is lost."""
        self._end("slurmctld", signal.SIGKILL)

    def restart_controller(self) -> None:
        """As `systemctl restart slurmctld` does."""
        self._end("slurmctld", signal.SIGTERM)
        self.start_controller()

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self._start(f"slurmd-{node}", "-D", "-f", str(self.config), "-N", node)

    def kill_node(self, node: str, script: int) -> None:
        """SIGKILL of the node's daemon, of the process `script` of a batch script there, and of what looks after that."""
        self._end(f"slurmd-{node}", signal.SIGKILL)
        process = psutil.Process(script)
        step = process.parent()
        assert step is not None
        assert "slurmstepd" in " ".join(step.cmdline())
        step.kill()
        process.kill()

    def ask(self, *words: str) -> str:
        """What a command of Slurm's prints."""
        code, text = self.try_asking(*words)
        assert code == 0, f"{words}: {text}"
        return text.strip()

    def try_asking(self, *words: str) -> tuple[int, str]:
        """Its exit code, and what it prints."""
        done = subprocess.run(
            words,
            env={**os.environ, "SLURM_CONF": str(self.config)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def list_jobs(self, *options: str) -> list[str]:
        """`NUMBER STATE` of each job that the controller knows."""
        return self.ask("squeue", "-h", "-t", "all", "-o", "%i %T", *options).splitlines()

    def stop(self) -> None:
        """End everything, jobs too."""
        if "slurmctld" in self._processes:
            for line in self.try_asking("squeue", "-h", "-o", "%i")[1].split():
                self.try_asking("scancel", "--full", "--signal=KILL", line)
        for name in reversed(list(self._processes)):
            self._end(name, signal.SIGTERM)

    def _write(self) -> None:
        (self.folder / "state").mkdir()
        (self.folder / "key").write_bytes(os.urandom(128))
        (self.folder / "key").chmod(0o400)
        host, ports = socket.gethostname(), _free_ports(3)
        where = f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs={self.cpus} RealMemory=64000"
        nodes = (
            f"NodeName=n1 {where} Port={ports[1]} Gres=gpu:a100:{GPUS}\nNodeName=n2 {where} Port={ports[2]}"
        )
        for node in ("n1", "n2"):
            (self.folder / f"spool-{node}").mkdir()
        self.config.write_text(
            _CONFIG.format(
                host=host, folder=self.folder, port=ports[0], nodes=nodes, node_timeout=self.node_timeout
            )
        )
        for number in range(GPUS):
            device = self.folder / f"gpu{number}"
            if self.is_gpu_real:
                os.mknod(device, 0o20666, _NULL)
            else:
                device.touch()
        (self.folder / "gres.conf").write_text(
            f"NodeName=n1 Name=gpu Type=a100 File={self.folder}/gpu[0-{GPUS - 1}]\n"
        )

    def _start(self, name: str, *words: str) -> None:
        program = name.partition("-")[0]
        with (self.folder / f"{name}.out").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [program, *words],
                env={**os.environ, "SLURM_CONF": str(self.config)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _end(self, name: str, number: int) -> None:
        process = self._processes.pop(name)
        process.send_signal(number)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_slurm(**kinds: object) -> Iterator[Slurm]:
    """A cluster, stopped and removed at the end."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    message = f"Slurm is not installed: apt-get install slurm-wlm munge (no {missing[0]})" if missing else ""
    if not message and os.geteuid() != 0:
        message = "a Slurm of one's own needs root (devices, and its own munge)"
    if message:
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: a socket's path has little room
    folder.chmod(0o755)
    slurm = Slurm(folder, **kinds)  # type: ignore[arg-type]  # of the dataclass
    try:
        try:
            slurm.start()
            yield slurm
        finally:
            slurm.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has now; they are not held, since Slurm takes numbers only."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
