"""The programs that jobs lean on, and their versions: asked all at once, each given a few seconds, never more."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from agent.machine.deadline import start_call

TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class ProbeFinding:
    """What one tool said of itself: a version, a problem, both or neither (then it is not installed)."""

    version: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """How one tool is asked: `argv`, how its answer is read, and what is lost where it is missing."""

    argv: tuple[str, ...]
    read: Callable[["ToolAnswer"], ProbeFinding]
    loss: str | None = None


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a tool printed, and its exit status."""

    status: int
    output: str
    errors: str


def probe_tools(timeout_seconds: float = TIMEOUT_SECONDS) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The versions of what is installed, and a sentence for each thing that is wrong."""
    calls = {name: _start_probe(name, tool, timeout_seconds) for name, tool in TOOLS.items()}
    findings = {name: call.result() for name, call in calls.items()}
    versions = {name: found.version for name, found in findings.items() if found.version}
    return versions, tuple(found.problem for found in findings.values() if found.problem)


def _start_probe(name: str, tool: Tool, timeout_seconds: float) -> Future[ProbeFinding]:
    return start_call(lambda: _probe(name, tool, timeout_seconds), name=f"probe-{name}")


def _probe(name: str, tool: Tool, timeout_seconds: float) -> ProbeFinding:
    executable = shutil.which(tool.argv[0])
    if executable is None:
        return ProbeFinding(problem=f"{name} is not installed: {tool.loss}" if tool.loss else None)
    try:
        answer = ask_tool(executable, tool.argv[1:], timeout_seconds)
    except TimeoutError:
        return ProbeFinding(
            problem=f"{name} is installed but did not answer within {timeout_seconds:g} seconds"
        )
    except OSError as error:
        return ProbeFinding(problem=f"{name} is installed but cannot be started: {error.strerror}")
    return tool.read(answer)


def ask_tool(executable: str, arguments: tuple[str, ...], timeout_seconds: float) -> ToolAnswer:
    """Run to the end, or kill its whole group: a child that it left behind would keep the pipe open for ever.

    Raises TimeoutError, and OSError when it can't be started.
    """
    with subprocess.Popen(
        [executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise TimeoutError from None
    return ToolAnswer(process.returncode, output, errors)


def _read_version(answer: ToolAnswer) -> ProbeFinding:
    found = re.search(r"\d+(?:\.\d+)+", answer.output)
    return ProbeFinding(version=found[0] if found else None)


def _read_docker(answer: ToolAnswer) -> ProbeFinding:
    """The engine's version, not the command's: it is the engine that runs containers."""
    try:
        server = json.loads(answer.output)["Server"]
        if server:
            return ProbeFinding(version=str(server["Version"]))
    except (ValueError, KeyError, TypeError):
        pass  # an older command, or one that printed something else: the reason is on stderr
    reason = answer.errors.strip().splitlines()
    said = f" ({reason[0]})" if reason else ""
    return ProbeFinding(
        problem=f"docker is installed but its engine does not answer: no container jobs{said}"
    )


TOOLS: dict[str, Tool] = {
    "bash": Tool(("bash", "--version"), _read_version, loss="steps without a shell of their own cannot run"),
    "docker": Tool(("docker", "version", "--format", "{{json .}}"), _read_docker),
    "git": Tool(("git", "--version"), _read_version, loss="no action can be fetched"),
    "node": Tool(("node", "--version"), _read_version),
    "python": Tool(("python3", "--version"), _read_version),
}
