"""flow.lock as text: the same lock is the same text, and hostile text is refused."""

import contextlib
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.resolve.lock import LONGEST, MOST_PINS, Lock, Pin, format_lock, parse_lock, read_lock

A, B, DIGEST = "a" * 40, "b" * 64, "sha256:" + "c" * 64
LOCK = Lock(
    flows=("deploy.yml", "train.yml"),
    actions={
        "acme/tools@v1": Pin(A, "https://git.example.org/acme/tools"),
        "https://h.example/a/b/c//@release/2": Pin(B, "https://h.example/a/b/c"),
    },
    images={"registry.example.org:5000/python:3.12": DIGEST},
)
TEXT = f"""\
# What each `uses:` of these flows is held to. Written by `agent action lock`; keep it in version control.
version = 1
flows = [
  "deploy.yml",
  "train.yml",
]

[actions."acme/tools@v1"]
commit = "{A}"
url = "https://git.example.org/acme/tools"

[actions."https://h.example/a/b/c//@release/2"]
commit = "{B}"
url = "https://h.example/a/b/c"

[images."registry.example.org:5000/python:3.12"]
digest = "{DIGEST}"
"""


def test_a_lock_is_text_that_people_read_and_diff() -> None:
    assert format_lock(LOCK) == TEXT
    assert parse_lock(TEXT) == LOCK


def test_the_order_of_making_does_not_show() -> None:
    turned = Lock(LOCK.flows[::-1], dict(reversed(LOCK.actions.items())), LOCK.images)
    assert format_lock(turned) == TEXT


def test_a_moved_pin_is_one_changed_line() -> None:
    moved = Lock(
        LOCK.flows,
        {**LOCK.actions, "acme/tools@v1": Pin("d" * 40, LOCK.actions["acme/tools@v1"].url)},
        LOCK.images,
    )
    before, after = TEXT.splitlines(), format_lock(moved).splitlines()
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [f'commit = "{"d" * 40}"']


def test_a_job_takes_commits_and_digests_along() -> None:
    assert LOCK.pins == {
        "acme/tools@v1": A,
        "https://h.example/a/b/c//@release/2": B,
        "docker://registry.example.org:5000/python:3.12": DIGEST,
    }


def test_a_pin_of_what_ships_with_the_product_by_now_is_no_error() -> None:
    assert parse_lock(pin('"flow-agent/checkout@v1"')).pins == {"flow-agent/checkout@v1": A}


def test_an_empty_lock_is_a_lock() -> None:
    assert parse_lock(format_lock(Lock())) == Lock()


names = st.text(string.ascii_letters + string.digits + "-_.", min_size=1).filter(lambda name: name.strip("."))
refs = st.text(string.ascii_letters + string.digits + "-_\"'{}$#é", min_size=1).filter(
    lambda ref: not ref.startswith("-") and not ref.endswith(".lock")
)
urls = st.text("abc/\"'#=é\\", max_size=20).map(lambda text: f"https://h.example/{text}")
flow_names = st.text(min_size=1).filter(
    lambda name: name.isprintable() and "/" not in name and name not in {".", ".."}
)


@given(st.sets(flow_names), st.dictionaries(st.tuples(names, names, refs), urls))
def test_every_lock_is_read_as_it_was_written(flows: set[str], pins: dict[tuple[str, str, str], str]) -> None:
    actions = {f"x{owner}/x{repo}@x{ref}": Pin(A, url) for (owner, repo, ref), url in pins.items()}
    lock = Lock(tuple(sorted(flows)), actions)
    assert parse_lock(format_lock(lock)) == lock


@given(st.text())
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        parse_lock(text)


def pin(key: str, commit: str = A, url: str = "u", more: str = "") -> str:
    return f'version = 1\n[actions.{key}]\ncommit = "{commit}"\nurl = "{url}"\n{more}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version = 2",
        "version = '1'",
        "version = 1\nmore = 1",
        "version = 1\nflows = 'a.yml'",
        "version = 1\nflows = ['../a.yml']",
        "version = 1\nflows = ['..']",
        'version = 1\nflows = ["a\\u0000"]',
        "version = 1\nactions = []",
        "version = 1\nactions = {a = 1}",
        pin('"acme/tools@v1"', commit="v1"),
        pin('"acme/tools@v1"', commit="--upload-pack=x"),
        pin('"acme/tools@v1"', commit=A.upper()),
        pin('"acme/tools@v1"', commit=A[:39]),
        pin('"acme/tools@v1"', url="a\\u001b[31m"),
        pin('"acme/tools@v1"', url="a\\nb"),
        pin('"acme/tools@v1"', url="https://user:hunter2@h.example/a"),
        pin('"acme/tools@v1"', more="branch = 'x'"),
        pin('"acme/tools/sub@v1"'),
        pin('"acme/tools"'),
        pin(f'"acme/tools@{A}"'),
        pin('"../../etc@v1"'),
        pin('"-x/tools@v1"'),
        pin('"./local"'),
        pin('"ext::sh -c id@v1"'),
        pin('"https://user:hunter2@h.example/a/b@v1"'),
        f"version = 1\n[images.'a b']\ndigest = '{DIGEST}'",
        "version = 1\n[images.alpine]\ndigest = 'latest'",
        pin('"acme/tools@v1"') * 2,
        "a = " + "[" * 100_000,
        "#" * (LONGEST + 1),
        "<<<<<<< HEAD\nversion = 1\n",
        "version = 1\n" + "".join(f'[actions."a/b@v{n}"]\ncommit="{A}"\nurl=""\n' for n in range(MOST_PINS + 1)),
    ],
)  # fmt: skip
def test_a_lock_that_we_would_not_write_is_refused_and_shows_nothing_harmful(text: str) -> None:
    with pytest.raises(UsageError, match="the lock file is not valid") as raised:
        parse_lock(text, "dir/flow.lock")
    said = str(raised.value)
    assert raised.value.where.startswith("dir/flow.lock")
    assert said.isprintable() or "TOML" in said
    assert "hunter2" not in said
    assert len(said) < 600


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "flow.lock").write_bytes(b"\xff\xfe")
    for file in (tmp_path / "flow.lock", tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError) as raised:
            read_lock(file)
        assert raised.value.where == str(file)
