"""Folders inside each other, deeper than any path or recursion reaches."""

import os
from pathlib import Path


def nest(top: Path, depth: int) -> None:
    """Make the new folder `top`, with `depth` folders `deep` inside each other, each beside a file `file`."""
    top.mkdir()
    place = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=place))
        os.mkdir("deep", dir_fd=place)
        below = os.open("deep", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
