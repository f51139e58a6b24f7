"""What serves a local run (its code, artifacts and caches) is reached from the containers of its jobs, and from no others."""

import json
import socket
import sys
from pathlib import Path

import pytest
from support.docker import BUSYBOX, make_git_image
from support.git import Repository, make_repository
from support.lab import Done, run_agent

READS = """
runs:
  using: composite
  steps:
    - shell: bash
      run: |
        pair=$(printf 'x-access-token:%s' '${{ github.token }}' | base64 | tr -d '\\n')
        mkdir $RUNNER_TEMP/got && cd $RUNNER_TEMP/got && git init -q .
        git config http.$GITHUB_SERVER_URL/.extraheader "AUTHORIZATION: basic $pair"
        git fetch -q --depth=1 $GITHUB_SERVER_URL/$GITHUB_REPOSITORY "+$GITHUB_SHA:refs/remotes/origin/main"
        git show refs/remotes/origin/main:one.txt
        echo "server ${{ github.server_url }} api $GITHUB_API_URL"
"""
DOCKERFILE = f'FROM {BUSYBOX}\nENTRYPOINT ["/bin/sh", "/asks.sh"]\nCOPY asks.sh /asks.sh\n'
ASKS = """
for url in $ACTIONS_RESULTS_URL $ACTIONS_RUNTIME_URL; do wget -q -O- ${url}nowhere 2>&1 | sed 's/^/service /'; done
wget -q -O- $GITHUB_SERVER_URL/acme/lab/info/refs?service=git-upload-pack 2>&1 | sed 's/^/without a token /'
wget -q -O- --header "Authorization: token $INPUT_TOKEN" "$GITHUB_SERVER_URL/acme/lab/info/refs?service=git-upload-pack" | head -1
"""


@pytest.fixture
def code(tmp_path: Path) -> Repository:
    action = "inputs: {token: {default: '${{ github.token }}'}}\nruns: {using: docker, image: Dockerfile}\n"
    files = {"one.txt": "1\n", "reads/action.yml": READS, "asks/action.yml": action}
    repository = make_repository(
        tmp_path / "lab", {**files, "asks/Dockerfile": DOCKERFILE, "asks/asks.sh": ASKS}
    )
    repository.git("remote", "add", "origin", "https://git.example.org/acme/lab.git")
    (repository.folder / "one.txt").write_text("not committed\n")
    return repository


def run(code: Repository, engine_address: str, job: str) -> tuple[Done, list[str]]:
    file = code.folder / "flow.yml"
    file.write_text(f"on: push\njobs:\n  it:\n    runs-on: ubuntu-latest\n{job}")
    environment = {"DOCKER_HOST": engine_address}
    done = run_agent("flow", "run", "--format", "json", file, cwd=code.folder, environment=environment)
    records = [json.loads(line) for line in done.out.splitlines()]
    return done, [line for one in records if one["kind"] == "log" for line in one["text"].splitlines()]


def test_a_job_in_a_container_reads_the_runs_code_with_git(code: Repository, engine_address: str) -> None:
    image = make_git_image(engine_address)
    done, lines = run(code, engine_address, f"    container: {image}\n    steps: [{{uses: ./reads}}]\n")
    assert done.code == 0, done.out + done.err
    assert "not committed" in lines
    (said,) = [line for line in lines if line.startswith("server http://")]
    server, api = said.split()[1], said.split()[3]
    assert api == f"{server}/api/v3"
    assert "127.0.0.1" not in server
    host, _, port = server.removeprefix("http://").partition(":")
    with socket.socket() as asking:  # with the job it has ended
        assert asking.connect_ex((host, int(port))) != 0


@pytest.mark.parametrize("job", ["", "    services: {one: {image: IMAGE, command: tail -f /dev/null}}\n"])
def test_a_container_action_reaches_the_runs_services(
    code: Repository, engine_address: str, job: str
) -> None:
    services = job.replace("IMAGE", BUSYBOX)
    done, lines = run(code, engine_address, f"{services}    steps: [{{uses: ./reads}}, {{uses: ./asks}}]\n")
    assert done.code == 0, done.out + done.err
    services_said = [line for line in lines if line.startswith("service ")]
    assert len(services_said) == 2
    assert all("404" in line for line in services_said), services_said
    assert [line for line in lines if line.startswith("without a token") and "401" in line]
    assert [line for line in lines if "# service=git-upload-pack" in line]


def test_an_image_as_a_step_reaches_the_runs_services(code: Repository, engine_address: str) -> None:
    words = "-c 'echo service $(wget -q -O- ${ACTIONS_RESULTS_URL}nowhere 2>&1)'"
    step = f'{{uses: "docker://{BUSYBOX}", with: {{entrypoint: /bin/sh, args: "{words}"}}}}'
    done, lines = run(code, engine_address, f"    steps: [{step}]\n")
    assert done.code == 0, done.out + done.err
    assert [line for line in lines if line.startswith("service ") and "404" in line], lines


FOREIGN = """
import sys
from support.docker import connect

client = connect(sys.argv[1])
made = client.create_container(sys.argv[2], ["sh", "-c", f"wget -q -O- {sys.argv[3]} 2>&1"])["Id"]
try:
    client.start(made)
    code = client.wait(made)["StatusCode"]
    print("foreign", code, client.logs(made).decode())
finally:
    client.remove_container(made, force=True)
"""


def test_a_container_of_another_network_does_not_reach_them(
    code: Repository, engine_address: str, tmp_path: Path
) -> None:
    program = tmp_path / "foreign.py"
    program.write_text(FOREIGN)
    tests = Path(__file__).parents[1]
    asks = f"PYTHONPATH={tests} {sys.executable} {program} {engine_address} {BUSYBOX} $GITHUB_SERVER_URL/acme/lab"
    _, lines = run(code, engine_address, f"    steps: [{{uses: ./asks}}, {{run: {json.dumps(asks)}}}]\n")
    (said,) = [line for line in lines if line.startswith("foreign ")]
    assert "error getting response" in said, lines  # one that is heard is told 401
