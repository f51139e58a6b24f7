"""`outputs` of a job: what is kept of what it makes."""

from collections.abc import Mapping

from agent.flow.data import KeptData
from agent.flow.dialects.gradient.data import (
    SOURCE,
    JobData,
    Typed,
    name_dataset,
    name_volume,
)
from agent.flow.dialects.gradient.values import as_text
from agent.flow.model import Position, Template
from agent.flow.nodes import Mapping as MappingNode
from agent.flow.nodes import Node, key_text
from agent.flow.reading import Reader
from agent.flow.tidied import list_pairs, text_of


def read_keeps(reader: Reader, job: JobData) -> tuple[KeptData, ...]:
    """What is kept of a job's outputs."""
    return tuple(keep for output in job.outputs.values() for keep in _read_keep(reader, job, output))


def check_outputs(reader: Reader, outputs: Node | None, jobs: Mapping[str, JobData]) -> None:
    """Report outputs that are another job's: what has been made is not written to again."""
    for key, node in list_pairs(outputs):
        if isinstance(node, MappingNode):
            continue
        source = SOURCE.fullmatch(text_of(node))
        maker = jobs.get(source["job"]) if source else None
        made = maker.outputs.get(source["name"]) if maker and source else None
        if made is not None and made.type == "volume":
            reader.report(
                node,
                f"the volume '{text_of(node)}' can't be an output again: the job that made it has ended",
                f"copy it: `inputs: {{{key_text(key)}: {text_of(node)}}}` and an output of this job's own, `{{type: volume}}`",
            )
        else:
            reader.report(
                node,
                f"an output is made by its own job: '{text_of(node)}'",
                "write `{type: string}`, or dataset or volume",
            )


def keep_shared(job: JobData, place: Position) -> tuple[KeptData, ...]:
    """Volumes that a job shares: it may be the one that fills them."""
    return tuple(
        KeptData("volume", f"inputs/{alias}", place, name=name_volume(job.id, volume), in_data=True)
        for volume, alias in job.shared.items()
    )


def _read_keep(reader: Reader, job: JobData, output: Typed) -> list[KeptData]:
    place, path = output.node.position, f"outputs/{output.name}"
    if output.value is not None:
        reader.report(output.value, "an output has no `value`: its job writes it")
    match output.type:
        case "string":
            return [KeptData("text", path, place, name=output.name, in_data=True)]
        case "volume":
            if output.ref is not None:
                reader.report(
                    output.ref,
                    "a volume is made by the job that it is an output of",
                    "to read another job's: `inputs: {NAME: JOB.outputs.NAME}`; its own is written to a new one",
                )
            return [KeptData("volume", path, place, name=name_volume(job.id, output.name), in_data=True)]
        case "dataset" if output.ref is not None:
            return [KeptData("dataset", path, place, name=_name_kept(reader, output.ref), in_data=True)]
        case "dataset":
            reader.report(
                output.node,
                f"the dataset of the output '{output.name}' is not named",
                "add `with: {ref: NAME}`",
            )
        case _:
            pass
    return []


def _name_kept(reader: Reader, node: Node) -> Template:
    name, version = name_dataset(reader, node)
    if version:
        reader.warn(node, f"a job makes the next version of '{name}': ':{version}' is not asked")
    return as_text(name)
