"""Stages and triggers, a file each; `table.py` has them by their canonical names. They know nothing of each other."""
