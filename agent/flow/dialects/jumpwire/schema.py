"""The language as a JSON schema for editors: the documents' own, and for each action the keys of its config.

It takes all that the parser takes: a key that no action has is a warning there, so it is let be.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from agent.flow.dialects.jumpwire.actions import KNOWN, list_meant
from agent.flow.dialects.jumpwire.settings import Action
from agent.flow.dialects.jumpwire.table.flow import FLOW_SHAPE
from agent.flow.dialects.jumpwire.table.stages import STAGES
from agent.flow.dialects.jumpwire.table.triggers import TRIGGERS
from agent.flow.editor import make_schema as make_basic
from agent.flow.shapes import mapping

Json = dict[str, Any]
_ABOUT = "A flow in JumpWire's language: stages through which records stream."
_TEXT: Json = {"type": "string", "minLength": 1}
_ANY_ACTION = "/"  # in the reference of every action that is not of the table


def make_schema() -> Json:
    """The whole language."""
    schema = make_basic(FLOW_SHAPE, _ABOUT)
    definitions: Json = schema["$defs"]
    for action in (*TRIGGERS.values(), *STAGES.values()):
        for name, definition in _describe_config(action).items():
            definitions.setdefault(name, definition)
    stage: Json = definitions["stage"]
    stage["properties"]["action"] |= {"anyOf": [{"enum": list(KNOWN)}, {"pattern": _ANY_ACTION}]}
    for key in (definitions["flow"]["properties"]["name"], *map(stage["properties"].get, ("name", "action"))):
        key["type"] = "string"  # a number is none, though texts of other languages are made of them
    stage["properties"]["out"]["anyOf"] = [_TEXT, {"type": "array", "items": _TEXT}]
    stage["allOf"] = list(_list_conditions())
    return schema


def _describe_config(action: Action) -> Json:
    """The definitions that an action's config is made of; its own is named as the action is."""
    definitions: Json = make_basic(mapping(action.config), "")["$defs"]
    own = definitions[_name(action)]
    if action.config.entries is None:
        own["additionalProperties"] = True
    own["description"] = action.about
    for setting in action.settings:
        if setting.default is not None:
            own["properties"][setting.name]["default"] = setting.default
    return definitions


def _list_conditions() -> Iterator[Json]:
    for name in KNOWN:
        yield _write_condition({"const": name}, list_meant(name))
    yield _write_condition({"pattern": _ANY_ACTION}, [STAGES["uses"]])


def _write_condition(action: Json, meant: Sequence[Action]) -> Json:
    """Of a stage with that action: what its config may be, and whether there has to be one."""
    choices = [{"$ref": f"#/$defs/{_name(each)}"} for each in meant]
    then: Json = {"properties": {"config": choices[0] if len(choices) == 1 else {"anyOf": choices}}}
    if all(any(setting.required for setting in each.settings) for each in meant):
        then["required"] = ["config"]
    return {"if": {"properties": {"action": action}, "required": ["action"]}, "then": then}


def _name(action: Action) -> str:
    return action.config.name.replace(" ", "-")
