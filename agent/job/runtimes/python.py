"""Pythons for actions (`using: python`): ours, beyond what GitHub has.

The script runs in the workspace, isolated (`-I`) in a virtual environment: neither the agent's packages nor the machine's
are in its reach. For actions that need nothing that is an empty one of the job's own, so that no job can slip something
into another's; one for each content of a requirements.txt or pyproject.toml is kept beside the fetched actions, but where jobs
run as a user of their own: there each job makes its own.
In a job with a container they run on the machine all the same, and see the job's folders there.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agent.job.runtimes.kept import clean_home, digest_tree, keep
from agent.job.steps.state import RunningJob
from agent.job.steps.steprun import StepFailure
from agent.spec.outcome import FailureKind

_NEEDS = ("requirements.txt", "pyproject.toml")
_NAMED = re.compile(r"([A-Za-z0-9][\w.\[\],<>=!~*+;'\"() -]*?( +--hash=sha256:[0-9a-f]{64})*)?", re.ASCII)
_INSTALL_SECONDS = 1800
_SHOWN_CHARACTERS = 2000


def find_python(job: RunningJob, action: Path) -> str:
    """The interpreter for the action in the folder `action`: one with what it needs. Raises StepFailure."""
    base = _base_python()
    needs = next((action / name for name in _NEEDS if (action / name).is_file()), None)
    if needs is None:
        return str(_make_bare_environment(job.places.temp / "_python", base))
    # Whoever installs a package runs its code: what one job's user has made is no other job's to trust.
    is_shared = job.keeper is None
    store = job.places.actions / "_python" if is_shared else job.places.temp / "_python_needs"
    granted = job.environment.granted
    with clean_home(store, granted, is_needed=job.settings.has_own_home) as environment:
        return str(_prepare_environment(store, base, needs, environment) / "bin" / "python")


def _base_python() -> str:
    """The interpreter below the agent's own virtual environment, where it is an executable of its own."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in (version, "python3"):
        candidate = Path(sys.base_prefix) / "bin" / name
        if candidate.is_file():
            return str(candidate)
    return sys.executable


def _make_bare_environment(folder: Path, base: str) -> Path:
    """An empty virtual environment (PEP 405), made by hand: three entries, and no process; gives its Python."""
    python = folder / "bin" / "python"
    if not python.is_symlink():
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (folder / "lib" / version / "site-packages").mkdir(parents=True, exist_ok=True)
        home = f"home = {Path(base).parent}\ninclude-system-site-packages = false\n"
        (folder / "pyvenv.cfg").write_text(home, encoding="utf-8")
        python.parent.mkdir(exist_ok=True)
        python.symlink_to(base)
    return python


def _prepare_environment(store: Path, base: str, needs: Path, env: Mapping[str, str]) -> Path:
    """The virtual environment for what `needs` lists; it counts once it is complete, and as long as nobody changes it."""
    content = needs.read_bytes()
    # A list of names means the same to every action; what it refers to beside itself is the action's own.
    scope = "" if needs.name == _NEEDS[0] and _lists_names(content) else digest_tree(needs.parent)
    digest = hashlib.sha256(f"{base}\0{needs.name}\0{scope}\0".encode() + content)
    folder = store / digest.hexdigest()[:32]
    keep(folder, lambda: _make_environment(folder, base, needs, env))
    return folder


def _lists_names(content: bytes) -> bool:
    """Whether a requirements.txt has names, versions and digests alone: no file, no folder, no address, no option else."""
    lines = content.decode("utf-8", "replace").replace("\\\n", " ").splitlines()
    return all(_NAMED.fullmatch(line.partition("#")[0].strip()) for line in lines)


def _make_environment(folder: Path, base: str, needs: Path, env: Mapping[str, str]) -> None:
    _run([base, "-I", "-m", "venv", str(folder)], env, "a virtual environment cannot be made")
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--disable-pip-version-check", "-q"]
    complaint = f"what the action needs ({needs.name}) cannot be installed"
    if needs.name == _NEEDS[0]:
        _run([*pip, "-r", str(needs)], env, complaint)
        return
    with tempfile.TemporaryDirectory(prefix=".source-", dir=folder.parent) as place:
        source = (
            Path(place) / needs.parent.name
        )  # building leaves files beside the code, which would then be other code
        shutil.copytree(needs.parent, source, symlinks=True)
        _run([*pip, str(source)], env, complaint)


def _run(arguments: list[str], env: Mapping[str, str], complaint: str) -> None:
    try:
        result = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_INSTALL_SECONDS,
            check=False,
            env=env,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StepFailure(f"{complaint}: {error}", FailureKind.ACTION) from None
    if result.returncode != 0:
        said = result.stdout.decode("utf-8", "replace").strip()[-_SHOWN_CHARACTERS:]
        raise StepFailure(f"{complaint}: {said}", FailureKind.ACTION)
