"""Processes of a job: where they run, what they inherit, how they are watched and ended with all their offspring.

Called by all of the job. Nothing that a job has started outlives `ending`.
"""
