"""Published actions on the run's code as it lies, not committed: locally, and by a server from a snapshot."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.docker import make_git_image
from support.git import GitHost, Repository, make_repository, serve_git
from support.lab import Lab
from support.published import CLONES, WAYS, Run, needs, open_way, skip_without
from support.registry import push, running_registry

pytestmark = pytest.mark.end_to_end

CHECKOUTS = ["v2", "v3", "v4", "v5", "v6", "v7"]
FLOW = "on: [push, pull_request]\njobs:\n  it:\n    runs-on: self-hosted\n    steps:\n"

NEWEST = """
      - uses: actions/checkout@%s
      - run: |
          cat one.txt new.txt
          git status --short | sed 's/^/dirty: /'
          test "$(git rev-parse HEAD)" = "$GITHUB_SHA"
          git rev-list --count HEAD | sed 's/^/depth /'
"""
ALL = """
      - uses: actions/checkout@{0}
        with: {{fetch-depth: 0, submodules: true}}
      - run: |
          git rev-list --count HEAD | sed 's/^/depth /'
          git diff --name-only HEAD^ | sed 's/^/changed /'
          git tag | sed 's/^/tag /'
          cat part/part.txt
      - uses: actions/checkout@{0}
        with: {{ref: other, path: first}}
      - uses: actions/checkout@{0}
        with: {{path: second, sparse-checkout: sub, fetch-tags: true}}
      - run: |
          cat first/one.txt | sed 's/^/other /'
          git -C second rev-list --count HEAD | sed 's/^/second /'
          ls second second/sub | sed 's/^/part /'
"""
FILTERS = """
      - uses: actions/checkout@v4
      - {{id: api, uses: dorny/paths-filter@{0}, with: {{filters: "{{one: [one.txt], sub: ['sub/**']}}"}}}}
      - run: echo "saw api ${{{{ steps.api.outputs.one }}}} ${{{{ steps.api.outputs.sub }}}}"
      - {{id: git, uses: dorny/paths-filter@{0}, with: {{token: '', filters: "{{one: [one.txt], sub: ['sub/**']}}"}}}}
      - run: echo "saw git ${{{{ steps.git.outputs.one }}}} ${{{{ steps.git.outputs.sub }}}}"
"""
PRE_COMMIT = """
      - uses: actions/checkout@v4
      - run: python3 -m venv "$RUNNER_TEMP/own" && echo "$RUNNER_TEMP/own/bin" >> "$GITHUB_PATH"
      - uses: pre-commit/action@v3.0.1
"""
HOOKS = """
repos:
  - repo: local
    hooks: [{id: one, name: looks at one.txt, entry: grep -H 'not committed', language: system, files: ^one.txt$, verbose: true}]
"""
CACHE = """
      - uses: actions/checkout@v4
      - {{id: cache, uses: "actions/cache@{0}", with: {{path: stuff, key: "deps-${{{{ hashFiles('one.txt') }}}}"}}}}
      - run: |
          echo "hit=[${{{{ steps.cache.outputs.cache-hit }}}}] found=[$(cat stuff/word 2>/dev/null)]"
          mkdir -p stuff; cp one.txt stuff/word
"""
ARTIFACTS = """
on: push
jobs:
  makes:
    runs-on: self-hosted
    steps:
      - uses: actions/checkout@v4
      - run: mkdir -p out/deep && cp one.txt out/deep/ && cp new.txt out/
      - {{id: up, uses: "actions/upload-artifact@{0}", with: {{name: made, path: out}}}}
      - run: echo "id [${{{{ steps.up.outputs.artifact-id }}}}]"
      - run: |
          url='${{{{ steps.up.outputs.artifact-url }}}}'
          case $url in
            file://*) test -s "${{url#file://}}";;
            *) curl -s -o /dev/null -w '%{{http_code}}' "$url" | grep -q 401;;
          esac && echo "at $url there"
  takes:
    needs: makes
    runs-on: self-hosted
    steps:
      - {{uses: "actions/download-artifact@{1}", with: {{name: made, path: got}}}}
      - run: cat got/deep/one.txt got/new.txt
      - {{uses: "actions/download-artifact@{1}", with: {{path: all}}}}
      - run: find all -type f | sed 's|all/made/|all/|'
"""


@pytest.fixture(params=WAYS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    with open_way(request.param, tmp_path / "lab") as made:
        yield made


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    make_repository(tmp_path / "hosted" / "acme" / "part", {"part.txt": "of the part\n"})
    with serve_git(tmp_path / "hosted") as made:
        yield made


@pytest.fixture
def code(tmp_path: Path) -> Repository:
    """A repository with history, and a work tree that nobody has committed."""
    repository = make_repository(tmp_path / "code" / "lab", {"one.txt": "1\n", "sub/two.txt": "2\n"})
    repository.git("remote", "add", "origin", "https://git.example.org/acme/lab.git")
    repository.git("branch", "other")
    repository.commit({"one.txt": "11\n"})
    (repository.folder / "one.txt").write_text("not committed\n")
    (repository.folder / "new.txt").write_text("new\n")
    return repository


def write(code: Repository, text: str) -> Path:
    file = code.folder / "flow.yml"
    file.write_text(text)
    return file


@needs("actions/checkout")
@pytest.mark.parametrize("version", CHECKOUTS)
def test_published_checkout_has_what_is_not_committed(run: Run, code: Repository, version: str) -> None:
    lines = run(write(code, FLOW + NEWEST % version))["it"]
    assert {"not committed", "new", "depth 1"} <= {*lines}
    assert not [line for line in lines if line.startswith("dirty")]


@needs("actions/checkout")
@pytest.mark.parametrize("version", CHECKOUTS)
def test_published_checkout_has_history_submodules_other_refs_parts_and_two_places(
    run: Run, code: Repository, host: GitHost, version: str
) -> None:
    code.git("submodule", "add", "--quiet", f"{host.url}/acme/part", "part")
    lines = run(write(code, FLOW + ALL.format(version)))["it"]
    history = {"depth 3", "changed new.txt", "changed one.txt", "changed part", "tag v1", "of the part"}
    # v2 knows no sparse checkout: it warns, and has all of it.
    assert history | {"other 1", "second 1", "part sub", "part two.txt"} <= {*lines}


@needs("actions/checkout")
@pytest.mark.parametrize("version", ["v3", "v4", "v7"])
def test_published_checkout_has_another_public_repository_in_a_local_run(
    code: Repository, host: GitHost, tmp_path: Path, version: str
) -> None:
    code.git("remote", "set-url", "origin", f"{host.url}/acme/lab.git")
    steps = f"      - {{uses: actions/checkout@{version}, with: {{repository: acme/part}}}}\n      - run: cat part.txt\n"
    with open_way("locally", tmp_path / "lab") as run:
        assert "of the part" in run(write(code, FLOW + steps))["it"]
    assert not host.authorizations


@needs("actions/checkout", "dorny/paths-filter")
@pytest.mark.parametrize("version", ["v3", "v4"])
def test_published_paths_filter_sees_what_a_request_changes(
    run: Run, code: Repository, tmp_path: Path, version: str
) -> None:
    event = {
        "number": 5,
        "pull_request": {
            "number": 5,
            "changed_files": 2,
            "base": {"ref": "main", "sha": code.head},
            "head": {"ref": "topic", "sha": "0" * 40},
        },
    }
    (tmp_path / "event.json").write_text(json.dumps(event))
    flow = write(code, FLOW + FILTERS.format(version))
    lines = run(flow, "--event", "pull_request", "--event-file", str(tmp_path / "event.json"))["it"]
    said = [line for line in lines if line.startswith("saw")]
    assert said == ["saw api true false", "saw git true false"]


@needs("actions/checkout", "actions/cache", "pre-commit/action")
def test_published_pre_commit_looks_at_what_is_not_committed(run: Run, code: Repository) -> None:
    (code.folder / ".pre-commit-config.yaml").write_text(HOOKS)
    lines = run(write(code, FLOW + PRE_COMMIT))["it"]
    assert [line for line in lines if "looks at one.txt" in line and "Passed" in line]
    assert "one.txt:not committed" in lines


@needs("actions/checkout", "actions/cache")
@pytest.mark.parametrize("version", ["v3", "v4", "v5"])
def test_published_cache_has_a_hit_in_the_second_run(run: Run, code: Repository, version: str) -> None:
    flow = write(code, FLOW + CACHE.format(version))
    assert "hit=[] found=[]" in run(flow)["it"]
    assert "hit=[true] found=[not committed]" in run(flow)["it"]


@needs("actions/checkout", "actions/upload-artifact", "actions/download-artifact")
@pytest.mark.parametrize(
    ("upload", "download"), [("v4", "v4"), ("v5", "v5"), ("v5", "v6"), ("v6", "v7"), ("v7", "v8")]
)
def test_published_artifact_actions_hand_files_from_job_to_job(
    run: Run, code: Repository, upload: str, download: str
) -> None:
    skip_without("actions/upload-artifact", upload, "dist/upload/index.js")
    skip_without("actions/download-artifact", download, "dist/index.js")
    lines = run(write(code, ARTIFACTS.format(upload, download)))
    assert [line for line in lines["makes"] if line.startswith("id [") and line != "id []"]
    (said,) = [line for line in lines["makes"] if line.startswith("Artifact download URL: ")]
    assert f"at {said.removeprefix('Artifact download URL: ')} there" in lines["makes"]
    assert "flows.localhost" not in said
    # A single artifact that nobody has named lies in a folder of its name up to v4, since v5 in `path` itself.
    assert {"not committed", "new", "all/deep/one.txt", "all/new.txt"} <= {*lines["takes"]}


PUBLIC = """
on: push
jobs:
  it:
    runs-on: self-hosted
    steps:
      - uses: actions/checkout@{0}
      - run: cat one.txt; git rev-list --count HEAD | sed 's/^/depth /'
      - {{uses: "actions/checkout@{0}", with: {{repository: acme/part, path: other}}}}
      - run: cat other/part.txt
      - {{uses: flow-agent/checkout@v1, with: {{repository: acme/part, path: ours}}}}
      - run: sed 's/^/ours /' ours/part.txt
"""


@pytest.fixture
def asks_host(tmp_path: Path, host: GitHost) -> Iterator[Lab]:
    """A server that may speak to the git host on this machine, and an agent that has the published actions."""
    (tmp_path / "lab").mkdir()
    with Lab(tmp_path / "lab", {"AGENT_OUTSIDE_HOSTS": "127.0.0.0/8"}) as lab:
        lab.start_server()
        lab.add_agent("box", environment={"AGENT_ACTIONS_URL": f"file://{CLONES}/{{owner}}/{{repo}}"})
        yield lab


@needs("actions/checkout")
@pytest.mark.parametrize("version", CHECKOUTS)
def test_published_checkout_shows_a_foreign_host_no_token_of_ours(
    asks_host: Lab, host: GitHost, version: str
) -> None:
    code = make_repository(host.root / "acme" / "lab", {"one.txt": "1\n", "flow.yml": PUBLIC.format(version)})
    code.git("config", "uploadpack.allowAnySHA1InWant", "true")
    clone = Repository(host.root.parent / "clone")
    code.git("clone", "--quiet", f"{host.url}/acme/lab", str(clone.folder))
    number = asks_host.submit(clone.folder / "flow.yml", "--source", "git")
    asks_host.wait_for_run(number)
    lines = asks_host.lines(number, "it")
    assert not host.authorizations
    assert {"1", "depth 1", "of the part", "ours of the part"} <= {*lines}, lines


WITH_TOKEN = """
      - {{uses: actions/checkout@{0}, with: {{token: mine}}}}
      - run: cat one.txt
      - {{uses: actions/checkout@{0}, with: {{repository: acme/part, ref: main, token: mine, path: other}}}}
      - run: cat other/part.txt
"""


@needs("actions/checkout")
@pytest.mark.parametrize("version", ["v4", "v7"])
def test_published_checkout_shows_a_token_of_ones_own_to_the_host_that_it_is_for_and_to_no_other(
    run: Run, code: Repository, host: GitHost, version: str
) -> None:
    code.git("remote", "set-url", "origin", f"{host.url}/acme/lab.git")
    host.credentials = "x-access-token:mine"
    lines = run(write(code, FLOW + WITH_TOKEN.format(version)))["it"]
    assert {"not committed", "of the part"} <= {*lines}
    pair = base64.b64encode(host.credentials.encode()).decode()
    assert {one.partition(" ")[2] for one in host.authorizations} <= {pair, "mine"}
    assert not [one for one in host.requests if "/acme/lab" in one]


IN_CONTAINER = """
on: push
jobs:
  it:
    runs-on: self-hosted
    container: {0}
    steps:
      - uses: actions/checkout@v4
      - run: cat one.txt
      - uses: actions/cache@v4
        with: {{path: stuff, key: one}}
      - run: mkdir -p stuff out; cp one.txt stuff; cp one.txt out
      - uses: actions/upload-artifact@v4
        with: {{name: made, path: out}}
      - uses: actions/download-artifact@v4
        with: {{name: made, path: got}}
      - run: sed 's/^/got /' got/one.txt
"""


@needs("actions/checkout", "actions/cache", "actions/upload-artifact", "actions/download-artifact")
def test_published_actions_in_a_jobs_container_find_code_caches_and_artifacts(
    run: Run, code: Repository, engine_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine_address)
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry", engine_address, has_login=False) as registry:
        push(registry.host, engine_address, make_git_image(engine_address))
        lines = run(write(code, IN_CONTAINER.format(registry.image)))["it"]
        registry.forget()
    assert {"not committed", "got not committed"} <= {*lines}


RELATIVE = """
      - uses: actions/checkout@{0}
        with: {{submodules: true}}
      - run: cat one.txt; sed 's/^/part /' part/part.txt; git -C part remote get-url origin
"""


@needs("actions/checkout")
@pytest.mark.parametrize("version", ["v4", "v7"])
def test_published_checkout_of_a_snapshot_has_submodules_beside_it_public_or_not(
    asks_host: Lab, code: Repository, host: GitHost, version: str
) -> None:
    code.git("remote", "set-url", "origin", f"{host.url}/acme/lab.git")
    code.git("submodule", "add", "--quiet", "../part", "part")
    flow = write(code, FLOW + RELATIVE.format(version))

    def check() -> None:
        number = asks_host.submit(flow, "--source", "snapshot")
        view = asks_host.wait_for_run(number)
        lines = asks_host.lines(number, "it")
        assert view["conclusion"] == "success", lines
        assert {"not committed", "part of the part", f"{asks_host.url}/acme/part"} <= {*lines}

    host.requests.clear()
    host.credentials = "nobody:has-these"
    check()
    assert not host.requests  # its clone in the work tree came with the run
    code.git("submodule", "deinit", "--force", "--all")
    host.credentials = ""
    check()
    assert {request.partition("?")[0] for request in host.requests} == {
        "GET /acme/part/info/refs",
        "POST /acme/part/git-upload-pack",
    }
    assert not host.authorizations
