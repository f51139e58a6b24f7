"""What the owner of a machine says about attaching to its jobs."""

from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.policy import AttachPolicy, load_attach_policy


def write(folder: Path, text: str) -> Path:
    file = folder / "policy.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", AttachPolicy(allow=True, idle_minutes=60)),
        ('[actions]\nallow = ["**"]', AttachPolicy(allow=True, idle_minutes=60)),
        ("[attach]\nallow = false", AttachPolicy(allow=False, idle_minutes=60)),
        ("[attach]\nidle_minutes = 15", AttachPolicy(allow=True, idle_minutes=15)),
    ],
)
def test_what_is_said_counts_and_the_rest_is_as_usual(
    tmp_path: Path, text: str, policy: AttachPolicy
) -> None:
    assert load_attach_policy(write(tmp_path, text)) == policy


def test_without_a_file_people_may_attach_unless_there_must_be_one(tmp_path: Path) -> None:
    assert load_attach_policy(None) == load_attach_policy(tmp_path / "none.toml") == AttachPolicy()
    with pytest.raises(UsageError, match="no policy file"):
        load_attach_policy(tmp_path / "none.toml", must_exist=True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[attach]\nalow = false", "unknown key 'alow'"),
        ('[attach]\nallow = "no"', "true or false"),
        ("[attach]\nidle_minutes = 0", "minutes"),
        ("[attach]\nidle_minutes = true", "minutes"),
        ('[attach]\nidle_minutes = "15"', "minutes"),
        ("[attach]\nidle_minutes = inf", "minutes"),
        ("attach = false", "a table was expected"),
    ],
)
def test_a_rule_is_not_lost_to_a_typo(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        load_attach_policy(write(tmp_path, text))
