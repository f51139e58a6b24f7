"""People at a running job: a shell or a command of theirs beside its steps, and the daemon's hold on it.

`client` is what the daemon calls; the rest belongs to the supervisor. What is typed and shown goes as frames over the
job's control socket; a session ends with its job.
"""
