"""Jobs that go on from their last checkpoint, after an interruption and after a loss: through a real server and real agents."""

import os
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.lab import Lab, supervisor_pids, wait_for
from support.nvml import FakeGpu, build_nvml, nvml_env

SEED = int(os.environ.get("AGENT_TEST_SEED", "4711"))  # read before tests are without AGENT_ variables
KILLS = int(os.environ.get("AGENT_TEST_KILLS", "4"))

# Counts to LAST, swaps its state into place every STEP, and notes where each of its tries began and how far it came.
COUNTING = """
import json, os, signal, sys, time
from pathlib import Path
from random import Random
folder, last, step, pause = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
state = Path("state/count.json")
state.parent.mkdir(exist_ok=True)
n, total = json.loads(state.read_text()) if state.exists() else (0, 0)
ledger = (folder / "ledger").open("a", buffering=1)
ledger.write(f"begin {n} {os.environ['AGENT_RESUME_ATTEMPT']} {os.environ['AGENT_RESUME_REASON']}\\n")
is_over = False
def end(*_):
    global is_over
    is_over = True
signal.signal(signal.SIGTERM, end)
def save():
    Path("state/count.json.tmp").write_text(json.dumps([n, total]))
    os.replace("state/count.json.tmp", state)
while n < last and not is_over:
    n += 1
    total += n
    if n % step == 0:
        save()
        ledger.write(f"at {n}\\n")
        time.sleep(pause)
if is_over:
    save()
    ledger.write(f"saved {n}\\n")
    sys.exit(0)
ledger.write(f"sum {total}\\n")
"""


def counting(
    lab: Lab, checkpoints: str, *, last: int = 1_000_000, step: int = 10_000, pause: float = 0.05, **more: str
) -> Path:
    (lab.folder / "count.py").write_text(COUNTING)
    keys = "".join(f"    {key}: {value}\n" for key, value in more.items())
    return lab.write_flow(f"""
  count:
    runs-on: self-hosted
{keys}    checkpoints: {checkpoints}
    steps:
      - run: |
          echo "from [${{{{ resume.path }}}}] after [${{{{ resume.reason }}}}]"
          exec python3 {lab.folder}/count.py {lab.folder} {last} {step} {pause}
""")


def ledger(lab: Lab) -> list[list[str]]:
    file = lab.folder / "ledger"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def beginnings(lab: Lab) -> list[list[str]]:
    return [line[1:] for line in ledger(lab) if line[0] == "begin"]


def tries(lab: Lab, run: int) -> list[dict[str, Any]]:
    return list(lab.run(run)["jobs"])


def kill_all_of_the_job(lab: Lab, agent: str) -> None:
    for folder in (lab.state(agent) / "jobs").iterdir():
        for pid in supervisor_pids(folder):
            os.kill(pid, signal.SIGKILL)


def wait_for_checkpoint(lab: Lab, run: int) -> None:
    wait_for(lambda: lab.run(run)["jobs"][-1]["checkpointed"], "a checkpoint")


def test_a_job_whose_supervisor_is_killed_goes_on_from_its_last_checkpoint(lab: Lab) -> None:
    lab.add_agent("box")
    run = lab.submit(counting(lab, "{paths: state, every: 1s}", pause=0.1))
    wait_for_checkpoint(lab, run)
    kill_all_of_the_job(lab, "box")
    view = lab.wait_for_run(run)
    assert view["conclusion"] == "success", view
    first, second = beginnings(lab)
    assert first == ["0", "1"]
    assert int(second[0]) > 0
    assert second[1:] == ["2", "lost"]
    assert ledger(lab)[-1] == ["sum", str(1_000_000 * 1_000_001 // 2)]


@pytest.fixture
def one_gpu(tmp_path: Path) -> dict[str, str]:
    """The environment of an agent that has one GPU."""
    return nvml_env(build_nvml(tmp_path / "nvml"), [FakeGpu(uuid="GPU-a")])


def test_a_job_that_comes_before_takes_the_gpu_and_the_other_goes_on_where_it_was(
    lab: Lab, one_gpu: dict[str, str]
) -> None:
    lab.add_agent("box", environment=one_gpu)
    keys = {"resources": "{gpus: 1}", "interruptible": "true"}
    long = lab.submit(counting(lab, "{paths: state, every: 1s, grace: 20s}", pause=0.1, **keys))
    wait_for_checkpoint(lab, long)
    gate = lab.folder / "gate"
    urgent = lab.submit(
        lab.write_flow(
            f"""
  urgent:
    runs-on: self-hosted
    priority: 5
    resources: {{gpus: 1}}
    steps:
      - run: touch {lab.folder}/has-begun; until [ -e {gate} ]; do sleep 0.05; done
""",
            "urgent",
        )
    )
    wait_for((lab.folder / "has-begun").exists, "the urgent job to have the GPU")
    kept, waiting = lab.run(long)["jobs"][-1], ledger(lab)
    assert (kept["attempt"], kept["status"], kept["resumed"]["reason"]) == (2, "queued", "interrupted")
    assert kept["resumed"]["lost_seconds"] < 10, kept
    assert waiting[-1][0] == "saved", "it had its grace, and kept what it wrote in that"
    gate.touch()
    assert lab.wait_for_run(urgent)["conclusion"] == "success"
    view = lab.wait_for_run(long)
    assert view["conclusion"] == "success", view
    assert beginnings(lab)[1] == [waiting[-1][1], "2", "interrupted"], "not one number was counted twice"
    assert ledger(lab)[-1] == ["sum", str(1_000_000 * 1_000_001 // 2)]


def test_what_a_lost_machine_had_kept_is_gone_on_with_on_another(lab: Lab) -> None:
    lab.add_agent("first")
    run = lab.submit(counting(lab, "{paths: state, every: 1s}", pause=0.2))
    wait_for_checkpoint(lab, run)
    lab.kill("first")
    lab.kill_supervisors("first")
    lab.agent("server", "agent", "remove", "first")
    lab.add_agent("second")
    view = lab.wait_for_run(run)
    assert view["conclusion"] == "success", view
    assert view["jobs"][-1]["agent"] == "second"
    assert int(beginnings(lab)[1][0]) > 0
    assert ledger(lab)[-1] == ["sum", str(1_000_000 * 1_000_001 // 2)]
    told = [line for line in lab.lines(run, "count") if "lost" in line]
    assert told[0].startswith("lost: lost up to "), told


def test_a_job_whose_tries_are_used_up_fails_and_says_so(lab: Lab) -> None:
    lab.add_agent("box")
    run = lab.submit(counting(lab, "{paths: state, tries: 1}", pause=1))
    for number in (1, 2):
        wait_for(lambda at=number: len(beginnings(lab)) == at, "the next try")
        kill_all_of_the_job(lab, "box")
    view = lab.wait_for_run(run)
    assert view["conclusion"] == "failure"
    assert view["jobs"][-1]["message"].endswith("its only try to go on after a loss is used up")


def kill_somebody(lab: Lab, chance: Random) -> str:
    """One of what may die, by SIGKILL; a daemon comes back."""
    whom = chance.choice(("supervisor", "supervisor and daemon", "daemon"))
    if "daemon" in whom:
        lab.kill("box")
    if "supervisor" in whom:
        kill_all_of_the_job(lab, "box")
    if "daemon" in whom:
        lab.start_agent("box")
    return whom


def test_kills_at_random_instants_cost_what_was_done_since_the_last_checkpoint_and_no_more(lab: Lab) -> None:
    seed, kills = SEED, KILLS
    chance = Random(seed)
    lab.add_agent("box")
    run = lab.submit(counting(lab, "{paths: state, every: 1s, tries: 1000}", pause=0.05 + kills * 0.05))
    deaths = 0
    while deaths < kills and lab.run(run)["status"] != "completed":
        wait_for_more(lab, chance.randint(2, 20))
        sys.stderr.write(f"kill {deaths + 1}: {kill_somebody(lab, chance)} at {ledger(lab)[-1]}\n")
        deaths += 1
    view = lab.wait_for_run(run)
    assert view["conclusion"] == "success", (seed, view)
    assert ledger(lab)[-1] == ["sum", str(1_000_000 * 1_000_001 // 2)], seed
    began = [int(number) for number, *_ in beginnings(lab)]
    assert began == sorted(began), "no try goes back behind the one before"
    lost = losses(lab)
    sys.stderr.write(f"seed {seed}: {deaths} kills, {len(lost)} tries lost, {lost} numbers counted again\n")


def wait_for_more(lab: Lab, lines: int) -> None:
    before = len(ledger(lab))
    wait_for(
        lambda: len(ledger(lab)) >= before + lines or has_counted(lab),
        "more numbers to be counted",
    )


def has_counted(lab: Lab) -> bool:
    return any(line[0] == "sum" for line in ledger(lab))


def losses(lab: Lab) -> list[int]:
    """For each try but the first: how many numbers it counts again."""
    found, at = [], 0
    for kind, number, *_ in ledger(lab):
        if kind == "begin" and (at or found):
            found.append(at - int(number))
        at = int(number) if kind != "sum" else at
    return found
