"""Flows, parsed from the texts that a run stores; the last few are kept."""

import json
from collections import OrderedDict
from collections.abc import Mapping

from agent.flow.called import link_flow
from agent.flow.load import load_flow
from agent.flow.model import Flow

_MOST_FLOWS = 64


class FlowCache:
    """`Flow` by (file, text, dialect, called flows): a run is planned many times, its texts never change."""

    def __init__(self) -> None:
        self._flows: OrderedDict[tuple[str, str, str | None, str], Flow] = OrderedDict()

    def parse(self, file: str, text: str, dialect: str | None, called: str = "{}") -> Flow:
        """The flow, joined to those that it calls: `called` is JSON, reference -> text. Raises InvalidFlowError."""
        key = (file, text, dialect, called)
        flow = self._flows.pop(key, None) or self._load(file, text, dialect, json.loads(called))
        self._flows[key] = flow
        if len(self._flows) > _MOST_FLOWS:
            self._flows.popitem(last=False)
        return flow

    def _load(self, file: str, text: str, dialect: str | None, called: Mapping[str, str]) -> Flow:
        return link_flow(load_flow(text, file, dialect=dialect).flow, called)
