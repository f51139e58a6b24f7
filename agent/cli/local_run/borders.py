"""The border of a copied folder: what of it leads to another place of it, and what leads out."""

import os
from dataclasses import dataclass
from pathlib import Path

_EXPANDED = ("~", "%(")  # git puts a folder in their place (git-config(1), pathname)


@dataclass(frozen=True, slots=True)
class Borders:
    """The folder that is copied, its links followed."""

    source: Path

    def lead(self, text: str, base: Path, at: str) -> str | None:
        """The path `text`, which is relative to the folder `base`, as it is written in the copy; None where it leads out.

        There it is relative to the copy's folder `at`: a copy may be mounted elsewhere.
        """
        written = os.path.join(base, text)  # noqa: PTH118 - `normpath` is not Path's: `..` is taken as it is written
        real = os.path.realpath(written)
        if text.startswith(_EXPANDED) or not self._holds(real):
            return None
        is_as_before = not text.startswith("/") and base == self.source / at
        if is_as_before and self._holds(os.path.normpath(written)):
            return text
        return os.path.relpath("/" + os.path.relpath(real, self.source), f"/{at}")

    def _holds(self, path: str) -> bool:
        return path == str(self.source) or path.startswith(f"{str(self.source).rstrip('/')}/")
