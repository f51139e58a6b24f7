"""Neighbours that a manifest names beside itself: its scripts, its Dockerfile, and the actions that its steps use."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.errors import AgentError
from agent.flow.problems import Problem
from agent.flow.source import Mapping, Node, Sequence, key_text
from agent.resolve.manifests.github.surroundings import Surroundings, find, text_of, warn
from agent.resolve.manifests.model import ActionManifest, InvalidActionError
from agent.resolve.reference import RepositoryReference, SelfReference, WorkspaceReference, parse_reference
from agent.resolve.sources.bundled import find_bundled, refuse_reserved

_SCRIPTS: Final = ("pre", "main", "post")
_ENTRYPOINTS: Final = ("pre-entrypoint", "entrypoint", "post-entrypoint")
_SCHEME: Final = "docker://"
_ENTRYPOINT_LINE: Final = re.compile(r"^\s*ENTRYPOINT\s*\[\s*\"([^\"]+)\"", re.IGNORECASE | re.MULTILINE)
_BRINGS: Final = re.compile(r"^\s*(?:COPY|ADD)\s", re.IGNORECASE | re.MULTILINE)


def inspect_files(runs: Node | None, using: str, around: Surroundings) -> Iterator[Problem]:
    """The files that the manifest says it runs."""
    if not isinstance(runs, Mapping):
        return
    if using == "docker":
        yield from _inspect_image(runs, around)
    else:
        for key in _SCRIPTS:
            node = runs.find(key)
            if node is not None and text_of(node):
                yield from _inspect_file(node, text_of(node), around)


def inspect_uses(runs: Node | None, around: Surroundings) -> Iterator[Problem]:
    """The actions that a composite action's steps use, as far as they are at hand."""
    steps = find(runs, "steps")
    for step in steps.items if isinstance(steps, Sequence) else ():
        node = find(step, "uses")
        if node is None or not text_of(node):
            continue
        try:
            yield from _inspect_use(node, find(step, "with"), around)
        except InvalidActionError as error:
            yield Problem(
                node.position, f"the action '{text_of(node)}' is not valid: {error.what}", error.where
            )
        except AgentError as error:
            yield Problem(node.position, error.what, error.hint)


def _inspect_file(node: Node, name: str, around: Surroundings) -> Iterator[Problem]:
    file = around.folder / name
    if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(around.root)):
        yield Problem(node.position, f"'{name}' lies outside of the action's repository")
    elif not file.is_file():
        hint = (
            "is it built? Who uses the action gets what the repository holds, and nothing is built for them"
        )
        yield Problem(node.position, f"there is no file '{name}'", hint)
    elif around.is_kept is not None and not around.is_kept(file):
        hint = f"`git add --force {name}`, and take it out of .gitignore: who uses the action gets what is committed"
        yield warn(node, f"git does not have '{name}'", hint)


def _inspect_image(runs: Mapping, around: Surroundings) -> Iterator[Problem]:
    node = runs.find("image")
    image = text_of(node)
    if node is None or not image or image.lower().startswith(_SCHEME):
        return
    yield from _inspect_file(node, image, around)
    try:
        dockerfile = (around.folder / image).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    named = [(runs.find(key), text_of(runs.find(key))) for key in _ENTRYPOINTS]
    named += [(node, found[1]) for found in _ENTRYPOINT_LINE.finditer(dockerfile)]
    for at, entrypoint in named:
        if at is not None and entrypoint:
            yield from _inspect_entrypoint(at, entrypoint, dockerfile, around)


def _inspect_entrypoint(
    node: Node, entrypoint: str, dockerfile: str, around: Surroundings
) -> Iterator[Problem]:
    """A program in the image, which is usually a file of the folder that the Dockerfile copies."""
    name = entrypoint.rpartition("/")[2]
    file = around.folder / name
    if file.is_file():
        if not os.access(file, os.X_OK) and not re.search(rf"chmod[^\n]*{re.escape(name)}", dockerfile):
            hint = f"chmod +x {name}; git keeps that (`git update-index --chmod=+x {name}`)"
            yield warn(node, f"'{name}' is the container's entrypoint and is not executable", hint)
    elif name.endswith((".sh", ".py", ".js")) and name not in dockerfile and not _BRINGS.search(dockerfile):
        yield warn(
            node, f"nothing puts the entrypoint '{entrypoint}' into the image: the Dockerfile copies no file"
        )


def _inspect_use(node: Node, given: Node | None, around: Surroundings) -> Iterator[Problem]:
    text = text_of(node)
    reference = parse_reference(text)
    if isinstance(reference, WorkspaceReference):
        yield warn(
            node,
            f"'{text}' is a folder of the workspace of whoever uses this action, not of this repository",
            f"write '$/{reference.path}' for this repository's, or OWNER/REPO/{reference.path}@REF" if reference.path else
            "write '$/' for this repository's",
        )  # fmt: skip
    elif isinstance(reference, SelfReference):
        yield from _inspect_inputs(node, given, _read_own(reference, around))
    elif isinstance(reference, RepositoryReference):
        bundled = find_bundled(reference)
        if bundled is None:
            refuse_reserved(reference)
        else:
            yield from _inspect_inputs(node, given, _read(bundled, text))


def _read_own(reference: SelfReference, around: Surroundings) -> ActionManifest:
    folder = around.root / reference.path
    if folder.resolve() == around.folder.resolve():
        raise AgentError("the action uses itself, without end")
    return _read(folder, str(reference).rstrip("/"))


def _read(folder: Path, shown_as: str) -> ActionManifest:
    from agent.resolve.manifests import read_manifest

    return read_manifest(folder, shown_as)


def _inspect_inputs(node: Node, given: Node | None, action: ActionManifest) -> Iterator[Problem]:
    """What is handed to an action that is at hand, held against what it declares."""
    declared = {name.lower(): each for name, each in action.inputs.items()}
    pairs = given.pairs if isinstance(given, Mapping) else []
    names = {key_text(key).lower(): key for key, _ in pairs}
    for name, key in names.items():
        if name not in declared:
            known = f"it has {', '.join(action.inputs)}" if declared else "it has none"
            yield warn(key, f"'{text_of(node)}' declares no input '{key_text(key)}'", known)
    for name, each in declared.items():
        if each.required and each.default is None and name not in names:
            yield warn(node, f"'{text_of(node)}' requires the input '{each.name}', which is not given")
