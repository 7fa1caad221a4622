"""Where a repository is read from: a web host, an object store, or a folder. What comes from there is not trusted yet.

All answer as an HTTP server does, in parts and from any byte on, within a time and a length.
"""

import contextlib
import hashlib
import io
import os
import stat
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3
from tuf.api import exceptions
from tuf.ngclient import FetcherInterface

from synthmed_tf import __version__, stores
from synthmed_tf.errors import SynthMedError

PART_BYTES = 1 << 18
_SECONDS = 30
_ATTEMPTS = 4
_LEAST_RATE = 200
"""Bytes a second over a minute; a slower host is an error."""


class Source(FetcherInterface):
    """A repository's address.

    Attributes:
        url: of its folder, ending in `/`.
        seconds: to wait for a connection, and between two parts of an answer.
        asked: the file that was asked for last, below the repository; errors name it.
    """

    def __init__(self, address: str | os.PathLike[str], seconds: float = _SECONDS):
        self.url, self.seconds, self.asked = _url(str(address)), seconds, ""
        self._pool = _pool(self.url)
        self._store = stores.place(self.url) if _is_store(self.url) else None

    @property
    def is_local(self) -> bool:
        """Whether it is a folder."""
        return self.url.startswith("file:")

    @property
    def remedy(self) -> str:
        """What to check where it cannot be reached."""
        return stores.REMEDY if self._store is not None else "check the address and the network"

    @property
    def folder(self) -> Path:
        """Of a local one."""
        return _path(self.url)

    @property
    def digest(self) -> str:
        """Names what is kept of it."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:32]

    def __str__(self) -> str:
        return str(self.folder) if self.is_local else self.url

    def target_url(self, path: str) -> str:
        """Where a target is."""
        return f"{self.url}targets/{urllib.parse.quote(path)}"

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.asked = urllib.parse.unquote(url.removeprefix(self.url))
        return self._all_of(url)

    def _all_of(self, url: str) -> Iterator[bytes]:
        with self.opened(url) as (_, parts):
            yield from parts

    @contextlib.contextmanager
    def opened(self, url: str, begin: int = 0) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Opens a file at a byte.

        Args:
            url: of the file.
            begin: the byte that is wanted first.

        Yields:
            The byte that comes first (0, where the host knows no ranges or has less), and the parts from there on.

        Raises:
            DownloadError: it is not there (`DownloadHTTPError` with the status), or the host cannot be reached, breaks
                off or is too slow (`SlowRetrievalError`); also raised while the parts are read.
        """
        with _as_download_errors(url), self._open(url, begin) as (first, parts):
            yield first, parts

    def _open(self, url: str, begin: int) -> contextlib.AbstractContextManager[tuple[int, Iterator[bytes]]]:
        if self._store is not None:
            return _open_object(self._store / urllib.parse.unquote(url.removeprefix(self.url)), begin)
        return _open_file(_path(url), begin) if self.is_local else self._open_response(url, begin)

    @contextlib.contextmanager
    def _open_response(self, url: str, begin: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        # A repository's files are stored as they are signed; a host that packs them on the way would break ranges.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
        timeout = urllib3.Timeout(self.seconds)
        response = self._pool.request("GET", url, headers=headers, preload_content=False, timeout=timeout)
        try:
            if response.status == 416 and begin:
                response.close()
                with self._open_response(url, 0) as answer:
                    yield answer
                return
            if response.status not in (200, 206):
                raise exceptions.DownloadHTTPError(f"HTTP status {response.status}", response.status)
            yield _first_byte(response, begin), self._parts(response)
        finally:
            response.close()

    def _parts(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        begun, received = time.monotonic(), 0
        # read1 gives what is there: `stream` would wait for a whole part, and lose it where the host breaks off.
        while part := response.read1(PART_BYTES, decode_content=False):
            yield part
            received += len(part)
            seconds = time.monotonic() - begun
            if seconds > 2 * self.seconds and received < _LEAST_RATE * seconds:
                raise exceptions.SlowRetrievalError(f"{received} bytes in {seconds:.0f} seconds")


def _first_byte(response: urllib3.BaseHTTPResponse, begin: int) -> int:
    if response.status == 200:
        return 0
    given = response.headers.get("Content-Range", "")
    if not given.startswith(f"bytes {begin}-"):
        raise exceptions.DownloadError(f"the host answered with the range {given[:60]!r}, not from byte {begin}")
    return begin


@contextlib.contextmanager
def _open_file(path: Path, begin: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    try:
        # Not blocking: a pipe in the folder of somebody else would be waited for without end.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise exceptions.DownloadHTTPError(str(error), 404) from error
    except OSError as error:
        raise exceptions.DownloadError(error.strerror) from error
    with open(number, "rb", buffering=0) as file:
        facts = os.fstat(number)
        if not stat.S_ISREG(facts.st_mode):
            raise exceptions.DownloadError("it is no regular file")
        first = begin if begin <= facts.st_size else 0
        file.seek(first)
        yield first, _parts_of(file)


@contextlib.contextmanager
def _open_object(path: Path, begin: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    try:
        size = path.stat().st_size
        first = begin if begin <= size else 0
        with path.open("rb") as file:
            file.seek(first)
            yield first, iter(lambda: file.read(PART_BYTES), b"")
    except FileNotFoundError as error:
        raise exceptions.DownloadHTTPError(str(error), 404) from error
    except Exception as error:
        if isinstance(error, OSError) or stores.is_failure(error):
            raise exceptions.DownloadError(stores.reason(error)) from error
        raise


def _is_store(address: str) -> bool:
    return address.partition("://")[0] in stores.SCHEMES


def _parts_of(file: io.RawIOBase) -> Iterator[bytes]:
    try:
        while part := file.read(PART_BYTES):
            yield part
    except OSError as error:
        raise exceptions.DownloadError(error.strerror) from error


@contextlib.contextmanager
def _as_download_errors(url: str) -> Iterator[None]:
    try:
        yield
    except urllib3.exceptions.MaxRetryError as error:
        # A refused connection is not slow, though urllib3 derives one error from the other.
        refused = isinstance(error.reason, urllib3.exceptions.NewConnectionError)
        slow = isinstance(error.reason, urllib3.exceptions.TimeoutError) and not refused
        kind = exceptions.SlowRetrievalError if slow else exceptions.DownloadError
        raise kind(_cause(error.reason or error)) from error
    except urllib3.exceptions.TimeoutError as error:
        raise exceptions.SlowRetrievalError("nothing came for too long") from error
    except urllib3.exceptions.HTTPError as error:
        raise exceptions.DownloadError(_cause(error)) from error


def _cause(error: Exception) -> str:
    """Without the object's address that urllib3 begins with."""
    return str(error).rpartition(">: ")[2] or type(error).__name__


def _pool(url: str) -> urllib3.PoolManager:
    # What the host says of when to ask again could keep the reader waiting for ever.
    retries = urllib3.Retry(
        _ATTEMPTS,
        backoff_factor=0.2,
        backoff_max=5,
        status_forcelist=(429, 500, 502, 503, 504),
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    options: dict[str, Any] = {"retries": retries, "headers": {"User-Agent": f"synthmed/{__version__}"}, "maxsize": 16}
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _url(address: str) -> str:
    scheme = urllib.parse.urlsplit(address).scheme if "://" in address else ""
    if scheme in ("http", "https"):
        parts = urllib.parse.urlsplit(address)
        if not parts.hostname or parts.query or parts.fragment or parts.username:
            raise SynthMedError(
                f"Source {address} is no address of a repository; give one like https://example.org/synthmed/, "
                "without user, ? or #."
            )
        return f"{address.rstrip('/')}/"
    if _is_store(address):
        return f"{stores.place(address)}/"
    if scheme not in ("", "file"):
        raise SynthMedError(f"Source {address} begins with {scheme}:; give an https:// address or a folder.")
    folder = (_path(address) if scheme else Path(address)).expanduser().absolute()
    if not folder.is_dir():
        raise SynthMedError(f"Source {address} is no folder; give a repository's https:// address or its folder.")
    return f"{folder.as_uri()}/"


def _path(url: str) -> Path:
    return Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
