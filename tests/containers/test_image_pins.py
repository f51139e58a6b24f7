"""Images held to a digest: written by `agent action lock`, heeded by jobs, demanded by the owner's policy."""

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.docker import BUSYBOX, connect
from support.jobs import run_job, script, uses
from support.lab import Done, run_agent
from support.registry import PASSWORD, USER, Registry, push

from agent.spec.outcome import Conclusion, FailureKind

ACTION = "name: boxed\nruns: {{using: docker, image: 'docker://{image}'}}\n"


@pytest.fixture
def flow(tmp_path: Path, open_registry: Registry) -> Path:
    """A flow whose job, service, step and action use the image; another image is only known when it runs."""
    push(open_registry.host, open_registry.engine)
    folder = tmp_path / "flows"
    (folder / "boxed").mkdir(parents=True)
    (folder / "boxed" / "action.yml").write_text(ACTION.format(image=open_registry.image))
    file = folder / "train.yml"
    file.write_text(
        f"""on: push
jobs:
  a:
    runs-on: self-hosted
    container: {{image: '{open_registry.image}'}}
    services: {{db: {{image: '${{{{ vars.DB }}}}'}}}}
    steps:
      - uses: docker://{open_registry.image}
      - uses: ./boxed
"""
    )
    return file


def action(registry: Registry, *words: str | Path, **environment: str) -> Done:
    folder = next(word for word in words if isinstance(word, Path)).parent
    base = {
        "AGENT_STATE": str(folder.parent / "state"),
        "DOCKER_HOST": registry.engine,
        "TMPDIR": str(folder.parent),
    }
    return run_agent(
        "action", *words, "--workspace", str(folder), cwd=folder, environment={**base, **environment}
    )


def pinned(registry: Registry, digest: str) -> str:
    return f'[images."{registry.image}"]\ndigest = "{digest}"\n'


def make_other_image(engine: str) -> str:
    """An image that is another than BUSYBOX."""
    with contextlib.closing(connect(engine)) as client:
        container = client.create_container(BUSYBOX, "true")["Id"]
        try:
            client.commit(container, "flow-test/other", "1", message="another")
        finally:
            client.remove_container(container)
    return "flow-test/other:1"


def test_lock_verify_and_update_know_images(flow: Path, open_registry: Registry) -> None:
    done = action(open_registry, "lock", flow)
    assert done.code == 0, done.err
    assert "is known when the job runs: it is not pinned" in done.err
    lock = flow.with_name("flow.lock")
    assert lock.read_text().endswith(pinned(open_registry, open_registry.digest))
    assert action(open_registry, "verify", flow).code == 0

    moved = push(open_registry.host, open_registry.engine, make_other_image(open_registry.engine))
    assert moved != open_registry.digest
    assert action(open_registry, "lock", flow).code == 0
    assert open_registry.digest in lock.read_text()  # what is pinned stays
    verified = action(open_registry, "verify", flow)
    assert (verified.code, f"and is {moved} now" in verified.out) == (1, True)
    assert action(open_registry, "verify", "--offline", flow).code == 0

    assert action(open_registry, "update", "--lock", lock, open_registry.image).code == 0
    assert moved in lock.read_text()
    assert action(open_registry, "verify", flow).code == 0


def test_an_image_that_nobody_pinned_or_uses_is_a_difference(flow: Path, open_registry: Registry) -> None:
    flow.with_name("flow.lock").write_text(
        f'version = 1\nflows = ["train.yml"]\n[images."gone:1"]\ndigest = "sha256:{"a" * 64}"\n'
    )
    done = action(open_registry, "verify", "--offline", flow)
    assert f"the image '{open_registry.image}' is not pinned" in done.out
    assert "the image 'gone:1' is pinned, but nothing uses it" in done.out


def test_what_a_dockerfile_is_built_from_is_locked_and_what_is_open_is_said(
    flow: Path, open_registry: Registry
) -> None:
    boxed = flow.parent / "boxed"
    (boxed / "action.yml").write_text("name: boxed\nruns: {using: docker, image: Dockerfile}\n")
    (boxed / "Dockerfile").write_text(
        f"ARG TAG=1\nFROM {open_registry.host}/tools/box:$TAG AS one\nFROM one\nCOPY --from=$LATER /x /x\n"
    )
    flow.write_text("on: push\njobs: {a: {runs-on: x, steps: [{uses: ./boxed}]}}\n")
    done = action(open_registry, "lock", flow)
    assert done.code == 0, done.err
    assert flow.with_name("flow.lock").read_text().endswith(pinned(open_registry, open_registry.digest))
    assert (
        "./boxed: Dockerfile:4: the image '$LATER' is known when the job runs: it is not pinned" in done.err
    )
    assert action(open_registry, "verify", flow).code == 0


def test_a_closed_registry_is_asked_with_the_machines_login(
    tmp_path: Path, closed_registry: Registry
) -> None:
    file = tmp_path / "train.yml"
    file.write_text(
        "on: push\njobs: {a: {runs-on: x, steps: [{uses: 'docker://" + closed_registry.image + "'}]}}\n"
    )
    refused = action(closed_registry, "lock", file, DOCKER_CONFIG=str(tmp_path))
    assert (refused.code, "can't be pinned" in refused.err) == (1, True), refused.err
    assert not file.with_name("flow.lock").exists()

    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {closed_registry.host: {"auth": login}}}))
    done = action(closed_registry, "lock", file, DOCKER_CONFIG=str(tmp_path))
    assert done.code == 0, done.err
    assert closed_registry.digest in file.with_name("flow.lock").read_text()
    assert PASSWORD not in done.out + done.err


def run(
    tmp_path: Path, registry: Registry, pins: dict[str, str] | None, policy: str = "", **fields: Any
) -> Any:
    file = tmp_path / "policy.toml"
    file.write_text(policy)
    settings = {"docker_host": registry.engine, "policy_file": file, "server_url": "http://127.0.0.1:1"}
    settings |= {"workspace": fields.pop("workspace", None)}
    steps = fields.pop("steps", (script("one", "echo here"),))
    return run_job(tmp_path, *steps, pins=pins, settings=settings, **fields)


def test_a_pinned_image_is_that_one_though_its_tag_has_moved(tmp_path: Path, open_registry: Registry) -> None:
    push(open_registry.host, open_registry.engine)
    push(open_registry.host, open_registry.engine, make_other_image(open_registry.engine))
    pins = {f"docker://{open_registry.image}": open_registry.digest}
    report = run(
        tmp_path,
        open_registry,
        pins,
        container=open_registry.image,
        services={"db": {"image": open_registry.image, "command": "sleep 3600"}},
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert report.log().count(f"Pulling {open_registry.host}/tools/box@{open_registry.digest}") == 2


def test_a_pin_that_the_registry_does_not_have_is_a_refusal(tmp_path: Path, open_registry: Registry) -> None:
    pins = {f"docker://{open_registry.image}": f"sha256:{'a' * 64}"}
    report = run(tmp_path, open_registry, pins, steps=(uses("one", f"docker://{open_registry.image}"),))
    assert report.result.failure_kind is FailureKind.IMAGE, report.log()
    assert "a" * 64 in report.result.message


def test_a_pin_that_is_no_digest_is_refused(tmp_path: Path, open_registry: Registry) -> None:
    report = run(
        tmp_path, open_registry, {f"docker://{open_registry.image}": "latest"}, container=open_registry.image
    )
    assert "is not a digest" in report.result.message


def test_what_the_lock_lacks_is_used_with_a_warning(tmp_path: Path, open_registry: Registry) -> None:
    report = run(tmp_path, open_registry, {}, container=open_registry.image)
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert f"'docker://{open_registry.image}' is not in flow.lock" in report.log()


def test_the_owner_may_want_a_digest(tmp_path: Path, open_registry: Registry) -> None:
    strict = "[images]\nrequire_pins = true\n"
    for fields in (
        {"container": open_registry.image},
        {"services": {"db": open_registry.image}},
        {"steps": (uses("one", f"docker://{open_registry.image}"),)},
    ):
        report = run(tmp_path, open_registry, None, strict, **fields)
        assert report.conclusion is Conclusion.FAILURE
        assert "[images] require_pins" in report.result.message, report.result.message
    pins = {f"docker://{open_registry.image}": open_registry.digest}
    assert (
        run(tmp_path, open_registry, pins, strict, container=open_registry.image).conclusion
        is Conclusion.SUCCESS
    )


def test_a_dockerfile_is_built_from_the_pinned_digest_though_the_tag_has_moved(
    tmp_path: Path, open_registry: Registry
) -> None:
    push(open_registry.host, open_registry.engine, make_other_image(open_registry.engine))
    open_registry.forget()
    boxed = tmp_path / "place" / "boxed"
    boxed.mkdir(parents=True)
    (boxed / "action.yml").write_text("name: boxed\nruns: {using: docker, image: Dockerfile}\n")
    (boxed / "Dockerfile").write_text(f'FROM {open_registry.image}\nRUN echo built\nENTRYPOINT ["true"]\n')
    steps = (uses("one", "./boxed"),)
    pins = {f"docker://{open_registry.image}": open_registry.digest}
    report = run(tmp_path, open_registry, pins, steps=steps, workspace=tmp_path / "place")
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert f"FROM {open_registry.host}/tools/box@{open_registry.digest}" in report.log(), report.log()
    lacking = run(tmp_path, open_registry, {}, steps=steps, workspace=tmp_path / "place")
    assert f"'docker://{open_registry.image}' is not in flow.lock" in lacking.log()


def test_a_dockerfile_is_built_from_a_private_image_with_the_machines_login(
    tmp_path: Path, closed_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {closed_registry.host: {"auth": login}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    closed_registry.forget()
    boxed = tmp_path / "place" / "boxed"
    boxed.mkdir(parents=True)
    (boxed / "action.yml").write_text("name: boxed\nruns: {using: docker, image: Dockerfile}\n")
    (boxed / "Dockerfile").write_text(f'FROM {closed_registry.image}\nENTRYPOINT ["echo", "private"]\n')
    steps = (uses("one", "./boxed"),)
    report = run(tmp_path, closed_registry, None, steps=steps, workspace=tmp_path / "place")
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert "private" in report.log().splitlines()
