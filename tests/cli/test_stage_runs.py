"""`agent flow run` of a flow of stages: records of files, dead letters, exit codes."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.lab import command_line, wait_for
from support.stage_flows import write_records

FLOW = """
name: orders
stages:
  - {name: by hand, action: manual, out: [shape]}
  - {name: from outside, action: webhook, config: {path: /orders}, out: [shape]}
  - {name: shape, action: field_map, config: {convert: {total: int}}, out: [mark]}
  - {name: mark, action: merge_data, config: {data: {key: "${secret.MY_KEY}"}}, out: [end]}
  - {name: end, action: END}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path


def start(folder: Path, *words: str | Path, end: str = "noop") -> "subprocess.Popen[str]":
    (folder / "flow.yml").write_text(FLOW.replace("END", end))
    environment = {**os.environ, "HOME": str(folder), "AGENT_STATE": str(folder / "state")}
    command = command_line("flow", "run", folder / "flow.yml", "--workspace", folder / "work", *words)
    return subprocess.Popen(
        [*command, "--secret", "MY_KEY=hunter2-and-more"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def has_bookmark(folder: Path) -> bool:
    files = (folder / "state" / "bookmarks").glob("*/*.json")
    return any(json.loads(file.read_text())["value"] for file in files)


def run(folder: Path, *words: str | Path, end: str = "noop") -> tuple[int, str, str]:
    process = start(folder, *words, end=end)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_records_of_a_file_come_from_the_manual_trigger_and_the_others_bring_nothing(folder: Path) -> None:
    file = write_records(folder / "records.jsonl", [{"total": str(n)} for n in range(100)])
    code, out, err = run(folder, "--event-file", file)
    assert (code, err) == (0, ""), out
    assert "'from outside' brings nothing: the run's records come from --event-file" in out
    assert "100 in, 100 done" in out


def test_a_file_is_given_to_a_trigger_by_name(folder: Path) -> None:
    file = write_records(folder / "records.jsonl", [{"total": "1"}])
    other = write_records(folder / "other.jsonl", [{"total": "2"}] * 9)
    code, out, _ = run(folder, "--event-file", file, "--event-file", f"from outside={other}")
    assert code == 0
    assert "brings nothing" not in out
    assert "10 in, 10 done" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["nobody=records.jsonl"],
            "the flow has no trigger 'nobody' (--event-file); its triggers are by hand, from outside",
        ),
        (["missing.jsonl"], "there is no such file of records (missing.jsonl)"),
        (["records.jsonl", "records.jsonl"], "the trigger 'by hand' has two files"),
    ],
)
def test_a_file_that_is_given_wrongly_is_told_before_anything_starts(
    folder: Path, words: list[str | Path], message: str
) -> None:
    write_records(folder / "records.jsonl", [1])
    code, _, err = run(folder, *(item for word in words for item in ("--event-file", word)))
    assert code == 2
    assert message in err


def test_dead_letters_fail_the_run_and_are_kept_where_it_says_with_secrets_masked(folder: Path) -> None:
    file = write_records(folder / "records.jsonl", [{"total": "1"}, {"total": "x"}, {"total": "2"}])
    code, out, _ = run(folder, "--event-file", file, "--format", "json", end="error, config: {retry: 1}")
    assert code == 1
    assert "hunter2-and-more" not in out
    lines = [json.loads(line) for line in out.splitlines()]
    (kept,) = [line["path"] for line in lines if line["kind"] == "kept"]
    text = (Path(kept) / "dead-letters.jsonl").read_text()
    letters = [json.loads(line) for line in text.splitlines()]
    assert sorted((letter["stage"], letter["record"]["total"]) for letter in letters) == [
        ("end", 1),
        ("end", 2),
        ("shape", "x"),
    ]
    assert {letter["record"].get("key") for letter in letters} == {None, "***"}
    message = next(line["message"] for line in lines if line["kind"] == "job" and line.get("message"))
    assert f"3 records ended as dead letters; they are in {kept}" in message


def test_ctrl_c_drains_and_the_next_run_of_the_same_file_goes_on_from_there(folder: Path) -> None:
    file = write_records(folder / "records.jsonl", [{"total": n} for n in range(50_000)])
    process = start(folder, "--event-file", file, end="delay, config: {seconds: 1}")
    wait_for(lambda: has_bookmark(folder), "a bookmark")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    code, again, _ = run(folder, "--event-file", file, end="noop")
    assert code == 0, again
    assert "goes on at line" in again
