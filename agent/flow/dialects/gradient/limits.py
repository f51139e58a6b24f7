"""Limits of what a file may cost: GitHub's, for want of any that Paperspace has written down."""

from typing import Final

from agent.flow.composing import YamlLimits

LIMITS: Final = YamlLimits()
