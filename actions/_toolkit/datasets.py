"""Datasets of a job: read as a folder, and kept as new versions, those of one job all at once or none.

On the server by its API, spoken for by the job's token; in a local run in a folder: `NAME/N/` each, with `NAME/N.json`.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from _toolkit import http
from _toolkit.folders import remove
from _toolkit.names import check_name, check_names
from _toolkit.plain import open_regular
from _toolkit.step import StepError, human, say
from _toolkit.trees import Entry, Tree, copy_tree, scan_tree

_FILES_AT_ONCE = 1000
_LISTED_AT_ONCE = 200
_AT_A_TIME = 4
_NO_FACTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Staged:
    """A version that has arrived, and that nobody sees before it is committed. `key` is where, in the shelf's words."""

    name: str
    tag: str
    key: str
    tree: Tree


class DatasetShelf(Protocol):
    """Where datasets are."""

    def stage(self, name: str, tree: Tree, message: str, facts: Mapping[str, str] = _NO_FACTS) -> Staged:
        """Bring the files of a new version of `NAME` or `NAME:TAG` there; `facts` are said of it."""
        ...

    def commit(self, staged: Sequence[Staged]) -> list[str]:
        """Make all of them versions: `NAME:NUMBER` each."""
        ...

    def fetch(self, item: Mapping[str, Any], target: Path) -> str:
        """Make the new folder `target` of a version; gives what there is to say."""
        ...


def open_datasets() -> DatasetShelf:
    """The datasets of the run that this step belongs to."""
    url, token = os.environ.get("ACTIONS_RESULTS_URL", ""), os.environ.get("ACTIONS_RUNTIME_TOKEN", "")
    if url:
        return ServerDatasets(url.rstrip("/"), token)
    folder = os.environ.get("FLOW_DATASETS", "")
    if folder:
        return LocalDatasets(Path(folder))
    raise StepError("there is nowhere to keep datasets: neither ACTIONS_RESULTS_URL nor FLOW_DATASETS is set")


class LocalDatasets:
    """The folder of this user's local runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stage(self, name: str, tree: Tree, message: str, facts: Mapping[str, str] = _NO_FACTS) -> Staged:
        """See DatasetShelf."""
        own, _, tag = name.partition(":")
        folder = self._folder / check_dataset_name(own)
        folder.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
        copy_tree(as_folder(tree), making / "tree")
        note = {"message": message, "tags": [tag] if tag else [], "metadata": dict(facts)}
        (making / "note").write_text(json.dumps(note))
        return Staged(own, tag, str(making), tree)

    def commit(self, staged: Sequence[Staged]) -> list[str]:
        """See DatasetShelf. The notes come last: they are what makes it a version."""
        placed = [(one, self._place(Path(one.key))) for one in staged]
        for one, place in placed:
            if one.tag:
                self._take_tag_off(place.parent, one.tag)
            (Path(one.key) / "note").replace(place.with_name(f"{place.name}.json"))
            remove(Path(one.key))
        return [f"{one.name}:{place.name}" for one, place in placed]

    def fetch(self, item: Mapping[str, Any], target: Path) -> str:
        """See DatasetShelf."""
        source = Path(item["folder"])
        tree = scan_tree(source, str(source))
        copy_tree(tree, target)
        return f"{item['name']}:{item['version']}, {tree.describe()}, {human(tree.size)}"

    def _place(self, making: Path) -> Path:
        """The folder of the next version, with the tree in it; two at once have two."""
        folder = making.parent
        number = max((int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()), default=0)
        while True:
            number += 1
            with contextlib.suppress(FileExistsError, OSError):
                (folder / str(number)).mkdir()
                return (making / "tree").replace(folder / str(number))

    def _take_tag_off(self, folder: Path, tag: str) -> None:
        for file in folder.glob("*.json"):
            note = json.loads(file.read_text(encoding="utf-8"))
            if tag in note["tags"]:
                note["tags"].remove(tag)
                making = file.with_suffix(".new")
                making.write_text(json.dumps(note))
                making.replace(file)


class ServerDatasets:
    """The server's datasets, of the job's own project."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url}/api/v1"
        self._headers = {"Authorization": f"Bearer {token}"}

    def stage(self, name: str, tree: Tree, message: str, facts: Mapping[str, str] = _NO_FACTS) -> Staged:
        """See DatasetShelf."""
        own, _, tag = name.partition(":")
        path = f"/datasets/{quote(own, safe='')}"
        self._create(own, path)
        about = {"message": message, "metadata": dict(facts)}
        draft = self._call("POST", f"{path}/drafts", about)["draft"]
        base = f"{path}/drafts/{draft}"
        files = list(_describe_files(as_folder(tree).entries))
        sources = {file["digest"]: entry for file, entry in files}
        for part in _in_parts([file for file, _ in files]):
            missing = self._call("POST", f"{base}/files", {"files": part})["missing"]

            def send(digest: str) -> None:
                http.send_file(f"{self._url}{base}/contents/{digest}", sources[digest].source, self._headers)

            with ThreadPoolExecutor(_AT_A_TIME) as pool:
                list(pool.map(send, missing))
        return Staged(own, tag, str(draft), tree)

    def commit(self, staged: Sequence[Staged]) -> list[str]:
        """See DatasetShelf. One call, which is one transaction."""
        drafts = [
            {"dataset": one.name, "draft": int(one.key), "tags": [one.tag] if one.tag else []}
            for one in staged
        ]
        done = self._call("POST", "/dataset-drafts/commit", {"drafts": drafts})
        return [f"{version['dataset']}:{version['version']}" for version in done["versions"]]

    def fetch(self, item: Mapping[str, Any], target: Path) -> str:
        """See DatasetShelf."""
        path = f"/datasets/{quote(item['name'], safe='')}/versions/{item['version']}"
        files = list(self._list_files(path))
        check_names(file["path"] for file in files)
        target.mkdir()

        def bring(file: Mapping[str, Any]) -> None:
            check_name(file["path"])
            place = target / file["path"]
            place.parent.mkdir(parents=True, exist_ok=True)
            url = f"{self._url}{path}/contents/{file['digest']}"
            came = f"sha256:{http.download(url, place, self._headers)}"
            if came != file["digest"]:
                raise StepError(f"'{file['path']}' came as {came}, and is {file['digest']}")
            place.chmod(0o755 if file["mode"] == "755" else 0o644)

        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            list(pool.map(bring, files))
        size = sum(file["size_bytes"] for file in files)
        return f"{item['name']}:{item['version']}, {len(files)} files, {human(size)}"

    def _create(self, name: str, path: str) -> None:
        """A dataset that is not there yet is made."""
        try:
            self._call("GET", path)
        except http.HttpError as error:
            if error.status != 404:
                raise
            with contextlib.suppress(
                http.HttpError
            ):  # another job was quicker, or the next call says why not
                self._call("POST", "/datasets", {"name": name})
                say(f"dataset '{name}' is new")

    def _list_files(self, path: str) -> Iterator[dict[str, Any]]:
        cursor = ""
        while cursor is not None:
            query = urlencode({"limit": _LISTED_AT_ONCE, "cursor": cursor})
            answer = self._call("GET", f"{path}/files?{query}")
            yield from answer["files"]
            cursor = answer["next"]

    def _call(self, verb: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": "application/json"}
        try:
            return json.loads(http.request(verb, f"{self._url}{path}", data, headers).body)
        except http.HttpError as error:
            raise http.HttpError(_explain(error), error.status, error.body) from None


def as_folder(tree: Tree) -> Tree:
    """A version is a folder, also where it is one file; its links are the files that they lead to."""
    return Tree(tree.entries, is_file=False)


def check_dataset_name(name: str) -> str:
    """The name, if it can be a folder's. The server has a rule of its own."""
    if not name or name.startswith(".") or not all(each.isalnum() or each in "._-" for each in name):
        raise StepError(f"a dataset can't be called {name[:80]!a}", "use letters, digits, dots, - and _")
    return name


def _describe_files(entries: Iterable[Entry]) -> Iterator[tuple[dict[str, Any], Entry]]:
    for entry in entries:
        if entry.is_folder:
            continue
        with open_regular(entry.source) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        mode = "755" if entry.is_executable else "644"
        about = {"path": entry.name, "size_bytes": entry.size, "digest": f"sha256:{digest}", "mode": mode}
        yield about, entry


def _in_parts(files: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for at in range(0, len(files), _FILES_AT_ONCE):
        yield files[at : at + _FILES_AT_ONCE]


def _explain(error: http.HttpError) -> str:
    """What the server says of it."""
    try:
        said = json.loads(error.body)
        return f"{said['detail']}{'; ' + said['hint'] if said.get('hint') else ''}"
    except (ValueError, KeyError, TypeError):
        return str(error)
