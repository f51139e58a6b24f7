"""Work of a form that an agent does not know: nobody runs half of it, and its owner reads why."""

import json
import sqlite3

import pytest
from support.lab import Lab, wait_for


@pytest.mark.store("sqlite")  # which this test writes into itself
def test_a_job_whose_work_the_agent_does_not_know_waits_with_the_sentence_that_says_so(lab: Lab) -> None:
    lab.register("box")
    run = lab.submit(lab.write_flow("  a:\n    runs-on: self-hosted\n    steps: [{run: 'true'}]\n"))
    with sqlite3.connect(lab.data / "flow.db") as database:
        ((job, text),) = database.execute("SELECT id, spec FROM jobs").fetchall()
        spec = json.loads(text)
        del spec["steps"]
        spec["work"] = {"kind": "dance", "moves": ["one", {"two": 3}]}
        database.execute("UPDATE jobs SET spec = ? WHERE id = ?", (json.dumps(spec), job))
    lab.start_agent("box")
    sentence = "its work is 'dance', which this version of the agent does not know; upgrade the agent"
    wait_for(lambda: sentence in str(lab.run(run)), "the reason")
    (told,) = lab.run(run)["jobs"]
    assert (told["status"], told["waiting"].startswith("box refused: ")) == ("queued", True)
    assert "Traceback" not in lab.log_of("box")
