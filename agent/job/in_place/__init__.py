"""A job in somebody's own folder (`agent flow run --in-place`): no action loses what is in it.

Called by the supervisor.
"""
