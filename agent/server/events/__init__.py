"""A change, its transaction, its row in the audit log, who is woken by it, and what it looks like to them.

Called by whoever changes something. Nobody is told of a change that was not committed; every committed one is told.
"""
