"""Commands that a test runs in its own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agent.cli.client import Client


@contextmanager
def clients_closed() -> Iterator[None]:
    """Closes, at the end, the clients that commands have opened: else their process' end does so, and here is none."""
    opened: list[Client] = []
    start = Client.__init__

    def remember(client: Client, *arguments: Any, **more: Any) -> None:
        start(client, *arguments, **more)
        opened.append(client)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "__init__", remember)
        yield
    for client in opened:
        client.close()
