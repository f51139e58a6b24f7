"""The server as stages ask it: what answers without end is given up."""

from collections.abc import Iterator

import pytest
from support.endless_host import serve_endlessly

from agent.errors import UnreachableError
from agent.job.stages import asking
from agent.job.stages.asking import ServerPlace, StageServer


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with serve_endlessly() as url:
        yield url


@pytest.mark.parametrize("kind", ["large", "slow"])
async def test_an_answer_without_end_is_given_up(
    host: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_WHOLE_SECONDS", 1.0)
    monkeypatch.setattr(asking, "_MOST_BYTES", 1 << 20)
    server = StageServer(ServerPlace(f"{host}/{kind}", "token"))
    with pytest.raises(UnreachableError):
        await server.get("bookmarks", {})
    await server.close()
