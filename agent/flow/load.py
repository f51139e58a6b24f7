"""The language room's front door: text in, a `Flow` out, or every problem of the text at once.

The only module that knows the dialects. Which one a file is in: what the caller says, else a first line
`# dialect: NAME`, else what stands in it (docs: seeds of the product).
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from agent.errors import UsageError
from agent.flow.companions import NO_COMPANIONS, ReadCompanions, read_none
from agent.flow.composing import YamlLimits
from agent.flow.folders import find_dialect
from agent.flow.front_end import FrontEnd
from agent.flow.model import Flow, Position
from agent.flow.problems import InvalidFlowError, Problem, Severity
from agent.flow.source import Mapping, Node, Scalar, Sequence, read_nodes


def _import_github() -> FrontEnd:
    from agent.flow.dialects import github

    return github.FRONT_END


def _import_dstack() -> FrontEnd:
    from agent.flow.dialects import dstack

    return dstack.FRONT_END


def _import_datatorch() -> FrontEnd:
    from agent.flow.dialects import datatorch

    return datatorch.FRONT_END


def _import_gradient() -> FrontEnd:
    from agent.flow.dialects import gradient

    return gradient.FRONT_END


def _import_jumpwire() -> FrontEnd:
    from agent.flow.dialects import jumpwire

    return jumpwire.FRONT_END


# Imported when a flow of that language is first read: nobody waits for languages that he doesn't use.
_FRONT_ENDS: Final[dict[str, Callable[[], FrontEnd]]] = {
    "github": _import_github,
    "dstack": _import_dstack,
    "datatorch": _import_datatorch,
    "gradient": _import_gradient,
    "jumpwire": _import_jumpwire,
}
DIALECTS: Final = tuple(_FRONT_ENDS)
DEFAULT: Final = "github"
# A file is read before it is known which language it is in: no language takes more (a test sees to that).
LIMITS: Final = YamlLimits()

_DIALECT_LINE: Final = r"\ufeff?#\s*dialect:\s*([A-Za-z]+)\s*(?:\n|\r|$)"
_LATER_NAMES: Final = (".dstack.yml", ".dstack.yaml")
_LATER_TYPES: Final = ("task", "service", "dev-environment", "fleet", "gateway", "volume")
_GRADIENT_ACTION: Final = r"(?:container|script|git-checkout|s3-download|create-model)@v\d+"
_GRADIENT_INPUT: Final = r"[\w-]+\.(?:inputs|outputs)\."


class LoadedFlow(NamedTuple):
    """A flow, and what is odd about its file without making it invalid."""

    flow: Flow
    warnings: tuple[Problem, ...]


class InspectedFlow(NamedTuple):
    """What a flow's text is: the flow, None where a problem is an error, and all problems in the file's order."""

    flow: Flow | None
    problems: list[Problem]


def load_flow(
    text: str, file: str, *, dialect: str | None = None, companions: ReadCompanions = read_none
) -> LoadedFlow:
    """Read a flow. `file` is its name, for positions and for telling the dialect; `companions` reads what its language wants beside it.

    Raises InvalidFlowError with all problems of the file, warnings among them, when any of them is an error.
    """
    flow, problems = _read(text, file, dialect, companions)
    if flow is None:
        raise InvalidFlowError(file, problems)
    return LoadedFlow(flow, tuple(problems))


def inspect_flow(
    text: str, file: str, dialect: str | None = None, companions: ReadCompanions = read_none
) -> InspectedFlow:
    """The flow in a text, if it is one, and all that is wrong or odd about it."""
    try:
        return InspectedFlow(*_read(text, file, dialect, companions))
    except InvalidFlowError as error:
        return InspectedFlow(None, list(error.problems))


def find_front_end(dialect: str = DEFAULT) -> FrontEnd:
    """The front end of the language with that name; without one, of the language that a file is in when nothing speaks against it.

    Raises UsageError where there is none.
    """
    if dialect not in _FRONT_ENDS:
        raise UsageError(f"there is no dialect '{dialect}'", hint=f"known are {', '.join(_FRONT_ENDS)}")
    return _FRONT_ENDS[dialect]()


def find_providing() -> FrontEnd:
    """The front end of the language whose jobs a provider alone can make."""
    return find_front_end("dstack")


def detect_dialect(root: Node, file: str) -> str:
    """The dialect that the nodes, or the file's place, give away; the default where nothing speaks against it."""
    placed = find_dialect(file)
    if placed:
        return placed
    if not isinstance(root, Mapping):
        return DEFAULT
    if isinstance(root.find("workflows"), Sequence) or _is_later_dstack(root, file):
        return "dstack"
    if isinstance(root.find("stages"), Sequence):
        return "jumpwire"
    if _is_datatorch(root):
        return "datatorch"
    return "gradient" if _is_gradient(root) else DEFAULT


def _read(
    text: str, file: str, dialect: str | None, companions: ReadCompanions
) -> tuple[Flow | None, list[Problem]]:
    root, oddities = read_nodes(text, file, limits=LIMITS)
    spoken = re.match(_DIALECT_LINE, text) if text[:2].lstrip("\ufeff")[:1] == "#" else None
    name = dialect or (spoken[1].lower() if spoken else detect_dialect(root, file))
    if name not in _FRONT_ENDS:
        raise InvalidFlowError(file, [_explain_dialect(name, file)])
    front_end = find_front_end(name)
    wanted = front_end.list_companions(file)
    texts = companions(wanted) if wanted else NO_COMPANIONS
    flow, problems = front_end.read(root, file, texts)
    everything = sorted([*oddities, *problems], key=lambda found: _place_in(file, found))
    if flow is None or any(problem.severity is Severity.ERROR for problem in oddities):
        return None, everything
    return (replace(flow, companions=texts) if texts else flow), everything


def _place_in(file: str, problem: Problem) -> tuple[bool, str, int, int]:
    """Where a problem stands in the list of a file's: those of its companions come last."""
    place = problem.position
    return place.file != file, place.file, place.line, place.column


def _explain_dialect(name: str, file: str) -> Problem:
    return Problem(Position(file, 1, 1), f"there is no dialect '{name}'", f"known are {', '.join(DIALECTS)}")


def _is_later_dstack(root: Mapping, file: str) -> bool:
    """Whether this is a file of a later dstack, which that language's front end has a sentence for."""
    kind = root.find("type")
    return root.find("jobs") is None and (
        file.endswith(_LATER_NAMES) or (isinstance(kind, Scalar) and kind.value in _LATER_TYPES)
    )


def _is_datatorch(root: Mapping) -> bool:
    if root.find("on") is not None:
        return False
    schema = root.find("$schema")
    if isinstance(schema, Scalar) and "datatorch" in str(schema.value).lower():
        return True
    return root.find("triggers") is not None or any(
        isinstance(step, Mapping)
        and not (step.find("uses") or step.find("run"))
        and (step.find("action") or step.find("inputs")) is not None
        for job in _list_jobs(root)
        for step in _list_items(job.find("steps"))
    )


def _is_gradient(root: Mapping) -> bool:
    defaults = root.find("defaults")
    resources = defaults.find("resources") if isinstance(defaults, Mapping) else None
    if isinstance(resources, Mapping) and resources.find("instance-type") is not None:
        return True
    return any(_is_gradient_job(job) for job in _list_jobs(root))


def _is_gradient_job(job: Mapping) -> bool:
    uses = job.find("uses")
    if isinstance(uses, Scalar) and re.fullmatch(_GRADIENT_ACTION, str(uses.value)):
        return True
    if any(
        isinstance(value, Mapping) and value.find("type") is not None
        for value in _list_values(job, "outputs")
    ):
        return True
    return any(
        isinstance(value, Scalar) and re.match(_GRADIENT_INPUT, str(value.value))
        for value in _list_values(job, "inputs")
    )


def _list_values(node: Mapping, key: str) -> list[Node]:
    value = node.find(key)
    return [item for _, item in value.pairs] if isinstance(value, Mapping) else []


def _list_jobs(root: Mapping) -> list[Mapping]:
    jobs = root.find("jobs")
    return [job for _, job in jobs.pairs if isinstance(job, Mapping)] if isinstance(jobs, Mapping) else []


def _list_items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Sequence) else []
