"""Blobs, where bulk bytes lie: artifacts, caches, datasets, logs, snapshots. `store.py` says what a store must do, `disk.py`
does it with files, `bucket.py` with S3; `location.py` reads which one it is.
"""
