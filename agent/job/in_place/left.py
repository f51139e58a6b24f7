"""Left by runs that died: what they held in somebody's own folder is put back, and said. What is there is not touched: time has passed."""

from collections.abc import Iterator
from pathlib import Path

from agent.job.in_place import branches
from agent.job.in_place.belongings import find_shared
from agent.job.in_place.files import HeldFiles, take_left_files
from agent.job.in_place.losses import settle_left, show_kept
from agent.job.in_place.objects import describe_objects, git_of, is_object, put_back_objects


def put_back_left(folder: Path) -> str:
    """Put back what is gone of the repository around `folder` and of its files; what was done, as a sentence, or empty."""
    clauses = [*_put_back_files(folder), *_put_back_references(folder)]
    return f"an action of a run that died here {'; and '.join(clauses)}" if clauses else ""


def _put_back_files(folder: Path) -> Iterator[str]:
    for held in take_left_files(folder, find_shared(folder)):
        repositories = held.read_repositories()
        yield from _put_back_objects(folder, held)
        losses = settle_left(held)
        if said := losses.describe(folder, show_kept(held, folder)):
            yield said
        held.let_go()
        for repository in repositories:
            if repository.is_dir():
                yield from (f"{said} (in {repository})" for said in _put_back_references(repository))


def _put_back_objects(folder: Path, held: HeldFiles) -> Iterator[str]:
    objects = [path for path in held.list_left() if is_object(path)]
    for git in dict.fromkeys(map(git_of, objects)):
        if back := put_back_objects([path for path in objects if git_of(path) == git], held.give_back):
            repository = git.removesuffix("/.git")
            yield describe_objects(
                back, "" if git != repository and folder.is_relative_to(repository) else f" (in {repository})"
            )


def _put_back_references(folder: Path) -> Iterator[str]:
    if taken := branches.put_back_left(folder):
        yield branches.describe(taken)
