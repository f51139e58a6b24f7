"""Two servers behind nginx on one PostgreSQL lose nothing: one of them is killed and comes back, then the database
crashes and comes back, then the other is killed, while jobs run on real daemons and on many more agents of the protocol.

The full measure (20 agents, 500 jobs), by hand:
`AGENT_TEST_FLEET=full AGENT_TEST_PATIENCE=600 .venv/bin/pytest -n 0 tests/end_to_end/test_fleet.py`.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from end_to_end.app_words import Visitor, link_of, wait_for_app
from support.balancer import free_port, run_balancer
from support.fleet_agents import AgentsThread, FleetAgent, lines_of
from support.lab import Lab, wait_for
from support.postgres import Cluster, run_cluster

KEY = "bWFzdGVyLWtleS1mb3ItdGVzdHMtMzItYnl0ZXMhISE="
REAL_LINES = 5
SUPPORT = Path(__file__).parent.parent / "support"


@dataclass(frozen=True)
class Measure:
    """How much: agents of the protocol with their jobs, real daemons with theirs."""

    agents: int
    jobs: int
    daemons: int
    real_jobs: int


MEASURE = (
    Measure(agents=16, jobs=460, daemons=4, real_jobs=40)
    if os.environ.get("AGENT_TEST_FLEET") == "full"
    else Measure(agents=5, jobs=56, daemons=1, real_jobs=4)
)


class FleetLab(Lab):
    """Two servers on one database, behind nginx."""

    def begin(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.database_url = cluster.make_database()
        self.database = self.database_url.partition("@/")[2].partition("?")[0]
        self.environment |= {"AGENT_DATABASE_URL": self.database_url, "AGENT_MASTER_KEY": KEY}
        self.listens = {"one": f"127.0.0.1:{free_port()}", "two": f"127.0.0.1:{free_port()}"}
        for name in self.listens:
            self.serve(name)
        text = "".join(self.log_of(name) for name in self.listens)
        self.admin_token, self.registration_token = read_tokens(text)
        self.environment["AGENT_TOKEN"] = self.admin_token

    def serve(self, name: str) -> None:
        address = self.folder / name / "address"
        address.unlink(missing_ok=True)
        self._start(name, "server", "--listen", self.listens[name], "--data", str(self.folder / name))
        wait_for(lambda: address.exists() or self.processes[name].poll() is not None, f"server {name}")
        assert self.processes[name].poll() is None, self.log_of(name)

    def behind(self, url: str) -> None:
        self.url = url
        self.environment["AGENT_URL"] = url
        self.client = httpx.Client(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {self.admin_token}"}, timeout=30
        )

    def ask(self, path: str) -> httpx.Response:
        """An answer, whoever gives it, whenever somebody does."""

        def answer() -> httpx.Response | None:
            try:
                found = self.client.get(path)
            except httpx.TransportError:
                return None
            return found if found.status_code < 500 else None

        return wait_for(answer, f"an answer to {path}")

    def submit_matrix(self, label: str, count: int, steps: str) -> int:
        numbers = json.dumps(list(range(count)))
        text = (
            "on: workflow_dispatch\njobs:\n  train:\n"
            f"    runs-on: {label}\n    strategy: {{matrix: {{n: {numbers}}}}}\n    steps:\n{steps}"
        )
        answer = self.client.post("/runs", json={"flow": {"file": "flow.yml", "text": text}})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["run"])

    def completed(self) -> int:
        return int(self.query("SELECT count(*) FROM jobs WHERE status = 'completed'"))

    def query(self, statement: str) -> str:
        return self.cluster.execute(statement, self.database)


def read_tokens(text: str) -> tuple[str, str]:
    from support.lab import _TOKEN

    tokens = {match[1]: match[0] for match in _TOKEN.finditer(text)}
    return tokens["api"], tokens["reg"]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FleetLab]:
    with run_cluster() as cluster, FleetLab(tmp_path) as lab:
        lab.begin(cluster, tmp_path)
        with run_balancer(tmp_path / "nginx", list(lab.listens.values())) as url:
            lab.behind(url)
            with lab.client:
                yield lab


@pytest.fixture
def agents(fleet: FleetLab, tmp_path: Path) -> Iterator[list[FleetAgent]]:
    uses = {"uses": MEASURE.agents}
    token = fleet.client.post("/registration-tokens", json=uses).json()["token"]
    folder = tmp_path / "journals"
    folder.mkdir()
    made = [FleetAgent(fleet.url, f"sim-{number}", token, folder) for number in range(MEASURE.agents)]
    for agent in made:
        agent.register()
    with AgentsThread(made):
        yield made


@pytest.mark.timeout(1200)
def test_each_job_ends_once_and_no_log_byte_is_lost_whoever_dies(
    fleet: FleetLab, agents: list[FleetAgent]
) -> None:
    for number in range(MEASURE.daemons):
        fleet.add_agent(f"real-{number}", "--labels", "real", "--max-jobs", "2")
    total = MEASURE.jobs + MEASURE.real_jobs
    printing = f'      - run: for n in $(seq {REAL_LINES}); do echo "line $n"; done\n'
    real = [fleet.submit_matrix("real", count, printing) for count in portions(MEASURE.real_jobs, 20)]
    sims = [fleet.submit_matrix("sim", count, "      - run: echo\n") for count in portions(MEASURE.jobs, 50)]

    wait_for(lambda: fleet.completed() > total // 10, "the first jobs to end")
    fleet.kill("one")
    wait_for(lambda: fleet.completed() > 2 * total // 10, "jobs to end at the server that is left")
    fleet.serve("one")
    wait_for(lambda: fleet.completed() > 3 * total // 10, "more jobs to end")
    fleet.cluster.restart()
    wait_for(lambda: fleet.completed() > 5 * total // 10, "jobs to end after the crash of the database")
    fleet.kill("two")
    wait_for(lambda: fleet.completed() > 6 * total // 10, "jobs to end at the server that came back")
    fleet.serve("two")
    wait_for(lambda: fleet.completed() == total, "all jobs to end")

    for run in (*real, *sims):
        check_run(fleet, run, is_real=run in real)
    check_rows(fleet, total)


def check_run(fleet: FleetLab, run: int, *, is_real: bool) -> None:
    wait_for(lambda: fleet.ask(f"/runs/{run}").json()["status"] == "completed", f"run {run} to end")
    for job in fleet.ask(f"/runs/{run}").json()["jobs"]:
        assert job["conclusion"] == "success", job
        lines = fleet.ask(f"/jobs/{job['id']}/log").text.splitlines()
        expected = [f"line {n}" for n in range(1, REAL_LINES + 1)] if is_real else lines_of(job["id"])
        assert [line for line in lines if "line " in line and "echo" not in line] == expected


def check_rows(fleet: FleetLab, total: int) -> None:
    """One end of each job in what viewers saw, and one lease that came to its normal end."""
    ends = Counter(
        json.loads(line)["id"]
        for line in fleet.query("SELECT data FROM events WHERE kind = 'job'").splitlines()
        if json.loads(line)["status"] == "completed"
    )
    assert len(ends) == total
    assert set(ends.values()) == {1}
    released = fleet.query("SELECT job, count(*) FROM leases WHERE state = 'released' GROUP BY job")
    assert Counter(line.split("|")[1] for line in released.splitlines()) == {"1": total}
    sizes = fleet.query(
        "SELECT count(*) FROM journals j WHERE size_bytes <> (SELECT sum(length(data)) FROM journal_chunks c"
        " WHERE c.job = j.job AND c.lease = j.lease)"
    )
    assert sizes == "0"


def portions(total: int, most: int) -> list[int]:
    """`total` in parts of at most `most`."""
    return [min(most, total - start) for start in range(0, total, most)]


def test_a_wrong_master_key_is_refused_with_a_sentence(fleet: FleetLab) -> None:
    other = {**fleet.environment, "AGENT_MASTER_KEY": "QW5vdGhlci1rZXktZm9yLXRlc3RzLTMyLWJ5dGVzISE="}
    done = fleet.agent(
        "server", "--listen", "127.0.0.1:0", "--data", fleet.folder / "three", environment=other
    )
    assert done.code == 1
    assert "this server's master key is not the one of the database" in done.err
    without = {**fleet.environment, "AGENT_MASTER_KEY": ""}
    done = fleet.agent(
        "server", "--listen", "127.0.0.1:0", "--data", fleet.folder / "four", environment=without
    )
    assert "copy the file master.key" in done.err


def test_whoever_attaches_reaches_the_job_through_either_server(fleet: FleetLab, tmp_path: Path) -> None:
    fleet.add_agent("box")
    flow = fleet.write_flow(
        f"  train:\n    runs-on: self-hosted\n    steps:\n"
        f"      - run: until [ -e {tmp_path}/go ]; do sleep 0.05; done\n"
    )
    run = fleet.submit(flow)
    fleet.wait_for_run(run, "running")
    for listen in fleet.listens.values():
        done = fleet.agent(
            "run",
            "attach",
            str(run),
            "--command",
            "tr a-z A-Z; exit 4",
            given="hello\n",
            environment={"AGENT_URL": f"http://{listen}"},
        )
        assert (done.code, done.out) == (4, "HELLO\n"), done.err
    (tmp_path / "go").touch()
    assert fleet.wait_for_run(run)["conclusion"] == "success"
    sessions = "SELECT count(*) FROM audit WHERE action = 'attachment ended'"
    assert fleet.query(sessions) == "2"


def test_an_app_is_visited_through_either_server_and_a_link_is_good_once_for_both(fleet: FleetLab) -> None:
    fleet.add_agent("box")
    flow = fleet.write_flow(
        "  serve:\n    runs-on: self-hosted\n    apps: {web: 0}\n    steps:\n"
        f"      - run: exec {sys.executable} {SUPPORT / 'echo_app.py'} $PORT_0\n"
    )
    run = fleet.submit(flow)
    wait_for_app(fleet, run, "ready")
    one, two = (f"http://{listen}" for listen in fleet.listens.values())
    link = link_of(fleet, run)
    with Visitor(fleet, link, one) as at_one, Visitor(fleet, link, two) as at_two:
        assert at_one.enter().status_code == 303
        assert at_two.enter().status_code == 403
        at_two.cookies = dict(at_one.cookies)
        much = bytes(range(256)) * (4 << 12)  # 4 MiB
        for visitor in (at_one, at_two):
            assert visitor.ask("/hello").json()["path"] == "/hello"
            assert visitor.ask("/echo", "POST", content=much).content == much
            for _ in range(20):  # over connections that are kept
                assert visitor.ask("/x").status_code == 200
    assert fleet.agent("run", "cancel", str(run)).code == 0
