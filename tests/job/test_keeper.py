"""The keeper of a job that runs as another user: what it hands out, and what that user can do to it."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.git import make_repository
from support.jobs import make_settings, make_spec, script
from support.second_user import SecondUser, open_folder, second_user
from support.wheels import offer_node

from agent.errors import NotFoundError, UnreachableError
from agent.job.folder.attempt import create_job_folder
from agent.job.folder.settings import JobSettings
from agent.job.keeping.client import Keeper
from agent.job.supervisor.keeper import start_keeper


@pytest.fixture
def user() -> Iterator[SecondUser]:
    with second_user() as found:
        yield found


@pytest.fixture
def place(user: SecondUser) -> Iterator[Path]:
    with open_folder() as folder:
        (folder / "work/_node").mkdir(parents=True)
        yield folder


@contextlib.contextmanager
def keeping(place: Path, user: SecondUser, **fields: object) -> Iterator[Keeper]:
    settings: JobSettings = replace(make_settings(place, run_as=user.name), **fields)  # type: ignore[arg-type]
    folder = create_job_folder(place / "jobs", make_spec(script("a", "true")), 1, settings, {})
    with contextlib.closing(start_keeper(folder, settings)) as keeper:
        yield keeper


def test_a_node_of_our_own_can_be_run_by_jobs_and_not_be_changed(place: Path, user: SecondUser) -> None:
    with keeping(place, user, environment=offer_node(place / "wheels")) as keeper:
        node = keeper.install_node(is_musl=False)
    assert node.startswith(str(place / "work/_node"))
    assert user.run(node, "--version").stdout.startswith(b"v24")
    for file in (node, f"{Path(node).parent}/x", f"{place}/work/_node/x"):
        assert b"Permission denied" in user.run("sh", "-c", f"echo x >> {file}").stderr


def test_an_error_comes_as_what_it_is(place: Path, user: SecondUser) -> None:
    make_repository(place / "git", {"action.yml": "name: x"})
    with keeping(place, user, docker_host=f"unix://{place}/nobody.sock") as keeper:
        with pytest.raises(UnreachableError) as unreachable:
            keeper.reach_engine()
        with pytest.raises(NotFoundError) as missing:
            keeper.fetch([f"file://{place}/git"], "v9", [])
    assert unreachable.value.where == f"unix://{place}/nobody.sock"
    assert "no branch, tag or commit 'v9'" in missing.value.what
    assert "v1" in missing.value.hint
