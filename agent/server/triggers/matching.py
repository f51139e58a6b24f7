"""Matching of flows and a delivery, and of those that don't start: why not, in words. Pure.

Source of the rules: GitHub's documentation, "Events that trigger workflows", "Skipping workflow runs", "Workflow syntax".
"""

import re
from typing import Final

from agent.flow.filters import Happening, explain_mismatch
from agent.flow.model import Flow
from agent.server.triggers.delivery import Delivery

_SKIP: Final = ("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]")
_SKIP_TRAILER: Final = re.compile(r"^skip-checks:\s*true\s*$", re.IGNORECASE | re.MULTILINE)
_SKIPPABLE: Final = ("push", "pull_request")  # what a word in a commit's message holds back


def find_skip(delivery: Delivery, message: str) -> str:
    """Why nothing is to start, because the author said so; "" when they did not. `message` is of the newest commit."""
    if delivery.event not in _SKIPPABLE:
        return ""
    if delivery.is_skipped:
        return "the push was made with the option ci.skip"
    lowered = message.lower()
    word = next((word for word in _SKIP if word in lowered), "")
    if word:
        return f"the commit's message says {word}"
    trailers = re.split(r"\n\s*\n", message.strip())[1:]
    if trailers and _SKIP_TRAILER.search(trailers[-1]):
        return "the commit's message says skip-checks: true"
    return ""


def explain_no_start(
    flow: Flow, delivery: Delivery, event_name: str, paths: tuple[str, ...] | None
) -> str | None:
    """None: the flow starts. "": it has no trigger for the event. Else why its trigger keeps this event out.

    `paths` are the changed files; None when they can't be known, so that path filters let it pass.
    """
    trigger = flow.trigger(event_name)
    if trigger is None:
        return ""
    is_tag = delivery.event == "push" and delivery.ref.startswith("refs/tags/")
    asked = Happening(
        event_name,
        ref=delivery.ref,
        action=_type_of(delivery),
        paths=None if is_tag else paths,
    )
    return explain_mismatch(trigger, asked) or None


def wants_paths(flow: Flow, event_name: str) -> bool:
    """Whether the flow's trigger asks for the changed files."""
    trigger = flow.trigger(event_name)
    return trigger is not None and not {"paths", "paths-ignore"}.isdisjoint(trigger.filters)


def event_names(delivery: Delivery) -> tuple[str, ...]:
    """The events of `on` that a delivery stands for: a request to merge is two."""
    if delivery.event == "pull_request":
        return ("pull_request", "pull_request_target")
    return (delivery.event,)


def _type_of(delivery: Delivery) -> str:
    """What `types` is held against. A pushed ref has no type, though some providers send an `action` along."""
    return "" if delivery.event == "push" else delivery.action
