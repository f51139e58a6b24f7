"""A real JupyterLab (and Notebook, and FastAPI), locked as all packages are, in a virtual environment of its own that is kept from run to run."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

LOCK = Path(__file__).parent.parent / "requirements/notebook.txt"
_PATIENCE_SECONDS = 900


def install_jupyterlab() -> Path:
    """The folder of its programs. Where it can't be had, the test fails and says so."""
    root = Path(tempfile.gettempdir()) / f"flow-agent-tests-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = root / f"jupyterlab-{digest}"
    done = folder / "installed"  # a folder without it is one that nobody has finished
    if not done.exists():
        _run(sys.executable, "-m", "venv", "--clear", folder)
        pip = (folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-cache-dir")
        _run(*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", LOCK)
        done.touch()
    return folder / "bin"


def _run(*words: str | Path) -> None:
    ended = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
    )
    if ended.returncode:
        pytest.fail(f"JupyterLab, which this test opens, can't be installed: {ended.stderr[-500:]}")
