"""Git, asked about a folder: without what would lead it to another place."""

import os
from typing import Final

# In a hook, git sets some of them (git-rev-parse(1), --local-env-vars).
_LEADING: Final = frozenset(
    {
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"),
        *("GIT_PREFIX", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE"),
    }
)


def git_environment() -> dict[str, str]:
    """This process's environment for a git that is asked about a folder, wherever it would lead git to."""
    return {name: value for name, value in os.environ.items() if name not in _LEADING}
