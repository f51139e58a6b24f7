"""Canonical names of stages and triggers, and where each is made: imported when a flow uses it."""

from importlib import import_module
from typing import cast

from agent.errors import AgentError
from agent.job.stages.stage import MakeStage

_HERE = "agent.job.stages.actions"
_PLACES = {
    "cron": "cron:make",
    "delay": "plain:make_noop",  # its records wait before it, in its buffer
    "error": "plain:make_error",
    "field_map": "field_map:make",
    "filter": "filter:make",
    "javascript": "javascript:make",
    "json_decode": "json_decode:make",
    "kinesis": "kinesis:make",
    "kinesis_consumer": "kinesis_consumer:make",
    "manual": "manual:make",
    "map": "mapping:make_map",
    "merge_data": "mapping:make_merge_data",
    "nats": "nats:make",
    "noop": "plain:make_noop",
    "postgresql": "postgresql:make",
    "put_kinesis": "put_kinesis:make",
    "python": "python:make",
    "receive": "receive:make",
    "redis": "redis:make",
    "reduce": "mapping:make_reduce",
    "run": "run:make",
    "send": "send:make",
    "slack": "slack:make",
    "udp": "udp:make",
    "uses": "uses:make",
    "zip": "plain:make_noop",  # its records are put together by its queues
}


def find_make(action: str) -> MakeStage:
    """What makes a stage of that canonical name. Raises AgentError."""
    place = _PLACES.get(action)
    if place is None:
        raise AgentError(f"this version of the agent has no stage '{action}'", hint="upgrade the agent")
    module, _, name = place.partition(":")
    return cast("MakeStage", getattr(import_module(f"{_HERE}.{module}"), name))
