"""The table of GitHub's flow language: every key, what it may hold, and which expressions may stand there.

Start at `flow.py`; `events.py`, `jobs.py`, `steps.py` and `shared.py` hold the parts, `contexts.py` the places of
expressions, `members.py` what contexts have. The few words that the table is written in are `agent.flow.shapes`. To add a
key, add one line.

The facts are those of actions/languageservices `workflow-parser/src/workflow-v1.0.json`.
"""
