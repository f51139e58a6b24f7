"""Where bulk bytes lie: artifacts and snapshots. `store.py` says what a store must do, `disk.py` does it with files."""
