"""The `agent` command. Only `--version` is answered here, because it should cost no more than starting Python."""

import sys


def main() -> int:
    """Run the command line in `sys.argv` and give its exit code (docs/cli.md)."""
    if sys.argv[1:] == ["--version"]:
        from agent import __version__

        sys.stdout.write(f"agent {__version__}\n")
        return 0
    from agent.cli.main import run_command

    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
