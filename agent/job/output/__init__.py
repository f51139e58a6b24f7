"""Output of a job, on its way into the journal: masked, in chunks.

Called by all of the job; `recorder` is the journal's only writer while the job runs.
"""
