"""Gradient's language as the rooms behind its front end ask for it."""

from typing import Final

from agent.flow.dialect import Dialect
from agent.flow.dialects.gradient.contexts import (
    BY_HAND,
    PUSH,
    called_contexts,
    job_contexts,
    next_contexts,
    start_contexts,
)

GRADIENT: Final = Dialect(
    "gradient",
    events=(BY_HAND, PUSH),
    by_hand=BY_HAND,
    by_hand_hint="every flow of this language can be started by hand",
    conventions="gradient",
    debug_variables={},
    start_contexts=start_contexts,
    next_contexts=next_contexts,
    job_contexts=job_contexts,
    called_contexts=called_contexts,
)
