"""Archives from other publishers: members with plain names only, bounded before they are unpacked."""

import contextlib
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.paths import check_distinct, plain, safe

MOST_MEMBERS = 200_000
MOST_IN_MEMBER = 64_000_000
MOST_UNPACKED = 16_000_000_000
MOST_RATIO = 100
"""Unpacked to packed, of a member of more than a megabyte: metadata reaches 30."""

_END = b"PK\x05\x06"


class Refused(Exception):
    """What is wrong with a file, as the end of a sentence that begins with its name."""


def zip_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The members of a zip file.

    Raises:
        Refused: what is wrong with it.
    """
    _check_ends(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_zip(members)
        _check_names([member.filename for member in members])
        for member in members:
            with archive.open(member) as file:
                content = file.read(member.file_size + 1)
            if len(content) != member.file_size:
                raise Refused(f"holds {member.filename} with another size than it states")
            yield member.filename, content


def tar_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The members of a tar file that is not compressed.

    Raises:
        Refused: what is wrong with it.
    """
    names, unpacked = [], 0
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            names.append(member.name)
            unpacked += member.size
            named = plain(repr(member.name), 80)
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse or member.pax_headers:
                raise Refused(f"holds {named}, which is a link or no regular file")
            if member.mode & 0o111:
                raise Refused(f"holds {named}, which is marked executable")
            _check_bounds(named, len(names), member.size, unpacked)
            content = archive.extractfile(member)
            assert content is not None  # it is a regular file
            yield _safe(member.name), content.read()
        _check_names(names)


def _check_ends(path: Path) -> None:
    """That nothing stands before the first member or behind the list of them, such as a program."""
    with open(path, "rb") as file:
        begin = file.read(4)
        with contextlib.suppress(OSError):
            file.seek(-22, 2)
        end = file.read()
    if begin != b"PK\x03\x04" or not end.startswith(_END) or len(end) != 22:
        raise Refused("is no plain zip file: something stands before or behind its members")


def _check_zip(members: list[zipfile.ZipInfo]) -> None:
    unpacked, behind = 0, 0
    for number, member in enumerate(sorted(members, key=lambda member: member.header_offset), start=1):
        named = plain(repr(member.filename), 80)
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise Refused(f"holds {named}, which is a link or no regular file")
        if mode & 0o111:
            raise Refused(f"holds {named}, which is marked executable")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"holds {named}, which is encrypted or packed in an unusual way")
        if member.header_offset < behind:
            raise Refused(f"holds {named}, which overlaps another member")
        behind = member.header_offset + member.compress_size
        unpacked += member.file_size
        _check_bounds(named, number, member.file_size, unpacked)
        if member.file_size > max(1_000_000, MOST_RATIO * member.compress_size):
            raise Refused(f"holds {named}, which unpacks to {member.file_size} bytes from {member.compress_size}")


def _check_bounds(named: str, members: int, size: int, unpacked: int) -> None:
    if members > MOST_MEMBERS or unpacked > MOST_UNPACKED:
        raise Refused(f"unpacks to more than {MOST_MEMBERS} members or {MOST_UNPACKED // 10**9} GB")
    if size > MOST_IN_MEMBER:
        raise Refused(f"holds {named} of {size} bytes, more than {MOST_IN_MEMBER // 10**6} MB")


def _check_names(names: list[str]) -> None:
    try:
        check_distinct([_safe(name) for name in names])
    except SynthMedError as error:
        raise Refused(f"holds names that clash ({plain(str(error), 160)})") from error


def _safe(name: str) -> str:
    try:
        return safe(name)
    except SynthMedError as error:
        raise Refused(f"holds a name that is not allowed ({plain(str(error), 160)})") from error


def record_lengths(path: Path) -> Iterator[int]:
    """The lengths of the records of a TFRecord file, whose data is not looked at.

    Raises:
        Refused: it does not end where a record ends.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        place = 0
        while place < size:
            file.seek(place)
            head = file.read(12)
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else size
            place += length + 16
            if place > size or length > MOST_IN_MEMBER:
                raise Refused("is no TFRecord file, or is cut short")
            yield length
