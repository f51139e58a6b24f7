"""`on` and `inputs`: what starts the flow, and what it is asked for then."""

import re
from collections.abc import Mapping
from typing import Final

from agent.flow.dialects.gradient.contexts import BY_HAND, PUSH
from agent.flow.dialects.gradient.data import Typed, check_given, name_dataset, warn_of_filled
from agent.flow.model import Input, Template, Trigger, TriggerKind
from agent.flow.nodes import Node
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, list_pairs, text_of, texts_of

_SPECIAL: Final = re.compile(r"([\\!+?\[\]])")


def read_triggers(
    reader: Reader, on: Node | None, root: Node, inputs: Mapping[str, Typed]
) -> tuple[Trigger, ...]:
    """A push, where the flow says so; and always somebody who asks for it."""
    declared = tuple(_read_input(reader, given) for given in inputs.values() if not given.is_shared)
    by_hand = Trigger(BY_HAND, root.position, TriggerKind.BY_HAND, inputs=declared)
    pushes = [_read_push(key, value, declared) for key, value in list_pairs(on)]
    for push in pushes:
        _warn_of_required(reader, push, inputs)
    return (*pushes, by_hand)


def _read_push(key: Node, node: Node, inputs: tuple[Input, ...]) -> Trigger:
    only = texts_of(list_fields(list_fields(node).get("branches")).get("only"))
    branches = tuple(_SPECIAL.sub(r"\\\1", branch) for branch in only) or ("**",)
    return Trigger(PUSH, key.position, filters={"branches": branches}, inputs=inputs)


def _warn_of_required(reader: Reader, push: Trigger, inputs: Mapping[str, Typed]) -> None:
    for declared in push.inputs:
        if declared.required:
            reader.warn(
                inputs[declared.name].node,
                f"nobody gives '{declared.name}' when a push starts the flow: such a run is refused",
                "add `with: {value: TEXT}` or `with: {ref: DATASET}`",
            )


def _read_input(reader: Reader, given: Typed) -> Input:
    check_given(reader, given)
    warn_of_filled(reader, given)
    default: Template = None
    if given.type == "string" and given.value is not None:
        default = text_of(given.value)
    elif given.ref is not None:
        name, version = name_dataset(reader, given.ref)
        default = f"{name}:{version}" if version else name
    kind = "string" if given.type == "string" else "dataset"
    return Input(given.name, kind, required=default is None, default=default, position=given.node.position)
