"""Any action as a stage: its program stays up, is given a record a line, and answers each with a line (docs/streams-code.md)."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from agent.job.stages.actions.programs.code import programs_of
from agent.job.stages.actions.programs.stage import Open, ProgramStage
from agent.job.stages.actions.programs.worker import ProgramTerms
from agent.job.stages.actions.settings import read_seconds
from agent.job.stages.stage import StageContext

_OURS: Final = frozenset({"timeout", "retry", "concurrency"})  # of the stage, and no inputs of the action


def make(context: StageContext) -> ProgramStage:
    """The stage. Raises AgentError."""
    terms = ProgramTerms("the action", read_seconds(context), is_code=False)
    return ProgramStage(context, terms, partial(_prepare, context))


async def _prepare(context: StageContext) -> Open:
    inputs: Mapping[str, object] = {
        name: value for name, value in context.config.items() if name not in _OURS
    }
    programs = programs_of(context)
    program = await programs.find_action(context.uses, inputs, context.say)
    return program.open or partial(programs.open, program.arguments, program.env)
