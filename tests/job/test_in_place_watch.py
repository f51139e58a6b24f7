"""The watch over somebody's own folder: what is beyond its bounds is said, never passed over in silence."""

from pathlib import Path

import pytest
from support.git import make_repository

from agent.job.in_place import survey, watch
from agent.job.in_place.belongings import list_belongings
from agent.job.in_place.protection import InPlace


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ((watch, "_MOST_REPOSITORIES"), "ran in a folder with more than 1 other repositories"),
        ((survey, "MOST_THINGS"), "ran in a folder that alone has more than"),
    ],
)
def test_what_is_too_much_to_be_looked_at_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: tuple[object, str], said: str
) -> None:
    folder = tmp_path / "mine"
    make_repository(folder, {"a.txt": "a"})
    for name in ("one", "two"):
        make_repository(folder / name, {"b.txt": "b"})
    monkeypatch.setattr(*bound, 1)
    place = InPlace(folder, list_belongings(folder), tmp_path / "belongings")
    toll = watch.begin_watch(place).end(place)
    place.close()
    assert said in toll.said
    assert "were not looked at" in toll.said or "was not looked at" in toll.said
    assert toll.failing == ""
