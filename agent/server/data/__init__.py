"""Bytes: blobs, journals and their archive, caches, datasets, and what is kept for how long.

Called by `agents`, `triggers` and what answers requests. What is named is there as a whole or not at all, has the digest
that is said of it, and counts against its project's room from the moment it is written.
"""
