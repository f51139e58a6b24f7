"""References become folders: which commit, from where, and what happens when nobody answers."""

import json
import multiprocessing
import os
import shutil
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.git import ACTION, GitHost, Repository, make_repository

from agent.errors import AgentError, NotFoundError, RefusedError, UnreachableError
from agent.resolve import ActionStore, CompositeRuns, PythonRuns, ResolvedAction, Resolver, parse_reference
from agent.resolve.reference import RepositoryReference
from agent.resolve.resolver import BUNDLED, WORKSPACE
from agent.spec.job import Source, SourceKind

from .conftest import MakeResolver


def resolve(resolver: Resolver, text: str, within: ResolvedAction | None = None) -> ResolvedAction:
    return resolver.resolve(parse_reference(text), within)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(
        tmp_path / "git" / "acme" / "tools",
        {
            "action.yml": ACTION,
            "sub/deep/action.yaml": ACTION.replace("hello", "deep"),
            "bin/run": "#!/bin/sh\n",
        },
    )


def test_a_tag_a_branch_and_a_commit_lead_to_the_same_files(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    commit = repository.head
    for ref in ("v1", "main", commit, commit[:7], commit[:20], "refs/heads/main", "refs/tags/v1"):
        action = resolve(make_resolver(), f"acme/tools@{ref}")
        assert action.commit == commit
        assert action.manifest.name == "hello"
        assert action.origin == repository.url
        assert action.warnings == ()
        assert (action.folder / "action.yml").read_text() == ACTION
        assert not (action.folder / ".git").exists()


def test_an_action_in_a_folder_of_the_repository_has_the_whole_repository_around_it(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    action = resolve(make_resolver(), "acme/tools/sub/deep@v1")
    assert action.manifest.name == "deep"
    assert action.folder == action.root / "sub" / "deep"
    assert (action.root / "bin" / "run").is_file()


def test_a_full_url_is_used_as_it_is(
    repository: Repository, make_resolver: MakeResolver, host: GitHost
) -> None:
    for text in (f"{repository.url}//sub/deep@v1", f"{host.url}/acme/tools/sub/deep@v1"):
        assert resolve(make_resolver("file:///nowhere/{owner}/{repo}"), text).commit == repository.head


def test_an_annotated_tag_is_its_commit(repository: Repository, make_resolver: MakeResolver) -> None:
    repository.git("tag", "-a", "v9", "-m", "nine")
    assert resolve(make_resolver(), "acme/tools@v9").commit == repository.head


def test_a_tag_wins_over_a_branch_of_the_same_name(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    tagged = repository.head
    repository.git("branch", "both")
    repository.git("tag", "both", tagged)
    repository.git("checkout", "--quiet", "both", "--")
    repository.commit({"more": "x"})
    assert resolve(make_resolver(), "acme/tools@both").commit == tagged


def test_an_older_commit_that_no_ref_names_is_found(
    repository: Repository, make_resolver: MakeResolver, host: GitHost
) -> None:
    old = repository.head
    repository.commit({"more": "x"}, tags=["v1"])
    assert resolve(make_resolver(), f"acme/tools@{old}").commit == old
    assert resolve(make_resolver(), f"acme/tools@{old[:9]}").commit == old
    assert resolve(make_resolver(f"{host.url}/{{owner}}/{{repo}}"), f"acme/tools@{old}").commit == old


def test_a_repository_with_sha256_names_is_read(tmp_path: Path, make_resolver: MakeResolver) -> None:
    repository = make_repository(tmp_path / "git" / "a" / "b", object_format="sha256")
    assert len(repository.head) == 64
    for ref in ("v1", repository.head, repository.head[:12]):
        assert resolve(make_resolver(), f"a/b@{ref}").commit == repository.head


def test_a_moved_tag_is_followed(repository: Repository, make_resolver: MakeResolver) -> None:
    first = resolve(make_resolver(), "acme/tools@v1")
    moved = repository.commit({"action.yml": ACTION.replace("hello", "moved")}, tags=["v1"])
    second = resolve(make_resolver(), "acme/tools@v1")
    assert (first.manifest.name, second.manifest.name) == ("hello", "moved")
    assert second.commit == moved


def test_within_one_job_a_tag_stays_what_it_was(repository: Repository, make_resolver: MakeResolver) -> None:
    resolver = make_resolver()
    first = resolve(resolver, "acme/tools@v1")
    repository.commit({"action.yml": ACTION.replace("hello", "moved")}, tags=["v1"])
    assert resolve(resolver, "acme/tools@v1") == first


def test_a_full_commit_that_is_here_needs_no_network(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    text = f"acme/tools@{repository.head}"
    first = resolve(make_resolver(), text)
    shutil.rmtree(repository.folder)
    again = resolve(make_resolver(), text)
    assert (again.commit, again.warnings) == (first.commit, ())


def unreachable_url() -> str:
    """A place on this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/{{owner}}/{{repo}}"


def test_when_nobody_answers_the_last_known_commit_is_used_and_said(
    repository: Repository, make_resolver: MakeResolver, host: GitHost
) -> None:
    url = f"{host.url}/{{owner}}/{{repo}}"
    for ref in ("v1", repository.head[:8]):
        resolve(make_resolver(url), f"acme/tools@{ref}")
        host.status = 503
        resolver = make_resolver(url)
        action = resolve(resolver, f"acme/tools@{ref}")
        host.status = 0
        assert action.commit == repository.head
        assert "can't be reached" in action.warnings[0]
        assert resolve(resolver, f"acme/tools@{ref}").warnings == ()  # once a job is enough


def test_an_unreachable_host_without_a_known_commit_is_an_error_that_says_so(
    make_resolver: MakeResolver,
) -> None:
    with pytest.raises(UnreachableError, match="can't be reached") as caught:
        resolve(make_resolver(unreachable_url()), "acme/tools@v1")
    assert "127.0.0.1" in caught.value.where
    assert "AGENT_ACTIONS_URL" in caught.value.hint


def test_places_are_tried_in_order(
    repository: Repository, make_resolver: MakeResolver, tmp_path: Path
) -> None:
    mirror = f"{(tmp_path / 'git').as_uri()}/{{owner}}/{{repo}}"
    for other in (unreachable_url(), f"{(tmp_path / 'other').as_uri()}/{{owner}}/{{repo}}"):
        assert resolve(make_resolver(other, mirror), "acme/tools@v1").origin == repository.url
    own = make_repository(tmp_path / "own" / "acme" / "tools")
    first = f"{(tmp_path / 'own').as_uri()}/{{owner}}/{{repo}}"
    assert resolve(make_resolver(first, mirror), "acme/tools@v1").origin == own.url


def test_an_unknown_repository_is_named_with_each_place_that_was_tried(
    make_resolver: MakeResolver, tmp_path: Path
) -> None:
    places = [f"{(tmp_path / name).as_uri()}/{{owner}}/{{repo}}" for name in ("one", "two")]
    with pytest.raises(NotFoundError, match="no such repository") as caught:
        resolve(make_resolver(*places), "acme/absent@v1")
    assert caught.value.where.endswith("one/acme/absent")
    assert "two/acme/absent" in caught.value.hint


def test_an_unknown_repository_on_a_host_is_not_found(make_resolver: MakeResolver, host: GitHost) -> None:
    host.root.mkdir()
    with pytest.raises(NotFoundError, match="no such repository"):
        resolve(make_resolver(f"{host.url}/{{owner}}/{{repo}}"), "acme/absent@v1")


def test_an_unknown_ref_is_answered_with_near_ones(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    with pytest.raises(NotFoundError, match=r"no branch, tag or commit 'v11'.*did you mean v1\?"):
        resolve(make_resolver(), "acme/tools@v11")
    with pytest.raises(NotFoundError, match="it has v1, main"):
        resolve(make_resolver(), "acme/tools@production")
    with pytest.raises(NotFoundError, match="no branch, tag or commit 'abcdef0'"):
        resolve(make_resolver(), "acme/tools@abcdef0")
    with pytest.raises(NotFoundError, match="no branch, tag or commit"):
        resolve(make_resolver(), f"acme/tools@{'0' * 39}1")


def test_an_unknown_path_is_not_found(repository: Repository, make_resolver: MakeResolver) -> None:
    with pytest.raises(NotFoundError, match=r"Can't find 'action\.yml'") as caught:
        resolve(make_resolver(), "acme/tools/absent@v1")
    assert f"{repository.url}//absent@{repository.head[:12]}" in str(caught.value)


def test_no_configured_place_is_an_error(tmp_path: Path, store: ActionStore) -> None:
    resolver = Resolver(store, (), tmp_path, copies=tmp_path / "copies")
    with pytest.raises(NotFoundError, match="AGENT_ACTIONS_URL"):
        resolve(resolver, "acme/tools@v1")


def test_credentials_in_a_place_reach_the_host_but_no_message_and_no_command_line(
    repository: Repository,
    make_resolver: MakeResolver,
    host: GitHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host.credentials = "robot:hunter2"
    recorder = tmp_path / "bin" / "git"
    recorder.parent.mkdir()
    recorder.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/commands\nexec {shutil.which("git")} "$@"\n')
    recorder.chmod(0o755)
    monkeypatch.setenv("PATH", f"{recorder.parent}:{os.environ['PATH']}")
    url = host.url.replace("://", "://robot:hunter2@") + "/{owner}/{repo}"
    action = resolve(make_resolver(url), "acme/tools@v1")
    assert action.commit == repository.head
    assert "hunter2" not in action.origin
    assert "ls-remote" in (tmp_path / "commands").read_text()
    assert "hunter2" not in (tmp_path / "commands").read_text()
    wrong = url.replace("hunter2", "hunter3")
    with pytest.raises(NotFoundError, match="does not take the login") as caught:
        resolve(make_resolver(wrong), "acme/other@v1")
    assert "hunter3" not in str(caught.value)


def test_credentials_of_the_hosts_git_configuration_work(
    repository: Repository, make_resolver: MakeResolver, host: GitHost, own_home: Path
) -> None:
    host.credentials = "robot:hunter2"
    helper = "!f() { echo username=robot; echo password=hunter2; }; f"
    (own_home / ".gitconfig").write_text(f'[credential "{host.url}"]\n  helper = "{helper}"\n')
    action = resolve(make_resolver(f"{host.url}/{{owner}}/{{repo}}"), "acme/tools@v1")
    assert action.commit == repository.head


def test_a_job_gets_a_copy_that_the_next_job_does_not_see(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    first = resolve(make_resolver(), "acme/tools@v1")
    (first.folder / "action.yml").write_text("changed by the job")
    (first.folder / "new").write_text("made by the job")
    second = resolve(make_resolver(), "acme/tools@v1")
    assert (second.folder / "action.yml").read_text() == ACTION
    assert not (second.folder / "new").exists()
    assert stat.S_IMODE((second.folder / "action.yml").stat().st_mode) & 0o200


def stored_file(store: ActionStore, repository: Repository) -> Path:
    return store.root / store.repository(repository.url).name / repository.head / "files" / "action.yml"


@pytest.mark.parametrize("harm", ["content", "mode", "added", "removed", "link", "commit", "commit gone"])
def test_a_store_that_was_altered_is_noticed_and_fetched_again(
    harm: str, repository: Repository, make_resolver: MakeResolver, store: ActionStore
) -> None:
    resolve(make_resolver(), "acme/tools@v1")
    file = stored_file(store, repository)
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    match harm:
        case "content":
            file.chmod(0o644)
            file.write_text(ACTION.replace("hello", "pwned"))
        case "mode":
            file.chmod(0o755)
        case "added":
            (file.parent / "more").mkdir()
        case "removed":
            file.unlink()
        case "link":
            file.unlink()
            file.symlink_to("/etc/passwd")
        case "commit":
            (file.parent.parent / "commit").write_bytes(b"tree 0\n")
        case "commit gone":
            (file.parent.parent / "commit").unlink()
    action = resolve(make_resolver(), f"acme/tools@{repository.head}")
    assert (action.folder / "action.yml").read_text() == ACTION
    assert "had been changed" in action.warnings[0]
    assert resolve(make_resolver(), "acme/tools@v1").warnings == ()


def test_a_store_that_was_altered_is_not_used_offline(
    repository: Repository, make_resolver: MakeResolver, store: ActionStore, host: GitHost
) -> None:
    url = f"{host.url}/{{owner}}/{{repo}}"
    resolve(make_resolver(url), "acme/tools@v1")
    for file in store.root.glob("*/*/files/action.yml"):
        file.chmod(0o644)
        file.write_text("changed")
    host.status = 503
    with pytest.raises(UnreachableError):
        resolve(make_resolver(url), "acme/tools@v1")


def test_what_a_killed_process_left_half_made_is_cleared(
    repository: Repository, make_resolver: MakeResolver, store: ActionStore
) -> None:
    folder = store.root / store.repository(repository.url).name
    (folder / ".making-dead" / "files").mkdir(parents=True)
    (folder / ".making-file").write_text("{")
    (folder / "refs.json").write_text("{torn")
    assert resolve(make_resolver(), "acme/tools@v1").commit == repository.head
    assert sorted(path.name for path in folder.iterdir()) == sorted(["lock", "refs.json", repository.head])
    assert json.loads((folder / "refs.json").read_text()) == {"v1": repository.head}


def _resolve_in_process(root: str, url: str, job: int) -> str:
    folder = Path(root) / f"process-{job}"
    resolver = Resolver(ActionStore(Path(root) / "store"), (url,), folder, copies=folder / "actions")
    return resolve(resolver, "acme/tools@v1").commit


def test_several_processes_may_resolve_one_action_at_a_time(
    repository: Repository, tmp_path: Path, host: GitHost
) -> None:
    url = f"{host.url}/{{owner}}/{{repo}}"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        commits = pool.starmap(_resolve_in_process, [(str(tmp_path), url, job) for job in range(8)])
    assert commits == [repository.head] * 8
    packs = [request for request in host.requests if request.startswith("POST")]
    # Each asks what v1 is (one POST in git's protocol 2), but only the first to hold the lock fetches (two).
    assert len(packs) < 8 + 3 + 1


def test_steps_that_resolve_at_once_share_one_copy(
    repository: Repository, make_resolver: MakeResolver, host: GitHost
) -> None:
    resolver = make_resolver(f"{host.url}/{{owner}}/{{repo}}")
    with ThreadPoolExecutor() as pool:
        actions = list(pool.map(lambda _: resolve(resolver, "acme/tools@v1"), range(8)))
    assert len({action.folder for action in actions}) == 1
    assert len(host.requests) == 5  # of one resolution: look up the tag (2), fetch (3)


def test_a_local_action_is_the_workspaces_as_it_is_now(make_resolver: MakeResolver, tmp_path: Path) -> None:
    resolver = make_resolver()
    workspace = tmp_path / "job-1" / "workspace"
    with pytest.raises(NotFoundError, match="actions/checkout"):
        resolve(resolver, "./actions/hello")
    (workspace / "actions" / "hello").mkdir(parents=True)
    (workspace / "actions" / "hello" / "action.yml").write_text(ACTION)
    action = resolve(resolver, "./actions/hello")
    assert (action.origin, action.commit, action.root) == (WORKSPACE, "", workspace)
    (workspace / "actions" / "hello" / "action.yml").write_text("runs: {using: python, main: built-later.py}")
    assert resolve(resolver, "./actions/hello").manifest.runs == PythonRuns("built-later.py")


def test_a_local_action_behind_a_link_out_of_the_workspace_is_refused(
    make_resolver: MakeResolver, tmp_path: Path
) -> None:
    resolver = make_resolver()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "action.yml").write_text(ACTION)
    (tmp_path / "job-1" / "workspace" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="leads out"):
        resolve(resolver, "./link")


def test_self_inside_an_action_is_the_actions_own_repository(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver()
    outer = resolve(resolver, "acme/tools@v1")
    inner = resolve(resolver, "$/sub/deep", outer)
    assert (inner.manifest.name, inner.commit, inner.origin) == ("deep", outer.commit, outer.origin)
    assert inner.folder == outer.root / "sub" / "deep"


def test_self_inside_a_local_action_is_the_workspace(make_resolver: MakeResolver, tmp_path: Path) -> None:
    resolver = make_resolver()
    for name in ("outer", "inner"):
        (tmp_path / "job-1" / "workspace" / name).mkdir()
        (tmp_path / "job-1" / "workspace" / name / "action.yml").write_text(ACTION.replace("hello", name))
    inner = resolve(resolver, "$/inner", resolve(resolver, "./outer"))
    assert (inner.manifest.name, inner.origin) == ("inner", WORKSPACE)


def test_self_in_a_flow_is_the_runs_repository_at_its_commit(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    commit = repository.head
    repository.commit({"sub/deep/action.yaml": "changed"})
    source = Source(SourceKind.GIT, repository.url, "refs/heads/main", commit)
    assert resolve(make_resolver(source=source), "$/sub/deep").commit == commit


def test_self_in_a_flow_without_a_repository_is_the_workspace(
    make_resolver: MakeResolver, tmp_path: Path
) -> None:
    resolver = make_resolver(source=Source(SourceKind.FOLDER))
    (tmp_path / "job-1" / "workspace" / "action.yml").write_text(ACTION)
    assert resolve(resolver, "$/").origin == WORKSPACE


def test_bundled_actions_need_no_place(make_resolver: MakeResolver) -> None:
    action = resolve(make_resolver("file:///nowhere/{owner}/{repo}"), "flow-agent/checkout@v1")
    assert action.origin == BUNDLED
    assert isinstance(action.manifest.runs, PythonRuns)
    assert (action.root / "upload-artifact").is_dir()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "flow-agent/checkout@v2",
            "flow-agent/absent@v1",
            "flow-agent/_toolkit@v1",
            "flow-agent/checkout/sub@v1",
        ),
        *("Flow-Agent/checkout@v1", "FLOW-AGENT/absent@main", f"flow-agent/checkout@{'a' * 40}"),
    ],
)
def test_nobody_else_is_asked_for_what_our_name_does_not_have(
    text: str, make_resolver: MakeResolver, tmp_path: Path
) -> None:
    reference = parse_reference(text)
    assert isinstance(reference, RepositoryReference)
    make_repository(
        tmp_path / "git" / reference.owner / reference.repository,
        {"action.yml": ACTION, "sub/action.yml": ACTION},
    )
    resolver = make_resolver()
    for look in (resolver.resolve, resolver.read_file, resolver.look_up):
        with pytest.raises(RefusedError, match="reserved") as refused:
            look(reference)
        assert "flow-agent/checkout@v1, " in refused.value.hint
        assert "flow-agent/download-artifact@v1, " in refused.value.hint


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("{using: node20, main: dist/index.js}", "a file that it doesn't have: 'dist/index.js'"),
        ("{using: python, main: action.yml, post: gone.py}", "a file that it doesn't have: 'gone.py'"),
        ("{using: node20, main: ../../../../etc/passwd}", "a file outside its repository"),
        ("{using: python, main: /etc/passwd}", "a file outside its repository"),
        ("{using: docker, image: ../Dockerfile}", "a file outside its repository"),
    ],
)
def test_an_action_whose_files_are_not_there_is_refused_before_the_job_runs(
    runs: str, message: str, tmp_path: Path, make_resolver: MakeResolver
) -> None:
    make_repository(tmp_path / "git" / "a" / "b", {"action.yml": f"runs: {runs}"})
    with pytest.raises(AgentError, match=message):
        resolve(make_resolver(), "a/b@v1")


def test_a_script_may_lie_elsewhere_in_the_repository(tmp_path: Path, make_resolver: MakeResolver) -> None:
    make_repository(
        tmp_path / "git" / "a" / "b",
        {"restore/action.yml": "runs: {using: node20, main: ../dist/main.js}", "dist/main.js": ""},
    )
    assert resolve(make_resolver(), "a/b/restore@v1").folder.name == "restore"


def test_a_composite_actions_steps_come_with_it(repository: Repository, make_resolver: MakeResolver) -> None:
    runs = resolve(make_resolver(), "acme/tools@v1").manifest.runs
    assert isinstance(runs, CompositeRuns)
    assert runs.steps[0].run == "echo hello"
