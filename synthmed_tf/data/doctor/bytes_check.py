"""The data doctor's look at a file before its pixels are decoded: what kind of file it is, and whether it is whole."""

import hashlib
import os
import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from synthmed_tf.data.layouts import UNREAD_IMAGES, stem
from synthmed_tf.errors import ERROR, WARNING, Finding
from synthmed_tf.images import MAX_BYTES

_STARTS = (
    (b"\x89PNG", "PNG", (".png",)),
    (b"\xff\xd8\xff", "JPEG", (".jpg", ".jpeg")),
    (b"II*\0", "TIFF", (".tif", ".tiff")),
    (b"MM\0*", "TIFF", (".tif", ".tiff")),
    (b"II+\0", "TIFF", (".tif", ".tiff")),
    (b"GIF8", "GIF", (".gif",)),
    (b"BM", "BMP", (".bmp",)),
    *((b"P%d" % kind, "PPM", (".ppm", ".pgm", ".pbm", ".pnm")) for kind in range(1, 7)),
    (b"\x1f\x8b", "gzip", (".gz",)),
    (b"RIFF", "WebP", ()),
    (b"\0\0\0\x0cjP", "JPEG 2000", ()),
    (b"%PDF", "PDF", ()),
    (b"PK\x03\x04", "ZIP", ()),
    (b"<", "HTML or XML", ()),
)
_DICOM_AT = 128


@dataclass(frozen=True)
class Bytes:
    """What a file's bytes tell.

    Attributes:
        sha256: of all bytes; empty where they could not be read.
        readable: whether it makes sense to decode it.
        findings: with the path as it was given.
        damage: what else is to be said if it can be decoded all the same.
    """

    sha256: str
    readable: bool
    findings: list[Finding]
    damage: list[Finding]


def look_at_bytes(path: Path) -> Bytes:
    """Reads a file as it lies there. Never opens pipes and devices, which may have no end."""
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            return _refused(path, "is no file but a pipe, a socket, a device or a folder", "remove it")
        if state.st_size > MAX_BYTES:
            return _refused(path, f"is larger than {MAX_BYTES // 2**20} MB", "make it smaller")
        data = path.read_bytes()
    except OSError as error:
        problem = f"could not be opened ({error.strerror})"
        return _refused(path, problem, "check its name and rights, or where its link leads")
    if not data:
        return _refused(path, "is empty (0 bytes)", "copy it again from its source")
    if path.suffix.lower() in UNREAD_IMAGES:
        return _refused(path, "is of a kind that is not read", "convert it to PNG or move it away")
    return Bytes(hashlib.sha256(data).hexdigest(), True, _other_kind(path, data), _failed_checksum(path, data))


def _refused(path: Path, problem: str, remedy: str) -> Bytes:
    return Bytes("", False, [Finding(ERROR, str(path), problem, remedy)], [])


def _other_kind(path: Path, data: bytes) -> list[Finding]:
    known = [(kind, names) for start, kind, names in _STARTS if data.startswith(start)]
    if data[_DICOM_AT : _DICOM_AT + 4] == b"DICM":
        known = [("DICOM", ())]
    if not known or path.suffix.lower() in known[0][1]:
        return []
    kind, names = known[0]
    remedy = f"rename it to {stem(path)}{names[0]}" if names else "convert it to PNG"
    # Training goes by the content, so a wrong name alone does not stop it; a gzipped name is gone by.
    severity = WARNING if names and ".gz" not in (path.suffix.lower(), names[0]) else ERROR
    return [Finding(severity, str(path), f"is a {kind} file, other than its name says", remedy)]


def _failed_checksum(path: Path, data: bytes) -> list[Finding]:
    """PNG keeps checksums, which decoders do not insist on."""
    if not data.startswith(b"\x89PNG"):
        return []
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            image.verify()
    # As in images.py: damage shows as an error of almost any class. If it cannot be decoded, that is told as well.
    except Exception as error:
        return [Finding(WARNING, str(path), f"fails the checks of its format ({error})", "copy it again")]
    return []
