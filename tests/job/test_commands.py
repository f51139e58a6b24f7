"""Workflow commands on output, and the files of GITHUB_ENV and its like."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import run_job, script

from agent.job.commands.effects import Effects
from agent.job.commands.files import CommandFiles, CommandFolder, FileCommandError, parse_pairs
from agent.job.commands.stdout import CommandStream, WorkflowCommand, parse_command
from agent.spec.conventions import GITHUB
from agent.spec.outcome import Conclusion

KNOWN = ("error", "set-output", "group")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("::error::bad", WorkflowCommand("error", "bad")),
        ("  ::ERROR file=a.py,line=3::bad", WorkflowCommand("error", "bad", {"file": "a.py", "line": "3"})),
        (
            "::error file=a%3Ab%2Cc,title=%25::x%0Ay%250A",
            WorkflowCommand("error", "x\ny%0A", {"file": "a:b,c", "title": "%"}),
        ),
        ("::error ::a::b", WorkflowCommand("error", "a::b")),
        ("##[error file=a;line=1]bad%5D", WorkflowCommand("error", "bad]", {"file": "a", "line": "1"})),
        ("::unknown::x", None),
        ("::error", None),
        ("##[error", None),
        ("text ::error::x", None),
        (":: error::x", None),
    ],
)
def test_a_command_is_read_as_github_reads_it(line: str, command: WorkflowCommand | None) -> None:
    assert parse_command(line, KNOWN) == command


@given(
    st.lists(
        st.sampled_from(
            ["plain", "::cmd::x", " ::cmd::y", "##[cmd]z", "a ::cmd::n", ":", "::", "", "\t", "#"]
        ),
        max_size=8,
    ),
    st.booleans(),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_however_a_stream_is_cut_the_same_commands_are_found(
    lines: list[str], ends: bool, cuts: list[int]
) -> None:
    data = "\n".join(lines).encode() + (b"\n" if ends else b"")

    def run(pieces: list[bytes]) -> tuple[bytes, list[bytes]]:
        shown: list[bytes] = []
        found: list[bytes] = []

        def handle(line: bytes) -> bool:
            found.append(line)
            return b"cmd" in line

        stream = CommandStream(shown.append, handle)
        for piece in pieces:
            stream.feed(piece)
        stream.finish()
        return b"".join(shown), found

    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    whole = run([data] if data else [])
    assert run(pieces) == whole
    assert [line for line in lines if line.strip().startswith(("::cmd", "##[cmd"))] == [
        line.decode() for line in whole[1] if b"cmd" in line
    ]


def test_an_unfinished_line_that_is_no_command_is_shown_at_once() -> None:
    shown: list[bytes] = []
    stream = CommandStream(shown.append, lambda _line: True)
    stream.feed(b"progress 50 %")
    stream.feed(b" ::not a command")
    assert b"".join(shown) == b"progress 50 % ::not a command"


def test_annotations_are_recorded_with_their_place_ten_a_level(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script(
            "notes",
            "echo '::notice file=a.py,line=1,endLine=2,col=3,endColumn=4,title=T::look'; "
            "for i in $(seq 12); do echo ::warning::w$i; done; echo '::error::bad' >&2; echo '::debug::hidden'",
        ),
    )
    first, *rest = report.annotations()
    assert (first.level, first.message, first.title, first.file) == ("notice", "look", "T", "a.py")
    assert (first.line, first.end_line, first.column, first.end_column) == (1, 2, 3, 4)
    assert [item.level for item in rest] == ["warning"] * 10 + ["error"]
    assert "##[warning]w12" in report.output_of("notes")
    assert "##[error]bad" in report.output_of("notes")
    assert "hidden" not in "".join(report.output_of("notes"))
    assert report.conclusion is Conclusion.SUCCESS


def test_stopped_commands_are_shown_and_not_obeyed_until_the_very_token(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script(
            "stops",
            "echo ::stop-commands::s3same; echo '::set-output name=a::forged'; echo ::other::; echo ::add-mask::visible; "
            "echo '::s3same::'; echo '::set-output name=b::real'; echo visible",
        ),
    )
    assert report.steps()["stops"].outputs == {"b": "real"}
    assert "::set-output name=a::forged" in report.output_of("stops")
    assert report.output_of("stops")[-1] == "visible"


@pytest.mark.parametrize("token", ["", "pause-logging", "set-output", "Add-Mask"])
def test_a_token_that_others_could_guess_is_refused(tmp_path: Path, token: str) -> None:
    report = run_job(
        tmp_path, script("stops", f"echo '::stop-commands::{token}'; echo '::set-output name=a::seen'")
    )
    assert report.own_steps() == {"stops": "failure"}
    assert "You cannot use a endToken" in report.log("stops")
    assert report.steps()["stops"].outputs == {"a": "seen"}


def test_a_long_token_is_masked(tmp_path: Path) -> None:
    report = run_job(
        tmp_path, script("stops", "T=0123456789; echo ::stop-commands::$T; echo $T; echo ::$T::")
    )
    assert report.output_of("stops") == ["::stop-commands::***", "***", "::***::"]


def test_set_env_and_add_path_are_refused_unless_they_are_allowed(tmp_path: Path) -> None:
    text = "echo '::set-env name=A::1'; echo ::add-path::/opt/x"
    report = run_job(tmp_path, script("refused", text, continue_on_error=True), script("reads", "echo [$A]"))
    assert "Unable to process command '::set-env name=A::1' successfully." in report.log("refused")
    assert "The `set-env` command is disabled." in report.log("refused")
    assert report.output_of("reads") == ["[]"]
    allowed = run_job(
        tmp_path,
        script("allowed", text, env={"ACTIONS_ALLOW_UNSECURE_COMMANDS": "true"}),
        script("reads", "echo [$A] ${PATH%%:*}"),
    )
    assert allowed.output_of("reads") == ["[1] /opt/x"]


def test_a_value_is_masked_from_the_line_after_add_mask(tmp_path: Path) -> None:
    report = run_job(
        tmp_path, script("masks", "echo before hunter2x; echo ::add-mask::hunter2x; echo after hunter2x")
    )
    assert report.output_of("masks") == ["before hunter2x", "after ***"]


def test_a_job_that_asks_for_too_many_masks_fails_and_is_told_once(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("masks", "seq -f '::add-mask::value-%05g' 1 20000; echo value-00001 value-19999"),
        script("after", "echo on we go", condition="always()"),
    )
    assert report.conclusion is Conclusion.FAILURE
    assert report.log().count("NOT masked") == 1
    assert report.output_of("masks")[0] == "*** value-19999"
    assert report.output_of("after") == ["on we go"]


def test_words_that_stop_commands_draw_on_the_same_bound(tmp_path: Path) -> None:
    pairs = "seq -f '%05g' 1 20000 | sed 's/.*/::stop-commands::word-&\\n::word-&::/'"
    report = run_job(tmp_path, script("words", f"{pairs}; echo word-00001 word-19999"))
    assert report.output_of("words")[-1] == "*** word-19999"


def test_groups_pass_and_echo_shows_the_commands(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script(
            "shows",
            "echo ::group::One; echo ::endgroup::; echo ::echo::on; echo '::set-output name=a::1'; echo ::echo::maybe",
        ),
    )
    output = report.output_of("shows")
    assert output[:2] == ["##[group]One", "##[endgroup]"]
    assert "::set-output name=a::1" in output
    assert "Invalid echo command value" in "".join(output)


def test_a_secret_split_over_two_writes_is_masked(tmp_path: Path) -> None:
    report = run_job(
        tmp_path, script("prints", "printf hunter2; sleep 0.3; echo hunter3"), secrets={"X": "hunter2hunter3"}
    )
    assert "***" in report.output_of("prints")
    assert b"hunter" not in report.folder.journal.read_bytes().replace(
        b"printf hunter2; sleep 0.3; echo hunter3", b""
    )


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("A=1\n\nB=x=y<<z\n", [("A", "1"), ("B", "x=y<<z")]),
        ("A<<E\n1\n\n2\nE\nB=3", [("A", "1\n\n2"), ("B", "3")]),
        ("A<<E\nE\n", [("A", "")]),
        ("A<<=\nx\n=\n", [("A", "x")]),
        ("A=1\r\n", [("A", "1\r")]),
        ("A<<E\nx\nE", [("A", "x")]),
    ],
)
def test_pairs_are_read_as_github_reads_them(text: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_pairs(text) == pairs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "Invalid format 'nonsense'"),
        ("=x", "Invalid format '=x'. Name must not be empty"),
        ("<<E\nE\n", "Invalid format '<<E'. Name must not be empty and delimiter must not be empty"),
        ("A<<E\nx\n", "Invalid value. Matching delimiter not found 'E'"),
        ("A<<E\nx", "Invalid value. EOF marker missing new line."),
    ],
)
def test_what_cannot_be_read_is_an_error_in_githubs_words(text: str, message: str) -> None:
    with pytest.raises(FileCommandError) as error:
        parse_pairs(text)
    assert str(error.value) == message


def test_a_bad_file_fails_the_step_and_good_ones_still_count(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script(
            "writes",
            'echo nonsense >> "$GITHUB_ENV"; echo a=1 >> "$GITHUB_OUTPUT"; echo "# Hi" >> "$GITHUB_STEP_SUMMARY"',
        ),
    )
    assert report.own_steps() == {"writes": "failure"}
    assert "Unable to process file command 'env' successfully." in report.log("writes")
    assert report.steps()["writes"].outputs == {"a": "1"}
    assert report.summaries() == "# Hi\n"


def test_node_options_cannot_be_set(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("writes", 'echo "Node_Options=--require ./x" >> "$GITHUB_ENV"'))
    assert "Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command." in report.result.message


def test_a_summary_is_masked_and_one_that_is_too_long_is_refused(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("short", 'echo "token hunter2hunter2" >> "$GITHUB_STEP_SUMMARY"'),
        script("long", 'head -c 1100000 /dev/zero | tr "\\0" x >> "$GITHUB_STEP_SUMMARY"'),
        secrets={"X": "hunter2hunter2"},
    )
    assert report.summaries() == "token ***\n"
    assert "supports content up to a size of 1024k, got 1074k" in report.log("long")


@pytest.mark.parametrize(
    "swap",
    [
        lambda path: Path(path).symlink_to("/etc/passwd"),
        os.mkfifo,
        lambda path: Path(path).mkdir(),
    ],
    ids=["link", "fifo", "folder"],
)
def test_a_file_that_the_job_swapped_is_refused(tmp_path: Path, swap) -> None:
    files, effects = CommandFiles(tmp_path / "files", GITHUB.command_files), Effects()
    path = files.variables["GITHUB_OUTPUT"]
    Path(path).unlink()
    swap(path)
    files.collect(effects)
    assert effects.outputs == {}
    assert effects.errors[0] == "Unable to process file command 'output' successfully."
    assert "is not the file any more that the step was given" in effects.errors[1]


def test_a_file_that_the_job_removed_is_empty(tmp_path: Path) -> None:
    files, effects = CommandFiles(tmp_path / "files", GITHUB.command_files), Effects()
    Path(files.variables["GITHUB_ENV"]).unlink()
    assert files.collect(effects) == ""
    assert effects == Effects()


def test_a_folder_that_the_job_swapped_for_a_link_fails_the_next_step_alone(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("swaps", 'D=$(dirname "$GITHUB_ENV"); rm -rf "$D"; ln -s "$(mktemp -d)" "$D"'),
        script("next", "echo no"),
    )
    assert report.own_steps() == {"swaps": "success", "next": "failure"}
    assert "is no folder any more" in report.result.message


def test_files_are_made_early_and_removed_late(tmp_path: Path) -> None:
    folder = CommandFolder(tmp_path, GITHUB.command_files)
    first = folder.take()
    folder.tidy()
    early = set(tmp_path.iterdir()) - {Path(path) for path in first.variables.values()}
    second = folder.take()
    assert {Path(path) for path in second.variables.values()} == early
    first.collect(Effects())
    folder.give_back(first)
    folder.tidy()
    assert not {Path(path) for path in first.variables.values()} & set(tmp_path.iterdir())
    folder.give_back(second)
    folder.close()
    folder.tidy()
    assert list(tmp_path.iterdir()) == []


def test_what_a_step_said_is_gone_before_the_next_step_begins(tmp_path: Path) -> None:
    files, effects = CommandFiles(tmp_path, GITHUB.command_files), Effects()
    Path(files.variables["GITHUB_OUTPUT"]).write_text("a=1\n")
    files.collect(effects)
    assert effects.outputs == {"a": "1"}
    assert not Path(files.variables["GITHUB_OUTPUT"]).exists()


@pytest.mark.parametrize(
    "touch",
    [
        lambda path: path.write_text("EVIL=1\n"),
        lambda path: path.unlink(),
        lambda path: path.chmod(0o666),
        lambda path: path.with_name("other").hardlink_to(path),
        lambda path: path.rename(path.with_name("other")).chmod(0o644) or path.symlink_to("other"),
        lambda path: path.rename(path.with_name("other")).chmod(0o644) or path.touch(),
        lambda path: path.parent.rename(path.parent.with_name("moved")),
    ],
    ids=["write", "unlink", "mode", "second name", "link", "another file", "another folder"],
)
def test_files_made_early_that_a_step_has_touched_are_given_to_nobody(tmp_path: Path, touch) -> None:
    folder = CommandFolder(tmp_path / "files", GITHUB.command_files)
    folder.tidy()
    early = next(path for path in (tmp_path / "files").iterdir() if path.name.startswith("set_env_"))
    touch(early)
    files = folder.take()
    assert files.variables["GITHUB_ENV"] != str(early)
    assert Path(files.variables["GITHUB_ENV"]).read_text() == ""
