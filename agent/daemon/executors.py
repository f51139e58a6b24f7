"""The table of executors: who runs this agent's jobs, as its owner has set, and what they run on."""

from dataclasses import dataclass, replace

from agent.config import Settings
from agent.daemon.executor import Executor, Launcher, LocalExecutor
from agent.daemon.machine import KnownMachine, Machine
from agent.errors import UsageError
from agent.job.launch.launcher import JobSettings


@dataclass(frozen=True, slots=True)
class Workplace:
    """Who runs jobs, on what, and how."""

    executor: Executor
    machine: KnownMachine
    job_settings: JobSettings


def choose_workplace(
    settings: Settings, job_settings: JobSettings, launcher: Launcher, here: Machine
) -> Workplace:
    """What `executor` of the settings says; `here` is this machine. Raises UsageError for a word that is none, or settings that go not together."""
    where = settings.origins["executor"]
    match settings["executor"]:
        case "local":
            return Workplace(LocalExecutor(launcher, job_settings), here, job_settings)
        case "slurm":
            if job_settings.run_as:
                raise UsageError(
                    "jobs that Slurm runs are the agent's own user's",
                    where=settings.origins["run_as"],
                    hint="leave out run_as, or use a user for this agent",
                )
            return _choose_slurm(settings, job_settings, here)
        case word:
            raise UsageError(f"'{word}' is no executor", where=where, hint="local or slurm")


def _choose_slurm(settings: Settings, job_settings: JobSettings, here: Machine) -> Workplace:
    from agent.daemon.slurm.commands import SlurmCommands
    from agent.daemon.slurm.executor import SlurmExecutor
    from agent.daemon.slurm.machine import SlurmMachine
    from agent.daemon.slurm.request import SlurmSettings

    own, commands = SlurmSettings.load(settings), SlurmCommands()
    machine = SlurmMachine(here, own, commands)
    # A group of this machine's is none on a node, where Slurm has its own.
    return Workplace(SlurmExecutor(own, commands), machine, replace(job_settings, job_groups=None))
