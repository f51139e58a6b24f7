"""An action, whatever language its manifest is written in: what it takes and gives, and how it runs.

A front end each (`agent.resolve.manifests`) makes it; who resolves, runs or shows actions knows this and no front end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from agent.errors import AgentError
from agent.flow.problems import Problem
from agent.redaction import redact
from agent.spec.job import StepSpec

ALWAYS = "always()"
DEEPEST_COMPOSITE: Final = (
    9  # composite actions inside each other; at GitHub `Constants.CompositeActionsMaxDepth`
)
MOST_SHOWN: Final = 50  # problems of one manifest, in a message

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ActionInput:
    """One input as declared; `default` is a template, None where none is written."""

    name: str
    description: str = ""
    required: bool = False
    default: object = None
    deprecation_message: str = ""
    type: str = ""  # string, integer, float, boolean, array; empty: text, whatever it looks like
    options: tuple[object, ...] = ()  # what it may be; none: anything of its type


@dataclass(frozen=True, slots=True)
class ActionOutput:
    """One output as declared; `value` is a template, of composite actions only."""

    name: str
    description: str = ""
    value: object = None
    type: str = ""  # string, number, boolean; for readers: what a step gives is not held against it
    options: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeRuns:
    """A JavaScript action. Paths are relative to the action's folder; conditions are expressions."""

    version: int  # the node to run it with: 20 or 24
    main: str
    pre: str = ""
    pre_if: str = ALWAYS
    post: str = ""
    post_if: str = ALWAYS


@dataclass(frozen=True, slots=True)
class PythonRuns:
    """A Python action: run by the agent's own interpreter, isolated."""

    main: str
    pre: str = ""
    pre_if: str = ALWAYS
    post: str = ""
    post_if: str = ALWAYS
    # False: it may import from its own folder and the modules of its conventions, and gets all values so far as JSON in
    # its last argument.
    is_isolated: bool = True


@dataclass(frozen=True, slots=True)
class DockerRuns:
    """A container action. `image` is `docker://...` or a Dockerfile's path; `args` and `env` are templates."""

    image: str
    entrypoint: str = ""
    args: tuple[object, ...] = ()
    env: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    pre_entrypoint: str = ""
    pre_if: str = ALWAYS
    post_entrypoint: str = ""
    post_if: str = ALWAYS
    takes_words: bool = True  # where it has none, the inputs `entrypoint` and `args` are the container's


@dataclass(frozen=True, slots=True)
class CommandRuns:
    """One command line, given to `sh`; a template of what the machine knows."""

    command: str


@dataclass(frozen=True, slots=True)
class ScriptRuns:
    """A file of the action's own that is executed, with arguments."""

    main: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompositeRuns:
    """An action made of steps."""

    steps: tuple[StepSpec, ...]


@dataclass(frozen=True, slots=True)
class HumanRuns:
    """An action that a person does: what is filled in are its outputs. `form` is a JSON schema of them."""

    form: Mapping[str, object]


Runs = NodeRuns | PythonRuns | DockerRuns | CommandRuns | ScriptRuns | CompositeRuns | HumanRuns


@dataclass(frozen=True, slots=True)
class ActionManifest:
    """What an action says about itself. Names of inputs are matched without regard to case by whoever reads them."""

    name: str
    runs: Runs
    description: str = ""
    inputs: Mapping[str, ActionInput] = field(default_factory=lambda: MappingProxyType({}))
    outputs: Mapping[str, ActionOutput] = field(default_factory=lambda: MappingProxyType({}))
    is_cached: bool = (
        False  # its outputs hang on its commit and its inputs alone, and may be taken from an equal run
    )
    # How its processes are spoken to and speak: a name of agent.spec.conventions; empty: as the job says.
    conventions: str = ""
    env: tuple[str, ...] = ()  # variables that it needs: secrets of these names, where the job has them


class InvalidActionError(AgentError):
    """A manifest has errors; `problems` holds all of them, in the file's order."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        first, more = problems[0], len(problems) - 1
        super().__init__(f"{file} is not valid", where=str(first.position), hint=first.hint)
        self.problems = tuple(problems)
        self.what = f"{first.message}{f' (and {more} more)' if more else ''}"
        self._file = file

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return super().__str__()
        lines = [f"  {problem}" for problem in self.problems[:MOST_SHOWN]]
        left = len(self.problems) - len(lines)
        more = [f"  and {left} more (`agent action check` shows all)"] if left else []
        return "\n".join(
            [f"the action has {len(self.problems)} problems ({redact(self._file)})", *lines, *more]
        )


def nested_too_deep(where: str = "") -> AgentError:
    """The error for more composite actions inside each other than GitHub takes."""
    return AgentError(f"composite actions are nested more than {DEEPEST_COMPOSITE} deep", where=where)
