"""Contexts and functions that an expression may use, place by place.

From actions/languageservices `workflow-parser/src/workflow-v1.0.json`. The functions that are known everywhere
(`contains`, `format`, ...) are not named here; see agent/flow/expressions/functions.py.
"""

from agent.flow.context_scope import ContextScope
from agent.flow.expressions import HASH_FILES, STATUS_FUNCTIONS, FunctionInfo

# A step's status functions take no arguments, a job's success() and failure() take job names.
_JOB_STATUS = tuple(STATUS_FUNCTIONS.values())
_STEP_STATUS = tuple(FunctionInfo(info.name, 0, 0) for info in _JOB_STATUS)

FLOW = ContextScope(("github", "inputs", "vars"))
FLOW_SECRETS = ContextScope((*FLOW.contexts, "secrets"))
OUTPUTS = ContextScope((*FLOW.contexts, "jobs"))
NEEDS = ContextScope((*FLOW.contexts, "needs"))
MATRIX = ContextScope((*NEEDS.contexts, "strategy", "matrix"))
MATRIX_SECRETS = ContextScope((*MATRIX.contexts, "secrets"))
MATRIX_ENV = ContextScope((*MATRIX.contexts, "env"))
CREDENTIALS = ContextScope((*FLOW_SECRETS.contexts, "env"))
RUNNER_OPEN = ContextScope(
    (*MATRIX.contexts, "steps", "job", "runner", "env", "resume")
)  # shown to people: no secrets
RUNNER = ContextScope((*MATRIX_SECRETS.contexts, "steps", "job", "runner", "env", "resume"))
STEP = ContextScope(RUNNER.contexts, (HASH_FILES,))
JOB_IF = ContextScope(NEEDS.contexts, _JOB_STATUS)
STEP_IF = ContextScope(RUNNER_OPEN.contexts, (*_STEP_STATUS, HASH_FILES))
