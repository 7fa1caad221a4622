"""A web host for tests, on this machine, that serves a folder well or badly."""

import contextlib
import http.server
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

ENDLESS = 1 << 40


class Host:
    """What it does, which may be changed while it runs.

    Attributes:
        url: of the folder.
        asked: (path, Range or None) of each request.
        ranges: whether it knows ranges.
        breaks: bytes after which it breaks off, by what a path ends with; counted down with each time in `times`.
        times: how often it still does.
        instead: what it sends in the place of a file, by what the path ends with.
        endless: paths of which it sends without end.
        span: what it says of every range.
        stalls: paths of which it sends nothing until it ends.
        before: is called with the path of each request.
        status: it answers with this in the place of 200, so often as `times` says.
    """

    def __init__(self, folder: Path):
        self.folder, self.url, self.asked = folder, "", []
        self.ranges, self.breaks, self.times = True, {}, ENDLESS
        self.instead: dict[str, bytes] = {}
        self.endless: tuple[str, ...] = ()
        self.stalls: tuple[str, ...] = ()
        self.ended = threading.Event()
        self.status: int | None = None
        self.span: str | None = None
        self.before: Callable[[str], None] = lambda path: None

    def fault(self) -> bool:
        """Whether it is to misbehave once more."""
        self.times -= 1
        return self.times >= 0


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        host, path = self.server.host, urllib.parse.unquote(self.path).lstrip("/")
        span = self.headers.get("Range")
        host.asked.append((path, span))
        host.before(path)
        if host.status is not None and host.fault():
            self._head(host.status, 0)
            return
        if path.endswith(host.stalls):
            self._head(200, 9)
            host.ended.wait()
            return
        if path.endswith(host.endless):
            self._head(200, ENDLESS)
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(1 << 16))
            return
        content = next((sent for end, sent in host.instead.items() if path.endswith(end)), None)
        if content is None:
            try:
                content = (host.folder / path).read_bytes()
            except OSError:
                self._head(404, 0)
                return
        self._send(path, content, int(span.removeprefix("bytes=").rstrip("-")) if span and host.ranges else None)

    def _send(self, path: str, content: bytes, begin: int | None):
        if begin is not None and begin >= len(content):
            self._head(416, 0)
            return
        part = content[begin or 0 :]
        self._head(200 if begin is None else 206, len(part), f"bytes {begin}-{len(content) - 1}/{len(content)}")
        most = next((count for end, count in self.server.host.breaks.items() if path.endswith(end)), None)
        if most is not None and most < len(part) and self.server.host.fault():
            self.wfile.write(part[:most])
            self.close_connection = True
            return
        self.wfile.write(part)

    def _head(self, status: int, length: int, span: str | None = None):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if status == 206:
            self.send_header("Content-Range", self.server.host.span or span)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Host]:
    """Serves a folder."""
    host = Host(folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.host = host
        host.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield host
        finally:
            host.ended.set()
            server.shutdown()
            thread.join()
