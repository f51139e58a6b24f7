"""The `agent` command. Only `--version` is answered here, because it should cost no more than starting Python."""

import gc
import sys

_FEWER_COLLECTIONS = (
    100_000  # objects; at Python's 700 a command of a tenth of a second collects what it imports
)


def main() -> int:
    """Run the command line in `sys.argv` and give its exit code (docs/cli.md)."""
    if sys.argv[1:] == ["--version"]:
        from agent import __version__

        sys.stdout.write(f"agent {__version__}\n")
        return 0
    gc.set_threshold(_FEWER_COLLECTIONS, 10, 10)
    from agent.cli.main import run_command

    try:
        return run_command(sys.argv[1:])
    finally:
        gc.freeze()  # the process ends: looking for cycles in all that it has loaded would take longer than its work


if __name__ == "__main__":
    sys.exit(main())
