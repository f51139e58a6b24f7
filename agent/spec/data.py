"""Data in and out of a job: what is brought before its steps begin, and what is kept of what they made.

A flow names it, whatever its language; the planner makes plain data of it; the server (a local run: its own folder of what
was kept) finds out where each thing lies when it hands the job out, and two steps around the job's own do the work.

A path is relative to the job's workspace, or absolute; a path that begins with `inputs/` or `outputs/` and has
`in_data` set lies in a folder of the job's own instead, outside its workspace.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from agent.errors import UsageError

# The folders that `in_data` is about, and the steps that bring and keep, which the planner puts around the job's own.
INPUTS = "inputs"
OUTPUTS = "outputs"
BRING_STEP = "__bring"
LIVE_STEP = "__keep_live"
KEEP_STEP = "__keep"
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
DATA_STEPS = (BRING_STEP, LIVE_STEP, KEEP_STEP)


class BringKind(StrEnum):
    """What is brought; each kind reads its own fields of `Bring`."""

    JOB = "job"  # what a job of this run kept: `of` is its id in the flow, and in a specification its node's key
    TAG = "tag"  # what the run kept that has the tag `of`, or what was tagged without a run
    LAST = "last"  # what the job `job` of the flow `of` (its file, or the end of its path, or its name) kept when it last succeeded
    RUN = "run"  # what the run `of` kept, by its number or its readable name
    DATASET = "dataset"  # a version: NAME, NAME:NUMBER or NAME:TAG
    TEXT = "text"  # `of` itself, as a file
    CACHE = "cache"  # what the key `of` was kept under, if anything was


class KeepKind(StrEnum):
    """What a path is kept as."""

    ARTIFACT = "artifact"
    DATASET = (
        "dataset"  # a new version of the dataset `name`, in one commit with the job's others, on success only
    )
    VOLUME = "volume"  # an artifact for the jobs of this run, that goes with it
    TEXT = "text"  # a small file: the job's output `name`
    CACHE = "cache"  # under the key `name`, over what was there


@dataclass(frozen=True, slots=True)
class Bring:
    """One thing that lies there before the first step. Each `object` of the flow's form has become text here."""

    kind: BringKind
    of: str
    path: str = ""  # where; empty: where it lay when it was kept
    name: str = ""  # of one artifact; empty: all that were kept, each at its own path
    job: str = ""
    project: str = ""  # another one that this one may read; empty: the run's own
    in_data: bool = False
    is_read_only: bool = False
    is_optional: bool = False  # none is there: no error
    place: str = ""  # file:line:column, for messages
    found: str = ""  # by whom it is handed out: what `of` has come to, as JSON; empty: nobody has looked yet


@dataclass(frozen=True, slots=True)
class Keep:
    """One thing that is kept when the steps have ended, and where it is `live` while they run, too."""

    kind: KeepKind
    path: str
    name: str = ""  # of the artifact, dataset, output or cache; empty: the path's
    always: bool = False  # also of a job that failed or was cancelled
    live: bool = False  # while the steps run, too
    in_data: bool = False
    place: str = ""
    makes_folder: bool = False  # it is a folder, and is there before the first step

    @property
    def is_made(self) -> bool:
        """Whether a folder is made for it before the first step."""
        return self.makes_folder or (self.in_data and self.kind not in (KeepKind.TEXT, KeepKind.CACHE))

    @property
    def outlives_failure(self) -> bool:
        """Whether it is kept of a job that failed or was cancelled: what was live is kept as it was at the end."""
        return self.always or self.live

    @property
    def label(self) -> str:
        """What it is called among those that its job keeps: its name, else its path with dashes."""
        parts = [part for part in self.path.split("/") if part not in ("", ".", "~")]
        return self.name or "-".join(parts[1:] if self.in_data else parts)


def check_tag(tag: str) -> str:
    """The tag, if a run may have it. Raises UsageError."""
    if not _TAG.fullmatch(tag):
        raise UsageError(
            "this is no name for a tag",
            where=tag[:80],
            hint="use letters, digits, dots, - and _; at most 128",
        )
    return tag


def is_of_node(key: str, node: str) -> bool:
    """Whether the job of this key is one of a node's: `train (a100)` is of `train`."""
    return key == node or key.startswith(f"{node} (")
