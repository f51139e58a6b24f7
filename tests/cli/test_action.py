"""`agent action`, as its user uses it: real repositories, real flows, the real command."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.docker import BUSYBOX
from support.git import Repository, make_repository
from support.lab import Done, run_agent

GREET = """name: greet
description: |
  Say hello.
  At length.
inputs:
  who: {description: A name, default: world}
  token: {required: true, deprecationMessage: gone soon}
outputs:
  said: {description: What was said, value: x}
runs:
  using: composite
  steps: [{run: echo first, shell: bash}]
"""
OUTER = """name: outer
runs:
  using: composite
  steps: [{uses: acme/greet@v1}, {uses: $/inner}]
"""
INNER = """name: inner
runs:
  using: composite
  steps: [{uses: acme/deep@main}]
"""


class Desk:
    """A person's folder with flows, and the repositories that they use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "flows"
        self.folder.mkdir()
        self.git = folder / "git"
        self.environment = {
            "AGENT_STATE": str(folder / "state"),
            "AGENT_ACTIONS_URL": f"file://{self.git}/{{owner}}/{{repo}}",
            "TMPDIR": str(folder),
        }
        self.greet = make_repository(self.git / "acme" / "greet", {"action.yml": GREET})
        self.deep = make_repository(self.git / "acme" / "deep")
        self.outer = make_repository(
            self.git / "acme" / "outer", {"action.yml": OUTER, "inner/action.yml": INNER}
        )

    @property
    def lock(self) -> str:
        return (self.folder / "flow.lock").read_text()

    def flow(self, *uses: str, name: str = "train.yml") -> Path:
        steps = "".join(f"      - uses: {each}\n" for each in uses)
        file = self.folder / name
        file.write_text(f"on: workflow_dispatch\njobs:\n  a:\n    runs-on: x\n    steps:\n{steps}")
        return file

    def agent(self, *words: str | Path, **environment: str) -> Done:
        return run_agent(*words, cwd=self.folder, environment={**self.environment, **environment})

    def action(self, *words: str | Path) -> Done:
        return self.agent("action", *words)

    def json(self, *words: str | Path) -> Any:
        done = self.action(*words, "--format", "json")
        assert done.code == 0, done.err
        return done.json()

    def run(self, flow: Path, **environment: str) -> Done:
        return self.agent("flow", "run", flow, "--format", "json", **environment)


def lines_of(done: Done) -> list[str]:
    return [record["text"] for record in done.records() if record["kind"] == "log"]


def job_of(done: Done) -> dict[str, Any]:
    (job,) = (record for record in done.records() if record["kind"] == "job")
    return job


def move(repository: Repository, *refs: str) -> str:
    """Another commit, that the tag v1 and the branch lead to now."""
    text = (repository.folder / "action.yml").read_text().replace("echo first", "echo moved")
    return repository.commit({"action.yml": text, "more": "x"}, tags=refs or ("v1",))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_lock_pins_all_that_a_flow_uses_however_deep(desk: Desk) -> None:
    flow = desk.flow(
        "acme/outer@v1",
        "flow-agent/checkout@v1",
        f"acme/deep@{desk.deep.head}",
        f"docker://alpine@sha256:{'a' * 64}",
    )
    (locked,) = desk.json("lock", flow)
    assert locked["pins"] == {
        "acme/outer@v1": desk.outer.head,
        "acme/greet@v1": desk.greet.head,
        "acme/deep@main": desk.deep.head,
    }
    assert {change["change"] for change in locked["changes"]} == {"added"}
    assert 'flows = [\n  "train.yml",\n]' in desk.lock
    assert f'url = "{desk.greet.url}"' in desk.lock


def test_without_a_container_engine_images_are_not_pinned_and_that_is_said(desk: Desk) -> None:
    flow = desk.flow("acme/greet@v1", "docker://alpine:3")
    done = desk.agent("action", "lock", flow, DOCKER_HOST=f"unix://{desk.folder}/none.sock")
    assert done.code == 0, done.err
    assert "the image 'alpine:3' is not pinned: no container engine answers" in done.err
    assert "[images" not in desk.lock


def test_lock_again_changes_nothing_though_the_tag_has_moved(desk: Desk) -> None:
    flow = desk.flow("acme/greet@v1")
    desk.json("lock", flow)
    before = desk.lock
    move(desk.greet)
    (again,) = desk.json("lock", flow)
    assert again["changes"] == []
    assert desk.lock == before


def test_lock_adds_what_is_new_and_drops_what_no_flow_uses(desk: Desk) -> None:
    desk.json("lock", desk.flow("acme/greet@v1"))
    (changed,) = desk.json("lock", desk.flow("acme/deep@v1"))
    assert [(change["change"], change["uses"]) for change in changed["changes"]] == [
        ("added", "acme/deep@v1"),
        ("removed", "acme/greet@v1"),
    ]


def test_flows_in_one_folder_share_a_lock_and_each_keeps_its_pins(desk: Desk) -> None:
    desk.json("lock", desk.flow("acme/greet@v1"))
    (locked,) = desk.json("lock", desk.flow("acme/deep@v1", name="deploy.yml"))
    assert set(locked["pins"]) == {"acme/greet@v1", "acme/deep@v1"}


SHARED = """on: workflow_call
jobs:
  next: {uses: ./flows/inner.yml}
  own: {runs-on: x, steps: [{uses: acme/greet@v1}, {uses: $/tool}]}
"""
CALLED = "on: workflow_call\njobs: {work: {runs-on: x, steps: [{uses: acme/deep@main}]}}\n"
TOOL = "name: tool\nruns: {using: composite, steps: [{run: echo tool, shell: bash}]}\n"


@pytest.fixture
def shared(desk: Desk) -> Repository:
    """A repository of flows that others call."""
    files: dict[str, str | bytes] = {
        "flows/shared.yml": SHARED,
        "flows/inner.yml": CALLED,
        "tool/action.yml": TOOL,
    }
    return make_repository(desk.git / "acme" / "flows", files)


def calling(desk: Desk, uses: str = "acme/flows/flows/shared.yml@v1") -> Path:
    file = desk.folder / "train.yml"
    file.write_text(f"on: workflow_dispatch\njobs: {{call: {{uses: {uses}}}}}\n")
    return file


def test_lock_pins_the_flows_that_are_called_and_all_that_they_use(desk: Desk, shared: Repository) -> None:
    flow = calling(desk)
    (locked,) = desk.json("lock", flow)
    assert locked["pins"] == {
        "acme/flows@v1": shared.head,
        "acme/greet@v1": desk.greet.head,
        "acme/deep@main": desk.deep.head,
    }
    assert desk.action("verify", flow).code == 0
    other = desk.folder / "other.yml"
    other.write_text("on: workflow_dispatch\njobs: {call: {uses: ./train.yml}}\n")
    flow.write_text(flow.read_text().replace("workflow_dispatch", "workflow_call"))
    (again,) = desk.json("lock", other)
    assert again["pins"] == locked["pins"], "a called file of the same repository is looked into as well"


def test_a_called_flow_is_the_pinned_one_though_its_tag_has_moved(desk: Desk, shared: Repository) -> None:
    flow = calling(desk, "acme/flows/flows/simple.yml@v1")
    simple = "on: workflow_call\njobs: {a: {runs-on: x, steps: [{run: echo WORD}]}}\n"
    was = shared.commit({"flows/simple.yml": simple.replace("WORD", "first")}, tags=("v1",))
    desk.json("lock", flow)
    now = shared.commit({"flows/simple.yml": simple.replace("WORD", "moved")}, tags=("v1",))
    done = desk.run(flow)
    assert (done.code, "first" in lines_of(done)) == (0, True), done.err
    verified = desk.action("verify", flow)
    assert f"'acme/flows@v1' has moved: it was {was} when it was locked, and is {now} now" in verified.out
    desk.json("update")
    assert "moved" in lines_of(desk.run(flow))


def test_a_call_that_can_not_be_followed_is_named_with_its_place(desk: Desk, shared: Repository) -> None:
    flow = calling(desk, "acme/flows/flows/none.yml@v1")
    done = desk.action("lock", flow)
    assert (done.code, "train.yml:2:" in done.err, "no such file" in done.err) == (1, True, True), done.err
    (desk.folder / "flow.lock").write_text('version = 1\nflows = ["train.yml"]\n')
    assert "no such file" in desk.action("verify", flow).out


def test_a_call_that_the_lock_lacks_is_warned_of(desk: Desk, shared: Repository) -> None:
    flow = desk.flow("acme/greet@v1")
    desk.json("lock", flow)
    done = desk.run(calling(desk))
    assert "'acme/flows@v1' is not in flow.lock" in done.err, done.err


def test_what_a_local_action_uses_is_pinned_and_one_that_is_not_here_is_said(desk: Desk) -> None:
    local = desk.folder / "local"
    local.mkdir()
    (local / "action.yml").write_text(OUTER.replace("$/inner", "./local/two"))
    flow = desk.flow("./local")
    done = desk.action("lock", flow)
    assert done.code == 0
    assert "acme/greet@v1" in desk.lock
    assert "'./local/two' is not here" in done.err


def test_an_action_that_is_not_found_leaves_the_lock_as_it_was(desk: Desk) -> None:
    desk.json("lock", desk.flow("acme/greet@v1"))
    before = desk.lock
    done = desk.action("lock", desk.flow("acme/greet@v1", "acme/nobody@v1", "acme/deep@v9"))
    assert done.code == 1
    assert "train.yml:7:9: " in done.err
    assert "train.yml:8:9: " in done.err
    assert "2 actions and images can't be pinned" in done.err
    assert desk.lock == before
    assert [file.name for file in desk.folder.iterdir() if file.name.startswith(".")] == []


def test_a_credential_of_a_place_is_not_in_the_lock(desk: Desk) -> None:
    flow = desk.flow("acme/greet@v1")
    place = f"https://user:hunter2@127.0.0.1:1/{{owner}}/{{repo}} file://{desk.git}/{{owner}}/{{repo}}"
    done = desk.action("lock", flow, "--actions-url", place)
    assert done.code == 0, done.err
    assert "hunter2" not in desk.lock + done.out + done.err


def test_update_moves_the_pins_that_are_named_and_shows_what_changed(desk: Desk) -> None:
    desk.json("lock", desk.flow("acme/greet@v1", "acme/deep@v1"))
    old, new, deep = desk.greet.head, move(desk.greet), desk.deep.head
    move(desk.deep)
    done = desk.action("update", "acme/greet")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].split() == ["moved", "acme/greet@v1", old[:12], new[:12], desk.greet.url]
    assert deep in desk.lock
    (all_of_them,) = desk.json("update")
    assert [change["uses"] for change in all_of_them["changes"]] == ["acme/deep@v1"]


def test_update_takes_along_what_a_moved_action_uses_now(desk: Desk) -> None:
    desk.json("lock", desk.flow("acme/outer@v1"))
    desk.outer.commit({"action.yml": INNER}, tags=["v1"])
    (updated,) = desk.json("update", "acme/outer@v1")
    assert [(change["change"], change["uses"]) for change in updated["changes"]] == [
        ("removed", "acme/greet@v1"),
        ("moved", "acme/outer@v1"),
    ]


def test_update_of_what_is_not_pinned_or_of_no_lock_is_an_error(desk: Desk) -> None:
    assert "there is no lock file" in desk.action("update").err
    desk.json("lock", desk.flow("acme/greet@v1"))
    done = desk.action("update", "acme/other")
    assert done.code == 1
    assert "it pins acme/greet@v1" in done.err


def test_verify_is_content_with_what_lock_wrote(desk: Desk) -> None:
    flow = desk.flow("acme/outer@v1", f"{desk.greet.url}@v1", "./later")
    assert desk.action("lock", flow).code == 0
    done = desk.action("verify", flow)
    assert (done.code, done.out) == (0, f"{flow.parent}/flow.lock: all is as it was locked\n")


def test_verify_names_every_difference(desk: Desk) -> None:
    flow = desk.flow("acme/greet@v1", "acme/deep@v1", "acme/outer@v1")
    desk.json("lock", flow)
    old, new = desk.greet.head, move(desk.greet)
    desk.deep.git("tag", "-d", "v1")
    desk.flow("acme/greet@v1", "acme/deep@v1", "acme/greet@main")
    desk.flow("acme/greet@v1", name="other.yml")
    done = desk.action("verify", flow, desk.folder / "other.yml", "--format", "json")
    assert done.code == 1
    (found,) = done.json()
    lock = desk.folder / "flow.lock"
    said = "\n".join(found["differences"])
    assert f"{flow}:8:9: 'acme/greet@main' is not pinned" in said
    assert f"'acme/greet@v1' has moved: it was {old} when it was locked, and is {new} now" in said
    assert f"{lock}: 'acme/deep@v1' is pinned to {desk.deep.head}, and is not there any more" in said
    assert f"{lock}: 'acme/outer@v1' is pinned, but nothing uses it" in said
    assert f"{desk.folder / 'other.yml'}: the lock was not made for this flow" in said
    assert len(found["differences"]) == 6  # and acme/deep@main, which acme/outer had brought
    (desk.folder / "other.yml").unlink()
    desk.flow("acme/greet@v1", "acme/deep@v1", "acme/outer@v1")
    assert desk.action("verify", flow, "--offline").code == 0


def test_verify_without_a_lock_or_with_a_damaged_one_fails(desk: Desk) -> None:
    flow = desk.flow("acme/greet@v1")
    assert desk.action("verify", flow).code == 1
    (desk.folder / "flow.lock").write_text("<<<<<<< HEAD\n")
    done = desk.action("verify", flow)
    assert done.code == 2
    assert "flow.lock" in done.err


def test_a_local_run_uses_the_pinned_commit_whatever_the_tag_is_now(desk: Desk) -> None:
    flow = desk.flow("acme/greet@v1")
    desk.json("lock", flow)
    pinned = desk.greet.head
    move(desk.greet)
    done = desk.run(flow)
    assert done.code == 0, done.err
    assert "first" in lines_of(done)
    assert f"Download action repository 'acme/greet@v1' (SHA:{pinned})" in lines_of(done)
    (desk.folder / "flow.lock").unlink()
    assert "moved" in lines_of(desk.run(flow))


def test_a_use_that_the_lock_lacks_is_warned_of_when_the_job_is_set_up(desk: Desk) -> None:
    desk.json("lock", desk.flow("acme/greet@v1"))
    done = desk.run(desk.flow("acme/greet@v1", "acme/deep@v1"))
    assert done.code == 0, done.err
    (warning,) = (line for line in lines_of(done) if "not in flow.lock" in line)
    assert "'acme/deep@v1'" in warning


def test_a_lock_that_is_not_valid_stops_a_run_before_it_starts(desk: Desk) -> None:
    (desk.folder / "flow.lock").write_text(
        'version = 1\n[actions."acme/greet@v1"]\ncommit = "--upload-pack=x"\n'
    )
    done = desk.run(desk.flow("acme/greet@v1"))
    assert (done.code, done.out) == (2, "")
    assert "the lock file is not valid" in done.err


def write_policy(desk: Desk, text: str) -> Path:
    file = Path(desk.environment["AGENT_STATE"]) / "policy.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize("is_local", [False, True])
def test_the_owners_policy_refuses_an_action_and_says_by_which_rule(desk: Desk, is_local: bool) -> None:
    (desk.folder / "local").mkdir()
    (desk.folder / "local" / "action.yml").write_text(OUTER.replace("$/inner", "flow-agent/checkout@v1"))
    file = write_policy(desk, '[actions]\ndeny = ["acme/greet"]\n')
    done = desk.run(desk.flow("./local" if is_local else "acme/outer@v1"))
    assert done.code == 1
    job = job_of(done)
    assert job["failure_kind"] == "action"
    assert job["message"] == (
        f'the policy of this machine doesn\'t allow this action (acme/greet@v1); {file}: deny = "acme/greet"'
    )


def test_a_policy_may_require_pins(desk: Desk) -> None:
    write_policy(desk, "[actions]\nrequire_pins = true\n")
    flow = desk.flow("acme/greet@v1")
    done = desk.run(flow)
    assert job_of(done)["failure_kind"] == "action"
    assert "`require_pins`" in job_of(done)["message"]
    desk.json("lock", flow)
    assert desk.run(flow).code == 0


@pytest.mark.parametrize("text", [None, "[actions]\ndney = []\n"])
def test_a_policy_that_was_named_is_never_passed_over(desk: Desk, text: str | None) -> None:
    file = desk.folder.parent / "my-policy.toml"
    if text is not None:
        file.write_text(text)
    done = desk.run(desk.flow("acme/greet@v1"), AGENT_POLICY=str(file))
    assert job_of(done)["failure_kind"] == "action"
    assert str(file) in job_of(done)["message"]
    doctor = desk.agent("doctor", "--format", "json", AGENT_POLICY=str(file)).json()
    assert [check["state"] for check in doctor["checks"] if check["check"] == "policy"] == ["failure"]


def test_info_describes_an_action(desk: Desk) -> None:
    data = desk.json("info", "acme/greet@v1")
    assert data["name"] == "greet"
    assert (data["commit"], data["origin"]) == (desk.greet.head, desk.greet.url)
    assert [each["name"] for each in data["inputs"]] == ["who", "token"]
    assert data["runs"] == {"using": "composite", "steps": 1, "uses": []}
    done = desk.action("info", "acme/greet@v1")
    assert done.code == 0
    for words in ("Say hello.", desk.greet.head, "who", "world", "(required)", "gone soon", "said"):
        assert words in done.out


def test_info_of_what_is_no_action_is_an_error(desk: Desk) -> None:
    for reference, code in (
        ("acme/nobody@v1", 1),
        ("acme/greet", 2),
        ("docker://alpine:3", 2),
        ("./nowhere", 1),
    ):
        done = desk.action("info", reference)
        assert (done.code, done.out) == (code, ""), done.err


@pytest.mark.parametrize("using", ["composite", "python", "node"])
def test_a_new_action_passes_its_own_test(desk: Desk, using: str) -> None:
    if using == "node" and shutil.which("node") is None:
        pytest.skip("needs node on this machine")
    folder = desk.folder / "it's {mine}"
    done = desk.action("init", folder, "--using", using)
    assert done.code == 0, done.err
    assert {"action.yml", "README.md", "test.yml"} <= {file.name for file in folder.iterdir()}
    ran = run_agent("flow", "run", "test.yml", "--format", "json", cwd=folder, environment=desk.environment)
    assert ran.code == 0, ran.out + ran.err
    assert desk.action("init", folder).code == 2


def test_the_store_is_listed_measured_and_pruned(desk: Desk) -> None:
    assert desk.json("cache", "list") == []
    desk.json("lock", desk.flow("acme/greet@v1", "acme/deep@v1"))
    entries = desk.json("cache")
    assert {entry["repository"] for entry in entries} == {desk.greet.url, desk.deep.url}
    size = desk.json("cache", "size")
    assert size["used_bytes"] == sum(entry["size_bytes"] for entry in entries)
    assert size["limit_bytes"] == 20 * 1024**3
    assert desk.json("cache", "prune")["removed"] == []
    assert desk.json("cache", "prune", "--to", "0")["freed_bytes"] == size["used_bytes"]
    assert desk.action("cache", "size").out.startswith("0 bytes of 20.0 GiB")
    assert desk.action("cache", "prune", "--to", "much").code == 2


def test_a_job_keeps_to_the_limit_that_its_agent_sets(desk: Desk) -> None:
    for name in ("greet", "deep"):
        assert desk.run(desk.flow(f"acme/{name}@v1"), AGENT_ACTIONS_LIMIT="400").code == 0
    (entry,) = desk.json("cache", "list")
    assert entry["repository"] == desk.deep.url


def test_when_one_of_several_locks_can_not_be_made_none_is_written(desk: Desk) -> None:
    good = desk.flow("acme/greet@v1")
    (desk.folder / "other").mkdir()
    bad = desk.flow("acme/nobody@v1", name="other/bad.yml")
    assert desk.action("lock", good, bad).code == 1
    assert not (desk.folder / "flow.lock").exists()


def nest(desk: Desk, count: int, leaf: str) -> Path:
    """A flow that uses `count` composite actions inside each other, the last of which uses `leaf`."""
    inner = leaf
    for number in range(count, 0, -1):
        step = "{run: 'true', shell: sh}" if inner == "nothing" else f"{{uses: {inner}}}"
        text = f"name: n\nruns: {{using: composite, steps: [{step}]}}\n"
        make_repository(desk.git / "acme" / f"level-{count}-{number}", {"action.yml": text})
        inner = f"acme/level-{count}-{number}@v1"
    return desk.flow(inner, name=f"nest-{count}.yml")


def test_lock_and_run_let_nine_composites_and_a_leaf_lie_in_each_other_and_no_more(desk: Desk) -> None:
    program = {"action.yml": "name: l\nruns: {using: python, main: m.py}\n", "m.py": "print('leaf')"}
    make_repository(desk.git / "acme" / "leaf", program)
    allowed = nest(desk, 9, "acme/leaf@v1")
    ran = desk.run(allowed)
    assert (ran.code, "leaf" in lines_of(ran)) == (0, True), ran.out
    assert desk.action("lock", allowed).code == 0
    too_deep = nest(desk, 10, "nothing")
    for done in (desk.run(too_deep), desk.action("lock", too_deep)):
        assert done.code == 1
        assert "nested more than 9 deep" in done.out + done.err


def test_a_job_says_all_that_is_wrong_with_an_action_before_its_first_step(desk: Desk) -> None:
    steps = "[{run: 'echo ${{ secrets.A }}', shell: sh}, {run: 'echo ${{ vars.B }}', shell: sh}]"
    text = f"name: n\nruns: {{using: composite, steps: {steps}}}\n"
    make_repository(desk.git / "acme" / "wrong", {"action.yml": text})
    done = desk.run(desk.flow("acme/greet@v1", "acme/wrong@v1"))
    assert done.code == 1
    said = "\n".join(lines_of(done))
    assert "the action has 2 problems" in said
    assert "action.yml:2:" in said
    assert "'secrets'" in said
    assert "'vars'" in said
    assert "first" not in lines_of(done)


def test_update_of_a_flow_says_which_names_it_takes_and_which_lock_is_meant(desk: Desk) -> None:
    flow = desk.flow("acme/greet@v1")
    desk.json("lock", flow)
    done = desk.action("update", "train.yml")
    assert done.code == 2
    assert "'train.yml' is a flow, and no name of a pin (flow.lock)" in done.err
    assert "`agent action update` moves all pins" in done.err
    elsewhere = desk.flow("acme/deep@v1", name="greet.yml").rename(desk.folder.parent / "greet.yml")
    assert f"--lock {elsewhere.parent / 'flow.lock'}" in desk.action("update", elsewhere).err


def commands_of(done: Done) -> list[str]:
    """What `init` says to do next."""
    return [line.partition(": ")[2] for line in done.out.splitlines() if ": " in line]


@pytest.mark.parametrize(
    "existing", [{}, {"README": "mine"}, {"README.md": "mine", "LICENSE": "x", ".gitignore": "y"}]
)
def test_an_action_begins_in_a_fresh_clone_and_leaves_what_is_there(
    desk: Desk, existing: dict[str, str]
) -> None:
    clone = make_repository(desk.folder.parent / "greet", {}).folder
    for name in ("README.md", "action.yml"):
        (clone / name).unlink(missing_ok=True)
    for name, text in existing.items():
        (clone / name).write_text(text)
    done = run_agent("action", "init", ".", "--using", "python", cwd=clone, environment=desk.environment)
    assert done.code == 0, done.err
    assert {name: (clone / name).read_text() for name in existing} == existing
    assert (clone / "README.md").exists() == (not any(name == "README" for name in existing))
    assert commands_of(done) == ["agent flow run test.yml", "agent action check ."]
    assert run_agent("flow", "run", "test.yml", cwd=clone, environment=desk.environment).code == 0
    again = run_agent("action", "init", ".", cwd=clone, environment=desk.environment)
    assert (again.code, "the folder is not empty: it has 'action.yml'" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("origin", "uses"),
    [
        ("git@github.com:acme/tools.git", "acme/tools/actions/greet@v1"),
        ("https://git.lab.example/acme/tools", "https://git.lab.example/acme/tools/actions/greet@v1"),
        ("", "OWNER/mono/actions/greet@v1"),
    ],
)
def test_an_action_of_a_monorepo_has_its_path_in_what_others_write_and_its_test_sees_the_folders_beside(
    desk: Desk, origin: str, uses: str
) -> None:
    mono = make_repository(desk.folder.parent / "mono", {"shared/words.py": "GREETING = 'Hello'\n"})
    if origin:
        mono.git("remote", "add", "origin", origin)
    done = run_agent(
        "action", "init", "actions/greet", "--using", "python", cwd=mono.folder, environment=desk.environment
    )
    assert done.code == 0, done.err
    assert f"- uses: {uses}\n" in (mono.folder / "actions" / "greet" / "README.md").read_text()
    main = mono.folder / "actions" / "greet" / "main.py"
    beside = "import pathlib, sys\nsys.path.insert(0, str(pathlib.Path(__file__).parents[2] / 'shared'))\nimport words\n"
    main.write_text(main.read_text().replace("import os\n", f"import os\n{beside}"))
    assert commands_of(done)[0] == "agent flow run actions/greet/test.yml"
    ran = run_agent(*commands_of(done)[0].split()[1:], cwd=mono.folder, environment=desk.environment)
    assert ran.code == 0, ran.out + ran.err
    assert (
        run_agent("action", "check", "actions/greet", cwd=mono.folder, environment=desk.environment).code == 0
    )


def test_a_new_container_action_is_in_order_and_passes_its_own_test(desk: Desk, engine_address: str) -> None:
    folder = desk.folder / "boxed"
    assert desk.action("init", folder, "--using", "docker").code == 0
    checked = desk.action("check", folder)
    assert (checked.code, checked.out) == (0, "the action is in order\n")
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("alpine:3.22", BUSYBOX))
    environment = {**desk.environment, "DOCKER_HOST": engine_address}
    ran = run_agent("flow", "run", "test.yml", "--format", "json", cwd=folder, environment=environment)
    assert ran.code == 0, ran.out + ran.err
