"""Effects of a step: gathered while it runs, and applied when it has ended (or, in the background, is waited for)."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Effects:
    """Environment, path and outputs for what follows; state for the action's own later stages; complaints."""

    env: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)  # to be put in front of PATH, the last one foremost
    outputs: dict[str, object] = field(default_factory=dict)  # text, or JSON of those who speak in it
    inputs: Mapping[str, object] = field(
        default_factory=dict
    )  # what the step was given, for those that follow
    state: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)  # each makes the step fail
    was_cancelled_within: bool = False  # one of its own steps was ended, and has said so
    memory_kills: int = 0  # processes in its container that the kernel killed because the memory was used up
