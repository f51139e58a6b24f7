"""Where actions come from: one file a kind of place."""
