"""The specification of a job: self-contained and serialisable, the same for a server's agent and a local run.

Templates stay unevaluated where GitHub evaluates them on the machine (env, steps, outputs, container, services);
what is decided before a job is queued (name, labels, needs, matrix cell, inputs) is here as plain data.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar

from agent.ids import JobId, RunId
from agent.spec.checkpoints import GRACE_SECONDS, Checkpoints
from agent.spec.conventions import RELEASED, find_conventions
from agent.spec.data import Bring, Keep
from agent.spec.event_apart import EventApart, fill_in, hollow_out
from agent.spec.request import ResourceRequest
from agent.spec.stages import StagesWork

SPEC_VERSION = 1

_NOTHING: Mapping[str, object] = MappingProxyType({})


class SpecStepKind(StrEnum):
    """The forms of a step. `parallel` has been lowered to background steps and a wait."""

    RUN = "run"
    USES = "uses"
    WAIT = "wait"
    WAIT_ALL = "wait-all"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One step; every `object` is a template."""

    kind: SpecStepKind
    id: str
    name: object = None
    condition: str = "success()"
    run: object = None
    shell: str | None = None
    working_directory: object = None
    uses: str | None = None
    with_: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    env: object = None
    continue_on_error: object = False
    timeout_minutes: object = None
    background: bool = False
    targets: tuple[str, ...] = ()  # of wait and cancel
    is_cached: bool | None = None
    place: str = ""  # file:line:column, for messages

    @staticmethod
    def to_form(fields: dict[str, object]) -> dict[str, object]:
        """As the released form has it, where nothing is said of a cache."""
        if fields["is_cached"] is None:
            del fields["is_cached"]
        return fields


@dataclass(frozen=True, slots=True)
class StepsWork:
    """Work that is steps, one after the other."""

    KIND: ClassVar[str] = "steps"
    steps: tuple[StepSpec, ...]


@dataclass(frozen=True, slots=True)
class UnknownWork:
    """Work of a form that this software doesn't know: stored and passed on as it came, never done."""

    KIND: ClassVar[str] = ""
    said: Mapping[str, object]  # with its `kind`

    @staticmethod
    def to_form(fields: dict[str, object]) -> dict[str, object]:
        """As it came."""
        said = fields["said"]
        assert isinstance(said, Mapping)
        return dict(said)

    @staticmethod
    def from_form(data: dict[str, object]) -> dict[str, object]:
        """All of it is kept."""
        return {"said": data}


Work = StepsWork | StagesWork | UnknownWork


class SourceKind(StrEnum):
    """Where the code that a run works on comes from."""

    GIT = "git"
    SNAPSHOT = "snapshot"
    FOLDER = "folder"  # a local run: the workspace is filled before the job starts
    NONE = "none"


@dataclass(frozen=True, slots=True)
class CodeBeside:
    """A submodule of a snapshot that lies beside its repository: as which one (`owner/name`), and what makes it."""

    name: str
    bundles: tuple[str, ...]
    default_branch: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """The code of a run. `git`: url, ref, commit. `snapshot`: digest of the uploaded tree, commit it grew from."""

    kind: SourceKind = SourceKind.NONE
    url: str = ""
    ref: str = ""
    commit: str = ""
    digest: str = ""  # sha256:<hex> of the snapshot's archive
    # What makes a repository of a snapshot, for the server to serve: git bundles by digest, each builds upon those before it.
    bundles: tuple[str, ...] = ()
    tip: str = ""  # the commit that the run works on there: `commit`, or one on top of it
    default_branch: str = ""
    is_served: bool = (
        False  # jobs ask the server for it in place of `url`: it has a copy, or hands on what is public
    )

    beside: tuple[CodeBeside, ...] = ()

    @property
    def run_commit(self) -> str:
        """The commit that the run works on: `github.sha`."""
        return self.tip or self.commit

    @property
    def has_server(self) -> bool:
        """Whether the server of the run answers for the code as a git repository."""
        return self.is_served or bool(self.bundles)

    @staticmethod
    def to_form(fields: dict[str, object]) -> dict[str, object]:
        """As the released form has it, where nothing is said of a repository that is served."""
        for name in ("bundles", "tip", "default_branch", "is_served", "beside"):
            if not fields[name]:
                del fields[name]
        return fields


# Expression contexts by name. Any name may be among them: `inputs`, `needs`, `strategy`, `matrix` and `vars` are the
# planner's, the others come from the language that the flow is written in.
Contexts = Mapping[str, Mapping[str, object]]
_NO_CONTEXTS: Contexts = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CallerSecrets:
    """A call on the way to the job: what its `secrets:` makes of the caller's. Templates, evaluated on the machine."""

    secrets: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    contexts: Contexts = field(default_factory=lambda: _NO_CONTEXTS)  # as the calling job has them


@dataclass(frozen=True, slots=True)
class GangNode:
    """One machine's place among those that run a job together; the first one, rank 0, is the master."""

    rank: int
    count: int
    master_address: str
    master_port: int
    gang: str = ""  # the first one's job: what the nodes have in common


@dataclass(frozen=True, slots=True)
class AppSpec:
    """A port that the job opens for people. 0: the agent picks a free one, PORT_0, PORT_1, ... by its place among the job's."""

    name: str
    port: int = 0
    opens: str = "/"  # the path, and query, that a person is sent to


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One attempt at one job of one run."""

    run: RunId
    job: JobId
    key: str  # the job in its run: `train`, or `train (a100, 2)` for a matrix cell
    name: str  # to show
    work: Work
    runs_on: tuple[str, ...] = ()
    group: str = ""
    env: tuple[object, ...] = ()  # templates, weakest first: the flow's, the job's
    shell: object = None  # defaults.run.shell
    working_directory: object = None  # defaults.run.working-directory
    outputs: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    timeout_minutes: float = 360.0
    cancel_timeout_minutes: float = 5.0
    continue_on_error: bool = False
    container: object = None
    services: object = None
    secrets: tuple[str, ...] = ()  # names that this job may see
    callers: tuple[
        CallerSecrets, ...
    ] = ()  # those that name secrets, outermost first; none: `secrets` are the job's own
    environment: str = ""  # the deployment environment, "" for none
    environment_url: object = None  # a template, evaluated when the steps have ended
    permissions: Mapping[str, str] | None = None  # of the job's token; None: nothing was said
    attempt: int = 1  # of this job in its run: grows with each retry
    contexts: Contexts = field(default_factory=lambda: _NO_CONTEXTS)  # settled before it starts
    source: Source = field(default_factory=Source)
    pins: Mapping[str, str] | None = None  # from flow.lock: reference -> commit; None: there is no lock
    resources: ResourceRequest = field(default_factory=ResourceRequest)  # on each of its machines
    priority: int = 0  # higher ones of the same project go first
    hold_minutes: float = (
        0.0  # after a failure it waits for so long, before its post steps, for somebody to look
    )
    nodes: int = 1  # machines that run it together, all or none
    conventions: str = RELEASED  # a name of agent.spec.conventions
    brings: tuple[Bring, ...] = ()
    keeps: tuple[Keep, ...] = ()
    apps: tuple[AppSpec, ...] = ()
    unset_secrets: tuple[str, ...] = ()  # that its flow names and nobody has set: they are empty
    event_apart: EventApart | None = None  # a long event, kept once for all jobs of the run
    is_interruptible: bool = False  # for a job that comes before it; then it is queued again
    checkpoints: Checkpoints | None = None
    version: int = SPEC_VERSION

    def context(self, name: str) -> Mapping[str, object]:
        """The settled context of that name; empty where nobody brought it."""
        return self.contexts.get(name, _NOTHING)

    @property
    def grace_seconds(self) -> float:
        """How long its processes may take after SIGTERM, when it is interrupted."""
        return GRACE_SECONDS if self.checkpoints is None else self.checkpoints.grace_seconds

    @property
    def has_data_folders(self) -> bool:
        """Whether the job has folders `inputs` and `outputs` of its own, beside its workspace."""
        return any(bring.in_data for bring in self.brings) or any(keep.in_data for keep in self.keeps)

    @property
    def steps(self) -> tuple[StepSpec, ...]:
        """The steps of a job whose work is steps; none of any other."""
        return self.work.steps if isinstance(self.work, StepsWork) else ()

    def without_event(self) -> "JobSpec":
        """As it is stored and sent, where its event is kept apart: the contexts are hollow. Else itself."""
        apart = self.event_apart
        return self if apart is None else self._with_contexts(lambda contexts: hollow_out(contexts, apart))

    def with_event(self, values: Sequence[object]) -> "JobSpec":
        """As it is run: the contexts have the values of the event that is kept apart."""
        apart = self.event_apart
        return (
            self if apart is None else self._with_contexts(lambda contexts: fill_in(contexts, apart, values))
        )

    def _with_contexts(self, change: Callable[[Contexts], Contexts]) -> "JobSpec":
        callers = tuple(replace(caller, contexts=change(caller.contexts)) for caller in self.callers)
        return replace(self, contexts=change(self.contexts), callers=callers)

    def list_uses(self) -> tuple[str, ...]:
        """The actions that its steps, or its stages, run."""
        if isinstance(self.work, StagesWork):
            return tuple(stage.uses for stage in self.work.stages if stage.uses)
        return tuple(step.uses for step in self.steps if step.uses)

    @staticmethod
    def to_form(fields: dict[str, object]) -> dict[str, object]:
        """As the released form has it: steps stand under `steps`, work of another form under `work`; its conventions have
        no name, and of what it neither brings, keeps, opens, misses nor has apart nothing is said.
        """
        work = fields["work"]
        if isinstance(work, StepsWork):
            del fields["work"]
            fields["steps"] = work.steps
        if fields["conventions"] == RELEASED:
            del fields["conventions"]
        for name in ("brings", "keeps", "apps", "unset_secrets", "is_interruptible", "checkpoints"):
            if not fields[name]:
                del fields[name]
        if fields["event_apart"] is None:
            del fields["event_apart"]
        return fields

    @staticmethod
    def from_form(data: dict[str, object]) -> dict[str, object]:
        """`to_form`, backwards."""
        if "work" in data or "steps" not in data:
            return data
        return {**data, "work": {"kind": StepsWork.KIND, "steps": data["steps"]}}


def explain_unknown(spec: JobSpec) -> str:
    """Why this software can't do the job, as a sentence with a remedy; empty where it can: it knows all that is asked."""
    if isinstance(spec.work, UnknownWork):
        kind = str(spec.work.said.get("kind"))[:80]
        return f"its work is {kind!r}, which this version of the agent does not know; upgrade the agent"
    if find_conventions(spec.conventions) is None:
        name = spec.conventions[:80]
        return f"it expects the conventions {name!r}, which this version of the agent does not know; upgrade the agent"
    return ""
