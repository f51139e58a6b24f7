"""Actions whose repositories keep large files with Git LFS: contents in the place of pointers, checked, or a warning."""

import json
import os
import shutil
from pathlib import Path

import pytest
from support.git import GitHost, Repository, make_repository

from agent.errors import NotFoundError
from agent.resolve import ActionStore, ResolvedAction, Resolver, parse_reference
from agent.resolve.lfs import read_pointer

from .conftest import MakeResolver

WEIGHTS = b"weights\n" * 1000
ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
NODE = "name: x\nruns: {using: node24, main: main.bin}\n"


@pytest.fixture
def large(tmp_path: Path) -> Repository:
    """An action with two large files, and a fixture of its tests that only looks like one."""
    if shutil.which("git-lfs") is None:
        if os.environ.get("CI"):
            pytest.fail("git-lfs is part of CI")
        pytest.skip("git-lfs is missing")
    repository = make_repository(tmp_path / "git" / "acme" / "large")
    repository.git("lfs", "install", "--local", "--skip-repo")
    files = {".gitattributes": ATTRIBUTES, "model.bin": WEIGHTS, "in/other.bin": b"other"}
    repository.commit(files)
    pointer = repository.git("show", "HEAD:model.bin").replace("size 8000", "size 1") + "\n"
    repository.commit({"fixture.txt": pointer}, tags=["v1"])
    return repository


def resolve(resolver: Resolver, name: str = "acme/large@v1") -> ResolvedAction:
    return resolver.resolve(parse_reference(name))


def without_lfs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have git, and no git-lfs: not on the path, and not among git's own programs."""
    git = shutil.which("git")
    assert git is not None
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin" / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_large_files_stand_in_the_place_of_their_pointers(
    large: Repository, make_resolver: MakeResolver
) -> None:
    action = resolve(make_resolver())
    assert (action.folder / "model.bin").read_bytes() == WEIGHTS
    assert (action.folder / "in" / "other.bin").read_bytes() == b"other"
    assert action.warnings == ()


def test_a_pointer_without_its_attribute_is_a_file_like_any_other(
    large: Repository, make_resolver: MakeResolver
) -> None:
    assert read_pointer(resolve(make_resolver()).folder / "fixture.txt") is not None


def test_large_files_come_over_http_with_the_hosts_credentials(
    large: Repository, make_resolver: MakeResolver, host: GitHost
) -> None:
    host.credentials = "user:secret"
    place = host.url.replace("http://", "http://user:secret@") + "/{owner}/{repo}/.git"
    action = resolve(make_resolver(place))
    assert (action.folder / "model.bin").read_bytes() == WEIGHTS
    assert any(request.endswith("/info/lfs/objects/batch") for request in host.requests)


def test_the_next_job_finds_large_files_in_the_store(
    large: Repository, make_resolver: MakeResolver, store: ActionStore
) -> None:
    resolve(make_resolver())
    shutil.rmtree(large.folder / ".git" / "lfs")
    action = resolve(make_resolver())
    assert (action.folder / "model.bin").read_bytes() == WEIGHTS
    assert store.used_bytes > len(WEIGHTS)


def test_contents_that_were_changed_in_the_store_are_fetched_again(
    large: Repository, make_resolver: MakeResolver, store: ActionStore
) -> None:
    resolve(make_resolver())
    for kept in store.root.glob("*/*/large/*"):
        kept.chmod(0o644)
        kept.write_bytes(b"evil")
    action = resolve(make_resolver())
    assert (action.folder / "model.bin").read_bytes() == WEIGHTS
    assert "fetched again" in action.warnings[0]


def test_facts_in_the_store_lead_nowhere_else(
    large: Repository, make_resolver: MakeResolver, store: ActionStore, tmp_path: Path
) -> None:
    resolve(make_resolver())
    outside = tmp_path / "outside"
    outside.write_text(large.git("show", "HEAD:model.bin") + "\n")
    for facts in store.root.glob("*/*/entry.json"):
        facts.write_text(json.dumps({**json.loads(facts.read_text()), "large": [str(outside)]}))
    action = resolve(make_resolver())
    assert "fetched again" in action.warnings[0]
    assert read_pointer(outside) is not None


def test_what_the_host_lost_stays_a_pointer_and_a_warning_names_it(
    large: Repository, make_resolver: MakeResolver, host: GitHost
) -> None:
    oid = read_oid(large, "model.bin")
    lost = host.find_large(oid)
    assert lost is not None
    lost.unlink()
    action = resolve(make_resolver(host.url + "/{owner}/{repo}/.git"))
    assert read_pointer(action.folder / "model.bin") is not None
    assert (action.folder / "in" / "other.bin").read_bytes() == b"other"
    assert "'model.bin' of this action is kept in Git LFS and stays a pointer" in action.warnings[0]


def test_without_git_lfs_a_warning_says_what_to_install_and_it_is_made_up_for_later(
    large: Repository, make_resolver: MakeResolver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as poor:
        without_lfs(poor, tmp_path)
        action = resolve(make_resolver())
    assert read_pointer(action.folder / "model.bin") is not None
    (warning,) = action.warnings
    assert "and 1 more of this action" in warning
    assert "git-lfs is not installed on this machine (install the package git-lfs" in warning
    assert (resolve(make_resolver()).folder / "model.bin").read_bytes() == WEIGHTS


def test_a_script_that_stays_a_pointer_is_refused_before_anything_runs(
    large: Repository, make_resolver: MakeResolver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    large.commit({"action.yml": NODE, "main.bin": "console.log(1)"}, tags=["v1"])
    with monkeypatch.context() as poor:
        without_lfs(poor, tmp_path)
        with pytest.raises(NotFoundError, match=r"'main.bin' of the action is kept in Git LFS") as caught:
            resolve(make_resolver())
    assert "install the package git-lfs" in caught.value.hint
    assert (resolve(make_resolver()).folder / "main.bin").read_text() == "console.log(1)"


def test_contents_beyond_the_limit_stay_pointers(large: Repository, make_resolver: MakeResolver) -> None:
    action = resolve(make_resolver(limit_bytes=8000))
    assert read_pointer(action.folder / "model.bin") is not None
    assert "larger than" in action.warnings[0]


def read_oid(repository: Repository, path: str) -> str:
    pointer = repository.git("show", f"HEAD:{path}")
    return pointer.partition("oid sha256:")[2].partition("\n")[0]
