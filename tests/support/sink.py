"""Where flows send to: a receiver of JSON on the loopback interface, in threads of its own."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Sink:
    """What came, as JSON, whatever the method. `take` is called with each value, before it is answered."""

    def __init__(self) -> None:
        self.came: list[Any] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                sink.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_PUT = do_POST  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                """`came` has it all."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A sender that is killed says no word of farewell."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}).start()

    def take(self, value: Any) -> None:
        """One that came."""
        self.came.append(value)

    def has(self, word: str) -> bool:
        """Whether something with that word in it has come."""
        return any(word in json.dumps(value) for value in self.came)


@contextmanager
def running_sink() -> Iterator[Sink]:
    """A sink that listens."""
    made = Sink()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
