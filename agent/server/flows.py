"""Flows, parsed from the text that a run stores; the last few are kept."""

from collections import OrderedDict

from agent.flow.load import load_flow
from agent.flow.model import Flow

_MOST_FLOWS = 64


class FlowCache:
    """`Flow` by (file, text, dialect): a run is planned many times, its text never changes."""

    def __init__(self) -> None:
        self._flows: OrderedDict[tuple[str, str, str | None], Flow] = OrderedDict()

    def parse(self, file: str, text: str, dialect: str | None) -> Flow:
        """The flow. Raises InvalidFlowError."""
        key = (file, text, dialect)
        flow = self._flows.pop(key, None) or load_flow(text, file, dialect=dialect).flow
        self._flows[key] = flow
        if len(self._flows) > _MOST_FLOWS:
            self._flows.popitem(last=False)
        return flow
