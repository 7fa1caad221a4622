"""Files and folders that are never half-written: write a temporary file next to them, then rename."""

import contextlib
import errno
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from synthmed_tf.errors import SynthMedError

PART = ".part"
"""Ends the name of a file that is being written; a process that was killed may leave one."""
_LONGEST_NAME = 128
_NO_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # of network folders and memory cards


@contextlib.contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Gives a new folder next to `folder` to write into, and lets it take its place if all goes well.

    After an error the folder is as it was, and nothing is left next to it. A link is followed.
    """
    folder = Path(folder).resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f"{_hidden(folder.name)}.", dir=folder.parent))
    new.chmod(0o755)
    try:
        yield new
        _take_place(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def replaced_file(path: Path, durable: bool = False) -> Iterator[BinaryIO]:
    """Gives a new file next to `path` to write into, and lets it take its place if all goes well.

    Args:
        path: of the file.
        durable: whether it has to be there, and whole, after a loss of power as well.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with open(temporary, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def glob_free(folder: Path) -> Iterator[Path]:
    """Gives a path to a folder that TensorFlow cannot take for a pattern.

    TensorFlow looks for the files of a checkpoint, and of a SavedModel's variables, by a glob pattern, and opens them
    by the same text; so a path with brackets or a backslash has no spelling that it finds. A link stands in for it.
    """
    if not set("*?[\\") & set(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="synthmed-") as place:
        link = Path(place) / "folder"
        link.symlink_to(Path(folder).resolve(), target_is_directory=True)
        yield link


def sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_remains(folder: Path) -> None:
    """Removes what killed processes left half-written in a folder that no other process writes into."""
    for remains in {*folder.glob(".*.????????"), *folder.glob(f".*{PART}")}:
        if remains.is_dir():
            shutil.rmtree(remains, ignore_errors=True)
        else:
            remains.unlink()


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds a lock file, and removes it at the end; the system lets go of it however the process ends.

    Raises:
        BlockingIOError: another process holds it; `strerror` says which, as that one wrote it.
    """
    import fcntl

    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BlockingIOError(error.errno, file.read().strip() or "another process", str(path)) from None
        # The last holder may have removed it in between: then what is locked is no longer what others would find.
        if not os.path.exists(path) or not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            raise BlockingIOError(errno.EAGAIN, "a process that is just ending", str(path))
        try:
            file.truncate(0)
            file.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            yield
        finally:
            os.unlink(path)


def write_bytes(path: Path, content: bytes, durable: bool = False) -> None:
    """Writes a temporary file, then renames it; see `replaced_file`."""
    with replaced_file(path, durable) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


@contextlib.contextmanager
def failing_clearly(
    out: Path, again: str = ", and run the same command again: what is finished is kept", option: str = "--out"
) -> Iterator[None]:
    """Turns an error of the disk into a sentence.

    Args:
        out: what is written.
        again: ends the sentence.
        option: that names another place.

    Raises:
        SynthMedError: what cannot be written, why, and what to do.
    """
    try:
        yield
    except OSError as error:
        place = Path(error.filename or out)
        shown = out if place.parent == Path(out).parent and place.name.startswith(".") else place
        remedy = "get the right to write there" if error.errno in _NO_RIGHTS else "free space"
        raise SynthMedError(
            f"{shown} cannot be written ({error.strerror or error}); {remedy} or choose another {option}{again}."
        ) from error


def create_text(path: Path, text: str) -> bool:
    """Writes a file where there is none, whole or not at all. Returns False where there is one, and leaves it."""
    temporary = _temporary(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with open(path, "x", encoding="utf-8") as file:  # whole but for a kill in between
                file.write(text)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _temporary(path: Path) -> Path:
    """Where this process writes what is to become `path`."""
    return path.with_name(f"{_hidden(path.name)}.{socket.gethostname()}.{os.getpid()}{PART}")


def _hidden(name: str) -> str:
    """The name after a dot; a digest of a long one, since file systems allow 255 bytes."""
    encoded = os.fsencode(name)
    return f".{name}" if len(encoded) <= _LONGEST_NAME else f".{hashlib.sha256(encoded).hexdigest()[:32]}"


def _take_place(new: Path, folder: Path) -> None:
    old = folder.with_name(f"{_hidden(folder.name)}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(new, folder)
    except OSError:
        if old.exists():
            os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
