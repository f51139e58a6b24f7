"""What the server hands out so that agents can be installed from it: its own wheel, and the operator's wheelhouse."""
