"""`inputs` of a job: what it is brought, from outside, from the workflow's inputs, or from the jobs before."""

import re
from collections.abc import Mapping

from agent.flow.data import BroughtData
from agent.flow.dialects.gradient.data import (
    SOURCE,
    WORKFLOW_INPUTS,
    JobData,
    Typed,
    check_given,
    name_dataset,
    name_volume,
    read_one,
    warn_of_filled,
)
from agent.flow.dialects.gradient.values import as_text
from agent.flow.model import Position
from agent.flow.nodes import Mapping as MappingNode
from agent.flow.nodes import Node, key_text
from agent.flow.reading import Reader
from agent.flow.tidied import list_pairs, text_of


def read_brings(
    reader: Reader, job: JobData, jobs: Mapping[str, JobData], inputs: Mapping[str, Typed]
) -> tuple[BroughtData, ...]:
    """What a job finds at /inputs. `jobs` are all of the flow, `inputs` the flow's own."""
    brings = []
    for key, node in list_pairs(job.inputs):
        name = key_text(key)
        if isinstance(node, MappingNode):
            found = _bring_typed(reader, read_one(name, node), job, jobs)
        else:
            found = _bring_named(reader, name, node, job, jobs, inputs)
        if found is not None:
            brings.append(found)
    return tuple(brings)


def _bring_typed(
    reader: Reader, written: Typed, job: JobData, jobs: Mapping[str, JobData]
) -> BroughtData | None:
    place, path = written.node.position, f"inputs/{written.name}"
    check_given(reader, written)
    match written.type:
        case "string":
            if written.value is None:
                reader.report(
                    written.node, f"the input '{written.name}' has no value", "add `with: {value: TEXT}`"
                )
            return BroughtData(
                "text", as_text(text_of(written.value)), place, path=path, in_data=True, is_read_only=True
            )
        case "volume" if written.ref is None:
            return _bring_shared(written.name, path, place, job, jobs)
        case "volume" | "dataset":
            if written.ref is None:
                reader.report(
                    written.node,
                    f"the dataset of the input '{written.name}' is not named",
                    "add `with: {ref: NAME}`",
                )
                return None
            warn_of_filled(reader, written)
            name, version = name_dataset(reader, written.ref)
            of = f"{name}:{version}" if version else name
            return BroughtData("dataset", as_text(of), place, path=path, in_data=True, is_read_only=True)
        case _:
            return None


def _bring_shared(
    volume: str, path: str, place: Position, job: JobData, jobs: Mapping[str, JobData]
) -> BroughtData | None:
    """The volume as the last of the jobs before has left it; the first job finds an empty folder."""
    for before in reversed(_list_ancestors(job, jobs)):
        makes = volume in before.outputs and before.outputs[volume].type == "volume"
        if volume in before.shared or makes:
            name = name_volume(before.id, volume)
            return BroughtData("job", before.id, place, path=path, name=name, in_data=True)
    return None


def _list_ancestors(job: JobData, jobs: Mapping[str, JobData]) -> list[JobData]:
    """All jobs that a job needs, directly or through others: the nearest last."""
    found: list[str] = []
    waiting = list(job.needs)
    while waiting:
        name = waiting.pop(0)
        if name in jobs and name not in found and name != job.id:
            found.append(name)
            waiting += jobs[name].needs
    return [jobs[name] for name in reversed(found)]


def _bring_named(
    reader: Reader,
    name: str,
    node: Node,
    job: JobData,
    jobs: Mapping[str, JobData],
    inputs: Mapping[str, Typed],
) -> BroughtData | None:
    source = SOURCE.fullmatch(text_of(node))
    if source is None:
        reader.report(
            node,
            f"'{text_of(node)}' is no source of an input",
            "write `workflow.inputs.NAME`, `JOB.outputs.NAME` or `{type: ...}`",
        )
        return None
    path = f"inputs/{name}"
    if text_of(node).startswith(WORKFLOW_INPUTS):
        given = source["name"]
        if given in inputs and inputs[given].is_shared:
            return _bring_shared(given, path, node.position, job, jobs)
        return _bring_input(reader, node, path, given, inputs)
    output = _find_output(reader, node, job, jobs, source)
    return None if output is None else _bring_output(node.position, path, source["job"], output, reader)


def _bring_input(
    reader: Reader, node: Node, path: str, name: str, inputs: Mapping[str, Typed]
) -> BroughtData | None:
    given = inputs.get(name)
    if given is None:
        reader.report_unknown(node, f"the workflow has no input '{name}'", name, list(inputs))
        return None
    of = f"${{{{ inputs['{name}'] }}}}"
    kind = "text" if given.type == "string" else "dataset"
    return BroughtData(kind, of, node.position, path=path, in_data=True, is_read_only=True)


def _find_output(
    reader: Reader, node: Node, job: JobData, jobs: Mapping[str, JobData], source: re.Match[str]
) -> Typed | None:
    """The output of another job that an input names; what is wrong with that is reported."""
    maker = jobs.get(source["job"])
    if maker is None:
        reader.report_unknown(node, f"there is no job '{source['job']}'", source["job"], list(jobs))
    elif maker is job:
        reader.report(node, "a job can't read what it makes itself")
    elif source["what"] == "inputs":
        reader.report(
            node, "a job reads what another makes: its `outputs`", f"write `{maker.id}.outputs.NAME`"
        )
    elif source["name"] not in maker.outputs:
        reader.report_unknown(
            node,
            f"the job '{maker.id}' has no output '{source['name']}'",
            source["name"],
            list(maker.outputs),
        )
    elif maker.id not in job.needs:
        reader.report(
            node,
            f"'{job.id}' reads '{text_of(node)}' without needing '{maker.id}'",
            f"add `{maker.id}` to its `needs`",
        )
    else:
        return maker.outputs[source["name"]]
    return None


def _bring_output(place: Position, path: str, job: str, output: Typed, reader: Reader) -> BroughtData | None:
    if output.type == "string":
        of = f"${{{{ needs['{job}'].outputs['{output.name}'] }}}}"
        return BroughtData("text", of, place, path=path, in_data=True, is_read_only=True)
    if output.type == "dataset":
        if output.ref is None:
            return None
        made, _ = name_dataset(reader, output.ref)
        of = f"${{{{ needs['{job}'].outputs['{made}'] }}}}"  # with the version
        return BroughtData("dataset", of, place, path=path, in_data=True, is_read_only=True)
    name = name_volume(job, output.name)
    return BroughtData("job", job, place, path=path, name=name, in_data=True, is_read_only=True)
