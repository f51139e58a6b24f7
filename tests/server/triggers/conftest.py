"""A lab of one's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from server.triggers.lab import LOOPBACK, Lab
from server.vocabulary import ServerProcess
from support.git import serve_git


@pytest.fixture
def make_lab(make_server: Callable[..., ServerProcess], tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    with ExitStack() as stack:

        def make(provider: str = "github", **more: Any) -> Lab:
            settings = {"triggers": LOOPBACK, **more.pop("server", {})}
            root = tmp_path / "hosted"
            root.mkdir(exist_ok=True)
            host = stack.enter_context(serve_git(root))
            return Lab(make_server(**settings), host, tmp_path, provider, **more)

        yield make


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()
