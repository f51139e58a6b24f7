"""`javascript`: records go through a function of the user's (docs/streams-code.md). In a node that is kept up."""

import re
from functools import partial
from pathlib import Path
from typing import Final

from agent.job.stages.actions.programs.code import find_code, name_code, programs_of, wrap, write_code
from agent.job.stages.actions.programs.stage import Open, ProgramStage
from agent.job.stages.actions.programs.worker import ProgramTerms
from agent.job.stages.actions.settings import read_seconds, read_text
from agent.job.stages.stage import StageContext

_PROGRAM: Final = Path(__file__).parent / "programs" / "node_program.mjs"
_IS_MODULE: Final = re.compile(r"^\s*(export|import)\b(?!\s*\()", re.MULTILINE)


def make(context: StageContext) -> ProgramStage:
    """The stage. Raises AgentError."""
    find_code(context)
    terms = ProgramTerms("the code", read_seconds(context), is_code=True)
    return ProgramStage(context, terms, partial(_prepare, context))


async def _prepare(context: StageContext) -> Open:
    file = find_code(context)
    if file is None:
        code = read_text(context, "code")
        file = write_code(context, "code.mjs" if _IS_MODULE.search(code) else "code.cjs", code)
    programs = programs_of(context)
    node = await programs.find_node()
    # For `require` of code that lies in no folder with packages of its own.
    env = {"NODE_PATH": str(context.workspace / "node_modules")}
    return partial(programs.open, wrap(node, str(_PROGRAM), str(file), name_code(context)), env)
