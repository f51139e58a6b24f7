"""How long the command takes to start: `agent --version` and `agent --help` against starting Python itself."""

import sys

from measure import AGENT, Figure, print_figures, time_command


def main() -> int:
    """Print the ratios; exit 1 when a goal is missed."""
    floor = time_command([sys.executable, "-c", "pass"], rounds=30)
    figures = [
        Figure(
            "agent --version", time_command([AGENT, "--version"], rounds=30), "python -c pass", floor, goal=3
        ),
        Figure("agent --help", time_command([AGENT, "--help"], rounds=30), "python -c pass", floor),
    ]
    return 0 if print_figures(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
