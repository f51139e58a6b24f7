"""The table through nektos/act, by hand: where act does something else, one line says what.

    .venv/bin/python tests/behaviour/compare_with_act.py [AREA/NAME...]

docs/compatibility.md ("Compared with act") says who is right. Compared is what act tells in its own JSON: how jobs and steps
ended, what they printed, annotations, the order; of flows that are refused only that act refuses them too. Runs that are cancelled
from outside are left out.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.behaviours import Behaviour, Seen, differences, read_table, write_actions, write_project

ACT = Path(sys.executable).with_name("act")
PATIENCE_SECONDS = 30
_COMPARED = ("run", "jobs", "steps", "log", "annotations", "never")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SHOWN = 500  # characters of a difference
_LEVELS = ("notice", "warning", "error")
_OURS = "##[error]"  # act words its own complaints in another way


def main() -> int:
    """Print the differences; their number is not an error."""
    wanted = sys.argv[1:]
    differing = compared = 0
    with tempfile.TemporaryDirectory(prefix="act-") as name:
        actions = _local_actions(Path(name))
        for behaviour in read_table().values():
            if (wanted and behaviour.name not in wanted) or not _can_be_expressed(behaviour):
                continue
            compared += 1
            found = _compare(behaviour, Path(name) / behaviour.name, actions)
            differing += bool(found)
            if found:
                sys.stdout.write("\n    ".join([behaviour.name, *(line[:_SHOWN] for line in found)]) + "\n")
    sys.stdout.write(f"{compared} compared, {differing} differ\n")
    return 0


def _can_be_expressed(behaviour: Behaviour) -> bool:
    return not behaviour.is_cancelled


def _local_actions(folder: Path) -> str:
    write_actions(folder / "git")
    return f"acme/actions@v1={folder / 'git' / 'acme' / 'actions'}"


def _compare(behaviour: Behaviour, folder: Path, actions: str) -> list[str]:
    file = write_project(behaviour, folder)
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
        subprocess.run(["git", *identity, *command], cwd=file.parent, check=True)
    home = folder / "home"
    home.mkdir()
    try:
        done = subprocess.run(
            [*_command(behaviour, file, folder), "--local-repository", actions],
            cwd=file.parent,
            env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [f"act does not end within {PATIENCE_SECONDS} s"]
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if line.startswith("{")]
    has_run = any("jobResult" in line for line in lines)
    if "refused" in behaviour.expected:
        return ["act runs it"] if has_run else []
    if not has_run:
        return [f"act refuses it: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1][:300]}"]
    return differences(_reduce(behaviour), Seen(list(_convert(behaviour, lines))))


def _command(behaviour: Behaviour, file: Path, folder: Path) -> list[str]:
    given = behaviour.given
    event = given.get("event", "workflow_dispatch" if "workflow_dispatch" in behaviour.flow else "push")
    words = [
        str(ACT),
        event,
        "-P",
        "self-hosted=-self-hosted",
        "-W",
        str(file),
        "--json",
        "--action-offline-mode",
    ]
    for flag, key in (("--input", "inputs"), ("--var", "vars"), ("-s", "secrets")):
        for name, value in given.get(key, {}).items():
            words += [flag, f"{name}={value}"]
    if "payload" in given:
        payload = folder / "event.json"
        payload.write_text(given["payload"])
        words += ["-e", str(payload)]
    return words


def _reduce(behaviour: Behaviour) -> Behaviour:
    """What is expected, as far as act tells it."""
    expected = {key: value for key, value in behaviour.expected.items() if key in _COMPARED}
    expected.setdefault("run", "success")
    if expected["run"] == "skipped":
        expected["run"] = "success"
    jobs = expected.get("jobs", {})
    if jobs:
        expected["jobs"] = {key: value for key, value in jobs.items() if value != "skipped"}
    steps = expected.get("steps", {})
    expected["steps"] = {
        key: value.partition(",")[0]
        for key, value in steps.items()
        if value != "skipped" and not key.startswith("__")
    }
    logs = expected.get("log", {})
    expected["log"] = {
        key: [line for line in ([lines] if isinstance(lines, str) else lines) if not line.startswith(_OURS)]
        for key, lines in logs.items()
    }
    return Behaviour(behaviour.name, behaviour.flow, expected, {})


def _convert(behaviour: Behaviour, lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """act's JSON as records of docs/cli.md."""
    jobs: dict[str, dict[str, Any]] = {}
    begun: dict[tuple[str, str], str] = {}  # what a step has printed of a line that has not ended
    for line in lines:
        job = _job_key(behaviour, line)
        path = line.get("stepID") or [""]
        stage = {"Pre": "__pre_", "Post": "__post_"}.get(line.get("stage", ""), "")
        about = {"job": job, "step": f"{stage}{path[-1]}"}
        if "jobResult" in line:
            jobs[job] = {"conclusion": line["jobResult"], "outputs": {}}
            yield {"kind": "job", "job": job, **jobs[job]}
        elif line.get("raw_output"):
            text = begun.pop((job, about["step"]), "") + line["msg"]
            if text.endswith("\n"):
                yield from ({"kind": "log", **about, "text": text} for text in _split(text))
            else:
                begun[job, about["step"]] = text
        elif line.get("command") in _LEVELS:
            if line["command"] != "error":
                yield {"kind": "log", **about, "text": f"##[{line['command']}]{line['arg']}"}
            yield _annotation(line, about)
        elif "stepResult" in line and "stepID" in line:
            ended = {"name": line["step"], "outcome": line["stepResult"], "conclusion": line["stepResult"]}
            yield {"kind": "step", **about, "state": "completed", **ended, "outputs": {}}
    for (job, step), text in begun.items():
        yield from ({"kind": "log", "job": job, "step": step, "text": text} for text in _split(text))
    worst = "failure" if any(job["conclusion"] == "failure" for job in jobs.values()) else "success"
    yield {"kind": "run", "name": "", "conclusion": worst, "jobs": jobs}


def _job_key(behaviour: Behaviour, line: Mapping[str, Any]) -> str:
    """A job's key. act tells a cell's values without their order: the expected key with the most of them is meant.

    It calls a job of a called flow `CALLER/FLOW/JOB`, and any other `FLOW/JOB`.
    """
    callers = [part.strip() for part in str(line.get("job", "")).split("/")][-3::-2][::-1]
    node = " / ".join([*callers, str(line.get("jobID", ""))])
    cell = set(_leaves(line.get("matrix", {})))
    keys = {
        **behaviour.expected.get("jobs", {}),
        **{name.rpartition("/")[0]: "" for name in behaviour.expected.get("log", {})},
    }
    labels = {
        key: set(key.removeprefix(f"{node} (")[:-1].split(", "))
        for key in keys
        if key.startswith(f"{node} (")
    }
    fitting = [key for key, label in labels.items() if label <= cell]
    return max(fitting, key=lambda key: len(labels[key]), default=node)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield str(value).lower() if isinstance(value, bool) else str(value)


def _split(text: str) -> list[str]:
    """Lines without the colours that programs use in act's terminal."""
    return [_COLOUR.sub("", part.removesuffix("\r")) for part in text.removesuffix("\n").split("\n")]


def _annotation(line: Mapping[str, Any], about: Mapping[str, str]) -> dict[str, Any]:
    given = {name.lower(): value for name, value in (line.get("kvPairs") or {}).items()}
    places = {"line": "line", "end_line": "endline", "column": "col", "end_column": "endcolumn"}
    shown = {name: given.get(key, "") for name, key in {**places, "title": "title", "file": "file"}.items()}
    return {"kind": "annotation", **about, "level": line["command"], "message": line["arg"], **shown}


if __name__ == "__main__":
    sys.exit(main())
