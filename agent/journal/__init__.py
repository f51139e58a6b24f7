"""The journal: one append-only file per job attempt that holds all it produced (docs/architecture.md, *Journal*)."""
