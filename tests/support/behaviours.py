"""The behaviour table (tests/behaviour/README.md): its files, how one is run, and whether the records are as expected."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support.git import make_repository
from support.lab import command_line

TABLE = Path(__file__).parents[1] / "behaviour"
_OF_THE_JOB = ("__set_up", "__complete")  # every job's own two steps, which `order` leaves out
_GIVEN = frozenset({"inputs", "secrets", "vars", "event", "payload", "files", "actions"})
_EXPECTED = frozenset(
    {
        *(
            "run",
            "run-name",
            "refused",
            "jobs",
            "failure",
            "message",
            "outputs",
            "cancel-when",
            "steps",
            "names",
            "order",
        ),
        *("log", "head", "contains", "never", "step-outputs", "annotations", "summary", "warned"),
    }
)


@dataclass(frozen=True)
class Behaviour:
    """One file of the table."""

    name: str  # area/name
    flow: str  # the text before the `---`
    expected: Mapping[str, Any]
    given: Mapping[str, Any]

    @property
    def area(self) -> str:
        return self.name.partition("/")[0]

    @property
    def is_cancelled(self) -> bool:
        return "cancel-when" in self.expected


@dataclass
class Seen:
    """What happened: the records of docs/cli.md, or why there are none."""

    records: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]


@cache
def read_table() -> dict[str, Behaviour]:
    """All behaviours by name."""
    files = sorted(TABLE.glob("*/*.yml"))
    return {
        name: _read(name, file.read_text()) for file in files if (name := f"{file.parent.name}/{file.stem}")
    }


def _read(name: str, text: str) -> Behaviour:
    flow, separator, rest = text.partition("\n---\n")
    assert separator, f"{name}: a line `---` parts the flow from what is expected"
    expected: dict[str, Any] = (
        yaml.load(rest, yaml.BaseLoader) or {}
    )  # every scalar is text, as it is in a log
    given = expected.pop("given", {})
    unknown = (expected.keys() - _EXPECTED) | (given.keys() - _GIVEN)
    assert not unknown, f"{name}: unknown keys {sorted(unknown)}"
    return Behaviour(name, flow + "\n", expected, given)


def write_actions(folder: Path) -> str:
    """All actions of the table as one repository `acme/actions`; gives the template for `actions_url`."""
    files: dict[str, str | bytes] = {}
    for behaviour in read_table().values():
        for action, contents in behaviour.given.get("actions", {}).items():
            for file, content in contents.items():
                path = f"{action}/{file}"
                assert files.setdefault(path, content) == content, f"{behaviour.name}: two actions '{action}'"
    make_repository(folder / "acme" / "actions", files, tags=("v1",))
    return f"{folder.as_uri()}/{{owner}}/{{repo}}"


def write_project(behaviour: Behaviour, folder: Path) -> Path:
    """The files that the behaviour asks for, and its flow beside them; gives the flow's file."""
    project = folder / "project"
    for name, content in {"flow.yml": behaviour.flow, **behaviour.given.get("files", {})}.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return project / "flow.yml"


def run_locally(behaviour: Behaviour, folder: Path, actions_url: str, environment: Mapping[str, str]) -> Seen:
    """The behaviour through `agent flow run`."""
    file = write_project(behaviour, folder)
    words = command_line(
        "flow", "run", file, "--format", "json", "--workspace", file.parent, *_options(behaviour, folder)
    )
    process = subprocess.Popen(
        words,
        env={**environment, "AGENT_ACTIONS_URL": actions_url, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        records = list(_follow(behaviour, process))
        seen = Seen(records, "" if records else process.stderr.read())
    conclusion = records[-1].get("conclusion") if records else None
    code = 130 if behaviour.is_cancelled else {None: 2, "success": 0, "skipped": 0}.get(conclusion, 1)
    assert process.returncode == code, f"exit code {process.returncode}, not {code}: {seen}"
    return seen


def _follow(behaviour: Behaviour, process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    sign = behaviour.expected.get("cancel-when")
    for line in process.stdout:
        record = json.loads(line)
        yield record
        if sign is not None and record.get("text") == sign:
            process.send_signal(2)


def _options(behaviour: Behaviour, folder: Path) -> Iterator[str]:
    given = behaviour.given
    for flag, key in (("--input", "inputs"), ("--var", "vars"), ("--secret", "secrets")):
        for name, value in given.get(key, {}).items():
            yield from (flag, f"{name}={value}")
    if "event" in given:
        yield from ("--event", given["event"])
    if "payload" in given:
        payload = folder / "event.json"
        payload.write_text(given["payload"])
        yield from ("--event-file", str(payload))


# Whether what was seen is what was expected


def differences(behaviour: Behaviour, seen: Seen) -> list[str]:
    """What is not as the behaviour's file says, one sentence each."""
    expected = behaviour.expected
    if "refused" in expected or seen.refusal:
        return [] if expected.get("refused", "\0") in seen.refusal else [f"refused: {seen.refusal!r}"]
    return list(_compare(expected, _Reading(seen)))


class _Reading:
    """The records by job and step, named as the table names them: `step`, or `job/step` where there are more jobs."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.run = seen.of("run")[-1]
        self.jobs = {record["job"]: record for record in seen.of("job")}
        self.steps = {
            self.name(record): record for record in seen.of("step") if record["state"] == "completed"
        }

    def name(self, record: Mapping[str, Any]) -> str:
        step = record["step"]
        return step if len(self.jobs) == 1 else f"{record['job']}/{step}"

    def lines(self, step: str) -> list[str]:
        return [record["text"] for record in self.seen.of("log") if self.name(record) == step]

    def head(self, step: str) -> list[str]:
        """The first group of a step's log: what is run, and how."""
        lines = self.lines(step)
        return lines[: lines.index("##[endgroup]")] if "##[endgroup]" in lines else []

    def output(self, step: str) -> list[str]:
        """All that follows the head."""
        lines = self.lines(step)
        return lines[len(self.head(step)) + 1 :] if self.head(step) else lines

    def everything(self) -> str:
        """All that anybody can read of the run, but for names and keys of records."""
        return "\n".join(_texts(self.seen.records))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _compare(expected: Mapping[str, Any], read: _Reading) -> Iterator[str]:
    yield from _same("run", expected.get("run", "success"), read.run["conclusion"])
    yield from _same("run-name", expected.get("run-name", read.run["name"]), read.run["name"])
    yield from _each(
        "jobs", expected, {key: job["conclusion"] for key, job in read.run["jobs"].items()}, is_all=True
    )
    yield from _each(
        "failure", expected, {key: job.get("failure_kind") or "" for key, job in read.jobs.items()}
    )
    yield from _each("message", expected, {key: job.get("message") or "" for key, job in read.jobs.items()})
    yield from _each("outputs", expected, {key: job["outputs"] for key, job in read.run["jobs"].items()})
    yield from _each("steps", expected, {name: _ending(record) for name, record in read.steps.items()})
    yield from _each("names", expected, {name: record["name"] for name, record in read.steps.items()})
    yield from _each("step-outputs", expected, {name: step["outputs"] for name, step in read.steps.items()})
    if "order" in expected:
        order = [name for name in read.steps if not name.endswith(_OF_THE_JOB)]
        yield from _same("order", expected["order"], order)
    for name, lines in expected.get("log", {}).items():
        yield from _same(f"log of {name}", lines, read.output(name))
    for name, lines in expected.get("head", {}).items():
        yield from _same(f"head of {name}", lines, read.head(name))
    for name, texts in expected.get("contains", {}).items():
        log = "\n".join(read.lines(name))
        yield from (f"log of {name}: no {text!r} in {log!r}" for text in _list(texts) if text not in log)
    everything = read.everything()
    yield from (
        f"there should be no {text!r}" for text in _list(expected.get("never", [])) if text in everything
    )
    if "annotations" in expected:
        found = [_annotation(record) for record in read.seen.of("annotation")]
        yield from _same("annotations", expected["annotations"], found)
    summaries: dict[str, str] = {}
    for record in read.seen.of("summary"):
        summaries[read.name(record)] = summaries.get(read.name(record), "") + record["text"]
    yield from _each("summary", expected, summaries)


def _ending(step: Mapping[str, Any]) -> str:
    outcome, conclusion = step["outcome"], step["conclusion"]
    return outcome if outcome == conclusion else f"{outcome}, counts as {conclusion}"


def _annotation(record: Mapping[str, Any]) -> dict[str, str]:
    shown = ("level", "message", "title", "file", "line", "end_line", "column", "end_column")
    return {name: str(record[name]) for name in shown if record.get(name) not in (None, "")}


def _each(
    key: str, expected: Mapping[str, Any], found: Mapping[str, Any], *, is_all: bool = False
) -> Iterator[str]:
    """Every entry of `expected[key]`, and with `is_all` nothing that is not one."""
    if key not in expected:
        return
    for name, value in expected[key].items():
        yield from _same(f"{key} of {name}", value, found.get(name, "(nothing)"))
    if is_all and found.keys() - expected[key].keys():
        yield f"{key}: also {sorted(found.keys() - expected[key].keys())}"


def _same(what: str, expected: Any, found: Any) -> Iterator[str]:
    if not matches(expected, found):
        yield f"{what}: expected {expected!r}, found {found!r}"


def matches(expected: Any, found: Any) -> bool:
    """Whether `found` is what was written: text is itself or `/a pattern/`, `...` in a list is any number of items."""
    if isinstance(expected, str):
        if isinstance(found, list):
            return matches([expected] if expected else [], found)
        if len(expected) > 2 and expected[0] == expected[-1] == "/":
            return re.fullmatch(expected[1:-1], found, re.DOTALL) is not None
        return bool(expected == found)
    if isinstance(expected, Mapping):
        return (
            isinstance(found, Mapping)
            and expected.keys() == found.keys()
            and all(matches(value, found[name]) for name, value in expected.items())
        )
    return isinstance(found, list) and _match_list(expected, found)


def _match_list(expected: Sequence[Any], found: Sequence[Any]) -> bool:
    if not expected:
        return not found
    if expected[0] == "...":
        return any(_match_list(expected[1:], found[start:]) for start in range(len(found) + 1))
    return bool(found) and matches(expected[0], found[0]) and _match_list(expected[1:], found[1:])


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
