"""Names of files in archives and trees: each stays inside, and none takes the place of another."""

import os
import re
import unicodedata
from collections.abc import Iterable

from _toolkit.step import StepError

NOT_UNPACKED = "nothing was unpacked"
NOT_UPLOADED = "nothing was uploaded; rename it, or leave it out (in `path`, with a line that begins with !)"
_DRIVE = re.compile(r"[A-Za-z]:")


def check_name(path: str, hint: str = NOT_UNPACKED) -> None:
    """Raise StepError unless `path` is a name that stays inside the folder that it is written to; `hint` is said with it.

    A byte that is not UTF-8 is one of a name like any other (`surrogateescape`).
    """
    segments = path.split("/")
    reason = ""
    if not path or any(segment in {"", ".", ".."} for segment in segments):
        reason = "leads out of its folder"
    elif "\\" in path or _DRIVE.match(path):
        reason = "is written for another system"
    elif not path.isprintable() and not all(
        character.isprintable() or "\udc80" <= character <= "\udcff" for character in path
    ):
        reason = "has control characters"
    elif len(os.fsencode(path)) > 4000 or any(len(os.fsencode(segment)) > 255 for segment in segments):
        reason = "is too long"
    if reason:
        raise StepError(f"the name {path[:100]!a} {reason}", hint)


class Names:
    """The names in an archive or a tree: each is safe, and no two are the same where case is not told apart."""

    def __init__(self, hint: str = NOT_UNPACKED) -> None:
        self._hint = hint
        self._written: dict[str, str] = {}  # as compared -> as written
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._parents: set[str] = {""}  # as written: those that were added

    def add(self, name: str, *, is_folder: bool) -> None:
        """One more. Raises StepError."""
        path = name.rstrip("/") if is_folder else name
        check_name(path, self._hint)
        parent = path.rpartition("/")[0]
        if parent not in self._parents:
            segments = path.split("/")
            for count in range(1, len(segments)):
                self._add("/".join(segments[:count]), is_folder=True)
            self._parents.add(parent)
        self._add(path, is_folder=is_folder)

    def _add(self, path: str, *, is_folder: bool) -> None:
        folded = unicodedata.normalize("NFC", path).casefold()
        if self._written.setdefault(folded, path) != path:
            raise StepError(
                f"{self._written[folded]!a} and {path!a} differ by case only", "rename one of them"
            )
        if folded in self._files or (folded in self._folders and not is_folder):
            raise StepError(f"{path!a} is there twice", self._hint)
        (self._folders if is_folder else self._files).add(folded)


def check_names(names: Iterable[str], hint: str = NOT_UNPACKED) -> None:
    """Raise StepError unless files, and folders (whose names end in `/`), of these names can be in one folder."""
    known = Names(hint)
    for name in names:
        known.add(name, is_folder=name.endswith("/"))
