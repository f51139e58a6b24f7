"""The table of handlers: a kind of action is a file in `handlers/` and a row here."""

from collections.abc import Callable

from agent.job.handlers.script import ScriptHandler
from agent.job.steps.parts import StepAction
from agent.job.steps.steprun import Handler, StepStage
from agent.spec.job import StepSpec

_ASKS = "HumanRuns"  # whose answer is a new one each time


def find_handler(action: StepAction | None) -> Handler:
    """The handler of a step: by its action's `runs`, or that of scripts when it has none."""
    return ScriptHandler() if action is None else _HANDLERS[type(action.manifest.runs).__name__]()


def stage_condition(action: StepAction, stage: StepStage) -> str:
    """The `pre-if` or `post-if` of an action; empty when it has no such stage."""
    runs = action.manifest.runs
    has_stage = getattr(runs, stage.value, "") or getattr(runs, f"{stage.value}_entrypoint", "")
    condition: str = getattr(runs, f"{stage.value}_if") if has_stage else ""
    return condition


def is_cached(action: StepAction | None, spec: StepSpec) -> bool:
    """Whether the step's outputs may be an earlier run's: the step says so, else its action, which does nothing after the step."""
    if (
        action is None
        or type(action.manifest.runs).__name__ == _ASKS
        or stage_condition(action, StepStage.POST)
    ):
        return False
    return action.manifest.is_cached if spec.is_cached is None else spec.is_cached


def _command() -> Handler:
    from agent.job.handlers.command import CommandHandler

    return CommandHandler()


def _file() -> Handler:
    from agent.job.handlers.command import FileHandler

    return FileHandler()


def _composite() -> Handler:
    from agent.job.handlers.composite import CompositeHandler

    return CompositeHandler()


def _docker() -> Handler:
    from agent.job.handlers.docker import DockerHandler

    return DockerHandler()


def _human() -> Handler:
    from agent.job.handlers.human import HumanHandler

    return HumanHandler()


def _node() -> Handler:
    from agent.job.handlers.program import ProgramHandler
    from agent.job.runtimes.interpreters import find_node_interpreter

    return ProgramHandler(find_node_interpreter)


def _python() -> Handler:
    from agent.job.handlers.program import ProgramHandler
    from agent.job.runtimes.interpreters import find_python_interpreter

    return ProgramHandler(find_python_interpreter)


# By the names of the classes in agent.resolve.manifests.model; each is imported when a job has such an action.
_HANDLERS: dict[str, Callable[[], Handler]] = {
    "CommandRuns": _command,
    "CompositeRuns": _composite,
    "DockerRuns": _docker,
    _ASKS: _human,
    "NodeRuns": _node,
    "PythonRuns": _python,
    "ScriptRuns": _file,
}
