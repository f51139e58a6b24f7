"""A Python of the machine's own as a copy: an installation by itself, as GitHub's tool cache has it.

An environment (`venv`) would do for pip alone: uv and tox pass over environments when they look for an installed Python, and its
links lead to a path of the machine, which is not there in a container.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import AgentError
from agent.machine.probes.tools import ask_tool

_ANSWER_SECONDS: Final = 10.0
_SYSTEMS: Final = (Path("/usr"), Path("/usr/local"), Path("/"))  # whose folders others fill too
_MAY_READ: Final = "the user that jobs run as has to be able to read it; is there room on the disk?"
_ASK: Final = "import json, sys; print(json.dumps([sys.base_prefix, '%d.%d' % sys.version_info[:2]]))"


@dataclass(frozen=True, slots=True)
class WholePython:
    """An installation that has its folder to itself, and finds its library from where its program lies."""

    prefix: Path
    version: str  # `3.12`


def find_whole_python(executable: str) -> WholePython | None:
    """The installation that the program is of (pyenv's, uv's, asdf's); None for a system's or conda's, which is more than a Python."""
    try:
        answer = ask_tool(executable, ("-I", "-c", _ASK), _ANSWER_SECONDS)
        prefix, version = json.loads(answer.output)
    except (OSError, TimeoutError, ValueError, TypeError):
        return None
    whole = WholePython(Path(prefix), str(version))
    has_library = (whole.prefix / "lib" / f"python{version}" / "os.py").is_file()
    has_program = (whole.prefix / "bin" / f"python{version}").is_file()
    is_more = whole.prefix.resolve() in _SYSTEMS or (whole.prefix / "conda-meta").exists()
    return whole if has_library and has_program and not is_more else None


def copy_python(whole: WholePython, folder: Path) -> list[str]:
    """Copy it to the new folder, without what was installed into it; gives the command that puts its pip there. Raises AgentError."""
    try:
        _copy(whole, folder)
    except shutil.Error as error:  # of a whole tree: each with its reason, and all as one
        _, _, reason = error.args[0][0]
        raise AgentError(f"{whole.prefix} can't be copied: {reason}", hint=_MAY_READ) from None
    except OSError as error:
        raise AgentError(f"{whole.prefix} can't be copied: {error}", hint=_MAY_READ) from None
    return [str(folder / "bin" / "python"), "-I", "-m", "ensurepip", "--upgrade", "--default-pip"]


def _copy(whole: WholePython, folder: Path) -> None:
    name = f"python{whole.version}"
    library, programs = Path("lib", name), Path("bin")
    (folder / programs).mkdir(parents=True)
    shutil.copy2(whole.prefix / programs / name, folder / programs / name)
    for other in ("python", "python3"):
        (folder / programs / other).symlink_to(name)
    shutil.copytree(whole.prefix / library, folder / library, symlinks=True, ignore=_leave_out)
    (folder / library / "site-packages").mkdir()
    for shared in (whole.prefix / "lib").glob("libpython*.so*"):
        shutil.copy2(shared, folder / "lib" / shared.name, follow_symlinks=False)
    for beside in (Path("include"), Path("lib", "pkgconfig")):
        if (whole.prefix / beside).is_dir():
            shutil.copytree(whole.prefix / beside, folder / beside, symlinks=True)


def _leave_out(_folder: str, names: list[str]) -> list[str]:
    """What others have installed, what is made again, static libraries, and the word that only uv may install into it."""
    return [
        name
        for name in names
        if name in ("site-packages", "__pycache__", "EXTERNALLY-MANAGED") or name.endswith(".a")
    ]
