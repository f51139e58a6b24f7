"""Values that never stand on a command line: from a file, from standard input, or asked for without echo."""

import sys
from pathlib import Path

from agent.cli.local_files.files import read_text
from agent.errors import UsageError


def read_value(file: Path | None, what: str) -> str:
    """A value from `file`, or from standard input (asked for without echo on a terminal), less one final newline."""
    if file is not None:
        value = read_text(file)
    elif sys.stdin.isatty():
        import getpass

        value = getpass.getpass(f"{what}: ")
    else:
        value = _read_input()
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise UsageError(f"the value of {what} is empty", hint="give it on standard input, or with --file")
    return value


def _read_input() -> str:
    """Standard input as UTF-8, whatever the locale says: a value is the same from a file and from a pipe."""
    data = sys.stdin.buffer.read() if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("the value is not UTF-8 text", where="standard input") from None
