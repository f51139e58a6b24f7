"""Gradient's workflows run, here and through a server, and what comes out of them is what their system's documents promise.

The files are in `gradient/`: each key of the language is in one of them at least.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.git import GitHost, Repository, make_repository, serve_git
from support.lab import Done, Lab, run_agent
from support.s3 import S3, serve_s3

FLOWS = Path(__file__).parent / "gradient"
pytestmark = pytest.mark.timeout(900)
AT_ONCE = 4
Outputs = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Case:
    """A file of `FLOWS`, what it is given, and what comes out."""

    file: str
    outputs: Outputs
    options: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()  # jobs
    skipped: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = field(default=())  # in no log

    def __str__(self) -> str:
        return self.file


HUSH = ("--secret", "hello=hush-hush")
CASES = [
    Case("container_words", {"words": {
        "said": "<a b>\n<it's \"q\">\n<>\n<*>\n<$HOME>\n<two\nlines>\n<${x}>", "place": "/ /root yes",
    }}),
    Case("container_command", {"word": {"said": "2"}, "list": {"said": "first second"}}),
    Case("script", {"lines": {"said": "3"}}, failed=("broken",), skipped=("after",)),
    Case("env_and_secrets", {
        "own": {"said": "mine 5 ${{ x }}", "length": "9 9"}, "others": {"said": "theirs"}, "in-with": {"said": "9"},
    }, HUSH, unsaid=("hush-hush",)),
    Case("strings", {
        "job-1": {"echo2": "hello world, it's ${{ mine }}"}, "job-2": {"size": "29", "writable": "1"},
    }),
    Case("inputs_at_start", {"say": {"said": "hi|as written"}}, ("--input", "echo=hi")),
    Case("inputs_at_start", {"say": {"said": "from a file|5"}}, ("--input-file", "INPUTS")),
    Case("volumes", {"read": {"said": "one two "}, "last": {"said": "file link "}}),
    Case("shared_volumes", {"TrainModel": {"said": "newer"}}),
    Case("git_checkout", {"read": {"said": "print(1)newer"}}, ("--secret", "GIT_PASSWORD=s3cr3t"), unsaid=("s3cr3t",)),
    Case("own_code", {"HelloWorld": {"said": "newer"}}),
    Case("s3_download", {"read": {"said": "of data/a.txt\nof data/deep/b.txt"}}, ("--secret", "S3_KEY=topsecret")),
    Case("diamond", {"left": {"part": "left"}, "right": {"part": "right"}, "both": {"said": "left right"}}),
    Case("places", {"gpu": {"said": "there"}}),
    Case("timeout", {}, failed=("slow",)),
    Case("merge_keys", {"first": {"said": "one three"}, "second": {"said": "one two"}}),
]  # fmt: skip


# One after the other: what one makes the next reads.
DATA_CASES = [
    Case("make_data", {"make": {"test-one": "test-one:1", "test-other": "test-other:1"}}, failed=("fail",)),
    Case("datasets", {
        "job-1": {"test-two": "test-two:1", "echo2": "ENV 9 test"}, "job-2": {"test-three": "test-three:1", "lines": "4"},
    }, HUSH),
    Case("datasets", {
        "job-1": {"test-two": "test-two:2", "echo2": "ENV 9 test"}, "job-2": {"test-three": "test-three:2", "lines": "4"},
    }, (*HUSH, "--input", "data=test-one:1")),
    Case("dataset_versions", {"read": {"said": "o b ", "writable": "1"}}, ("--input", "data=test-other")),
    Case("model", {
        "TrainModel": {"trained": "trained:1"}, "UploadModel": {"model-id": "my-model:1"}, "DeployModel": {"said": "model my-model:1"},
    }),
]  # fmt: skip


@pytest.fixture(autouse=True)
def engine(engine_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs here and the agents that are started here find the tests' engine."""
    monkeypatch.setenv("DOCKER_HOST", engine_address)


class Around:
    """What the files speak of: a repository with two commits, behind a password too, and a bucket."""

    def __init__(self, repository: Repository, host: GitHost, s3: S3) -> None:
        self.first = repository.head
        repository.commit({"train.py": "newer"})
        self.repository, self.host, self.s3 = repository, host, s3
        host.credentials = "ada:s3cr3t"
        httpx.put(f"{s3.endpoint}/gradient").raise_for_status()
        for key in ("data/a.txt", "data/deep/b.txt", "database/c.txt"):
            httpx.put(f"{s3.endpoint}/gradient/{key}", content=f"of {key}\n").raise_for_status()

    def place(self, case: Case) -> Path:
        """The file, in the repository's working tree, with what it speaks of."""
        text = (FLOWS / f"{case.file}.yaml").read_text()
        for word, instead in (
            ("REPOSITORY", self.repository.url), ("FIRST", self.first), ("HOST", self.host.url),
            ("BUCKET", "gradient"), ("ENDPOINT", self.s3.endpoint),
        ):  # fmt: skip
            text = text.replace(word, instead)
        file = self.repository.folder / f"{case.file}.yaml"
        file.write_text(text)
        given = {"inputs": {"echo": {"value": "from a file"}, "other": {"value": 5}}}
        (self.repository.folder / "inputs.json").write_text(json.dumps(given))
        return file

    def options(self, case: Case) -> tuple[str, ...]:
        inputs = str(self.repository.folder / "inputs.json")
        return tuple(inputs if option == "INPUTS" else option for option in case.options)


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    root = tmp_path_factory.mktemp("git")
    repository = make_repository(root / "acme" / "code", {"train.py": "print(1)"})
    with serve_git(root) as host, serve_s3() as s3:
        yield Around(repository, host, s3)


def run_here(around: Around, file: Path, *options: str, state: Path) -> Done:
    environment = {"AGENT_STATE": str(state / "state"), "TMPDIR": str(state)}
    return run_agent(
        "flow",
        "run",
        file,
        "--format",
        "json",
        *options,
        cwd=around.repository.folder,
        environment=environment,
    )


def check(case: Case, jobs: Mapping[str, Mapping[str, Any]], log: str) -> None:
    outputs = {name: job["outputs"] for name, job in jobs.items() if job["outputs"]}
    assert outputs == case.outputs, log
    ended = {name: job["conclusion"] for name, job in jobs.items()}
    assert {name for name, how in ended.items() if how not in ("success", "skipped")} == set(case.failed), log
    assert {name for name, how in ended.items() if how == "skipped"} == set(case.skipped), log
    for word in case.unsaid:
        assert word not in log


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_runs_here(case: Case, around: Around, tmp_path: Path) -> None:
    done = run_here(around, around.place(case), *around.options(case), state=tmp_path)
    records = done.records()
    assert records, done.err
    check(case, records[-1]["jobs"], done.out)
    assert done.code == (1 if case.failed else 0)


def test_datasets_of_one_run_are_read_by_the_next_here(around: Around, tmp_path: Path) -> None:
    for case in DATA_CASES:
        done = run_here(around, around.place(case), *case.options, state=tmp_path)
        assert done.out, done.err
        check(case, done.records()[-1]["jobs"], done.out)
    file = around.place(Case("dataset_versions", {}))
    done = run_here(around, file, "--input", "data=test-nothing", state=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "'test-nothing'" in done.err
    assert f"{file.name}:7:14" in done.err


def test_they_run_through_a_server(lab: Lab, around: Around) -> None:
    start(lab)
    code = ("--source", "snapshot")
    for at in range(0, len(CASES), AT_ONCE):
        cases = CASES[at : at + AT_ONCE]
        runs = [lab.submit(around.place(case), *code, *around.options(case)) for case in cases]
        for case, run in zip(cases, runs, strict=True):
            check_run(lab, case, run)


def test_datasets_of_one_run_are_read_by_the_next_through_a_server(lab: Lab, around: Around) -> None:
    start(lab)
    for case in DATA_CASES:
        run = lab.submit(around.place(case), "--source", "none", *case.options)
        check_run(lab, case, run)
    made = lab.get("dataset", "lineage", "--run", str(run))
    assert {(use["direction"], use["ref"]) for use in made} == {
        ("made", "trained:1"), ("read", "trained:1"), ("made", "my-model:1"),
    }  # fmt: skip
    listed = lab.agent("dataset", "list").out
    assert any("my-model" in line and "model (Tensorflow)" in line for line in listed.splitlines())
    refused = lab.agent("flow", "submit", around.place(DATA_CASES[3]), "--input", "data=test-nothing")
    assert refused.code == 2
    assert "dataset 'test-nothing'" in refused.err
    assert len(lab.get("run", "list")) == len(DATA_CASES)


def test_a_named_workflow_is_run_again_by_its_own_text_or_another(lab: Lab, around: Around) -> None:
    start(lab)
    case = Case("inputs_at_start", {})
    file, other = around.place(case), around.repository.folder / "other.yaml"
    other.write_text(file.read_text().replace("|$(cat", "#$(cat"))
    assert lab.agent("flow", "store", file, "--name", "say").code == 0
    given = ("--input-file", str(around.repository.folder / "inputs.json"))
    for more, said in (
        (("--input", "echo=hi"), "hi|as written"),
        (given, "from a file|5"),
        ((*given, "--spec", str(other)), "from a file#5"),
        ((*given, "--spec", str(other), "--make-default"), "from a file#5"),
        (given, "from a file#5"),
    ):
        run = lab.get("flow", "start", "say", *more)["run"]
        (job,) = lab.wait_for_run(run)["jobs"]
        assert job["outputs"] == {"said": said}, lab.lines(run, "say")
        assert lab.run(run)["file"] == "say"
    refused = lab.agent("flow", "start", "say")
    assert refused.code == 2
    assert "Input echo is required, but not provided." in refused.err


@pytest.mark.parametrize("case", [case for case in CASES if case.file in ("strings", "volumes")], ids=str)
def test_what_is_converted_gives_the_same(case: Case, around: Around, tmp_path: Path) -> None:
    converted = run_agent("flow", "convert", around.place(case), "--to", "github")
    assert converted.code == 0, converted.out
    file = around.repository.folder / f"{case.file}.yml"
    file.write_text(converted.out)
    done = run_here(around, file, *around.options(case), state=tmp_path)
    check(case, done.records()[-1]["jobs"], done.out)


def start(lab: Lab) -> None:
    allowed = {"AGENT_CONTAINER_ALLOW": "local-image:flow-test/*"}
    lab.add_agent("box", "--max-jobs", str(AT_ONCE), environment=allowed)


def check_run(lab: Lab, case: Case, run: int) -> None:
    done = lab.wait_for_run(run)
    jobs = {job["key"]: job for job in done["jobs"]}
    log = "\n".join(line for job in jobs if jobs[job]["started"] for line in lab.lines(run, job))
    check(case, jobs, log)
