"""`agent flow run`: the code of a local run is a git repository on this machine, for jobs that read it with git."""

import hashlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.git import GitHost, Repository, make_repository, serve_git
from support.lab import command_line, run_agent, wait_for

# What `actions/checkout` does, as an action of the repository itself.
READS = """
runs:
  using: composite
  steps:
    - shell: bash
      run: |
        pair=$(printf 'x-access-token:%s' '${{ github.token }}' | base64 -w0)
        cd "$RUNNER_TEMP" && rm -rf got && git init -q got && cd got
        git config http.$GITHUB_SERVER_URL/.extraheader "AUTHORIZATION: basic $pair"
        git fetch -q --depth=1 $GITHUB_SERVER_URL/$GITHUB_REPOSITORY "+$GITHUB_SHA:refs/remotes/origin/main"
        git checkout -q -B main refs/remotes/origin/main
        cat one.txt
        echo "server $GITHUB_SERVER_URL api $GITHUB_API_URL default ${{ github.event.repository.default_branch }}"
"""


@pytest.fixture
def code(tmp_path: Path) -> Repository:
    repository = make_repository(tmp_path / "lab", {"one.txt": "1\n", "reads/action.yml": READS})
    repository.git("remote", "add", "origin", "https://git.example.org/acme/lab.git")
    (repository.folder / "one.txt").write_text("not committed\n")
    return repository


def write(code: Repository, *steps: str) -> Path:
    file = code.folder / "flow.yml"
    listed = "".join(f"      - {step}\n" for step in steps)
    file.write_text(f"on: push\njobs:\n  it:\n    runs-on: ubuntu-latest\n    steps:\n{listed}")
    return file


def lines_of(file: Path, *words: str, **environment: str) -> list[str]:
    done = run_agent(
        "flow", "run", "--format", "json", file, *words, cwd=file.parent, environment=environment
    )
    assert done.code == 0, done.out + done.err
    return [
        line for record in done.records() if record["kind"] == "log" for line in record["text"].splitlines()
    ]


def test_a_job_reads_what_is_not_committed_with_git(code: Repository) -> None:
    lines = lines_of(write(code, "uses: ./reads"))
    assert "not committed" in lines
    (said,) = [line for line in lines if line.startswith("server http://127.0.0.1:")]
    words = said.split()
    assert words[3] == f"{words[1]}/api/v3"
    assert words[5] == "main"
    assert sorted(code.git("status", "--short").split()) == ["??", "M", "flow.yml", "one.txt"]


def test_a_token_of_ones_own_stays_for_the_api_of_its_host(code: Repository) -> None:
    file = write(code, "uses: ./reads")
    lines = lines_of(file, "--secret", "GITHUB_TOKEN", GITHUB_TOKEN="mine-and-mine-alone")
    assert "not committed" in lines
    (said,) = [line for line in lines if line.startswith("server http://127.0.0.1:")]
    assert said.split()[3] == "https://git.example.org/api/v3"


def test_a_run_that_asks_for_no_repository_serves_none_and_works_on_head(code: Repository) -> None:
    lines = lines_of(write(code, 'run: echo "$GITHUB_SHA ${{ github.token }}."'))
    assert f"{code.head} ." in lines
    assert not (code.folder / ".git" / "index.lock").exists()


def test_nothing_serves_on_when_the_run_is_killed(code: Repository, tmp_path: Path) -> None:
    file = write(code, "uses: ./reads", "run: sleep 1000")
    process = subprocess.Popen(
        command_line("flow", "run", "--format", "json", file),
        cwd=code.folder,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
    )
    assert process.stdout is not None
    records = (json.loads(line) for line in process.stdout)
    said = next(text for record in records if "server http" in (text := record.get("text", "")))
    address = urlsplit(said.partition("server ")[2].split()[0])
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    def is_gone() -> bool:
        with socket.socket() as asking:
            return asking.connect_ex((address.hostname or "", address.port or 0)) != 0

    assert wait_for(is_gone, "the end of what served")


LARGE = READS.replace(
    "git checkout -q",
    "git remote add origin $GITHUB_SERVER_URL/$GITHUB_REPOSITORY; git lfs install --local --skip-repo; "
    "git lfs fetch origin refs/remotes/origin/main; git checkout -q",
).replace("cat one.txt", "sha256sum model.bin")


def keep_large(code: Repository, content: bytes) -> tuple[str, Path]:
    """A commit with a file that Git LFS keeps, as a clone has it: its SHA-256, and where its bytes are."""
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    files = {".gitattributes": "*.bin filter=lfs -text\n", "model.bin": pointer, "reads/action.yml": LARGE}
    code.commit(files)
    kept = code.folder / ".git/lfs/objects" / oid[:2] / oid[2:4] / oid
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    return oid, kept


def test_what_git_lfs_keeps_comes_from_the_clone_with_git_lfs_itself(code: Repository) -> None:
    oid, kept = keep_large(code, os.urandom(3 << 20))
    assert f"{oid}  model.bin" in lines_of(write(code, "uses: ./reads"))
    kept.unlink()
    done = run_agent("flow", "run", "--format", "json", write(code, "uses: ./reads"), cwd=code.folder)
    assert done.code == 1
    assert "does not have this object: run `git lfs fetch` in it" in done.out


def test_a_submodule_beside_the_repository_is_served_from_its_clone(code: Repository, tmp_path: Path) -> None:
    part = make_repository(tmp_path / "part", {"part.txt": "of the part\n"})
    code.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", part.url, "part")
    code.git("config", "--file", ".gitmodules", "submodule.part.url", "../part")
    reads = READS.replace(
        "cat one.txt",
        'git remote add origin $GITHUB_SERVER_URL/$GITHUB_REPOSITORY; export XDG_CONFIG_HOME=$PWD/own; mkdir -p own/git; git config -f own/git/config http.$GITHUB_SERVER_URL/.extraheader "AUTHORIZATION: basic $pair"; git submodule update --init --quiet --depth=1; cat one.txt part/part.txt',
    )
    (code.folder / "reads" / "action.yml").write_text(reads)
    lines = lines_of(write(code, "uses: ./reads"))
    assert "of the part" in lines


# What `actions/checkout` does for another repository, as an action of the repository itself.
READS_OTHER = """
inputs: {repository: {required: true}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {OTHER: "${{ inputs.repository }}", TOKEN: "${{ github.token }}"}
      run: |
        pair=$(printf 'x-access-token:%s' "$TOKEN" | base64 -w0)
        python3 - << 'END' || true
        import json, os, urllib.request, urllib.error
        asked = urllib.request.Request(f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['OTHER']}")
        asked.add_header("Authorization", f"token {os.environ['TOKEN']}")
        try:
            print("default", json.load(urllib.request.urlopen(asked))["default_branch"])
        except urllib.error.HTTPError as error:
            print("no default", error.code, json.load(error)["message"])
        END
        cd "$RUNNER_TEMP" && git init -q got && cd got
        git config http.$GITHUB_SERVER_URL/.extraheader "AUTHORIZATION: basic $pair"
        git fetch -q --depth=1 "$GITHUB_SERVER_URL/$OTHER" trunk 2>&1 || exit 0
        git show FETCH_HEAD:part.txt
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHost]:
    with serve_git(tmp_path / "hosted") as made:
        yield made


def read_other(code: Repository, host: GitHost, other: str) -> list[str]:
    code.git("remote", "set-url", "origin", f"{host.url}/acme/lab.git")
    (code.folder / "reads" / "action.yml").write_text(READS_OTHER)
    return lines_of(write(code, f"{{uses: ./reads, with: {{repository: {other}}}}}"))


def test_another_public_repository_of_the_host_is_handed_on_and_nobodys_token_with_the_request(
    code: Repository, host: GitHost
) -> None:
    make_repository(host.root / "globe" / "part", {"part.txt": "of another owner\n"}, branch="trunk")
    lines = read_other(code, host, "globe/part")
    assert {"default trunk", "of another owner"} <= {*lines}
    assert [one.partition("?")[0] for one in host.requests].count("POST /globe/part/git-upload-pack")
    assert not host.authorizations


def test_a_repository_that_has_moved_on_its_host_is_found_where_it_is(
    code: Repository, host: GitHost
) -> None:
    make_repository(host.root / "globe" / "part", {"part.txt": "moved\n"}, branch="trunk")
    host.moves["/old/name"] = "/globe/part"
    assert {"default trunk", "moved"} <= {*read_other(code, host, "old/name")}
    host.moves["/old/name"] = "http://127.0.0.1:9/globe/part"
    lines = read_other(code, host, "old/name")
    assert [line for line in lines if "to another host" in line]


def test_a_repository_that_the_host_shows_to_nobody_is_not_there(code: Repository, host: GitHost) -> None:
    make_repository(host.root / "globe" / "part", {"part.txt": "for some\n"}, branch="trunk")
    host.credentials = "somebody:with-a-password"
    lines = read_other(code, host, "globe/part")
    assert [line for line in lines if line.startswith("no default 404 Not Found: repos/globe/part")]
    assert [line for line in lines if "has no public repository globe/part" in line]
    assert "for some" not in lines
