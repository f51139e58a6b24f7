"""A job attempt on disk, and the machine's settings for it.

The one place that daemon, supervisor and command line share. A folder is there as a whole or not at all; what a job could
have written into it is read as a stranger's.
"""
