"""Names that are one flow's in its project: of a repository's files, and of what is stored."""

from server.triggers.lab import Lab
from server.vocabulary import wait_for

FLOW = "name: {}\njobs: {{a: {{steps: [{{action: o/r@v1}}]}}}}\n"


def problems(lab: Lab) -> dict[str, list[str]]:
    return {flow["name"]: flow["problems"] for flow in lab.server.api.get("/flows").json()["flows"]}


def test_of_two_files_with_one_name_the_second_is_listed_with_the_problem(lab: Lab) -> None:
    same = FLOW.format("Average")
    lab.push(
        {
            ".flows/a.yml": same,
            ".flows/b.yaml": same,
            ".flows/c.json": '{"name": "C", "jobs": {"a": {"steps": [{"action": "o/r"}]}}}',
        }
    )
    found = wait_for(lambda: ".flows/b.yaml" in (known := problems(lab)) and known, "the flows are known")
    assert found[".flows/a.yml"] == []
    assert found[".flows/c.json"] == []
    assert found[".flows/b.yaml"] == [
        "the project has a flow 'Average' already: .flows/a.yml (.flows/b.yaml); its `name` is one flow's; give this one another"
    ]
    answer = lab.server.api.put("/flows/stored", json={"text": same})
    assert answer.status_code == 422, answer.text
    assert "the project has a flow 'Average' already: .flows/a.yml" in answer.text
    assert lab.server.api.put("/flows/stored", json={"text": FLOW.format("Other")}).status_code == 200
