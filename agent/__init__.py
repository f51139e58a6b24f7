"""Automation for ML teams on GPU machines that they own: the agent, its server and their flow language."""

__version__ = "0.1.0"
