"""A secret is seen by the step that asked for it, and nowhere else: not at rest, not on the wire, not in any output."""

import base64
import json
from pathlib import Path
from urllib.parse import quote

from support.lab import Lab, wait_for
from support.wiretap import tap

SECRET = "c0rrect/horse+battery staple&Tr0ub4dor"


def forms(secret: str) -> list[bytes]:
    """The secret as it might have been written down."""
    raw = secret.encode()
    shifted = [base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)]
    return [
        raw,
        *shifted,
        quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
        raw.hex().encode(),
    ]


def files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]


def test_no_byte_sequence_of_a_secret_is_in_database_log_or_wire(lab: Lab) -> None:
    done = lab.agent("secret", "set", "API_KEY", given=SECRET + "\n")
    assert done.code == 0, done.err
    with tap(lab.url) as wiretap:
        lab.register("box", url=wiretap.url)
        lab.start_agent("box")
        flow = lab.write_flow(f"""
  use:
    runs-on: self-hosted
    steps:
      - env:
          API_KEY: ${{{{ secrets.API_KEY }}}}
        run: |
          echo "plain: $API_KEY"
          printf '%s' "$API_KEY" | base64
          printf 'x%s' "$API_KEY" | base64
          echo "::warning::it is $API_KEY"
          echo "it is $API_KEY" >> "$GITHUB_STEP_SUMMARY"
          printf '%s' "$API_KEY" | sha256sum > {lab.folder}/seen
          touch {lab.folder}/half
          while [ ! -e {lab.folder}/go ]; do sleep 0.05; done
""")
        run = lab.submit(flow)
        wait_for((lab.folder / "half").exists, "the step")
        # What the step itself wrote (its summary) lies in the workspace's _temp; what is ours must not hold it.
        leaks_while_running = [
            file
            for file in files(lab.state("box") / "jobs")
            if any(f in file.read_bytes() for f in forms(SECRET))
        ]
        (lab.folder / "go").touch()
        view = lab.wait_for_run(run)
        assert view["conclusion"] == "success", view
        lab.stop("box")
        heard = wiretap.everything()
    assert b"plain: ***" in heard, "the tap understood the conversation"
    lab.stop("server")

    assert (lab.folder / "seen").exists(), "the step had the secret"
    assert leaks_while_running == [], "not in the job folder or the agent's state while the job ran"
    for form in forms(SECRET):
        assert form not in heard, "not on the wire"
        for file in [*files(lab.data), *files(lab.state("box")), lab.server_log, lab.folder / "box.log"]:
            assert form not in file.read_bytes(), file

    lab.start_server()
    lines = lab.lines(run, "use")
    assert "plain: ***" in lines
    shown = json.dumps(lab.run(run)) + "\n".join(lines)
    assert not any(form.decode() in shown for form in forms(SECRET))


def test_a_job_is_handed_the_secrets_that_it_names_and_no_others(lab: Lab) -> None:
    for name in ("NAMED", "OTHER"):
        assert lab.agent("secret", "set", name, given=f"value-of-{name}").code == 0
    lab.add_agent("box")
    flow = lab.write_flow("""
  use:
    runs-on: self-hosted
    steps:
      - run: echo "named has ${#NAMED} letters, other has ${#OTHER}"
        env:
          NAMED: ${{ secrets.NAMED }}
""")
    run = lab.submit(flow)
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert "named has 14 letters, other has 0" in lab.lines(run, "use")


def test_a_secret_of_one_run_is_masked_in_each_of_its_jobs_and_is_nobody_elses(lab: Lab) -> None:
    assert lab.agent("secret", "set", "API_KEY", given="the project's own").code == 0
    lab.add_agent("box")
    (lab.folder / "key").write_text(SECRET)
    flow = lab.write_flow(f"""
  names-it:
    runs-on: self-hosted
    steps:
      - run: printf '%s' "$KEY" | cmp - {lab.folder}/key && echo "it is $KEY"
        env:
          KEY: ${{{{ secrets.API_KEY }}}}
  does-not:
    runs-on: self-hosted
    steps:
      - run: echo "found $(cat {lab.folder}/key), $(env | grep -c API_KEY) of it in the environment"
""")
    run = lab.submit(flow, "--secret", f"API_KEY={SECRET}")
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert "it is ***" in lab.lines(run, "names-it")
    assert "found ***, 0 of it in the environment" in lab.lines(run, "does-not")
    second = lab.submit(flow)
    assert lab.wait_for_run(second)["conclusion"] == "failure", "the project's is another one"
    lab.stop("box")
    lab.stop("server")
    for file in [*files(lab.data), *files(lab.state("box")), lab.server_log, lab.folder / "box.log"]:
        if (
            "journals" not in file.parts and "logs" not in file.parts
        ):  # the second run has no reason to mask it
            assert SECRET.encode() not in file.read_bytes(), file


def test_secrets_are_listed_by_name_and_deleted(lab: Lab) -> None:
    assert lab.agent("secret", "set", "KEY", given="value").code == 0
    listed = lab.get("secret", "list")
    assert [entry["name"] for entry in listed] == ["KEY"]
    assert "value" not in json.dumps([entry.get("value") for entry in listed])
    assert lab.agent("secret", "delete", "KEY").code == 0
    assert lab.get("secret", "list") == []
    again = lab.agent("secret", "delete", "KEY")
    assert again.code == 1
    assert "KEY" in again.err
