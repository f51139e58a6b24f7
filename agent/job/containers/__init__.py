"""The containers of a job: images, the job's own, its services, and the end of all of them.

Called by the supervisor and the handlers. Whatever becomes of the job, `sweeping` finds what it has at the engine by its
labels and removes it.
"""
