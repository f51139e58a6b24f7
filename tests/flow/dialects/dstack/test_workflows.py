"""dstack's workflows: what each key becomes in the model, and every mistake at its place."""

import json
from textwrap import dedent

import pytest

from agent.flow.companions import choose_among
from agent.flow.load import find_front_end, inspect_flow, load_flow
from agent.flow.model import Starts, StepKind, TriggerKind

PIP_INSTALL = "pip install -r own.txt"
FILE = ".dstack/workflows.yaml"


def load(text, file=FILE, **beside):
    texts = {name.replace("__", "/") + ".yaml": dedent(written) for name, written in beside.items()}
    return load_flow(dedent(text), file, companions=choose_among(texts)).flow


def problems(text, file=FILE, **beside):
    texts = {name.replace("__", "/") + ".yaml": dedent(written) for name, written in beside.items()}
    found = inspect_flow(dedent(text), file, None, choose_among(texts)).problems
    return [f"{one.position}: {one.message}" for one in found]


def bash(*commands, name="train", **more):
    keys = "".join(f"    {key.replace('_on', '-on')}: {value}\n" for key, value in more.items())
    listed = "".join(f"      - {command}\n" for command in commands or ("echo",))
    return f"workflows:\n  - name: {name}\n    provider: bash\n{keys}    commands:\n{listed}"


def job_of(text, name="train", **beside):
    return load(text, **beside).jobs[name]


def test_a_file_is_one_flow_whose_jobs_are_started_by_their_names():
    flow = load(bash("echo a") + bash("echo b", name="test").removeprefix("workflows:\n"))
    assert list(flow.jobs) == ["train", "test"]
    assert flow.starts is Starts.CHOSEN
    assert flow.trigger_of(TriggerKind.BY_HAND).event == "run"


def test_the_commands_of_a_workflow_are_one_script_of_one_step_after_its_code():
    code, run = job_of(bash("export A=1", "echo $A")).steps
    assert (code.kind, code.uses) == (StepKind.USES, "flow-agent/checkout@v1")
    assert (run.kind, run.run, run.shell) == (StepKind.RUN, ["export A=1", "echo $A"], "bash")


def test_a_workflow_runs_as_long_as_it_takes_on_any_agent():
    job = job_of(bash())
    assert (job.timeout_minutes, job.runs_on) == (0.0, [])


@pytest.mark.parametrize("written", ["3.10", '"3.10"', "'3.10'"])
def test_a_version_of_python_is_read_as_it_is_written(written):
    assert job_of(bash(python=written)).env["FLOW_PYTHON"] == "3.10"


def test_requirements_and_setup_come_before_the_commands():
    text = bash("python a.py", requirements="own.txt", before_run="[make a, make b]")
    assert job_of(text).steps[1].run == [PIP_INSTALL, "make a", "make b", "python a.py"]
    assert job_of(bash("a", setup="one")).steps[1].run == ["one", "a"]


def test_variables_become_the_environment_and_inputs_of_the_run():
    flow = load(
        bash("echo ${{ batch-size }}"), variables="variables: {train: {batch-size: 64, lr: 1.0}, global: {seed: 3.10}}"
    )  # fmt: skip
    env = flow.jobs["train"].env
    assert env["BATCH_SIZE"] == "${{ inputs['batch-size'] }}"
    assert flow.jobs["train"].steps[1].run == ["echo ${{ inputs['batch-size'] }}"]
    inputs = {one.name: one.default for one in flow.trigger_of(TriggerKind.BY_HAND).inputs}
    assert inputs == {"batch-size": "64", "lr": "1.0", "seed": "3.10"}


def test_a_variable_that_two_workflows_give_values_that_differ_has_each_ones_own():
    two = bash("a") + bash("b", name="test").removeprefix("workflows:\n")
    flow = load(two, variables="variables: {train: {n: 1}, test: {n: 2}}")
    assert flow.jobs["train"].env["N"] == "${{ inputs['n'] || '1' }}"
    assert flow.jobs["test"].env["N"] == "${{ inputs['n'] || '2' }}"


def test_a_variable_that_nobody_declared_is_told_and_has_to_be_given():
    found = problems(bash("echo ${{ epochs }}"))
    assert found == [".dstack/workflows.yaml:5:9: there is no variable 'epochs'"]
    (declared,) = load(bash("echo ${{ epochs }}")).trigger_of(TriggerKind.BY_HAND).inputs
    assert (declared.name, declared.required, declared.jobs) == ("epochs", True, ("train",))


def test_arguments_names_secrets_and_the_escape():
    run = job_of(bash("a ${{ run.args }} ${{run.name}} ${{ secrets.KEY }} $${{ x }}")).steps[1].run
    assert run == [
        "a ${{ inputs['run.args'] }} ${{ run.name }} ${{ secrets.KEY }} ${{ '${{' }} x }}"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("a ${{ run.arg }}", "`run.arg` is no name of a variable"),
        ("a ${{ 1 + 1 }}", "`1 + 1` is no name of a variable"),
        ("a ${{ x", "`${{` is not closed"),
    ],
)
def test_what_is_no_name_between_braces_is_told_at_its_place(written, message):
    assert problems(bash(f'"{written}"')) == [f"{FILE}:5:9: {message}"]


def test_the_environment_is_a_list_or_a_mapping_and_a_bare_name_is_the_callers():
    env = job_of(bash(env="[A=1=2, B]")).env
    assert (env["A"], env["B"]) == ("1=2", "${{ inputs['env.B'] || env.B }}")
    assert job_of(bash(environment="{A: 1.0, B: true, C: }")).env | {"RUN_NAME": ""} == {
        "A": "1.0", "B": "true", "C": "", "RUN_NAME": ""
    }  # fmt: skip
    (declared,) = load(bash(env="[B]")).trigger_of(TriggerKind.BY_HAND).inputs
    assert (declared.name, declared.variable) == ("env.B", "B")
    assert problems(bash(env="[1A=2]")) == [f"{FILE}:4:11: '1A' is no name of a variable"]


def test_all_secrets_are_the_environment_of_every_workflow():
    assert job_of(bash()).sees_all_secrets


def test_a_runtime_dependency_runs_before_and_brings_its_artifacts():
    text = bash(depends_on="[data]") + bash(name="data", artifacts="[raw]").removeprefix("workflows:\n")
    train = job_of(text)
    assert train.needs == ("data",)
    assert [(one.kind, one.of, str(one.position)) for one in train.brings] == [
        ("job", "data", f"{FILE}:4:18")
    ]


def test_tags_and_last_runs_of_this_project_and_of_others_are_brought():
    text = bash(
        depends_on="['data:v1', 'o/r/data:v2']",
        deps="[{tag: t}, ':u', {workflow: w}, w, {tag: o/r/t}, o/r/w]",
    )
    found = [(one.kind, one.project, one.of, one.job) for one in job_of(text).brings]
    assert found == [
        ("tag", "", "v1", ""), ("tag", "o/r", "v2", ""), ("tag", "", "t", ""), ("tag", "", "u", ""),
        ("last", "", ".dstack", "w"), ("last", "", ".dstack", "w"), ("tag", "o/r", "t", ""), ("last", "o/r", ".dstack", "w"),
    ]  # fmt: skip


def test_an_unknown_dependency_is_told_where_it_is_named():
    assert problems(bash(depends_on="[train, dat]") + bash(name="data").removeprefix("workflows:\n")) == [
        f"{FILE}:4:18: 'train' depends on itself: train -> train",
        f"{FILE}:4:25: there is no workflow 'dat'",
    ]
    assert problems(bash(deps="[{workflow: gone}]")) == [
        f"{FILE}:4:23: there is no workflow 'gone' here"
    ]  # a warning: its last run may be there
    assert problems(bash(deps="[{tag: a, workflow: b}]"))[0].endswith("a dependency is a workflow or a tag")
    assert problems(bash(deps="[o/w]"))[0].endswith("'o/w' is no name of a dependency")


def test_a_cycle_through_two_files_is_found():
    other = bash(name="data", depends_on="[train]")
    found = problems(bash(depends_on="[data]"), workflows__more=other)
    assert found == [
        f"{FILE}:4:18: 'train' depends on itself: train -> data -> train",
        ".dstack/workflows/more.yaml:4:18: 'data' depends on itself: data -> train -> data",
    ]


def test_a_workflow_of_another_file_comes_along_where_it_is_needed():
    other = bash(name="data") + bash("x", name="unused", bad="1").removeprefix("workflows:\n")
    flow = load(bash(depends_on="[data]"), file=".dstack/workflows/a.yaml", b=other)
    assert list(flow.jobs) == ["train", "data"]
    assert flow.jobs["data"].position.file == ".dstack/workflows/b.yaml"


def test_of_two_workflows_of_one_name_the_first_counts_and_it_is_told():
    first, second = bash("first", name="data"), bash("second", name="data")
    train = bash(depends_on="[data]")
    flow = load(train, workflows__b=second, workflows__a=first)
    assert flow.jobs["data"].steps[1].run == ["first"]
    (told,) = problems(bash(), workflows__a=bash())
    assert "there is a workflow 'train' in .dstack/workflows/a.yaml, too" in told
    assert problems(bash() + bash().removeprefix("workflows:\n"))[0].endswith("'train' is already defined")


def test_mistakes_of_companions_are_told_at_their_places():
    found = problems(
        bash(),
        variables="variables: {train: [1], tran: {a: 1}}",
        providers="providers: [{name: p, image: i}]",
    )
    assert found == [
        ".dstack/providers.yaml:1:13: Required property is missing: commands",
        ".dstack/variables.yaml:1:20: A sequence was not expected",
        ".dstack/variables.yaml:1:25: there is no workflow 'tran' to have these variables",
    ]


def test_a_companion_elsewhere_that_only_has_the_name_is_left_alone():
    assert problems(bash(), file="flow.yaml", variables="hosts: [a]") == []
    env = load(bash(), file="flow.yaml", variables="variables: {train: {a: 1}}").jobs["train"].env
    assert "A" in env


def test_artifacts_are_paths_or_paths_that_are_kept_while_it_runs():
    kept = job_of(bash(artifacts="[./data/, {path: /m}, {path: c, mount: true}]")).keeps
    assert [(one.kind, one.path, one.live) for one in kept] == [
        ("artifact", "data", False), ("artifact", "/m", False), ("artifact", "c", True)
    ]  # fmt: skip


def test_cached_paths_are_a_workflows_own():
    job = job_of(bash(cache="[{path: ~/.cache/pip}, data]"))
    assert [(one.of, one.path, one.is_optional) for one in job.brings] == [
        (".dstack/train/~/.cache/pip", "~/.cache/pip", True), (".dstack/train/data", "data", True)
    ]  # fmt: skip
    assert [(one.kind, one.name) for one in job.keeps] == [
        ("cache", ".dstack/train/~/.cache/pip"), ("cache", ".dstack/train/data")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("{cpu: 4, memory: 16GB}", {"cpus": 4, "memory": "16GB"}),
        ("{gpu: 2}", {"gpus": {"count": 2}}),
        ("{gpu: {name: V100, memory: 16gi}}", {"gpus": {"count": 1, "model": "V100", "memory": "16GiB"}}),
        ("{gpu: {count: 3}, memory: 512mib}", {"gpus": {"count": 3}, "memory": "512MiB"}),
        ("{V100/gpu: 2}", {"gpus": {"count": 2, "model": "V100"}}),
        ("{}", None),
    ],
)
def test_resources_are_asked_for_in_the_models_words(written, wanted):
    assert job_of(bash(resources=written)).resources == wanted


def test_what_needs_a_cloud_is_accepted_with_a_word_at_its_place():
    found = problems(bash(resources="{interruptible: true, remote: true, local: true, shm_size: 8GB}"))
    assert [line.partition(": ")[2] for line in found] == [
        f"`{key}` changes nothing here" for key in ("interruptible", "remote", "local", "shm_size")
    ]
    assert problems(bash(resources="{memory: 16}"))[0].endswith("'16' is no size")


def test_ports_are_a_count_or_a_list():
    assert [(app.name, app.port) for app in job_of(bash(ports="1")).apps] == [("train", 0)]
    assert [(app.name, app.port) for app in job_of(bash(ports="2")).apps] == [("train-0", 0), ("train-1", 0)]
    assert [(app.name, app.port) for app in job_of(bash(ports="[6006, '80:81']")).apps] == [
        ("port-6006", 6006), ("port-80", 80)
    ]  # fmt: skip
    assert job_of(bash(ports="1", name="7 of.9"), "7 of.9").apps[0].name == "app-7-of-9"
    assert problems(bash(ports="x")) == [f"{FILE}:4:12: 'x' is no number of ports"]


def test_a_container_has_its_image_credentials_and_shared_memory():
    text = """
        workflows:
          - name: train
            provider: docker
            image: ghcr.io/o/i:1
            registry_auth: {username: u, password: "${{ secrets.TOKEN }}"}
            resources: {shm_size: 8GB}
            commands: [ls, pwd]
    """
    job = job_of(text)
    assert job.container == {
        "image": "ghcr.io/o/i:1",
        "credentials": {"username": "u", "password": "${{ secrets.TOKEN }}"},
        "options": "--shm-size 8g",
    }
    assert (job.steps[1].run, job.steps[1].shell) == (["ls", "pwd"], "sh")


def docker(**more):
    keys = "".join(f"    {key}: {value}\n" for key, value in more.items())
    return f"workflows:\n  - name: train\n    provider: docker\n    image: i\n{keys}"


def test_an_image_without_commands_runs_by_itself_and_an_entrypoint_is_given_them_as_one_word():
    alone = job_of(docker()).steps[1]
    assert (alone.uses, alone.with_) == ("docker://i", {})
    given = job_of(docker(entrypoint="python -c", commands="[print(1)]")).steps[1]
    assert given.with_ == {"entrypoint": "python", "args": "-c 'print(1)'"}
    shell = job_of(docker(entrypoint="/bin/bash -i -c", commands="[ls]"))
    assert (shell.container, shell.steps[1].shell) == ({"image": "i"}, "/bin/bash '{0}'")


def test_a_python_workflow_runs_its_program_with_its_arguments_quoted():
    text = "workflows: [{name: train, provider: python, file: a b.py, args: [--x, it's, '${{ run.args }}']}]"
    job = job_of(text)
    assert job.steps[1].run == ["python 'a b.py' --x 'it'\"'\"'s' ${{ inputs['run.args'] }}"]
    for name in ("script", "python_script"):
        old = f"workflows: [{{name: train, provider: python, {name}: a.py, args: -x 1, version: 3.9}}]"
        assert job_of(old).steps[1].run == ["python a.py -x 1"]
        assert job_of(old).env["FLOW_PYTHON"] == "3.9"


def test_torchrun_runs_on_one_machine_or_on_several():
    one = job_of("workflows: [{name: train, provider: torchrun, file: a.py, resources: {gpu: 4}}]")
    assert (one.nodes, one.steps[1].run) == (1, ["torchrun --standalone --nproc_per_node=4 a.py"])
    many = job_of("workflows: [{name: train, provider: torchrun, script: a.py, nodes: 3, args: -x}]")
    assert many.nodes == 3
    where = "--node_rank=$AGENT_NODE_RANK --master_addr=$MASTER_ADDR --master_port=$MASTER_PORT"
    assert many.steps[1].run == [f"torchrun --nnodes=$AGENT_NODES {where} --nproc_per_node=1 a.py -x"]


def test_a_provider_of_the_repository_stands_before_a_built_in_one_and_is_told_what_its_workflow_says():
    text = "workflows: [{name: train, provider: bash, what: 5, deep: {a: [1]}, artifacts: [o]}]"
    job = job_of(text, providers="providers: [{name: bash, image: own:1, commands: [go]}]")
    assert (job.container, job.steps[1].run) == ({"image": "own:1"}, ["go"])
    assert (job.env["WHAT"], job.env["WORKFLOW_DATA"]) == ("5", '{"what": 5, "deep": {"a": [1]}}')


def test_a_provider_elsewhere_is_the_built_in_one_of_its_name_or_told_to_be_missing():
    assert problems("workflows: [{name: a, provider: python@main, file: x}]")[0].endswith("is not fetched")
    assert problems("workflows: [{name: a, provider: {repo: u, name: curl}, url: x, output: y}]")[0].endswith(
        "is not fetched"
    )
    assert problems("workflows: [{name: a, provider: {repo: u, name: mine}}]")[0].endswith("of u is not here")
    assert problems("workflows: [{name: a, provider: bahs}]")[0].endswith("there is no provider 'bahs'")


def test_advice_names_workflows_by_names_alone():
    text = """        workflows:
          - {name: good, provider: bash, commands: [x], depends-on: [zzzz]}
          - {provider: bash, commands: [x]}
          - {name: a/b, provider: bash, commands: [x]}
          - {name: good, provider: bash, commands: [x]}
        """
    found = inspect_flow(dedent(text), FILE, None, choose_among({})).problems
    advice = {problem.message: problem.hint for problem in found}
    assert advice["there is no workflow 'zzzz'"] == "there is good"


def test_what_a_provider_that_can_not_be_told_is_given_may_be_its_own():
    (told,) = problems("workflows: [{name: a, provider: mine, banana: 1, commands: [x]}]")
    assert told.endswith("there is no provider 'mine'")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workflows: []", "1:12: there is no workflow"),
        ("workflows: [a]", "1:13: a workflow is a mapping"),
        ("workflows: [{provider: bash, commands: [a]}]", "1:13: Required property is missing: name"),
        ("workflows: [{name: a}]", "1:13: Required property is missing: provider"),
        ("workflows: [{name: a/b, provider: bash, commands: [x]}]", "1:20: 'a/b' is no name of a workflow"),
        ("workflows: [{name: a, provider: bash}]", "1:13: Required property is missing: commands"),
        ("workflows: [{name: a, provider: bash, comands: [x], commands: [x]}]", "1:39: Unexpected value 'comands'"),
        ("workflows: [{name: a, provider: bash, commands: [x]}]\nmore: 1", "2:1: Unexpected value 'more'"),
        ("workflows: [{name: a, provider: python}]", "1:13: Required property is missing: file"),
        ("workflows: [{name: a, provider: bash, commands: []}]", "1:49: there is no command"),
        ("workflows: [{name: a, provider: bash, commands: [x], python: 3.x}]", "1:62: '3.x' is no version of Python"),
        ("workflows: [{name: a, provider: bash, commands: [x], artifacts: [{path: x, mount: maybe}]}]", "1:83: Unexpected value 'maybe'"),
        ("workflows: [{name: a, provider: lab, ssh: perhaps}]", "1:43: Unexpected value 'perhaps'"),
        ("workflows: [{name: a, provider: tensorboard, runs: []}]", "1:52: there is no run to be shown"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_place(text, told):
    assert problems(text) == [f"{FILE}:{told}"]


@pytest.mark.parametrize(
    ("text", "file"),
    [("type: task\ncommands: [a]", "x.yml"), ("type: service", ".dstack.yml"), ("a: 1", "train.dstack.yml")],
)
def test_a_file_of_a_later_dstack_gets_one_clear_sentence(text, file):
    (told,) = inspect_flow(text, file).problems
    assert told.message.startswith("this is a file of a later dstack")


def overridden(text, *given):
    path, written = find_front_end("dstack").write_overrides(["train"], given)
    return load_flow(text, FILE, companions=choose_among({path: written})).flow.jobs["train"]


def test_options_of_the_command_line_count_before_what_a_workflow_says():
    text = bash(resources="{gpu: 1, memory: 8GB}", env="[A=1]", artifacts="[a]", ports="1")
    job = overridden(
        text,
        *(("gpu", "2"), ("gpu-name", "V100"), ("cpu", "4"), ("env", "B=2"), ("env", "A=3")),
        *(("artifact", "b"), ("artifact", "c"), ("dep", ":t"), ("working-dir", "w"), ("ports", "2")),
    )
    assert job.resources == {"cpus": 4, "memory": "8GB", "gpus": {"count": 2, "model": "V100"}}
    assert (job.env["A"], job.env["B"]) == ("3", "2")
    assert [kept.path for kept in job.keeps] == ["b", "c"]
    assert [(one.kind, one.of) for one in job.brings] == [("tag", "t")]
    assert (job.steps[1].working_directory, len(job.apps)) == ("w", 2)


def test_options_keep_what_they_do_not_name():
    assert overridden(bash(resources="{gpu: 3}"), ("gpu-name", "A100")).resources == {
        "gpus": {"count": 3, "model": "A100"}
    }
    assert overridden(bash(env="{A: 1, B: 2}"), ("env", "B=3")).env | {"RUN_NAME": ""} == {
        "A": "1", "B": "3", "RUN_NAME": ""
    }  # fmt: skip
    assert (
        overridden(bash(), ("interruptible", "true"), ("requirements", "r.txt"))
        .steps[1]
        .run[0]
        .endswith("r.txt")
    )


def test_a_wrong_option_is_told_as_the_command_lines():
    path, written = find_front_end("dstack").write_overrides(["train"], [("memory", "much")])
    (told,) = inspect_flow(bash(), FILE, None, choose_among({path: written})).problems
    assert (told.position.file, told.message) == ("command line", "'much' is no size")


@pytest.mark.parametrize(
    ("words", "workflow"),
    [
        (("docker", "i:1", "ls"), {"image": "i:1", "commands": ["ls"]}),
        (("bash", "", "ls"), {"commands": ["ls"]}),
        (("python", "a.py", ""), {"file": "a.py", "args": ["${{ run.args }}"]}),
        (("streamlit", "a.py", ""), {"target": "a.py", "args": ["${{ run.args }}"]}),
        (("tensorboard", "1,2", ""), {"runs": ["1", "2"]}),
    ],
)
def test_a_provider_alone_makes_a_workflow_of_its_name(words, workflow):
    text = find_front_end("dstack").write_alone(*words)
    provider = words[0]
    assert json.loads(text) == {"workflows": [{"name": provider, "provider": provider, **workflow}]}
    assert list(load(text).jobs) == [provider]


@pytest.mark.parametrize(
    ("keys", "app", "served"),
    [
        ("provider: lab, version: 4.2.1", ("lab", "/lab?token={token}"), "JUPYTER_TOKEN=$APP_TOKEN_0 jupyter lab"),
        ("provider: notebook", ("notebook", "/tree?token={token}"), "JUPYTER_TOKEN=$APP_TOKEN_0 jupyter notebook"),
        ("provider: code", ("code", "/?tkn={token}"), '"$editor" --host 127.0.0.1 --port $PORT_0'),
        ("provider: gradio, file: a.py", ("gradio", "/"), "GRADIO_SERVER_PORT=$PORT_0"),
        ("provider: streamlit, target: a.py, args: [--x]", ("streamlit", "/"), "streamlit run --server.port $PORT_0"),
        ("provider: fastapi, app: 'a:b', uvicorn: 0.30", ("fastapi", "/docs"), "uvicorn --host 127.0.0.1 --port $PORT_0 a:b"),
        ("provider: fastapi, file: src/a.py", ("fastapi", "/docs"), "uvicorn --host 127.0.0.1 --port $PORT_0 src.a:app"),
        ("provider: tensorboard, runs: [a], logdir: l", ("tensorboard", "/"), "tensorboard --host 127.0.0.1 --port $PORT_0 --logdir .tensorboard"),
    ],
)  # fmt: skip
def test_a_provider_that_serves_opens_an_app_at_a_port_of_the_agents_choice(keys, app, served):
    job = job_of(f"workflows: [{{name: train, {keys}, setup: [make ready], python: 3.10}}]")
    assert [(one.name, one.opens, one.port) for one in job.apps] == [(*app, 0)]
    commands = job.steps[1].run
    assert commands[-1].startswith(served)
    assert commands[-2] == "make ready"
    assert job.env["FLOW_PYTHON"] == "3.10"


def test_a_workflow_of_ssh_waits_for_somebody_to_attach():
    command = job_of("workflows: [{name: train, provider: ssh, setup: [a]}]").steps[1].run[-1]
    assert "agent run attach $RUN_NAME" in command
    assert command.endswith("exec sleep infinity")


def test_a_file_is_fetched_whole_or_the_workflow_fails():
    job = job_of(
        "workflows: [{name: train, provider: curl, url: 'http://x/a b', output: raw/a, artifacts: [raw]}]"
    )
    (command,) = job.steps[1].run
    assert command == "curl --fail --location --create-dirs --show-error --silent 'http://x/a b' -o raw/a"
