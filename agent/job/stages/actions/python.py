"""`python`: records go through a function of the user's (docs/streams-code.md). In a process that is kept up."""

from functools import partial
from pathlib import Path
from typing import Final

from agent.errors import AgentError
from agent.job.stages.actions.programs.code import find_code, name_code, programs_of, wrap, write_code
from agent.job.stages.actions.programs.stage import Open, ProgramStage
from agent.job.stages.actions.programs.worker import ProgramTerms
from agent.job.stages.actions.settings import read_seconds, read_text
from agent.job.stages.stage import StageContext

_PROGRAM: Final = Path(__file__).parent / "programs" / "python_program.py"
_LISTED: Final = "requirements.txt"


def make(context: StageContext) -> ProgramStage:
    """The stage. Raises AgentError."""
    find_code(context)
    _read_requirements(context)
    terms = ProgramTerms("the code", read_seconds(context), is_code=True)
    return ProgramStage(context, terms, partial(_prepare, context))


async def _prepare(context: StageContext) -> Open:
    file = find_code(context)
    folder = context.workspace if file is None else file.parent
    if file is None:
        file = write_code(context, "code.py", read_text(context, "code"))
    needs = context.scratch / "needs"
    needs.mkdir(parents=True, exist_ok=True)
    if listed := _read_requirements(context):
        (needs / _LISTED).write_text(listed, encoding="utf-8")
    programs = programs_of(context)
    python = await programs.find_python(needs)
    words = wrap(python, "-I", "-B", str(_PROGRAM), str(file), str(folder), name_code(context))
    return partial(programs.open, words, {})


def _read_requirements(context: StageContext) -> str:
    """`requirements`: a list, lines, or the name of a file of the workspace that has them. Raises AgentError."""
    given = context.config.get("requirements") or ""
    if isinstance(given, list | tuple):
        return "".join(f"{line}\n" for line in given)
    if not isinstance(given, str):
        raise AgentError("`requirements` is a list of packages, or a file's name", where=context.name)
    if "\n" in given or not given.endswith(".txt"):
        return given
    try:
        return (context.workspace / given).read_text(encoding="utf-8")
    except OSError as error:
        raise AgentError(f"'{given}' can't be read: {error.strerror}", where=context.name) from None
