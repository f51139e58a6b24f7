"""Flows that start by themselves and call flows of other repositories."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from server.triggers.lab import FLOW, ZEROS, Lab
from server.triggers.payloads import github_push
from server.vocabulary import wait_for
from support.git import Repository, make_repository
from support.silent_host import SilentHost

from agent.errors import RefusedError
from agent.resolve.reference import parse_reference
from agent.server.pools import OUTSIDE, Pool
from agent.server.triggers import called
from agent.server.triggers.called import CallingRepository, OtherRepositories, is_same_host, locate, plain_url
from agent.server.triggers.outside import OutsideRule

pytestmark = pytest.mark.store("sqlite")  # what git reads has nothing to do with the store

Labs = Callable[..., Lab]
SHARED = ".github/workflows/shared.yml"
CALLING = """\
on: [push, pull_request, workflow_dispatch]
jobs:
  shared:
    uses: {uses}
"""
CALLED = """\
on: workflow_call
jobs:
  inner:
    uses: ./.github/workflows/inner.yml
"""
INNER = """\
on: workflow_call
jobs:
  {job}:
    runs-on: linux
    steps: [{{run: echo}}]
"""


def make_tools(lab: Lab) -> Repository:
    """`acme/tools` on the lab's host: its flow calls another one of its own."""
    files: dict[str, str | bytes] = {SHARED: CALLED, ".github/workflows/inner.yml": INNER.format(job="fit")}
    tools = make_repository(lab.host.root / "acme" / "tools", files, tags=())
    tools.git("config", "uploadpack.allowFilter", "true")
    tools.git("tag", "-a", "v1", "-m", "first")
    return tools


def call(ref: str = "v1", repository: str = "acme/tools") -> dict[str, str | bytes]:
    return {FLOW: CALLING.format(uses=f"{repository}/{SHARED}@{ref}")}


def keys(lab: Lab, delivery: dict[str, Any]) -> list[str]:
    (result,) = delivery["results"]
    assert result["run"], result
    return [job["key"] for job in lab.server.run(result["run"])["jobs"]]


def test_a_flow_of_another_repository_on_the_same_host_is_called(lab: Lab) -> None:
    tools = make_tools(lab)
    assert keys(lab, lab.push(call())) == ["shared / inner / fit"]
    tools.commit({".github/workflows/inner.yml": INNER.format(job="moved")})
    assert keys(lab, lab.push({"a": "1"})) == ["shared / inner / fit"]  # the tag has not moved
    assert keys(lab, lab.push(call("main"))) == ["shared / inner / moved"]
    assert keys(lab, lab.push(call(tools.head))) == ["shared / inner / moved"]


def test_a_lock_beside_the_flow_holds_what_it_calls(lab: Lab) -> None:
    tools = make_tools(lab)
    first = tools.head
    tools.commit({".github/workflows/inner.yml": INNER.format(job="moved")})
    lock = f'version = 1\n\n[actions."acme/tools@main"]\ncommit = "{first}"\nurl = "https://x.example/y"\n'
    pushed = lab.push({**call("main"), ".github/workflows/flow.lock": lock})
    assert keys(lab, pushed) == ["shared / inner / fit"]


def test_what_cannot_be_read_is_told_and_holds_up_no_other_flow(lab: Lab) -> None:
    make_tools(lab)
    files: dict[str, str | bytes] = {
        FLOW: CALLING.format(uses=f"acme/nothing/{SHARED}@v1"),
        ".github/workflows/no-ref.yml": CALLING.format(uses=f"acme/tools/{SHARED}@v2"),
        ".github/workflows/no-file.yml": CALLING.format(uses="acme/tools/.github/workflows/no.yml@v1"),
        ".github/workflows/inside.yml": CALLING.format(uses=f"https://169.254.169.254/a/b/{SHARED}@v1"),
        ".github/workflows/well.yml": CALLING.format(uses=f"acme/tools/{SHARED}@v1"),
    }
    results = {row["flow"].rpartition("/")[2]: row for row in lab.push(files)["results"]}
    assert results["well.yml"]["run"]
    for name, complaint in (
        ("train.yml", "acme/nothing"),
        ("no-ref.yml", "the repository has no 'v2'"),
        ("no-file.yml", "there is no .github/workflows/no.yml at v1"),
        ("inside.yml", "not a public address"),
    ):
        assert results[name]["run"] is None
        assert complaint in " ".join(results[name]["problems"]), results[name]


def test_a_call_to_a_host_that_keeps_its_share_of_threads_waiting_is_tried_again_and_its_event_not_lost(
    lab: Lab, silent_host: SilentHost
) -> None:
    def look_up(number: int) -> None:
        body = {"url": f"{silent_host.url}/acme/lab-{number}", "provider": "git"}
        with contextlib.suppress(httpx.HTTPError):
            lab.server.api.post("/repositories", json=body, timeout=None)

    share = OUTSIDE.threads // 4
    asking = [threading.Thread(target=look_up, args=(number,)) for number in range(share)]
    for thread in asking:
        thread.start()
    wait_for(lambda: silent_host.asked == share, "the look-ups hang")
    lab.repository.commit(
        {
            FLOW: CALLING.format(
                uses=f"https://{silent_host.url.removeprefix('http://')}/acme/tools/{SHARED}@v1"
            )
        }
    )
    payload = github_push(before=ZEROS, after=lab.repository.head, message="work")
    number = lab.deliver("push", payload).json()["delivery"]
    shown = wait_for(
        lambda: (one := lab.server.api.get(f"/deliveries/{number}").json())["outcome"] and one, "a try"
    )
    silent_host.release()
    for thread in asking:
        thread.join()
    assert shown["status"] == "waiting", (shown["outcome"], shown["results"])
    assert "too much to do already for 127.0.0.1:" in shown["outcome"]


def test_a_private_one_is_read_with_the_callers_token_and_never_for_a_stranger(make_lab: Labs) -> None:
    lab = make_lab(token="robot:open-sesame", forks="run")
    make_tools(lab)
    lab.host.credentials = "robot:open-sesame"
    assert keys(lab, lab.push(call())) == ["shared / inner / fit"]
    (own,) = lab.request(a="1")["results"]
    assert own["run"]
    (strange,) = lab.request(number=6, fork="stranger/lab", a="1")["results"]
    assert strange["run"] is None
    assert "can't be read" in " ".join(strange["problems"])


def test_a_sync_by_hand_reads_afresh_what_flows_call(lab: Lab) -> None:
    lab.push(call())
    assert lab.server.api.get("/flows").json()["flows"][0]["problems"]
    make_tools(lab)
    assert lab.server.api.post(f"/repositories/{lab.id}/sync").status_code == 200
    assert lab.server.api.get("/flows").json()["flows"][0]["problems"] == []
    started = lab.server.api.post(f"/repositories/{lab.id}/dispatch", json={"flow": "train.yml"})
    assert started.status_code == 201, started.text


@pytest.mark.parametrize(
    ("own", "uses", "expected"),
    [
        ("https://github.com/acme/lab", "a/b/c.yml@v1", "https://github.com/a/b"),
        ("https://git.lab/acme/lab.git", "a/b/c.yml@v1", "https://git.lab/a/b.git"),
        ("https://git.lab/group/sub/lab", "a/b/c.yml@v1", "https://git.lab/group/a/b"),
        ("file:///srv/git/acme/lab", "a/b/c.yml@v1", "file:///srv/git/a/b"),
        ("https://github.com/acme/lab", "https://git.lab/a/b//c.yml@v1", "https://git.lab/a/b"),
    ],
)
def test_a_name_without_a_host_is_on_the_callers(own: str, uses: str, expected: str) -> None:
    assert locate(own, parse_reference(uses)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("uses", ["flow-agent/flows/train.yml@v1", "Flow-Agent/flows/train.yml@main"])
def test_our_name_is_no_owner_on_any_host(uses: str) -> None:
    with pytest.raises(RefusedError, match="reserved"):
        locate("https://git.lab/acme/lab", parse_reference(uses))  # type: ignore[arg-type]


def test_urls_are_told_apart_by_what_they_lead_to() -> None:
    assert plain_url("https://Git.Lab/a/b.git") == plain_url("https://git.lab/a/b/")
    assert not is_same_host("https://git.lab/a/b", "http://git.lab/a/b")
    assert not is_same_host("https://git.lab/a/b", "https://git.lab:444/a/b")
    assert is_same_host("https://git.lab/a/b", "https://GIT.lab/c/d")


def test_copies_that_nobody_uses_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(called, "_MOST_COPIES", 2)
    for name in ("one", "two", "three"):
        tools = make_repository(tmp_path / "acme" / name, {SHARED: INNER.format(job=name)})
        tools.git("config", "uploadpack.allowFilter", "true")
    others = OtherRepositories(OutsideRule((str(tmp_path),)), tmp_path / "copies", 1 << 24, Pool(OUTSIDE))
    read = others.reader(CallingRepository(1, (tmp_path / "acme" / "lab").as_uri(), lambda _url: ""))
    for name in ("one", "two", "three", "one"):
        assert name in read(f"acme/{name}/{SHARED}@v1", called.Pins())
        assert len(list((tmp_path / "copies").iterdir())) <= 2
