"""Secrets never come out, however they are written and wherever the stream is cut."""

import base64
import itertools
import json
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.cli.terminal.output import safe_text
from agent.control_sequences import MOST_SEEN_THROUGH
from agent.job.output.mask_search import FewForms, ManyForms, find_unfinished
from agent.job.output.masking import MOST_ASKED, Masker, MaskStream
from agent.journal.lines import last_state
from agent.mask_forms import derive_forms
from agent.server.web.text import plain_text

SECRETS = st.lists(st.text("abc\"'& =+/\\é", min_size=1, max_size=8), min_size=1, max_size=4)
CUTS = st.lists(st.integers(0, 200), max_size=8)


def make_masker(*secrets: str) -> Masker:
    masker = Masker()
    for secret in secrets:
        masker.add(secret)
    return masker


def feed_in_pieces(masker: Masker, data: bytes, cuts: list[int]) -> bytes:
    stream = MaskStream(masker)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    shown = [stream.feed(data[start:end]) for start, end in itertools.pairwise(places)]
    return b"".join([*shown, stream.finish()])


@given(SECRETS, st.lists(st.integers(0, 30), max_size=20), st.text("abc \n", max_size=30), CUTS)
def test_however_a_stream_is_cut_the_same_comes_out(
    secrets: list[str], order: list[int], filler: str, cuts: list[int]
) -> None:
    masker = make_masker(*secrets)
    forms = list(masker.forms) or [b""]
    data = filler.encode().join(forms[number % len(forms)] for number in order)
    assert feed_in_pieces(masker, data, cuts) == masker.mask(data)


@given(
    st.lists(st.text("xyz01", min_size=3, max_size=8), min_size=1, max_size=4),
    st.text("xyz01 \n", max_size=60),
    CUTS,
)
def test_no_secret_survives(secrets: list[str], text: str, cuts: list[int]) -> None:
    data = "".join(f"{text}{secret}" for secret in secrets).encode()
    shown = feed_in_pieces(make_masker(*secrets), data, cuts)
    assert not any(secret.encode() in shown for secret in secrets)


@given(
    st.lists(st.text("xyz01", min_size=3, max_size=8), min_size=1, max_size=4),
    st.text("xyz01 \n", max_size=60),
    CUTS,
)
@example(secrets=["0001", "000"], text="", cuts=[])
def test_no_secret_survives_though_what_may_begin_one_is_shown_early(
    secrets: list[str], text: str, cuts: list[int]
) -> None:
    data = "".join(f"{text}{secret}" for secret in secrets).encode()
    stream, shown, start = MaskStream(make_masker(*secrets)), b"", 0
    for end in [*sorted(cuts), len(data)]:
        shown += stream.feed(data[start:end]) + stream.peek(3)
        start = max(start, end)
    shown += stream.finish()
    assert not any(secret.encode() in shown for secret in secrets)


def test_what_is_shown_early_comes_once_and_no_more_of_it_than_was_allowed() -> None:
    stream = MaskStream(make_masker("hunter2"))
    assert (stream.feed(b"a hu"), stream.peek(3), stream.peek(3)) == (b"a ", b"hu", b"")
    assert (stream.feed(b"n"), stream.peek(3)) == (b"", b"n")
    assert (stream.feed(b"t"), stream.peek(3)) == (b"", b"")
    assert stream.feed(b"er2 b") == b"*** b"
    assert stream.feed(b"hug") == b"hug"


@given(st.binary(max_size=200), CUTS)
def test_without_secrets_bytes_go_through_as_they_are(data: bytes, cuts: list[int]) -> None:
    assert feed_in_pieces(Masker(), data, cuts) == data


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"user:"])
@pytest.mark.parametrize("after", [b"", b"z", b"zz"])
def test_base64_is_masked_in_all_three_alignments(before: bytes, after: bytes) -> None:
    secret = b"correct horse battery staple"
    encoded = base64.b64encode(before + secret + after)
    shown = make_masker(secret.decode()).mask(encoded)
    assert b"***" in shown
    assert len(shown) < len(encoded) - len(secret)


@pytest.mark.parametrize(
    "written",
    [
        lambda secret: quote(secret, safe=""),
        lambda secret: json.dumps({"token": secret}),
        lambda secret: secret.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;"),
        lambda secret: "'" + secret.replace("'", "'\\''") + "'",
        lambda secret: f"  {secret}  ",
    ],
    ids=["url", "json", "xml", "shell", "spaces"],
)
def test_the_forms_in_which_programs_write_a_secret_are_masked(written) -> None:
    secret = "p&ss \"w<rd' 100%"
    shown = make_masker(secret).mask_text(written(secret))
    assert "***" in shown
    assert "ss" not in shown


def test_each_line_of_a_secret_is_masked_and_so_is_its_wrapped_base64() -> None:
    lines = ["-----BEGIN KEY-----", *(f"line{number}" + "x" * 60 for number in range(3)), "-----END KEY-----"]
    masker = make_masker("\n".join(lines) + "\n")
    assert masker.mask_text("\r\n".join(lines)) == "\r\n".join(["***"] * 5)
    wrapped = base64.encodebytes(("\n".join(lines) + "\n").encode())
    assert set(masker.mask(wrapped).splitlines()[:-1]) == {b"***"}


def test_overlapping_secrets_leave_nothing_of_either() -> None:
    assert make_masker("abcd", "cdef").mask(b"-abcdef-") == b"-***-"
    assert make_masker("aa").mask(b"aaaaa aa") == b"*** ***"


def test_a_value_added_in_mid_stream_is_masked_from_then_on() -> None:
    masker = Masker()
    stream = MaskStream(masker)
    assert stream.feed(b"token hunter2 ") == b"token hunter2 "
    masker.add("hunter2")
    assert stream.feed(b"token hunter2 ") == b"token *** "


def test_nothing_is_held_back_that_cannot_become_a_secret() -> None:
    stream = MaskStream(make_masker("hunter2"))
    assert stream.feed(b"50 % hun") == b"50 % "
    assert stream.feed(b"gry") == b"hungry"
    assert stream.feed(b"hunter\n") == b"hunter\n"


def test_an_endless_overlap_is_not_held_back_for_ever() -> None:
    stream = MaskStream(make_masker("aa"))
    shown = [stream.feed(b"a") for _ in range(1000)]
    assert b"".join(shown) == b"***"
    assert len(stream._carry) == 1


def test_blank_text_is_no_secret() -> None:
    assert derive_forms("  \n ") == set()
    assert make_masker("", " ").is_empty
    assert make_masker("x").mask_text("") == ""


def test_bytes_that_are_no_text_are_masked_too() -> None:
    shown = make_masker("hunter2").mask(b"\xff\xfehunter2\xff")
    assert shown == b"\xff\xfe***\xff"


def test_many_secrets_are_masked_as_well_as_few() -> None:
    secrets = [f"secret-number-{number:04}!" for number in range(50)]
    shown = make_masker(*secrets).mask_text(" ".join(secrets))
    assert shown == " ".join(["***"] * 50)


HIDDEN = [
    *(
        "\x1b[31m",
        "\x1b[m\x1b[K",
        "\x1b(B",
        "\x1b7",
        "\x9b1m",
        "\x1b[>4;1m",
        "\x1b[1 q",
    ),  # colours and their like
    *("\x1b]0;a title\x07", "\x1b]8;;https://x.example\x1b\\", "\x1bP1;2q\x1b\\", "\x1b_a\x1b\\"),  # strings
    *(
        "\r",
        "\b",
        "\x00",
        "\x07",
        "\x7f",
        "\x85",
        "\xad",
        "\u061c",
        "\u200b",
        "\u200d",
        "\u202e",
        "\u2028",
        "\u2066",
        "\ufeff",
    ),
    *("\x1b[0m" * 9, "\U000e0041"),
]


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
@pytest.mark.parametrize("pieces", [["s3cret", "value99"], list("s3cretvalue99"), ["", "s3cretvalue99", ""]])
def test_a_secret_with_control_sequences_in_it_is_masked(hidden: str, pieces: list[str]) -> None:
    printed = f"key={hidden.join(pieces)} end\n"
    for cut in (len(printed), 1):
        data = printed.encode()
        stream = MaskStream(make_masker("s3cretvalue99"))
        shown = b"".join(stream.feed(data[start : start + cut]) for start in range(0, len(data), cut))
        text = (shown + stream.finish()).decode()
        assert text.replace(hidden, "").startswith("key=***")
        assert text.endswith(" end\n")
        for viewed in (text, safe_text(text, colours=False), plain_text(text), last_state(shown).decode()):
            assert "value99" not in str(viewed)


def test_colours_within_a_secret_are_those_of_what_comes_after_it() -> None:
    masker = make_masker("s3cretvalue99", "31;40")
    assert masker.mask(b"key=\x1b[31ms3cret\x1b[0m\x1b[Kvalue99 end") == b"key=\x1b[31m***\x1b[0m end"
    assert masker.mask(b"s3cret\x1b[31;40mvalue99") == b"***", "what would show another secret is left out"
    assert masker.mask(b"\x1b]0;s3cretvalue99\x07") == b"\x1b]0;***\x07", "a title shows it, too"
    assert masker.mask(b"s3cret\nvalue99") == b"s3cret\nvalue99"


ODD = st.text("ab\x1b[]m;1(B\\\x07 \u200b\xb0é\n", max_size=40)


@given(
    st.lists(st.text("ab[m;1", min_size=2, max_size=6), min_size=1, max_size=3),
    st.lists(ODD, max_size=4),
    CUTS,
)
def test_however_a_stream_with_control_sequences_is_cut_the_same_comes_out(
    secrets: list[str], parts: list[str], cuts: list[int]
) -> None:
    masker = make_masker(*secrets)
    data = "".join(
        secret[:2] + part + secret[2:] for secret, part in itertools.product(secrets, parts)
    ).encode()
    assert feed_in_pieces(masker, data, cuts) == masker.mask(data)


@given(
    st.text("xyz01", min_size=4, max_size=8),
    st.lists(st.sampled_from(HIDDEN), min_size=9, max_size=9),
    st.lists(st.booleans(), min_size=9, max_size=9),
    CUTS,
)
def test_no_viewer_puts_a_secret_together(
    secret: str, hidden: list[str], are_there: list[bool], cuts: list[int]
) -> None:
    inside = [sequence if is_there else "" for sequence, is_there in zip(hidden, are_there, strict=True)]
    printed = "".join(map("".join, itertools.zip_longest(inside, secret, fillvalue="")))
    shown = feed_in_pieces(make_masker(secret), f"- {printed} -".encode(), cuts).decode()
    assert secret not in shown
    assert secret not in safe_text(shown, colours=False)
    assert secret not in str(plain_text(shown))


def test_what_may_become_a_control_sequence_within_a_secret_waits_for_its_end_and_no_longer() -> None:
    stream = MaskStream(make_masker("s3cretvalue99"))
    assert stream.feed(b"50 % s3cret\x1b[3") == b"50 % "
    assert stream.feed(b"1mvalue") == b""
    assert stream.feed(b"99 x\x1b[0") == b"***\x1b[31m x"
    assert stream.feed(b"m y") == b"\x1b[0m y"
    assert stream.feed(b"s3cret\x1b]0;title\x1b") == b""
    assert stream.feed(b"\\-\n") == b"s3cret\x1b]0;title\x1b\\-\n"


def test_so_much_is_held_back_and_no_more() -> None:
    stream = MaskStream(make_masker("s3cretvalue99"))
    shown = 0
    for number in range(3 * MOST_SEEN_THROUGH):
        shown += len(stream.feed(b"s" if number == 0 else b"\x1b[0m"))
    assert 12 * MOST_SEEN_THROUGH - shown < 4 * MOST_SEEN_THROUGH
    title = MaskStream(make_masker("s3cretvalue99"))
    came = [title.feed(b"\x1b]1337;File=" + b"A" * 1000) for _ in range(10)]
    assert sum(map(len, came)) > 9000 - MOST_SEEN_THROUGH


def test_colours_are_no_reason_to_keep_who_types_waiting() -> None:
    stream = MaskStream(make_masker("hunter2"))
    assert stream.feed(b"$ \x1b[32mh\x1b[0m") == b"$ \x1b[32m"
    assert (stream.peek(3), stream.peek(3)) == (b"h\x1b[0m", b"")
    assert stream.feed(b"unter2") == b"***"


FORMS = st.sets(
    st.binary(min_size=1, max_size=6).map(
        lambda data: data.translate(bytes(b"ab\n"[n % 2] for n in range(256)))
    ),
    min_size=1,
    max_size=30,
)


@given(FORMS, st.text("ab\n", max_size=40))
def test_both_ways_to_search_find_the_same(forms: set[bytes], text: str) -> None:
    data, ordered = text.encode(), sorted(forms)
    found = [
        (start, start + max(map(len, here)))
        for start in range(len(data))
        if (here := [form for form in forms if data.startswith(form, start)])
    ]
    assert list(FewForms(ordered).matches(data)) == found
    assert list(ManyForms(ordered).matches(data)) == found


@given(FORMS, st.text("ab\n", max_size=20))
def test_the_earliest_unfinished_form_is_held(forms: set[bytes], text: str) -> None:
    data = text.encode()
    tails = [data[start:] for start in range(len(data)) if b"\n" not in data[start:]]
    held = next(
        (tail for tail in tails if any(form != tail and form.startswith(tail) for form in forms)), b""
    )
    assert find_unfinished(sorted(forms), max(map(len, forms)), data) == len(data) - len(held)


def test_a_job_may_ask_for_so_many_masks_and_no_more() -> None:
    masker = Masker()
    assert all(masker.ask(f"asked-for-{number}-x") for number in range(MOST_ASKED))
    assert not masker.ask("one-too-many")
    text = f"asked-for-0-x asked-for-{MOST_ASKED - 1}-x one-too-many"
    assert masker.mask_text(text) == "*** *** one-too-many"
    masker.add("a secret of the project")  # those are never refused
    assert masker.mask_text("a secret of the project") == "***"


def test_a_value_that_is_too_large_is_refused_and_so_is_too_much_in_all() -> None:
    masker = Masker()
    assert not masker.ask("x" * (65 << 10))
    taken = sum(masker.ask(f"{number:03}" + "y" * (60 << 10)) for number in range(100))
    assert taken * (60 << 10) <= 4 << 20 < (taken + 2) * (60 << 10)


def test_the_work_for_a_mask_does_not_grow_with_those_before() -> None:
    """Counted in calls, not in seconds: what one more value costs at the end is what it cost at the beginning."""
    import sys

    masker = Masker()
    counts: list[int] = []
    for number in range(600):
        calls = 0

        def count(_frame: object, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            masker.ask(f"token-{number:05}")
            masker.mask(f"a line with token-{number:05} in it\n".encode())
        finally:
            sys.setprofile(None)
        counts.append(calls)
    assert max(counts[500:]) < 2 * max(counts[100:200])
