"""Installation files for agents: this server's own wheel, what it needs by digest, and the operator's wheelhouse."""

import base64
import html

from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from agent.config import bundled
from agent.errors import AgentError, NotFoundError
from agent.server.http.call import Call, Handler
from agent.server.http.operation import TEXT, Media, Operation
from agent.server.people.auth.access import Access
from agent.server.wheels.house import find_wheel, list_wheels
from agent.server.wheels.own import Wheel, own_wheel

_WHEEL = Media("application/x-wheel+zip")
_HOUSE = "/install/wheels/"


async def show_wheel(call: Call) -> Response:
    """The wheel of what runs here, as a file to save."""
    return _send(await _own_wheel(call))


async def show_digest(call: Call) -> Response:
    """The wheel's SHA-256 and file name, as `sha256sum --check` reads them."""
    wheel = await _own_wheel(call)
    return PlainTextResponse(f"{wheel.digest}  {wheel.name}\n", headers={"Cache-Control": "no-cache"})


async def show_requirements(call: Call) -> Response:
    """The packages that an agent needs, each by version and digests, as pip reads them."""
    file = bundled("install") / "requirements" / "agent.txt"
    if not file.is_file():
        raise NotFoundError("this server was installed without the list of what agents need")
    text = await call.rooms.process.pools.files.run(file.read_text, encoding="utf-8")
    return PlainTextResponse(text, headers={"Cache-Control": "no-cache"})


async def show_house(call: Call) -> Response:
    """A page of links for `pip --find-links`: this server's wheel, and those that its operator put beside it."""
    wheel = await _own_wheel(call)
    names = await call.rooms.process.pools.files.run(list_wheels, call.rooms.process.folder.wheelhouse)
    links = [(wheel.name, f"{wheel.name}#sha256={wheel.digest}"), *((name, name) for name in names)]
    lines = [f'<a href="{html.escape(link)}">{html.escape(name)}</a><br>' for name, link in links]
    page = ["<!DOCTYPE html>", "<title>Wheels</title>", *lines, ""]
    return HTMLResponse("\n".join(page), headers={"Cache-Control": "no-cache"})


async def show_house_wheel(call: Call) -> Response:
    """One wheel of that page."""
    name = call.text("wheel")
    wheel = await _own_wheel(call)
    if name == wheel.name:
        return _send(wheel)
    file = await call.rooms.process.pools.files.run(find_wheel, call.rooms.process.folder.wheelhouse, name)
    return FileResponse(file, media_type=_WHEEL.type)


async def _own_wheel(call: Call) -> Wheel:
    try:
        return await call.rooms.process.pools.files.run(own_wheel)
    except AgentError as error:
        raise NotFoundError(error.what, hint=error.hint) from None


def _send(wheel: Wheel) -> Response:
    digest = base64.b64encode(bytes.fromhex(wheel.digest)).decode()
    headers = {
        "Content-Disposition": f'attachment; filename="{wheel.name}"',
        "Repr-Digest": f"sha-256=:{digest}:",  # RFC 9530
        "ETag": f'"{wheel.digest}"',
        "Cache-Control": "no-cache",  # the next version of a checkout has the same name
    }
    return Response(wheel.content, media_type=_WHEEL.type, headers=headers)


def _row(path: str, handler: Handler, answer: Media) -> Operation:
    return Operation("GET", path, Access.PUBLIC, handler, answers={200: answer}, problems=(404,))


OPERATIONS = (
    _row("/install/agent.whl", show_wheel, _WHEEL),
    _row("/install/agent.whl.sha256", show_digest, TEXT),
    _row("/install/requirements.txt", show_requirements, TEXT),
    _row(_HOUSE, show_house, Media("text/html")),
    _row(_HOUSE + "{wheel}", show_house_wheel, _WHEEL),
)
