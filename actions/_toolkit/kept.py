"""Where trees are kept for other jobs: on the server, as artifacts, or during a local run in a folder.

A tree that is kept again by the same job takes the place of the one before at once: nobody finds none, or half of one.
"""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from _toolkit.artifacts import FORBIDDEN, check_artifact_name
from _toolkit.errand import Errand
from _toolkit.folders import remove
from _toolkit.held import HeldTrees
from _toolkit.step import StepError, human
from _toolkit.trees import Tree, copy_tree, scan_tree

if TYPE_CHECKING:
    from _toolkit.results import ResultsService

_LONGEST_NAME_BYTES = 180


Check = Callable[[], None]


class Shelf(Protocol):
    """Where trees are kept."""

    def keep(self, name: str, tree: Tree, about: Mapping[str, Any], check: Check | None = None) -> str:
        """Keep the tree as `name`; `about` is what is noted of it. Gives what there is to say.

        `check` is called when all of it was read and before it counts: what it raises leaves all as it was.
        """
        ...

    def fetch(self, item: Mapping[str, Any], target: Path) -> str:
        """Make the new `target` (a file or a folder) of what was found for a job; gives what there is to say."""
        ...


def may_keep() -> bool:
    """Whether there is a shelf at all: a run in somebody's own folder has none for checkpoints."""
    return bool(os.environ.get("ACTIONS_RESULTS_URL") or os.environ.get("FLOW_KEPT"))


def open_shelf(errand: Errand) -> Shelf:
    """The shelf of the run that this step belongs to."""
    url, token = os.environ.get("ACTIONS_RESULTS_URL", ""), os.environ.get("ACTIONS_RUNTIME_TOKEN", "")
    if url:
        held = HeldTrees(Path(errand.store), errand.store_bytes) if errand.store else None
        return ServerShelf(url, token, held)
    folder = os.environ.get("FLOW_KEPT", "")
    if folder:
        return LocalShelf(Path(folder))
    raise StepError(
        "there is nowhere to keep data: neither ACTIONS_RESULTS_URL nor FLOW_KEPT is set",
        "use `brings` and `keeps` in a flow, through `agent flow submit` or `agent flow run`",
    )


def name_artifact(key: str, keep: Mapping[str, Any]) -> str:
    """What the artifact is called in its run: its own name, or `JOB.LABEL`, which no other job's can be."""
    if keep["name"]:
        return check_artifact_name(keep["name"])
    wanted = f"{key}.{keep['label']}".replace(" / ", " - ")
    name = re.sub(f"[{re.escape(FORBIDDEN)}]", "-", wanted)
    name = "".join(character if character.isprintable() else "-" for character in name)
    if name != wanted or len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        mark = hashlib.sha256(wanted.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        short = os.fsencode(name)[:_LONGEST_NAME_BYTES].decode("utf-8", "ignore")
        name = f"{short}~{mark}"
    return check_artifact_name(name)


class LocalShelf:
    """The folder of a local run: `NAME/` (or a file of that name) each, and `NAME.json` that says which it is.

    The second one of a name is `NAME~2`; the note is replaced when all of it is there, and so decides.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, name: str, tree: Tree, about: Mapping[str, Any], check: Check | None = None) -> str:
        """See Shelf."""
        self._folder.mkdir(parents=True, exist_ok=True)
        note = self._folder / f"{name}.json"
        former = _read_note(note)
        if former and former["key"] != about["key"]:
            raise StepError(
                f"job '{former['key']}' has kept '{name}' already",
                "give one of them another name (in a matrix: with the cell in it)",
            )
        place = name if not former or former["tree"] != name else f"{name}~2"
        remove(self._folder / place)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=self._folder))
        try:
            copy_tree(tree, making / "tree")
            if check is not None:
                check()
            (making / "tree").rename(self._folder / place)
            text = json.dumps(
                {**about, "name": name, "tree": place, "is_file": tree.is_file, "size": tree.size}
            )
            (making / "note").write_text(text, encoding="utf-8")
            (making / "note").replace(note)
        finally:
            remove(making)
        if former and former["tree"] != place:
            remove(self._folder / former["tree"])
        return f"{tree.describe()}, {human(tree.size)}, in {self._folder / place}"

    def fetch(self, item: Mapping[str, Any], target: Path) -> str:
        """See Shelf."""
        source = Path(item["folder"])
        try:
            tree = scan_tree(source, str(source.parent))
        except FileNotFoundError:
            raise StepError(f"'{source}' is not there any more", "run again what keeps it") from None
        copy_tree(tree, target)
        return f"{tree.describe()}, {human(tree.size)}"


class ServerShelf:
    """The server's artifacts; what this machine holds already is not sent again."""

    def __init__(self, url: str, token: str, held: HeldTrees | None) -> None:
        self._url = url
        self._token = token
        self._held = held

    def _open_service(self) -> "ResultsService":
        from _toolkit.results import ResultsService  # what is held here needs no HTTP

        return ResultsService(self._url, self._token)

    def keep(self, name: str, tree: Tree, about: Mapping[str, Any], check: Check | None = None) -> str:
        """See Shelf."""
        noted = {**about, "is_file": tree.is_file, "size": tree.size}
        artifact, more = self._open_service().keep(name, tree.entries, noted, check)
        if self._held is not None and check is None:
            self._held.hold(artifact.digest, tree)
        return f"{tree.describe()}, {human(tree.size)}{more}, artifact '{name}', {artifact.digest}"

    def fetch(self, item: Mapping[str, Any], target: Path) -> str:
        """See Shelf."""
        digest = item.get("tree") or item.get("digest", "")
        if self._held is not None and self._held.take(digest, target):
            return f"{human(item.get('size', 0))}, from this machine"
        if item.get("tree"):
            return self._hold(digest, target, self._fetch_tree(item, target))
        from _toolkit.archive import unpack_tree

        archive = target.with_name(f"{target.name}.zip")
        came = f"sha256:{self._open_service().fetch_brought(item, archive)}"
        if digest and came != digest:
            raise StepError(
                f"artifact '{item['artifact']}' came as {came}, and is {digest}",
                "it was changed on its way or in its store; nothing was unpacked",
            )
        if item.get("is_zip", True):
            said = unpack_tree(archive, target, is_file=bool(item.get("is_file")))
        else:
            said = human(archive.stat().st_size)
            archive.rename(target)
        return self._hold(digest, target, said)

    def _fetch_tree(self, item: Mapping[str, Any], target: Path) -> str:
        """What was kept by content: a folder, or the one file that is in it."""
        folder = target.with_name(f"{target.name}.files")
        said = self._open_service().fetch_tree(str(item["id"]), item["tree"], folder)
        if item.get("is_file"):
            (only,) = folder.iterdir()
            only.rename(target)
            folder.rmdir()
        else:
            folder.rename(target)
        return said

    def _hold(self, digest: str, target: Path, said: str) -> str:
        if self._held is not None:
            with contextlib.suppress(FileNotFoundError):
                self._held.hold(digest, scan_tree(target, str(target.parent)))
        return said


def _read_note(note: Path) -> dict[str, Any] | None:
    try:
        read: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return read
