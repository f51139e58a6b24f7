"""Requests of a job that runs as a user of its own, for what it may not do itself: the supervisor's side of them.

`agent.job.supervisor.keeper` is the other side.
"""
