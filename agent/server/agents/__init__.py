"""Machines and the jobs that they hold: connections, scheduling, offers, leases, what comes back.

Called by `http` and the composition. A job is under one lease at a time; what an agent sent is durable before it is
acknowledged, and no job ends twice.
"""
