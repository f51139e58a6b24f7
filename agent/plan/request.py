"""The request of a run by a person or a trigger, checked against the flow and made into a `RunStart`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from agent.errors import UsageError
from agent.flow.dialect import RunFacts
from agent.flow.inputs import Value, resolve_inputs
from agent.flow.model import Flow, Trigger, TriggerKind
from agent.ids import RunId
from agent.plan.secret_names import named_secrets
from agent.plan.state import RunStart
from agent.spec.conventions import JOB_TOKEN
from agent.spec.job import Source


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run as it is asked for. `event` empty: the flow's own choice (see `choose_event`)."""

    event: str = ""  # its name
    payload: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, Value] = field(default_factory=dict)
    vars: Mapping[str, str] = field(default_factory=dict)
    source: Source = field(default_factory=Source)
    actor: str = ""
    jobs: tuple[str, ...] = ()
    cells: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] | None = None
    is_by_itself: bool = False  # an event started it: a secret that nobody has set is empty, as at GitHub
    hold_minutes: float = 0.0  # of jobs that fail: JobSpec has it
    sees_secrets: bool = True  # False: a stranger's code runs, and is handed none


def make_start(
    flow: Flow, asked: RunRequest, *, run: RunId, number: int, seed: bytes, secrets: Collection[str]
) -> RunStart:
    """What a run of `flow` starts with.

    `secrets` are the names that exist. Raises UsageError for an input that is unknown, missing or of the wrong type,
    and for a secret that the flow names and nobody has set, unless the run starts by itself.
    """
    if not asked.is_by_itself:
        check_secrets(flow, secrets)
    event = choose_event(flow, asked.event)
    inputs = _resolve(flow, event, asked.inputs)
    facts = RunFacts(
        run,
        number=number,
        attempt=1,
        flow_name=flow.title,
        flow_file=flow.file,
        event=event,
        payload=asked.payload,
        actor=asked.actor,
        inputs=inputs,
        url=asked.source.url,
        ref=asked.source.ref,
        commit=asked.source.commit,
    )
    return RunStart(
        run,
        number=number,
        seed=seed,
        contexts=flow.dialect.start_contexts(facts),
        inputs=inputs,
        vars=asked.vars,
        secrets=(JOB_TOKEN, *(secrets if asked.sees_secrets else ())),
        sees_secrets=asked.sees_secrets,
        source=asked.source,
        only_jobs=asked.jobs,
        only_cells=asked.cells,
        pins=asked.pins,
        hold_minutes=asked.hold_minutes,
    )


def choose_event(flow: Flow, wanted: str) -> str:
    """The event of a run: what was asked for, else by hand where the flow allows it, else the flow's first."""
    if wanted:
        return wanted
    if flow.trigger_of(TriggerKind.BY_HAND) or not flow.triggers:
        return flow.dialect.by_hand
    return flow.triggers[0].event


def check_secrets(flow: Flow, known: Collection[str]) -> None:
    """Raise UsageError for the first secret that the flow names and that is not `known` (names have no case)."""
    names = {name.upper() for name in known}
    for name, place in named_secrets(flow).items():
        if name.upper() not in names:
            raise UsageError(
                f"secret {name} is not set",
                where=place,
                hint="`agent secret set` or --secret gives it a value",
            )


def _resolve(flow: Flow, event: str, given: Mapping[str, Value]) -> dict[str, Value]:
    trigger = flow.trigger(event)
    if trigger is None:
        first = next(iter(flow.jobs.values())).position
        trigger = Trigger(event, first)
    values, problems = resolve_inputs(trigger, given)
    if problems:
        first_problem = problems[0]
        raise UsageError(first_problem.message, where=str(first_problem.position), hint=first_problem.hint)
    return values
