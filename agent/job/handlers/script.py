"""`run:` steps: a script in a file, given to a shell.

Source: actions/runner `ScriptHandler.cs`, `ScriptHandlerHelpers.cs`.
"""

import asyncio
import contextlib
import os
import posixpath
from functools import cache
from pathlib import Path

from agent.errors import AgentError
from agent.flow.expressions import to_text
from agent.job.process.programs import find_executable
from agent.job.steps.contexts import is_settled
from agent.job.steps.steprun import RunSteps, StepFailure, StepRun

_EXTENSIONS = {"python": ".py", "python3": ".py", "pwsh": ".ps1", "powershell": ".ps1", "node": ".js"}
_OWN_MODE, _SHARED_MODE = 0o600, 0o644
# After each of a list of commands: an `&&` between them would not do for comments, documents and lines in the background.
_STOP_ON_FAILURE = "case $? in 0) ;; *) exit $? ;; esac"
_POWERSHELL_HEAD = "$ErrorActionPreference = 'stop'"
_POWERSHELL_TAIL = "if ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }"


class ScriptHandler:
    """Runs the script of a step."""

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """Write the script, run it, and fail when its exit code is not 0."""
        commands = step.evaluate(step.spec.run)
        templates, opening = self._choose_shells(step)
        folder = self._choose_folder(step)
        arguments, shown = self._fill_first(step, templates)
        script = "\n".join(map(to_text, commands)) if isinstance(commands, list) else to_text(commands)
        first, *_rest = script.strip().splitlines() or [""]
        colour = [f"\x1b[36;1m{line}\x1b[0m" for line in script.rstrip("\n").split("\n")]
        step.show_group(f"Run {first}", colour, [f"shell: {shown}"])
        mode = (
            _SHARED_MODE if step.job.is_in_container else _OWN_MODE
        )  # the image's user may be another than the agent's
        if isinstance(commands, list):
            script = "".join(f"{to_text(command)}\n{_STOP_ON_FAILURE}\n" for command in commands)
        file = _write_script(step.job.places.temp, arguments[0], opening + script, mode)
        try:
            path = step.job.host.paths.to_inside(file)
            code = await step.run_process([item.replace("{0}", path) for item in arguments], cwd=folder)
        finally:
            if is_settled(step.spec.run):  # it tells the next step nothing: there is time while that one runs
                asyncio.get_running_loop().call_soon(_remove, file)
            else:
                _remove(file)
        if code != 0:
            raise StepFailure(f"Process completed with exit code {code}.", exit_code=code)

    def _choose_shells(self, step: StepRun) -> tuple[tuple[str, ...], str]:
        """The shell's template: the step's, the job's default; when nobody chose one, those to try. And what its scripts begin with."""
        words = step.job.conventions
        named = step.spec.shell
        if step.scope.is_composite:  # there it may be an input
            named = to_text(step.evaluate(named)) or None
        elif not named:
            named = to_text(step.evaluate(step.job.spec.shell)) or None
        if not named:
            return (words.container_shell,) if step.job.is_in_container else words.default_shells, ""
        template = words.shells.get(named.lower(), named)
        if "{0}" not in template:
            raise AgentError(
                "Invalid shell option. Shell must be a valid built-in (bash, sh, cmd, powershell, pwsh) or a format"
                " string containing '{0}'",
                where=step.place,
            )
        return (template,), words.openings.get(named.lower(), "")

    def _choose_folder(self, step: StepRun) -> str:
        """The working directory, as the step sees it."""
        written = to_text(step.evaluate(step.spec.working_directory))
        if not written and not step.scope.is_composite:
            written = to_text(step.evaluate(step.job.spec.working_directory))
        inside = posixpath.join(step.job.show_path(step.job.places.workspace), written)
        folder = step.job.host.paths.to_host(inside)
        is_elsewhere = step.job.is_in_container and folder == inside  # in the image: for the container to see
        if not is_elsewhere and not os.path.isdir(folder):  # noqa: PTH112
            raise AgentError(
                f"the working directory '{written}' does not exist",
                where=step.place,
                hint="make it in an earlier step, or check out the code first",
            )
        return inside

    def _fill_first(self, step: StepRun, templates: tuple[str, ...]) -> tuple[list[str], str]:
        """The first whose program is there, with its arguments (the script's place still open), and how they are shown."""
        for template in templates:
            try:
                program, *rest = _split(template)
            except ValueError as error:
                raise AgentError(f"Invalid shell option: {error}", where=step.place) from None
            found = program if step.job.is_in_container else _find_program(step, program)
            if found is not None:
                return [found, *rest], f"{found} {template.partition(' ')[2]}"
        raise AgentError(
            f"the shell '{program}' is not installed on this machine",
            where=step.place,
            hint=f"install {program}, or name another one with `shell:`",
        )


@cache
def _split(template: str) -> tuple[str, ...]:
    if template.isprintable() and template.isascii() and not {"'", '"', "\\"} & set(template):
        return tuple(template.split())
    import shlex  # only a quoted word needs it

    return tuple(shlex.split(template))


def _find_program(step: StepRun, name: str) -> str | None:
    path = step.job.environment.search_path(step.env)
    return find_executable(name, path)


def _remove(file: str) -> None:
    with contextlib.suppress(OSError):  # the job was faster, or it made a folder of it
        os.unlink(file)  # noqa: PTH108 - a Path for each would cost more than the call


def _write_script(folder: Path, program: str, script: str, mode: int) -> str:
    name = posixpath.basename(program)
    if name in ("pwsh", "powershell"):
        script = f"{_POWERSHELL_HEAD}\n{script}\n{_POWERSHELL_TAIL}"
    file = f"{folder}/{os.urandom(16).hex()}{_EXTENSIONS.get(name, '.sh')}"
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWN_MODE)
    try:
        if mode != _OWN_MODE:
            os.fchmod(handle, mode)
        rest = memoryview(script.encode("utf-8", "replace"))
        while rest:
            rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)
    return file
