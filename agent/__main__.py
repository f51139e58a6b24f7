"""The `agent` command. Only `--version` is answered here, because it should cost no more than starting Python."""

import contextlib
import gc
import os
import sys

_FEWER_COLLECTIONS = (
    100_000  # objects; at Python's 700 a command of a tenth of a second collects what it imports
)


def main() -> int:
    """Run the command line in `sys.argv` and give its exit code (docs/cli.md)."""
    if sys.argv[1:] == ["--version"]:
        from agent import __version__

        with contextlib.suppress(OSError, AttributeError):  # whoever asked has gone, or there is no output
            sys.stdout.write(f"agent {__version__}\n")
            sys.stdout.flush()
        return 0
    if sys.getfilesystemencoding() != "utf-8":
        _begin_again_in_utf8()
    gc.set_threshold(_FEWER_COLLECTIONS, 10, 10)
    from agent.cli.main import run_command

    try:
        return run_command(sys.argv[1:])
    finally:
        gc.freeze()  # the process ends: looking for cycles in all that it has loaded would take longer than its work


def _begin_again_in_utf8() -> None:
    """This process, with Python's UTF-8 mode on; what the terminal speaks is passed on (`agent.cli.terminal.streams`).

    Names of files, variables of jobs and flows are UTF-8 whatever the locale of the terminal says: in another one
    half of what a flow may say could be no file's name.
    """
    terminal = getattr(sys.stdout, "encoding", None) or "ascii"
    options = ["-X", "utf8", "-X", f"terminal={terminal}"]
    os.execv(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
