"""Flows that call flows: which files a flow calls, and the flow with all of them joined to it.

Text comes from whoever can read it (a disk, git, a forge): `load_called` asks for each file once and gives all texts,
`link_flow` makes of the texts one `Flow` whose `called` hold the others. Both know nothing but text.

Which file a call means, `agent.flow.references` says.

Limits and words: GitHub's documentation of reusable workflows, actions/languageservices `workflow-parser`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from agent.errors import UsageError
from agent.flow.load import find_front_end, load_flow
from agent.flow.model import Flow, FlowCall, Job
from agent.flow.problems import InvalidFlowError, Problem
from agent.flow.references import refer

MAX_DEPTH = 10  # flows in a chain of calls, the first one among them
MAX_FILES = 50  # called files

ReadText = Callable[[str], str | None]


def load_called(flow: Flow, read: ReadText) -> dict[str, str]:
    """The texts of all flows that `flow` calls, directly or through others, by reference; and those of its companions.

    `read` gives the text behind a reference, raises AgentError when there is none, and gives None for one to leave out.
    Raises UsageError when there are too many, and InvalidFlowError for one that is not valid.
    """
    texts = dict(flow.companions)
    open_flows = [("", flow)]
    while open_flows:
        caller, calling = open_flows.pop(0)
        for job, call in _calls(calling):
            reference = refer(call.uses, caller)
            if reference in texts:
                continue
            if len(texts) - len(flow.companions) == MAX_FILES:
                raise UsageError(f"more than {MAX_FILES} flows are called", where=str(job.position))
            text = read(reference)
            if text is not None:
                texts[reference] = text
                open_flows.append((reference, _parse(flow, reference, text)))
    return texts


def link_flow(flow: Flow, texts: Mapping[str, str], *, is_partial: bool = False) -> Flow:
    """`flow` with the flows that it calls joined to it, from their `texts` by reference (see `load_called`).

    `is_partial`: what was left out is no problem. Raises InvalidFlowError with every problem of the calls: a file that is not there or not valid, a chain that is too
    long or comes back to itself, inputs, secrets and permissions that don't fit.
    """
    if not _calls(flow):
        return flow
    flows = {
        reference: _parse(flow, reference, text)
        for reference, text in texts.items()
        if reference not in flow.companions
    }
    linker = _Linker(flows, is_partial=is_partial)
    linked, _depth = linker.link("", flow)
    if linker.problems:
        raise InvalidFlowError(flow.file, linker.problems)
    return linked


def _calls(flow: Flow) -> list[tuple[Job, FlowCall]]:
    return [(job, job.call) for job in flow.jobs.values() if job.call is not None]


def _parse(caller: Flow, reference: str, text: str) -> Flow:
    """A flow calls flows of its own language."""
    return load_flow(text, reference, dialect=caller.dialect.name).flow


class _Linker:
    """Joins each flow once, however many call it: the number of chains can be out of all proportion to the files."""

    def __init__(self, flows: Mapping[str, Flow], *, is_partial: bool) -> None:
        self.problems: list[Problem] = []
        self._is_partial = is_partial
        self._flows = flows
        self._linked: dict[str, tuple[Flow, int]] = {}
        self._chain: list[str] = []

    def link(self, reference: str, flow: Flow) -> tuple[Flow, int]:
        """The flow with those that it calls, and how many flows the longest chain from it has."""
        if reference in self._linked:
            return self._linked[reference]
        self._chain.append(reference)
        front_end = find_front_end(flow.dialect.name)
        called: dict[str, Flow] = {}
        depth = 1
        for job, call in _calls(flow):
            target = refer(call.uses, reference)
            if self._is_partial and target not in self._flows:
                continue
            complaint = self._explain(target)
            if complaint:
                self.problems.append(Problem(job.position, complaint))
                continue
            self.problems += front_end.check_call(flow, job, self._flows[target])
            called[call.uses], height = self.link(target, self._flows[target])
            depth = max(depth, height + 1)
            if not reference and height >= MAX_DEPTH:
                message = f"calls are nested too deeply: {MAX_DEPTH} flows in a chain are the most"
                self.problems.append(Problem(job.position, message))
        self._chain.pop()
        linked = replace(flow, called=MappingProxyType(called))
        self._linked[reference] = linked, depth
        return linked, depth

    def _explain(self, target: str) -> str:
        if target in self._chain:
            return f"'{target}' calls itself: {' -> '.join([*self._chain[1:], target])}"
        return "" if target in self._flows else f"the flow '{target}' was not found"
