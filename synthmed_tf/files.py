"""Files and folders that are never half-written: write a temporary file next to them, then rename.

In an object store, which has no renaming, the whole file is put in its place.
"""

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

from synthmed_tf import stores
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
        path: of the file, on this disk or in a store.
        durable: whether it has to be there, and whole, after a loss of power as well.
    """
    if stores.in_store(path):
        with tempfile.NamedTemporaryFile(prefix="synthmed-") as file:
            yield file  # type: ignore[misc]
            file.flush()
            stores.put_files([(Path(file.name), path)])
        return
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

    A store has no locks: there it holds nothing.

    Raises:
        BlockingIOError: another process holds it; `strerror` says which, as that one wrote it.
    """
    if stores.in_store(path):
        yield
        return
    import fcntl

    path.parent.mkdir(exist_ok=True)

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


@contextlib.contextmanager
def work_folder(folder: Path) -> Iterator[Path]:
    """Makes a folder on this disk and removes it at the end: `folder`, or for one in a store a temporary folder."""
    if stores.in_store(folder):
        with tempfile.TemporaryDirectory(prefix="synthmed-") as work:
            yield Path(work)
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_into(folder: Path, work: Path, last: str) -> None:
    """Moves all files of a work folder into a folder, each over what is there, and one of them when all are there.

    Args:
        folder: on this disk or in a store.
        work: as `work_folder` gives it.
        last: the path in it of the file that comes last.
    """
    names = [name for name in walk(work) if name != last]
    if stores.in_store(folder):
        stores.put_files((work / name, folder / name) for name in names)
        stores.put_files([(work / last, folder / last)])
        return
    for name in (*names, last):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(work / name, folder / name)


def walk(folder: Path) -> Iterator[str]:
    """The paths of all files below a folder, relative to it."""
    if stores.in_store(folder):
        yield from stores.listed(folder)
        return
    for place, _, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        yield from ((inside / name).as_posix() for name in names)


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
    """Turns an error of the disk, or of a store, into a sentence.

    Args:
        out: what is written.
        again: ends the sentence.
        option: that names another place.

    Raises:
        SynthMedError: what cannot be written, why, and what to do.
    """
    try:
        yield
    except Exception as error:
        if stores.in_store(out) and (isinstance(error, OSError) or stores.is_failure(error)):
            why = stores.reason(error)
            raise SynthMedError(f"{out} cannot be written ({why}); {stores.REMEDY}{again}.") from error
        if not isinstance(error, OSError):
            raise
        place = Path(error.filename or out)
        shown = out if place.parent == Path(out).parent and place.name.startswith(".") else place
        remedy = "get the right to write there" if error.errno in _NO_RIGHTS else "free space"
        raise SynthMedError(
            f"{shown} cannot be written ({error.strerror or error}); {remedy} or choose another {option}{again}."
        ) from error


def create_text(path: Path, text: str) -> bool:
    """Writes a file where there is none, whole or not at all. Returns False where there is one, and leaves it."""
    if stores.in_store(path):
        return stores.create_bytes(path, text.encode("utf-8"))
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


def cache_folder() -> Path:
    """The folder of the cache: `$XDG_CACHE_HOME/synthmed`, or `~/.cache/synthmed`."""
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named or Path.home() / ".cache") / "synthmed"
    except RuntimeError:
        raise SynthMedError(
            "There is no home folder for the cache; name a folder by the environment variable XDG_CACHE_HOME."
        ) from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
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
