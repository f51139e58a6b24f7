"""`agent run`: the runs on the server: listed, followed, steered, attached to."""
