"""`agent flow validate` and `agent flow schema`; run as a module, it prints the page of a language's keys (docs/flow-language.md)."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from agent.cli.local_files.files import open_companions
from agent.flow.companions import read_none
from agent.flow.folders import lies_beside_flows
from agent.flow.load import DEFAULT, LIMITS, find_front_end, inspect_flow
from agent.flow.model import Flow, Position
from agent.flow.problems import InvalidFlowError, Problem, Severity
from agent.redaction import redact

STDIN = "-"
_LINE_WIDTH = 120  # of a source line that is shown
_MESSAGE_LENGTH = 500


def run_validate(files: Sequence[Path], dialect: str | None, output_format: str, out: TextIO) -> int:
    """Print every problem of the files to `out`, as `text` or `json`; 1 when any of them is an error, else 0.

    `-` is standard input. A file that cannot be read is a problem of its own, and the others are still checked.
    """
    problems: list[Problem] = []
    for path in files:
        file = str(path)
        text, found = _read_file(path)
        if text is not None and lies_beside_flows(file):
            what = "this is no flow: it is read with those of its folder, and judged with them"
            found = [Problem(Position(file, 1, 1), what, severity=Severity.WARNING)]
        elif text is not None:
            companions = read_none if file == STDIN else open_companions(path)
            flow, found = inspect_flow(text, "stdin" if file == STDIN else file, dialect, companions)
            beyond = [] if file == STDIN or flow is None else _check_beyond(flow, path)
            found = sorted([*found, *(each for each in beyond if each not in problems)], key=_place)
        problems += found
        if output_format != "json":
            lines = text.split("\n") if text is not None and found else []
            own = "stdin" if file == STDIN else file
            out.writelines(
                line + "\n"
                for problem in found
                for line in show_problem(problem, lines if problem.position.file == own else [])
            )
    if output_format == "json":
        json.dump([describe_problem(problem) for problem in problems], out, indent=2)
        out.write("\n")
    elif not problems:
        out.write("1 flow is valid\n" if len(files) == 1 else f"{len(files)} flows are valid\n")
    return int(any(problem.severity is Severity.ERROR for problem in problems))


def _check_beyond(flow: Flow, path: Path) -> Sequence[Problem]:
    """What is wrong with the calls of a flow and with what it reads of outputs, as far as its repository tells."""
    if not flow.outputs_read and not any(
        job.call or any(True for _ in job.list_uses()) for job in flow.jobs.values()
    ):
        return []
    from agent.cli.local_files.called import link_local
    from agent.cli.local_files.outputs import check_local_actions, check_local_outputs
    from agent.errors import AgentError

    try:
        linked = link_local(flow, path)
    except InvalidFlowError as error:
        return error.problems
    except AgentError as error:
        return [_refuse(path, f"{error.what}: {error.where}" if error.where else error.what, error.hint)]
    return [*check_local_outputs(linked, path), *check_local_actions(linked, path)]


def _place(problem: Problem) -> tuple[str, int, int]:
    return problem.position.file, problem.position.line, problem.position.column


def run_schema(out: TextIO, dialect: str = DEFAULT) -> int:
    """Print the JSON schema of a language for editors to `out`; 0. Raises UsageError for a language that is not known."""
    json.dump(find_front_end(dialect).make_schema(), out, indent=1)
    out.write("\n")
    return 0


def run_document(out: TextIO, dialect: str = DEFAULT) -> int:
    """Print the page of a language's keys to `out`, docs/flow-language.md of GitHub's; 0. Raises as `run_schema`."""
    out.write(find_front_end(dialect).make_page())
    return 0


def _read_file(path: Path) -> tuple[str | None, list[Problem]]:
    """The text of a file, or None and why there is none. Reads no more than what a flow may have."""
    most_bytes = LIMITS.characters * 4 + 4  # of UTF-8
    try:
        if str(path) == STDIN:
            content = sys.stdin.buffer.read(most_bytes)
        else:
            with path.open("rb") as stream:
                content = stream.read(most_bytes)
        return content.decode("utf-8"), []
    except IsADirectoryError:
        return None, [_refuse(path, "this is a folder", f"name its files: {path}/*.yml")]
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        return None, [
            Problem(Position(str(path), line, column), "the file is not UTF-8 text", "save it as UTF-8")
        ]
    except OSError as error:
        return None, [_refuse(path, f"the file cannot be read: {error.strerror or error}")]


def _refuse(path: Path, message: str, hint: str = "") -> Problem:
    return Problem(Position(str(path), 1, 1), message, hint)


def show_problem(problem: Problem, lines: Sequence[str]) -> Iterator[str]:
    """A problem for people: place and words, the line of the file, a caret under the column, the remedy."""
    label = "warning: " if problem.severity is Severity.WARNING else ""
    yield f"{problem.position}: {label}{_printable(problem.message)[:_MESSAGE_LENGTH]}"
    place = problem.position
    if place.line <= len(lines):
        yield from _point(lines[place.line - 1], place.column - 1)
    if problem.hint:
        yield f"    hint: {_printable(problem.hint)[:_MESSAGE_LENGTH]}"


def _point(line: str, column: int) -> Iterator[str]:
    """A line and a caret under its column (from 0); a long line is cut around it."""
    line = redact(line)
    start = max(0, column - _LINE_WIDTH // 2) if len(line) > _LINE_WIDTH else 0
    shown = _printable(line.rstrip("\r")[start : start + _LINE_WIDTH])
    yield f"    {shown}".rstrip()
    yield "    " + " " * min(column - start, len(shown)) + "^"


def _printable(text: str) -> str:
    """Text that cannot steer a terminal: one column for each character, as it was."""
    return "".join(
        character if character.isprintable() else " " if character in "\t\n" else "?" for character in text
    )


def describe_problem(problem: Problem) -> dict[str, object]:
    """A problem as programs are told it."""
    return {
        "file": problem.position.file,
        "line": problem.position.line,
        "column": problem.position.column,
        "severity": problem.severity.value,
        "message": problem.message,
        "hint": problem.hint,
    }


if __name__ == "__main__":
    raise SystemExit(run_document(sys.stdout, *sys.argv[1:2]))
