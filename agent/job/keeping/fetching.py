"""Actions of a job that runs as a user of its own: the agent brings them (`agent.job.keeper`), and the job has a copy of its own.

So the store is no job's to write, and the owner's git credentials are no job's to read. A folder of this machine is another
matter: one that the flow names, and not the owner, is read as the job's user, with the rights that the job has.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from agent.errors import AgentError
from agent.job.keeping.client import Keeper
from agent.resolve.fetching import Admit, Fetched, Fetcher
from agent.resolve.sources import git
from agent.resolve.store import ActionStore

_MOST_MOVES = 4


class KeeperFetcher(Fetcher):
    """See Fetcher. `copies` is the job's own folder, `templates` are the owner's places of actions."""

    def __init__(self, keeper: Keeper, copies: Path, templates: Sequence[str]) -> None:
        super().__init__(ActionStore(copies / "_own"), copies, git.DEFAULT_LIMIT_BYTES)
        self._keeper = keeper
        fixed = [template.partition("{")[0] for template in templates if template.startswith("file:")]
        places = [f"{part.rpartition('/')[0]}/" for part in fixed]
        self._owners = tuple(place for place in places if urlsplit(place).path.strip("/"))

    def _fetch_from_first(self, urls: tuple[str, ...], ref: str, admit: Admit) -> Fetched:
        if any(self._is_the_flows(url) for url in urls):
            return super()._fetch_from_first(urls, ref, admit)
        admitted: list[str] = []
        for _ in range(_MOST_MOVES):
            found = self._keeper.fetch(urls, ref, admitted)
            if "place" not in found:
                return self._take(found)
            admit(found["place"])
            admitted.append(found["place"])
        raise git.MovedError(urls[0], "")

    def _is_the_flows(self, url: str) -> bool:
        """Whether this is a folder of the machine that the owner has not named as a place of actions."""
        parts = urlsplit(url)
        if parts.scheme.lower() != "file":
            return False
        is_plain = ".." not in parts.path.split("/") and "%" not in parts.path
        return not (is_plain and url.startswith(self._owners))

    def _take(self, found: dict[str, object]) -> Fetched:
        source = Path(str(found["root"]))
        target = self._copies / source.parent.name / source.name
        if not target.is_dir():
            try:
                shutil.copytree(source, target, symlinks=True)
            except (OSError, shutil.Error) as error:
                raise AgentError(f"the action can't be copied: {error}", where=str(target)) from None
        warnings = found["warnings"]
        assert isinstance(warnings, list)
        return Fetched(target, str(found["commit"]), str(found["origin"]), tuple(map(str, warnings)))
