"""System facts that everybody may ask: what this is, whether it works, how an agent is installed."""

import shlex

from starlette.responses import PlainTextResponse, Response

from agent.config import bundled
from agent.errors import NotFoundError
from agent.server.http.call import Call
from agent.server.http.operation import Media, Operation
from agent.server.people.auth.access import Access
from agent.server.process.own_url import names_this_machine

_NO_DEFAULT = "DEFAULT_URL=''"  # in install.sh: the server, when --url is not said


async def show_installer(call: Call) -> Response:
    """The installer for agents, with this server's address in it where that is known for certain."""
    file = bundled("install") / "install.sh"
    if not file.is_file():
        raise NotFoundError("this server was installed without the installer for agents")
    script = file.read_text(encoding="utf-8")
    if call.rooms.process.public_url or names_this_machine(call.request):
        script = script.replace(_NO_DEFAULT, f"DEFAULT_URL={shlex.quote(call.base_url)}")
    headers = {"Cache-Control": "no-store"}
    return PlainTextResponse(script, headers=headers, media_type="text/x-shellscript")


OPERATIONS = (
    Operation(
        "GET",
        "/install.sh",
        Access.PUBLIC,
        show_installer,
        answers={200: Media("text/x-shellscript")},
        problems=(404,),
    ),
)
