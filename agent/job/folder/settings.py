"""Job settings: what the daemon or the command line decides of how a machine runs jobs, as opposed to what a flow asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.job.account.account import Account, find_account
from agent.policy import Rules
from agent.spec.job import GangNode

if TYPE_CHECKING:
    from agent.config import Settings


@dataclass(frozen=True, slots=True)
class JobSettings:
    """Everything that a supervisor has to know beside its JobSpec. It is stored as `settings.json` in the job folder (`agent.codec`)."""

    work_folder: Path  # workspaces, tools (`_tool`) and fetched actions (`_actions`)
    actions_urls: tuple[str, ...] = ("https://github.com/{owner}/{repo}",)  # where `uses:` looks, in order
    node20: str = ""  # node executables; empty: look for one
    node24: str = ""
    agent_name: str = "local"
    agent_id: str = ""
    labels: tuple[str, ...] = ()
    server_url: str = ""  # empty for a local run
    code_url: str = ""  # where the run's code is served as a git repository, in a local run; empty: nowhere
    is_upstreams_token: bool = False  # the job's token is for the API of the repository's own host
    services_url: str = ""  # of a local run's own services, for others' actions; empty: it has none
    identity_folder: Path | None = None  # where the keys lie that open `sealed.json`
    workspace: Path | None = None  # an existing folder to work in as it is; None: a fresh one a job
    belongings: Path | None = (
        None  # where it is noted what `workspace`, its user's own folder, holds: agent.job.in_place.protection; None: no guard
    )
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # what jobs inherit
    machine: Mapping[str, object] = field(
        default_factory=lambda: MappingProxyType({})
    )  # for the journal's head
    debug: bool = False
    hook_job_started: str = ""  # the owner's script before each job (agent.job.supervisor.hooks); empty: none
    hook_job_completed: str = ""  # and after it
    gpus: tuple[str, ...] = ()  # UUIDs of the GPUs that the job's containers are given
    gpu_board: Path | None = (
        None  # where it stands how the GPUs do: agent.machine.gpu_board; None: nobody says
    )
    given: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({})
    )  # variables that say what is the job's own here; no flow overrides them
    node: GangNode | None = (
        None  # its place among the nodes that one allocation runs together (agent.job.launch.allocation)
    )
    docker_host: str = ""  # the container engine's address; empty: DOCKER_HOST, or Docker's usual socket
    container_allow: tuple[str, ...] = ()  # what containers may have of the machine: agent.containers.policy
    actions_limit_bytes: int | None = None  # what the store of fetched actions may hold; None: no limit
    policy_file: Path | None = None  # where the owner's rules are, or were; read only where `policy` is None
    policy: Mapping[str, Mapping[str, Any]] | None = (
        None  # what they say, as the daemon read them at its start
    )
    policy_must_exist: bool = False  # it was named by its owner, so that its absence is no permission
    job_groups: Path | None = (
        None  # the control group in which each job gets its own: agent.job.process.cgroup; None: none
    )
    ends_with: int = (
        0  # the process that started the job, and at whose end it is cancelled; 0: it outlives that
    )
    interrupt_seconds: float = 7.5  # after SIGINT, until SIGTERM
    terminate_seconds: float = 2.5  # after SIGTERM, until SIGKILL

    has_own_home: bool = False  # HOME is a folder of the job's own, empty at first, and goes with the job
    run_as: str = ""  # the user that the job runs as (agent.job.account); empty: whoever runs the agent
    kept_folder: Path | None = (
        None  # trees that jobs kept or fetched, for those to come (actions/_toolkit/held.py)
    )
    kept_limit_bytes: int = 0  # of them all
    # Of a local run whose work is stages: the files whose lines are its records, by trigger; where its bookmarks are, and
    # where its dead letters go.
    records: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    bookmark_folder: Path | None = None
    letter_file: Path | None = None

    @property
    def rules(self) -> Path | Rules | None:
        """The owner's rules: what was read before any job ran, else (a local run, an older daemon's job) the file."""
        return self.policy_file if self.policy is None else Rules(self.policy, str(self.policy_file or ""))

    @property
    def tool_folder(self) -> Path:
        """Tools that actions install; kept from job to job."""
        return self.work_folder / "_tool"

    @property
    def node_folder(self) -> Path:
        """Where a node of our own is installed, once for all jobs: where jobs of another user can't write, if there are such."""
        return self.work_folder / "_node" if self.run_as else self.tool_folder

    @property
    def account(self) -> Account | None:
        """The user that the job runs as; None: whoever runs the agent. Raises UsageError when there is none any more."""
        return find_account(self.run_as) if self.run_as else None

    @property
    def action_folder(self) -> Path:
        """The store of fetched actions; kept from job to job."""
        return self.work_folder / "_actions"


def owner_settings(settings: "Settings", work_folder: Path) -> JobSettings:
    """What the machine's owner has set, whoever starts the job: the daemon or `agent flow run`."""
    return JobSettings(
        work_folder=work_folder,
        actions_urls=settings.actions_urls,
        actions_limit_bytes=settings.actions_limit_bytes,
        node20=settings["node20"],
        node24=settings["node24"],
        hook_job_started=settings["hook_job_started"],
        hook_job_completed=settings["hook_job_completed"],
        container_allow=settings.container_allow,
    )
