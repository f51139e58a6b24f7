"""Sources of actions: one file a kind of place."""
