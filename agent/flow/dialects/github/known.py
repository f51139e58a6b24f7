"""Known members of contexts at a place of a flow, as far as the flow itself tells."""

from collections.abc import Callable, Iterable
from typing import Final

from agent.flow.dialects.github.parts import (
    is_expression,
    list_fields,
    list_items,
    list_pairs,
    text_of,
)
from agent.flow.dialects.github.table.members import (
    DISPATCH_EVENT,
    JOB,
    NEED,
    NO_JOB_MEMBER,
    NO_STEP_MEMBER,
    SERVICE,
    STEP,
    VOCABULARY,
)
from agent.flow.expressions import fold_case
from agent.flow.members import (
    DeclaredElsewhere,
    Known,
    Members,
    names_of,
)
from agent.flow.source import Mapping, Node, Sequence, key_text

_DISPATCH: Final = "workflow_dispatch"
_CALL: Final = "workflow_call"
_NO_INPUT: Final = "the flow declares no such input"
_RULES: Final = ("include", "exclude")
_WORKSPACE: Final = ("./", ".\\")


class FlowContexts:
    """The contexts of a flow's own keys; each is made when it is first asked for."""

    def __init__(self, fields: dict[str, Node]) -> None:
        self._on = fields.get("on")
        self._events = _list_events(self._on)
        self._jobs = {
            fold_case(key_text(key)): (key_text(key), list_fields(job))
            for key, job in list_pairs(fields.get("jobs"))
        }
        self._needs: dict[str, Known] = {}
        self._made: dict[str, Known] = {}
        self._makers: dict[str, Callable[[], Known]] = {
            "github": self._make_github,
            "inputs": self._make_inputs,
            "jobs": self._make_jobs,
        }
        self.unneeded = {
            name: ("this job does not need that job", f"add `{written}` to its `needs`")
            for name, (written, _) in self._jobs.items()
        }

    def find(self, context: str) -> Known:
        """What is known of a context."""
        if context not in self._made:
            maker = self._makers.get(context)
            self._made[context] = VOCABULARY.fixed.get(context) if maker is None else maker()
        return self._made[context]

    def find_need(self, identifier: str) -> Known:
        """What is known of a job in `needs` and in `jobs`."""
        name = fold_case(identifier)
        if name not in self._jobs:
            return None  # reported already
        if name not in self._needs:
            self._needs[name] = _describe_need(*self._jobs[name])
        return self._needs[name]

    def _make_github(self) -> Known:
        known = Members({"event": self._describe_event()}, "the context `github` has no such member")
        for name in VOCABULARY.fixed["github"].list_names():
            known.add(name, None)
        return known

    def _describe_event(self) -> Known:
        """A called flow sees its caller's event, and other events have what their senders say."""
        if _DISPATCH not in self._events or _CALL in self._events:
            return None
        inputs = names_of(self._list_inputs(_DISPATCH), _NO_INPUT)
        names: dict[str, Known] = {"inputs": inputs}
        if len(self._events) > 1:
            return Members(names, "", is_open=True)
        return Members(
            dict.fromkeys(DISPATCH_EVENT) | names,
            "only `workflow_dispatch` starts the flow, and its event has no such member",
        )

    def _make_inputs(self) -> Known:
        if self._on is None:
            return None
        return names_of([*self._list_inputs(_DISPATCH), *self._list_inputs(_CALL)], _NO_INPUT)

    def _list_inputs(self, event: str) -> list[str]:
        pairs = list_pairs(list_fields(self._events.get(event)).get("inputs"))
        return [key_text(key) for key, _ in pairs]

    def _make_jobs(self) -> Known:
        jobs = {written: self.find_need(written) for written, _ in self._jobs.values()}
        return Members(jobs, "the flow has no such job")


class JobContexts:
    """The contexts within a job. `steps` are those that are done: who walks the job adds each."""

    def __init__(self, flow: FlowContexts, fields: dict[str, Node]) -> None:
        self.steps = Members({}, "")
        self._flow = flow
        self._fields = fields
        self._is_elsewhere = _checks_out_another(fields.get("steps"))
        self._made: dict[str, Known] = {}
        self._makers: dict[str, Callable[[], Known]] = {
            "job": lambda: _describe_job(fields.get("services")),
            "matrix": lambda: _describe_matrix(fields.get("strategy")),
            "needs": self._make_needs,
        }

    def find(self, context: str) -> Known:
        """What is known of a context just now."""
        if context == "steps":
            return self.steps
        if context not in self._makers:
            return self._flow.find(context)
        if context not in self._made:
            self._made[context] = self._makers[context]()
        return self._made[context]

    def add_step(self, step: Mapping) -> None:
        """Let the steps below, and the job's own keys, see a step."""
        identifier = text_of(step.find("id"))
        if identifier:
            uses = text_of(step.find("uses"))
            self.steps.add(identifier, _describe_step(uses, is_elsewhere=self._is_elsewhere))

    def _make_needs(self) -> Known:
        names = [text_of(item) for item in list_items(self._fields.get("needs"))]
        return Members(
            {name: self._flow.find_need(name) for name in names},
            "the flow has no such job",
            elsewhere=self._flow.unneeded,
        )


def _list_events(on: Node | None) -> dict[str, Node | None]:
    if isinstance(on, Mapping):
        return {key_text(key): value for key, value in on.pairs}
    return {text_of(item): None for item in list_items(on)}


def _describe_need(identifier: str, job: dict[str, Node]) -> Known:
    uses = job.get("uses")
    outputs: Known
    if uses is not None:
        outputs = DeclaredElsewhere(text_of(uses), is_call=True)
    else:
        names = [key_text(key) for key, _ in list_pairs(job.get("outputs"))]
        if "keeps" in job:
            from agent.flow.dialects.github.data import name_kept_outputs  # of few jobs

            names += name_kept_outputs(job["keeps"])
        outputs = names_of(names, f"the job `{identifier}` declares no such output")
    return Members({**dict.fromkeys(NEED), "outputs": outputs}, "a job has only `result` and `outputs`")


def _describe_step(uses: str, *, is_elsewhere: bool) -> Members:
    is_unknown = not uses or uses.startswith("docker://") or (is_elsewhere and uses.startswith(_WORKSPACE))
    outputs = None if is_unknown else DeclaredElsewhere(uses, is_call=False)
    return Members({**dict.fromkeys(STEP), "outputs": outputs}, NO_STEP_MEMBER)


def _checks_out_another(steps: Node | None) -> bool:
    """Whether the job's workspace may be another repository than the flow's: `./path` then says nothing."""
    items = steps.items if isinstance(steps, Sequence) else []
    return any(
        "/checkout@" in text_of(item.find("uses")) and "repository" in list_fields(item.find("with"))
        for item in items
        if isinstance(item, Mapping)
    )


def _describe_job(services: Node | None) -> Known:
    known: Known = None
    if services is None:
        known = Members({}, "this job has no services")
    elif isinstance(services, Mapping) and not any(is_expression(key) for key, _ in services.pairs):
        service = names_of(SERVICE, "a service has only `id`, `network` and `ports`")
        names = [key_text(key) for key, _ in services.pairs]
        known = Members(dict.fromkeys(names, service), "this job has no such service")
    return Members({**dict.fromkeys(JOB), "services": known}, NO_JOB_MEMBER)


def _describe_matrix(strategy: Node | None) -> Known:
    """The keys of vectors and of `include`, where both are written out."""
    fields = list_fields(strategy)
    if not _is_written_out([strategy]) and strategy is not None:
        return None
    matrix = fields.get("matrix")
    if matrix is None:
        return Members({}, "this job has no matrix")
    include = list_fields(matrix).get("include")
    cells = include.items if isinstance(include, Sequence) else []
    if not _is_written_out([matrix, *cells]) or not (include is None or isinstance(include, Sequence)):
        return None
    values: dict[str, list[Node]] = {}
    for key, vector in list_pairs(matrix):
        if key_text(key) not in _RULES:
            values[key_text(key)] = list(vector.items) if isinstance(vector, Sequence) else [vector]
    for name, nodes in _gather(cells).items():
        values.setdefault(name, []).extend(nodes)
    return Members(
        {name: _describe_value(nodes) for name, nodes in values.items()},
        "the matrix of this job has no such key",
    )


def _describe_value(nodes: list[Node]) -> Known:
    """What a value has that is one of `nodes`: known where each is a mapping that is written out.

    A job that many matrices share asks for keys that this one's values don't have.
    """
    if not nodes or not _is_written_out(nodes):
        return None
    names = {name: _describe_value(inner) for name, inner in _gather(nodes).items()}
    return Members(names, "no value of the matrix has such a key", is_loose=True)


def _gather(mappings: Iterable[Node]) -> dict[str, list[Node]]:
    """All values of each key."""
    values: dict[str, list[Node]] = {}
    for node in mappings:
        for key, value in list_pairs(node):
            values.setdefault(key_text(key), []).append(value)
    return values


def _is_written_out(nodes: Iterable[Node | None]) -> bool:
    return all(
        isinstance(node, Mapping) and not any(is_expression(key) for key, _ in node.pairs) for node in nodes
    )
