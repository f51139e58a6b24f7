"""`variables.yaml`: by workflow, values that its commands find as variables of the environment and as `${{ name }}`.

They are inputs of the run: whoever starts it may give others. Where two workflows of a file have a variable of one name with
values that differ, the input has no value of its own, and each workflow's stands beside it: an empty one, given at the
start, counts there as none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.flow.dialects.dstack.parts import as_written, quote
from agent.flow.dialects.dstack.table.files import VARIABLES_FILE
from agent.flow.model import Input
from agent.flow.reading import Reader
from agent.flow.source import Node, key_text
from agent.flow.tidied import list_fields, list_pairs

GLOBAL: Final = "global"


@dataclass(frozen=True, slots=True)
class Variables:
    """The values of a `variables.yaml`, by workflow and name, as they are written."""

    by_workflow: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    places: Mapping[str, Node] = field(default_factory=dict)  # of the workflows' names

    def of(self, workflow: str) -> Mapping[str, str]:
        """Those that a workflow has: its own before those of all."""
        return {**self.by_workflow.get(GLOBAL, {}), **self.by_workflow.get(workflow, {})}


def read_variables(reader: Reader, root: Node) -> Variables:
    """The values of the file, tidied."""
    fields = list_fields(reader.read(root, VARIABLES_FILE))
    workflows = list_pairs(fields.get("variables"))
    values = {
        key_text(key): {key_text(name): as_written(value) for name, value in list_pairs(variables)}
        for key, variables in workflows
    }
    return Variables(values, {key_text(key): key for key, _ in workflows})


def name_variable(name: str) -> str:
    """The variable of the environment: `batch-size` is BATCH_SIZE."""
    return name.replace("-", "_").upper()


def make_templates(own: Mapping[str, str], workflows: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """By name, the expression for each variable of a workflow; `workflows` are the variables of all."""
    everything = list(workflows)
    return {
        name: f"inputs[{quote(name)}]"
        if is_alike(name, everything)
        else f"inputs[{quote(name)}] || {quote(value)}"
        for name, value in own.items()
    }


def make_inputs(by_workflow: Mapping[str, Mapping[str, str]]) -> list[Input]:
    """The inputs of a run, one for each name."""
    everything = list(by_workflow.values())
    names = dict.fromkeys(name for variables in everything for name in variables)
    return [
        Input(
            name,
            "string",
            f"the variable {name_variable(name)}",
            default=next(own[name] for own in everything if name in own) if is_alike(name, everything) else None,
            jobs=tuple(workflow for workflow, own in by_workflow.items() if name in own),
        )
        for name in names
    ]  # fmt: skip


def is_alike(name: str, workflows: Iterable[Mapping[str, str]]) -> bool:
    """Whether a variable has one value wherever it is."""
    return len({own[name] for own in workflows if name in own}) == 1
