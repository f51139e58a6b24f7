"""Node and Python environments for actions: found, or made once and kept for all jobs of the machine.

Called by the handlers. What is kept is verified before each use, since a job may have reached it.
"""
