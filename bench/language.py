"""How fast flow files are read, against GitHub's own parser in node and PyYAML's C parser.

    .venv/bin/python bench/language.py [--files 504] [--lines 111]

Writes the files itself (into a temporary folder), then measures in fresh processes, best of three:

    validate   `agent flow validate --format json FILE...`, the whole command
    loader     `load_flow` of each text, without the start of Python
    compose    PyYAML's C parser making its own nodes of each text: the floor
    node       `@actions/workflow-parser` in node, the whole process (when npm can install it)
    dstack     the whole command on files of dstack's workflows instead, of about as many lines each
    one        `load_flow` of one small flow in a fresh Python, imports included, less Python's own start

and prints seconds and ratios.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
ORACLE = ROOT / "tests" / "flow" / "oracle"

LOADER = """
import sys, time
from pathlib import Path
from agent.flow.load import load_flow
texts = [(path, Path(path).read_text()) for path in Path(sys.argv[1]).glob("*.yml")]
load_flow("on: push\\njobs: {a: {runs-on: x}}", "warm.yml")
begin = time.perf_counter()
for path, text in texts:
    load_flow(text, str(path))
print(time.perf_counter() - begin)
"""
COMPOSE = """
import sys, time, yaml
from pathlib import Path
texts = [Path(path).read_text() for path in Path(sys.argv[1]).glob("*.yml")]
begin = time.perf_counter()
for text in texts:
    yaml.compose(text, Loader=yaml.CSafeLoader)
print(time.perf_counter() - begin)
"""
ONE = 'from agent.flow.load import load_flow; load_flow("on: push\\njobs: {a: {runs-on: x}}", "f.yml")'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=504)
    parser.add_argument("--lines", type=int, default=111, help="of each file, about")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = write_files(folder, arguments.files, arguments.lines)
        other_lines = write_workflows(folder, arguments.files, arguments.lines)
        print(
            f"{arguments.files} files, {lines} lines, Python {sys.version.split()[0]}, {os.cpu_count()} cores"
        )
        seconds = measure(folder)
        for label, took in seconds.items():
            ratio = f"{took / seconds['node']:6.2f} x node" if "node" in seconds else ""
            print(f"{label:<9} {took:7.3f} s  {took / seconds['compose']:6.1f} x compose  {ratio}")
        line = seconds["validate"] / lines
        print(f"a line of dstack's: {seconds['dstack'] / other_lines / line:.2f} x a line of GitHub's")


def measure(folder: Path) -> dict[str, float]:
    """Seconds by label."""
    files = sorted(str(path) for path in folder.glob("*.yml"))
    script = "import sys; from pathlib import Path; from agent.cli.flow.language import run_validate; "
    script += "raise SystemExit(run_validate([Path(a) for a in sys.argv[1:]], None, 'json', sys.stdout))"
    seconds = {
        "validate": best_of(lambda: wall([sys.executable, "-c", script, *files])),
        "dstack": best_of(
            lambda: wall([sys.executable, "-c", script, *map(str, folder.glob("*/.dstack/*.yaml"))])
        ),
        "loader": best_of(lambda: float(output([sys.executable, "-c", LOADER, str(folder)]))),
        "compose": best_of(lambda: float(output([sys.executable, "-c", COMPOSE, str(folder)]))),
    }
    oracle = install_oracle(folder / "node")
    if oracle:
        texts = "\n".join(json.dumps(Path(file).read_text()) for file in files)
        command = ["node", "--import", "./json_modules.mjs", "check.mjs"]
        seconds["node"] = best_of(lambda: wall(command, cwd=oracle, text=texts))
    start = best_of(lambda: wall([sys.executable, "-c", "pass"]))
    seconds["one"] = best_of(lambda: wall([sys.executable, "-c", ONE])) - start
    return seconds


def write_files(folder: Path, count: int, lines: int) -> int:
    """Flows like those that people write: matrices, actions with inputs, scripts with expressions; the lines in all."""
    total = 0
    for number in range(count):
        jobs = [make_job(number, job) for job in range(max(1, lines // 37))]
        text = "\n".join([HEAD.format(number=number), *jobs])
        (folder / f"flow{number}.yml").write_text(text)
        total += text.count("\n") + 1
    return total


HEAD = """\
name: Flow {number}
on:
  push:
    branches: [main, 'release/**']
    paths-ignore: ['docs/**', '**.md']
  pull_request:
  workflow_dispatch:
    inputs:
      level{number}: {{type: choice, options: [a, b, c], default: a}}
permissions:
  contents: read
env:
  CARGO_TERM_COLOR: always
  NUMBER: {number}
jobs:"""


def make_job(number: int, job: int) -> str:
    return f"""\
  job{job}:
    name: Test ${{{{ matrix.os }}}} {number}
    runs-on: ${{{{ matrix.os }}}}
    timeout-minutes: 30
    if: github.repository_owner == 'owner{number}' && !contains(github.event.head_commit.message, '[skip]')
    strategy:
      fail-fast: false
      matrix:
        os: [ubuntu-latest, windows-latest, macos-14]
        python: ['3.11', '3.12', '3.13']
        exclude:
          - os: macos-14
            python: '3.11'
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
          token: ${{{{ secrets.TOKEN_{number} }}}}
      - name: Set up Python ${{{{ matrix.python }}}}
        uses: actions/setup-python@v5
        with:
          python-version: ${{{{ matrix.python }}}}
          cache: pip
      - name: Install
        run: |
          python -m pip install --upgrade pip
          pip install -r requirements-{number}.txt
          echo "version=$(git describe)" >> "$GITHUB_OUTPUT"
      - id: test{job}
        name: Test
        # flaky on some machines
        run: pytest --shard ${{{{ strategy.job-index }}}} --seed {number} -k "${{{{ inputs.level{number} }}}}"
        env:
          KEY: ${{{{ secrets.KEY }}}}
      - if: failure() && steps.test{job}.outcome == 'failure'
        uses: actions/upload-artifact@v4
        with: {{name: 'logs-${{{{ matrix.os }}}}', path: logs/}}
"""


def write_workflows(folder: Path, count: int, lines: int) -> int:
    """Files of workflows, as people's projects have one each; the lines in all."""
    total = 0
    for number in range(count):
        jobs = range(max(1, lines // 28))
        text = "workflows:\n" + "".join(WORKFLOW.format(number=number, job=job) for job in jobs)
        file = folder / f"project{number}" / ".dstack" / "workflows.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        total += text.count("\n")
    return total


WORKFLOW = """\
  - name: train{number}-{job}
    help: "Trains model {number} on what was downloaded"
    provider: bash
    deps:
      - tag: mnist-data-{number}
    python: 3.10
    requirements: mnist/requirements-{number}.txt
    env:
      - PYTHONPATH=src
      - WANDB_PROJECT=p{number}
      - WANDB_API_KEY
    ports: 1
    commands:
      # flaky on some machines
      - tensorboard --port $PORT_0 --host 0.0.0.0 --logdir ./lightning_logs &
      - python mnist/train.py --seed {number} --epochs 3 ${{{{ run.args }}}}
      - |
        echo "done {number}" >> log.txt
        cp log.txt ./lightning_logs/
    cache:
      - path: ~/.cache/pip
    artifacts:
      - path: ./lightning_logs
        mount: true
      - path: ./checkpoint-{number}
    resources:
      memory: 16GB
      gpu:
        name: V100
        count: 1
"""


def install_oracle(folder: Path) -> Path | None:
    """GitHub's parser for node in `folder`, or None where it cannot be had."""
    if not shutil.which("npm"):
        return None
    folder.mkdir()
    for name in ("package.json", "check.mjs", "json_modules.mjs"):
        shutil.copy(ORACLE / name, folder)
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--cache", str(folder / "cache")]
    done = subprocess.run(install, cwd=folder, capture_output=True, check=False)
    return None if done.returncode else folder


def best_of(run: Callable[[], float], times: int = 3) -> float:
    return min(run() for _ in range(times))


def wall(command: list[str], *, cwd: Path = ROOT, text: str = "") -> float:
    begin = time.perf_counter()
    subprocess.run(command, cwd=cwd, input=text, text=True, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def output(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
