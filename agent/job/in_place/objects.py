"""Objects of somebody's own repository: what an action removes of them without git is put back.

Each file of `.git/objects` is held by a hard link outside of it. Git itself removes such files (`gc`, `repack`): none is put back as long
as all that references and the index lead to can be read.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agent.job.in_place.belongings import ask_git, find_shared
from agent.trees import walk_tree

MOST_FILES = 20_000  # of all repositories; git packs loose ones from some 7,000 on


def list_objects(work_tree: Path) -> Iterator[str]:
    """The files with objects of the repository around `work_tree`, packs first."""
    shared = find_shared(work_tree)
    folders = [os.path.normpath(f"{shared}/objects/{name}") for name in ("pack", "")] if shared else []
    seen: set[str] = set()
    for top in folders:
        with contextlib.suppress(OSError):
            for _folder, below, entries in walk_tree(Path(top).resolve()):
                folder = f"{top}/{below}" if below else top
                if folder in seen:
                    entries.clear()
                    continue
                seen.add(folder)
                names = [entry.name for entry in entries if not entry.is_dir()]
                yield from (f"{folder}/{name}" for name in names if not name.startswith("tmp_"))


def is_object(path: str) -> bool:
    """Whether the file lies among the objects of a repository."""
    return "/objects/" in f"/{path.partition('/.git/')[2]}"


def put_back_objects(paths: Iterable[str], give_back: Callable[[str], bool]) -> list[str]:
    """Put back, by `give_back`, those of `paths`, files with objects of one repository, that it can't be read without."""
    missing = [path for path in paths if not os.path.lexists(path)]
    if not missing or is_readable(git := git_of(missing[0])) or not os.path.isdir(git):  # noqa: PTH112
        return []
    return [path for path in missing if give_back(path)]


def git_of(path: str) -> str:
    """The repository's own folder, of a file among its objects."""
    return path.rpartition("/objects/")[0]


def describe_objects(back: list[str], inside: str) -> str:
    """What was done, after `the action`; `inside` says in which repository."""
    files = "1 file" if len(back) == 1 else f"{len(back):,} files"
    return f"took away {files} of .git/objects, which {'is' if len(back) == 1 else 'are'} put back{inside}"


def is_readable(git: str) -> bool:
    """Whether all that references and the index lead to is there. What a partial clone has never had is not asked for.

    `git` is the repository's own folder: a folder without objects is none for git, which then looks for one around it.
    """
    asked = ("rev-list", "--objects", "--quiet", "--exclude-promisor-objects", "--all", "--indexed-objects")
    environment = {"GIT_DIR": git, "GIT_NO_LAZY_FETCH": "1"}
    return ask_git(Path(git), *asked, environment=environment) is not None
