"""The model of a flow, whatever dialect it was written in: the one behind all front ends.

A `Template` is a JSON-like value (None, bool, float, str, list, dict) in which any string may hold `${{ }}`; it is
evaluated later, where its contexts are known (`agent.flow.expressions.evaluate_template`). Everything that can be
decided from the text alone has been decided here: identifiers are checked, conditions are in normal form, needs
exist and have no cycle.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from agent.flow.dialect import Dialect
from agent.flow.stages import FlowStage
from agent.flow.written import Position as Position  # noqa: PLC0414 - mypy's sign that it is this module's too
from agent.flow.written import Template as Template  # noqa: PLC0414

if TYPE_CHECKING:  # most flows have none
    from agent.flow.data import App, BroughtData, KeptData

MOST_MINUTES = 366 * 24 * 60  # of a time-out: a year; 0 is for those without an end


def _nothing() -> Mapping[str, Template]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Input:
    """A typed input, as declared, of a flow that is started by hand or called."""

    name: str
    type: str  # string, boolean, number, choice, environment, dataset
    description: str = ""
    required: bool = False
    default: Template = None  # None: no default was written
    options: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()  # of a flow that starts chosen jobs, those that read it; empty: any may
    variable: str = (
        ""  # of the environment of whoever starts it by hand: its value, where nobody gives another
    )
    or_empty: bool = (
        False  # of a `variable`: there is nothing else that it could be, so it is empty where nobody gives it
    )
    position: Position | None = None  # where it is declared, of languages that say so


class TriggerKind(StrEnum):
    """What starts a flow; each kind reads its own fields of `Trigger`."""

    EVENT = "event"  # something happened: filters
    NAMED = (
        "named"  # a program that knows the flow's webhook tells of something: filters, its name among `types`
    )
    SCHEDULE = "schedule"  # it is time: schedules
    BY_HAND = "by hand"  # a person or a program asked for this flow: inputs
    CALL = "call"  # another flow runs it in its place: inputs, secrets, outputs


@dataclass(frozen=True, slots=True)
class Trigger:
    """One thing that starts the flow, with its filters as written (`branches`, `paths-ignore`, `types`, ...)."""

    event: str  # as the flow's language calls it
    position: Position
    kind: TriggerKind = TriggerKind.EVENT
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    schedules: tuple[tuple[str, str], ...] = ()  # (cron, time zone)
    inputs: tuple[Input, ...] = ()
    outputs: Mapping[str, Template] = field(default_factory=_nothing)  # name -> value
    secrets: Mapping[str, bool] = field(default_factory=lambda: MappingProxyType({}))  # name -> required
    role: str = ""  # that a person needs to start it by hand: a role of docs/accounts.md; empty: whoever may start runs
    form: Mapping[str, object] | None = None  # a JSON schema of what is asked for then; None: `inputs` say it


class Starts(StrEnum):
    """Which jobs a run has."""

    ALL = "all"
    CHOSEN = "chosen"  # those that are named when it is started, and what these need


@dataclass(frozen=True, slots=True)
class Defaults:
    """`defaults.run`; a job's win over the flow's, key by key."""

    shell: Template = None
    working_directory: Template = None


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most one running member a group; `queue` says whether one (`single`) or many (`max`) may wait."""

    group: Template
    cancel_in_progress: Template = False
    queue: str = "single"


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a job multiplies. `matrix` is a mapping, or one expression that gives a mapping, or None."""

    matrix: Template = None
    fail_fast: Template = True
    max_parallel: Template = None


@dataclass(frozen=True, slots=True)
class FlowCall:
    """A job that is another flow: `jobs.<id>.uses`."""

    uses: str
    with_: Mapping[str, Template] = field(default_factory=_nothing)
    secrets: Mapping[str, Template] = field(default_factory=_nothing)
    inherits_secrets: bool = False


class StepKind(StrEnum):
    """The forms of a step; each reads its own fields of `Step`."""

    RUN = "run"
    USES = "uses"
    WAIT = "wait"  # targets
    WAIT_ALL = "wait-all"
    CANCEL = "cancel"  # targets, exactly one
    PARALLEL = "parallel"  # children


@dataclass(frozen=True, slots=True)
class Step:
    """One step as written. `id` is never empty: generated ones begin with `__` (`__run`, `__actions_checkout_2`)."""

    kind: StepKind
    id: str
    position: Position
    name: Template = None
    condition: str = "success()"  # an expression in normal form (agent.flow.expressions.to_condition)
    run: Template = (
        None  # a script; or a list of commands, of which each has to succeed before the next begins
    )
    shell: str | None = None
    working_directory: Template = None
    uses: str | None = None
    with_: Mapping[str, Template] = field(default_factory=_nothing)
    env: Template = None  # a mapping, or one expression that gives a mapping
    continue_on_error: Template = False
    timeout_minutes: Template = None
    background: bool = False
    targets: tuple[str, ...] = ()
    children: tuple["Step", ...] = ()
    is_cached: bool | None = (
        None  # its action's outputs are taken from an equal run of it; None: the action says
    )


@dataclass(frozen=True, slots=True)
class Job:
    """One job as written, before its matrix is expanded. `steps`, `call` or `stages` is set."""

    id: str
    position: Position
    name: Template = None
    needs: tuple[str, ...] = ()
    condition: str = "success()"
    runs_on: Template = None  # text, a list, {group, labels}, or an expression that gives one of these
    place: tuple[str, ...] = ()  # as people say it, where `runs_on` is a look-up that nobody has written
    strategy: Strategy = field(default_factory=Strategy)
    env: Template = None
    defaults: Defaults = field(default_factory=Defaults)
    steps: tuple[Step, ...] = ()
    outputs: Mapping[str, Template] = field(default_factory=_nothing)
    timeout_minutes: Template = 360.0
    cancel_timeout_minutes: Template = 5.0
    continue_on_error: Template = False
    container: Template = None
    services: Template = None
    environment: Template = None
    permissions: Mapping[str, str] | None = None  # None: not said; else what is not named is none
    concurrency: Concurrency | None = None
    snapshot: Template = None
    resources: Template = None  # {cpus, memory, gpus}; ours, as the next two
    priority: Template = 0
    nodes: Template = 1
    retry: Template = None  # a number, or {max, on, backoff: {seconds, factor, most}}: an addition of ours
    interruptible: Template = False  # ours, as the next one
    checkpoints: Template = None  # paths, or {paths, every, grace, tries, keep}
    call: FlowCall | None = None
    stages: tuple[FlowStage, ...] = ()
    brings: "tuple[BroughtData, ...]" = ()
    keeps: "tuple[KeptData, ...]" = ()
    apps: "tuple[App, ...]" = ()
    sees_all_secrets: bool = (
        False  # each secret is a variable of its environment, weaker than what `env` says
    )
    sees_secrets: bool = (
        False  # all of the run's, not only those that it names: its actions say which they need
    )

    def list_uses(self) -> Iterator[tuple[str, Position]]:
        """Each action that its steps, or its stages, run, with its place."""
        for step in self.steps:
            for each in (step, *step.children):
                if each.uses:
                    yield each.uses, each.position
        for stage in self.stages:
            if stage.uses:
                yield stage.uses, stage.position


@dataclass(frozen=True, slots=True)
class OutputRead:
    """An output of a called flow or of an action that an expression reads by name: whether it exists, its file tells."""

    position: Position
    shown: str  # as an expression has it: `steps.greet.outputs.greeting`
    name: str
    uses: str
    is_call: bool  # `uses` names a flow


@dataclass(frozen=True, slots=True)
class Flow:
    """A whole flow file."""

    file: str  # as the user named it
    dialect: Dialect  # the language that it is written in, as far as anybody behind the front ends asks
    jobs: Mapping[str, Job]  # in the file's order
    name: str | None = None
    run_name: Template = None
    triggers: tuple[Trigger, ...] = ()
    starts: Starts = Starts.ALL
    env: Template = None
    defaults: Defaults = field(default_factory=Defaults)
    permissions: Mapping[str, str] | None = None
    concurrency: Concurrency | None = None
    outputs_read: tuple[OutputRead, ...] = ()
    written: Mapping[str, object] | None = (
        None  # the file as data, of a flow that reads itself; None: it doesn't
    )
    called: "Mapping[str, Flow]" = field(  # by the jobs' `uses`; filled by agent.flow.called.link_flow
        default_factory=lambda: MappingProxyType({})
    )
    companions: Mapping[str, str] = (
        field(  # the texts that it was read with (agent.flow.companions); filled by agent.flow.load
            default_factory=lambda: MappingProxyType({})
        )
    )

    @property
    def title(self) -> str:
        """The name to show: the flow's own, else its file."""
        return self.name or self.file

    def trigger(self, event: str) -> Trigger | None:
        """The trigger for `event`, when the flow has one."""
        return next((trigger for trigger in self.triggers if trigger.event == event), None)

    def trigger_of(self, kind: TriggerKind) -> Trigger | None:
        """The first trigger of that kind, when the flow has one."""
        return next((trigger for trigger in self.triggers if trigger.kind is kind), None)
