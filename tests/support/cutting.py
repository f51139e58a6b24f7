"""A line that breaks: what stands between a client and a server, and cuts connections in the middle of an answer."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Line:
    """`url` leads to the server. Its next `cuts` answers end after `after_bytes`; `requests` are what passed upwards."""

    url: str
    after_bytes: int
    cuts: int
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def cutting_line(url: str, *, after_bytes: int, cuts: int) -> Iterator[Line]:
    """A line to the server at `url`; each connection that has brought more than `after_bytes` back is cut, `cuts` times."""
    parts = urlsplit(url)
    threads: list[threading.Thread] = []
    opened: list[socket.socket] = []

    def start(work: Callable[..., None], *arguments: object) -> None:
        threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = Line(f"http://127.0.0.1:{listener.getsockname()[1]}", after_bytes, cuts)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    opened.append(listener.accept()[0])
                    opened.append(socket.create_connection((parts.hostname or "", parts.port or 80)))
                    start(_carry_up, *opened[-2:], line)
                    start(_carry_down, *opened[-2:], line)

        start(accept)
        yield line
        listener.shutdown(socket.SHUT_RDWR)
        for one in opened:
            _end(one)
        for thread in threads:
            thread.join()
        for one in opened:
            one.close()


def _carry_up(client: socket.socket, server: socket.socket, line: Line) -> None:
    with contextlib.suppress(OSError):
        while data := client.recv(65536):
            line.requests.append(data)
            server.sendall(data)
    _end(client, server)


def _carry_down(client: socket.socket, server: socket.socket, line: Line) -> None:
    brought = 0
    with contextlib.suppress(OSError):
        while data := server.recv(65536):
            brought += len(data)
            if brought > line.after_bytes and line.cuts > 0:
                line.cuts -= 1
                client.sendall(data[: max(len(data) - (brought - line.after_bytes), 0)])
                break
            client.sendall(data)
    _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
