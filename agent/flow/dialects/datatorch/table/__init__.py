"""The language as a table: its keys, what each may hold, and what it means.

Source: datatorch/documentation `docs/agents/flows.md` and `docs/dev/pipelines/`, datatorch/python `pipeline.schema.json`. What
is ours is marked so; nobody documented a key for it.
"""
