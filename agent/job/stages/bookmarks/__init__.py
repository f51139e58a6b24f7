"""Bookmarks: small values that outlive the job. On the server, or in a folder for local runs."""
