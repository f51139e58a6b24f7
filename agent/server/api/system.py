"""What everybody may ask: what this is, whether it works, how an agent is installed."""

import shlex

import msgspec
from starlette.responses import PlainTextResponse, Response

from agent import __version__
from agent.config import bundled
from agent.errors import NotFoundError
from agent.server.auth.access import Access
from agent.server.call import Call, view_response
from agent.server.operation import Media, Operation

_NO_DEFAULT = "DEFAULT_URL=''"  # in install.sh: the server, when --url is not said


class Product(msgspec.Struct):
    """What this is."""

    product: str
    version: str
    api: str


async def show_product(call: Call) -> Response:
    """What this is and where its API begins."""
    return view_response(Product("flow-agent", __version__, f"{call.base_url}/api/v1"))


async def show_installer(call: Call) -> Response:
    """The installer for agents, with this server's address in it."""
    file = bundled("install") / "install.sh"
    if not file.is_file():
        raise NotFoundError("this server was installed without the installer for agents")
    default = f"DEFAULT_URL={shlex.quote(call.base_url)}"
    script = file.read_text(encoding="utf-8").replace(_NO_DEFAULT, default)
    return PlainTextResponse(script, media_type="text/x-shellscript")


OPERATIONS = (
    Operation("GET", "/", Access.PUBLIC, show_product, answers={200: Product}),
    Operation(
        "GET",
        "/install.sh",
        Access.PUBLIC,
        show_installer,
        answers={200: Media("text/x-shellscript")},
        problems=(404,),
    ),
)
