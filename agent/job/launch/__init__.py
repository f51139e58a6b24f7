"""The front door of a job: make its folder, start its supervisor, ask, cancel, bury.

Called by the daemon and by `agent flow run`; all else of `agent.job` is nobody's business but the job's.
"""
