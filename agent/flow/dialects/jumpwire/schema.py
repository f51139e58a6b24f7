"""The language as a JSON schema for editors: that of the documents, and with each action the keys of its config."""

from typing import Any

from agent.flow.dialects.jumpwire.table.flow import FLOW_SHAPE
from agent.flow.editor import make_schema as make_basic

Json = dict[str, Any]


def make_schema() -> Json:
    """The whole language."""
    return make_basic(FLOW_SHAPE, "A flow in JumpWire's language: stages through which records stream.")
