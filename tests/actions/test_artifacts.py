"""upload-artifact and download-artifact, against a server over a bad network, and without a server."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from _toolkit import http
from _toolkit.step import StepError
from support.results_service import Fault, ResultsService, make_token, serve_results

from .conftest import ACTIONS, Step


def archive_of(service: ResultsService, name: str) -> dict[str, bytes]:
    artifact = service.find(name)
    assert artifact is not None
    assert artifact.is_final
    with zipfile.ZipFile(io.BytesIO(artifact.content or b"")) as archive:
        assert archive.testzip() is None
        return {member: archive.read(member) for member in archive.namelist()}


def test_a_folder_travels_from_one_job_to_another(
    step: Step, service: ResultsService, tmp_path: Path
) -> None:
    step.put("out/model.bin", b"\0\1\2")
    step.put("out/deep/er/metrics.json", '{"accuracy": 1}')
    step.put("out/run.sh", "#!/bin/sh").chmod(0o755)
    done = step.run("upload-artifact", name="model", path="out")
    assert done.code == 0, done.log
    artifact = service.find("model")
    assert artifact is not None
    assert done.outputs == {
        "artifact-id": "1",
        "artifact-digest": hashlib.sha256(artifact.content or b"").hexdigest(),
    }
    other = Step(tmp_path / "other", service.url, service.token)
    done = other.run("download-artifact", name="model", path="in")
    assert done.code == 0, done.log
    assert done.outputs == {"download-path": str(other.workspace / "in")}
    assert other.tree("in") == {
        "deep/er/metrics.json": '{"accuracy": 1}',
        "model.bin": "\0\1\2",
        "run.sh": "#!/bin/sh",
    }
    assert os.access(other.workspace / "in" / "run.sh", os.X_OK)
    assert not os.access(other.workspace / "in" / "model.bin", os.X_OK)
    assert sorted(path.name for path in other.workspace.iterdir()) == ["in"]  # nothing temporary is left


def test_names_that_are_no_utf8_modes_and_links_travel_in_zips_too(
    step: Step, local_step: Step, tmp_path: Path
) -> None:
    """In a local run, and with a server that does not take trees by content."""
    for one in (step, local_step):
        one.put("out/private", "x").chmod(0o600)
        one.put("out/run.sh", "x").chmod(0o750)
        one.put("out/żółw", "x")
        Path(os.fsdecode(os.fsencode(one.workspace) + b"/out/caf\xe9.txt")).write_text("latin")
        (one.workspace / "out" / "link").symlink_to("run.sh")
        (one.workspace / "out" / "empty").mkdir()
        assert one.run("upload-artifact", name="all", path="out").code == 0
        done = one.run("download-artifact", name="all", path="in")
        assert done.code == 0, done.log
        out, into = one.workspace / "out", one.workspace / "in"
        assert sorted(path.name for path in into.iterdir()) == sorted(path.name for path in out.iterdir())
        for path in out.iterdir():
            came = into / path.name
            assert came.is_symlink() == path.is_symlink()
            assert came.stat().st_mode == path.stat().st_mode, path.name
            assert came.is_dir() or came.read_bytes() == path.read_bytes()


def test_a_name_that_can_not_be_unpacked_is_told_before_anything_is_sent(
    step: Step, service: ResultsService
) -> None:
    step.put("out/a\nb")
    error = step.run("upload-artifact", path="out").error
    assert "has control characters; nothing was uploaded; rename it" in error
    assert not service.requests


def test_the_same_works_without_a_server(local_step: Step) -> None:
    local_step.put("out/a.txt", "one")
    for expected in ("one", "two"):
        local_step.put("out/a.txt", expected)
        done = local_step.run("upload-artifact", name="data", path="out", overwrite="true")
        assert done.code == 0, done.log
        assert len(done.outputs["artifact-digest"]) == 64
        done = local_step.run("download-artifact", name="data", path="in")
        assert done.code == 0, done.log
        assert local_step.tree("in") == {"a.txt": expected}
    done = local_step.run("upload-artifact", name="data", path="out")
    assert "has an artifact named 'data' already" in done.error
    assert [path.name for path in Path(local_step.environment["FLOW_ARTIFACTS"]).iterdir()] == ["data.zip"]


def test_of_two_local_jobs_that_upload_one_name_one_is_told(local_step: Step, tmp_path: Path) -> None:
    steps = [local_step, *(Step(tmp_path / str(number)) for number in range(3))]
    for number, step in enumerate(steps):
        step.environment["FLOW_ARTIFACTS"] = local_step.environment["FLOW_ARTIFACTS"]
        step.put("a.txt", str(number))
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda step: step.run("upload-artifact", path="a.txt"), steps))
    assert sorted(one.code for one in done) == [0, 1, 1, 1]


def test_without_a_job_around_them_they_say_so(tmp_path: Path) -> None:
    step = Step(tmp_path / "bare")
    step.put("a.txt")
    for done in (step.run("upload-artifact", path="a.txt"), step.run("download-artifact", name="x")):
        assert done.code == 1
        assert "nowhere to keep artifacts" in done.error


def test_a_token_that_is_no_jobs_is_an_error(step: Step) -> None:
    step.put("a.txt")
    for token in ("", "x", "a.b.c", make_token().replace(".", ".e30.", 1)):
        step.environment["ACTIONS_RUNTIME_TOKEN"] = token
        assert "is not a job's token" in step.run("upload-artifact", path="a.txt").error
    step.environment["ACTIONS_RUNTIME_TOKEN"] = make_token() + "x"
    assert "invalid token" in step.run("upload-artifact", path="a.txt").error


def test_a_name_that_is_taken_is_an_error_unless_it_may_be_overwritten(
    step: Step, service: ResultsService
) -> None:
    step.put("a.txt", "new")
    service.add("artifact", b"old")
    done = step.run("upload-artifact", path="a.txt")
    assert "overwrite: true" in done.error
    assert step.run("upload-artifact", path="a.txt", overwrite="true").code == 0
    assert archive_of(service, "artifact") == {"a.txt": b"new"}
    assert step.run("upload-artifact", name="fresh", path="a.txt", overwrite="true").code == 0


@pytest.mark.parametrize(
    "name", ['a"b', "a:b", "a<b", "a|b", "a*b", "a?b", "a\rb", "a\nb", "a\\b", "a/b", "..", "a" * 201]
)
def test_a_name_that_would_do_harm_is_refused(name: str, step: Step, service: ResultsService) -> None:
    step.put("a.txt")
    done = step.run("upload-artifact", name=name, path="a.txt")
    assert done.code == 1
    assert "the artifact's name" in done.error
    assert not service.requests


def test_many_blocks_arrive_in_their_order_over_a_bad_network(step: Step, service: ResultsService) -> None:
    content = os.urandom(20 << 20)
    step.put("big.bin", content)
    service.faults = [
        Fault("CreateArtifact", status=503),
        Fault("comp=block&", status=500),
        Fault("comp=block&", drop_after=0),
        Fault("comp=block&", status=429, headers=(("Retry-After", "0"),)),
        Fault("comp=blocklist", status=502),
        Fault("FinalizeArtifact", drop_after=0),
    ]
    done = step.run("upload-artifact", path="big.bin", compression_level=0)
    assert done.code == 0, done.log
    assert archive_of(service, "artifact") == {"big.bin": content}
    assert all(fault.times == 0 for fault in service.faults)
    blocks = [line for line in service.requests if "comp=block&" in line]
    assert (len(blocks), len(set(blocks))) == (6, 3)  # only the three that failed were sent again
    assert done.log.count("trying again") == 6
    assert "sig=" not in done.log


def test_a_download_goes_on_where_it_broke_off(step: Step, service: ResultsService) -> None:
    content = os.urandom(3 << 20)
    step.put("big.bin", content)
    assert step.run("upload-artifact", path="big.bin").code == 0
    (step.workspace / "big.bin").unlink()
    service.faults = [
        Fault("ListArtifacts", status=503),
        Fault("GET /blob", status=503),
        Fault("GET /blob", drop_after=1 << 20),
        Fault("GET /blob", drop_after=1 << 20),
    ]
    done = step.run("download-artifact", name="artifact")
    assert done.code == 0, done.log
    assert (step.workspace / "big.bin").read_bytes() == content
    assert "sig=" not in done.log


def test_a_download_from_a_host_without_ranges_begins_again(step: Step, service: ResultsService) -> None:
    step.put("a.txt", "hello")
    assert step.run("upload-artifact", path="a.txt", compression_level=0).code == 0
    service.knows_ranges = False
    service.faults = [Fault("GET /blob", drop_after=10)]
    assert step.run("download-artifact", name="artifact", path="in").code == 0
    assert step.tree("in") == {"a.txt": "hello"}


def test_what_came_otherwise_than_it_was_sent_is_refused(step: Step, service: ResultsService) -> None:
    step.put("a.txt")
    assert step.run("upload-artifact", path="a.txt").code == 0
    service.change = lambda content: content[:-1] + b"!"
    done = step.run("download-artifact", name="artifact", path="in")
    assert "nothing was unpacked" in done.error
    assert not (step.workspace / "in").exists()


def test_a_server_that_is_gone_is_given_up_after_the_last_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DELAYS_SECONDS", (0.0, 0.0))
    with serve_results() as service:
        url = service.url
    with pytest.raises(StepError, match="can't be reached"):
        http.request("GET", f"{url}/x?sig=hunter2")
    with serve_results() as service:
        service.faults = [Fault("GET", times=3, status=500)]
        service.add("a", b"content")
        with pytest.raises(http.HttpError, match="answered 500"):
            http.request("GET", f"{service.url}/blob/1?sig=a%2Bb")
        assert len(service.requests) == 3
    with pytest.raises(StepError, match="no http address"):
        http.request("GET", "file:///etc/passwd")


def test_a_server_that_is_away_for_minutes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(http.time, "sleep", pauses.append)
    with serve_results() as service:
        service.faults = [Fault("GET", times=40, status=503)]
        service.add("a", b"content")
        assert http.request("GET", f"{service.url}/blob/1?sig=x").body == b"content"
    assert sum(pauses) > 150
    assert max(pauses) < 20, "who comes back is found soon"


def test_a_server_that_refuses_is_quoted(step: Step, service: ResultsService) -> None:
    step.put("a.txt")
    service.faults = [Fault("CreateArtifact", status=403)]
    done = step.run("upload-artifact", path="a.txt")
    assert done.code == 1
    assert "CreateArtifact" in done.error
    assert "403" in done.error
    assert len(service.requests) == 1  # asking again would not help


def test_an_artifact_that_is_not_there_is_answered_with_those_that_are(
    step: Step, service: ResultsService
) -> None:
    assert "this run has: none" in step.run("download-artifact", name="model").error
    service.add("metrics", b"")
    done = step.run("download-artifact", name="model")
    assert "Artifact not found for name: model" in done.error
    assert "this run has: metrics" in done.error


def test_without_a_name_each_artifact_gets_a_folder_or_all_share_one(
    step: Step, service: ResultsService
) -> None:
    for name in ("model-a", "model-b", "log"):
        step.put(f"{name}.txt", name)
        assert step.run("upload-artifact", name=name, path=f"{name}.txt").code == 0
    assert step.run("download-artifact", path="all").code == 0
    assert step.tree("all") == {f"{name}/{name}.txt": name for name in ("log", "model-a", "model-b")}
    assert step.run("download-artifact", path="some", pattern="model-*", merge_multiple="true").code == 0
    assert step.tree("some") == {"model-a.txt": "model-a", "model-b.txt": "model-b"}
    assert step.run("download-artifact", path="none", pattern="x*").code == 0
    assert not (step.workspace / "none").exists()


def test_both_spellings_of_the_servers_answers_are_read(step: Step, service: ResultsService) -> None:
    step.put("a.txt")
    assert step.run("upload-artifact", path="a.txt").code == 0

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(part.capitalize() for part in rest)

    service.spelling = camel
    assert step.run("download-artifact", name="artifact", path="in").code == 0


def test_retention_is_asked_for(step: Step, service: ResultsService) -> None:
    step.put("a.txt")
    assert step.run("upload-artifact", path="a.txt", retention_days=3).code == 0
    artifact = service.find("artifact")
    assert artifact is not None
    assert artifact.expires_at.endswith("Z")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"path": "a.txt", "compression_level": "10"}, "whole number from 0 to 9"),
        ({"path": "a.txt", "retention_days": "-1"}, "whole number"),
        ({"path": "a.txt", "overwrite": "yes"}, "true or false"),
        ({"path": "a.txt", "if_no_files_found": "explode"}, "warn, error or ignore"),
        ({}, "names nothing"),
        ({"path": "!a.txt"}, "names nothing"),
    ],
)
def test_wrong_inputs_are_said(inputs: dict[str, str], message: str, step: Step) -> None:
    step.put("a.txt")
    assert message in step.run("upload-artifact", **inputs).error


def test_no_files_is_a_warning_an_error_or_nothing(step: Step, service: ResultsService) -> None:
    words = "No files were found with the provided path: absent"
    done = step.run("upload-artifact", path="absent")
    assert done.code == 0
    assert f"::warning::{words}" in done.log
    assert words in step.run("upload-artifact", path="absent", if_no_files_found="error").error
    done = step.run("upload-artifact", path="absent", if_no_files_found="ignore")
    assert done.code == 0
    assert "::warning::" not in done.log
    assert not service.requests


def test_a_link_out_of_the_workspace_is_not_followed(
    step: Step, service: ResultsService, tmp_path: Path
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("s3cret")
    step.put("out/a.txt", "fine")
    step.put("inside.txt", "inside")
    (step.workspace / "out" / "file").symlink_to(tmp_path / "secret" / "key")
    (step.workspace / "out" / "folder").symlink_to(tmp_path / "secret")
    (step.workspace / "out" / "inside").symlink_to("../inside.txt")
    (step.workspace / "out" / "loop").symlink_to(".")
    (step.workspace / "out" / "gone").symlink_to("absent")
    os.mkfifo(step.workspace / "out" / "pipe")
    done = step.run("upload-artifact", path="out\nout/folder/key")
    assert done.code == 0, done.log
    assert archive_of(service, "artifact") == {"a.txt": b"fine", "inside": b"inside"}
    assert done.log.count("leads out of the workspace") == 2
    assert "'" + str(step.workspace / "out" / "pipe") + "' is no file" in done.log


def test_two_names_that_differ_by_case_only_are_not_uploaded(step: Step, service: ResultsService) -> None:
    step.put("out/Readme")
    step.put("out/README")
    assert "differ by case only" in step.run("upload-artifact", path="out").error
    assert not service.requests


def test_an_action_leaves_nothing_in_its_own_folder(tmp_path: Path) -> None:
    shutil.copytree(ACTIONS, tmp_path / "actions", ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(tmp_path.rglob("*"))
    for action in ("checkout", "upload-artifact", "download-artifact"):
        main = tmp_path / "actions" / action / "main.py"
        done = subprocess.run(
            [sys.executable, "-I", main], env={}, cwd=tmp_path, capture_output=True, check=False
        )
        assert done.stdout.startswith(b"::error::")
    assert sorted(tmp_path.rglob("*")) == before
