"""Artifacts: what they may be called, and where they are kept: on the server, or in a folder during a local run."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from _toolkit.step import StepError

if TYPE_CHECKING:  # most that ask for names write no archive
    from _toolkit.trees import Entry

FORBIDDEN = '"<>:|*?\r\n\\/'  # GitHub's rule


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact that is there. `digest` is `sha256:<hex>`, or "" where it is not known."""

    name: str
    id: str
    size: int
    digest: str = ""
    key: str = ""  # where the store finds it
    is_tree: bool = False  # stored by content; `digest` is its manifest's


class ArtifactStore(Protocol):
    """Where a run's artifacts are kept."""

    def upload(
        self, name: str, entries: "Sequence[Entry]", *, retention_days: int, overwrite: bool, level: int
    ) -> tuple[Artifact, str]:
        """Keep the files, folders and links as `name`: it is there as a whole or not at all. With it what there is to say.

        `level` is how hard to compress what does get smaller by it, where they are put into an archive; 0: not at all.
        """
        ...

    def list(self) -> list[Artifact]:
        """All artifacts of the run, one a name."""
        ...

    def fetch(self, artifact: Artifact, folder: Path) -> str:
        """Make the new `folder` of what is in the artifact; gives what there is to say. Raises StepError for other bytes than its own."""
        ...


def check_artifact_name(name: str) -> str:
    """The name, if an artifact may be called so."""
    bad = sorted({character for character in name if character in FORBIDDEN or not character.isprintable()})
    if not name or bad or name in {".", ".."} or len(os.fsencode(name)) > 200:
        reason = (
            f"contains {', '.join(map(ascii, bad))}"
            if bad
            else "is too long"
            if name.strip(".")
            else "is no name"
        )
        raise StepError(f"the artifact's name {name[:100]!a} {reason}", f"it has none of {FORBIDDEN!a}")
    return name


def open_store() -> ArtifactStore:
    """The store of the run that this step belongs to."""
    url, token = os.environ.get("ACTIONS_RESULTS_URL", ""), os.environ.get("ACTIONS_RUNTIME_TOKEN", "")
    if url:
        from _toolkit.results import ResultsService  # a local run needs no HTTP

        return ResultsService(url, token)
    folder = os.environ.get("FLOW_ARTIFACTS", "")
    if folder:
        return Shelf(Path(folder), os.environ.get("FLOW_ATTEMPT", ""))
    raise StepError(
        "there is nowhere to keep artifacts: neither ACTIONS_RESULTS_URL nor FLOW_ARTIFACTS is set",
        "use this action in a flow, through `agent flow submit` or `agent flow run`",
    )


class Shelf:
    """A folder that all jobs of a local run share: `<name>.zip` each, and who made it in `<name>.maker`.

    `maker` is the number of an attempt and the job's key. What an earlier attempt of a job has made gives way to its own.
    """

    def __init__(self, folder: Path, maker: str = "") -> None:
        self._folder = folder
        self._maker = maker

    def upload(
        self, name: str, entries: "Sequence[Entry]", *, retention_days: int, overwrite: bool, level: int
    ) -> tuple[Artifact, str]:
        """Keep the artifact, a zip, for as long as the folder is kept."""
        del retention_days
        from _toolkit.archive import write_tree

        self._folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".making-", dir=self._folder)
        place = self._folder / f"{name}.zip"
        try:
            with os.fdopen(handle, "wb") as file:
                write_tree(file, entries, level)
                file.flush()
                os.fsync(file.fileno())
            if overwrite or self._is_of_earlier_attempt(name):
                Path(temporary).replace(place)
            else:
                place.hardlink_to(temporary)  # fails if it is there: of two at a time one wins
            if self._maker:
                (self._folder / f"{name}.maker").write_text(self._maker, encoding="utf-8")
        except FileExistsError:
            raise already_there(name) from None
        finally:
            with suppress(FileNotFoundError):
                Path(temporary).unlink()
        return self._read(place), ""

    def list(self) -> list[Artifact]:
        """The artifacts in the folder."""
        return [self._read(place) for place in sorted(self._folder.glob("*.zip")) if place.is_file()]

    def fetch(self, artifact: Artifact, folder: Path) -> str:
        """Unpack the artifact."""
        from _toolkit.archive import unpack_checked

        return unpack_checked(Path(artifact.key), folder, artifact)

    def _is_of_earlier_attempt(self, name: str) -> bool:
        try:
            former, _, job = (self._folder / f"{name}.maker").read_text(encoding="utf-8").partition(" ")
        except FileNotFoundError:
            return False
        attempt, _, own = self._maker.partition(" ")
        return bool(job) and job == own and int(former) < int(attempt)

    def _read(self, place: Path) -> Artifact:
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        # Local artifacts have no number of their own; one that follows from the name is stable.
        number = int(hashlib.sha256(os.fsencode(place.stem)).hexdigest()[:8], 16)
        return Artifact(place.stem, str(number), place.stat().st_size, f"sha256:{digest}", str(place))


def already_there(name: str) -> StepError:
    """The error for a name that is taken."""
    return StepError(
        f"this run has an artifact named '{name}' already",
        "give it another name (in a matrix: with the cell in it), or set overwrite: true",
    )
