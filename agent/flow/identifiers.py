"""Ids of jobs and steps, of flows and of composite actions: which are allowed, and how a step without one gets one.

Rules from actions/runner `Sdk/WorkflowParser/Conversion`: `IdBuilder.cs`, `WorkflowTemplateConverter.ConvertToSteps`.
"""

from typing import Final

MAX_LENGTH: Final = 100
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_FIRST: Final = _LETTERS | {"_"}
_REST: Final = _FIRST | frozenset("0123456789-")


def explain_invalid(identifier: str) -> str:
    """Why `identifier` may not be a job's or step's id, in GitHub's words; empty when it may."""
    if (
        not identifier
        or len(identifier) >= MAX_LENGTH
        or identifier[0] not in _FIRST
        or not _REST.issuperset(identifier)
    ):
        return (
            f"The identifier '{identifier}' is invalid. IDs may only contain alphanumeric characters, '_', and '-'. "
            f"IDs must start with a letter or '_' and and must be less than {MAX_LENGTH} characters."
        )
    if identifier.startswith("__"):
        return f"The identifier '{identifier}' is invalid. IDs starting with '__' are reserved."
    return ""


class StepIds:
    """The ids of the steps of one job or composite action. Add those that were written first, then generate the others."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._last_numbers: dict[str, int] = {}  # by stem: thousands of like steps stay quick

    def add(self, identifier: str) -> str:
        """Take a written id; what is wrong with it, in GitHub's words, or nothing. Case does not tell ids apart."""
        complaint = explain_invalid(identifier)
        if not complaint and identifier.lower() in self._taken:
            complaint = f"The identifier '{identifier}' may not be used more than once within the same scope."
        if not complaint:
            self._taken.add(identifier.lower())
        return complaint

    def generate(self, wish: str) -> str:
        """An id that begins with `__`, made from what the step does: `actions/checkout` is `__actions_checkout`."""
        stem = "__" + "".join(character if character in _REST else "_" for character in wish)
        number = self._last_numbers.get(stem, 0) + 1
        candidate = _number(stem, number)
        while candidate.lower() in self._taken:
            number += 1
            candidate = _number(stem, number)
        self._last_numbers[stem] = number
        self._taken.add(candidate.lower())
        return candidate


def name_action(uses: str) -> str:
    """What the generated id of a step with this `uses` is made from; of a step without one, `run`."""
    if uses.startswith("docker://"):
        return uses.removeprefix("docker://") or "run"
    if uses.startswith(("./", ".\\")):
        return "self"
    if uses.startswith("$/") and uses.strip("$/"):
        return "selfRepository"
    path, _, _ = uses.partition("@")
    segments = [segment for segment in path.replace("\\", "/").split("/") if segment]
    return "/".join(segments[:2]) if len(segments) >= 2 else "run"


def _number(stem: str, number: int) -> str:
    """The stem, the first as it is and the others with their number, no longer than an id may be."""
    suffix = "" if number == 1 else f"_{number}"
    return stem[: MAX_LENGTH - len(suffix)] + suffix
