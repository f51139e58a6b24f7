"""Records for a local run of stages: which trigger brings which file, and where what ended as a dead letter lies."""

from collections.abc import Sequence
from pathlib import Path

from agent.cli.local_run.kept import OpenRun, write_note
from agent.errors import UsageError
from agent.spec.job import JobSpec
from agent.spec.stages import StagesWork

LETTERS = "dead-letters"


def choose_files(work: StagesWork, said: Sequence[str]) -> dict[str, Path]:
    """The files of `--event-file`, FILE or TRIGGER=FILE, by trigger. Raises UsageError.

    One that names no trigger is the `manual` one's, or the first one's where there is none.
    """
    triggers = [stage for stage in work.stages if stage.is_trigger]
    names = [stage.name for stage in triggers]
    usual = next((stage.name for stage in triggers if stage.action == "manual"), names[0])
    chosen: dict[str, Path] = {}
    for one in said:
        name, equals, file = one.partition("=")
        if not equals or (name not in names and Path(one).exists()):
            name, file = usual, one
        if name not in names:
            hint = f"its triggers are {', '.join(names)}"
            raise UsageError(f"the flow has no trigger '{name}'", where="--event-file", hint=hint)
        if name in chosen:
            raise UsageError(
                f"the trigger '{name}' has two files", where="--event-file", hint="TRIGGER=FILE names another"
            )
        if not Path(file).exists() or Path(file).is_dir():
            raise UsageError("there is no such file of records", where=file)
        chosen[name] = Path(file).resolve()
    return chosen


def describe_idle(work: StagesWork, chosen: dict[str, Path]) -> str:
    """What a run with records says of the triggers that bring none; empty where all do."""
    idle = [stage.name for stage in work.stages if stage.is_trigger and stage.name not in chosen]
    if not idle:
        return ""
    names = ", ".join(f"'{name}'" for name in idle)
    return f"{names} bring{'s' if len(idle) == 1 else ''} nothing: the run's records come from --event-file"


def place_letters(kept: OpenRun) -> Path:
    """The file for the dead letters of a run, below what it keeps; it is there once there is one."""
    return kept.open_folder() / LETTERS / f"{LETTERS}.jsonl"


def note_letters(kept: OpenRun, spec: JobSpec) -> None:
    """The job has ended: its dead letters, where it has some, are among what the run keeps."""
    file = place_letters(kept)
    if file.exists():
        about = {"key": spec.key, "kind": "artifact", "name": LETTERS, "tree": LETTERS, "is_file": False}
        write_note(kept.open_folder() / f"{LETTERS}.json", {**about, "size": file.stat().st_size})
