"""The process of one job: its life phase by phase, the step loop, the control socket.

`process` is born by the launcher and needs neither daemon nor server to finish. Whatever happens in the first half of a
job, its second half runs.
"""
