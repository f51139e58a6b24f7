"""The user that jobs run as, where that is another than the agent's own (`--run-as`).

`account` says who it is and how a process becomes it; `errand` has something done by a process that has.
"""
