"""Which Python of the machine's own is an installation by itself, and what of it goes into the tool cache."""

import os
import sys
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.machine.python_copies import WholePython, copy_python, find_whole_python


def make_installation(folder: Path) -> WholePython:
    """The files of one, as pyenv and uv lay them out."""
    files = {
        "bin/python3.12": "program",
        "bin/pip3.12": "#!/elsewhere/bin/python3.12",
        "lib/python3.12/os.py": "",
        "lib/python3.12/EXTERNALLY-MANAGED": "by uv",
        "lib/python3.12/config-3.12/libpython3.12.a": "",
        "lib/python3.12/site-packages/theirs.py": "",
        "lib/libpython3.12.so.1.0": "shared",
        "include/python3.12/Python.h": "",
        "share/man/man1/python3.1": "",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return WholePython(folder, "3.12")


def test_a_copy_has_the_python_and_nothing_that_was_installed_into_it(tmp_path: Path) -> None:
    whole = make_installation(tmp_path / "whole")
    copy = tmp_path / "copy"
    command = copy_python(whole, copy)
    assert command == [str(copy / "bin/python"), "-I", "-m", "ensurepip", "--upgrade", "--default-pip"]
    found = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if not path.is_dir()}
    assert found == {
        "bin/python",
        "bin/python3",
        "bin/python3.12",
        "lib/python3.12/os.py",
        "lib/libpython3.12.so.1.0",
        "include/python3.12/Python.h",
    }
    assert (copy / "bin" / "python").resolve() == copy / "bin" / "python3.12"
    assert (whole.prefix / "lib/python3.12/site-packages/theirs.py").exists()


def test_a_program_that_says_nothing_of_the_kind_is_no_installation() -> None:
    assert find_whole_python("/bin/true") is None
    assert find_whole_python("/nowhere/python3") is None


def test_a_python_of_the_system_is_not_copied_and_one_by_itself_is() -> None:
    whole = find_whole_python(sys.executable)  # of an environment: the installation below it
    is_systems = sys.base_prefix in ("/usr", "/usr/local")
    assert (whole is None) == is_systems
    assert whole is None or whole.prefix == Path(sys.base_prefix)


def test_a_python_that_can_not_be_copied_is_said_with_what_it_was(tmp_path: Path) -> None:
    whole = make_installation(tmp_path / "whole")
    os.mkfifo(whole.prefix / "include" / "python3.12" / "pipe")  # neither a file nor a folder
    with pytest.raises(AgentError, match=r"can't be copied: .*pipe") as caught:
        copy_python(whole, tmp_path / "copy")
    assert "whole" in str(caught.value)
    assert caught.value.hint.startswith("the user that jobs run as")
    with pytest.raises(AgentError, match="can't be copied"):
        copy_python(WholePython(tmp_path / "nothing", "3.12"), tmp_path / "other")
