"""Flows are found by the table of folders; what lies beside them is no flow."""

import pytest

from agent.flow.folders import find_dialect, find_folder, is_flow_file, name_files


@pytest.mark.parametrize(
    "path", [".github/workflows/a.yml", ".flows/a.yaml", ".dstack/workflows.yaml", ".dstack/workflows/a.yml", "own/a.yml", ".flows/a.json"]
)  # fmt: skip
def test_a_file_of_the_table_is_a_flow(path: str) -> None:
    assert is_flow_file(path)


@pytest.mark.parametrize(
    "path", [".dstack/variables.yaml", ".dstack/providers.yaml", ".dstack/a.yml", ".flows/a.txt", ".flows/yml", ".github/workflows/a.json"]
)  # fmt: skip
def test_what_lies_beside_flows_is_none(path: str) -> None:
    assert not is_flow_file(path)


@pytest.mark.parametrize(
    ("file", "dialect"),
    [
        (".dstack/workflows.yaml", "dstack"), ("lab/.dstack/workflows/x.yml", "dstack"), (".dstack\\workflows.yml", "dstack"),
        (".dstack/variables.yaml", ""), ("x.dstack/workflows.yml", ""), (".github/workflows/x.yml", ""), ("x.yml", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_place_tells_the_language_where_the_table_says_so(file: str, dialect: str) -> None:
    assert find_dialect(file) == dialect


def test_a_folder_is_the_tables_in_whatever_repository() -> None:
    found = find_folder("/home/ada/lab/.github/workflows")
    assert found is not None
    assert found.path == ".github/workflows"
    assert find_folder("/home/ada/lab/my.github/workflows") is None
    assert find_folder("") is None


def test_a_name_stands_for_the_file_and_for_those_of_that_name_in_the_folders() -> None:
    names = name_files("train")
    assert names[:3] == ("train", "train.yml", "train.yaml")
    assert {".github/workflows/train.yml", ".flows/train.yaml"} <= set(names)


def test_no_name_is_a_file_that_lies_beside_flows() -> None:
    assert ".dstack/variables.yaml" not in name_files("variables")
    assert ".dstack/workflows/variables.yaml" in name_files("variables")
