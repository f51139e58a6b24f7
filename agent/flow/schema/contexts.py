"""Which contexts and functions an expression may use, place by place.

From actions/languageservices `workflow-parser/src/workflow-v1.0.json`. The functions that are known everywhere
(`contains`, `format`, ...) are not named here; see agent/flow/expressions/functions.py.
"""

from typing import NamedTuple

from agent.flow.expressions import HASH_FILES, STATUS_FUNCTIONS, FunctionInfo


class Scope(NamedTuple):
    """The contexts, and the functions beyond the common ones, of one place."""

    contexts: tuple[str, ...] = ()
    functions: tuple[FunctionInfo, ...] = ()

    def joined(self, other: "Scope") -> "Scope":
        """This place's and the other's together; a place inherits what surrounds it."""
        return Scope(
            tuple(dict.fromkeys(self.contexts + other.contexts)),
            tuple({info.name: info for info in self.functions + other.functions}.values()),
        )


# A step's status functions take no arguments, a job's success() and failure() take job names.
_JOB_STATUS = tuple(STATUS_FUNCTIONS.values())
_STEP_STATUS = tuple(FunctionInfo(info.name, 0, 0) for info in _JOB_STATUS)

NOWHERE = Scope()
FLOW = Scope(("github", "inputs", "vars"))
FLOW_SECRETS = Scope((*FLOW.contexts, "secrets"))
OUTPUTS = Scope((*FLOW.contexts, "jobs"))
NEEDS = Scope((*FLOW.contexts, "needs"))
MATRIX = Scope((*NEEDS.contexts, "strategy", "matrix"))
MATRIX_SECRETS = Scope((*MATRIX.contexts, "secrets"))
MATRIX_ENV = Scope((*MATRIX.contexts, "env"))
CREDENTIALS = Scope((*FLOW_SECRETS.contexts, "env"))
RUNNER_OPEN = Scope((*MATRIX.contexts, "steps", "job", "runner", "env"))  # shown to people: no secrets
RUNNER = Scope((*MATRIX_SECRETS.contexts, "steps", "job", "runner", "env"))
STEP = Scope(RUNNER.contexts, (HASH_FILES,))
JOB_IF = Scope(NEEDS.contexts, _JOB_STATUS)
STEP_IF = Scope(RUNNER_OPEN.contexts, (*_STEP_STATUS, HASH_FILES))
