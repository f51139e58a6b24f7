"""What is wrong with a Gradient workflow is said at its place, with what to do; what is odd there is warned of."""

from textwrap import dedent

import pytest
from support.flows import check_flow

from agent.flow.problems import Severity

HEAD = "jobs:\n"
VOLUME = "  v: {outputs: {x: {type: volume}, s: {type: string}}, uses: container@v1, with: {image: i}}\n"
GOOD = "uses: container@v1, with: {image: i}"


def find(text: str, severity: Severity = Severity.ERROR) -> list[str]:
    return [
        f"{found.position.line}:{found.position.column}: {found.message}{f' ({found.hint})' if found.hint else ''}"
        for found in check_flow(dedent(text), "f.yaml", "gradient")
        if found.severity is severity
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("inputs: {s: {type: string, with: {ref: x}}}\njobs: {a: {" + GOOD + "}}", "1:40: a string is given by its value"),
        ("inputs: {d: {type: dataset, with: {value: x}}}\njobs: {a: {" + GOOD + "}}", "1:43: a dataset is given by its ref"),
        ("jobs: {a: {uses: container@v1}}", "1:18: Required property is missing: image"),
        ("jobs: {a: {uses: contaner@v1}}", "1:18: there is no action 'contaner@v1' (did you mean `container@v1`?)"),
        ("jobs: {a: {uses: container@v2, with: {}}}", "1:18: there is no action 'container@v2' (did you mean `container@v1`?)"),
        ("jobs: {a: {uses: actions/checkout@v4}}", "1:18: there is no action 'actions/checkout@v4' (a job does one of container@v1, script@v1, git-checkout@v1, s3-download@v1, create-model@v1)"),
        ("jobs: {a: {with: {image: i}}}", "1:11: Required property is missing: uses"),
        ("jobs: {}", "1:7: there is no job"),
        ("on: {github: {branches: {only: main}}}", "1:1: Required property is missing: jobs"),
        ("on: push\njobs: {a: {" + GOOD + "}}", "1:5: Unexpected value 'push'"),
        ("on: {push: }\njobs: {a: {" + GOOD + "}}", "1:6: Unexpected value 'push' (known here: github)"),
        ("on: {github: {branches: {except: main}}}\njobs: {a: {" + GOOD + "}}", "1:26: Unexpected value 'except' (known here: only)"),
        ("jobs: {a: {steps: [], " + GOOD + "}}", "1:12: Unexpected value 'steps' (known here: uses, with, needs, inputs, outputs, env, resources, timeout, name)"),
        ("jobs: {a: {if: true, " + GOOD + "}}", "1:12: Unexpected value 'if' (known here: uses, with, needs, inputs, outputs, env, resources, timeout, name)"),
        ("jobs: {a: {input: {}, " + GOOD + "}}", "1:12: Unexpected value 'input' (did you mean `inputs`?)"),
        ("jobs: {'a b': {" + GOOD + "}}", "1:8: 'a b' can't be a job's name (letters, digits, `_` and `-`, fewer than 100)"),
        ("jobs: {a: {needs: [b], " + GOOD + "}, c: {" + GOOD + "}}", "1:20: Job 'a' depends on unknown job 'b'."),
        ("jobs: {a: {needs: [b], " + GOOD + "}, b: {needs: [a], " + GOOD + "}, c: {" + GOOD + "}}",
         "1:20: Job 'a' depends on job 'b' which creates a cycle in the dependency graph."),
        ("jobs: {a: {timeout: soon, " + GOOD + "}}", "1:21: 'soon' is no time-out (minutes, or a number with a unit: `90s`, `30m`, `2h`, `1d`)"),
        ("jobs: {a: {uses: container@v1, with: {image: 'a b'}}}", "1:46: 'a b' is no image (as in `bash:5` or `registry.example/team/train:2`)"),
        ("jobs: {a: {uses: container@v1, with: {image: i, args: a b}}}", "1:55: Unexpected value 'a b'"),
        ("jobs: {a: {uses: container@v1, with: {image: i, args: [a, ~]}}}", '1:59: a word of `args` is missing (in quotes it is there: "-", "null", "")'),
        ("jobs: {a: {uses: container@v1, with: {image: i, arg: []}}}", "1:49: Unexpected value 'arg' (did you mean `args`?)"),
        ("jobs: {a: {uses: script@v1, with: {image: i}}}", "1:35: Required property is missing: script"),
        ("jobs: {a: {inputs: {v: {type: volume, with: {value: 3}}}, " + GOOD + "}}", "1:53: a volume is given by its ref"),
        ("jobs: {a: {inputs: {s: {type: string, with: {ref: d, value: x}}}, " + GOOD + "}}", "1:51: a string is given by its value"),
        ("jobs: {a: {outputs: {v: {type: volume, with: {value: 3}}}, " + GOOD + "}}", "1:54: an output has no `value`: its job writes it"),
        ("jobs: {a: {env: {A: 'secret:'}, " + GOOD + "}}", "1:21: '' is not the name of a secret (as in `secret:API_KEY`)"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_said_at_its_place(text: str, complaint: str) -> None:
    assert complaint in find(text)


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ("{d: workflow.inputs.dta}", "the workflow has no input 'dta' (did you mean `data`?)"),
        ("{d: w.outputs.x}", "there is no job 'w' (known here: v, a)"),
        ("{d: v.outputs.y}", "the job 'v' has no output 'y' (known here: x, s)"),
        ("{d: v.outputs.x}", "'a' reads 'v.outputs.x' without needing 'v' (add `v` to its `needs`)"),
        ("{d: a.outputs.x}", "a job can't read what it makes itself"),
        ("{d: v.inputs.x}", "a job reads what another makes: its `outputs` (write `v.outputs.NAME`)"),
        ("{d: images}", "'images' is no source of an input (write `workflow.inputs.NAME`, `JOB.outputs.NAME` or `{type: ...}`)"),
        ("{d: {type: dataset}}", "the dataset of the input 'd' is not named (add `with: {ref: NAME}`)"),
        ("{d: {type: string}}", "the input 'd' has no value (add `with: {value: TEXT}`)"),
        ("{d: {type: dataset, with: {ref: '::'}}}", "'::' names no dataset (as in `images`, `images:3` or `images:best`)"),
        ("{d: {type: datset}}", "Unexpected value 'datset' (did you mean `dataset`?)"),
    ],
)  # fmt: skip
def test_an_input_that_nothing_gives_is_said_at_its_place(inputs: str, complaint: str) -> None:
    text = f"inputs: {{data: {{type: dataset}}}}\njobs:\n{VOLUME}  a: {{inputs: {inputs}, {GOOD}}}\n"
    (found,) = find(text)
    place, _, words = found.partition(": ")
    assert words == complaint
    assert place.startswith("4:")


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        ("{o: v.outputs.x}", ("the volume 'v.outputs.x' can't be an output again: the job that made it has ended "
         "(copy it: `inputs: {o: v.outputs.x}` and an output of this job's own, `{type: volume}`)")),
        ("{o: v.outputs.s}", "an output is made by its own job: 'v.outputs.s' (write `{type: string}`, or dataset or volume)"),
        ("{o: {type: dataset}}", "the dataset of the output 'o' is not named (add `with: {ref: NAME}`)"),
        ("{o: {type: volume, with: {ref: v.outputs.x}}}", ("a volume is made by the job that it is an output of "
         "(to read another job's: `inputs: {NAME: JOB.outputs.NAME}`; its own is written to a new one)")),
        ("{../o: {type: volume}}", "'../o' can't be a file's name (letters, digits, `_`, `-` and dots between them)"),
        ("{o: {type: dataset, with: {ref: '--'}}}", "'--' names no dataset (as in `images`, `images:3` or `images:best`)"),
        ("{o: {with: {ref: d}}}", "Required property is missing: type"),
    ],
)  # fmt: skip
def test_an_output_that_cannot_be_is_said_at_its_place(outputs: str, complaint: str) -> None:
    text = f"jobs:\n{VOLUME}  a: {{needs: [v], outputs: {outputs}, {GOOD}}}\n"
    (found,) = find(text)
    place, _, words = found.partition(": ")
    assert words == complaint
    assert place.startswith("3:")


@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        ("uses: git-checkout@v1, with: {url: u}", "git-checkout@v1 has no output that is a folder to write into (add `outputs: {NAME: {type: volume}}`)"),
        ("outputs: {a: {type: volume}, b: {type: volume}}, uses: git-checkout@v1, with: {url: u}",
         "git-checkout@v1 has 2 outputs that are folders to write into (say which with `path: /outputs/NAME`)"),
        ("outputs: {a: {type: volume}}, uses: git-checkout@v1, with: {url: u, path: /outputs/b}",
         "'/outputs/b' is in none of the folders that the job makes (did you mean `/outputs/a`?)"),
        ("outputs: {a: {type: volume}}, uses: git-checkout@v1, with: {url: u, path: /outputs/a/../b}",
         "'/outputs/a/../b' is in none of the folders that the job makes (did you mean `/outputs/a`?)"),
        ("outputs: {a: {type: volume}}, uses: s3-download@v1, with: {url: 'http://x', access-key: A, secret-access-key: secret:S}",
         "'http://x' is no address of an S3 bucket (as in `s3://bucket/folder/`)"),
        ("outputs: {a: {type: volume}}, uses: s3-download@v1, with: {url: 's3://x', access-key: A, secret-access-key: S}",
         "the secret access key stands in the file for everybody to read (write `secret:NAME`)"),
        ("uses: create-model@v1, with: {name: m, type: Custom}",
         "create-model@v1 has no input `model` (add `inputs: {model: JOB.outputs.NAME}`, a dataset)"),
        ("inputs: {model: {type: dataset, with: {ref: d}}}, outputs: {id: {type: string}}, uses: create-model@v1, with: {name: m, type: Custom}",
         "create-model@v1 makes no output 'id' (it makes `model-id`, a string)"),
        ("inputs: {model: {type: dataset, with: {ref: d}}}, uses: create-model@v1, with: {name: m, type: tensorflow}",
         "Unexpected value 'tensorflow' (did you mean `Tensorflow`?)"),
    ],
)  # fmt: skip
def test_an_action_that_lacks_something_says_so(job: str, complaint: str) -> None:
    (found,) = find(f"jobs: {{a: {{{job}}}}}")
    assert found.partition(": ")[2] == complaint


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("name: x\njobs: {a: {" + GOOD + "}}", "1:7: Gradient itself refuses `name`: here it is what is shown"),
        ("jobs: {a: {name: x, " + GOOD + "}}", "1:18: Gradient itself refuses `name`: here it is what is shown"),
        ("defaults: {resources: {instance-type: P4000}}\njobs: {a: {" + GOOD + "}}",
         ("1:39: 'P4000' is a machine of Paperspace's: the job goes where the variable MACHINE_TYPES says, else to any agent "
         "(agent variable set MACHINE_TYPES '{\"P4000\": {\"labels\": [], \"resources\": {}}}')")),
        ("defaults: {clusterId: cl1}\njobs: {a: {" + GOOD + "}}",
         "1:23: 'cl1' is a cluster of Paperspace's: jobs go to the group of agents that the variable CLUSTERS says, else to any agent"),
        ("defaults: {resources: {container-registries: [mine]}}\njobs: {a: {" + GOOD + "}}",
         "1:46: images come from where the agents' own docker is signed in (`docker login` on the agents' machines)"),
        ("jobs: {a: {env: {A: secret:my-key}, " + GOOD + "}}",
         "1:21: a secret has letters, digits and `_` in its name here: 'my-key' is read as 'my_key'"),
        ("jobs: {a: {outputs: {o: {type: dataset, with: {ref: Big}}}, " + GOOD + "}}",
         "1:53: a dataset's name has small letters, digits, `.`, `_` and `-` here: 'Big' is read as 'big'"),
        ("jobs: {a: {outputs: {o: {type: dataset, with: {ref: 'd:3'}}}, " + GOOD + "}}",
         "1:53: a job makes the next version of 'd': ':3' is not asked"),
        ("jobs: {a: {inputs: {o: {type: dataset, with: {ref: gradient/mnist}}}, " + GOOD + "}}",
         ("1:52: a job reads the datasets of its own project here: 'gradient/mnist' is read as 'mnist' "
         "(`agent dataset push DIR mnist --create` brings the files of 'gradient' once)")),
        ("jobs: {a: {inputs: {o: {type: dataset, with: {ref: 'd:v2'}}}, " + GOOD + "}}",
         "1:52: versions have numbers here: ':v2' is read as ':2'"),
        ("on: {github: }\ninputs: {e: {type: string}}\njobs: {a: {" + GOOD + "}}",
         "2:13: nobody gives 'e' when a push starts the flow: such a run is refused (add `with: {value: TEXT}` or `with: {ref: DATASET}`)"),
        ("inputs: {e: {type: volume, with: {ref: d}}}\njobs: {a: {" + GOOD + "}}",
         "1:40: a volume is of one run: what it begins with is read from the dataset of that name"),
        ("jobs: {a: {uses: container@v1, with: {image: i, command: python x.py}}}",
         "1:58: 'python x.py' is taken as the name of one program (put what follows the program into `args`)"),
        ("jobs: {a: {outputs: {r: {type: volume}}, uses: git-checkout@v1, with: {url: u, password: pw}}}",
         "1:90: the password stands in the file for everybody to read (write `secret:NAME`)"),
    ],
)  # fmt: skip
def test_what_is_done_instead_of_what_their_cloud_did_is_a_warning(text: str, warning: str) -> None:
    assert find(text) == []
    assert warning in find(text, Severity.WARNING)


def test_a_script_that_is_a_number_is_doubted_and_one_in_quotes_is_not() -> None:
    flow = "jobs: {a: {uses: script@v1, with: {image: i, script: %s}}}"
    doubt = "1:54: the script is a number: '3' is run as a command of that name (write what the image's bash runs)"
    assert find(flow % "3", Severity.WARNING) == [doubt]
    assert find(flow % "true", Severity.WARNING) == find(flow % "'3'", Severity.WARNING) == []
