"""Request and reply bodies that are compressed with gzip (RFC 9110, sections 8.4.1.3 and 12.5.3)."""

import gzip
import io
import zlib

from synthmed_tf.serving.status import Refused, invalid

_LEVEL = 1
_SHORTEST_REPLY = 1024
_CODINGS = ("gzip", "x-gzip")


class TooLarge(Refused):
    """A body has more bytes than the limit allows; over HTTP that is status 413."""

    def __init__(self, most: int):
        super().__init__("RESOURCE_EXHAUSTED", f"The request's body is larger than {most} bytes; send fewer rows.")


def decoded(body: bytes, coding: str, most: int) -> bytes:
    """The body without its compression.

    Args:
        body: as it was sent.
        coding: value of the Content-Encoding header; empty where there is none.
        most: bytes that the result may have. Decompression stops there, so a small body that inflates to
            gigabytes takes no memory.

    Raises:
        Refused: the coding is not gzip, or the body is not a complete gzip stream.
        TooLarge: the result would have more than `most` bytes.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in _CODINGS:
        raise invalid(f"Content-Encoding {coding[:40]!r} is not supported; send the body plain or with gzip.")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            content = stream.read(most + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise invalid(f"The body cannot be decompressed as gzip ({error}).") from None
    if len(content) > most:
        raise TooLarge(most)
    return content


def is_accepted(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header asks for gzip; a quality of 0 rules it out."""
    for choice in accept_encoding.lower().split(","):
        name, *parameters = (part.strip() for part in choice.split(";"))
        if name in _CODINGS:
            return not any(part.startswith("q=") and not part[2:].strip("0. ") for part in parameters)
    return False


def encoded(content: bytes) -> bytes | None:
    """The reply as gzip; None where it is too short to be worth it."""
    return gzip.compress(content, _LEVEL, mtime=0) if len(content) >= _SHORTEST_REPLY else None
