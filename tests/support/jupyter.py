"""A real JupyterLab from PyPI, in a virtual environment of its own that is kept from run to run."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

VERSION = "4.6.6"
_PATIENCE_SECONDS = 900


def install_jupyterlab() -> Path:
    """The folder of its programs. Where it can't be had, the test fails and says so."""
    root = Path(tempfile.gettempdir()) / f"flow-agent-tests-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    folder = root / f"jupyterlab-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
    done = folder / "installed"  # a folder without it is one that nobody has finished
    if not done.exists():
        _run(sys.executable, "-m", "venv", "--clear", folder)
        _run(
            folder / "bin/python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-cache-dir",
            f"jupyterlab=={VERSION}",
        )
        done.touch()
    return folder / "bin"


def _run(*words: str | Path) -> None:
    ended = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
    )
    if ended.returncode:
        pytest.fail(f"JupyterLab, which this test opens, can't be installed: {ended.stderr[-500:]}")
