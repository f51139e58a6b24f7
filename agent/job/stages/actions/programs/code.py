"""The code of a stage, and what it is run with."""

from pathlib import Path

from agent.errors import AgentError
from agent.job.stages.actions.settings import read_text
from agent.job.stages.stage import Programs, StageContext


def programs_of(context: StageContext) -> Programs:
    """What the stage's program runs with. Raises AgentError where there can be none."""
    if context.programs is None:
        raise AgentError("no programs can be started here", where=context.name)
    return context.programs


def find_code(context: StageContext) -> Path | None:
    """The code's file, where it is one of the workspace's; None: it is written in the flow. Raises AgentError."""
    code, name = read_text(context, "code"), read_text(context, "file")
    if bool(code.strip()) == bool(name):
        raise AgentError("a code stage needs `code` or `file`, and one of them alone", where=context.name)
    if not name:
        return None
    file = (context.workspace / name).resolve()
    if not file.is_relative_to(context.workspace.resolve()):
        raise AgentError(f"the file '{name}' lies outside of the workspace", where=context.name)
    if not file.is_file():
        raise AgentError(
            f"there is no file '{name}' in the workspace",
            where=context.name,
            hint="is it part of the run's code?",
        )
    return file


def name_code(context: StageContext) -> str:
    """What the code is called in its errors."""
    return read_text(context, "file") or f"code of {context.name}"


def write_code(context: StageContext, name: str, text: str) -> Path:
    """The code that the flow has, as a file of the stage's own."""
    context.scratch.mkdir(parents=True, exist_ok=True)
    file = context.scratch / name
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


def wrap(*words: str) -> list[str]:
    """The same program with its records on file 4 and its answers to file 3; its standard output is its log."""
    return ["/bin/sh", "-c", 'exec "$@" 4<&0 3>&1 </dev/null 1>&2', "sh", *words]
