"""The job engine: what a step costs, and how fast output flows, against the bare shell, a pipe and nektos/act."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from measure import ACT, AGENT, Figure, clean_environment, print_figures, time_commands

STEPS = 100
ROUNDS = 9
LINES = 1_000_000
LINE = "x" * 99
GOAL_BYTES = 80_000_000


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        project = Path(name)
        subprocess.run(["git", "init", "-q"], cwd=project, check=True)
        (project / ".git" / "description").write_text("bench")
        is_met = print_figures(_measure_steps(project))
        return 0 if _measure_lines(project) and is_met else 1


def _measure_steps(project: Path) -> list[Figure]:
    """What 99 more steps cost, per step. All take turns, so that a slow moment of the machine is everybody's."""
    one, many = _write(project, 1), _write(project, STEPS)
    shells = ["sh", "-c", ";".join(["bash -e -c true"] * STEPS)]
    commands = [_agent(one), _agent(many), _act(one), _act(many), shells]
    ours_one, ours_many, act_one, act_many, spawns = time_commands(commands, rounds=ROUNDS, cwd=project)
    ours, act = (ours_many - ours_one) / (STEPS - 1), (act_many - act_one) / (STEPS - 1)
    return [
        Figure("a trivial step", ours, "spawning bash", spawns / STEPS, goal=2),
        Figure("a trivial step", ours, "act's", act, goal=1),
    ]


def _measure_lines(project: Path) -> bool:
    """A million lines of a hundred bytes, masked, through to the terminal (here: a pipe that is read)."""
    flow = project / "lines.yml"
    step = f"yes {LINE} | head -n {LINES}"
    flow.write_text(f"on: push\njobs:\n  a:\n    runs-on: self-hosted\n    steps:\n      - run: {step}\n")
    pipe = _time_reading(["sh", "-c", step], project)[0]
    ours, memory = _time_reading([*_agent(flow), "--secret", "KEY=a-secret-that-is-masked"], project)
    act = _time_reading(_act(flow), project)[0]
    print_figures(
        [Figure("a million lines", ours, "act", act), Figure("a million lines", ours, "a bare pipe", pipe)]
    )
    is_quick, is_small = act / ours >= 4, memory < GOAL_BYTES
    print(
        f"  {LINES / ours:,.0f} lines/s, {act / ours:.1f} × act's speed   goal 4 ×: {'met' if is_quick else 'MISSED'}"
    )
    print(f"  {memory / 1e6:.0f} MB resident at most   goal 80 MB: {'met' if is_small else 'MISSED'}")
    return is_quick and is_small


def _agent(flow: Path) -> list[str]:
    return [AGENT, "flow", "run", str(flow)]


def _act(flow: Path) -> list[str]:
    return [ACT, "push", "-P", "self-hosted=-self-hosted", "-W", str(flow)]


def _write(project: Path, steps: int) -> Path:
    flow = project / f"steps-{steps}.yml"
    lines = "      - run: 'true'\n" * steps
    flow.write_text(f"on: push\njobs:\n  a:\n    runs-on: self-hosted\n    steps:\n{lines}")
    return flow


def _time_reading(command: list[str], cwd: Path) -> tuple[float, int]:
    """(seconds, most resident bytes of any one of its processes) of a command whose output is read to its end."""
    began = time.perf_counter()
    most = 0
    with subprocess.Popen(command, cwd=cwd, env=clean_environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        tree = psutil.Process(process.pid)
        chunks = 0
        while process.stdout.read(1 << 20):
            chunks += 1
            if chunks % 8 == 0:
                for member in (tree, *tree.children(recursive=True)):
                    try:
                        most = max(most, member.memory_info().rss)
                    except psutil.NoSuchProcess:  # a child that ended between the two calls
                        continue
    return time.perf_counter() - began, most


if __name__ == "__main__":
    sys.exit(main())
