"""The store's limit: what goes, what stays, and that many processes may press against it at once."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from support.git import ACTION, GitHost, Repository, make_repository
from support.lab import wait_for

from agent.errors import AgentError
from agent.resolve import ActionStore, ResolvedAction, Resolver, parse_reference

SIZE = 50_000


@pytest.fixture
def repositories(tmp_path: Path) -> list[Repository]:
    """Repositories `acme/r0` to `acme/r3`, each of a bit more than SIZE bytes."""
    return [make_big(tmp_path, f"r{number}", number) for number in range(4)]


def make_big(tmp_path: Path, name: str, number: int) -> Repository:
    files: dict[str, str | bytes] = {"action.yml": ACTION, "data": bytes([number]) * SIZE}
    return make_repository(tmp_path / "git" / "acme" / name, files)


def make_store(tmp_path: Path, commits: float | None) -> ActionStore:
    """A store that has room for so many commits."""
    return ActionStore(tmp_path / "store", None if commits is None else int(commits * (SIZE + 1000)))


def use(tmp_path: Path, store: ActionStore, name: str, job: str = "job") -> ResolvedAction:
    """What one more job does with `acme/NAME@v1`."""
    folder = tmp_path / job / name / os.urandom(6).hex()
    place = f"file://{tmp_path}/git/{{owner}}/{{repo}}"
    resolver = Resolver(store, (place,), folder, copies=folder / "actions")
    return resolver.resolve(parse_reference(f"acme/{name}@v1"))


def names(store: ActionStore) -> list[str]:
    """The repositories of the store's commits, the one used longest ago first."""
    return [entry.url.rpartition("/")[2] for entry in store.list_commits()]


def age(store: ActionStore, *order: str) -> None:
    """Make it so that the repositories were used in this order, long ago."""
    for entry in store.list_commits():
        time = 1000 + order.index(entry.url.rpartition("/")[2])
        os.utime(entry.folder, (time, time))


def test_used_bytes_are_those_of_all_files(tmp_path: Path, repositories: list[Repository]) -> None:
    store = make_store(tmp_path, None)
    assert store.used_bytes == 0
    for repository in repositories[:2]:
        use(tmp_path, store, repository.folder.name)
    assert 2 * SIZE < store.used_bytes < 2 * SIZE + 2000


def test_the_commit_that_was_used_longest_ago_goes_first(
    tmp_path: Path, repositories: list[Repository]
) -> None:
    store = make_store(tmp_path, 3)
    for repository in repositories[:3]:
        use(tmp_path, store, repository.folder.name)
    age(store, "r0", "r1", "r2")
    use(tmp_path, store, "r0")  # a use, not a fetch: it is young again
    assert names(store) == ["r1", "r2", "r0"]
    use(tmp_path, store, "r3")
    assert names(store) == ["r2", "r0", "r3"]
    assert store.used_bytes <= (store.limit_bytes or 0)


def test_what_went_is_fetched_again_without_a_warning(tmp_path: Path, repositories: list[Repository]) -> None:
    store = make_store(tmp_path, 1)
    for repository in (*repositories, *repositories):
        action = use(tmp_path, store, repository.folder.name)
        assert (action.commit, action.warnings) == (repository.head, ())
        assert names(store) == [repository.folder.name]


def test_a_commit_that_alone_exceeds_the_limit_is_used_and_stays_until_the_next(
    tmp_path: Path, repositories: list[Repository]
) -> None:
    store = make_store(tmp_path, 0)
    for name in ("r0", "r1"):
        assert (use(tmp_path, store, name).folder / "data").stat().st_size == SIZE
        assert names(store) == [name]


def test_a_commit_in_use_is_never_removed(tmp_path: Path, repositories: list[Repository]) -> None:
    store = make_store(tmp_path, None)
    for repository in repositories[:2]:
        use(tmp_path, store, repository.folder.name)
    with store.repository(repositories[0].url).hold(repositories[0].head) as is_here:
        assert is_here
        assert [entry.url for entry in store.prune(0)] == [repositories[1].url]
        store.repository(repositories[0].url).copy(
            repositories[0].head, tmp_path / "copy", lambda _pointers, _folder: None
        )
    assert [entry.url for entry in store.prune(0)] == [repositories[0].url]
    assert store.used_bytes == 0


def test_a_copy_outlives_its_commit_in_the_store(tmp_path: Path, repositories: list[Repository]) -> None:
    store = make_store(tmp_path, None)
    action = use(tmp_path, store, "r0")
    store.prune(0)
    assert (action.folder / "action.yml").read_text() == ACTION


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"size_bytes": -1, "url": 7}', '{"size_bytes": true}', "[" * 9999]
)
def test_a_commit_whose_record_is_damaged_is_measured(
    text: str, tmp_path: Path, repositories: list[Repository]
) -> None:
    store = make_store(tmp_path, None)
    use(tmp_path, store, "r0")
    (entry,) = store.list_commits()
    (entry.folder / "entry.json").write_text(text)
    assert SIZE < store.used_bytes < SIZE + 20_000
    assert use(tmp_path, store, "r0").commit == repositories[0].head
    assert len(store.prune(0)) == 1


def test_links_in_the_store_are_not_followed_when_room_is_made(tmp_path: Path) -> None:
    precious = tmp_path / "precious" / ("a" * 40)
    precious.mkdir(parents=True)
    (precious / "file").write_text("x")
    (precious.parent / ".making-x").mkdir()
    store = make_store(tmp_path, None)
    (store.root / "real").mkdir(parents=True)
    (store.root / "linked").symlink_to(precious.parent)
    (store.root / "real" / ("b" * 40)).symlink_to(precious)
    store.prune(0)
    assert (precious / "file").is_file()
    assert (precious.parent / ".making-x").is_dir()


def test_an_empty_machine_has_nothing_to_prune(tmp_path: Path) -> None:
    store = make_store(tmp_path, None)
    assert (store.prune(0), store.list_commits()) == ([], [])
    assert not store.root.exists()


def test_a_store_in_a_place_that_can_not_be_written_is_an_error_that_says_so(
    tmp_path: Path, repositories: list[Repository]
) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(AgentError, match="the store of actions can't be written"):
        use(tmp_path, make_store(tmp_path, None), "r0")


def _press(root: str, job: int) -> list[str]:
    """Use all four repositories again and again, in a store that has room for one and a half."""
    folder = Path(root)
    store = make_store(folder, 1.5)
    order = [(job + step) % 4 for step in range(8)]
    actions = [use(folder, store, f"r{number}", f"process-{job}") for number in order]
    assert all((action.folder / "data").read_bytes() == bytes([number]) * SIZE for action, number in zip(actions, order, strict=True))  # fmt: skip
    return [warning for action in actions for warning in action.warnings]


def test_many_processes_may_press_against_the_limit_at_once(
    tmp_path: Path, repositories: list[Repository]
) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        warnings = pool.starmap(_press, [(str(tmp_path), job) for job in range(4)])
    assert warnings == [[]] * 4
    store = make_store(tmp_path, 1.5)
    store.prune(store.limit_bytes or 0)
    assert store.used_bytes <= (store.limit_bytes or 0)
    assert not list(store.root.glob("*/.making-*"))


def _fetch_until_killed(root: str, url: str) -> None:
    folder = Path(root)
    resolver = Resolver(
        make_store(folder, 2), (url,), folder / "killed", copies=folder / "killed" / "actions"
    )
    resolver.resolve(parse_reference("acme/r1@v1"))


def test_a_process_that_is_killed_in_mid_fetch_leaves_nothing_that_stays(
    tmp_path: Path, repositories: list[Repository], host: GitHost
) -> None:
    store = make_store(tmp_path, 2)
    use(tmp_path, store, "r0")
    context = multiprocessing.get_context("spawn")
    victim = context.Process(
        target=_fetch_until_killed, args=(str(tmp_path), f"{host.url}/{{owner}}/{{repo}}")
    )
    victim.start()
    wait_for(lambda: list(store.root.glob("*/.making-*")) or not victim.is_alive(), "a fetch that has begun")
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    # The git that it had started may write for a moment more.
    wait_for(
        lambda: store.prune(10**9) == [] and not list(store.root.glob("*/.making-*")), "an end of the rest"
    )
    assert set(names(store)) <= {"r0", "r1"}
    assert use(tmp_path, store, "r1").commit == repositories[1].head


def test_what_a_removal_that_was_killed_has_left_is_removed(
    tmp_path: Path, repositories: list[Repository]
) -> None:
    store = make_store(tmp_path, None)
    use(tmp_path, store, "r0")
    (entry,) = store.list_commits()
    entry.folder.rename(entry.folder.with_name(f".making-{entry.commit}-0123"))
    assert store.used_bytes == 0
    assert store.prune(10**9) == []
    assert sorted(path.name for path in entry.folder.parent.iterdir()) == ["lock", "refs.json"]


def test_the_record_of_a_commit_names_its_repository_without_credentials(
    tmp_path: Path, repositories: list[Repository], host: GitHost
) -> None:
    store = make_store(tmp_path, None)
    url = host.url.replace("http://", "http://user:secret@")
    resolver = Resolver(
        store, (f"{url}/{{owner}}/{{repo}}",), tmp_path / "w", copies=tmp_path / "w" / "actions"
    )
    resolver.resolve(parse_reference("acme/r0@v1"))
    (entry,) = store.list_commits()
    assert entry.url == f"{host.url}/acme/r0"
    assert "secret" not in json.dumps((entry.folder / "entry.json").read_text())
