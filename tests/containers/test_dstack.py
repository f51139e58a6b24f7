"""dstack's workflows in containers: the providers docker and those of a repository, run here for real."""

import contextlib
from pathlib import Path

import pytest
from support.docker import BUSYBOX, DEBIAN, connect
from support.lab import Done, run_agent
from support.registry import PASSWORD, USER, Registry, push


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / ".dstack").mkdir(parents=True)
    return tmp_path / "project"


def run(project: Path, engine: str, workflows: str, *words: str) -> Done:
    (project / ".dstack" / "workflows.yaml").write_text(f"workflows:\n{workflows}")
    environment = {
        "AGENT_STATE": str(project.parent / "state"),
        "TMPDIR": str(project.parent),
        "DOCKER_HOST": engine,
    }
    return run_agent(
        "flow", "run", "--format", "json", *(words or ("a",)), cwd=project, environment=environment
    )


def said(done: Done) -> list[str]:
    texts = [record["text"] for record in done.records() if record["kind"] == "log"]
    return [text.removeprefix("> ") for text in texts if text.startswith("> ")]


def test_commands_run_in_one_shell_of_the_image_where_the_code_is(project: Path, engine_address: str) -> None:
    (project / "here.txt").write_text("here\n")
    done = run(
        project,
        engine_address,
        f"""
  - name: a
    provider: docker
    image: {BUSYBOX}
    env: [A=1]
    resources: {{shm_size: 32MB}}
    commands:
      - export X=2
      - echo "> $A $X $PWD $(cat here.txt)"
      - df -m /dev/shm | tail -1 | awk '{{print "> " $2}}'
      - "true; false"
      - echo "> never"
""",
    )
    assert (done.code, said(done)) == (1, ["1 2 /workflow here", "32"])


def test_an_image_without_commands_does_what_it_does(project: Path, engine_address: str) -> None:
    with contextlib.closing(connect(engine_address)) as client:
        container = client.create_container(BUSYBOX, "true")["Id"]
        try:
            client.commit(container, "flow-test/speaking", "1", conf={"Cmd": ["sh", "-c", 'echo "> I"; pwd']})
        finally:
            client.remove_container(container)
    done = run(project, engine_address, "  - {name: a, provider: docker, image: 'flow-test/speaking:1'}\n")
    assert (done.code, said(done)) == (0, ["I"])


def test_an_entrypoint_is_given_all_commands_as_one_word(project: Path, engine_address: str) -> None:
    printf = (
        "  - {name: a, provider: docker, image: %s, entrypoint: printf '> %%s\\n', commands: [it's, b]}\n"
    )
    done = run(project, engine_address, printf % BUSYBOX)
    assert (done.code, said(done)) == (0, ["it's && b"])
    shell = "  - {name: a, provider: docker, image: %s, entrypoint: /bin/bash -i -c, commands: ['echo \"> $BASH\"', 'cd /tmp', 'echo \"> $PWD\"']}\n"
    done = run(project, engine_address, shell % DEBIAN)
    assert (done.code, said(done)) == (0, ["/bin/bash", "/tmp"])


def test_a_private_registry_is_logged_in_to_with_a_secret(project: Path, closed_registry: Registry) -> None:
    push(closed_registry.host, closed_registry.engine)
    auth = f"{{username: {USER}, password: '${{{{ secrets.REGISTRY_PASSWORD }}}}'}}"
    text = f"  - {{name: a, provider: docker, image: '{closed_registry.image}', registry_auth: {auth}, commands: ['echo \"> in\"']}}\n"
    done = run(project, closed_registry.engine, text, "a", "--secret", f"REGISTRY_PASSWORD={PASSWORD}")
    assert (done.code, said(done)) == (0, ["in"]), done.out


def test_a_provider_of_the_repository_runs_its_commands_in_its_image(
    project: Path, engine_address: str
) -> None:
    (project / ".dstack" / "providers.yaml").write_text(
        f"providers: [{{name: greet, image: {BUSYBOX}, commands: ['echo \"> $GREETING $WORKFLOW_DATA\"']}}]\n"
    )
    done = run(project, engine_address, "  - {name: a, provider: greet, greeting: hello}\n")
    assert said(done) == ['hello {"greeting": "hello"}']


def test_an_image_runs_by_itself_from_the_command_line(project: Path, engine_address: str) -> None:
    done = run(project, engine_address, "  - {name: a, provider: curl, url: x, output: y}\n",
               "--provider", "docker", BUSYBOX, "-c", 'echo "> $A"', "--env", "A=5")  # fmt: skip
    assert said(done) == ["5"]
