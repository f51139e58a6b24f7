"""Stages: records stream through the graph of a job whose work is stages. docs/decisions/019-stages.md."""
