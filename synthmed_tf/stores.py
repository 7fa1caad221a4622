"""Places in object stores: `s3://BUCKET/NAME`, `gs://BUCKET/NAME` and `abfs://CONTAINER/NAME`, through fsspec.

A path in a store is a `UPath`, which is read as a `pathlib.Path` is. A store has neither renaming nor locks, so what is
written goes through this module: a file is put there whole, or not at all. fsspec looks for credentials where the tools
of each store keep them; an address that holds one is refused.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from synthmed_tf.errors import SynthMedError
from synthmed_tf.extras import require_extra

SCHEMES = ("s3", "gs", "abfs")
"""Each is also the extra of setup.cfg that installs what it needs."""

WORKERS = 16
"""Threads that read at once: most of the time is spent waiting for the store."""

REMEDY = "check the address, the connection and the credentials"

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_LIBRARIES = {"adlfs", "aiobotocore", "aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google", "requests", "s3fs"}
_PRIVATE = re.compile(r"\?\S+|(?i:(signature|sig|key|token|secret)=)\S+")


def place(name: str | os.PathLike[str]) -> Path:
    """The path of a file or folder, on this disk or in a store.

    Args:
        name: a path, or an address in a store.

    Returns:
        A `Path`, or a `UPath`, which is read like one.

    Raises:
        SynthMedError: the address is of another kind, names no folder or holds a credential, or a package is missing.

    Example:
        >>> place("sets/one")
        PosixPath('sets/one')
    """
    matched = _ADDRESS.fullmatch(name) if isinstance(name, str) else None
    if matched is None:
        return name if in_store(name) else Path(name)  # type: ignore[return-value]
    scheme, rest = matched[1].lower(), matched[2]
    if scheme not in SCHEMES:
        known = ", ".join(f"{each}://" for each in SCHEMES)
        raise SynthMedError(f"An address begins with {scheme}://, which is not read; give a folder, or one of {known}.")
    bucket, _, key = rest.partition("/")
    if ":" in bucket or "?" in rest or (scheme != "abfs" and "@" in bucket):
        raise SynthMedError(
            f"An address of {scheme}:// holds a credential; leave it out, and keep it where the store's own tools do."
        )
    key = key.strip("/")
    if not bucket or not key or {"", ".", ".."} & set(key.split("/")):
        raise SynthMedError(
            f"{name} names no folder in a store; give one such as {scheme}://{bucket or 'BUCKET'}/NAME."
        )
    require_extra(scheme)
    from upath import UPath

    # Others write into the same folder, so no listing is kept.
    found: Any = UPath(f"{scheme}://{bucket}/{key}", use_listings_cache=False)
    return found  # type: ignore[no-any-return]


def in_store(path: str | os.PathLike[str]) -> bool:
    """Whether `place` gave a path in a store."""
    return not isinstance(path, str | bytes | Path) and hasattr(path, "fs")


def put_bytes(path: Path, content: bytes) -> None:
    """Puts a file into a store, over what is there."""
    _fs(path).pipe_file(_key(path), content)


def create_bytes(path: Path, content: bytes) -> bool:
    """Puts a file into a store where there is none. Returns False where there is one, and leaves it.

    A store that cannot do this in one step puts the file over the other.
    """
    if path.is_file():
        return False
    try:
        _fs(path).pipe_file(_key(path), content, mode="create")
    except FileExistsError:
        return False
    return True


def put_files(files: Iterable[tuple[Path, Path]]) -> None:
    """Puts files of this disk into a store, several at once.

    Args:
        files: of each, where it is and the path in the store; all in one store.
    """
    pairs = list(files)
    if pairs:
        _fs(pairs[0][1]).put([str(file) for file, _ in pairs], [_key(path) for _, path in pairs])


def remove_files(paths: Iterable[Path]) -> None:
    """Removes files from a store."""
    for path in paths:
        _fs(path).rm_file(_key(path))


def listed(folder: Path) -> dict[str, dict[str, Any]]:
    """The files below a folder in a store: the path in it, and what the store says about the file."""
    start = f"{_key(folder)}/"
    found = _fs(folder).find(_key(folder), detail=True)
    return {name[len(start) :]: facts for name, facts in found.items() if name.startswith(start)}


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turns an error of the store that a folder is in into a sentence.

    Raises:
        SynthMedError: what cannot be read, why, and what to do.
    """
    try:
        yield
    except Exception as error:
        if in_store(folder) and (isinstance(error, OSError) or is_failure(error)):
            raise SynthMedError(
                f"cannot be read ({reason(error)})", f"{REMEDY}, and run the same command again", path=str(folder)
            ) from error
        raise


def is_failure(error: BaseException) -> bool:
    """Whether an error comes from the store or from the way there."""
    return type(error).__module__.partition(".")[0] in _LIBRARIES


def reason(error: BaseException) -> str:
    """An error in one line, without what may be a credential."""
    line = next(iter(str(error).strip().splitlines()), "")
    return redacted(line)[:200] or type(error).__name__


def redacted(text: str) -> str:
    """A text without what may be a credential.

    Example:
        >>> redacted("https://HOST/container?sig=abc is not there")
        'https://HOST/container... is not there'
    """
    return _PRIVATE.sub("...", text)


def _fs(path: Path) -> Any:
    fs: Any = path.fs  # type: ignore[attr-defined]
    return fs


def _key(path: Path) -> str:
    """The path as its file system has it."""
    return str(path.path)  # type: ignore[attr-defined]
