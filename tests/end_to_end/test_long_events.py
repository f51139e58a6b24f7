"""Events as long as hosts send them: a webhook's delivery of 25 MiB starts its flow, and each job has all of it, once stored."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from server.triggers.payloads import github_push
from support.git import GitHost, Repository, make_repository, serve_git
from support.lab import Lab, run_agent, wait_for

from agent.server.triggers.signatures import sign_body

HOOK_BYTES = 25 << 20  # GitHub's own cap
JOBS = """\
  train:
    if: github.event.commits[1].id == 'second' && contains(github.event.head_commit.message, 'work')
    runs-on: self-hosted
    concurrency: ${{ github.event.commits[1].id }}-${{ matrix.part }}
    strategy: {matrix: {part: [a, b]}}
    steps:
      - id: seen
        env: {ID: "${{ github.event.commits[1].id }}", LAST: "${{ github.event.after }}"}
        run: |
          echo "${ID} ${LAST} ${{ github.event.commits[2].id }}"
          python3 - << 'PYTHON'
          import hashlib, json, os
          event = json.load(open(os.environ["GITHUB_EVENT_PATH"], encoding="utf-8"))
          text = json.dumps(event["commits"], sort_keys=True).encode()
          print("sum", hashlib.sha256(text).hexdigest(), len(text), sorted(event))
          PYTHON
"""


def make_payload(before: str, after: str, size: int) -> dict[str, Any]:
    """A push that brings so many commits that it has `size` bytes."""
    noise = hashlib.shake_256(b"noise").hexdigest(size // 2)
    commits = [
        {"id": str(n), "message": f"ä漢😀 {noise[n * 1000 : (n + 1) * 1000]}"} for n in range(size // 1100)
    ]
    payload = github_push(before=before, after=after)
    payload["commits"] = [{"id": "first", "note": ""}, {"id": "second"}, *commits]
    payload["commits"][0]["note"] = "-" * (size - len(json.dumps(payload)))
    return payload


class Hosted:
    """A connected repository with the flow, and what its host sends."""

    def __init__(self, lab: Lab, folder: Path, jobs: str = JOBS) -> None:
        self.lab = lab
        files = {".github/workflows/train.yml": f"name: Train\non: push\njobs:\n{jobs}"}
        self.repository: Repository = make_repository(folder / "acme" / "lab", files, tags=())

    def connect(self, host: GitHost) -> None:
        made = self.lab.agent(
            *(
                "server",
                "repository",
                "add",
                f"{host.url}/acme/lab",
                "--provider",
                "github",
                "--format",
                "json",
            )
        )
        assert made.code == 0, made.err
        self.hook = made.json()

    def push(self, size: int) -> tuple[int, dict[str, Any]]:
        """Deliver a push whose payload has `size` bytes; the run that it starts, and the payload."""
        before, after = self.repository.head, self.repository.commit({"more": "x"})
        payload = make_payload(before, after, size)
        body = json.dumps(payload).encode()
        assert len(body) == size
        headers = {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": after,
            "X-Hub-Signature-256": f"sha256={sign_body(self.hook['secret'], body)}",
        }
        answer = httpx.post(self.hook["webhook"], content=body, headers=headers, timeout=60)
        assert answer.status_code == 202, answer.text

        def settled() -> Any:
            rows = self.lab.agent("server", "delivery", "list", "--format", "json").json()
            return [row for row in rows if row["id"] == answer.json()["delivery"] and row["status"] == "done"]

        (delivery,) = wait_for(settled, "the delivery")
        assert delivery["results"][0]["run"], delivery
        return delivery["results"][0]["run"], payload


@pytest.fixture
def hosted(inside: Lab, tmp_path: Path) -> Iterator[Hosted]:
    made = Hosted(inside, tmp_path / "hosted")
    with serve_git(tmp_path / "hosted") as host:
        made.connect(host)
        yield made


def check_seen(lab: Lab, run: int, payload: dict[str, Any]) -> None:
    view = lab.wait_for_run(run)
    assert view["conclusion"] == "success", view
    text = json.dumps(payload["commits"], sort_keys=True).encode()
    for job in view["jobs"]:
        lines = lab.lines(run, job["key"])
        assert f"second {payload['after']} 0" in lines
        assert f"sum {hashlib.sha256(text).hexdigest()} {len(text)} {sorted(payload)}" in lines


def test_a_delivery_of_25_mib_runs_with_all_of_its_event(hosted: Hosted) -> None:
    lab = hosted.lab
    lab.add_agent("box", "--max-jobs", "2")
    run, payload = hosted.push(HOOK_BYTES)
    check_seen(lab, run, payload)


def find_coming(lab: Lab, agent: str) -> list[Path]:
    """The events that come, or have come, to jobs of the agent."""
    return [*(lab.state(agent) / "jobs").glob("job_*/event.*")]


@pytest.mark.parametrize("victim", ["box", "server"])
def test_a_process_that_is_killed_while_the_event_comes_costs_nothing(hosted: Hosted, victim: str) -> None:
    lab = hosted.lab
    lab.add_agent("box", "--max-jobs", "2")
    run, payload = hosted.push(HOOK_BYTES)
    wait_for(lambda: find_coming(lab, "box"), "the first part of the event")
    lab.kill(victim)
    if victim == "server":
        lab.start_server()
    else:
        lab.start_agent("box")
    check_seen(lab, run, payload)
    wait_for(lambda: not find_coming(lab, "box"), "the folders of the jobs to go")


def test_a_local_run_has_an_event_of_20_mib(tmp_path: Path) -> None:
    event = make_payload("a" * 40, "b" * 40, 20 << 20)
    flow, file = tmp_path / "flow.yml", tmp_path / "event.json"
    flow.write_text(f"on: push\njobs:\n{JOBS}")
    file.write_text(json.dumps(event))
    done = run_agent("flow", "run", flow, "--event", "push", "--event-file", file, "--format", "json")
    assert done.code == 0, done.err
    lines = [record["text"] for record in done.records() if record["kind"] == "log"]
    text = json.dumps(event["commits"], sort_keys=True).encode()
    assert lines.count(f"sum {hashlib.sha256(text).hexdigest()} {len(text)} {sorted(event)}") == 2
