"""A real JupyterLab in a job, opened through the server in a real browser: its kernel computes, and our cookies are out of its reach."""

from typing import Any

import pytest
from end_to_end.app_words import wait_for_app
from support.jupyter import install_jupyterlab
from support.lab import PATIENCE_SECONDS, Lab

PASSWORD = "correct horse battery"
FLOW = """
  notebook:
    runs-on: self-hosted
    apps:
      lab: {{opens: "/lab?token={{token}}"}}
    steps:
      - run: >
          {bin}/jupyter lab --allow-root --no-browser --ip 127.0.0.1 --port $PORT_0
          --IdentityProvider.token $APP_TOKEN_0 --ServerApp.root_dir .
"""
# A cell as JupyterLab itself sends one: a kernel by the API, then its websocket.
COMPUTE = """async (code) => {
  const xsrf = document.cookie.split("; ").find((pair) => pair.startsWith("_xsrf=")).split("=")[1];
  const made = await fetch("/api/kernels", {method: "POST", headers: {"X-XSRFToken": xsrf}, body: "{}"});
  const kernel = (await made.json()).id;
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/api/kernels/${kernel}/channels`);
  const header = {msg_id: "1", session: "s", username: "", msg_type: "execute_request", version: "5.3", date: ""};
  const content = {code, silent: false, store_history: false, user_expressions: {}, allow_stdin: false};
  socket.onopen = () => socket.send(JSON.stringify(
    {header, parent_header: {}, metadata: {}, content, channel: "shell", buffers: []}));
  return await new Promise((resolve, reject) => {
    socket.onclose = (event) => reject(`closed: ${event.code}`);
    socket.onmessage = (event) => {
      const said = JSON.parse(event.data);
      if (said.msg_type === "execute_result" && said.parent_header.msg_id === "1")
        resolve(said.content.data["text/plain"]);
    };
  });
}"""
STEAL = """async (url) => {
  try { return await (await fetch(url, {credentials: "include"})).text(); }
  catch (error) { return `refused: ${error}`; }
}"""


def open_signed_in(browser: Any, lab: Lab) -> Any:
    import httpx

    headers = {"Authorization": f"Bearer {lab.admin_token}"}
    with httpx.Client(base_url=f"{lab.url}/api/v1", headers=headers) as api:
        assert api.post("/users", json={"name": "ada", "password": PASSWORD}).status_code == 201
        assert api.put("/projects/default/members/ada", json={"role": "maintainer"}).status_code == 200
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    page.goto(lab.url)
    page.fill("input[name=user]", "ada")
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/status")
    return page


@pytest.mark.enable_socket
@pytest.mark.timeout(1200)
def test_a_notebook_of_a_job_computes_in_a_browser(lab: Lab, chromium: Any) -> None:
    lab.add_agent("box")
    run = lab.submit(lab.write_flow(FLOW.format(bin=install_jupyterlab())))
    page = open_signed_in(chromium, lab)
    page.goto(f"{lab.url}/status/runs/{run}")
    page.click("#apps-table a")  # shown as a link once the page has heard that it is ready
    page.wait_for_url("http://lab-0-**/lab**")
    page.wait_for_selector("#jp-top-panel")
    assert page.title().startswith("JupyterLab")
    assert page.evaluate(COMPUTE, "1+1") == "2"
    assert wait_for_app(lab, run, "ready")["name"] == "lab"

    names = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert {"flow-session", "flow-app", "_xsrf"} <= set(names)
    assert names["flow-app"]["httpOnly"]
    shown = page.evaluate("document.cookie")
    assert "flow-" not in shown
    for path in ("/api/v1/user", "/status"):
        assert page.evaluate(STEAL, lab.url + path).startswith("refused: ")
    assert lab.agent("run", "cancel", str(run)).code == 0
