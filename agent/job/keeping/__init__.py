"""What a job that runs as a user of its own asks the agent for, and may not do itself: the supervisor's side of it.

`agent.job.supervisor.keeper` is the other side.
"""
