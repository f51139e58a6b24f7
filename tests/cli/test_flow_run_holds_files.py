"""`agent flow run --in-place`: files that only the folder has, and what is staged, are given back or kept by a name that is said."""

import os
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from support.git import Repository, make_repository
from support.in_place import Place, kill_all, message, texts
from support.lab import Done, run_agent, wait_for

MODEL = b"days of training\n" * 4096
IDENTITY = "git config user.name me && git config user.email me@example.org"


class Home:
    """A repository with all kinds of things in it that git could not give back."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = place.folder
        self.git = place.repository.git
        (self.folder / ".git/info/exclude").write_text(
            "/data/\n/dist/\n/.env\n/.actions/\n/node_modules/\n/runs/\n"
        )
        self.write("data/model.pt", MODEL)
        self.write("data/deep/er/weights.bin", MODEL)
        self.write("data/other", b"other\n")
        self.write(".env", b"TOKEN=1\n")
        (self.folder / "data/latest").symlink_to("model.pt")
        make_repository(self.folder / "clone", {"c.txt": "c\n", ".gitignore": "cache\n"})
        self.clone = Repository(self.folder / "clone")
        self.write("clone/c.txt", b"edited\n")
        self.write("clone/cache/big", b"big\n")
        self.write("clone/new", b"new\n")
        self.clone.git("branch", "mine", self.clone.git("commit-tree", "-m", "mine", "HEAD^{tree}"))
        self.before = self.list_files()

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)

    def list_files(self) -> dict[str, bytes]:
        """The files outside of any `.git`, with what is in them, or where they lead to."""
        found = {}
        for path in self.folder.rglob("*"):
            name = str(path.relative_to(self.folder))
            if ".git/" in f"{name}/" or name.startswith(".actions"):
                continue
            if path.is_symlink():
                found[name] = os.fsencode(path.readlink())
            elif path.is_file():
                found[name] = path.read_bytes()
        return found

    def act(self, script: str, *more: str) -> Done:
        """Run an action that does `script`."""
        self.make_action(script)
        return self.place.run("      - uses: ./.actions/act\n" + "".join(more))

    def kill_after(self, script: str) -> None:
        """Run an action that does `script`, and kill the run once that is done."""
        outside = self.folder.parent
        os.mkfifo(outside / "pipe")
        self.make_action(f"{script}; touch ../gone; read _ < ../pipe")
        run = self.place.start("      - uses: ./.actions/act\n")
        wait_for((outside / "gone").exists, "an action that did all of it")
        kill_all(run)

    def make_action(self, script: str) -> None:
        lines = "".join(f"\n        {line}" for line in script.split("\n"))
        manifest = f"name: x\nruns:\n  using: composite\n  steps:\n    - shell: sh\n      run: |{lines}\n"
        self.write(".actions/act/action.yml", manifest.encode())

    def kept(self, done: Done) -> Path:
        """The folder that is named in what was said."""
        found = re.search(r"\.git/kept-by-flow-agent/[-0-9a-f]+", message(done) + texts(done))
        assert found, message(done) + texts(done)
        return self.folder / found[0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(Place(tmp_path))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("rm data/model.pt", "took away data/model.pt, which is put back"),
        ("rm -rf data/deep", "took away data/deep, which is put back"),
        ("rm -rf data notes.txt", "took away notes.txt, data, which are put back"),
        ("mkdir old; mv data old/data", "took away data, which is put back"),
        ("rm -rf data; mkdir data", "data/model.pt"),
        (
            "rm data/latest data/deep/er/weights.bin",
            "took away data/latest, data/deep/er/weights.bin, which are",
        ),
        ("find . -name '*.pt' -delete", "took away data/model.pt, which is put back"),
        ("python3 -c \"import shutil; shutil.rmtree('data')\"", "took away data, which is put back"),
        ("/usr/bin/git clean -ffdxq", "which are put back"),
        (
            "$(PATH=/usr/bin:/bin command -v git) reset -q --hard",
            "undid the edits of a.txt, which are put back",
        ),
        ("git -c alias.z='!git reset --hard' z; /usr/bin/git checkout -q -f", "a.txt"),
        ("/usr/bin/git stash -q -u", "which are put back"),
        ("rm -rf clone", "took away clone, which is put back"),
        ("rm clone/cache/big", "took away clone/cache/big, which is put back"),
        ("rm -rf clone/.git", "took away clone/.git"),
        ("git -C clone reset -q --hard", "undid the edits of clone/c.txt, which are put back"),
        ("git -C clone clean -ffdxq", "took away clone/new, clone/cache, which are put back"),
        ("git -C clone branch -D mine", "took away mine, which is put back (in clone)"),
        ("rm .git/hooks/pre-commit", "took away .git/hooks/pre-commit, which is put back"),
        ("rm .git/config", "took away .git/config, which is put back"),
    ],
)
def test_what_an_action_takes_away_of_what_git_could_not_give_back_is_put_back(
    home: Home, script: str, said: str
) -> None:
    hook = home.folder / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    config = (home.folder / ".git/config").read_bytes()
    done = home.act(script)
    assert done.code == 1, done.out
    assert said in message(done)
    now = home.list_files()
    assert {name: now.get(name) for name in home.before} == home.before
    assert home.clone.git("log", "-1", "--format=%s", "mine") == "mine"
    assert (hook.exists(), (home.folder / ".git/config").read_bytes()) == (True, config)
    assert not (home.folder / ".git/flow-agent-held").exists()


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("echo TOKEN=2 > .env", ".env"),
        ("printf x > x; mv x data/model.pt", "data/model.pt"),
        ("printf x > x; cp x data/model.pt", "data/model.pt"),
        ("rm data/latest; cp data/model.pt data/latest", "data/latest"),
        ("rm -rf data; mkdir data; touch data/new", "data/deep/er/weights.bin"),
        ("rm data/other; mkdir data/other", "data/other"),
        ("printf 'echo other\\n' > .git/hooks/pre-commit", ".git/hooks/pre-commit"),
        ("git config user.name somebody", ".git/config"),
    ],
)
def test_what_an_action_changes_of_what_git_ignores_is_kept_and_said_and_fails_nothing(
    home: Home, script: str, name: str
) -> None:
    home.git("config", "user.name", "me")
    hook = home.folder / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    path = home.folder / name
    before = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    done = home.act(script)
    assert done.code == 0, message(done)
    assert name in texts(done)
    kept = home.kept(done) / name
    assert (os.fsencode(kept.readlink()) if kept.is_symlink() else kept.read_bytes()) == before


def test_what_is_written_into_a_large_ignored_file_is_said(home: Home) -> None:
    home.write("data/large", b"x" * (2 << 20))
    done = home.act("echo more >> data/large")
    assert done.code == 0, message(done)
    assert "changed what git does not keep: data/large" in texts(done)


def test_what_an_action_overwrites_of_the_users_work_is_kept(home: Home) -> None:
    done = home.act(
        "echo theirs > a.txt; echo theirs > notes.txt; echo theirs > clone/new; chmod +x clone/c.txt"
    )
    assert done.code == 1
    assert "overwrote what only this folder had: a.txt, clone/new, notes.txt (as they were in " in message(
        done
    )
    assert "changed the permissions of clone/c.txt" in texts(done)
    kept = home.kept(done)
    assert [(kept / name).read_bytes() for name in ("a.txt", "notes.txt", "clone/new")] == [
        b"one\nedited\n",
        b"mine\n",
        b"new\n",
    ]


@pytest.mark.parametrize(
    "script",
    [
        "touch a.txt notes.txt data/model.pt .env",
        "cp -p data/model.pt x; mv x data/model.pt",
        "echo new > data/new; echo log > new.log; mkdir -p dist/a; touch dist/a/b",
        "git config --add http.extraheader x; git -C clone gc -q",
        "git add a.txt; git -c user.name=a -c user.email=a@b commit -qm all",
    ],
)
def test_what_takes_nothing_away_is_an_actions_own_business(home: Home, script: str) -> None:
    done = home.act(script)
    assert done.code == 0, message(done)
    assert "##[warning]" not in texts(done)
    assert not (home.folder / ".git/kept-by-flow-agent").exists()


def test_what_an_action_made_may_be_removed_by_a_later_one_and_in_a_later_job(home: Home) -> None:
    home.make_action(
        "if [ -e data/made ]; then rm -r data/made; else mkdir data/made; touch data/made/it; fi"
    )
    step = "      - uses: ./.actions/act\n"
    done = home.place.run(f"{step}{step}{step}  b:\n    needs: a\n    runs-on: x\n    steps:\n{step}")
    assert done.code == 0, done.out
    assert "##[warning]" not in texts(done)


def test_what_the_flows_own_steps_remove_is_gone_and_nothing_holds_it(home: Home) -> None:
    held = "find .git/flow-agent-held 2>/dev/null | wc -l"
    done = home.act(
        "true", f"      - run: rm data/model.pt; echo [$({held})]\n", "      - uses: ./.actions/act\n"
    )
    assert done.code == 0, done.out
    assert "[0]" in texts(done)
    assert not (home.folder / "data/model.pt").exists()


def test_what_can_be_made_again_is_looked_at_as_a_whole(home: Home) -> None:
    home.write("node_modules/a/index.js", b"1\n")
    assert (
        home.act(
            "echo 2 > node_modules/a/index.js; rm -rf node_modules; mkdir node_modules; touch node_modules/x"
        ).code
        == 0
    )
    gone = home.act("rm -rf node_modules")
    assert message(gone) == "the action lost what only this folder had: node_modules"


def test_the_edits_and_branches_of_a_submodule_are_the_users_too(home: Home) -> None:
    source = home.place.hosted / "acme" / "data"
    home.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(source), "sub")
    sub = Repository(home.folder / "sub")
    home.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "sub")
    sub.git("branch", "mine", sub.git("commit-tree", "-m", "mine", "HEAD^{tree}"))
    assert "took away mine, which is put back (in sub)" in message(home.act("git -C sub branch -D mine"))
    home.write("sub/rows.csv", b"edited\n")
    assert "undid the edits of sub/rows.csv" in message(
        home.act("git submodule foreach -q git reset -q --hard")
    )
    assert (home.folder / "sub/rows.csv").read_bytes() == b"edited\n"
    assert "sub/rows.csv" in message(home.act("rm -rf sub"))
    assert (home.folder / "sub/rows.csv").read_bytes() == b"edited\n"


def test_a_folder_outside_of_git_is_guarded_alike(tmp_path: Path) -> None:
    home = Home(Place(tmp_path))
    (home.folder / ".git").rename(tmp_path / "away")
    done = home.act("rm -rf data notes.txt; echo theirs > a.txt")
    assert done.code == 1
    assert "took away data, notes.txt, which are put back" in message(done).replace(
        "notes.txt, data", "data, notes.txt"
    )
    assert home.list_files()["data/model.pt"] == MODEL
    (kept,) = home.folder.glob(".kept-by-flow-agent/*/a.txt")
    assert kept.read_bytes() == b"one\nedited\n"
    assert not (home.folder / ".flow-agent-held").exists()


class TestIndex:
    """A is staged, and the file was edited on to B."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Home:
        home = Home(Place(tmp_path))
        home.write("a.txt", b"A\n")
        home.git("add", "a.txt")
        home.write("a.txt", b"B\n")
        return home

    @pytest.mark.parametrize(
        "script",
        [
            "git add -A",
            "git reset -q",
            "git restore --staged .",
            "git update-index --force-remove a.txt",
        ],
    )
    def test_what_is_staged_is_staged_again(self, home: Home, script: str) -> None:
        done = home.act(script)
        assert done.code == 1
        assert "took away what was staged of a.txt, which is put back" in message(done)
        assert (home.git("show", ":a.txt"), home.list_files()["a.txt"]) == ("A", b"B\n")
        assert home.git("for-each-ref", "refs/flow-agent") == ""

    @pytest.mark.parametrize(
        "commit",
        ["git commit -qam x", "git add a.txt && git commit -qm x && git commit -q --allow-empty -m y"],
    )
    def test_what_was_staged_is_kept_where_something_else_was_committed(
        self, home: Home, commit: str
    ) -> None:
        done = home.act(f"{IDENTITY}; {commit}")
        assert done.code == 1
        assert "took away what was staged of a.txt: it is kept as kept-by-flow-agent/index" in message(done)
        assert home.git("show", "kept-by-flow-agent/index:a.txt") == "A"

    @pytest.mark.parametrize(
        "script",
        [
            "git commit -qm x",
            "touch b; git add b",
            "git status; git stash list",
            "git commit -qm x; git commit -qam y",
        ],
    )
    def test_what_keeps_it_is_an_actions_own_business(self, home: Home, script: str) -> None:
        done = home.act(f"{IDENTITY}; {script}")
        assert done.code == 0, message(done)
        assert "kept-by-flow-agent" not in home.git("branch")

    @pytest.mark.parametrize("has_staged", [True, False])
    @pytest.mark.parametrize(
        ("script", "said"),
        [
            ("rm .git/index", "the index (.git/index), which is put back"),
            ("rm .git/index; git add notes.txt", "the index's entries of "),
            ("echo x > .git/index", "the index (.git/index), which is put back"),
            ("/usr/bin/git rm -rqf --cached .", "the index's entries of "),
            (
                "git -C clone rm -rqf --cached .",
                "the index's entries of .gitignore, c.txt, which is put back (in clone)",
            ),
            ("rm clone/.git/index", "the index (.git/index), which is put back (in clone)"),
        ],
    )
    def test_an_index_that_is_gone_is_put_back_as_a_whole(
        self, home: Home, script: str, said: str, has_staged: bool
    ) -> None:
        if not has_staged:
            home.git("reset", "-q")
        before = home.git("diff", "--cached", "--raw"), home.clone.git("diff", "--cached", "--raw")
        done = home.act(script)
        assert done.code == 1
        assert said in message(done)
        home.git("rm", "-q", "--cached", "--ignore-unmatch", "notes.txt")
        assert (home.git("diff", "--cached", "--raw"), home.clone.git("diff", "--cached", "--raw")) == before
        assert home.list_files()["a.txt"] == b"B\n"

    def test_an_index_that_a_killed_run_left_gone_is_made_anew(self, home: Home) -> None:
        home.kill_after("rm .git/index")
        done = home.place.run("      - run: 'true'\n", flag="")
        (said,) = [record["message"] for record in done.records() if record["kind"] == "warning"]
        assert "took away the index (.git/index), which is put back" in said
        assert home.git("diff", "--cached", "--name-only") == "a.txt"

    def test_in_the_middle_of_a_merge_too(self, home: Home) -> None:
        home.git("stash", "-q")
        for branch, text in (("x", b"x\n"), ("y", b"y\n")):
            home.git("checkout", "-q", "-b", branch, "origin/main")
            home.write("a.txt", text)
            home.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", branch)
        subprocess.run(
            ["git", "-C", home.folder, "-c", "user.name=a", "-c", "user.email=a@b", "merge", "-q", "x"],
            check=False,
            capture_output=True,
        )
        home.write("staged", b"A\n")
        home.git("add", "staged")
        home.write("staged", b"B\n")
        done = home.act("git add staged")
        assert "what was staged of staged, which is put back" in message(done)
        assert home.git("show", ":staged") == "A"
        assert len(home.git("ls-files", "-u").splitlines()) == 3


@pytest.mark.parametrize(
    ("is_packed", "script"),
    [
        (True, "rm -rf .git/objects/*"),
        (False, "rm -rf .git/objects/??"),
        (False, "find .git/objects -type f -delete"),
        (True, "rm -rf .git/objects"),
        (True, "rm -rf .git/objects/pack"),
    ],
)
def test_objects_that_an_action_removes_are_put_back(home: Home, script: str, is_packed: bool) -> None:
    home.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "mine")
    if is_packed:
        home.git("gc", "-q")
    done = home.act(script)
    assert done.code == 1
    assert re.search("took away [0-9]+ files of .git/objects, which are put back", message(done))
    assert home.git("fsck", "--full", "--strict") == ""
    assert home.git("log", "-1", "--format=%s") == "mine"
    assert not (home.folder / ".git/kept-by-flow-agent").exists()


def test_objects_of_a_clone_that_an_action_removes_are_put_back(home: Home) -> None:
    done = home.act("rm -rf clone/.git/objects/*")
    assert re.search(r"files of .git/objects, which are put back \(in clone\)", message(done))
    assert home.clone.git("log", "-1", "--format=%s", "mine") == "mine"
    assert home.clone.git("fsck", "--full") == ""


def test_what_git_packs_is_an_actions_own_business(home: Home) -> None:
    done = home.act("git gc -q --prune=now; git -C clone repack -qad")
    assert done.code == 0, message(done)
    assert "##[warning]" not in texts(done)
    assert home.git("count-objects").startswith("0 objects")


def test_objects_that_a_killed_run_left_gone_are_put_back(home: Home) -> None:
    home.kill_after("rm -rf .git/objects/* clone/.git/objects/*")
    done = home.place.run("      - run: 'true'\n", flag="")
    said = " ".join(record["message"] for record in done.records() if record["kind"] == "warning")
    assert len(re.findall("files of .git/objects, which are put back", said)) == 2
    assert (home.git("fsck", "--full"), home.clone.git("fsck", "--full")) == ("", "")


@pytest.mark.parametrize(
    "script",
    ["rm -rf data; echo f > data", "rm -rf data; ln -s nowhere data", "rm -rf data/deep; echo f > data/deep"],
)
def test_it_is_said_where_the_files_of_a_folder_are_that_something_else_took_the_place_of(
    home: Home, script: str
) -> None:
    done = home.act(script)
    said = message(done) + texts(done)
    assert "data" in said
    assert "(no copy)" not in said
    assert (home.kept(done) / "data/deep/er/weights.bin").read_bytes() == MODEL


def test_a_folder_that_is_moved_away_is_said_and_nothing_is_made_in_its_place(home: Home) -> None:
    moved = home.folder.with_name("moved")
    home.write("data/large", b"x" * (2 << 20))
    done = home.act("cd ..; rm model/data/other; mv model moved")
    assert done.code == 1
    assert f"moved the folder away: it is '{moved}' now, and what is held of it is in there" in message(done)
    assert not home.folder.exists()
    place = home.place
    place.folder = home.folder = moved
    place.run("      - run: 'true'\n", flag="")
    assert {**home.before, "data/large": b"x" * (2 << 20)} == home.list_files()
    assert not (moved / ".git/flow-agent-held").exists()
    assert not (moved.parent / "model").exists()


def test_a_branch_that_is_set_back_is_said_though_something_else_leads_to_its_commits(home: Home) -> None:
    home.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "mine")
    home.git("branch", "backup")
    branch = home.git("branch", "--show-current")
    done = home.act("git reset -q --soft HEAD~1")
    assert done.code == 0, message(done)
    assert f"moved {branch} back: what it led to before is still in backup" in texts(done)


def test_a_branch_that_is_left_is_said(home: Home) -> None:
    branch = home.git("branch", "--show-current")
    done = home.act("git checkout -q -b pages")
    assert done.code == 0, message(done)
    assert f"The action left {branch}: what is checked out now is pages" in texts(done)


def test_another_work_tree_with_edits_is_not_removed(home: Home) -> None:
    tree = home.folder.parent / "tree"
    home.git("worktree", "add", "-q", "--detach", str(tree))
    (tree / "a.txt").write_text("edited\n")
    done = home.act("git worktree remove --force ../tree")
    assert "'git worktree' would throw away" in message(done)
    assert (tree / "a.txt").read_text() == "edited\n"


def test_a_clone_that_another_one_takes_the_place_of_is_kept(home: Home) -> None:
    done = home.act("rm -rf clone; git clone -q $HOSTED/acme/data clone")
    assert done.code == 1
    assert "took away clone/new, clone/c.txt, clone/cache, which are put back" in message(done)
    assert "overwrote what only this folder had: clone/.git (as it was in " in message(done)
    kept = Repository(home.kept(done) / "clone")
    assert kept.git("log", "-1", "--format=%s", "mine") == "mine"
    assert home.clone.git("log", "-1", "--format=%s", "origin/main") != "mine"
    assert (home.folder / "clone/new").read_bytes() == b"new\n"


def test_a_clone_that_has_nothing_of_its_own_may_be_made_anew(home: Home) -> None:
    make = "rm -rf fresh; git clone -q $HOSTED/acme/data fresh"
    assert home.act(make).code == 0
    done = home.act(make)
    assert done.code == 0, message(done)
    assert message(home.act("rm -rf fresh")).startswith("the action took away fresh, which is put back")
    assert (home.folder / "fresh/rows.csv").exists()
    assert Repository(home.folder / "fresh").git("status", "--porcelain", "--ignored") == ""


def test_a_repository_that_is_gone_is_said_and_nothing_is_made_in_its_place(home: Home) -> None:
    done = home.act("rm -rf .git")
    assert message(done) == "the action lost what only this folder had: .git"
    assert not (home.folder / ".git").exists()


def test_a_repository_that_is_moved_away_ends_nothing_in_a_fault_of_ours(home: Home) -> None:
    done = home.act("git init -q --separate-git-dir=../elsewhere .")
    assert "Errno" not in message(done)
    assert home.git("log", "-1", "--format=%H") == home.place.repository.head


def test_why_an_action_was_ended_is_said_beside_what_it_did(home: Home) -> None:
    home.git("tag", "mine")
    done = home.act("git tag -d mine; rm data/other; git clean -ffdx; sleep 100")
    assert done.code == 1
    assert message(done) == (
        "the action took away data/other, which is put back; and took away mine, which is put back;"
        f" it was ended: its 'git clean' would throw away what is in '{home.folder}'; --in-place=destructive lets it"
    )


OVERWRITTEN = "overwrote what only this folder had: a.txt (as it was in .git/kept-by-flow-agent/"
TAKEN = "took away data, which is put back"


@pytest.mark.parametrize("way", ["interrupt", "step", "tolerated", "job"])
def test_what_an_action_did_is_said_whatever_way_it_is_ended(home: Home, way: str) -> None:
    limits = {"step": "        timeout-minutes: 0.05\n", "job": "    timeout-minutes: 0.05\n"}
    limits["tolerated"] = f"{limits['step']}        continue-on-error: true\n"
    home.make_action("cp .gitignore a.txt; rm -rf data; touch ../gone; sleep 600")
    run = home.place.start(f"      - uses: ./.actions/act\n{limits.get(way, '')}", stdout=subprocess.PIPE)
    if way == "interrupt":
        wait_for((home.folder.parent / "gone").exists, "an action that did it")
        run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=60)
    done = Done(run.returncode, out.decode(), "")
    assert done.code == (130 if way == "interrupt" else 1)
    assert OVERWRITTEN in message(done)
    assert TAKEN in message(done)
    assert OVERWRITTEN in texts(done)
    annotations = [record["message"] for record in done.records() if record["kind"] == "annotation"]
    assert any(OVERWRITTEN in text and TAKEN in text for text in annotations)
    assert (home.kept(done) / "a.txt").read_bytes() == b"one\nedited\n"
    why = {"interrupt": "interrupt", "step": "timed out after", "job": "exceeded the maximum"}
    assert why.get(way, "") in message(done)


def test_what_a_killed_run_held_is_put_back_by_the_next_and_said(home: Home) -> None:
    home.write("a.txt", b"A\n")
    home.git("add", "a.txt")
    home.write("a.txt", b"B\n")
    home.kill_after("rm -rf data clone; echo x > .env; git reset -q")
    done = home.place.run("      - run: 'true'\n", flag="")
    (said,) = [record["message"] for record in done.records() if record["kind"] == "warning"]
    assert said.startswith("an action of a run that died here took away ")
    assert "data" in said
    assert "kept-by-flow-agent/index" in said
    assert ".env (as it was in .git/kept-by-flow-agent/" in said
    now = home.list_files()
    expected = {**home.before, ".env": b"x\n", "a.txt": b"B\n"}
    assert {name: now.get(name) for name in expected} == expected
    assert home.git("show", "kept-by-flow-agent/index:a.txt") == "A"
    assert home.clone.git("log", "-1", "--format=%s", "mine") == "mine"
    assert home.clone.git("for-each-ref", "refs/flow-agent") == ""
    assert not (home.folder / ".git/flow-agent-held").exists()


def test_what_is_held_is_nobody_elses_to_read(home: Home) -> None:
    mode = "stat -c %a .git/flow-agent-held"
    done = home.act(f"echo mode $({mode})")
    assert "mode 700" in texts(done)
    assert stat.S_IMODE((home.folder / ".env").stat().st_mode) & 0o600


def test_a_run_that_is_not_in_place_loads_nothing_of_this(home: Home) -> None:
    file = home.folder.parent / "flow.yml"
    file.write_text("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: 'true'\n")
    environment = {"AGENT_STATE": str(home.folder.parent / "state"), "PYTHONVERBOSE": "1"}
    done = run_agent("flow", "run", file, cwd=home.folder, environment=environment)
    assert done.code == 0
    assert "import 'agent.job.launch" in done.err
    assert "agent.job.in_place" not in done.err
