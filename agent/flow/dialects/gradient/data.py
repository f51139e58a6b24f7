"""`inputs` and `outputs` of a job, as brings and keeps of the model.

    type      an input lies at /inputs/NAME      an output at /outputs/NAME
    string    a small file                       a small file, the job's output of that name
    dataset   a folder: a version                a folder: the next version, when the job has succeeded
    volume    a folder                           a folder that the jobs of this run may read

Source: Paperspace's documentation, *Understanding Inputs & Outputs*. Files of before September 2021 have no volume as an output:
jobs share one by naming it among their inputs, `{type: volume}`; the first that runs fills it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.flow.dialects.gradient.values import as_text
from agent.flow.model import BroughtData, KeptData, Position, Template
from agent.flow.nodes import Mapping as MappingNode
from agent.flow.nodes import Node, key_text
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, list_pairs, text_of

_SOURCE: Final = re.compile(r"(?P<job>.+?)\.(?P<what>inputs|outputs)\.(?P<name>.+)")
_INPUTS: Final = "workflow.inputs."
_NAME: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?"
_DATASET_NAME: Final = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class Typed:
    """An input or output that is written out."""

    name: str
    type: str  # dataset, string, volume; empty where that is wrong, which has been reported
    node: Node
    ref: Node | None = None  # `ref`, or `id`
    value: Node | None = None

    @property
    def is_shared(self) -> bool:
        """Whether it is a volume of the run, which nobody outside of it fills."""
        return self.type == "volume" and self.ref is None


@dataclass(frozen=True, slots=True)
class JobData:
    """The nodes of one job that are about its data; `outputs` are read already."""

    id: str
    needs: tuple[str, ...]
    inputs: Node | None
    outputs: Mapping[str, Typed]
    shared: Mapping[
        str, str
    ]  # volumes that it shares with others, each with the name that it has in this job


def read_typed(reader: Reader, node: Node | None) -> dict[str, Typed]:
    """Inputs or outputs that are written out, by name; others are left out."""
    found = {}
    for key, value in list_pairs(node):
        name = key_text(key)
        if not re.fullmatch(_NAME, name):
            reader.report(
                key, f"'{name}' can't be a file's name", "letters, digits, `_`, `-` and dots between them"
            )
        elif isinstance(value, MappingNode):
            found[name] = _read_one(name, value)
    return found


def read_keeps(reader: Reader, job: JobData) -> tuple[KeptData, ...]:
    """What is kept of a job's outputs."""
    return tuple(keep for output in job.outputs.values() for keep in _read_keep(reader, job, output))


def check_outputs(reader: Reader, outputs: Node | None, jobs: Mapping[str, JobData]) -> None:
    """Report outputs that are another job's: what has been made is not written to again."""
    for key, node in list_pairs(outputs):
        if isinstance(node, MappingNode):
            continue
        source = _SOURCE.fullmatch(text_of(node))
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


def read_brings(
    reader: Reader, job: JobData, jobs: Mapping[str, JobData], inputs: Mapping[str, Typed]
) -> tuple[BroughtData, ...]:
    """What a job finds at /inputs. `jobs` are all of the flow, `inputs` the flow's own."""
    brings = []
    for key, node in list_pairs(job.inputs):
        name = key_text(key)
        if isinstance(node, MappingNode):
            found = _bring_typed(reader, _read_one(name, node), job, jobs)
        else:
            found = _bring_named(reader, name, node, job, jobs, inputs)
        if found is not None:
            brings.append(found)
    return tuple(brings)


def find_shared(inputs: Node | None, given: Mapping[str, Typed]) -> dict[str, str]:
    """Volumes of the run that a job has among its `inputs`: each with the name that it has there. `given` are the flow's inputs."""
    shared = {}
    for key, node in list_pairs(inputs):
        source = text_of(node).removeprefix(_INPUTS)
        if isinstance(node, MappingNode) and _read_one("", node).is_shared:
            shared[key_text(key)] = key_text(key)
        elif text_of(node).startswith(_INPUTS) and source in given and given[source].is_shared:
            shared[source] = key_text(key)
    return shared


def keep_shared(job: JobData, place: Position) -> tuple[KeptData, ...]:
    """Volumes that a job shares: it may be the one that fills them."""
    return tuple(
        KeptData("volume", f"inputs/{alias}", place, name=_name_volume(job.id, volume), in_data=True)
        for volume, alias in job.shared.items()
    )


def _name_volume(job: str, volume: str) -> str:
    """What a volume is kept as: several jobs of a run may have one of that name."""
    return f"{job}.{volume}"


def name_dataset(reader: Reader, node: Node) -> tuple[str, str]:
    """(name, version) of a dataset's reference, as it can be called here; what had to change is said."""
    written, _, version = text_of(node).partition(":")
    namespace, slash, name = written.rpartition("/")
    usable = re.sub(r"[^a-z0-9._-]", "-", name.lower()).strip("._-")[:63]
    if not re.fullmatch(_DATASET_NAME, usable):
        reader.report(
            node, f"'{text_of(node)}' names no dataset", "as in `images`, `images:3` or `images:best`"
        )
        return "", ""
    if slash:
        reader.warn(
            node,
            f"a job reads the datasets of its own project here: '{written}' is read as '{usable}'",
            f"`agent dataset push DIR {usable} --create` brings the files of '{namespace}' once",
        )
    elif usable != name:
        reader.warn(
            node,
            f"a dataset's name has small letters, digits, `.`, `_` and `-` here: '{name}' is read as '{usable}'",
        )
    if re.fullmatch(r"v[0-9]+", version):
        reader.warn(node, f"versions have numbers here: ':{version}' is read as ':{version[1:]}'")
        version = version[1:]
    return usable, version


def _read_one(name: str, node: Node) -> Typed:
    fields = list_fields(node)
    with_ = list_fields(fields.get("with"))
    return Typed(
        name, text_of(fields.get("type")), node, with_.get("ref") or with_.get("id"), with_.get("value")
    )


def _read_keep(reader: Reader, job: JobData, output: Typed) -> list[KeptData]:
    place, path = output.node.position, f"outputs/{output.name}"
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
            return [KeptData("volume", path, place, name=_name_volume(job.id, output.name), in_data=True)]
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


def _bring_typed(
    reader: Reader, written: Typed, job: JobData, jobs: Mapping[str, JobData]
) -> BroughtData | None:
    place, path = written.node.position, f"inputs/{written.name}"
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


def warn_of_filled(reader: Reader, written: Typed) -> None:
    """Note what becomes of a volume that something outside of the run is named for."""
    if written.type == "volume" and written.ref is not None:
        reader.warn(
            written.ref, "a volume is of one run: what it begins with is read from the dataset of that name"
        )


def _bring_shared(
    volume: str, path: str, place: Position, job: JobData, jobs: Mapping[str, JobData]
) -> BroughtData | None:
    """The volume as the last of the jobs before has left it; the first job finds an empty folder."""
    for before in reversed(list_ancestors(job, jobs)):
        makes = volume in before.outputs and before.outputs[volume].type == "volume"
        if volume in before.shared or makes:
            name = _name_volume(before.id, volume)
            return BroughtData("job", before.id, place, path=path, name=name, in_data=True)
    return None


def list_ancestors(job: JobData, jobs: Mapping[str, JobData]) -> list[JobData]:
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
    source = _SOURCE.fullmatch(text_of(node))
    if source is None:
        reader.report(
            node,
            f"'{text_of(node)}' is no source of an input",
            "write `workflow.inputs.NAME`, `JOB.outputs.NAME` or `{type: ...}`",
        )
        return None
    path = f"inputs/{name}"
    if text_of(node).startswith(_INPUTS):
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
    name = _name_volume(job, output.name)
    return BroughtData("job", job, place, path=path, name=name, in_data=True, is_read_only=True)
