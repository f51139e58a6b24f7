"""`run`: a command that stays up, is given a record a line, and answers each with a line (docs/streams-code.md)."""

from functools import partial

from agent.errors import AgentError
from agent.flow.expressions import to_text
from agent.job.stages.actions.programs.code import programs_of, write_code
from agent.job.stages.actions.programs.stage import Open, ProgramStage
from agent.job.stages.actions.programs.worker import ProgramTerms
from agent.job.stages.actions.settings import read_mapping, read_seconds, read_text
from agent.job.stages.stage import StageContext


def make(context: StageContext) -> ProgramStage:
    """The stage. Raises AgentError."""
    if not read_text(context, "run").strip():
        raise AgentError("a `run` stage needs `run`, its command", where=context.name)
    terms = ProgramTerms("the command", read_seconds(context), is_code=False)
    read_mapping(context, "env")
    return ProgramStage(context, terms, partial(_prepare, context))


async def _prepare(context: StageContext) -> Open:
    programs = programs_of(context)
    script = write_code(context, "command", read_text(context, "run"))
    words = await programs.find_shell(read_text(context, "shell"), script)
    # Python would keep its lines to itself until there are many.
    env = {
        "PYTHONUNBUFFERED": "1",
        **{name: to_text(value) for name, value in read_mapping(context, "env").items()},
    }
    return partial(programs.open, words, env)
