"""The run's code, read with git: from a server and from a local run's own service, against `git clone` of the same by file://."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from measure import AGENT, Figure, clean_environment, print_figures

from agent.cli.demo.stage import DemoWorld

ROUNDS = 3
GOAL = 3.0
SIZES = {"small": (20, 1_000, 1), "middle": (1_000, 4_000, 20), "large": (20, 4_000_000, 2)}
# What `actions/checkout` does, timed within a job; the first time, and the best of some more.
STEP = """
      - shell: python
        env: {TOKEN: "${{ github.token }}", SOURCE: "%s"}
        run: |
          import base64, json, os, shutil, subprocess, time
          def take(url, *settings):
              began = time.perf_counter()
              subprocess.run(["git", *settings, "clone", "-q", "--depth=1", "--no-tags", url, "got"], check=True)
              took = time.perf_counter() - began
              shutil.rmtree("got")
              return took
          pair = base64.b64encode(f"x-access-token:{os.environ['TOKEN']}".encode()).decode()
          served = os.environ["GITHUB_SERVER_URL"]
          own = ("-c", f"http.{served}/.extraheader=AUTHORIZATION: basic {pair}")
          url = f"{served}/{os.environ['GITHUB_REPOSITORY']}"
          first = take(url, *own)
          pairs = [(take(url, *own), take(os.environ["SOURCE"])) for _ in range(%d)]
          print("measured " + json.dumps([first, min(a for a, _ in pairs), min(b for _, b in pairs)]), flush=True)
"""


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    figures: list[Figure] = []
    wanted = sys.argv[1:] or list(SIZES)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stage = DemoWorld(Path(folder) / "stage")
        stage.folder.mkdir()
        stage.keeps_folder = True
        try:
            stage.start_server()
            stage.register_agent()
            stage.start_agent()
            for name in wanted:
                code = make_code(Path(folder) / name, *SIZES[name])
                submit = ("flow", "submit", "flow.yml", "--source", "snapshot", "--yes", "--follow")
                figures += measure(f"{name}, server", submit, code, clean_environment(stage.settings()))
                figures += measure(
                    f"{name}, local run", ("flow", "run", "flow.yml"), code, clean_environment()
                )
        finally:
            stage.strike()
    return 0 if print_figures(figures) else 1


def make_code(folder: Path, files: int, size_bytes: int, commits: int) -> Path:
    """A repository of so many files, all of them committed, with a flow that times how it is read."""
    folder.mkdir()
    git = ("git", "-C", str(folder), "-c", "user.name=b", "-c", "user.email=b@example.org")
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    flow = f"on: push\njobs:\n  it:\n    runs-on: self-hosted\n    steps:{STEP % (folder.as_uri(), ROUNDS)}"
    (folder / "flow.yml").write_text(flow)
    for commit in range(commits):
        for number in range(commit, files, commits):
            place = folder / f"part-{number % 50}"
            place.mkdir(exist_ok=True)
            (place / f"{number}.bin").write_bytes(os.urandom(size_bytes))
        subprocess.run([*git, "add", "--all"], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", f"{commit}"], check=True)
    subprocess.run([*git, "-c", "pack.window=0", "repack", "-adq"], check=True)  # as a clone is, too
    return folder


def measure(name: str, words: Sequence[str], code: Path, environment: Mapping[str, str]) -> list[Figure]:
    """The first clone, and the best of some more, as the job has printed them."""
    done = subprocess.run(
        [AGENT, *words, "--format", "json"],
        cwd=code,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    texts = [line for one in records for line in str(one.get("text", "")).splitlines()]
    found = [line.removeprefix("measured ") for line in texts if line.startswith("measured [")]
    if not found:
        raise SystemExit(f"{name}: {done.stderr}{done.stdout[-2000:]}")
    first, served, plain = json.loads(found[0])
    return [
        Figure(f"{name}: the first clone", first, "file://", plain),
        Figure(f"{name}: a clone", served, "file://", plain, goal=GOAL),
    ]


if __name__ == "__main__":
    sys.exit(main())
