"""States of runs as released versions stored them are read, and go on."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from support.flows import Run, calling

from agent.plan import RunState
from agent.server.runs import plan_states

RELEASED = sorted((Path(__file__).parent / "released").glob("run-state-*.json"))
FLOW = """
on:
  workflow_dispatch:
    inputs:
      epochs: {type: number, default: 3}
jobs:
  train:
    runs-on: gpu
    strategy: {matrix: {v: [1, 2]}}
    outputs: {model: "${{ steps.fit.outputs.model }}"}
    steps: [{id: fit, run: "./train ${{ inputs.epochs }} ${{ matrix.v }} ${{ github.ref }}"}]
  ship:
    needs: train
    uses: ./inner.yml
    with: {word: "${{ needs.train.result }}"}
    secrets: {key: "${{ secrets.DEPLOY_KEY }}"}
"""
INNER = """
on:
  workflow_call:
    inputs:
      word: {type: string}
    secrets:
      key:
jobs:
  push: {runs-on: cpu, steps: [{run: "echo ${{ inputs.word }} ${{ secrets.key }}"}]}
"""


@pytest.fixture(params=RELEASED, ids=lambda file: file.stem)
def text(request: pytest.FixtureRequest) -> str:
    """The state of a run in the middle of a call, as a released version has stored it."""
    return request.param.read_text(encoding="utf-8")


def go_on(state: RunState) -> Run:
    """The run, as if this server had begun it."""
    run = Run(calling(FLOW, inner=INNER))
    run.state, run.decisions = state, []
    return run


def test_a_stored_run_keeps_its_contexts(text: str) -> None:
    state = plan_states.parse(text, where="run 7")
    github: Any = state.request.contexts["github"]
    assert (github["ref"], github["event"]["inputs"]) == ("refs/heads/main", {"epochs": "5"})
    assert plan_states.parse(plan_states.dump(state), where="run 7") == state


def test_a_stored_run_ends_and_runs_again_with_the_contexts_that_it_had(text: str) -> None:
    run = go_on(plan_states.parse(text, where="run 7"))
    run.finish("ship / push")
    assert run.conclusion() == "success"
    run.again(actor="bob")
    github = run.spec("train (1)").context("github")
    assert (github["actor"], github["triggering_actor"], github["run_attempt"]) == ("ada", "bob", "2")
    assert (github["job"], github["repository"]) == ("train", "acme/lab")


def test_a_stored_run_with_a_number_that_json_has_no_word_for_keeps_its_contexts_too(text: str) -> None:
    odd = json.loads(text)
    odd["request"]["inputs"]["epochs"] = math.inf
    state = plan_states.parse(json.dumps(odd), where="run 7")
    assert state.request.inputs["epochs"] == math.inf
    assert state.request.contexts["github"]["sha"] == "c" * 40
