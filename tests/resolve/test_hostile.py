"""Repositories and places that mean harm: each ends in a refusal, with nothing run, nothing read and nothing kept."""

import errno
import shutil
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.git import ACTION, Repository, make_repository

from agent.errors import AgentError, RefusedError, UnreachableError
from agent.resolve import ActionStore, ResolvedAction, Resolver, parse_reference
from agent.resolve.sources import git, git_command
from agent.resolve.sources.git_command import explain, run_git

from .conftest import MakeResolver


def resolve(resolver: Resolver, text: str) -> ResolvedAction:
    return resolver.resolve(parse_reference(text))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "git" / "acme" / "tools")


def nothing_is_kept(store: ActionStore) -> bool:
    return not list(store.root.glob("*/*/files")) and not list(store.root.glob("*/.making-*"))


@pytest.mark.parametrize(
    "target", ["/mnt/datasets", "../../../../etc/passwd", "nowhere", "link", "up/../../x"]
)
def test_a_link_of_a_repository_is_in_the_copy_as_it_lies(
    target: str, repository: Repository, make_resolver: MakeResolver
) -> None:
    (repository.folder / "link").symlink_to(target)
    repository.commit({"a\\b": "1", "line\nbreak": "2", "Makefile": "3", "makefile": "4"}, tags=["v1"])
    for _ in range(2):  # fresh, and from the store
        folder = resolve(make_resolver(), "acme/tools@v1").folder
        assert str((folder / "link").readlink()) == target
        names = ("a\\b", "line\nbreak", "Makefile", "makefile")
        assert [(folder / name).read_text() for name in names] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("path", ["", "/sub", "/within"])
def test_no_link_of_a_repository_makes_a_manifest_of_what_lies_outside(
    path: str, repository: Repository, make_resolver: MakeResolver, tmp_path: Path
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "action.yml").write_text(ACTION)
    (repository.folder / "action.yml").unlink()
    (repository.folder / "action.yml").symlink_to(tmp_path / "secret" / "action.yml")
    (repository.folder / "sub").symlink_to(tmp_path / "secret")
    uses = "runs: {using: composite, steps: [{uses: $/sub}]}\n"
    repository.commit({"within/action.yml": uses}, tags=["v1"])
    resolver = make_resolver()
    action = resolve(resolver, "acme/tools/within@v1") if path == "/within" else None
    with pytest.raises(RefusedError, match="link that leads out of"):
        resolver.resolve(parse_reference("$/sub" if action else f"acme/tools{path}@v1"), action)


@pytest.mark.parametrize("script", ["main.js", "sub/main.js"])
def test_no_link_of_a_repository_makes_a_script_of_what_lies_outside(
    script: str, repository: Repository, make_resolver: MakeResolver, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "main.js").write_text("1")
    (repository.folder / "main.js").symlink_to(tmp_path / "outside" / "main.js")
    (repository.folder / "sub").symlink_to(tmp_path / "outside")
    repository.commit({"action.yml": f"runs: {{using: node20, main: {script}}}\n"}, tags=["v1"])
    with pytest.raises(RefusedError, match="outside its repository"):
        resolve(make_resolver(), "acme/tools@v1")


def test_a_link_inside_the_repository_is_kept(repository: Repository, make_resolver: MakeResolver) -> None:
    (repository.folder / "sub").mkdir()
    (repository.folder / "sub" / "action.yml").symlink_to("../action.yml")
    repository.commit({}, tags=["v1"])
    assert resolve(make_resolver(), "acme/tools/sub@v1").manifest.name == "hello"


def make_tree(repository: Repository, *rows: tuple[str, str, bytes]) -> None:
    """Tag v1 a commit whose tree has `rows` of (mode, name, content), which git itself would not make."""
    blobs = [
        (mode, name, repository.git("hash-object", "-w", "--stdin", data=content))
        for mode, name, content in rows
    ]
    raw = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(blob) for mode, name, blob in blobs)
    tree = repository.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=raw)
    repository.git("tag", "--force", "v1", repository.git("commit-tree", tree, "-m", "x"))


@pytest.mark.parametrize("name", ["..", ".", ".git", ".GIT", ".Git"])
def test_a_tree_with_a_name_that_means_something_is_refused(
    name: str, repository: Repository, make_resolver: MakeResolver, store: ActionStore
) -> None:
    make_tree(repository, ("100644", name, b"x"), ("100644", "action.yml", ACTION.encode()))
    with pytest.raises(RefusedError, match="holds a file named"):
        resolve(make_resolver(), "acme/tools@v1")
    assert nothing_is_kept(store)


def test_a_tree_that_is_too_deep_is_refused(
    repository: Repository, make_resolver: MakeResolver, store: ActionStore
) -> None:
    repository.commit({"d/" * 101 + "file": "x"}, tags=["v1"])
    with pytest.raises(RefusedError, match="more than 100 folders"):
        resolve(make_resolver(), "acme/tools@v1")
    assert nothing_is_kept(store)


def test_a_link_whose_target_is_too_long_is_refused(
    repository: Repository, make_resolver: MakeResolver, store: ActionStore
) -> None:
    make_tree(repository, ("120000", "link", b"x" * 5000))
    with pytest.raises(RefusedError, match="too long"):
        resolve(make_resolver(), "acme/tools@v1")
    assert nothing_is_kept(store)


def test_a_full_disk_is_said_and_costs_no_stored_action(
    repository: Repository, make_resolver: MakeResolver, store: ActionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(make_resolver(), "acme/tools@v1")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", refuse)  # a true border: the disk
        with pytest.raises(AgentError, match="no space is left"):
            resolve(make_resolver(), "acme/tools@v1")
    assert store.repository(repository.url).has(repository.head)


def test_a_tree_that_names_a_link_and_a_file_the_same_is_refused(
    repository: Repository, make_resolver: MakeResolver, store: ActionStore, tmp_path: Path
) -> None:
    make_tree(
        repository,
        ("120000", "a", str(tmp_path / "target").encode()),
        ("100644", "a", b"written through the link"),
    )
    with pytest.raises(AgentError):
        resolve(make_resolver(), "acme/tools@v1")
    assert not (tmp_path / "target").exists()
    assert nothing_is_kept(store)


def test_a_tree_that_is_not_in_gits_normal_form_is_refused(
    repository: Repository, make_resolver: MakeResolver, store: ActionStore
) -> None:
    make_tree(repository, ("100664", "action.yml", ACTION.encode()))
    with pytest.raises(RefusedError, match="normal form"):
        resolve(make_resolver(), "acme/tools@v1")
    assert nothing_is_kept(store)


def test_hooks_filters_and_submodules_of_a_repository_have_no_say(
    repository: Repository, make_resolver: MakeResolver, own_home: Path, tmp_path: Path
) -> None:
    touch = f"touch {tmp_path}/pwned"
    (repository.folder / ".git" / "hooks" / "post-upload-pack").write_text(f"#!/bin/sh\n{touch}\n")
    repository.commit(
        {
            "action.yml": ACTION,
            ".gitattributes": "* filter=bad export-ignore text eol=crlf\n",
            ".gitmodules": f'[submodule "m"]\n path = m\n url = ext::sh -c "{touch}"\n update = !{touch}\n',
            "hooks/post-checkout": f"#!/bin/sh\n{touch}\n",
        }
    )
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{repository.head},m")
    repository.git("commit", "--quiet", "-m", "submodule")
    repository.git("tag", "--force", "v1")
    (own_home / ".gitconfig").write_text(f'[filter "bad"]\n  smudge = {touch}\n  process = {touch}\n')
    for _ in range(2):  # fresh, and from the store
        action = resolve(make_resolver(), "acme/tools@v1")
        assert (action.folder / "action.yml").read_text() == ACTION
        assert list((action.folder / "m").iterdir()) == []
    assert not (tmp_path / "pwned").exists()


def test_a_repository_that_is_too_large_is_given_up(
    repository: Repository, make_resolver: MakeResolver, store: ActionStore
) -> None:
    repository.commit({"zeros": b"\0" * (3 << 20)}, tags=["v1"])  # small when packed, large as files
    with pytest.raises(RefusedError, match="larger than 2 MiB"):
        resolve(make_resolver(limit_bytes=2 << 20), "acme/tools@v1")
    assert nothing_is_kept(store)
    assert resolve(make_resolver(limit_bytes=4 << 20), "acme/tools@v1").commit == repository.head


def test_a_repository_without_end_is_cut_off_while_it_comes(tmp_path: Path) -> None:
    """git itself is stood in for by a process that writes for ever into the folder that is watched."""
    folder = tmp_path / "bare"
    folder.mkdir()
    endless = tmp_path / "bin" / "git"
    endless.parent.mkdir()
    endless.write_text(f"#!/bin/sh\nexec cat /dev/zero > {folder}/pack\n")
    endless.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{endless.parent}:/usr/bin:/bin")
        with pytest.raises(RefusedError, match="larger than 1 MiB"):
            run_git(["fetch"], folder=folder, limit_bytes=1 << 20)


def test_a_host_that_never_answers_is_given_up(
    make_resolver: MakeResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "LOOKUP_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{{owner}}/{{repo}}"
        with pytest.raises(UnreachableError, match="git was not done"):
            resolve(make_resolver(url), "acme/tools@v1")


def test_a_redirect_to_another_protocol_is_not_followed(make_resolver: MakeResolver, tmp_path: Path) -> None:
    answer = (
        f"HTTP/1.1 302 Found\r\nLocation: ext::touch%20{tmp_path}/pwned\r\nContent-Length: 0\r\n\r\n".encode()
    )

    def answer_once() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_once)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/{{owner}}/{{repo}}"
        with pytest.raises(AgentError):
            resolve(make_resolver(url), "acme/tools@v1")
        thread.join()
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "url", ["ext::sh -c 'touch {}/pwned'", "--upload-pack=touch {}/pwned", "-u touch {}/pwned"]
)
def test_a_place_that_would_run_a_command_runs_none(
    url: str, make_resolver: MakeResolver, tmp_path: Path
) -> None:
    with pytest.raises(AgentError):
        resolve(make_resolver(url.format(tmp_path)), "acme/tools@v1")
    assert not (tmp_path / "pwned").exists()


def test_the_hosts_git_variables_do_not_lead_git_elsewhere(
    repository: Repository, make_resolver: MakeResolver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "GIT_DIR": str(tmp_path),
        "GIT_OBJECT_DIRECTORY": str(tmp_path / "objects"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "protocol.file.allow",
        "GIT_CONFIG_VALUE_0": "never",
        "GIT_PROXY_COMMAND": "false",
        "GIT_EXEC_PATH": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    assert resolve(make_resolver(), "acme/tools@v1").manifest.name == "hello"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (
            "fatal: unable to access 'https://me:hunter2@h/a.git/': Could not resolve host: h",
            UnreachableError,
        ),
        (
            "ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote",
            UnreachableError,
        ),
        ("remote: it is not found, ha\nfatal: the remote end hung up unexpectedly", UnreachableError),
        ("fatal: detected dubious ownership in repository at '/srv/x'", RefusedError),
        ("fatal: something new \x1b[2J", AgentError),
        ("", AgentError),
    ],
)
def test_gits_words_become_an_error_for_people(words: str, kind: type[AgentError]) -> None:
    error = explain(words, "https://h/a.git")
    assert type(error) is kind
    assert "hunter2" not in str(error)
    assert str(error).isprintable()


def test_a_machine_without_git_says_so(make_resolver: MakeResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(AgentError, match="git is not installed"):
        resolve(make_resolver(), "acme/tools@v1")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_no_words_of_gits_break_the_explanation(words: str, more: str) -> None:
    assert str(explain(f"fatal: {words}\n{more}", "here"))


def test_the_limits_are_those_that_the_documentation_names() -> None:
    assert git.DEFAULT_LIMIT_BYTES == 1 << 30
    assert git_command.git_environment()["GIT_TERMINAL_PROMPT"] == "0"
