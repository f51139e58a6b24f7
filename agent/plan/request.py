"""The request of a run by a person or a trigger, checked against the flow and made into a `RunStart`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.errors import UsageError
from agent.flow.dialect import RunFacts
from agent.flow.forms import check_values, fields_of, has_validator
from agent.flow.inputs import Value, resolve_inputs
from agent.flow.members import find_close
from agent.flow.model import Flow, Input, Trigger, TriggerKind
from agent.ids import RunId
from agent.plan.chosen import choose_jobs
from agent.plan.secret_names import find_unset
from agent.plan.state import RunStart
from agent.spec.conventions import JOB_TOKEN
from agent.spec.job import Source
from agent.spec.run_names import name_run


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run as it is asked for. `event` empty: the flow's own choice (see `choose_event`)."""

    event: str = ""  # its name
    payload: Mapping[str, object] = field(default_factory=dict)
    inputs: Mapping[str, object] = field(default_factory=dict)  # as given: agent.flow.inputs checks them
    vars: Mapping[str, str] = field(default_factory=dict)
    source: Source = field(default_factory=Source)
    actor: str = ""
    jobs: tuple[str, ...] = ()
    cells: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] | None = None
    is_by_itself: bool = False  # an event started it: nobody is there to be refused
    is_strict: bool = False  # a secret that nobody has set is an error; else it is empty, as at GitHub
    hold_minutes: float = 0.0  # of jobs that fail: JobSpec has it
    project: str = ""  # its number; empty without a server
    sees_secrets: bool = True  # False: a stranger's code runs, and is handed none
    labels: tuple[str, ...] = ()  # that agents need for any of its jobs, beside what the flow asks for


def make_start(
    flow: Flow,
    asked: RunRequest,
    *,
    run: RunId,
    number: int,
    seed: bytes,
    secrets: Collection[str],
) -> RunStart:
    """What a run of `flow` starts with.

    `secrets` are the names that exist. Raises UsageError for an input that is unknown, missing or of the wrong type,
    and, for a strict one that a person asks for, for a secret that the flow names and nobody has set.
    """
    if asked.is_strict and not asked.is_by_itself:
        _check_secrets(list_unset_secrets(flow, asked, secrets))
    event = choose_event(flow, asked.event)
    inputs, payload = _read_asked(flow, event, asked)
    facts = RunFacts(
        run,
        number=number,
        attempt=1,
        flow_name=flow.title,
        flow_file=flow.file,
        event=event,
        payload=payload,
        actor=asked.actor,
        inputs=inputs,
        url=asked.source.url,
        ref=asked.source.ref,
        commit=asked.source.run_commit,
        default_branch=asked.source.default_branch,
        jobs=asked.jobs,
        name=name_run(run),
        project=asked.project,
        written=flow.written or {},
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
        labels=asked.labels,
    )


def choose_event(flow: Flow, wanted: str) -> str:
    """The event of a run: what was asked for, else by hand where the flow allows it, else the flow's first."""
    if wanted:
        return wanted
    if flow.trigger_of(TriggerKind.BY_HAND) or not flow.triggers:
        return flow.dialect.by_hand
    return flow.triggers[0].event


def find_form(flow: Flow, event: str) -> Mapping[str, object] | None:
    """What who starts the flow by hand is asked for, as a JSON schema; None: its inputs say it, or `event` is no start by hand."""
    trigger = flow.trigger(event)
    return trigger.form if trigger is not None and trigger.kind is TriggerKind.BY_HAND else None


def doubt_form(flow: Flow, wanted: str) -> str:
    """What a start of `flow` as `wanted` by who has no server is to be warned of; empty where it is nothing."""
    if find_form(flow, choose_event(flow, wanted)) is None or has_validator():
        return ""
    return (
        f"what {flow.file} asks for is not checked by its form here, but for kinds and for what is missing: "
        "the extra [server] of this program brings what checks it"
    )


def doubt_event(flow: Flow, wanted: str) -> str:
    """What is odd about starting `flow` as if the event `wanted` had happened; empty where nothing is.

    Raises UsageError for an event that nobody's flow could be started by.
    """
    if not wanted or flow.trigger(wanted) is not None:
        return ""
    own = ", ".join(trigger.event for trigger in flow.triggers) or "nothing"
    if wanted not in flow.dialect.events:
        close = find_close(wanted, flow.dialect.events)
        hint = f"did you mean {close}?" if close else f"{flow.file} is started by {own}"
        raise UsageError(f"there is no event '{wanted}'", where="--event", hint=hint)
    return f"{flow.file} is not started by {wanted} but by {own}; this run is as if it were"


def list_unset_secrets(flow: Flow, asked: RunRequest, known: Collection[str]) -> dict[str, str]:
    """The secrets that the asked jobs of the flow name and nobody has set, which will be empty: name → a job's place."""
    return find_unset(flow, choose_jobs(flow, asked.jobs), known)


def list_unset_variables(flow: Flow, asked: RunRequest, known: Collection[str]) -> dict[str, str]:
    """The variables of the caller's environment that the asked jobs take and nobody has given: name → the place that names it.

    `known` are the secrets that exist: a job that sees all of them has those as variables.
    """
    jobs = set(choose_jobs(flow, asked.jobs))
    trigger = flow.trigger(choose_event(flow, asked.event))
    missing: dict[str, str] = {}
    for item in () if trigger is None else trigger.inputs:
        is_given = asked.inputs.get(item.name) not in (None, "") or item.variable in known
        if item.or_empty and not is_given and jobs & set(item.jobs):
            missing.setdefault(item.variable, str(item.position))
    return missing


def explain_unset_variable(name: str, place: str) -> str:
    """A sentence about a variable that nobody has given, for who starts the run."""
    return f"{place}: {name} is not set where this run is started, and no secret is called that; it is empty"


def explain_unset(name: str, place: str) -> str:
    """A sentence about a secret that nobody has set, for who starts the run."""
    return f"{place}: secret {name} is not set; it is empty"


def explain_all_unset(flow: Flow, asked: RunRequest, known: Collection[str]) -> tuple[str, ...]:
    """A sentence about each secret, and each variable of the caller's environment, that nobody has set."""
    secrets = list_unset_secrets(flow, asked, known)
    variables = list_unset_variables(flow, asked, known)
    return (
        *(explain_unset(name, place) for name, place in secrets.items()),
        *(explain_unset_variable(name, place) for name, place in variables.items()),
    )


def _check_secrets(unset: Mapping[str, str]) -> None:
    for name, place in unset.items():
        raise UsageError(
            f"secret {name} is not set",
            where=place,
            hint="`agent secret set` gives it a value; the project's setting strict_secrets refuses a run without it",
        )


def _read_asked(
    flow: Flow, event: str, asked: RunRequest
) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """The run's inputs and its event's payload; what a form was filled in with is both."""
    form = find_form(flow, event)
    if form is None:
        given = {**_inputs_of(flow, event, asked.payload), **asked.inputs}
        return _resolve(flow, event, given, choose_jobs(flow, asked.jobs)), asked.payload
    values = _fill(flow, form, asked)
    return values, {**asked.payload, **values}


def _fill(flow: Flow, form: Mapping[str, object], asked: RunRequest) -> dict[str, object]:
    """The form, filled with what was given: as inputs, or as fields of what started it."""
    brought = asked.payload.get("inputs")
    fields = fields_of(form)
    given = {
        **{name: value for name, value in asked.payload.items() if name in fields},
        **(brought if isinstance(brought, Mapping) and "inputs" not in fields else {}),
        **asked.inputs,
    }
    trigger = flow.trigger_of(TriggerKind.BY_HAND)
    return check_values(form, given, "" if trigger is None else str(trigger.position))


def _inputs_of(flow: Flow, event: str, payload: Mapping[str, object]) -> dict[str, object]:
    """The inputs that the payload of a start by hand brings along, as GitHub's does (`github.event.inputs`)."""
    trigger, brought = flow.trigger(event), payload.get("inputs")
    if trigger is None or trigger.kind is not TriggerKind.BY_HAND or not isinstance(brought, Mapping):
        return {}
    return {str(name): value for name, value in brought.items() if isinstance(value, (str, bool, int, float))}


def _resolve(flow: Flow, event: str, given: Mapping[str, object], jobs: Sequence[str]) -> dict[str, Value]:
    trigger = flow.trigger(event)
    if trigger is None:
        first = next(iter(flow.jobs.values())).position
        trigger = Trigger(event, first)
    wanted = tuple(item for item in trigger.inputs if not item.jobs or set(item.jobs) & set(jobs))
    values, problems = resolve_inputs(replace(trigger, inputs=wanted), given)
    if problems:
        first_problem = problems[0]
        complaint = " ".join(dict.fromkeys(problem.message for problem in problems))
        hint = first_problem.hint or _hint_at_inputs(wanted, given)
        raise UsageError(complaint, where=str(first_problem.position), hint=hint)
    return values


def _hint_at_inputs(wanted: Sequence[Input], given: Mapping[str, object]) -> str:
    """How what is required and missing is given on a command line; empty where nothing is."""
    said = {name.lower() for name, value in given.items() if value not in (None, "")}
    missing = [item.name for item in wanted if item.required and item.name.lower() not in said]
    words = " ".join(f"--input {name}=VALUE" for name in missing)
    return f"give what is missing: `{words}`" if words else ""
