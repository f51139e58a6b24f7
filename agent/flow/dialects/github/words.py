"""GitHub's language as the rooms behind its front end ask for it."""

from typing import Final

from agent.flow.dialect import Dialect
from agent.flow.dialects.github.contexts import (
    BY_HAND,
    DEBUG_VARIABLES,
    called_contexts,
    job_contexts,
    next_contexts,
    start_contexts,
)
from agent.flow.dialects.github.table.events import EVENTS

GITHUB: Final = Dialect(
    "github",
    events=tuple(EVENTS.keys),
    by_hand=BY_HAND,
    by_hand_hint=f"add `{BY_HAND}` to its `on`",
    conventions="github",
    debug_variables=DEBUG_VARIABLES,
    start_contexts=start_contexts,
    next_contexts=next_contexts,
    job_contexts=job_contexts,
    called_contexts=called_contexts,
    event_places=(("github", "event"),),
)
