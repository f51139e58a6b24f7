"""Gradient's language: what a file means in the model."""

from textwrap import dedent
from typing import Any

import pytest
from support.flows import Run, check_flow

from agent.flow.load import load_flow
from agent.flow.model import Flow, Job, TriggerKind
from agent.ids import RunId
from agent.plan.request import RunRequest, make_start
from agent.spec.data import Bring, BringKind, Keep, KeepKind
from agent.spec.job import JobSpec, Source, SourceKind

CONTAINER = "uses: container@v1\n    with: {image: bash:5}"


def load(text: str) -> Flow:
    return load_flow(dedent(text), "f.yaml", dialect="gradient").flow


def load_job(body: str, more: str = "") -> Job:
    """The job `a` with that body."""
    return load(
        f"{dedent(more)}\njobs:\n  a:\n"
        + "\n".join(f"    {line}" for line in dedent(body).strip().splitlines())
    ).jobs["a"]


def compile_jobs(text: str, **asked: Any) -> dict[str, JobSpec]:
    """The specification of each job of a run, the ones before it having succeeded, with texts and versions of datasets."""
    flow = load(text)
    secrets = asked.pop("secrets", ("hello",))
    start = make_start(
        flow, RunRequest(**asked), run=RunId(1), number=1, seed=b"0123456789abc", secrets=secrets
    )
    run = Run(flow, start)
    found = {}
    for key in flow.jobs:
        found[key] = run.spec(key)
        outputs = {
            keep.name: f"{keep.name}:4" if keep.kind is KeepKind.DATASET else f"the {keep.name} of {key}"
            for keep in found[key].keeps
            if keep.kind in (KeepKind.TEXT, KeepKind.DATASET)
        }
        run.finish(key, **outputs)
    return found


def test_the_documented_example_means_what_it_meant_there() -> None:
    specs = compile_jobs(
        """
        defaults:
          env: {HELLO: secret:hello}
          resources: {instance-type: P4000}
        inputs:
          data: {type: dataset, with: {ref: test-one}}
          echo: {type: string, with: {value: "hello world"}}
        jobs:
          job-1:
            inputs: {data: workflow.inputs.data, echo: workflow.inputs.echo}
            outputs:
              data2: {type: dataset, with: {id: test-two}}
              echo2: {type: string}
            env: {TSTVAR: test}
            uses: container@v1
            with:
              args: [bash, -c, find /inputs/data > /outputs/data2/list.txt]
              image: bash:5
          job-2:
            inputs: {data2: job-1.outputs.data2, echo2: job-1.outputs.echo2}
            outputs: {data3: {type: dataset, with: {ref: test-three}}}
            needs: [job-1]
            uses: container@v1
            with: {image: "bash:5", args: [bash]}
        """
    )
    first, second = specs["job-1"], specs["job-2"]
    assert first.env == ({"HELLO": "${{ secrets.hello }}"}, {"TSTVAR": "test"})
    assert first.secrets == ("hello",)
    assert first.brings == (
        Bring(
            BringKind.DATASET,
            "test-one",
            "inputs/data",
            in_data=True,
            is_read_only=True,
            place="f.yaml:10:20",
        ),
        Bring(
            BringKind.TEXT,
            "hello world",
            "inputs/echo",
            in_data=True,
            is_read_only=True,
            place="f.yaml:10:48",
        ),
    )
    assert first.keeps == (
        Keep(KeepKind.DATASET, "outputs/data2", "test-two", in_data=True, place="f.yaml:12:14"),
        Keep(KeepKind.TEXT, "outputs/echo2", "echo2", in_data=True, place="f.yaml:13:14"),
    )
    assert [(bring.kind, bring.of, bring.path, bring.name) for bring in second.brings] == [
        (BringKind.DATASET, "test-two:4", "inputs/data2", ""),
        (BringKind.TEXT, "the echo2 of job-1", "inputs/echo2", ""),
    ]
    assert second.timeout_minutes == 0
    assert (first.runs_on, first.resources.gpus) == ((), None)


@pytest.mark.parametrize(
    ("with_", "entrypoint", "args"),
    [
        ("{image: i}", None, None),
        ("{image: i, args: [echo, 'a b', \"it's\", '', '1']}", None, ["echo", "a b", "it's", "", "1"]),
        ("{image: i, command: bash, args: [-c, 'x y']}", "bash", ["-c", "x y"]),
        ("{image: i, command: [python, -m, http.server], args: [80]}", "python", ["-m", "http.server", "80"]),
        ("{image: i, args: [secret:S, 'a secret:S', context.event.github.url]}", None, ["${{ secrets.S }}", "a secret:S", "${{ context.event.github.url }}"]),
    ],
)  # fmt: skip
def test_a_container_is_told_its_words_one_by_one(
    with_: str, entrypoint: str | None, args: list[str] | None
) -> None:
    (step,) = load_job(f"uses: container@v1\nwith: {with_}").steps
    assert step.uses == "docker://i"
    assert (step.with_.get("entrypoint"), step.with_.get("args")) == (entrypoint, args)


def test_a_script_is_one_word_of_bash() -> None:
    (step,) = load_job(
        "uses: script@v1\nwith:\n  image: tensorflow/tensorflow:1.14.0-gpu-py3\n  script: |-\n    echo 'a' $B\n    exit 3"
    ).steps
    assert step.uses == "docker://tensorflow/tensorflow:1.14.0-gpu-py3"
    assert step.with_ == {"entrypoint": "bash", "args": ["-c", "echo 'a' $B\nexit 3"]}


def test_text_in_braces_is_text() -> None:
    text = "jobs:\n  a:\n    env: {A: '${{ x }}'}\n    uses: script@v1\n    with: {image: i, script: 'echo ${{ github.ref }}'}\n"
    (spec,) = compile_jobs(text).values()
    from agent.flow.expressions import evaluate_template

    (env,) = spec.env
    assert evaluate_template(env, {}) == {"A": "${{ x }}"}
    assert evaluate_template(spec.steps[-1].with_["args"] if spec.steps else None, {}) == [
        "-c",
        "echo ${{ github.ref }}",
    ]
    warned = [(str(found.position), found.message) for found in check_flow(text, "f.yaml", "gradient")]
    assert warned == [
        ("f.yaml:3:14", "`${{` means nothing in a Gradient workflow: this is text, and stays as it is"),
        ("f.yaml:5:30", "`${{` means nothing in a Gradient workflow: this is text, and stays as it is"),
    ]


def test_a_download_goes_into_the_only_folder_that_the_job_makes_or_where_it_is_told() -> None:
    job = load_job(
        """
        outputs: {repo: {type: volume}, note: {type: string}}
        uses: git-checkout@v1
        with: {url: https://git.example/a/b, ref: v1, username: ada, password: secret:GIT}
        """
    )
    (step,) = job.steps
    assert step.uses == "flow-agent/git-checkout@v1"
    assert step.with_ == {
        "url": "https://git.example/a/b", "ref": "v1", "username": "ada", "password": "${{ secrets.GIT }}", "path": "outputs/repo",
    }  # fmt: skip
    job = load_job(
        """
        outputs: {repo: {type: volume}, ds: {type: dataset, with: {ref: d}}}
        uses: s3-download@v1
        with: {url: s3://b/p/, access-key: A, secret-access-key: secret:S, path: /outputs/ds/sub/}
        """
    )
    assert job.steps[0].with_["path"] == "outputs/ds/sub"


def test_the_url_of_the_event_is_the_code_of_the_run() -> None:
    text = "jobs:\n  a:\n    outputs: {r: {type: volume}}\n    uses: git-checkout@v1\n    with: {url: context.event.github.url}\n    env: {SHA: context.event.github.sha}\n"
    source = Source(SourceKind.GIT, url="https://git.example/a/b", ref="refs/heads/main", commit="c" * 40)
    (spec,) = compile_jobs(text, source=source, actor="ada").values()
    assert spec.contexts["context"]["event"] == {
        "name": "manual",
        "github": {"url": "https://git.example/a/b", "ref": "refs/heads/main", "branch": "main", "sha": "c" * 40, "event": {}},
    }  # fmt: skip
    assert spec.env == ({"SHA": "${{ context.event.github.sha }}"},)
    assert [step.with_ for step in spec.steps if step.id == "action"] == [{"path": "outputs/r"}]


def test_volumes_of_old_files_are_shared_by_naming_them_among_the_inputs() -> None:
    specs = compile_jobs(
        """
        jobs:
          CloneRepo:
            inputs: {repo: {type: volume}}
            uses: git-checkout@v1
            with: {url: https://git.example/a/b}
          Train:
            needs: [CloneRepo]
            inputs: {repo: {type: volume}}
            uses: script@v1
            with: {image: i, script: ls /inputs/repo}
        """
    )
    first, second = specs["CloneRepo"], specs["Train"]
    assert (first.brings, [(keep.kind, keep.path, keep.name) for keep in first.keeps]) == (
        (),
        [(KeepKind.VOLUME, "inputs/repo", "CloneRepo.repo")],
    )
    assert [
        (bring.kind, bring.of, bring.name, bring.path, bring.is_read_only) for bring in second.brings
    ] == [(BringKind.JOB, "CloneRepo", "CloneRepo.repo", "inputs/repo", False)]


def test_datasets_are_named_as_they_can_be_here() -> None:
    job = load_job(
        """
        inputs:
          a: {type: dataset, with: {ref: "team/My Data:v1"}}
          b: {type: dataset, with: {id: dsr8k5qzn401lb5:klfoyy9}}
        outputs: {c: {type: dataset, with: {ref: "Trained_Model:3"}}}
        uses: container@v1
        with: {image: i}
        """
    )
    assert [bring.of for bring in job.brings] == ["my-data:1", "dsr8k5qzn401lb5:klfoyy9"]
    assert job.keeps[0].name == "trained_model"


def test_a_flow_can_always_be_started_by_hand_and_by_a_push_where_it_says_so() -> None:
    by_hand = load(f"jobs:\n  a:\n    {CONTAINER}")
    assert [(trigger.event, trigger.kind) for trigger in by_hand.triggers] == [
        ("manual", TriggerKind.BY_HAND)
    ]
    for written, patterns in (
        ("main", ("main",)),
        ("[main, 'release-*', a+b]", ("main", "release-*", "a\\+b")),
    ):
        flow = load(f"on: {{github: {{branches: {{only: {written}}}}}}}\njobs:\n  a:\n    {CONTAINER}")
        push = flow.trigger("push")
        assert push is not None
        assert push.filters == {"branches": patterns}
    assert load(f"on: {{github: }}\njobs:\n  a:\n    {CONTAINER}").trigger("push") is not None
    assert load(f"on:\njobs:\n  a:\n    {CONTAINER}").trigger("push") is None


def test_a_machine_type_is_what_the_variable_says() -> None:
    text = """
        defaults: {resources: {instance-type: P4000}, clusterId: cl123}
        jobs:
          a: {uses: container@v1, with: {image: i}}
          b: {uses: container@v1, with: {image: i}, resources: {instance-type: C5}}
          c: {uses: container@v1, with: {image: i}, resources: {instance-type: V100}}
        """
    table = '{"P4000": {"labels": ["gpu", "x64"], "resources": {"gpus": 1, "memory": "8GB"}}, "C5": {"labels": "cpu"}}'
    specs = compile_jobs(text, vars={"MACHINE_TYPES": table, "CLUSTERS": '{"cl123": "berlin"}'})
    assert [(spec.runs_on, spec.group) for spec in specs.values()] == [
        (("gpu", "x64"), "berlin"), (("cpu",), "berlin"), ((), "berlin"),
    ]  # fmt: skip
    gpus = specs["a"].resources.gpus
    assert gpus is not None
    assert (gpus.count, specs["b"].resources.gpus) == (1, None)
    assert specs["a"].resources.memory_bytes == 8_000_000_000
    assert [(spec.runs_on, spec.group) for spec in compile_jobs(text).values()] == [((), "")] * 3


@pytest.mark.parametrize(
    ("written", "minutes"),
    [("90", 90), ("90s", 1.5), ("'30m'", 30), ("2 h", 120), ("1d", 1440), ("0.5", 0.5)],
)
def test_a_time_out_is_minutes_or_says_its_unit(written: str, minutes: float) -> None:
    assert load_job(f"timeout: {written}\nuses: container@v1\nwith: {{image: i}}").timeout_minutes == minutes


def test_merge_keys_bring_in_what_others_have() -> None:
    flow = load(
        """
        defaults: {env: &env {A: '1', B: '2'}}
        jobs:
          a: &a
            uses: container@v1
            with: {image: i}
            env: {<<: *env, B: '3'}
          b:
            <<: *a
            needs: [a]
        """
    )
    assert flow.jobs["a"].env == {"A": "1", "B": "3"}
    assert (flow.jobs["b"].steps[0].uses, flow.jobs["b"].needs) == ("docker://i", ("a",))


def test_create_model_gives_the_name_of_the_model() -> None:
    job = load_job(
        """
        inputs: {model: {type: dataset, with: {ref: test-model}}}
        outputs: {model-id: {type: string}}
        uses: create-model@v1
        with: {name: my-model, type: Tensorflow}
        """
    )
    (step,) = job.steps
    assert step.uses == "flow-agent/create-model@v1"
    assert (step.with_["name"], step.with_["type"]) == ("my-model", "Tensorflow")


def test_a_run_again_knows_who_asked_for_it() -> None:
    flow = load("jobs: {a: {uses: container@v1, with: {image: i}}}")
    start = make_start(
        flow, RunRequest(actor="ada"), run=RunId(1), number=1, seed=b"0123456789abc", secrets=()
    )
    run = Run(flow, start)
    assert run.spec("a").contexts["context"]["workflow"]["actor"] == "ada"  # type: ignore[index]
    run.finish("a")
    run.again(actor="bob")
    assert run.spec("a").contexts["context"]["workflow"]["actor"] == "bob"  # type: ignore[index]
    run.finish("a")
    run.again()
    assert run.spec("a").contexts["context"]["job"] == "a"


def test_a_volume_that_begins_as_a_dataset_and_one_that_two_jobs_before_have_had() -> None:
    flow = load(
        """
        inputs: {v: {type: volume, with: {ref: images}}, w: {type: volume}}
        jobs:
          a:
            inputs: {v: workflow.inputs.v, w: workflow.inputs.w}
            outputs: {x: {type: volume}}
            uses: container@v1
            with: {image: i}
          b:
            needs: [a]
            inputs: {w: workflow.inputs.w, x: {type: volume}, d: {type: volume, with: {ref: images}}}
            uses: container@v1
            with: {image: i}
          c:
            needs: [b]
            inputs: {w: workflow.inputs.w}
            uses: container@v1
            with: {image: i}
        """
    )
    brought = {
        key: [(bring.kind, bring.of, bring.name) for bring in job.brings] for key, job in flow.jobs.items()
    }
    assert brought == {
        "a": [("dataset", "${{ inputs['v'] }}", "")],
        "b": [("job", "a", "a.w"), ("job", "a", "a.x"), ("dataset", "images", "")],
        "c": [("job", "b", "b.w")],
    }
    push = flow.triggers[-1]
    assert [(given.name, given.type, given.default) for given in push.inputs] == [("v", "dataset", "images")]
