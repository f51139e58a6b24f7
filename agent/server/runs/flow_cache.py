"""Flows, parsed from the texts that a run stores; the last few are kept."""

import json
from collections import OrderedDict
from collections.abc import Mapping

from agent.flow.called import link_flow
from agent.flow.companions import choose_among
from agent.flow.load import load_flow
from agent.flow.model import Flow
from agent.server.pools import Pool

_MOST_FLOWS = 64
_QUICK_CHARACTERS = 8_000  # what is read in some hundredths of a second


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

    async def read(self, file: str, text: str, dialect: str | None, called: str, threads: Pool) -> Flow:
        """As `parse`, a long one in a thread; for those who are not sure that it was read lately."""
        key = (file, text, dialect, called)
        if key not in self._flows and len(text) + len(called) > _QUICK_CHARACTERS:
            self._flows[key] = await threads.run(self._load, file, text, dialect, json.loads(called))
        return self.parse(file, text, dialect, called)

    def _load(self, file: str, text: str, dialect: str | None, called: Mapping[str, str]) -> Flow:
        flow = load_flow(text, file, dialect=dialect, companions=choose_among(called)).flow
        return link_flow(flow, called)
