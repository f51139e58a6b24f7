"""`agent flow convert`: a flow of one language as a file of another, or the list of what has no equal there."""

import sys
from pathlib import Path
from typing import TextIO

from agent.cli.local_files.files import read_flow, warn_of
from agent.errors import UsageError
from agent.flow.front_end import WrittenFlow
from agent.flow.load import DEFAULT, DIALECTS, find_front_end, inspect_flow
from agent.flow.problems import Problem, Severity


def convert_flow(file: Path, dialect: str | None, to: str | None, out: TextIO) -> int:
    """Print the flow in the language `to` (none: the usual one); what is a little different there goes to standard error. 0.

    1 where something has no equal: then each such thing is printed, with its place, and no flow. Raises UsageError, InvalidFlowError.
    """
    to = to or DEFAULT
    write = find_front_end(to).write if to in DIALECTS else None
    if write is None:
        raise UsageError(f"no flow is written in the language '{to}'", where="--to")
    flow = read_flow(file, dialect).flow
    written = write(flow)
    lost = [loss for loss in written.losses if loss.severity is Severity.ERROR]
    if not lost:
        lost = _check(written, to, file)
    if lost:
        out.writelines(f"{loss}\n" for loss in lost)
        sys.stderr.write(
            f"agent: {len(lost)} {'things have' if len(lost) > 1 else 'thing has'} no equal there ({file})\n"
        )
        return 1
    warn_of(written.losses)
    out.write(f"# {file.name}, a flow in {flow.dialect.name}'s language, converted.\n{written.text}")
    return 0


def _check(written: WrittenFlow, to: str, file: Path) -> list[Problem]:
    """What that language's own rules say of the text: a key may take fewer expressions there."""
    problems = inspect_flow(written.text, f"{file} as converted", to).problems
    return [problem for problem in problems if problem.severity is Severity.ERROR]
