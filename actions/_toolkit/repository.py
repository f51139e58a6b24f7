"""A git repository: fetched beside its place, then moved there and checked out."""

import base64
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from _toolkit.folders import temporary_folder
from _toolkit.step import StepError, say

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*/[A-Za-z0-9_.][A-Za-z0-9_.-]*")
_URL = re.compile(r"(?:https?|ssh|file)://(?!-)[^\s]+")
_REF = re.compile(r"(?![-/.])(?!.*(?:\.\.|@\{|//|\.lock$|/$))[^\x00-\x20\x7f~^:?*\[\\]+")
_CREDENTIALS = re.compile(r"(https?://)[^/\s]*@")

# The workspace is the job's own, but what was there before it runs nothing here.
_CONFIG = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.askPass=", "protocol.ext.allow=never",
    "submodule.recurse=false", "fetch.recurseSubmodules=false", "gc.auto=0", "advice.detachedHead=false",
    "http.lowSpeedLimit=1000", "http.lowSpeedTime=60", "safe.directory=*",
)  # fmt: skip
_SIGNED_IN: dict[str, str] = {}


@dataclass(frozen=True)
class Wishes:
    """How to check out. `submodules` is `false`, `true` or `recursive`."""

    depth: int
    clean: bool
    lfs: bool
    submodules: str


def sign_in(url: str, user: str, password: str) -> None:
    """Let every git of this process sign in at the host of `url`, and nowhere else. The password is on no command line."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        raise StepError(f"'{_hide(url)}' takes no password", "only https:// addresses do")
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    _SIGNED_IN.update(
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"http.{parts.scheme}://{parts.netloc.rpartition('@')[2]}/.extraHeader",
        GIT_CONFIG_VALUE_0=f"Authorization: Basic {word}",
    )


def find_url(name: str) -> str:
    """The address of the repository that `name` (`owner/name`, or a URL) names."""
    if _NAME.fullmatch(name):
        server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"
        return f"{server.rstrip('/')}/{name}"
    return name


def check_out(url: str, ref: str, commit: str, target: Path, wishes: Wishes) -> tuple[str, str]:
    """Have `commit` (or what `ref` is, or the default branch) in `target`; gives commit and full ref.

    What is in `target` stays untouched until everything has been fetched.
    """
    if (
        not _URL.fullmatch(url)
        or (ref and not _REF.fullmatch(ref))
        or (commit and not _COMMIT.fullmatch(commit))
    ):
        raise StepError(
            f"'{_hide(url)}' at '{ref or commit}' is no repository and ref", "see the action's README"
        )
    if _COMMIT.fullmatch(ref):
        ref, commit = "", ref
    target.mkdir(parents=True, exist_ok=True)
    with temporary_folder(target) as temporary:
        folder = target / ".git"
        is_new = not folder.is_dir()
        if is_new:
            kind = "sha256" if len(commit) == 64 else "sha1"
            folder = temporary / ".git"
            _git(["init", "--quiet", "--template=", f"--object-format={kind}", "--", str(temporary)])
            _git([f"--git-dir={folder}", "remote", "add", "--", "origin", url])
        full_ref = _find_ref(url, ref, commit)
        got = _fetch(folder, url, full_ref, commit, wishes.depth)
        if wishes.lfs:
            _fetch_large(folder, got)
        if is_new:
            folder.rename(target / ".git")
    _switch(target, full_ref, got, clean=wishes.clean)
    if wishes.lfs:
        _git(["lfs", "checkout"], folder=target)
    if wishes.submodules != "false":
        _add_submodules(target, wishes, may_be_files=url.startswith("file:"))
    return got, full_ref


def _find_ref(url: str, ref: str, commit: str) -> str:
    """The ref in full; of an empty one the default branch, of a branch and a tag the branch, as GitHub does it."""
    if ref.startswith("refs/") or (commit and not ref):
        return ref
    patterns = [f"refs/heads/{ref}", f"refs/tags/{ref}"] if ref else ["HEAD"]
    listing = _git(["ls-remote", "--symref", "--", url, *patterns])
    if not ref:
        symbolic = re.search(r"^ref: (refs/heads/\S+)\tHEAD$", listing, re.MULTILINE)
        return symbolic[1] if symbolic else "HEAD"
    names = {line.split("\t")[1] for line in listing.splitlines() if "\t" in line}
    for name in patterns:
        if name in names:
            return name
    if commit:  # the branch is gone, the commit is what counts
        return ""
    raise StepError(
        f"{_hide(url)} has no branch or tag '{ref}'", "check the input `ref`; a commit is written in full"
    )


def _fetch(folder: Path, url: str, full_ref: str, commit: str, depth: int) -> str:
    """Fetch `commit`, or what `full_ref` is, with `depth` commits of history; gives the commit."""
    fetch = [f"--git-dir={folder}", "fetch", "--quiet", "--force", "--no-recurse-submodules"]
    everything = ["--", url, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
    if depth == 0:
        _git([*fetch, *(["--unshallow"] if (folder / "shallow").exists() else []), *everything])
    history = [f"--depth={depth}", "--no-tags"] if depth else ["--no-tags"]
    try:
        _git([*fetch, *history, "--", url, commit or full_ref])
    except StepError as error:
        if not commit or _is_out_of_reach(error):
            raise
        say("the host doesn't give a single commit: fetching everything")
        _git([*fetch, *everything])
        return _git([f"--git-dir={folder}", "rev-parse", "--verify", f"{commit}^{{commit}}"]).strip()
    return _git([f"--git-dir={folder}", "rev-parse", "--verify", "FETCH_HEAD^{commit}"]).strip()


def _is_out_of_reach(error: StepError) -> bool:
    """Whether git has not come as far as to ask for a commit: then asking for more leads nowhere."""
    words = r"resolve host|connect to|unable to access|could not read|Could not read|Permission denied|Authentication failed"
    return re.search(words, str(error)) is not None


def _fetch_large(folder: Path, commit: str) -> None:
    """Fetch what Git LFS keeps of `commit`."""
    try:
        _git(["lfs", "version"])
    except StepError:
        raise StepError(
            "git-lfs is not installed", "install it on the agent's machine, or leave `lfs` out"
        ) from None
    _git([f"--git-dir={folder}", "lfs", "install", "--local", "--skip-repo"])
    _git([f"--git-dir={folder}", "lfs", "fetch", "origin", commit])


def _add_submodules(target: Path, wishes: Wishes, *, may_be_files: bool) -> None:
    """Fetch submodules. Code from elsewhere must not name folders of this machine as its submodules."""
    protocols = _PROTOCOLS if may_be_files else _PROTOCOLS.removesuffix(":file")
    recursive = ["--recursive"] if wishes.submodules == "recursive" else []
    depth = [f"--depth={wishes.depth}"] if wishes.depth else []
    _git(["submodule", "sync", *recursive], folder=target, protocols=protocols)
    _git(["submodule", "update", "--init", "--force", *depth, *recursive], folder=target, protocols=protocols)
    if wishes.lfs:
        pull = "git lfs install --local --skip-repo && git lfs pull"
        _git(["submodule", "foreach", *recursive, pull], folder=target, protocols=protocols)


def _switch(target: Path, full_ref: str, commit: str, *, clean: bool) -> None:
    here = [f"--git-dir={target / '.git'}", f"--work-tree={target}"]
    branch = full_ref.removeprefix("refs/heads/") if full_ref.startswith("refs/heads/") else ""
    how = ["-B", branch] if branch else ["--detach"]
    _git([*here, "checkout", "--quiet", "--force", *how, commit], folder=target)
    if branch:
        _git([*here, "update-ref", f"refs/remotes/origin/{branch}", commit])
    if clean:
        _git([*here, "clean", "-ffdxq"], folder=target)


_PROTOCOLS = "https:http:ssh:file"


def _git(arguments: list[str], folder: Path | None = None, protocols: str = _PROTOCOLS) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
    environment = {
        **kept, **_SIGNED_IN, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_SSH_COMMAND": kept.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=20"),
    }  # fmt: skip
    settings = [part for setting in _CONFIG for part in ("-c", setting)]
    try:
        done = subprocess.run(
            ["git", *settings, *arguments],
            env=environment, cwd=folder or "/", stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise StepError("git is not installed", "install it on the agent's machine") from None
    if done.returncode:
        said = _hide(done.stderr.decode("utf-8", "replace")).strip().splitlines()
        last = next(
            (line for line in said if line.startswith(("fatal:", "error:"))), said[-1] if said else "no word"
        )
        raise StepError(
            f"git {_verb(arguments)} failed: {''.join(c if c.isprintable() else '?' for c in last)}"
        )
    return done.stdout.decode("utf-8", "replace")


_KEPT = frozenset(
    {"GIT_SSH_COMMAND", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL", "GIT_SSL_CAINFO"}
)


def _verb(arguments: list[str]) -> str:
    return next(argument for argument in arguments if not argument.startswith("-"))


def _hide(text: str) -> str:
    """The text without the credentials of the URLs in it."""
    return _CREDENTIALS.sub(r"\1***@", text)
