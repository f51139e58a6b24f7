"""Specifications of jobs as released versions wrote them are read, and written in the same form."""

import json
from pathlib import Path

import pytest

from agent import codec
from agent.spec.job import JobSpec

RELEASED = sorted((Path(__file__).parent / "released").glob("job-spec-*.json"))


@pytest.fixture(params=RELEASED, ids=lambda file: file.stem)
def text(request: pytest.FixtureRequest) -> str:
    """A specification that a released version has stored or sent."""
    return request.param.read_text(encoding="utf-8")


def test_a_stored_specification_keeps_all_of_its_contexts(text: str) -> None:
    spec = codec.parse(JobSpec, text)
    assert (spec.context("github")["job"], spec.context("github")["ref"]) == ("push", "refs/heads/main")
    assert spec.context("inputs") == {"word": "success"}
    assert spec.context("vars") == {"STAGE": "test"}
    assert spec.context("job")["workflow_file_path"] == "inner.yml"
    assert spec.callers[0].contexts["needs"]["train"] == {"result": "success", "outputs": {"model": "m"}}


def test_a_context_is_written_as_agents_of_released_versions_read_it(text: str) -> None:
    written = json.loads(codec.dump(codec.parse(JobSpec, text)))
    old = json.loads(text)
    assert (written["contexts"], written["callers"]) == (old["contexts"], old["callers"])


def test_a_context_that_nobody_brought_is_empty(text: str) -> None:
    bare = {**json.loads(text), "contexts": {"event": {"id": 7}}}
    spec = codec.from_json(JobSpec, bare)
    assert (spec.context("event"), spec.context("github")) == ({"id": 7}, {})
