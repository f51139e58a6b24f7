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

from agent.flow.nodes import Mapping as MappingNode
from agent.flow.nodes import Node, key_text
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, list_pairs, text_of

SOURCE: Final = re.compile(r"(?P<job>.+?)\.(?P<what>inputs|outputs)\.(?P<name>.+)")
WORKFLOW_INPUTS: Final = "workflow.inputs."
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
            found[name] = read_one(name, value)
    return found


def find_shared(inputs: Node | None, given: Mapping[str, Typed]) -> dict[str, str]:
    """Volumes of the run that a job has among its `inputs`: each with the name that it has there. `given` are the flow's inputs."""
    shared = {}
    for key, node in list_pairs(inputs):
        source = text_of(node).removeprefix(WORKFLOW_INPUTS)
        if isinstance(node, MappingNode) and read_one("", node).is_shared:
            shared[key_text(key)] = key_text(key)
        elif text_of(node).startswith(WORKFLOW_INPUTS) and source in given and given[source].is_shared:
            shared[source] = key_text(key)
    return shared


def name_volume(job: str, volume: str) -> str:
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


def read_one(name: str, node: Node) -> Typed:
    """An input or output that is written out as `{type, with}`."""
    fields = list_fields(node)
    with_ = list_fields(fields.get("with"))
    return Typed(
        name, text_of(fields.get("type")), node, with_.get("ref") or with_.get("id"), with_.get("value")
    )


def check_given(reader: Reader, written: Typed) -> None:
    """Report an input that is given in another type's way."""
    wrong = written.ref if written.type == "string" else written.value
    if wrong is not None and written.type:
        reader.report(
            wrong, f"a {written.type} is given by its {'value' if written.type == 'string' else 'ref'}"
        )


def warn_of_filled(reader: Reader, written: Typed) -> None:
    """Note what becomes of a volume that something outside of the run is named for."""
    if written.type == "volume" and written.ref is not None:
        reader.warn(
            written.ref, "a volume is of one run: what it begins with is read from the dataset of that name"
        )
