"""Files of a later dstack: another language, of tasks and services instead of workflows. One sentence says so."""

from typing import Final

from agent.flow.problems import Problem
from agent.flow.source import Mapping, Node, Scalar

TYPES: Final = ("task", "service", "dev-environment", "fleet", "gateway", "volume")
_MESSAGE: Final = "this is a file of a later dstack ({}), which is another language"
_HINT: Final = (
    "the workflows of 2022 and early 2023 are read here: `workflows:`, each with a name and a provider"
)


def find_later(root: Node) -> Problem | None:
    """What there is to say of a file of a later dstack; None of any other."""
    kind = root.find("type") if isinstance(root, Mapping) else None
    if not isinstance(root, Mapping) or root.find("workflows") is not None:
        return None
    if isinstance(kind, Scalar) and kind.value in TYPES:
        return Problem(kind.position, _MESSAGE.format(f"`type: {kind.value}`"), _HINT)
    return None


def refuse_name(root: Node) -> Problem:
    """What there is to say of a file that is named as those of a later dstack are."""
    return Problem(root.position, _MESSAGE.format("`*.dstack.yml`"), _HINT)
