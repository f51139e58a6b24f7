"""Programs on a PATH, as they are at this very moment: a step may have installed one."""

import os


def find_executable(name: str, path: str) -> str | None:
    """The program `name` (or the file, when it has a slash), or None. (shutil.which costs a step ten times as much.)"""
    if "/" in name:
        return name if _is_executable(name) else None
    for folder in path.split(":"):
        candidate = f"{folder}/{name}"
        if folder and _is_executable(candidate):
            return candidate
    return None


def _is_executable(file: str) -> bool:
    return os.access(file, os.X_OK) and not os.path.isdir(file)  # noqa: PTH112 - a Path each would cost more
