"""`agent flow convert`: a flow of one language as a file of another, or the list of what has no equal there."""

import sys
from pathlib import Path
from typing import TextIO

from agent.cli.flow.language import describe_problem
from agent.cli.local_files.files import read_flow, warn_of
from agent.cli.terminal.tables import print_json
from agent.errors import UsageError
from agent.flow.front_end import WrittenFlow
from agent.flow.load import DEFAULT, DIALECTS, find_front_end, inspect_flow
from agent.flow.problems import Problem, Severity


def convert_flow(file: Path, dialect: str | None, to: str | None, output_format: str, out: TextIO) -> int:
    """Print the flow in the language `to` (none: the usual one); what is a little different there goes to standard error. 0.

    1 where something has no equal: then each such thing is printed, with its place, and no flow. As `json` all of it is one object.
    Raises UsageError, InvalidFlowError.
    """
    to = to or DEFAULT
    write = find_front_end(to).write if to in DIALECTS else None
    if write is None:
        raise UsageError(f"no flow is written in the language '{to}'", where="--to")
    flow = read_flow(file, dialect).flow
    spell_out = find_front_end(flow.dialect.name).spell_out
    flow, differences = spell_out(flow) if spell_out and to != flow.dialect.name else (flow, [])
    written = write(flow)
    written = written._replace(losses=(*differences, *written.losses))
    lost = [loss for loss in written.losses if loss.severity is Severity.ERROR]
    if not lost:
        lost = _check(written, to, file)
    if output_format == "json":
        losses = [*lost, *(loss for loss in written.losses if loss not in lost)]
        said = {"text": None if lost else written.text, "losses": [describe_problem(loss) for loss in losses]}
        print_json(said, out)
    elif lost:
        out.writelines(f"{loss}\n" for loss in lost)
        count = "1 thing has" if len(lost) == 1 else f"{len(lost)} things have"
        sys.stderr.write(f"agent: {count} no equal there ({file})\n")
    else:
        warn_of(written.losses)
        out.write(f"# {file.name}, a flow in {flow.dialect.name}'s language, converted.\n{written.text}")
    return int(bool(lost))


def _check(written: WrittenFlow, to: str, file: Path) -> list[Problem]:
    """What that language's own rules say of the text: a key may take fewer expressions there."""
    problems = inspect_flow(written.text, f"{file} as converted", to).problems
    return [problem for problem in problems if problem.severity is Severity.ERROR]
