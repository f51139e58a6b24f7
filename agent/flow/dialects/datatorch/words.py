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
    event_places=(("event",), ("github", "event")),
    elsewhere={
        r"\.output\b(?!s)": ".outputs",
        r"^event\b": "github.event",
        r"^input\b": "inputs",
        r"^(?:pipeline|flow)\.name$": "github.workflow",
        r"^(?:pipeline|flow)\.creatorId$": "github.actor",
        r"^run\.id$": "github.run_id",
        r"^run\.runNumber$": "github.run_number",
        r"^(?:machine|agent)\.name$": "runner.name",
        r"^machine\.os$": "runner.os",
        r"^directory\.temp$": "runner.temp",
        r"^(?:run|job)\.directory$": "github.workspace",
        # A step is known by its id alone: what is no id, no step there has.
        r"^steps\['[^']*[^'\w-][^']*'\]": "steps_by_name",
    },
    names_are_unique=True,
)
