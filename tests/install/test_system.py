"""install.sh --system, run for real as root: in a mount namespace, where /etc, /opt and /var/lib are copies of the test's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, make_wheel

APART = """
set -eu
for place in /etc /usr/local/bin; do
    mkdir -p "$ROOM$place"
    cp -a "$place/." "$ROOM$place"
    mount --bind "$ROOM$place" "$place"
done
for place in /opt /var/lib; do
    mkdir -p "$ROOM$place"
    mount --bind "$ROOM$place" "$place"
done
sh "$INSTALL/install.sh" --system --no-service --python "$PYTHON" --package "$WHEEL"
echo "-- users"
id flow-agent
id flow-job
stat -c '%U %G %a %n' /var/lib/flow-agent /opt/flow-agent /opt/flow-agent/venv/bin/agent
sh "$INSTALL/install.sh" --system --no-service --python "$PYTHON" --package "$WHEEL" >/dev/null
sh "$INSTALL/uninstall.sh" --system --purge
echo "-- afterwards"
id flow-agent || echo no agent
id flow-job || echo no jobs
"""


def test_the_systems_installation_makes_a_user_for_the_agent_and_one_for_jobs(tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("only root installs for the whole system; CI does")
    if shutil.which("unshare") is None or shutil.which("useradd") is None:
        pytest.skip("there is no unshare or no useradd on this machine")
    environment = {
        **os.environ,
        "ROOM": str(tmp_path / "room"),
        "INSTALL": str(ROOT / "install"),
        "PYTHON": sys.executable,
        "WHEEL": str(make_wheel(tmp_path, "1.0")),
    }
    file = tmp_path / "apart.sh"  # in a command line, uninstall.sh would take it for a job
    file.write_text(f"umask 077\n{APART}")
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", file],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _before, users, after = done.stdout.replace("-- afterwards", "-- users").split("-- users\n")
    agent, jobs, state, prefix, command = users.splitlines()[:5]
    assert "(flow-agent)" in agent
    assert "(flow-job)" in jobs
    assert "docker" not in jobs, "that would make each job root"
    for group in ("video", "render"):  # the GPUs' device files
        has_group = (
            subprocess.run(["getent", "group", group], capture_output=True, check=False).returncode == 0
        )
        assert (f"({group})" in jobs) == has_group
    assert state == "flow-agent flow-agent 711 /var/lib/flow-agent"
    assert prefix == "root root 755 /opt/flow-agent"
    assert command.startswith("root root 755 ")
    assert "no agent" in after
    assert "no jobs" in after
