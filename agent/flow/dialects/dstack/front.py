"""The front end: a file of workflows, and what lies beside it, become one flow whose jobs are the workflows.

Of other files' workflows the flow has those that its own need; whoever starts it says which of its jobs are to run.
"""

from collections.abc import Iterable
from collections.abc import Mapping as Texts
from dataclasses import dataclass, field

from agent.flow.dialects.dstack.companions import (
    PROVIDERS,
    VARIABLES,
    find_text,
    list_workflow_files,
    place_of,
    read_companion,
)
from agent.flow.dialects.dstack.contexts import ARGS, BY_HAND
from agent.flow.dialects.dstack.cycles import find_cycle
from agent.flow.dialects.dstack.data import FLOW, Need
from agent.flow.dialects.dstack.later import find_later, refuse_name
from agent.flow.dialects.dstack.limits import LIMITS
from agent.flow.dialects.dstack.overrides import COMPANION, override, read_overrides
from agent.flow.dialects.dstack.providers import Providers, read_providers
from agent.flow.dialects.dstack.table.files import FILE
from agent.flow.dialects.dstack.variables import GLOBAL, Variables, make_inputs, read_variables
from agent.flow.dialects.dstack.words import DSTACK
from agent.flow.dialects.dstack.workflows import Workflow, WorkflowReader, read_name
from agent.flow.members import find_close
from agent.flow.merging import merge_keys
from agent.flow.model import Flow, Input, Starts, Trigger, TriggerKind
from agent.flow.problems import Problem, Severity
from agent.flow.reading import Reader
from agent.flow.source import Mapping, Node
from agent.flow.tidied import list_fields, list_items


@dataclass(slots=True)
class _Folder:
    """What is known of a file's folder: each workflow's nodes, by name, and the file that they are in."""

    reader: Reader = field(default_factory=Reader)
    plain: Reader = field(
        default_factory=lambda: Reader(has_expressions=False)
    )  # of texts, and parts, without `${{ }}`
    problems: list[Problem] = field(default_factory=list)  # of texts that could not be read at all
    own: dict[str, Mapping] = field(default_factory=dict)
    beside: dict[str, Mapping] = field(default_factory=dict)
    nameless: set[str] = field(default_factory=set)  # keys of `own` that are no names, but places
    variables: Variables = field(default_factory=Variables)
    providers: Providers = field(default_factory=Providers)

    def find(self, name: str) -> Mapping | None:
        """The workflow of that name: this file's, else the first of another."""
        return self.own.get(name) or self.beside.get(name)

    @property
    def names(self) -> list[str]:
        """Those by which workflows can be meant."""
        return [name for name in {**self.own, **self.beside} if name not in self.nameless]


def read_flow(root: Node, file: str, texts: Texts[str, str]) -> tuple[Flow | None, list[Problem]]:
    """The flow that the nodes describe, and every problem; no flow where any problem is an error."""
    later = find_later(merge_keys(root))
    if later is None and file.endswith((".dstack.yml", ".dstack.yaml")):
        later = (
            None if isinstance(root, Mapping) and root.find("workflows") is not None else refuse_name(root)
        )
    if later is not None:
        return None, [later]
    folder = _Folder()
    _read_own(folder, root)
    _take_overrides(folder, texts)
    _read_beside(folder, file, texts)
    workflows = _read_workflows(folder)
    _check_needs(folder, workflows)
    _check_variables(folder, has_all=bool(set(texts) - {COMPANION}))
    problems = list(dict.fromkeys([*folder.problems, *folder.plain.problems, *folder.reader.problems]))
    if any(problem.severity is Severity.ERROR for problem in problems) or not workflows:
        return None, problems
    return _make_flow(folder, file, root, workflows), problems


def _make_flow(folder: _Folder, file: str, root: Node, workflows: dict[str, Workflow]) -> Flow:
    inputs = [
        *make_inputs({name: folder.variables.of(name) for name in workflows}),
        *(own for workflow in workflows.values() for own in workflow.inputs),
        *_take_args(workflows),
    ]
    return Flow(
        file,
        DSTACK,
        {name: workflow.job for name, workflow in workflows.items()},
        name=FLOW,
        run_name="${{ run.workflow }}",
        triggers=(Trigger(BY_HAND, root.position, TriggerKind.BY_HAND, inputs=tuple(inputs)),),
        starts=Starts.CHOSEN,
    )


def _take_args(workflows: dict[str, Workflow]) -> list[Input]:
    reading = tuple(name for name, workflow in workflows.items() if workflow.reads_args)
    about = "further arguments, quoted as a shell wants them"
    return [Input(ARGS, "string", about, jobs=reading)] if reading else []


def _read_own(folder: _Folder, root: Node) -> None:
    for name, node in _list_workflows(folder.plain, folder.plain.read(root, FILE)):
        if name and name in folder.own:
            folder.reader.report(node.find("name") or node, f"'{name}' is already defined")
            name = ""
        if not name:  # it is judged all the same
            name = f"at {node.position}"
            folder.nameless.add(name)
        folder.own[name] = node


def _list_workflows(reader: Reader, file: Node) -> Iterable[tuple[str, Mapping]]:
    """Each workflow of a tidied file with its name, empty where it has none that can be one; what is none is reported."""
    listed = list_fields(file).get("workflows")
    items = list_items(listed)
    if listed is not None and not items:
        reader.report(listed, "there is no workflow", "write `- name: NAME`, and its keys below")
    for item in items:
        name = read_name(reader, item)
        if isinstance(item, Mapping):
            yield name, item


def _take_overrides(folder: _Folder, texts: Texts[str, str]) -> None:
    """What the command line says counts for workflows of this file."""
    for name, said in read_overrides(texts).items():
        if name in folder.own:
            folder.own[name] = override(folder.own[name], said)


def _read_beside(folder: _Folder, file: str, texts: Texts[str, str]) -> None:
    """Variables, providers and other files of workflows. Of other files only what is needed is judged."""
    variables = _open(folder, file, texts, find_text(texts, VARIABLES), "variables")
    if variables is not None:
        folder.variables = read_variables(folder.plain, variables)
    providers = _open(folder, file, texts, find_text(texts, PROVIDERS), "providers")
    if providers is not None:
        folder.providers = read_providers(folder.plain, providers)
    for path in list_workflow_files(texts):
        place = place_of(file, path)
        root, _ = read_companion(texts[path], place, LIMITS)
        for name, node in _list_workflows(Reader(), root) if root is not None else ():
            if not name:
                continue
            if name in folder.own:
                where = folder.own[name].find("name") or folder.own[name]
                folder.reader.warn(where, f"there is a workflow '{name}' in {place}, too", "by its name the first one is started: workflows.yaml before workflows/*.yaml")  # fmt: skip
            folder.beside.setdefault(name, node)


def _open(folder: _Folder, file: str, texts: Texts[str, str], path: str, key: str) -> Mapping | None:
    """A companion's nodes. One that happens to have the name, beside a file that is in no `.dstack`, is left alone."""
    if not path:
        return None
    root, problems = read_companion(texts[path], place_of(file, path), LIMITS)
    is_placed = ".dstack" in file.replace("\\", "/").split("/")
    if not is_placed and (root is None or root.find(key) is None):
        return None
    folder.problems += problems
    return root


def _read_workflows(folder: _Folder) -> dict[str, Workflow]:
    """This file's workflows, and those of others that they need."""
    reader = WorkflowReader(
        folder.reader, folder.providers, folder.variables, tuple({**folder.own, **folder.beside})
    )
    found: dict[str, Workflow] = {}
    waiting = list(folder.own)
    seen = set(waiting)
    while waiting:
        name = waiting.pop(0)
        node = folder.find(name)
        if node is None:
            continue
        found[name] = workflow = reader.read(name, node)
        new = [need.name for need in workflow.needs if need.name not in seen]
        seen.update(new)
        waiting += dict.fromkeys(new)
    return found


def _check_needs(folder: _Folder, workflows: dict[str, Workflow]) -> None:
    known = folder.names
    for name, workflow in workflows.items():
        for need in workflow.needs:
            if need.name not in known:
                folder.reader.report(need.node, f"there is no workflow '{need.name}'", _advise(need, known))
        for need in workflow.named:
            if need.name not in known:
                folder.reader.warn(
                    need.node,
                    f"there is no workflow '{need.name}' here",
                    _advise(need, known) or "its last run that succeeded is looked for when this one starts",
                )
        cycle = find_cycle(name, {each: read.needs for each, read in workflows.items()})
        if cycle:
            chain = " -> ".join([name, *(need.name for need in cycle)])
            folder.reader.report(cycle[0].node, f"'{name}' depends on itself: {chain}")


def _check_variables(folder: _Folder, *, has_all: bool) -> None:
    known = folder.names
    for name, node in folder.variables.places.items() if has_all else ():
        if name != GLOBAL and name not in known:
            close = find_close(name, known)
            hint = f"did you mean `{close}`?" if close else ""
            folder.reader.warn(node, f"there is no workflow '{name}' to have these variables", hint)


def _advise(need: Need, known: Iterable[str]) -> str:
    names = list(known)
    close = find_close(need.name, names)
    return f"did you mean `{close}`?" if close else f"there is {', '.join(names[:12])}" if names else ""
