"""DataTorch's language as the rooms behind its front end ask for it."""

from typing import Final

from agent.flow.dialect import Dialect
from agent.flow.dialects.datatorch.contexts import (
    called_contexts,
    job_contexts,
    next_contexts,
    start_contexts,
)
from agent.flow.dialects.datatorch.table.triggers import BY_HAND, EVENTS

DATATORCH: Final = Dialect(
    "datatorch",
    events=tuple(dict.fromkeys(EVENTS.values())),
    by_hand=BY_HAND,
    by_hand_hint=f"add `{BY_HAND}` to its `triggers`",
    conventions="datatorch",
    debug_variables={"ACTIONS_STEP_DEBUG": "true"},
    start_contexts=start_contexts,
    next_contexts=next_contexts,
    job_contexts=job_contexts,
    called_contexts=called_contexts,
    names_are_unique=True,
)
