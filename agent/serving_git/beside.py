"""Repositories beside the run's own: submodules whose address is relative to it, from their clones within the work tree.

Git makes of `../part` in `owner/name` the repository `owner/part` at the same server, so that is where they are served.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent.serving_git.work_tree import Code, commit_work_tree


def list_beside(code: Code, repository: str, folder: Path) -> Iterator[tuple[str, Code]]:
    """Their names, as git makes them of `repository` (`owner/name`), and their code as the work tree's commit names it.

    What has to be made new lies below `folder`. Raises AgentError when git can't read one.
    """
    for number, one in enumerate(code.nested):
        if not one.url.startswith(("./", "../")) or not (code.top / one.path / ".git").exists():
            continue
        name = posixpath.normpath(posixpath.join(repository, one.url)).removesuffix(".git")
        inner = commit_work_tree(code.top / one.path, folder / f"code-{number}")
        refs = {**inner.refs, f"refs/heads/{inner.default_branch}": one.commit}
        yield name, replace(inner, tip=one.commit, base=one.commit, refs=refs)
