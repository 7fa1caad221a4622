"""A site on one machine: static files with the types and headers that a host should give."""

import mimetypes
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Each page has a policy of its own, which is narrower; this one also covers the scripts of workers.
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # With these two a page may share memory among threads, so that it generates with more than one.
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
}
_PUBLISHED = {**HEADERS, "content-security-policy": "default-src 'none'; sandbox"}
"""Of files that others published: none of them is a page of the site."""

_TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm", ".onnx": "application/octet-stream"}


def app(site: Path) -> ASGIApp:
    """The application for an ASGI server; parts of files are given where they are asked for.

    Links in the site's folder are followed, so it must be one that `building.build` made.
    """
    for ending, kind in _TYPES.items():
        mimetypes.add_type(kind, ending)
    files = StaticFiles(directory=site, html=True, follow_symlink=True)
    return Starlette(routes=[Mount("/", files)], middleware=[Middleware(_Headers)])


def serve(site: Path, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serves a site until SIGINT or SIGTERM.

    Args:
        site: its folder.
        listening: where.
        ready: called when requests are answered.
    """
    config = uvicorn.Config(app(site), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    ready()  # the socket listens already
    uvicorn.Server(config).run([listening])


class _Headers:
    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _PUBLISHED if scope.get("path", "").startswith("/repository/") else HEADERS

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in headers.items()]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self._app(scope, receive, send_more)
