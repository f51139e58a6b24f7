"""A resolver with a store of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.git import GitHost, serve_git

from agent.resolve import ActionStore, Resolver

MakeResolver = Callable[..., Resolver]


@pytest.fixture
def store(tmp_path: Path) -> ActionStore:
    return ActionStore(tmp_path / "store")


@pytest.fixture
def make_resolver(tmp_path: Path, store: ActionStore) -> MakeResolver:
    """Makes the resolver of one more job; places default to `tmp_path/git/{owner}/{repo}`."""
    jobs = 0

    def make(*urls: str, **arguments: object) -> Resolver:
        nonlocal jobs
        jobs += 1
        workspace = tmp_path / f"job-{jobs}" / "workspace"
        workspace.mkdir(parents=True)
        places = urls or (f"{(tmp_path / 'git').as_uri()}/{{owner}}/{{repo}}",)
        return Resolver(store, places, workspace, copies=workspace.with_name("actions"), **arguments)  # type: ignore[arg-type]

    return make


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    """A git host that serves `tmp_path/git`."""
    with serve_git(tmp_path / "git") as host:
        yield host
