"""Actions of the workspace, run by real node and real Python: inputs, state, stages, scopes."""

import json
from pathlib import Path

from support.git import make_repository
from support.jobs import JobReport, run_job, script, uses, write_action

from agent.journal.format import Annotation
from agent.spec.job import Source, SourceKind, StepSpec
from agent.spec.outcome import Conclusion, FailureKind

NODE = """
name: Node
inputs:
  fetch-depth: {default: '1'}
  two words: {default: "${{ github.repository }}"}
runs: {using: node20, main: main.js, post: post.js, post-if: "%s"}
"""
PYTHON = "name: P\ninputs: {who: {default: world}}\nruns: {using: python, main: main.py}\n"


def run_in(tmp_path: Path, *steps: StepSpec, **options: object) -> JobReport:
    """Run steps in the workspace that `write_action` filled."""
    settings = {"workspace": tmp_path / "ws", **options.pop("settings", {})}  # type: ignore[dict-item]
    return run_job(tmp_path, *steps, settings=settings, **options)


def test_a_node_action_gets_inputs_defaults_and_state_and_its_post_runs(tmp_path: Path) -> None:
    write_action(
        tmp_path / "ws",
        "node",
        NODE % "always()",
        main_js="""
            const fs = require('fs')
            console.log(process.env['INPUT_FETCH-DEPTH'], process.env['INPUT_TWO_WORDS'], process.env.GITHUB_ACTION_PATH.endsWith('node'))
            fs.appendFileSync(process.env.GITHUB_STATE, 'left=behind\\n')
            fs.appendFileSync(process.env.GITHUB_OUTPUT, 'out=1\\n')
        """,
        post_js="console.log('post', process.env.STATE_left, process.env['INPUT_FETCH-DEPTH'])",
    )
    report = run_in(
        tmp_path,
        uses("first", "./node", with_={"Fetch-Depth": "5"}),
        script("reads", "echo ${{ steps.first.outputs.out }} [$INPUT_TWO_WORDS] [$STATE_left]"),
        github={"repository": "acme/tool"},
    )
    assert report.output_of("first") == ["5 acme/tool true"]
    assert report.output_of("reads") == ["1 [] []"]
    assert report.output_of("__post_first") == ["post behind 5"]
    assert report.steps()["__post_first"].name == "Post Run ./node"
    assert report.conclusion is Conclusion.SUCCESS


def test_posts_run_in_reverse_order_and_not_for_steps_that_were_skipped(tmp_path: Path) -> None:
    write_action(tmp_path / "ws", "node", NODE % "always()", main_js="", post_js="console.log('post')")
    write_action(tmp_path / "ws", "picky", NODE % "success()", main_js="process.exit(4)", post_js="")
    report = run_in(
        tmp_path,
        uses("one", "./node"),
        uses("skipped", "./node", condition="false"),
        uses("two", "./node"),
        uses("breaks", "./picky"),
    )
    assert report.own_steps() == {
        "one": "success",
        "skipped": "skipped",
        "two": "success",
        "breaks": "failure",
        "__post_breaks": "skipped",
        "__post_two": "success",
        "__post_one": "success",
    }
    assert report.result.message == "Process completed with exit code 4."


def test_a_failing_post_fails_the_job_and_the_others_still_run(tmp_path: Path) -> None:
    write_action(tmp_path / "ws", "good", NODE % "always()", main_js="", post_js="")
    write_action(tmp_path / "ws", "bad", NODE % "always()", main_js="", post_js="process.exit(1)")
    report = run_in(tmp_path, uses("good", "./good"), uses("bad", "./bad"))
    assert report.own_steps()["__post_bad"] == "failure"
    assert report.own_steps()["__post_good"] == "success"
    assert report.conclusion is Conclusion.FAILURE


def test_continue_on_error_and_the_timeout_of_a_step_are_its_posts_and_pres_too(tmp_path: Path) -> None:
    both = NODE.replace("main: main.js", "main: main.js, pre: pre.js")
    write_action(tmp_path / "ws", "bad", both % "always()", main_js="", pre_js="", post_js="process.exit(1)")
    write_action(
        tmp_path / "ws", "long", NODE % "always()", main_js="", post_js="setInterval(() => {}, 1000)"
    )
    report = run_in(
        tmp_path,
        uses("bad", "./bad", continue_on_error=True),
        uses("long", "./long", timeout_minutes=0.02, continue_on_error="${{ github.job != '' }}"),
    )
    assert report.own_steps()["__post_bad"] == "success"
    assert report.own_steps()["__post_long"] == "success"
    assert any("timed out" in line for line in report.output_of("__post_long"))
    assert report.conclusion is Conclusion.SUCCESS


def test_actions_and_not_scripts_are_told_the_server_and_the_source(tmp_path: Path) -> None:
    show = "import os; print([os.environ.get(n) for n in ('ACTIONS_RESULTS_URL', 'ACTIONS_RUNTIME_URL', 'FLOW_SOURCE')])"
    write_action(
        tmp_path / "ws", "py", PYTHON, main_py=show + "; print(len(os.environ['ACTIONS_RUNTIME_TOKEN']))"
    )
    report = run_in(
        tmp_path,
        uses("action", "./py"),
        script("run", "env | grep -c -e ACTIONS_R -e FLOW_SOURCE || true"),
        secrets={"ACTIONS_RUNTIME_TOKEN": "aaa.bbb.ccc"},
        settings={"server_url": "http://flows.localhost:8420"},
        source=Source(SourceKind.GIT, "https://git/x", "refs/heads/main", "abc"),
    )
    shown, length = report.output_of("action")
    results, runtime, source = eval(shown)
    assert results == runtime == "http://flows.localhost:8420/"
    assert json.loads(source)["url"] == "https://git/x"
    assert length == "11"
    assert report.output_of("run") == ["0"]


def test_a_python_action_sees_its_inputs_and_none_of_the_agents_packages(tmp_path: Path) -> None:
    main = """
import importlib.util, os, sys
print("hello", os.environ["INPUT_WHO"], os.path.basename(os.getcwd()))
print([name for name in ("agent", "httpx", "cryptography") if importlib.util.find_spec(name)])
"""
    write_action(tmp_path / "ws", "py", PYTHON, main_py=main)
    report = run_in(tmp_path, uses("greets", "./py", with_={"who": "you"}))
    assert report.output_of("greets") == ["hello you ws", "[]"]


def test_a_python_action_with_needs_gets_an_environment_of_its_own_once(tmp_path: Path) -> None:
    main = "import sys; print(sys.prefix != sys.base_prefix); print(sys.prefix)"
    write_action(tmp_path / "ws", "py", PYTHON, main_py=main, requirements_txt="# nothing\n")
    report = run_in(tmp_path, uses("one", "./py"), uses("two", "./py"))
    assert report.output_of("one")[0] == "True"
    assert report.output_of("one") == report.output_of("two")
    assert Path(report.output_of("one")[1]).is_relative_to(tmp_path / "work" / "_actions")


def test_needs_that_cannot_be_installed_are_the_actions_fault(tmp_path: Path) -> None:
    write_action(tmp_path / "ws", "py", PYTHON, main_py="", requirements_txt="./not-there\n")
    report = run_in(tmp_path, uses("one", "./py"))
    assert report.result.failure_kind is FailureKind.ACTION
    assert "what the action needs (requirements.txt) cannot be installed" in report.result.message


COMPOSITE = """
name: Outer
inputs:
  who: {default: nobody}
outputs:
  said: {value: "${{ steps.says.outputs.text }} from ${{ inputs.who }}"}
runs:
  using: composite
  steps:
    - id: says
      run: echo "text=[${{ inputs.who }}] [$INPUT_WHO] [$OUTER] [$INNER]" >> $GITHUB_OUTPUT
      shell: bash
      env: {INNER: "in"}
    - uses: ./inner
    - run: echo "$OUTER ${{ env.OUTER }} ${{ github.action_path == env.EXPECTED }}"
      shell: bash
      id: shows
"""
INNER = """
name: Inner
inputs: {who: {default: inner}}
runs:
  using: composite
  steps:
    - {id: says, run: "echo inner-${{ inputs.who }} $INPUT_WHO.; echo OUTER=changed >> $GITHUB_ENV", shell: sh}
"""


def test_composites_nest_with_scopes_of_their_own(tmp_path: Path) -> None:
    write_action(tmp_path / "ws", "outer", COMPOSITE)
    write_action(tmp_path / "ws", "inner", INNER)
    env = {"OUTER": "out", "EXPECTED": str(tmp_path / "ws" / "outer")}
    report = run_in(
        tmp_path,
        uses("act", "./outer", with_={"who": "me"}, env=env),
        script("after", "echo '${{ steps.act.outputs.said }}|${{ steps.says.outputs.text }}|'$OUTER"),
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert report.output_of("after") == ["[me] [] [out] [in] from me||changed"]
    assert report.output_of("shows") == ["out out true"]
    assert "inner-inner ." in report.log()
    act = report.steps()["act"]
    assert report.steps()["shows"].parent == act.step
    assert act.outputs == {"said": "[me] [] [out] [in] from me"}


def test_a_cancellation_within_a_composite_is_told_once(tmp_path: Path) -> None:
    steps = "  using: composite\n  steps:\n    - {run: sleep 60, shell: bash}\n    - {run: echo no, shell: bash}\n"
    write_action(tmp_path / "ws", "inner", f"name: inner\nruns:\n{steps}")
    write_action(
        tmp_path / "ws", "outer", "name: outer\nruns: {using: composite, steps: [{uses: ./inner}]}\n"
    )
    report = run_in(tmp_path, uses("outer", "./outer"), timeout_minutes=0.02)
    told = [
        item for item in report.records if isinstance(item, Annotation) and "was canceled" in item.message
    ]
    assert len(told) == 1
    assert report.conclusion is Conclusion.CANCELLED


def test_a_failure_within_a_composite_fails_it_and_its_own_if_decides_what_still_runs(tmp_path: Path) -> None:
    write_action(
        tmp_path / "ws",
        "outer",
        """
runs:
  using: composite
  steps:
    - {id: fails, run: exit 7, shell: sh}
    - {id: skipped, run: echo no, shell: sh}
    - {id: cleans, if: failure(), run: 'echo ${{ steps.fails.outcome }} ${{ github.action_status }}', shell: sh}
    - {id: blames, if: always(), run: 'echo ${{ job.status }}', shell: sh}
""",
    )
    report = run_in(tmp_path, uses("act", "./outer", continue_on_error=True), script("next", "true"))
    assert report.own_steps() == {
        "act": "success",
        "fails": "failure",
        "skipped": "skipped",
        "cleans": "success",
        "blames": "success",
        "next": "success",
    }
    assert report.output_of("cleans") == ["failure failure"]
    assert report.output_of("blames") == ["success"]
    assert report.steps()["act"].outcome is Conclusion.FAILURE


def test_a_composite_sees_no_secrets_unless_they_are_handed_in(tmp_path: Path) -> None:
    write_action(
        tmp_path / "ws",
        "outer",
        "runs: {using: composite, steps: [{id: peeks, run: 'echo ${{ secrets.TOKEN }}', shell: sh}]}",
    )
    report = run_in(tmp_path, uses("act", "./outer"), secrets={"TOKEN": "hunter2hunter2"})
    assert "Unrecognized named-value: 'secrets'" in report.log("act")


def test_posts_within_a_composite_run_last_first_with_their_own_inputs(tmp_path: Path) -> None:
    write_action(
        tmp_path / "ws",
        "node",
        NODE % "always()",
        main_js="",
        post_js="console.log('post', process.env['INPUT_FETCH-DEPTH'])",
    )
    write_action(
        tmp_path / "ws",
        "outer",
        """
inputs: {depth: {default: '3'}}
runs:
  using: composite
  steps:
    - {id: a, uses: ./node, with: {fetch-depth: "${{ inputs.depth }}"}}
    - {id: b, uses: ./node, with: {fetch-depth: b}}
""",
    )
    report = run_in(tmp_path, uses("act", "./outer", with_={"depth": "9"}))
    assert list(report.own_steps()) == ["act", "a", "b", "__post_b", "__post_a"]
    assert report.output_of("__post_a") == ["post 9"]
    assert report.output_of("__post_b") == ["post b"]


def test_composites_that_nest_for_ever_are_stopped(tmp_path: Path) -> None:
    write_action(tmp_path / "ws", "self", "runs: {using: composite, steps: [{uses: ./self}]}")
    report = run_in(tmp_path, uses("act", "./self"))
    assert report.conclusion is Conclusion.FAILURE
    assert "nested more than 9 deep" in report.result.message


def test_unknown_inputs_are_warned_about_and_passed_on(tmp_path: Path) -> None:
    write_action(tmp_path / "ws", "py", PYTHON, main_py="import os; print(os.environ['INPUT_WHAT'])")
    report = run_in(tmp_path, uses("greets", "./py", with_={"what": "x"}))
    assert "##[warning]Unexpected input(s) 'what', valid inputs are ['who']" in report.log("greets")
    assert report.output_of("greets") == ["x"]


def test_an_action_that_cannot_be_found_fails_the_set_up(tmp_path: Path) -> None:
    report = run_in(
        tmp_path,
        uses("fetches", "acme/none@v1"),
        settings={"actions_urls": (f"file://{tmp_path}/git/{{owner}}/{{repo}}",)},
    )
    assert report.own_steps() == {}
    assert report.result.failure_kind is FailureKind.ACTION
    assert report.steps()["__set_up"].conclusion is Conclusion.FAILURE


def test_an_action_that_is_not_in_the_workspace_fails_its_step(tmp_path: Path) -> None:
    report = run_job(tmp_path, uses("local", "./gone"))
    assert report.own_steps() == {"local": "failure"}
    assert report.result.failure_kind is FailureKind.ACTION
    assert "Can't find 'action.yml'" in report.result.message


def test_a_configured_node_comes_first(tmp_path: Path) -> None:
    from agent.job.runtimes.node import find_node

    for version in (18, 24):
        fake = tmp_path / f"node-{version}"
        fake.write_text(f"#!/bin/sh\necho v{version}.1.0\n")
        fake.chmod(0o755)
    configured = {20: str(tmp_path / "node-18"), 24: str(tmp_path / "node-24")}
    assert find_node(20, configured, "", tmp_path) == str(tmp_path / "node-24")


ASKS = "name: T\ninputs: {token: {default: '${{ github.token }}'}}\nruns: {using: python, main: main.py}\n"


def test_an_action_that_asks_for_a_token_of_a_run_without_one_is_told_of_once(tmp_path: Path) -> None:
    write_action(tmp_path / "ws", "asks", ASKS, main_py="")
    write_action(tmp_path / "ws", "silent", PYTHON, main_py="")
    token = "${{ secrets.GITHUB_TOKEN }}"
    steps = (uses("quiet", "./silent"), uses("asks", "./asks"), uses("env", "./silent", env={"T": token}))
    report = run_in(tmp_path, *steps)
    told = [line for line in report.log().splitlines() if "asks for a token" in line]
    assert len(told) == 1
    assert "'./asks' asks for a token, and this run has none: `github.token` is empty" in told[0]
    assert "`--secret GITHUB_TOKEN`" in told[0]
    alone = run_in(
        tmp_path / "again", uses("env", "./silent", env={"T": token}), settings={"workspace": tmp_path / "ws"}
    )
    assert "'./silent' asks for a token" in alone.log()
    has_one = run_in(
        tmp_path / "third", *steps, secrets={"GITHUB_TOKEN": "ghs_x"}, settings={"workspace": tmp_path / "ws"}
    )
    given = run_in(
        tmp_path / "fourth",
        uses("asks", "./asks", with_={"Token": "mine"}),
        settings={"workspace": tmp_path / "ws"},
    )
    for silent in (has_one, given):
        assert "asks for a token" not in silent.log()


def test_an_action_by_url_knows_its_repository_and_ref(tmp_path: Path) -> None:
    shows = "import os; print(os.environ['GITHUB_ACTION_REPOSITORY'], os.environ['GITHUB_ACTION_REF'])"
    files = {"sub/action.yml": PYTHON, "sub/main.py": shows, "action.yml": PYTHON, "main.py": shows}
    repository = make_repository(tmp_path / "acme" / "tools.git", files)
    (tmp_path / "ws").mkdir()
    report = run_in(tmp_path, uses("one", f"{repository.url}@v1"), uses("two", f"{repository.url}/sub@v1"))
    name = str(tmp_path / "acme" / "tools")[1:]
    assert report.output_of("one") == [f"{name} v1"]
    assert report.output_of("two") == [f"{name} v1"]
