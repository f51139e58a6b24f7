"""`action`: what a step runs, as a `uses` that every other room knows.

    owner/repo              owner/repo@HEAD                  the default branch
    owner/repo@latest       owner/repo@HEAD
    owner/repo@v1           owner/repo@v1
    datatorch/add@v1        datatorch-actions/add@v1         the old agent's alias
    ./path                  ./path                           of the flow's own repository, which is checked out first
    docker://image          docker://image
    {git: URL, tag: v1}     URL//@v1, with `file` behind the `//`

Source: datatorch/python `agent/pipelines/action/config.py`, `pipeline.schema.json`.
"""

import re
from typing import Final

from agent.flow.identifiers import name_action as name_uses
from agent.flow.nodes import Mapping, Node
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, text_of
from agent.redaction import redact

DEFAULT_BRANCH: Final = "HEAD"
OWN: Final = "./"
DEFAULT_FILE: Final = "action-datatorch.yaml"
_LATEST: Final = ("", "latest")
_ALIAS: Final = re.compile(r"datatorch/", re.IGNORECASE)
_NAME: Final = re.compile(r"[^/\s@\\]+/[^/\s@\\]+(?:/[^\s@\\]+)?")
_URL: Final = re.compile(r"(?:https?|ssh|file)://\S+")
_CREDENTIALS: Final = re.compile(r"(\w+://)[^/]*@")
_SCP: Final = re.compile(r"([\w.-]+@[\w.-]+):(\S+)")
_HINT: Final = "write `owner/repo@tag`, `./path`, `docker://image`, or {name, tag, git, file}"


def read_action(reader: Reader, node: Node | None) -> str:
    """The `uses` of a step; what can't be one is reported."""
    if isinstance(node, Mapping):
        return _read_full(reader, node)
    return "" if node is None else _read_short(reader, node, text_of(node).strip())


def name_action(uses: str) -> str:
    """What a step's generated id is made from."""
    return name_uses(uses.partition("//")[2] if "://" in uses else uses)


def _read_short(reader: Reader, node: Node, written: str) -> str:
    if written.startswith("docker://"):
        return written
    if written.startswith(OWN):
        return written
    if "://" in written:
        address, _, tag = written.rpartition("@") if _has_tag(written) else (written, "", "")
        return f"{_read_address(reader, node, address)}@{_find_tag(tag)}"
    name, _, tag = written.partition("@")
    if written and not _NAME.fullmatch(name):
        reader.report(node, f"'{written[:120]}' names no action", _HINT)
    return (
        f"{_ALIAS.sub('datatorch-actions/', name, count=1) if _ALIAS.match(name) else name}@{_find_tag(tag)}"
    )


def _read_full(reader: Reader, node: Mapping) -> str:
    fields = list_fields(node)
    name, tag, git, file = (text_of(fields.get(key)).strip() for key in ("name", "tag", "git", "file"))
    path = "" if file in ("", DEFAULT_FILE) else file.removeprefix("./")
    if path.endswith(f"/{DEFAULT_FILE}"):
        path = path.removesuffix(f"/{DEFAULT_FILE}")
    if not git:
        if not name:
            reader.report(node, "an action has a `name` or a `git`", _HINT)
            return ""
        uses = _read_short(reader, fields["name"], name.partition("@")[0])
        tag = tag or name.partition("@")[2]
        if uses.startswith(("docker://", OWN)):
            return uses
        return f"{uses.rpartition('@')[0]}{f'/{path}' if path else ''}@{_find_tag(tag)}"
    address = _read_address(reader, fields["git"], git)
    return f"{address}{f'//{path}' if path else ''}@{_find_tag(tag)}"


def _read_address(reader: Reader, node: Node, written: str) -> str:
    """A repository's address, as git is given it: what there was good and is not here has a warning, and the nearest in its place."""
    scp = _SCP.fullmatch(written)
    if scp:
        return f"ssh://{scp[1]}/{scp[2]}"
    address = written
    if address.startswith("git://"):
        address = f"https://{address.removeprefix('git://')}"
        reader.warn(node, "git:// is not encrypted, and hosts have given it up: https:// is asked instead")
    elif not _URL.fullmatch(address):
        hint = "it begins with https://, ssh:// or file://"
        reader.report(node, f"'{address[:120]}' is no address of a repository", hint)
    if redact(address) != address:
        hint = (
            "keep them in git's own configuration, and renew them: this file has shown them (docs/actions.md)"
        )
        reader.warn(node, "the credentials in this address are not used: a flow holds none", hint)
        address = _CREDENTIALS.sub(r"\1", address, count=1)
    return address


def _find_tag(tag: str) -> str:
    return DEFAULT_BRANCH if tag in _LATEST else tag


def _has_tag(url: str) -> bool:
    """Whether an address has a tag behind it: an `@` that stands behind the host."""
    return "@" in url.partition("://")[2].partition("/")[2]
