"""JumpWire's language as the rooms behind its front end ask for it."""

from typing import Final

from agent.flow.dialect import Dialect
from agent.flow.dialects.jumpwire.contexts import (
    BY_HAND,
    called_contexts,
    job_contexts,
    next_contexts,
    start_contexts,
)

JUMPWIRE: Final = Dialect(
    "jumpwire",
    events=(BY_HAND,),
    by_hand=BY_HAND,
    by_hand_hint="every flow of this language can be",
    conventions="github",  # as the actions expect that are stages of it
    debug_variables={},
    start_contexts=start_contexts,
    next_contexts=next_contexts,
    job_contexts=job_contexts,
    called_contexts=called_contexts,
    event_places=(("github", "event"),),
    names_are_unique=True,
)
