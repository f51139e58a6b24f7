"""A real job proves itself with GitHub's own client, and with nothing but a shell; whoever gets the token checks it with PyJWT."""

import json

import httpx
import jwt
from support.lab import Lab
from support.toolkit import read_answers, write_action


def verify(lab: Lab, token: str, audience: str) -> dict[str, object]:
    about = httpx.get(f"{lab.url}/.well-known/openid-configuration").raise_for_status().json()
    key = jwt.PyJWKClient(about["jwks_uri"]).get_signing_key_from_jwt(token)
    return jwt.decode(token, key, ["RS256"], audience=audience, issuer=lab.url)


def test_a_node_action_and_a_run_step_prove_what_their_job_is(lab: Lab) -> None:
    lab.add_agent("box")
    answers, shell = lab.folder / "answers", lab.folder / "token.json"
    (lab.folder / "code").mkdir()
    asking = json.dumps([["prove", "vault.example.com"]])
    flow = lab.write_flow(
        f"""
  deploy:
    runs-on: self-hosted
    permissions: {{id-token: write}}
    environment: prod
    env: {{DRIVE_ANSWERS: {answers}}}
    steps:
      - uses: flow-agent/checkout@v1
      - uses: ./prover
        with: {{drive: '{asking}'}}
      - run: |
          test -z "$ACTIONS_RUNTIME_TOKEN"
          echo "asking with $ACTIONS_ID_TOKEN_REQUEST_TOKEN"
          curl -sSf -H "Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=aws" > {shell}
  build:
    runs-on: self-hosted
    steps:
      - run: test -z "$ACTIONS_ID_TOKEN_REQUEST_TOKEN$ACTIONS_ID_TOKEN_REQUEST_URL"
""",
        "code/flow",
    )
    write_action(flow.parent / "prover")
    run = lab.submit(flow, "--source", "snapshot", "--yes")
    done = lab.wait_for_run(run)
    assert done["conclusion"] == "success", lab.lines(run, "deploy")
    (answer,) = read_answers(answers.read_text())
    for token, audience in (
        (answer["value"], "vault.example.com"),
        (json.loads(shell.read_text())["value"], "aws"),
    ):
        said = verify(lab, token, audience)
        assert said["sub"] == "project:default:environment:prod"
        assert (said["run_id"], said["environment"]) == (str(run), "prod")
    log = "".join(lab.lines(run, "deploy"))
    assert "asking with ***" in log
    assert answer["value"] not in log
