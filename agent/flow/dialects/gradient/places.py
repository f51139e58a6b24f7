"""Places of jobs: Paperspace's machine types and clusters, which two variables translate.

`MACHINE_TYPES` and `CLUSTERS` are variables of the project, or of the organisation, as JSON:

    {"P4000": {"labels": ["gpu"], "resources": {"gpus": 1}}, "C5": {"labels": []}}        {"cl123": "group-of-agents"}

What has no row is any agent, with nothing reserved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.flow.model import Template
from agent.flow.nodes import Node
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, text_of

MACHINES: Final = "MACHINE_TYPES"
CLUSTERS: Final = "CLUSTERS"


@dataclass(frozen=True, slots=True)
class Place:
    """What the model says of it."""

    runs_on: Template
    resources: Template
    words: tuple[str, ...] = ()  # what the file says of it


def read_place(reader: Reader, own: Node | None, defaults: Node | None) -> Place:
    """Where a job with these `resources` runs, in a flow with these `defaults`."""
    shared = list_fields(defaults)
    fields = {**list_fields(shared.get("resources")), **list_fields(own)}
    machine, cluster = fields.get("instance-type"), shared.get("clusterId")
    _warn(reader, fields, cluster)
    if machine is None and cluster is None:
        return Place([], None)
    labels = _look_up(MACHINES, machine, ".labels") if machine is not None else []
    group = _look_up(CLUSTERS, cluster) if cluster is not None else None
    resources = f"${{{{ {_row(MACHINES, machine)}.resources }}}}" if machine is not None else None
    words = tuple(text_of(node) for node in (machine, cluster) if node is not None)
    return Place({"group": group, "labels": labels} if group is not None else labels, resources, words)


def _warn(reader: Reader, fields: Mapping[str, Node], cluster: Node | None) -> None:
    machine, registries = fields.get("instance-type"), fields.get("container-registries")
    if machine is not None:
        reader.warn(
            machine,
            f"'{text_of(machine)}' is a machine of Paperspace's: the job goes where the variable {MACHINES} says, else to any agent",
            f'agent variable set {MACHINES} \'{{"{text_of(machine)}": {{"labels": [], "resources": {{}}}}}}\'',
        )
    if cluster is not None:
        reader.warn(
            cluster,
            f"'{text_of(cluster)}' is a cluster of Paperspace's: jobs go to the group of agents that the variable {CLUSTERS} says, "
            "else to any agent",
        )
    if registries is not None:
        reader.warn(
            registries,
            "images come from where the agents' own docker is signed in",
            "`docker login` on the agents' machines",
        )


def _look_up(table: str, name: Node, member: str = "") -> str:
    nothing = "fromJSON('[]')" if member else "''"
    return f"${{{{ {_row(table, name)}{member} || {nothing} }}}}"


def _row(table: str, name: Node | None) -> str:
    quoted = text_of(name).replace("'", "''")
    return f"fromJSON(vars.{table} || '{{}}')['{quoted}']"
