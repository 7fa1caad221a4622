"""Copies on this disk of folders in object stores: of inputs, which are read, and of outputs, which are written.

<cache>/stores/<digest of the address>/<name>/           the files of the folder
<cache>/stores/<digest of the address>/versions.jsonl    a line a file: its path, and the version that was fetched
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from synthmed_tf import files, stores
from synthmed_tf.errors import SynthMedError

Progress = Callable[[int, int], None]
"""Called with (done, total), in files."""

_VERSIONS = "versions.jsonl"
_FACTS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "updated", "size")


def local_copy(folder: str | os.PathLike[str], progress: Progress = lambda done, total: None) -> Path:
    """A folder on this disk, as it is; of one in a store a copy in the cache, brought up to date.

    Only files that are new or have changed are fetched (several at once, each whole or not at all), so the same call
    goes on after an interruption. Files that are no longer in the store are removed from the copy.

    Args:
        folder: as for `stores.place`. The copy has its name.
        progress: called with (done, total), in files.

    Raises:
        SynthMedError: the address is not valid, there is no such folder in the store, it cannot be read, or the disk is
            full.
    """
    place = stores.place(folder)
    if not stores.in_store(place):
        return place
    copy = _cache_of(place) / place.name
    listed = _listed(place)
    if not listed:
        raise SynthMedError("is not there, or has no files", "correct the address", path=str(place))
    with files.failing_clearly(copy, option="XDG_CACHE_HOME"):
        for name in [name for name in files.walk(copy) if name not in listed]:
            (copy / name).unlink()
        _fetch(place, copy, listed, progress)
    return copy


@contextlib.contextmanager
def working_copy(folder: str | os.PathLike[str], last: str, mark: str = "") -> Iterator[Path]:
    """Gives a folder on this disk to write into: `folder`, or for one in a store a copy, whose changes are put there.

    They are put there at the end, after an error too, so that the same command resumes on another machine. A copy of a
    process that was killed stays in the cache, and is gone on with on this machine.

    Args:
        folder: as for `stores.place`.
        last: the path in it of the file that makes it whole; it is put there last, and only if all went well.
        mark: the path in it of a file by which a folder is known that can be resumed; where it is empty, what is in the
            store is not fetched, and nothing is put there after an error.

    Raises:
        SynthMedError: as `local_copy`; the folder has files but not the mark; the store cannot be written.
    """
    place = stores.place(folder)
    if not stores.in_store(place):
        yield place
        return
    copy = _cache_of(place) / "written" / place.name
    listed = _listed(place)
    if mark and listed and mark not in listed:
        raise SynthMedError(f"is there and has no {mark}", "choose another --out", path=str(place))
    if mark:
        with files.failing_clearly(copy, option="XDG_CACHE_HOME"):
            _fetch(place, copy, {name: facts for name, facts in listed.items() if not (copy / name).exists()})
    before = _states(copy)
    try:
        yield copy
    except BaseException:
        if mark:
            _put_changes(copy, place, before, set(listed), None)
        raise
    _put_changes(copy, place, before, set(listed), last)
    shutil.rmtree(copy)


def _put_changes(
    copy: Path, place: Path, before: dict[str, tuple[int, int]], listed: set[str], last: str | None
) -> None:
    after = _states(copy)
    changed = [name for name, state in after.items() if before.get(name) != state or name not in listed]
    with files.failing_clearly(place):
        stores.put_files((copy / name, place / name) for name in changed if name != last)
        if last is not None:
            stores.put_files([(copy / last, place / last)])
            stores.remove_files(place / name for name in listed - after.keys())


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    """The time and size of each file."""
    facts = {name: (folder / name).stat() for name in files.walk(folder)}
    return {name: (found.st_mtime_ns, found.st_size) for name, found in facts.items()}


def _cache_of(place: Path) -> Path:
    return files.cache_folder() / "stores" / hashlib.sha256(str(place).encode()).hexdigest()[:32]


def _listed(place: Path) -> dict[str, dict[str, Any]]:
    """The files in the store by their paths.

    Raises:
        SynthMedError: a path is none on this disk, or a file lies in what is a file too.
    """
    with stores.reading(place):
        found = {name: facts for name, facts in stores.listed(place).items() if name and not name.endswith("/")}
    for name in found:
        parts = name.split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts)))
        if {"", ".", ".."} & set(parts) or "\0" in name or any(folder in found for folder in above):
            raise SynthMedError(
                f"holds the object {name!r}, which cannot be a file on a disk", "rename or remove it", path=str(place)
            )
    return found


def _fetch(
    place: Path, copy: Path, listed: dict[str, dict[str, Any]], progress: Progress = lambda done, total: None
) -> None:
    """Fetches what is new or has changed."""
    record = copy.parent / _VERSIONS
    known = _versions(record)
    versions = {name: _version(facts) for name, facts in listed.items()}
    needed = [name for name in listed if known.get(name) != versions[name] or not (copy / name).is_file()]

    def fetch(name: str) -> str:
        with files.replaced_file(copy / name) as target:
            target.writelines(_blocks(place / name))
        return name

    record.parent.mkdir(parents=True, exist_ok=True)
    with open(record, "a", encoding="utf-8") as lines, ThreadPoolExecutor(stores.WORKERS) as pool:
        for done, name in enumerate(pool.map(fetch, needed), start=1):
            lines.write(json.dumps([name, versions[name]]) + "\n")
            lines.flush()
            progress(done, len(needed))


def _blocks(path: Path) -> Iterator[bytes]:
    with stores.reading(path), path.open("rb") as source:
        while block := source.read(1 << 20):
            yield block


def _versions(record: Path) -> dict[str, str]:
    versions = {}
    with contextlib.suppress(FileNotFoundError), open(record, encoding="utf-8") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):  # cut short by a kill
                name, version = json.loads(line)
                versions[name] = version
    return versions


def _version(facts: dict[str, Any]) -> str:
    """Changes with the content, as far as the store says."""
    return hashlib.sha256(str([str(facts.get(name)) for name in _FACTS]).encode()).hexdigest()[:32]
