"""Lines between an agent and what runs its job on another machine: files of the job folder, on a file system that both have.

    asked.jsonl        questions to the supervisor (agent.job.supervisor.control), each with an id     the agent writes
    answered.jsonl     the answers, by id                                                              the allocation writes
    allocation.jsonl   that it has begun, where, and how it ended                                      the allocation writes

Each has one writer, who only appends whole lines, and is there, empty, before anybody else looks: over NFS a file that has just
been made can stay unseen for a minute, while opening one that is there asks its server what is in it.
"""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

from agent.errors import AgentError
from agent.job.folder.attempt import JobFolder
from agent.plain_files import open_plain, read_plain

_MOST_BYTES = {"asked": 64 << 20, "answered": 64 << 20, "allocation": 1 << 16}  # a job can write there
_MOST_OUTPUT_BYTES = 16 << 20
_LOOK_SECONDS = 0.1
_FILES = ("asked.jsonl", "answered.jsonl", "allocation.jsonl")


def prepare_lines(folder: JobFolder) -> None:
    """Make the files, before the job is handed to anybody. Once more does no harm. Raises OSError, SpoiledError."""
    for name in _FILES:
        os.close(open_plain(folder.path / name, os.O_WRONLY | os.O_CREAT))


def is_elsewhere(folder: JobFolder) -> bool:
    """Whether the job was handed to somebody who may run it on another machine: its control socket is not ours to reach."""
    return os.path.lexists(folder.path / _FILES[0])


def append_line(folder: JobFolder, name: str, line: dict[str, Any]) -> None:
    """Append to `<name>.jsonl`, for good. Raises OSError, SpoiledError."""
    file = open_plain(folder.path / f"{name}.jsonl", os.O_WRONLY | os.O_APPEND)
    try:
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(file, data) :]
        os.fsync(file)
    finally:
        os.close(file)


def read_lines(folder: JobFolder, name: str) -> list[dict[str, Any]]:
    """The whole lines of `<name>.jsonl`; none where it is not there. What is no JSON object is passed over: a job can write there.

    Raises SpoiledError when it is no plain file, or has more than there is to say.
    """
    try:
        data = read_plain(_file(folder, name), _MOST_BYTES[name])
    except FileNotFoundError:
        return []
    return [line for text in data.split(b"\n")[:-1] if (line := _read_line(text)) is not None]


def ask_by_lines(folder: JobFolder, request: dict[str, object], deadline: float) -> dict[str, Any]:
    """What the supervisor answers to `request`, by `deadline` (of time.monotonic). Raises TimeoutError, OSError, SpoiledError."""
    number = os.urandom(8).hex()
    append_line(folder, "asked", {**request, "id": number})
    while time.monotonic() < deadline:
        for line in read_lines(folder, "answered"):
            if line.get("id") == number and isinstance(answer := line.get("answer"), dict):
                return answer
        time.sleep(_LOOK_SECONDS)
    raise TimeoutError


def read_output(file: Path) -> str:
    """What the batch script has printed, and Slurm has written there; empty where that can't be read."""
    try:
        return read_plain(file, _MOST_OUTPUT_BYTES).decode(errors="replace")
    except (OSError, AgentError):
        return ""


def read_number(line: dict[str, Any]) -> int:
    """Slurm's number of the job in a line of `allocation.jsonl`; 0 where it says none."""
    text = str(line.get("slurm_job", ""))
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else 0


def _file(folder: JobFolder, name: str) -> Path:
    return folder.path / f"{name}.jsonl"


def _read_line(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None
