"""`agent flow run --in-place`: branches, tags and stashes that an action takes away or moves are there again, or kept by a name that is said."""

import os
import subprocess
from pathlib import Path

import pytest
from support.git import Repository
from support.in_place import Place, kill_all, message
from support.lab import Done, wait_for

HELD = "refs/flow-agent"


class History:
    """A repository of which much is nowhere else: a branch, tags of both kinds, stashes."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.git = place.repository.git
        self.git("branch", "-M", "main")
        self.git("tag", "-d", "v1")  # that of every repository in here
        self.old = self.make_commit("nowhere else")
        self.git("branch", "old", self.old)
        self.git("tag", "-a", "-m", "the first", "v1", "main")
        self.tagged = self.make_commit("tagged")
        self.git("tag", "light", self.tagged)
        for name in ("first", "second"):
            self.git("stash", "store", "-m", f"mine: {name}", self.make_stash())
        self.before = self.references()

    def make_commit(self, text: str, parent: str = "HEAD") -> str:
        return self.git("commit-tree", "-m", text, "-p", parent, "HEAD^{tree}")

    def make_stash(self) -> str:
        (self.place.folder / "a.txt").write_text(f"stash {len(self.git('stash', 'list'))}\n")
        made = self.git("stash", "create")
        (self.place.folder / "a.txt").write_text(self.place.mine["a.txt"])
        return made

    def references(self) -> set[str]:
        """Every reference and stash, and what it is called."""
        shown = self.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
        return {*shown.splitlines(), *self.git("stash", "list").splitlines()}

    def kept(self, name: str) -> str:
        """What the reference leads to that was made for what would be lost."""
        return self.git("rev-parse", "--verify", f"{name}^{{}}")

    def act(self, script: str, *, flag: str = "--in-place") -> Done:
        """Run an action that does `script`."""
        self.make_action("act", script)
        return self.place.run("      - uses: ./.actions/act\n", flag=flag)

    def make_action(self, name: str, script: str) -> None:
        folder = self.place.folder / ".actions" / name
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"\n        {line}" for line in script.split("\n"))
        manifest = f"name: x\nruns:\n  using: composite\n  steps:\n    - shell: sh\n      run: |{lines}\n"
        (folder / "action.yml").write_text(manifest)


@pytest.fixture
def history(place: Place) -> History:
    return History(place)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("git push -q . :old", "took away old, which is put back"),
        ("git update-ref -d refs/heads/old", "took away old, which is put back"),
        ("git -c alias.zap='branch -D old' zap", "took away old, which is put back"),
        ("git tag -d v1 light", "took away light, v1, which are put back"),
        ("git fetch -q . +main:old", "moved old, which is put back"),
        ("git push -q --force . HEAD:refs/heads/old", "moved old, which is put back"),
        ("git update-ref refs/heads/old HEAD", "moved old, which is put back"),
        ("git symbolic-ref refs/heads/old refs/heads/main", "moved old, which is put back"),
        ("git tag -f v1 main", "moved v1, which is put back"),
        ("git update-ref refs/tags/v1 HEAD", "moved v1, which is put back"),
        ("git tag -f light main", "moved light, which is put back"),
        (
            "git update-ref -d refs/stash",
            "took away stash 'mine: first', stash 'mine: second', which are put back",
        ),
        ("git -c alias.z='stash drop' z -q", "took away stash 'mine: second', which is put back"),
        ("rm .git/refs/stash .git/logs/refs/stash; git gc -q --prune=now", "took away stash 'mine: first'"),
        (
            "rm .git/logs/refs/stash",
            "took away stash 'mine: first', stash 'mine: second', which are put back",
        ),
        (
            "git update-ref refs/heads/old main; git reflog expire --expire=now --all; git gc -q --prune=now",
            "moved old, which is put back",
        ),
        (
            (
                "printf '#!/bin/sh\\nexit 1\\n' > .git/hooks/reference-transaction\n"
                "git update-ref -d refs/heads/old; chmod +x .git/hooks/reference-transaction"
            ),
            "took away old, which is put back",
        ),
    ],
)
def test_what_an_action_takes_away_or_moves_is_as_it_was(history: History, script: str, said: str) -> None:
    done = history.act(script)
    assert done.code == 1, done.out
    assert said in message(done)
    assert history.references() == history.before
    assert history.place.kept() == history.place.mine


def test_what_an_action_made_of_a_branch_or_a_tag_is_kept_beside_by_the_name_that_is_said(
    history: History,
) -> None:
    done = history.act(
        "made=$(git -c user.name=a -c user.email=a@example.org commit-tree -m made HEAD^{tree})\n"
        "git update-ref refs/heads/old $made\n"
        "git -c user.name=a -c user.email=a@example.org tag -f -a -m new v1 main"
    )
    assert done.code == 1
    assert (
        "moved old, which is put back (what it led to in between is kept as kept-by-flow-agent/old)"
        in message(done)
    )
    assert (
        "moved v1, which is put back (what it led to in between is kept as kept-by-flow-agent/v1)"
        in message(done)
    )
    assert history.before < history.references()
    assert history.git("log", "-1", "--format=%s", "kept-by-flow-agent/old") == "made"
    assert history.git("tag", "-l", "--format=%(subject)", "kept-by-flow-agent/v1") == "new"


def test_a_branch_that_is_checked_out_stays_and_its_commits_are_kept_beside_again_and_again(
    history: History,
) -> None:
    git, names = history.git, []
    for number in range(2):
        git("commit", "-q", "--allow-empty", "-m", f"mine {number}")
        commit = git("rev-parse", "HEAD")
        done = history.act("git -c user.name=a -c user.email=a@b commit -q --amend --allow-empty -m theirs")
        assert done.code == 1
        names.append(f"kept-by-flow-agent/main{'-2' if number else ''}")
        assert f"moved main: what it led to before is kept as {names[-1]}; " in message(done)
        assert history.kept(names[-1]) == commit
        assert git("log", "-1", "--format=%s") == "theirs"


def test_each_is_kept_by_its_own_name_where_several_are_moved(history: History) -> None:
    history.git("commit", "-q", "--allow-empty", "-m", "mine")
    commit = history.git("rev-parse", "HEAD")
    done = history.act(
        "git tag -f v1 main; git update-ref refs/heads/old HEAD\n"
        "git -c user.name=a -c user.email=a@b commit -q --amend --allow-empty -m theirs"
    )
    assert done.code == 1
    moved = "moved v1, old, which are put back; and moved main: what it led to before is kept as kept-by-flow-agent/main"
    assert f"the action {moved}; --in-place=destructive lets it" == message(done)
    assert history.kept("kept-by-flow-agent/main") == commit
    assert history.kept("old") == history.old


@pytest.mark.parametrize(
    "script", ["git tag v2; git branch new; git fetch -q origin", "git push -q . HEAD:refs/heads/behind"]
)
def test_what_loses_nothing_is_an_actions_own_business(history: History, script: str) -> None:
    history.git("branch", "behind")
    (history.place.folder / "made").write_text("")
    history.git("add", "made")
    history.git("commit", "-q", "-m", "more")
    done = history.act(script)
    assert done.code == 0, done.out
    assert "kept-by-flow-agent" not in "".join(history.references())


@pytest.mark.parametrize(
    "script",
    [
        "git update-ref -d refs/heads/old; git update-ref refs/heads/old/new HEAD",
        "echo spoiled > .git/refs/heads/old",
    ],
)
def test_where_nothing_can_be_put_back_it_is_kept_beside(history: History, script: str) -> None:
    done = history.act(script)
    assert done.code == 1
    assert "took away old: what it led to before is kept as kept-by-flow-agent/old" in message(done)
    assert history.kept("kept-by-flow-agent/old") == history.old


def test_a_reference_that_has_long_led_to_nothing_is_in_nobodys_way(history: History) -> None:
    (history.place.folder / ".git/refs/heads/broken").write_text("1234567890" * 4 + "\n")
    done = history.act(
        "git update-ref -d refs/heads/old; git reflog expire --expire=now --all; git prune --expire=now"
    )
    assert done.code == 1
    assert "the action took away old" in message(done)
    assert history.git("rev-parse", "old") == history.old
    assert (history.place.folder / ".git/refs/heads/broken").exists()
    assert history.git("for-each-ref", HELD) == ""


def test_consent_lets_an_action_move_a_tag(history: History) -> None:
    assert history.act("git tag -f v1 main", flag="--in-place=destructive").code == 0
    assert history.references() != history.before


def test_a_run_in_place_leaves_nothing_of_ours_in_the_repository(history: History) -> None:
    git = history.place.folder / ".git"

    def folders() -> set[Path]:
        return {path for path in git.rglob("*") if path.is_dir() and "objects" not in path.parts}

    before = folders()
    history.git("config", "core.logAllRefUpdates", "always")
    assert history.act("true").code == 0
    assert folders() == before


REMOVE = """git update-ref -d refs/heads/old; git tag -d v1 light; git update-ref -d refs/stash; git pack-refs --all
touch ../gone; read _ < ../pipe"""


def start_removing(history: History) -> "subprocess.Popen[bytes]":
    """A run whose action has taken everything away, and waits for a word in `pipe`."""
    outside = history.place.folder.parent
    os.mkfifo(outside / "pipe")
    history.make_action("remove", REMOVE)
    run = history.place.start("      - uses: ./.actions/remove\n")
    wait_for((outside / "gone").exists, "an action that took everything away")
    return run


@pytest.fixture
def killed(history: History) -> History:
    """A run was killed, and its supervisor too, after an action had taken everything away."""
    run = start_removing(history)
    kill_all(run)
    assert history.git("for-each-ref", "refs/heads/old", "refs/tags") == ""
    return history


@pytest.mark.parametrize("flag", ["--in-place", "--in-place=destructive", ""])
@pytest.mark.parametrize(
    "step", ["{run: 'true'}", "{uses: acme/get@v1, with: {repository: acme/data, path: data}}"]
)
def test_the_next_run_puts_back_what_a_killed_one_held_and_says_so(
    killed: History, flag: str, step: str
) -> None:
    done = killed.place.run(f"      - {step}\n", flag=flag)
    assert done.code == 0, done.out
    (said,) = [record["message"] for record in done.records() if record["kind"] == "warning"]
    taken = "took away light, v1, old, stash 'mine: first', stash 'mine: second', which are put back"
    assert said == f"an action of a run that died here {taken}"
    assert killed.references() == killed.before
    assert killed.git("for-each-ref", HELD) == ""
    assert not (killed.place.folder / ".git" / "flow-agent").exists()
    assert "died here" not in killed.place.run("      - run: 'true'\n").out


def test_what_the_user_has_made_since_a_run_was_killed_is_not_moved(killed: History) -> None:
    killed.git("branch", "old", "main")
    done = killed.place.run("      - run: 'true'\n")
    assert "moved old: what it led to before is kept as kept-by-flow-agent/old" in done.out
    assert killed.kept("old") == killed.git("rev-parse", "main")
    assert killed.kept("kept-by-flow-agent/old") == killed.old


def test_a_run_takes_nothing_of_one_beside_it_that_lives(history: History) -> None:
    run = start_removing(history)
    beside = history.act("true")
    assert beside.code == 0, beside.out
    assert "died here" not in beside.out
    assert history.git("for-each-ref", HELD), "what the other one holds is still held"
    (history.place.folder.parent / "pipe").write_text("\n")
    assert run.wait() == 1
    assert history.references() == history.before


def test_what_a_version_before_this_one_held_is_kept_beside(history: History) -> None:
    commit = history.make_commit("held")
    history.git("update-ref", f"{HELD}/held/{commit}", commit)
    done = history.place.run("      - run: 'true'\n")
    assert "moved HEAD: what it led to before is kept as kept-by-flow-agent/HEAD" in done.out
    assert history.kept("kept-by-flow-agent/HEAD") == commit
    assert history.git("for-each-ref", HELD) == ""


def test_a_linked_work_tree_is_no_other_repository(history: History) -> None:
    tree = history.place.folder.parent / "tree"
    history.git("worktree", "add", "-q", "--detach", str(tree), history.old)
    history.git("branch", "-D", "old")
    Repository(tree).git("checkout", "-q", "--detach")
    history.place.folder, main = tree, history.place.folder
    history.make_action("act", "git checkout -q --detach main; git tag -d v1")
    done = history.place.run("      - uses: ./.actions/act\n")
    history.place.folder = main
    assert done.code == 1
    assert "took away v1, which is put back; and moved HEAD: what it led to before is kept as" in message(
        done
    )
    assert history.kept("kept-by-flow-agent/HEAD") == history.old
    assert not (main / ".git" / "flow-agent").exists()


def test_a_repository_that_git_can_read_no_more_stays_held_until_it_can(history: History) -> None:
    done = history.act("git update-ref -d refs/heads/old; mv .git/HEAD ..")
    assert done.code == 1
    assert "left a repository that git can't read any more" in message(done)
    (history.place.folder.parent / "HEAD").rename(history.place.folder / ".git" / "HEAD")
    assert "took away old, which is put back" in history.place.run("      - run: 'true'\n").out
    assert history.references() == history.before
