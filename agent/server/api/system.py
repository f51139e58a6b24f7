"""What everybody may ask: what this is, whether it works, how an agent is installed."""

import shlex

from starlette.responses import PlainTextResponse, Response

from agent import __version__
from agent.config import bundled
from agent.errors import NotFoundError
from agent.server.call import Call, json_response
from agent.server.store import projects

_NO_DEFAULT = "DEFAULT_URL=''"  # in install.sh: the server, when --url is not said


async def show_product(call: Call) -> Response:
    """What this is and where its API begins."""
    return json_response({"product": "flow-agent", "version": __version__, "api": f"{call.base_url}/api/v1"})


async def check_health(_call: Call) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


async def check_readiness(call: Call) -> Response:
    """The database answers too, and the server is not stopping."""
    if call.services.bus.is_closing:
        return PlainTextResponse("stopping\n", 503)
    async with call.services.database.read() as connection:
        await projects.find_project(connection, projects.DEFAULT)
    return PlainTextResponse("ready\n")


async def show_installer(call: Call) -> Response:
    """The installer for agents, with this server's address in it."""
    file = bundled("install") / "install.sh"
    if not file.is_file():
        raise NotFoundError("this server was installed without the installer for agents")
    default = f"DEFAULT_URL={shlex.quote(call.base_url)}"
    script = file.read_text(encoding="utf-8").replace(_NO_DEFAULT, default)
    return PlainTextResponse(script, media_type="text/x-shellscript")
