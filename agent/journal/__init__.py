"""One append-only file per job attempt that holds all it produced (docs/architecture.md, *Journal*)."""
