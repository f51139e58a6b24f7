"""Wheels that the server hands out so that agents can be installed from it: its own, and the operator's wheelhouse."""
