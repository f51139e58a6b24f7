"""The file as a whole."""

import re

from agent.flow.dialects.github.words import GITHUB
from agent.flow.dialects.github.writing.chosen import choose_jobs, name_in_expressions, rename_inputs
from agent.flow.dialects.github.writing.jobs import write_concurrency, write_defaults, write_job
from agent.flow.dialects.github.writing.templates import Writer
from agent.flow.dialects.github.writing.text import write_yaml
from agent.flow.dialects.github.writing.triggers import write_triggers
from agent.flow.front_end import WrittenFlow
from agent.flow.model import Flow, Starts, TriggerKind


def write_flow(flow: Flow) -> WrittenFlow:
    """The flow as a text of GitHub's language, with what is a little different there; or what has no equal there."""
    renamed = rename_inputs(flow)
    instead = {**flow.dialect.elsewhere, **_write_defaults_of_events(flow), **name_in_expressions(renamed)}
    writer = Writer(instead)
    flow = choose_jobs(writer, flow, renamed)
    place = next(iter(flow.jobs.values())).position
    data: dict[str, object] = {}
    if flow.name:
        data["name"] = flow.name
    if flow.run_name is not None:
        data["run-name"] = writer.write(flow.run_name, place)
    data["on"] = write_triggers(writer, flow.triggers)
    if flow.starts is not Starts.ALL:
        writer.lose(
            place, "all jobs of a flow run there, and here those that are named", "make a flow of each"
        )
    if flow.permissions is not None:
        data["permissions"] = dict(flow.permissions)
    if flow.env is not None:
        data["env"] = writer.write(flow.env, place)
    data |= write_defaults(writer, flow.defaults, place)
    data |= write_concurrency(writer, flow.concurrency, place)
    data["jobs"] = {job.id: write_job(writer, job) for job in flow.jobs.values()}
    if flow.dialect.conventions != GITHUB.conventions:
        _say_where_containers_begin(writer, flow)
    losses = sorted(writer.losses, key=lambda loss: (loss.position.line, loss.position.column))
    return WrittenFlow(write_yaml(data), tuple(losses))


def _write_defaults_of_events(flow: Flow) -> dict[str, str]:
    """Inputs as expressions ask for them, and what they are there when an event starts the flow, which gives none."""
    found = {}
    for trigger in flow.triggers:
        if trigger.kind is TriggerKind.EVENT:
            for given in trigger.inputs:
                if isinstance(given.default, str):
                    name, default = (text.replace("'", "''") for text in (given.name, given.default))
                    found[rf"inputs\['{re.escape(name)}'\]"] = f"(inputs['{name}'] || '{default}')"
    return found


def _say_where_containers_begin(writer: Writer, flow: Flow) -> None:
    for job in flow.jobs.values():
        for step in job.steps:
            if (step.uses or "").startswith("docker://"):
                writer.differ(
                    step.position,
                    "there a container begins in the workspace with HOME=/github/home, and here where its image says",
                    "use whole paths",
                )
                return
