"""dstack's language as the rooms behind its front end ask for it."""

from typing import Final

from agent.flow.dialect import Dialect
from agent.flow.dialects.dstack.contexts import (
    ARGS,
    BY_HAND,
    job_contexts,
    next_contexts,
    same_contexts,
    start_contexts,
)

DSTACK: Final = Dialect(
    "dstack",
    events=(BY_HAND,),
    by_hand=BY_HAND,
    by_hand_hint="each of its workflows can be, by its name",
    conventions="dstack",
    debug_variables={"ACTIONS_STEP_DEBUG": "true"},
    start_contexts=start_contexts,
    next_contexts=next_contexts,
    job_contexts=job_contexts,
    called_contexts=same_contexts,
    arguments_input=ARGS,
    names_runs=True,
    elsewhere={r"^run\.name$": "github.run_id"},
)
