"""`agent flow run --in-place`: whatever actions do, what only the user's folder had is still there, or the run is not green."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from support.git import Repository
from support.in_place import Place, message, texts

IDENTITY = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}
UNDO = "printf 'one\\nagain\\n' > a.txt; rm -f new; git branch -q -D more 2>&1 && git reset -q --soft HEAD~1 || true"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("action", ["acme/get@v1", "flow-agent/checkout@v1"])
@pytest.mark.parametrize(
    "given",
    [
        "{}",
        "{path: .}",
        "{path: '${{ github.workspace }}'}",
        "{path: runs/..}",
        "{repository: ME/Model, ref: main}",
    ],
)
def test_the_runs_own_repository_is_not_checked_out_over_itself(
    place: Place, action: str, given: str
) -> None:
    done = place.run(
        f"      - {{id: c, uses: '{action}', with: {given}}}\n"
        "      - {run: 'echo ${{ steps.c.outputs.commit }} ${{ steps.c.outputs.ref }}; cat notes.txt'}\n"
    )
    assert place.kept() == place.mine
    assert done.code == 0, done.out + done.err
    assert "its code is there already, nothing is checked out" in texts(done)
    assert f"{place.repository.head} " in texts(done)
    assert "tidied up" not in texts(done), "what was not begun has nothing to tidy up"


def test_the_folder_is_kept_through_composite_actions_too(place: Place) -> None:
    place.add_action("acme/prepare", "name: p\nruns: {using: composite, steps: [{uses: acme/get@v1}]}\n")
    done = place.run("      - uses: acme/prepare@v1\n")
    assert place.kept() == place.mine
    assert done.code == 0, done.out


def test_consent_lets_a_checkout_have_the_folder(place: Place) -> None:
    done = place.run("      - uses: acme/get@v1\n", flag="--in-place=destructive")
    assert done.code == 0, done.out + done.err
    assert place.kept() == {"a.txt": "one\n"}


@pytest.mark.parametrize("action", ["acme/get@v1", "flow-agent/checkout@v1"])
@pytest.mark.parametrize("given", ["repository: acme/data", "ref: v0"])
def test_anything_else_over_the_folder_is_refused(place: Place, action: str, given: str) -> None:
    done = place.run(f"      - {{uses: '{action}', with: {{{given}}}}}\n")
    assert place.kept() == place.mine
    assert done.code == 1
    assert "would be checked out over" in message(done)
    assert "--in-place=destructive" in message(done)


def test_another_repository_goes_into_a_folder_of_its_own_again_and_again(place: Place) -> None:
    steps = "      - {uses: acme/get@v1, with: {repository: acme/data, path: data}}\n      - run: cat data/rows.csv; touch data/cache\n"
    for _ in range(2):
        done = place.run(steps)
        assert done.code == 0, done.out + done.err
    assert (place.folder / "data" / "rows.csv").read_text() == "1\n"
    assert place.kept() == place.mine


def test_a_copy_of_the_folder_itself_is_made_again_until_something_in_it_is_the_users(place: Place) -> None:
    place.repository.git("branch", "mine", place.repository.git("commit-tree", "-m", "mine", "HEAD^{tree}"))
    place.repository.git("stash", "store", "-m", "mine", place.repository.git("stash", "create"))
    steps = "      - {uses: flow-agent/checkout@v1, with: {path: runs/copy}}\n      - run: cat runs/copy/a.txt; touch runs/copy/more.log\n"
    for text in ("one\nedited\n", "one\nedited\n", "one\nagain\n"):
        (place.folder / "a.txt").write_text(text)
        done = place.run(steps)
        assert done.code == 0, done.out
        assert (place.folder / "runs/copy/a.txt").read_text() == text
    copy = Repository(place.folder / "runs/copy")
    assert copy.git("for-each-ref", "refs/flow-agent") == ""
    for change in (
        "echo 2 > a.txt",
        "echo 2 > new",
        "git branch more mine~0; git commit -q --allow-empty -m more",
    ):
        was = copy.git("status", "--porcelain"), copy.head
        subprocess.run(["sh", "-c", change], cwd=copy.folder, check=True, env={**os.environ, **IDENTITY})
        done = place.run(steps)
        assert (done.code, "holds what is nowhere else" in message(done)) == (1, True), change
        subprocess.run(["sh", "-c", UNDO], cwd=copy.folder, check=True)
        assert (copy.git("status", "--porcelain"), copy.head) == was
    assert place.run(steps).code == 0


@pytest.mark.parametrize("name", ["rows.csv", "new.csv"])
def test_a_folder_with_work_of_the_users_is_no_target(place: Place, name: str) -> None:
    steps = "      - {uses: acme/get@v1, with: {repository: acme/data, path: data}}\n"
    assert place.run(steps).code == 0
    (place.folder / "data" / name).write_text("2\n")
    done = place.run(steps)
    assert (done.code, (place.folder / "data" / name).read_text()) == (1, "2\n")
    assert "holds what is nowhere else" in message(done)
    runs = place.run("      - {uses: flow-agent/checkout@v1, with: {path: runs}}\n")
    assert runs.code == 1
    assert place.kept() == place.mine


@pytest.mark.parametrize(
    "command", ["clean -ffdx", "reset --hard", "checkout -f", "checkout -- .", "stash -u"]
)
@pytest.mark.parametrize("kind", ["python", "composite"])
def test_an_action_that_is_no_known_checkout_is_ended_before_git_throws_work_away(
    place: Place, command: str, kind: str
) -> None:
    script = f"git -c a.b=c -C . {command} || rm -rf ./*"
    composite = f"name: x\nruns: {{using: composite, steps: [{{shell: sh, run: '{script}'}}]}}\n"
    python = "name: x\nruns: {using: python, main: main.py}\n"
    main = f"import subprocess; subprocess.run({script!r}, shell=True)"
    place.add_action("acme/fresh", composite if kind == "composite" else python, **{"main.py": main})
    done = place.run("      - uses: acme/fresh@v1\n")
    assert place.kept() == place.mine
    assert done.code == 1
    assert f"'git {command.split(maxsplit=1)[0]}' would throw away" in message(done)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("rm -rf runs notes.txt", "took away notes.txt, runs, which are put back"),
        ("git show HEAD:a.txt > a.txt", "undid the edits of a.txt, which are put back"),
    ],
)
def test_a_run_whose_action_lost_the_users_work_is_never_green(place: Place, script: str, said: str) -> None:
    manifest = f"name: x\nruns: {{using: composite, steps: [{{shell: sh, run: '{script}'}}]}}\n"
    place.add_action("acme/sweep", manifest)
    done = place.run("      - {uses: acme/sweep@v1, continue-on-error: true}\n")
    assert done.code == 1
    assert message(done) == f"the action {said}; --in-place=destructive lets it"
    assert place.kept() == place.mine


def test_what_the_flow_itself_does_in_the_folder_is_its_authors_word(place: Place) -> None:
    done = place.run("      - run: rm notes.txt; git reset --hard\n      - run: git clean -ffdxq\n")
    assert done.code == 0, done.out + done.err
    assert place.kept() == {"a.txt": "one\n"}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("git clean -ffdx; git reset --hard", "'git clean' would throw away"),
        (
            "rm notes.txt; git show HEAD:a.txt > a.txt",
            "took away notes.txt, which is put back; and undid the edits of a.txt, which are put back",
        ),
    ],
)
@pytest.mark.parametrize("depth", [1, 2])
def test_a_composite_action_of_the_folder_itself_is_an_action_as_any_other(
    place: Place, script: str, said: str, depth: int
) -> None:
    inner = f"name: x\nruns: {{using: composite, steps: [{{shell: sh, run: '{script}'}}]}}\n"
    outer = "name: x\nruns: {using: composite, steps: [{uses: ./act1}]}\n"
    for name, manifest in (("act1", inner), ("act2", outer)):
        (place.folder / name).mkdir()
        (place.folder / name / "action.yml").write_text(manifest)
    done = place.run(f"      - uses: ./act{depth}\n")
    assert done.code == 1
    assert said in message(done)
    assert place.kept() == place.mine


@pytest.mark.parametrize("name", ["a.txt", "notes.txt", "runs/1/weights"])
def test_an_action_that_overwrites_the_users_work_fails_its_job_and_says_so(place: Place, name: str) -> None:
    manifest = (
        f"name: x\nruns: {{using: composite, steps: [{{shell: sh, run: 'echo new > {name}; touch made'}}]}}\n"
    )
    place.add_action("acme/write", manifest)
    done = place.run("      - {uses: acme/write@v1, continue-on-error: true}\n")
    assert done.code == 1
    said = re.fullmatch(
        rf"the action overwrote what only this folder had: {name} \(as it was in (\S+)\);"
        " --in-place=destructive lets it",
        message(done),
    )
    assert said, message(done)
    assert (place.folder / said[1] / name).read_text() == place.mine[name]


UPLOAD = """      - run: |
          mkdir -p {outside}/runs/1
          cd {outside}; echo new > a.txt; echo new > notes.txt; echo new > runs/1/weights; echo new > train.log; echo new > fresh
      - {{uses: flow-agent/upload-artifact@v1, with: {{name: all, path: {outside}}}}}
"""


def test_no_artifact_is_downloaded_over_the_users_work(place: Place) -> None:
    upload = UPLOAD.format(outside=place.folder.parent / "outside")
    done = place.run(f"{upload}      - {{uses: flow-agent/download-artifact@v1, with: {{name: all}}}}\n")
    assert done.code == 1
    assert place.kept() == place.mine
    assert not (place.folder / "fresh").exists()
    assert (
        "what only this folder has would be overwritten: a.txt, notes.txt, runs/1/weights, train.log; give"
        in texts(done)
    )


def test_an_artifact_is_downloaded_over_what_git_has_and_what_the_run_made_itself(place: Place) -> None:
    outside = place.folder.parent / "outside"
    (place.folder / "a.txt").write_text("one\n")
    steps = f"""      - run: mkdir {outside}; echo mine > {outside}/notes.txt; echo new | tee {outside}/a.txt > {outside}/made; echo old > made
      - {{uses: flow-agent/upload-artifact@v1, with: {{name: all, path: {outside}}}}}
      - {{uses: flow-agent/download-artifact@v1, with: {{name: all}}}}
"""
    done = place.run(steps)
    assert done.code == 0, done.out
    assert [(place.folder / name).read_text() for name in ("a.txt", "made")] == ["new\n", "new\n"]
    assert (place.folder / "notes.txt").read_text() == "mine\n"


def test_actions_work_with_git_in_the_folder_as_before(place: Place) -> None:
    script = "git add -A && git -c user.name=a -c user.email=a@b commit -qm more && git log --oneline && git clean -n"
    script += " && git clone -q . copy && git -C copy clean -ffdx && git -C copy reset --hard && rm -rf copy"
    manifest = f"name: x\nruns: {{using: composite, steps: [{{shell: sh, run: '{script}'}}]}}\n"
    place.add_action("acme/commit", manifest)
    done = place.run("      - uses: acme/commit@v1\n")
    assert done.code == 0, done.out + done.err
    assert place.kept() == place.mine
    assert json.dumps(place.repository.git("log", "--format=%s")).startswith('"more')


def test_a_value_that_in_place_does_not_have_is_refused_and_the_one_it_has_is_named(place: Place) -> None:
    done = place.run("      - run: 'true'\n", flag="--in-place=maybe")
    assert done.code == 2
    assert "--in-place can't have the value 'maybe'; write --in-place or --in-place=destructive" in done.err


@pytest.mark.parametrize("flag", ["--in-place", ""])
def test_an_action_that_lies_above_the_current_folder_is_said_to_lie_there(place: Place, flag: str) -> None:
    action = place.folder / "acts/x/action.yml"
    action.parent.mkdir(parents=True)
    action.write_text("name: x\nruns: {using: composite, steps: [{shell: sh, run: 'true'}]}\n")
    top, place.folder = place.folder, place.folder / "runs"
    done = place.run("      - uses: ./acts/x\n", flag=flag)
    assert done.code == 1
    if flag:
        assert "needs actions/checkout" not in message(done)
        assert f"it is in '{top}', but jobs work in '{place.folder}'" in message(done)
    assert "--workspace" in message(done)
