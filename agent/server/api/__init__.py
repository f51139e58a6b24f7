"""The HTTP API: one resource a file, each thin; `routes.py` is the table of all of it."""
