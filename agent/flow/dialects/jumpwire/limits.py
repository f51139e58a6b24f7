"""Limits of what a flow file may cost. JumpWire names none: those that flows of other languages have."""

from typing import Final

from agent.flow.composing import YamlLimits

LIMITS: Final = YamlLimits(
    depth=50, characters=1024 * 1024, nodes=50_000, expanded_characters=5 * 1024 * 1024
)
