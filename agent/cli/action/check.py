"""`agent action check`: an action before anybody uses it, with all that is wrong at once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from agent.cli.flow.language import describe_problem, show_problem
from agent.cli.local_files.checkout import ask_git, find_checkout
from agent.cli.terminal.tables import print_json
from agent.flow.problems import Problem, Severity
from agent.resolve import inspect_manifest


def check_actions(places: Sequence[Path], output_format: str, out: TextIO) -> int:
    """Print every problem of the actions at `places` (folders, or manifests) to `out`; 1 when any is an error, else 0.

    Raises AgentError for a manifest that is no text.
    """
    found = [problem for place in places for problem in inspect_place(place)]
    if output_format == "json":
        print_json([describe_problem(problem) for problem in found], out)
    else:
        show_problems(found, out)
        if not found:
            out.write(
                "the action is in order\n" if len(places) == 1 else f"{len(places)} actions are in order\n"
            )
    return int(has_errors(found))


def inspect_place(place: Path) -> list[Problem]:
    """The problems of the action in a folder of this machine, or with that manifest. Raises as `check_actions`."""
    folder = place.parent if place.is_file() else place
    checkout = find_checkout(folder) if folder.is_dir() else None
    if checkout is None:
        return inspect_manifest(place, str(place), folder)
    return inspect_manifest(place, str(place), checkout.top, _ask_for_files(checkout.top))


def show_problems(problems: Sequence[Problem], out: TextIO) -> None:
    """Each with its place, the line that it stands on, and the remedy."""
    texts: dict[str, list[str]] = {}
    for problem in problems:
        lines = texts.setdefault(problem.position.file, _read_lines(problem.position.file))
        out.writelines(f"{line}\n" for line in show_problem(problem, lines))


def has_errors(problems: Sequence[Problem]) -> bool:
    """Whether a job would refuse the action, or GitHub would."""
    return any(problem.severity is Severity.ERROR for problem in problems)


def _ask_for_files(top: Path) -> Callable[[Path], bool]:
    def is_kept(file: Path) -> bool:
        name = str(file.resolve().relative_to(top.resolve()))
        return bool(ask_git(top, "ls-files", "--", f":(literal){name}"))

    return is_kept


def _read_lines(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        return []
