"""The language as a table: its keys, its actions, what the config of each may hold, and what it means.

Source: extragood-io/jumpwire-docs, `docs/flows/index.md` and `docs/flows/stages.md` (commit 3c9cfd9, 2021-11-12). What is ours
is marked so: the documents promise schedules, change data capture, other streams and `map`, and give no keys for them.
"""
