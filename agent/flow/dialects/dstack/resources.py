"""`resources`: what a workflow needs of its machine, in the model's words."""

import re
from typing import Final

from agent.flow.dialects.dstack.parts import as_written, is_set
from agent.flow.reading import Reader
from agent.flow.source import Mapping, Node, key_text
from agent.flow.tidied import list_fields, list_pairs, text_of

_SIZE: Final = re.compile(r"([0-9]{1,12}) ?([MG])(I?)B?", re.IGNORECASE | re.ASCII)
_NAMED_GPU: Final = re.compile(r"[^/]+/gpu")
_NO_EFFECT: Final = {
    "interruptible": "a machine of one's own is not taken away; a run whose agent is lost starts again",
    "remote": "`agent flow submit` runs it on the server's agents, `agent flow run` on this machine",
    "local": "`agent flow run` runs it on this machine, `agent flow submit` on the server's agents",
}


def split_named_gpus(node: Mapping) -> tuple[Mapping, list[tuple[Node, str, Node]]]:
    """`resources` without its keys of the oldest form, `V100/gpu: 2`; and those: key, model and number."""
    rest = Mapping(node.file, node.line, node.column)
    named: list[tuple[Node, str, Node]] = []
    for key, value in list_pairs(node):
        if _NAMED_GPU.fullmatch(key_text(key)):
            named.append((key, key_text(key).removesuffix("/gpu"), value))
        else:
            rest.pairs.append((key, value))
    return rest, named


def read_resources(
    reader: Reader, node: Node | None, named: list[tuple[Node, str, Node]]
) -> dict[str, object] | None:
    """What the planner asks a machine for; None for nothing."""
    fields = list_fields(node)
    wanted: dict[str, object] = {}
    if "cpu" in fields:
        count = _read_count(reader, fields["cpu"])
        wanted |= {"cpus": count} if count else {}
    if "memory" in fields:
        wanted |= {"memory": read_size(reader, fields["memory"])}
    gpus = _read_gpus(reader, fields.get("gpu"))
    for _key, model, value in named:
        gpus = {"count": _read_count(reader, value), "model": model}
    if gpus and gpus["count"]:
        wanted["gpus"] = gpus
    for name, meaning in _NO_EFFECT.items():
        if is_set(fields.get(name)):
            reader.warn(fields[name], f"`{name}` changes nothing here", meaning)
    return wanted or None


def count_gpus(resources: dict[str, object] | None) -> int:
    """How many GPUs each machine gives the workflow."""
    gpus = (resources or {}).get("gpus")
    count = gpus.get("count") if isinstance(gpus, dict) else 0
    return count if isinstance(count, int) else 0


def read_size(reader: Reader, node: Node) -> str:
    """A size with the unit that it means: `8gi` is 8 GiB. One without a unit, or with another, is reported."""
    match = _SIZE.fullmatch(text_of(node).strip())
    if match is None:
        reader.report(node, f"'{as_written(node)}' is no size", "write 16GB, 512MB or 8GiB")
        return "1MB"
    number, unit, binary = match.groups()
    return f"{number}{unit.upper()}{'i' if binary else ''}B"


def _read_gpus(reader: Reader, node: Node | None) -> dict[str, object] | None:
    if node is None:
        return None
    if not isinstance(node, Mapping):
        return {"count": _read_count(reader, node)}
    fields = list_fields(node)
    gpus: dict[str, object] = {"count": _read_count(reader, fields["count"]) if "count" in fields else 1}
    if "name" in fields:
        gpus["model"] = text_of(fields["name"])
    if "memory" in fields:
        gpus["memory"] = read_size(reader, fields["memory"])
    return gpus


def _read_count(reader: Reader, node: Node) -> int:
    text = as_written(node).strip()
    if not re.fullmatch(r"[0-9]{1,4}", text):
        reader.report(node, f"'{text}' is no number of them", "write a whole number")
        return 0
    return int(text)
