"""`agent flow run` of one trivial step, against nektos/act with the same flow on the host, and the bare shell."""

import subprocess
import sys
import tempfile
from pathlib import Path

from measure import ACT, AGENT, Figure, print_figures, time_commands

FLOW = """\
on: push
jobs:
  hello:
    runs-on: self-hosted
    steps:
      - run: echo hello
"""


def main() -> int:
    """Print the ratios; exit 1 when the goal is missed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        project = Path(name)
        flow = project / ".github" / "workflows" / "hello.yml"
        flow.parent.mkdir(parents=True)
        flow.write_text(FLOW)
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
            identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.invalid"]
            subprocess.run(["git", *identity, *command], cwd=project, check=True)
        commands = [
            [AGENT, "flow", "run", str(flow)],
            [ACT, "push", "-P", "self-hosted=-self-hosted", "-W", str(flow)],
            ["bash", "-e", "-c", "echo hello"],
        ]
        ours, act, shell = time_commands(commands, cwd=project)
    figures = [
        Figure("agent flow run, one trivial step", ours, "act, the same flow", act, goal=4),
        Figure("agent flow run, one trivial step", ours, "bash -c 'echo hello'", shell),
    ]
    return 0 if print_figures(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
