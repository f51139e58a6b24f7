"""The services of a local run where the server's packages are not installed: every request is told so, in one sentence."""

import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_NOT_IMPLEMENTED = 501  # none that GitHub's clients try again
_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class _Refusal(BaseHTTPRequestHandler):
    """Answers as Twirp does: clients print `msg`."""

    says = ""

    def __getattr__(self, name: str) -> Callable[[], None]:
        """What answers a verb."""
        if name in {f"do_{verb}" for verb in _VERBS}:
            return self._refuse
        raise AttributeError(name)

    def _refuse(self) -> None:
        body = json.dumps({"code": "unimplemented", "msg": self.says}).encode()
        self.send_response(_NOT_IMPLEMENTED)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Refuse on the socket that is open as the number in the first argument until standard input ends."""
    orders = sys.stdin.buffer
    _Refusal.says = json.loads(orders.readline() or b"{}").get("says", "")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusal, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while orders.readline():
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
