"""The leaves: identifiers, errors, settings, clocks."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.manual_clock import ManualClock

from agent.clock import SystemClock
from agent.config import SETTINGS, bundled, load_settings, read_size
from agent.errors import AgentError, UsageError
from agent.ids import ENTROPY_BYTES, is_id, make_id


@given(st.binary(min_size=ENTROPY_BYTES, max_size=32))
def test_an_id_says_what_it_names_and_is_safe_as_a_file_name(entropy: bytes) -> None:
    made = make_id("job", entropy)
    assert is_id("job", made)
    assert not is_id("agent", made)
    assert len(made) == len("job_") + 20


@given(
    st.lists(
        st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES),
        unique_by=lambda e: int.from_bytes(e) & (1 << 100) - 1,
    )
)
def test_ids_differ_when_a_hundred_bits_of_entropy_do(entropies: list[bytes]) -> None:
    assert len({make_id("job", entropy) for entropy in entropies}) == len(entropies)


def test_an_id_of_too_little_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="13 bytes"):
        make_id("job", b"short")


def test_an_error_reads_what_where_and_what_to_do() -> None:
    assert str(AgentError("it broke", where="here", hint="mend it")) == "it broke (here); mend it"
    assert str(AgentError("it broke")) == "it broke"
    assert UsageError("x").exit_code == 2


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('url = "from file"\nnode20 = "file"\n')
    monkeypatch.setenv("AGENT_CONFIG", str(file))
    monkeypatch.setenv("AGENT_URL", "from environment")
    settings = load_settings({"token": "from flag", "url": None})
    assert [settings[key] for key in ("token", "url", "node20", "listen")] == [
        *("from flag", "from environment", "file", "127.0.0.1:8420")
    ]
    assert [settings.origins[key] for key in ("token", "url", "node20", "listen")] == [
        *("flag", "AGENT_URL", str(file), "default")
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("url = ", "not valid TOML"),
        ('nope = "x"', "unknown setting 'nope'"),
        ("url = 1", "setting 'url' is not text"),
    ],
)
def test_a_wrong_config_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    monkeypatch.setenv("AGENT_CONFIG", str(file))
    with pytest.raises(UsageError, match=words) as caught:
        load_settings()
    assert str(file) in str(caught.value)


def test_every_setting_has_a_variable_of_ours_and_a_meaning() -> None:
    prefixes = ("AGENT_", "ACTIONS_RUNNER_HOOK_")  # the second are GitHub's own names for the job hooks
    assert all(setting.variable.startswith(prefixes) and setting.meaning for setting in SETTINGS)


def test_what_ships_beside_the_code_is_found() -> None:
    assert (bundled("examples") / "hello.yml").is_file()
    assert (bundled("install") / "install.sh").is_file()


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(5)
    clock.advance(2)
    assert (clock.now(), clock.monotonic()) == (7, 7)
    assert SystemClock().monotonic() <= SystemClock().monotonic()


def test_python_is_one_that_we_support() -> None:
    assert sys.version_info >= (3, 11)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096 B", 4096),
        ("20 GiB", 20 << 30),
        ("20gib", 20 << 30),
        ("1.5 GB", None),
        ("500MB", 500_000_000),
        ("2 T", 2 * 10**12),
        ("", None),
        ("-1", None),
        ("1 XB", None),
        ("٣", None),
    ],
)
def test_a_size_is_read_with_its_unit(text: str, size: int | None) -> None:
    if size is not None:
        assert read_size(text, "limit") == size
        return
    with pytest.raises(UsageError, match="is not a size"):
        read_size(text, "limit")
