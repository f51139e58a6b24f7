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
    event_places=(("context", "event", "github", "event"),),
    elsewhere={
        r"context\.event\.github\.url": "format('{0}/{1}.git', github.server_url, github.repository)",
        r"context\.event\.github\.ref\b": "github.ref",
        r"context\.event\.github\.branch": "github.ref_name",
        r"context\.event\.github\.sha": "github.sha",
        r"context\.event\.github\.event\b": "github.event",
        r"context\.event\.name": "github.event_name",
    },
)
