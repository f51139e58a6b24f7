"""A flow whose jobs are started by their names, as a flow that is asked for one of them: a choice, and an `if` on each job.

Inputs and jobs with names that GitHub's language doesn't take get others.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.flow.data import BroughtData
from agent.flow.dialects.github.writing.templates import Writer
from agent.flow.identifiers import explain_invalid
from agent.flow.model import Flow, Input, Job, Starts, Trigger, TriggerKind

_INPUT = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_ODD = re.compile(r"[^A-Za-z0-9_-]+")
_CHOICES = ("workflow", "job", "workflow-to-run")


def rename_inputs(flow: Flow) -> dict[str, str]:
    """What inputs by hand are called there whose names can be none there, by their own."""
    names = [given.name for trigger in _list_by_hand(flow) for given in trigger.inputs]
    taken = {name for name in names if _INPUT.fullmatch(name)}
    renamed: dict[str, str] = {}
    for name in names:
        if name not in taken:
            renamed[name] = _make_name(name, {*taken, *renamed.values()})
    return renamed


def name_in_expressions(renamed: Mapping[str, str]) -> dict[str, str]:
    """The expressions that read those inputs, as patterns, and what they are there."""
    return {rf"inputs\['{re.escape(old)}'\]": f"inputs['{new}']" for old, new in renamed.items()}


def choose_jobs(writer: Writer, flow: Flow, renamed: Mapping[str, str]) -> Flow:
    """The flow, all of whose jobs are started and each of which looks whether it is asked for; one that is not only started by hand stays as it is."""
    flow = replace(flow, triggers=tuple(_rename(trigger, renamed) for trigger in flow.triggers))
    if flow.starts is Starts.ALL:
        return flow
    if any(trigger.kind is not TriggerKind.BY_HAND for trigger in flow.triggers):
        return flow
    ids = _name_jobs(flow.jobs)
    inputs = [given for trigger in flow.triggers for given in trigger.inputs]
    choice = next(name for name in _CHOICES if name not in {given.name for given in inputs})
    if len(flow.jobs) > 1:
        about = "Which one is run, with what it needs."
        inputs.insert(0, Input(choice, "choice", about, required=True, options=tuple(flow.jobs)))
    jobs = {ids[name]: _make_job(flow, job, ids, choice) for name, job in flow.jobs.items()}
    inputs = [_relax(writer, given, flow) for given in inputs]
    by_hand = replace(flow.triggers[0], inputs=tuple(inputs))
    run_name = (
        f"${{{{ inputs.{choice} }}}}" if len(flow.jobs) > 1 and flow.run_name is None else flow.run_name
    )
    return replace(flow, jobs=jobs, triggers=(by_hand,), starts=Starts.ALL, run_name=run_name)


def _list_by_hand(flow: Flow) -> Iterable[Trigger]:
    return (trigger for trigger in flow.triggers if trigger.kind is TriggerKind.BY_HAND)


def _make_name(name: str, taken: Iterable[str]) -> str:
    stem = _ODD.sub("-", name).strip("-") or "input"
    stem = stem if _INPUT.fullmatch(stem) else f"_{stem}"
    known, number, made = set(taken), 1, stem
    while made in known:
        number += 1
        made = f"{stem}-{number}"
    return made


def _rename(trigger: Trigger, renamed: Mapping[str, str]) -> Trigger:
    inputs = (replace(given, name=renamed.get(given.name, given.name)) for given in trigger.inputs)
    return replace(trigger, inputs=tuple(inputs)) if renamed else trigger


def _relax(writer: Writer, given: Input, flow: Flow) -> Input:
    """An input that some jobs alone need can't be required there: it would be of all."""
    if given.required and given.jobs and set(given.jobs) != set(flow.jobs):
        place = flow.jobs[given.jobs[0]].position
        writer.differ(place, f"`{given.name}` has to be given here, and there it may be empty")
        return replace(given, required=False)
    return given


def _name_jobs(jobs: Mapping[str, Job]) -> dict[str, str]:
    """The ids that jobs have there, by their names."""
    ids = {name: name for name in jobs if not explain_invalid(name)}
    for name in jobs:
        if name not in ids:
            ids[name] = _make_name(name, ids.values())
    return ids


def _make_job(flow: Flow, job: Job, ids: Mapping[str, str], choice: str) -> Job:
    asked = [name for name in flow.jobs if job.id in _list_needed(flow, name)]
    wanted = [f"inputs.{choice} == '{name.replace(chr(39), chr(39) * 2)}'" for name in asked]
    return replace(
        job,
        id=ids[job.id],
        name=job.name if job.name is not None or ids[job.id] == job.id else job.id,
        needs=tuple(ids[need] for need in job.needs),
        condition=" || ".join(wanted) if len(flow.jobs) > 1 else job.condition,
        brings=tuple(_bring(flow, bring, ids) for bring in job.brings),
    )


def _bring(flow: Flow, bring: BroughtData, ids: Mapping[str, str]) -> BroughtData:
    if bring.kind == "job":
        return replace(bring, of=ids.get(str(bring.of), bring.of))
    if bring.kind == "last" and bring.of == flow.name and not bring.project:
        return replace(bring, job=ids.get(str(bring.job), bring.job))
    return bring


def _list_needed(flow: Flow, name: str) -> set[str]:
    """A job and all that it waits for."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        job = waiting.pop()
        if job not in found:
            found.add(job)
            waiting += flow.jobs[job].needs
    return found
