"""Datasets as the API and its events show them."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from agent.server.process.moments import Moment, time_text
from agent.server.store.datasets import DatasetRow, VersionRow
from agent.server.store.lineage import UseRow
from agent.spec.dataset import ManifestFile

Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]


class VersionView(msgspec.Struct):
    """A version of a dataset. `ref` is what flows and people call it; `run` and `job` have made it, if a job did."""

    dataset: str
    version: int
    ref: str
    message: str
    metadata: dict[str, object]
    digest: str
    files: int
    size_bytes: int
    actor: str
    run: int | None
    job: str
    tags: list[str]
    created: Moment | None


class DatasetView(msgspec.Struct):
    """A dataset, and its newest version, when it has one."""

    name: str
    description: str
    actor: str
    created: Moment | None
    latest: VersionView | None


class FileView(msgspec.Struct):
    """A file of a version. `digest` is of its bytes."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    size_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]
    digest: Digest
    mode: Literal["644", "755"] = "644"


class UseView(msgspec.Struct):
    """A run's job has `read` or `made` a version; `ref` says which."""

    direction: Literal["read", "made"]
    ref: str
    dataset: str
    version: int
    run: int
    job: str
    time: Moment | None


def view_version(dataset: DatasetRow, row: VersionRow, tags: Sequence[str]) -> VersionView:
    """A committed version."""
    assert row.number is not None
    return VersionView(
        dataset=dataset.name,
        version=row.number,
        ref=f"{dataset.name}:{row.number}",
        message=row.message,
        metadata=msgspec.json.decode(row.metadata, type=dict[str, object]),
        digest=row.digest,
        files=row.files,
        size_bytes=row.size_bytes,
        actor=row.actor,
        run=row.run,
        job=row.job,
        tags=list(tags),
        created=time_text(row.committed_at),
    )


def view_dataset(row: DatasetRow, latest: VersionView | None) -> DatasetView:
    """A dataset."""
    return DatasetView(row.name, row.description, row.actor, time_text(row.created_at), latest)


def view_file(file: ManifestFile) -> FileView:
    """A file."""
    return FileView(file.path, file.size_bytes, file.digest, "755" if file.mode == "755" else "644")


def view_use(row: UseRow) -> UseView:
    """A row of lineage."""
    direction: Literal["read", "made"] = "read" if row.direction == "read" else "made"
    ref = f"{row.dataset}:{row.number}"
    return UseView(direction, ref, row.dataset, row.number, row.run, row.job, time_text(row.time))
