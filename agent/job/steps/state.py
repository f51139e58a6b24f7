"""The state of one job while it runs."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agent.flow.expressions import to_text
from agent.job.commands.files import CommandFolder
from agent.job.commands.problem_matchers import ProblemMatchers
from agent.job.folder.attempt import JobFolder
from agent.job.folder.settings import JobSettings
from agent.job.keeping.client import Keeper
from agent.job.output.masking import Masker
from agent.job.output.recorder import Recorder, StepLog
from agent.job.process.cgroup import JobGroup
from agent.job.process.environment import JobEnvironment
from agent.job.process.hosts import MachineHost, StepHost
from agent.job.process.processes import Graces, InterruptionNotice
from agent.job.steps.deadlines import Deadline
from agent.job.steps.parts import Bystander, StepAction, View
from agent.job.steps.people import People
from agent.job.steps.places import Places
from agent.spec.apps import AppState
from agent.spec.checkpoints import RESUME
from agent.spec.conventions import Conventions
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, FailureKind

if (
    TYPE_CHECKING
):  # who gives a job these parts knows the job; most jobs never have them, and load nothing of theirs
    from agent.containers.engine import Engine
    from agent.containers.policy import ContainerPolicy
    from agent.machine.gpu_board import GpuBoard


@dataclass(slots=True)
class StepScope:
    """What steps see together: the job's own, or those of one composite action."""

    parent: int | None = None  # the number of the composite step
    path: tuple[str, ...] = ()  # ids from the job down
    steps: dict[str, object] = field(default_factory=dict)  # the `steps` context
    inputs: Mapping[str, object] = field(default_factory=dict)
    values: dict[str, object] = field(default_factory=dict)  # all inputs and outputs of its steps so far
    env: Mapping[str, str] = field(default_factory=dict)  # a composite's own step env: wins over the job's
    github: Mapping[str, object] = field(default_factory=dict)  # members that differ in here
    status: Conclusion = Conclusion.SUCCESS  # of a composite: how it stands
    # Why, when a step of a composite failed: kind, message, exit code.
    failure: tuple[FailureKind, str, int | None] | None = None
    action: StepAction | None = None  # the composite action itself
    deadlines: tuple[Deadline, ...] = ()  # of all that these steps are a part of

    @property
    def is_composite(self) -> bool:
        """Whether these are the steps of a composite action."""
        return bool(self.path)


@dataclass(slots=True)
class Service:
    """A service of the job, running."""

    name: str
    id: str
    image: str
    network: str
    ports: Mapping[str, str] = field(default_factory=dict)  # the container's port -> the machine's


@dataclass(slots=True)
class Containers:
    """What the job has at the container engine."""

    engine: "Engine | None" = None  # once it is needed
    network: str = ""  # its name; empty: none was made
    container: Mapping[str, str] = field(default_factory=dict)  # the context `job.container`
    services: dict[str, Service] = field(default_factory=dict)
    pids: list[int] = field(
        default_factory=list
    )  # of the first processes of the job's container and its services
    images: dict[str, str] = field(default_factory=dict)  # of container actions
    nodes: dict[int, str] = field(default_factory=dict)  # in the job's container, by major
    policy: "ContainerPolicy | None" = None  # once it is read
    ways: list[asyncio.Server] = field(default_factory=list)  # from them to what serves the job


@dataclass(slots=True)
class AppPort:
    """An app of the job: a port that it opens for people."""

    place: int  # among the job's apps
    name: str
    port: int  # as its steps know it: in a container it is the container's
    opens: str
    token: str  # what its program may ask of visitors
    machine_port: int = 0  # where this machine reaches it, on a loopback address; 0: not settled yet
    is_published: bool = False  # it is a container's, and the engine hands it on
    state: AppState = AppState.WAITING
    message: str = ""  # what is wrong with it, when that was said
    claim: socket.socket | None = None  # `agent.job.apps.ports`: while it is open, the port is no other job's


@dataclass(slots=True)
class RunningJob:
    """One job: what was asked, what it may know, and how it stands."""

    folder: JobFolder
    spec: JobSpec
    conventions: Conventions  # those that the spec names
    settings: JobSettings
    secrets: Mapping[str, str]  # as the `secrets` context shows them
    runtime_token: str  # for the services of its actions; empty without a server
    id_token: str  # asks for those with which it proves itself to others; empty unless it may
    app_tokens: Mapping[int, str]  # of apps, by their places; none without a server
    places: Places
    masker: Masker
    recorder: Recorder
    environment: JobEnvironment
    scope: StepScope
    log: StepLog  # of the job's own set-up
    matchers: ProblemMatchers
    status: Conclusion = Conclusion.SUCCESS
    failure_kind: FailureKind | None = None
    message: str = ""
    remarks: list[str] = field(
        default_factory=list
    )  # what the final message tells besides, however the job ended
    exit_code: int | None = None
    environment_url: str = ""
    outputs: dict[str, object] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # files that were kept as outputs
    host: StepHost = field(default_factory=MachineHost)  # where steps run
    containers: Containers = field(default_factory=Containers)
    apps: list[AppPort] = field(default_factory=list)
    group: JobGroup = field(default_factory=lambda: JobGroup(None, ""))
    board: "GpuBoard | None" = None  # how the GPUs of the machine do
    oom_kills: int = 0  # of its processes, those that some step has answered for
    latest: Bystander | None = None  # the step that started a process last
    view: View | None = None  # once it is needed
    keeper: Keeper | None = None  # where the job runs as a user of its own
    people: People = field(default_factory=People)  # whom its steps wait for
    told: set[str] = field(default_factory=set)  # what is said once a job, and was
    has_background: Callable[[], bool] = lambda: False  # whether steps run beside the others
    held_settings: JobSettings | None = None  # those with its room, while it has given that back
    interruption: InterruptionNotice = field(default_factory=InterruptionNotice)
    command_folder: CommandFolder = field(init=False)

    def __post_init__(self) -> None:
        self.command_folder = CommandFolder(self.places.command_files, self.conventions.command_files)

    @property
    def graces(self) -> Graces:
        """How long processes may take to end."""
        return Graces(self.settings.interrupt_seconds, self.settings.terminate_seconds, self.interruption)

    @property
    def own_variables(self) -> dict[str, str]:
        """Variables that say what is the job's own on this machine; no flow overrides them."""
        ports = {f"PORT_{app.place}": str(app.port) for app in self.apps}
        tokens = {f"APP_TOKEN_{app.place}": app.token for app in self.apps}
        resume = {f"AGENT_RESUME_{name.upper()}": to_text(value) for name, value in self.resume.items()}
        return {**self.settings.given, **ports, **tokens, **resume}

    @property
    def resume(self) -> Mapping[str, object]:
        """The context `resume`, its path as steps see it; empty for a job that is neither interruptible nor has checkpoints."""
        said = self.spec.context(RESUME)
        path = to_text(said.get("path"))
        if not path or path.startswith(("/", "~")):
            return said
        return {**said, "path": self.show_path(self.places.workspace / path)}

    @property
    def is_in_container(self) -> bool:
        """Whether steps run in the job's container."""
        return bool(self.containers.container)

    def show_path(self, path: Path) -> str:
        """A folder or file of the machine as steps see it."""
        return self.host.paths.to_inside(str(path))

    @property
    def shows_debug(self) -> bool:
        """Whether debug lines are shown: the agent's setting, or ACTIONS_STEP_DEBUG among secrets or variables."""
        name = "ACTIONS_STEP_DEBUG"
        asked = self.secrets.get(name) or self.spec.context("vars").get(name, "")
        return self.settings.debug or str(asked).lower() == "true"

    def fail(self, kind: FailureKind, message: str, exit_code: int | None = None) -> None:
        """The job has failed, unless it was cancelled; the first reason is the one that is kept."""
        if self.status is Conclusion.SUCCESS:
            self.status = Conclusion.FAILURE
        if self.failure_kind is None:
            self.failure_kind, self.message, self.exit_code = kind, message, exit_code

    def blame_gpu(self, message: str) -> None:
        """The job has failed, and it turns out that a GPU of its machine was to blame."""
        self.failure_kind, self.message = FailureKind.GPU, f"{message}; {self.message}"

    def add_remark(self, message: str) -> None:
        """Something that the final message is to tell however the job ends; no success makes it good."""
        self.remarks.append(message)
        if self.status is Conclusion.SUCCESS:
            self.status = Conclusion.FAILURE

    def cancel(self, kind: FailureKind, message: str) -> None:
        """The job is cancelled, however it stood."""
        if self.status is not Conclusion.CANCELLED:
            self.status, self.failure_kind, self.message = Conclusion.CANCELLED, kind, message
