"""The folders of one job, and as whose.

    WORK/<job>-<lease>/      <repo>/<repo>, _temp, _home, _actions            the job runs as the agent's own user: all is its own
    WORK/<job>-<lease>/      _work/<repo>, _workspace, _temp, _home, ...      it runs as another (`--run-as`): see below
    WORK/_tool, WORK/_actions                                                 of all jobs

A job that runs as another user owns its folders, and not the two that they lie in (`held`): it can't swap one of them for a link
while the container engine, who is root, mounts it. So what containers are given are these very folders, and nothing below them.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError
from agent.job.account.account import Account, acting_as
from agent.job.folder.attempt import WORK, JobFolder
from agent.job.folder.settings import JobSettings
from agent.spec.conventions import find_conventions
from agent.spec.data import INPUTS, OUTPUTS, BringKind, KeepKind
from agent.spec.job import JobSpec
from agent.trees import remove_tree


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one job, and `tools` and `actions` of all jobs."""

    root: Path  # of all that is this job's: the workspace's parent
    workspace: Path
    temp: Path
    tools: Path
    actions: Path
    action_copies: Path  # this job's own: what an action writes into its folder, no other job sees
    home: Path  # this job's own HOME, where it has one: what programs note there, no other job sees
    held: Path | None = (
        None  # what holds the job's folders, and is not the job's; None where the job has all of it
    )
    data: Path | None = None  # holds `inputs` and `outputs`, of a job that asks for them, and `outside`
    outside: tuple[
        str, ...
    ] = ()  # folders of its container that are not the job's, in which data lies all the same

    @property
    def event(self) -> Path:
        """The event's payload."""
        folder = self.temp / "_github_workflow" if self.held is None else self.held / "_workflow"
        return folder / "event.json"

    @property
    def command_files(self) -> Path:
        """Where the files are made through which steps speak."""
        return self.temp / "_runner_file_commands" if self.held is None else self.held / "_file_commands"

    @property
    def container_home(self) -> Path:
        """HOME of the job's containers."""
        return self.temp / "_github_home" if self.held is None else self.held / "_github_home"

    @property
    def data_folders(self) -> tuple[Path, ...]:
        """`inputs` and `outputs`, where the job has them."""
        return () if self.data is None else (self.data / INPUTS, self.data / OUTPUTS)

    @property
    def outside_folders(self) -> tuple[Path, ...]:
        """What of the machine lies at each place of `outside`."""
        return tuple(self.temp.parent / f"_outside-{number}" for number in range(len(self.outside)))

    @property
    def mounted(self) -> tuple[Path, ...]:
        """Folders that the job's containers have, but for `tools`."""
        if self.held is None:
            return (self.temp.parent, self.workspace)
        shared = (self.event.parent, self.command_files, self.container_home)
        data = (*self.data_folders, *self.outside_folders)
        return (self.workspace, self.temp, self.action_copies, *shared, *data)


def choose_places(folder: JobFolder, spec: JobSpec, settings: JobSettings) -> Places:
    """Where the job works. Its workspace is `settings.workspace`, or a fresh folder named after the repository."""
    repository = spec.context("github").get("repository")
    name = repository.rpartition("/")[2] if isinstance(repository, str) else ""
    name = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "work"
    root = settings.work_folder / folder.name
    held = root if settings.run_as else None
    workspace = settings.workspace or (root / name / name if held is None else root / WORK / name)
    return Places(
        root=workspace.parent if held is None else root / "_workspace",
        workspace=workspace,
        temp=root / "_temp",
        tools=settings.tool_folder,
        actions=settings.action_folder,
        action_copies=root / "_actions",
        home=root / "_home",
        held=held,
        data=root / "_data" if spec.has_data_folders else None,
        outside=_list_outside(spec),
    )


def _list_outside(spec: JobSpec) -> tuple[str, ...]:
    """The folders of the job's container, named by their whole paths, that its data is brought to or kept from.

    They are mounted: nothing else of a container is within reach of the steps that do it.
    """
    words = find_conventions(spec.conventions)
    if not spec.container or words is None:
        return ()
    named = [bring.path for bring in spec.brings if bring.kind is not BringKind.TEXT]
    named += [keep.path for keep in spec.keeps if keep.is_made or keep.kind is KeepKind.CACHE]
    own = tuple(f"{folder}/" for folder in words.folders if folder)
    paths = {os.path.normpath(path) for path in named if path.startswith("/")}
    return tuple(sorted(path for path in paths if path != "/" and not f"{path}/".startswith(own)))


def make_places(places: Places) -> None:
    """Make the folders; what an earlier try left in the job's temporary folder is removed. Raises AgentError."""
    remove_tree(places.temp)
    remove_tree(places.home)
    for folder in (places.tools, places.actions):  # below the agent's state, or where its owner has put them
        _make_kept(folder)
    own = (places.workspace, places.event.parent, places.command_files)
    for folder in (*own, *places.data_folders, *places.outside_folders):
        folder.mkdir(parents=True, exist_ok=True)
    places.home.mkdir(mode=0o700, exist_ok=True)


def _make_kept(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AgentError(
            f"a folder that jobs share can't be made: {error.strerror}",
            where=str(folder),
            hint="name others with AGENT_STATE and AGENT_WORK_DIR; `agent doctor` shows them",
        ) from None


def hand_over_places(places: Places, account: Account) -> None:
    """Before anything of the job runs: make its folders as its user, in folders that stay ours.

    Of the whole process, which has one thread and is in `account`'s group.
    """
    held = places.held
    assert held is not None
    remove_tree(held)
    ours = (held, places.workspace.parent, *([] if places.data is None else [places.data]))
    for folder in ours:
        folder.mkdir(mode=0o700)
        os.chown(folder, -1, account.gid)
        folder.chmod(0o770)
    with acting_as(account):
        places.home.mkdir(mode=0o700)
        for folder in (*places.mounted, places.root):
            folder.mkdir(mode=0o755)
        # As on GitHub, where the workspace lies in the runner's: `${{ runner.workspace }}/REPO` is it.
        (places.root / places.workspace.name).symlink_to(places.workspace)
    for folder in ours:
        folder.chmod(0o750)
