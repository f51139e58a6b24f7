"""Needs: who waits for whom, and who waits forever."""

import pytest

from agent.flow.graph import find_needs_problems


def problems(needs):
    return list(
        find_needs_problems(
            {job: [(need, f"{job}>{need}") for need in wanted] for job, wanted in needs.items()}
        )
    )


@pytest.mark.parametrize(
    "needs",
    [{"a": []}, {"a": [], "b": ["a"], "c": ["a", "b"]}, {"a": [], "b": ["A", "a"]}, {"b": ["a"], "a": []}],
)
def test_jobs_that_all_get_their_turn_are_fine(needs):
    assert problems(needs) == []


@pytest.mark.parametrize("needs", [{}, {"a": ["a"]}, {"a": ["b"], "b": ["a"]}])
def test_there_must_be_a_job_to_begin_with(needs):
    assert problems(needs) == [(None, "The workflow must contain at least one job with no dependencies.")]


def test_where_no_job_can_begin_unknown_needs_are_named_too():
    assert problems({"a": ["nobody"], "b": ["a"]}) == [
        (None, "The workflow must contain at least one job with no dependencies."),
        ("a>nobody", "Job 'a' depends on unknown job 'nobody'."),
    ]


def test_an_unknown_need_is_named():
    assert problems({"a": [], "b": ["x"], "c": ["b"]}) == [
        ("b>x", "Job 'b' depends on unknown job 'x'."),
        ("c>b", "Job 'c' depends on job 'b' which creates a cycle in the dependency graph."),
    ]


def test_each_need_in_a_cycle_is_named_and_those_outside_are_not():
    assert problems({"a": [], "b": ["c", "a"], "c": ["b"]}) == [
        ("b>c", "Job 'b' depends on job 'c' which creates a cycle in the dependency graph."),
        ("c>b", "Job 'c' depends on job 'b' which creates a cycle in the dependency graph."),
    ]


def test_a_long_chain_costs_no_recursion():
    chain = {f"j{number}": [f"j{number - 1}"] if number else [] for number in range(5000)}
    assert problems(chain) == []
