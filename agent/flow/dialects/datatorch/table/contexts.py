"""Contexts that a template, and an `if`, may read."""

from typing import Final

from agent.flow.context_scope import ContextScope
from agent.flow.expressions import STATUS_FUNCTIONS, FunctionInfo

# Known when the job is made ready.
RUN: Final = ContextScope(("pipeline", "flow", "run", "trigger", "event", "input", "inputs", "needs", "vars"))
# On the machine, step by step; `secrets` and `vars` are ours.
STEP: Final = ContextScope(
    (
        *RUN.contexts,
        *("variable", "steps", "step", "action", "job", "agent", "directory", "machine", "python", "secrets"),
    )
)
STEP_IF: Final = ContextScope(
    tuple(name for name in STEP.contexts if name != "secrets"),
    tuple(FunctionInfo(info.name, 0, 0) for info in STATUS_FUNCTIONS.values()),
)
