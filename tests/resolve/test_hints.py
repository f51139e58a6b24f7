"""What is said of an action that can't be had leads to the fault, and not beside it."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.git import GitHost, Repository, make_repository

from agent.errors import AgentError, NotFoundError, UnreachableError
from agent.resolve import ResolvedAction, Resolver, parse_reference

from .conftest import MakeResolver

COMPOSITE = "name: c\nruns: {using: composite, steps: [{uses: ./helper}]}\n"


def resolve(resolver: Resolver, text: str, within: ResolvedAction | None = None) -> ResolvedAction:
    return resolver.resolve(parse_reference(text), within)


def refusal(resolver: Resolver, text: str, within: ResolvedAction | None = None) -> AgentError:
    with pytest.raises(AgentError) as caught:
        resolve(resolver, text, within)
    return caught.value


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "git" / "acme" / "tools")


@pytest.fixture
def cutting_host() -> Iterator[str]:
    """The address of a host that takes a request and breaks off in the middle of its answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                with line:
                    line.recv(65536)
                    line.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n"
                        b"Content-Length: 5000\r\n\r\n001e# service=git-upload-pack\n0000"
                    )

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("scheme", ["file://", ""])
def test_a_folder_that_a_fetched_repository_lacks_needs_no_checkout(
    scheme: str, repository: Repository, make_resolver: MakeResolver, tmp_path: Path
) -> None:
    error = refusal(make_resolver(f"{scheme}{tmp_path}/git/{{owner}}/{{repo}}"), "acme/tools/nowhere@v1")
    assert error.hint == "there is no such folder in that repository"
    assert "checkout" in refusal(make_resolver(), "./nowhere").hint


def test_a_folder_of_the_workspace_that_a_fetched_action_wants_is_told_from_its_own(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    repository.commit({"action.yml": COMPOSITE, "helper/action.yml": COMPOSITE}, tags=["v1"])
    resolver = make_resolver()
    error = refusal(resolver, "./helper", resolve(resolver, "acme/tools@v1"))
    assert "'./' is the workspace of whoever uses it; its own repository's folder is '$/helper'" in error.hint
    assert "checkout" not in error.hint


def test_a_tag_that_looks_like_a_commit_is_not_proposed_in_its_own_place(
    repository: Repository, make_resolver: MakeResolver
) -> None:
    name = "1234567890" * 4
    repository.git("tag", name)
    error = refusal(make_resolver(), f"acme/tools@{name}")
    assert isinstance(error, NotFoundError)
    assert "did you mean" not in error.hint
    assert "so many hexadecimal digits are always a commit" in error.hint


def test_a_host_that_breaks_off_is_not_one_that_can_not_be_reached(
    cutting_host: str, make_resolver: MakeResolver
) -> None:
    error = refusal(make_resolver(f"{cutting_host}/{{owner}}/{{repo}}"), "acme/tools@v1")
    assert isinstance(error, UnreachableError)
    assert error.what == "the git host broke off in the middle"
    assert "try again" in error.hint


def test_a_host_with_an_error_of_its_own_is_not_one_that_can_not_be_reached(
    repository: Repository, host: GitHost, make_resolver: MakeResolver
) -> None:
    host.status = 503
    error = refusal(make_resolver(f"{host.url}/{{owner}}/{{repo}}"), "acme/tools@v1")
    assert isinstance(error, UnreachableError)
    assert error.what == "the git host answers with an error of its own"


def test_a_wrong_password_of_a_template_is_said_to_be_one(
    repository: Repository, host: GitHost, make_resolver: MakeResolver
) -> None:
    host.credentials = "bot:right"
    scheme, _, place = host.url.partition("://")
    error = refusal(make_resolver(f"{scheme}://bot:wrong@{place}/{{owner}}/{{repo}}"), "acme/tools@v1")
    assert error.what == "the git host does not take the login of this address"
    assert "AGENT_ACTIONS_URL" in error.hint
    assert "wrong" not in str(error)
    without = refusal(make_resolver(f"{host.url}/{{owner}}/{{repo}}"), "acme/tools@v1")
    assert "give git credentials" in without.hint
    found = resolve(make_resolver(f"{scheme}://bot:right@{place}/{{owner}}/{{repo}}"), "acme/tools@v1")
    assert found.commit == repository.head
