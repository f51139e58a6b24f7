"""dstack's workflows run, here and through a server, and what comes out of them is what their system's documents promise.

The files are in `dstack/`: each key of the language is in one of them at least (tests/flow/dialects/dstack/test_page.py sees to that).
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.dstack import Around, make_around
from support.lab import PATIENCE_SECONDS, Done, Lab, command_line, run_agent, wait_for
from support.registry import PASSWORD, push, running_registry

pytestmark = pytest.mark.timeout(900)
SECRETS = {"KEY": "open sesame", "REGISTRY_PASSWORD": PASSWORD}
AT_ONCE = 4


@dataclass(frozen=True)
class Case:
    """Workflows of a file that are started together, what they are given, and what the commands of each say."""

    file: str
    said: Mapping[str, tuple[str, ...]]
    words: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()  # that say nothing, and come along with others

    def __str__(self) -> str:
        return self.file

    @property
    def starts(self) -> list[str]:
        """What a command line says."""
        return [
            f".dstack/{self.file}.yaml",
            *(word for job in self.said for word in ("--job", job)),
            *self.words,
        ]


RANKS = "RANK={} LOCAL_RANK={} GROUP_RANK={} LOCAL_WORLD_SIZE={} GROUP_WORLD_SIZE={} WORLD_SIZE={}"
JUPYTER = "--no-browser --allow-root --ip=127.0.0.1 --port=PORT --ServerApp.port_retries=0 token"
API = "uvicorn --host 127.0.0.1 --port PORT src.serve:app"
STREAMLIT = (
    "streamlit run --server.port PORT --server.address 127.0.0.1 --server.headless true"
    " --server.enableCORS false --server.enableXsrfProtection false src/serve.py -- --x a b"
)
CASES = [
    Case("workflows", {"first": ("first",), "second": ("second",)}),
    Case("workflows/bash", {"hello": ("before in src", "hello it's world"), "broken": ("setup",)}, failed=("broken",)),
    Case("workflows/bash", {"hello": ("before in src", "hello it's me")}, ("--who", "me")),
    Case("workflows/environment", {"env-list": ("blue [] a=b", "*** 11"), "env-mapping": ('1.0 over [] [1, "two"]',)}),
    Case(
        "workflows/names", {"variables": ("128 128 1.0 3.10", "--x", "a b", "named", "${{ x }}")},
        ("--batch-size", "128", "--", "--x", "a b"),
    ),
    Case("workflows/python", {
        "py": ("small", "['--words', 'two words', \"it's\", 'more'] True"), "py-script": ("['-x', '1'] True",),
        "py-old": ("[] True",),
    }, ("--", "more")),
    Case("workflows/artifacts", {"use": ("made first live m ",)}, silent=("make",)),
    Case("workflows/resources", {"gpu-named": ("GPU",), "gpu-count": ("GPU-a,GPU",), "gpu-old": ("GPU",)}),
    Case("workflows/ports", {"ports": ("small==1",), "own-port": ("FREE FREER",)}),
    Case("workflows/docker", {"box-shell": ("/bin/bash", "/tmp"), "box-word": ("it's && b",)}),
    Case("workflows/custom", {
        "custom": ("set up", 'hello mine 1 /workflow {"greeting": "hello", "deep": {"a": [1, 2]}}'),
    }),
    Case("workflows/curl", {"read": ("a word",), "missing": ()}, failed=("missing",), silent=("fetched",)),
    Case("workflows/elsewhere", {"elsewhere": ("built in",), "branch": ("built in",)}),
    Case("workflows/torchrun", {
        "one-node": ("met [0, 1] ['--epochs', '3']", RANKS.format(0, 0, 0, 2, 1, 2), RANKS.format(1, 1, 0, 2, 1, 2)),
    }),
    Case("workflows/jupyter", {
        "a-lab": ("small", f"jupyter lab {JUPYTER}"), "a-notebook": (f"jupyter notebook {JUPYTER}",),
    }),
    Case("workflows/editors", {
        "an-editor": ("editor --host 127.0.0.1 --port PORT --connection-token TOKEN --default-folder HERE",),
    }),
    Case("workflows/apps", {
        "a-gradio": ("app ['--share'] 127.0.0.1 True",), "a-streamlit": (STREAMLIT,), "an-api": (f"{API} --reload",),
        "an-api-of-a-file": (API,),
    }),
]  # fmt: skip
SHELL = Case("workflows/editors", {"a-shell": ()})
NODES = Case("workflows/torchrun", {"nodes": ()})
APART = (SHELL, NODES)  # each has a test of its own here, and one through a server
ONE_NODE = Case("workflows/torchrun", {"nodes": ("met [0] ['--lr', '0.1']", RANKS.format(0, 0, 0, 1, 1, 1))})
# One after the other: what one keeps the next finds.
DATA_CASES = [
    Case("workflows/artifacts", {"make": ()}, ("--tag", "kept")),
    Case("workflows/artifacts", {"make": ()}, ("--env", "WHAT=second")),
    Case("workflows/artifacts", {
        "by-tag": ("made first",), "by-tags": ("made first",), "by-short-tag": ("m",), "by-workflow": ("live",),
        "by-name": ("made second",),
    }),
    Case("workflows/artifacts", {"counted": ("1", "1")}),
    Case("workflows/artifacts", {"counted": ("2", "2")}),
    Case("workflows/docker", {"box": ("1 2 /workflow/src /home/me 32", "1")}),
    Case("workflows/docker", {"box": ("1 2 /workflow/src /home/me 32", "2")}),
    Case("workflows/docker", {"from-box": ("kept",)}),
]  # fmt: skip
BOARD = "tensorboard --host 127.0.0.1 --port PORT --logdir .tensorboard"
KEPT = (".tensorboard/RUN/data/deep/word", ".tensorboard/RUN/live/x", ".tensorboard/RUN/model.bin")


def show_run(run: str) -> Case:
    """A run is shown, whose name the machine gave it."""
    boards = {"board": (*KEPT, BOARD), "board-logdir": (".tensorboard/RUN/deep/word", BOARD)}
    return Case("workflows/tensorboard", boards, ("--shown", run))


@pytest.fixture(scope="module")
def around(engine_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    folder = tmp_path_factory.mktemp("dstack")
    (folder / "registry").mkdir()
    with running_registry(folder / "registry", engine_address, has_login=True) as registry:
        push(registry.host, registry.engine)
        with make_around(folder, registry.image, engine_address) as made:
            yield made


def make_environment(around: Around, state: Path) -> dict[str, str]:
    """That of whoever runs something; a home folder is new each time, so that what is found there was brought."""
    home = state / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    return {**around.environment, "AGENT_STATE": str(state), "HOME": str(home)}


def check(case: Case, around: Around, said: Mapping[str, Sequence[str]], ends: Mapping[str, str]) -> None:
    own = {
        job: sorted(around.name_ports(line[2:]) for line in lines if line.startswith("> "))
        for job, lines in said.items()
    }
    expected = {job: sorted(lines) for job, lines in case.said.items()}
    assert {job: lines for job, lines in own.items() if lines} == {
        job: lines for job, lines in expected.items() if lines
    }, said
    assert ends == {
        job: "failure" if job in case.failed else "success" for job in (*case.said, *case.silent)
    }, said


def run_here(around: Around, case: Case, state: Path) -> Done:
    secrets = [word for name, value in SECRETS.items() for word in ("--secret", f"{name}={value}")]
    return run_agent(
        *("flow", "run", "--format", "json", *secrets, *case.starts),
        cwd=around.project,
        environment=make_environment(around, state),
    )


def check_here(case: Case, around: Around, done: Done) -> None:
    assert done.out.startswith("{"), done.err
    *records, last = done.records()
    said: dict[str, list[str]] = {}
    for record in records:
        if record["kind"] == "log":
            said.setdefault(record["job"], []).append(record["text"])
    check(case, around, said, {job: ended["conclusion"] for job, ended in last["jobs"].items()})


@pytest.mark.parametrize("case", [*CASES, ONE_NODE], ids=str)
def test_workflows_run_here(case: Case, around: Around, tmp_path: Path) -> None:
    check_here(case, around, run_here(around, case, tmp_path))


CONVERTED = {
    "workflows/bash": {"hello": ("before in src", "hello it's world")},
    "workflows/environment": {"env-mapping": ('1.0 over [] [1, "two"]',)},
    "workflows/artifacts": {"use": ("made first live m ",)},
    "workflows/python": {"py": ("small", "['--words', 'two words', \"it's\", 'more'] True")},
    "workflows/docker": {"box-shell": ("/bin/bash", "/tmp")},
}


@pytest.mark.parametrize("file", CONVERTED)
def test_what_is_converted_says_the_same(file: str, around: Around, tmp_path: Path) -> None:
    converted = run_agent("flow", "convert", f".dstack/{file}.yaml", "--to", "github", cwd=around.project)
    assert converted.code == 0, converted.out
    flow = around.project / f"{Path(file).name}.yml"
    flow.write_text(converted.out)
    ((workflow, said),) = CONVERTED[file].items()
    given = ["--input", f"workflow={workflow}"]
    if "run-args:" in converted.out:
        given += ["--input", "run-args=more"]
    done = run_agent(
        *("flow", "run", flow, "--format", "json", *given),
        cwd=around.project,
        environment=make_environment(around, tmp_path),
    )
    flow.unlink()
    assert done.code == 0, done.out + done.err
    texts = [record["text"] for record in done.records() if record["kind"] == "log"]
    assert sorted(line[2:] for line in texts if line.startswith("> ")) == sorted(said)


def test_workflows_find_here_what_others_left(around: Around, tmp_path: Path) -> None:
    for case in (*DATA_CASES, show_run("wet-mangust-1")):
        check_here(case, around, run_here(around, case, tmp_path))
    unknown = run_here(around, show_run("wild-zebra-77"), tmp_path)
    assert (unknown.code, unknown.out) == (2, "")
    assert "there is no run 'wild-zebra-77' here" in unknown.err
    assert ".dstack/workflows/tensorboard.yaml:2:" in unknown.err


def test_a_workflow_that_asks_for_more_than_there_is_is_told_so_here(around: Around, tmp_path: Path) -> None:
    done = run_here(around, Case("workflows/resources", {"gpu-too-many": ()}), tmp_path)
    assert done.code == 1
    assert "3 GPUs" in done.out


def test_a_workflow_of_ssh_waits_here_until_it_is_interrupted(around: Around, tmp_path: Path) -> None:
    words = ("flow", "run", "--format", "json", *SHELL.starts)
    environment = {**os.environ, **make_environment(around, tmp_path)}
    process = subprocess.Popen(
        command_line(*words), cwd=around.project, env=environment, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if '"ready: `agent run attach' in line)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert "wet-mangust-1" in said
    assert process.returncode == 130
    assert '"conclusion": "cancelled"' in rest


class Server:
    """A lab's server, asked by its API, and people who submit the project's workflows to it."""

    def __init__(self, lab: Lab, around: Around) -> None:
        self.lab, self.around = lab, around
        headers = {"Authorization": f"Bearer {lab.admin_token}"}
        self.api = httpx.Client(base_url=f"{lab.url}/api/v1", headers=headers, timeout=PATIENCE_SECONDS)
        for name, value in SECRETS.items():
            assert lab.agent("secret", "set", name, given=f"{value}\n").code == 0

    def add_agent(self, name: str) -> Path:
        """Its home folder."""
        environment = make_environment(self.around, self.lab.folder / f"of-{name}")
        del environment["AGENT_STATE"]
        allowed = {"AGENT_CONTAINER_ALLOW": "local-image:flow-test/*"}
        self.lab.add_agent(name, "--max-jobs", str(AT_ONCE), environment={**environment, **allowed})
        return Path(environment["HOME"])

    def submit(self, case: Case) -> Done:
        return run_agent(
            *("flow", "submit", "--format", "json", *case.starts),
            cwd=self.around.project,
            environment={**self.around.environment, **self.lab.environment},
        )

    def start(self, case: Case) -> int:
        done = self.submit(case)
        assert done.code == 0, done.err
        return int(done.json()["run"])

    def see(self, run: int) -> Any:
        return self.api.get(f"/runs/{run}").raise_for_status().json()

    def wait_for(self, run: int) -> Any:
        return wait_for(lambda: (seen := self.see(run))["status"] == "completed" and seen, f"run {run}")

    def check(self, case: Case, run: int) -> None:
        jobs = self.wait_for(run)["jobs"]
        said = {job["key"]: self.lab.lines(run, job["key"]) for job in jobs}
        check(case, self.around, said, {job["key"]: job["conclusion"] for job in jobs})


@pytest.fixture
def server(lab: Lab, around: Around) -> Iterator[Server]:
    made = Server(lab, around)
    with made.api:
        yield made


def test_workflows_run_through_a_server(server: Server) -> None:
    server.add_agent("box")
    for case, run in [(case, server.start(case)) for case in CASES]:
        server.check(case, run)


def test_workflows_find_at_a_server_what_others_left(server: Server) -> None:
    home = server.add_agent("box")
    runs = []
    for case in DATA_CASES:
        shutil.rmtree(home)
        home.mkdir()
        runs.append(server.start(case))
        server.check(case, runs[-1])
    case = show_run(server.see(runs[0])["readable_name"])
    server.check(case, server.start(case))
    unknown = server.submit(show_run("wild-zebra-77"))
    assert unknown.code == 2
    assert "there is no run 'wild-zebra-77' (.dstack/workflows/tensorboard.yaml:2:" in unknown.err


def test_the_processes_of_torchrun_on_two_agents_meet_and_a_shell_waits_to_be_attached_to(
    server: Server,
) -> None:
    for name in ("a", "b"):
        server.add_agent(name)
    shell = server.start(SHELL)
    run = server.start(NODES)
    done = server.wait_for(run)
    said = [
        sorted(line for line in server.lab.lines(run, job["key"]) if line.startswith("> "))
        for job in done["jobs"]
    ]
    assert said == [
        [f"> {RANKS.format(0, 0, 0, 1, 2, 2)}", "> met [0, 1] ['--lr', '0.1']"],
        [f"> {RANKS.format(1, 0, 1, 1, 2, 2)}"],
    ]
    assert done["conclusion"] == "success"
    name = server.see(shell)["readable_name"]
    ready = f"ready: `agent run attach {name}` opens a shell here"
    wait_for(lambda: ready in server.lab.lines(shell, "a-shell"), ready)
    assert "> set up" in server.lab.lines(shell, "a-shell")
    assert server.lab.agent("run", "cancel", name).code == 0
    assert server.wait_for(shell)["conclusion"] == "cancelled"
