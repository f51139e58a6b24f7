"""What each entry point may import: a quick command stays quick."""

import subprocess
import sys

import pytest

HEAVY = {
    "httpx",
    "docker",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "cryptography",
    "yaml",
    "websockets",
    "pynvml",
    "psutil",
}


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--version"], set()),
        (["--help"], set()),
        (["flow", "--help"], set()),
        (["flow", "eval", "1 == 1"], set()),
        (["flow", "validate", "examples/hello.yml"], {"yaml"}),
        (["flow", "run", "examples/hello.yml", "--workspace", "examples"], {"yaml"}),
        (["server", "--help"], set()),
    ],
)
def test_an_entry_point_imports_nothing_heavy_that_it_does_not_need(
    words: list[str], allowed: set[str]
) -> None:
    program = (
        "import sys\n"
        "from agent.__main__ import main\n"
        f"sys.argv = ['agent', *{words!r}]\n"
        "try:\n"
        "    sys.exit(main())\n"
        "finally:\n"
        "    print('LOADED', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    loaded = set(done.stderr.rpartition("LOADED")[2].split())
    assert loaded, done.stderr
    assert done.returncode == 0, done.stderr
    assert loaded & HEAVY <= allowed
