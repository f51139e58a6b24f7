"""Measuring commands: the best of several runs, and a table of figures beside their floors."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
AGENT = str(BIN / "agent")
ACT = str(BIN / "act")


@dataclass(frozen=True)
class Figure:
    """One measured thing, in seconds or else in its `unit`. `goal` is the ratio to the floor that it may have, or None where there is none."""

    name: str
    seconds: float
    floor: str
    floor_seconds: float
    goal: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """How many times the floor."""
        return self.seconds / self.floor_seconds

    def show(self, value: float) -> str:
        """The value as it is printed."""
        return f"{value * 1000:8.1f} ms " if self.unit == "s" else f"{value:8.1f} {self.unit}"


def time_command(command: Sequence[str], *, rounds: int = 15, cwd: Path | None = None) -> float:
    """Seconds of wall time that `command` takes: the best of `rounds`. Fails loudly when the command does."""
    (best,) = time_commands([command], rounds=rounds, cwd=cwd)
    return best


def time_commands(
    commands: Sequence[Sequence[str]], *, rounds: int = 15, cwd: Path | None = None
) -> list[float]:
    """The same for several, taking turns: a machine that is slow for a while is slow for all of them."""
    best = [float("inf")] * len(commands)
    for _ in range(rounds):
        for index, command in enumerate(commands):
            began = time.perf_counter()
            done = subprocess.run(command, cwd=cwd, env=clean_environment(), capture_output=True, check=False)
            best[index] = min(best[index], time.perf_counter() - began)
            if done.returncode != 0:
                raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout.decode()}{done.stderr.decode()}")
    return best


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without settings of the product, and `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT_", "GITHUB_"))}
    return {**kept, **(more or {})}


def print_figures(figures: Sequence[Figure]) -> bool:
    """Print each figure beside its floor; give whether all goals are met."""
    all_met = True
    for figure in figures:
        verdict = ""
        if figure.goal is not None:
            is_met = figure.ratio <= figure.goal
            all_met = all_met and is_met
            verdict = f"goal {figure.goal:g} ×: {'met' if is_met else 'MISSED'}"
        print(
            f"{figure.name:<44} {figure.show(figure.seconds)}   {figure.floor:<28}"
            f" {figure.show(figure.floor_seconds)}   {figure.ratio:5.2f} ×   {verdict}"
        )
    return all_met
