"""HTTP of actions over a connection that breaks: an answer that is cut off anywhere is none, and is asked for again."""

import socket
import threading
from collections.abc import Iterator

import pytest
from _toolkit import http

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok": true'


@pytest.fixture
def cut() -> Iterator[tuple[str, list[bytes]]]:
    """A host, and what it answers, one after the other; each connection ends with its answer."""
    answers: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answers.pop(0) if len(answers) > 1 else answers[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", answers
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("length", range(15, len(WHOLE), 3))
def test_an_answer_that_is_cut_off_anywhere_is_asked_for_again(
    cut: tuple[str, list[bytes]], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, answers = cut
    answers += [WHOLE[:length], WHOLE]
    monkeypatch.setattr(http.time, "sleep", lambda _seconds: None)
    assert http.request("POST", url, b"{}").body == b'{"ok": true'


def test_an_answer_that_ends_with_its_connection_and_says_so_is_whole(cut: tuple[str, list[bytes]]) -> None:
    url, answers = cut
    answers.append(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")
    assert http.request("GET", url).body == b"all of it"
