"""Runs from submit to end: the planner's decisions become rows, what waits for time, people or a group goes on.

Called by all rooms above. A decision and all that follows from it is one transaction.
"""
